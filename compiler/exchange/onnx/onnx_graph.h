// OnnxGraph: an ONNX graph while it is turned into a Model. It knows the values by name, translates node after node by
// the operators' builders, and finds out which values are known when compiling.
#pragma once

#include <onnx/onnx_pb.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compiler/exchange/equal_sizes.h"
#include "compiler/exchange/onnx/onnx_file.h"
#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

/// A name of the file, without what would harm a terminal.
std::string printable(std::string_view name);

/// Whether the graph's types or attributes hold dimensions that are not known yet.
bool has_symbols(const Graph& graph);

class OnnxGraph {
 public:
  OnnxGraph(const OnnxFile& file, std::string path, const OnnxImportOptions& options, EqualSizes& sizes);

  Model take();

  struct Value {
    std::string name = {};
    Type type = {};
    Narrow narrow = Narrow::none;  // what it is stored as, where that is narrower
    Known known = {};              // a constant; shapes may depend on it
    Known bound = {};              // an input's values, taken only where a shape depends on them
    const onnx::TensorProto* initializer = nullptr;
    bool has_ref = false;
    TensorRef ref = {};
    int64_t step = -1;  // the translated node that makes it
    uint32_t output = 0;
    std::string class_name = {};  // operator and node that made it
    std::string origin = {};
    // A sequence, which exists only while importing, is its elements or the slices of a tensor along axis 0.
    std::optional<std::vector<uint32_t>> elements = {};
    std::optional<uint32_t> stack = {};
    bool grows = false;      // what a loop appends to: `elements` are those of one turn
    bool is_absent = false;  // an optional value that is not there

    bool is_sequence() const { return elements || stack; }
  };
  const Value& value(uint32_t id) const { return values_[id]; }
  /// The value's numbers where they follow from constants and bound inputs; null where they do not.
  Known find_known(uint32_t id, int depth = 0);
  /// How the layer that reads an initializer gets it: as a parameter of its own, or from a layer that holds it.
  bool owns_initializer(uint32_t id) const;
  /// Gives an initializer that several layers read a layer of its own.
  void make_parameter_layer(uint32_t id);
  StoredTensor initializer(uint32_t id) const;
  const std::string& folder() const { return folder_; }

 private:
  using Scope = std::map<std::string, uint32_t>;
  struct Step {  // of a translated node: how its values are computed, for find_known
    std::shared_ptr<const Graph> body;
    std::vector<uint32_t> tensors;
    size_t layer;  // whose parameters follow the tensors
  };
  std::span<const Parameter> parameters_of(const Step& step) const { return model_.layers[step.layer].parameters; }

  const OnnxFile& file_;
  const onnx::ModelProto& proto_;
  std::string path_, folder_;
  const OnnxImportOptions& options_;
  EqualSizes& sizes_;
  const std::string batch_name_;
  Model model_;
  std::vector<Value> values_;
  std::map<std::string, int> uses_;  // of initializers
  std::map<const onnx::TensorProto*, uint32_t> initializers_;
  std::vector<Step> steps_;
  std::set<std::string> layer_names_;
  std::deque<onnx::NodeProto> expanded_;  // nodes of functions, with the call's attributes
  int symbols_ = 0;
  size_t translated_ = 0;

  std::map<std::string, int64_t> versions(
      const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& sets) const;
  const onnx::FunctionProto* find_function(const onnx::NodeProto& node) const;
  void check_operators() const;
  void count_uses();
  std::string unique_name(std::string wanted, const std::string& class_name);
  Type input_type(const onnx::ValueInfoProto& info, Narrow& narrow);
  void add_initializer(const onnx::TensorProto& tensor, Scope& scope);
  void add_inputs(Scope& scope);
  uint32_t add_value(Value value);
  void translate_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope,
                       const std::map<std::string, int64_t>& sets, const std::string& prefix, int depth);
  void translate_node(const onnx::NodeProto& node, Scope& scope, const std::map<std::string, int64_t>& sets,
                      const std::string& prefix, int depth);
  void call_function(const onnx::FunctionProto& function, const onnx::NodeProto& node, Scope& scope,
                     const std::string& prefix, int depth);
  void finish(OnnxNode& node, Scope& scope);
  AttributeValue record_node(const OnnxNode& node, const std::vector<uint32_t>& tensors,
                             const std::map<uint32_t, std::string>& weights, const std::vector<uint32_t>& outputs);

  // A node that is translated by what it does to the graph, not by a formula over tensors.
  struct Call {
    const onnx::NodeProto& node;
    Scope& scope;
    const std::map<std::string, int64_t>& sets;
    const std::string& prefix;
    int depth;
  };
  struct Structure {
    std::string_view type;
    void (OnnxGraph::*translate)(const Call&);
    std::string_view domain = "";
  };
  static const Structure structures[];
  static const Structure* find_structure(const onnx::NodeProto& node);
  [[noreturn]] void fail(const Call& call, const std::string& what, const std::string& hint = {}) const;
  std::string name_of(const onnx::NodeProto& node) const;
  std::string text_of(const Value& value) const;
  uint32_t find_value(const Call& call, const std::string& name) const;
  std::vector<uint32_t> inputs_of(const Call& call) const;
  void set_outputs(const Call& call, const std::vector<uint32_t>& values);
  /// The node with `inputs`, built by `build` as an operator builds its own.
  void build(const Call& call, const std::vector<uint32_t>& inputs, const std::function<void(OnnxNode&)>& build_node);
  /// The inputs with the extents that the refusal found to differ said to be equal, which a run checks; none where they cannot be.
  std::optional<std::vector<uint32_t>> with_equal_extents(const Call& call, std::vector<uint32_t> inputs, const CompileError& error);
  std::vector<uint32_t> build_values(const Call& call, const std::vector<uint32_t>& inputs, size_t outputs,
                                     const std::function<void(OnnxNode&)>& build_node);

  /// The steps that lead from `sources` to `results` as one graph: its inputs are the sources, of these types, then
  /// what they need besides, which `outside` holds as values of `node`.
  struct Composition {
    Graph graph;
    std::vector<moru::Value> outside;
  };
  Composition compose(OnnxNode& node, const std::vector<uint32_t>& sources, const std::vector<Type>& types,
                      const std::vector<uint32_t>& results);
  void translate_gradient(const Call& call);

  // onnx_control.cpp
  const onnx::GraphProto& body_of(const Call& call, const char* name) const;
  std::optional<bool> find_truth(uint32_t id);
  std::vector<uint32_t> run_body(const Call& call, const onnx::GraphProto& body, const std::vector<uint32_t>& inputs);
  uint32_t add_constant(Known known, const std::string& name);
  uint32_t add_placeholder(const Type& type, Narrow narrow, const std::string& name);
  uint32_t stack_values(const Call& call, const std::vector<uint32_t>& parts, int64_t axis, const Type& like);
  void translate_if(const Call& call);
  void translate_loop(const Call& call);
  void translate_scan(const Call& call);
  std::vector<uint32_t> scan_samples(const Call& call, const std::vector<uint32_t>& inputs,
                                     const std::function<std::vector<uint32_t>(const std::vector<uint32_t>&)>& run);
  void translate_flex_attention(const Call& call);

  // onnx_roll.cpp
  struct Rolling {
    std::vector<uint32_t> carries = {};    // tensors, and sequences that the loop appends to
    std::vector<uint32_t> sequences = {};  // tensors of which every turn gets a slice
    std::vector<int64_t> axes = {};        // of the sequences
    std::vector<bool> reversed = {};       // sequences that run backwards
    std::vector<bool> reversed_stacks = {};  // of what is stacked; by default forwards, along axis 0
    std::vector<int64_t> stack_axes = {};
    bool is_loop = false;             // whose body takes its number and a condition, and makes a condition
    std::optional<Dim> limit = {};    // of a loop's turns
    uint32_t condition = UINT32_MAX;  // of a loop's first turn
  };
  /// One turn, translated once: `sources` stand for what differs from turn to turn.
  struct Turn {
    std::vector<uint32_t> carries, slices;  // sources; a carry that counts turns is none
    uint32_t number = UINT32_MAX;           // source
    uint32_t first_source = 0;              // what was there before it is the same at every turn
    std::vector<uint32_t> data;             // the tensors whose slices `slices` are
    std::vector<int64_t> axes;
    std::vector<uint32_t> results;

    std::vector<uint32_t> sources() const;
    bool is_source(uint32_t id) const;
  };
  struct Affine {  // base + offset
    uint32_t base = UINT32_MAX;  // a source of the turn, or none
    Dim offset = {};
  };
  struct Order {  // less < more
    Affine less, more;
  };
  std::vector<uint32_t> scan(const Call& call, const onnx::GraphProto& body, Rolling rolling);
  std::vector<Turn*> turns_ = {};  // that are being translated, the innermost last
  std::optional<std::vector<uint32_t>> roll(const Call& call, const onnx::GraphProto& body, const Rolling& rolling);
  std::optional<Turn> translate_turn(const Call& call, const onnx::GraphProto& body, const Rolling& rolling,
                                     const std::vector<std::optional<Dim>>& counters);
  std::optional<Dim> find_counter(const Rolling& rolling, const Turn& turn, size_t carry);
  std::optional<Dim> find_trip(const Rolling& rolling, const Turn& turn);
  std::optional<Affine> find_affine(uint32_t id, const Turn& turn);
  std::optional<Affine> find_affine(const Step& step, ValueId value, const Turn& turn);
  std::optional<std::vector<Order>> find_orders(uint32_t id, const Turn& turn);
  std::optional<std::vector<Order>> find_orders(const Step& step, ValueId value, const Turn& turn);
  /// What Gather takes from a tensor at the turn's number: a slice of the scan's sequence.
  std::optional<uint32_t> find_slice(const Call& call, const std::vector<uint32_t>& inputs);

  // onnx_sequences.cpp
  uint32_t add_sequence(const Call& call, std::vector<uint32_t> elements);
  std::vector<uint32_t> sequence_of(const Call& call, uint32_t id);
  uint32_t move_first_axis(const Call& call, uint32_t id, int64_t axis, bool merge);
  size_t place_of(const Call& call, uint32_t id, size_t count);
  void translate_sequence(const Call& call);
  void translate_split_to_sequence(const Call& call);
  void translate_concat_from_sequence(const Call& call);
  void translate_sequence_map(const Call& call);
  void translate_optional(const Call& call);

  bool fold(const OnnxNode& node, const Graph& body);
  void add_layer(Layer layer, std::vector<TensorRef> inputs, const std::vector<uint32_t>& outputs);
  TensorRef ref_of_output(uint32_t id, const std::string& name);
  void prune();
};

}  // namespace moru
