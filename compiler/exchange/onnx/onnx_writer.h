// OnnxWriter: an ONNX graph while it is written from graphs of Moru's ops. It names values and nodes, holds weights and
// constants, turns dimensions into numbers that the file computes, and puts off transpositions until something needs
// them, so that two that meet cancel: channels and time stand elsewhere in ONNX than in Keras.
#pragma once

#include <onnx/onnx_pb.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/ir/builder.h"
#include "compiler/ops/op.h"
#include "compiler/support/narrow.h"

namespace moru {

/// A value as the file has it: axis k of the value is axis permutation[k] of the tensor `name`; an empty permutation
/// leaves the axes as they are.
struct OnnxValue {
  std::string name = {};
  std::vector<int64_t> permutation = {};
  explicit operator bool() const { return !name.empty(); }
};

/// Values of a tensor that are known: a weight.
struct OnnxWeight {
  std::vector<int64_t> shape;
  std::vector<float> data;
};
OnnxWeight transposed(const OnnxWeight& weight, std::span<const int64_t> permutation);

using OnnxAttribute = std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                                   std::vector<std::string>>;
using OnnxAttributes = std::vector<std::pair<std::string, OnnxAttribute>>;

/// Nodes of a graph, from `first` to before `behind`, of which nothing but `outputs` is read behind them, and what writes
/// them in another way than one by one: given the values of `inputs`, it returns the outputs', or none where it cannot.
struct OnnxGraphPart {
  size_t first = 0, behind = 0;
  std::vector<ValueId> inputs, outputs;
  std::function<std::vector<OnnxValue>(std::span<const OnnxValue>)> write;
};

/// Names a value of the file and says its type. `element_type` is ONNX's number; without one it is that of type.dtype.
void set_type(onnx::ValueInfoProto& info, const std::string& name, const Type& type,
              std::optional<int64_t> element_type = {});

class OnnxWriter {
 public:
  explicit OnnxWriter(int64_t opset) : opset_(opset), graph_(model_.mutable_graph()) {}
  OnnxWriter(const OnnxWriter&) = delete;
  OnnxWriter& operator=(const OnnxWriter&) = delete;

  int64_t opset() const { return opset_; }
  onnx::ModelProto& model() { return model_; }

  // The graph's ends.
  void reserve(const std::string& name) { value_names_.insert(name); }  // of an input or output
  /// An input of the file, in its element type; the value is in the type that holds it.
  OnnxValue input(const std::string& name, const Type& type, Narrow narrow);
  /// Makes `value` the file's output `name`.
  void output(const OnnxValue& value, const std::string& name, const Type& type, Narrow narrow);
  /// A weight, which comes into the file if a node reads it as it is. `bytes` stay the caller's until finish.
  OnnxValue parameter(const std::string& path, DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes);
  /// An input with a default: state that the caller may carry from call to call.
  OnnxValue state(const std::string& name, const Type& type, double initial);
  /// Gives outputs their names, and the file the weights that are read. Nothing may be written behind it.
  void finish();

  // Nodes. Their names are those of the user's nodes, which set_origin tells.
  void set_origin(std::string origin) { origin_ = std::move(origin); }
  const std::string& origin() const { return origin_; }
  std::string node(const std::string& type, std::vector<std::string> inputs, const OnnxAttributes& attributes = {});
  std::vector<std::string> nodes(const std::string& type, std::vector<std::string> inputs,
                                 const OnnxAttributes& attributes, size_t outputs);
  /// A node that only moves data around another one: never the first to take the name of its origin.
  std::string side_node(const std::string& type, std::vector<std::string> inputs, const OnnxAttributes& attributes = {});
  onnx::NodeProto& last_node() { return *graph_->mutable_node(graph_->node_size() - 1); }

  // Tensors.
  /// The tensor with its axes as the value has them.
  std::string plain(const OnnxValue& value);
  /// The tensor whose axis i is the value's axis order[i].
  std::string ordered(const OnnxValue& value, std::vector<int64_t> order);
  /// The value of a tensor whose axis i is the value's axis order[i].
  static OnnxValue from_ordered(std::string name, const std::vector<int64_t>& order);

  std::string weight(const std::string& name, const OnnxWeight& weight);
  std::string initializer(const std::string& name, ElementType type, std::span<const int64_t> shape,
                          std::span<const std::byte> bytes);
  std::string integers(const std::vector<int64_t>& values);  // i64[n]
  std::string number(double value, DType dtype = DType::f32);  // []
  std::string filled(double value, const std::vector<int64_t>& shape, DType dtype);
  /// The values of a weight, where the value is one.
  const OnnxWeight* find_weight(const OnnxValue& value) const;
  std::string as_type(const std::string& name, DType from, DType to);  // Cast where needed
  /// A tensor of a narrow type in the type that holds it, and back: what was made wide comes back as it was.
  std::string widened(const std::string& name, Narrow narrow);
  std::string narrowed(const std::string& name, Narrow narrow, const OnnxAttributes& rule = {});
  std::string narrow_parameter(const OnnxValue& parameter, Narrow narrow);
  /// ONNX's number of an element type; a problem where the operator set has no such type.
  int64_t type_number(ElementType type);

  /// Extents as i64[n], computed in the file where they are not numbers.
  std::string dims(const Shape& shape);
  /// As the second input of a Reshape of `from`.
  std::string reshape(const std::string& name, const Shape& from, const Shape& to, bool side);

  // Graphs.
  /// `parts` in the order of their nodes.
  std::vector<OnnxValue> write_graph(const Graph& graph, std::span<const OnnxValue> inputs,
                                     std::span<const OnnxGraphPart> parts = {});
  /// What a function makes of values of these types.
  template <typename Make>
  std::vector<OnnxValue> write(std::span<const OnnxValue> inputs, std::span<const Type> types, Make make) {
    Graph graph;
    Builder builder(graph, origin_);
    std::vector<Value> values;
    for (const Type& type : types) values.push_back(builder.input(type));
    for (Value value : make(builder, std::span<const Value>(values))) builder.result(value);
    return write_graph(graph, inputs);
  }
  /// One op: by its function, else by its expansion.
  std::vector<OnnxValue> write_op(const Op& op, const Attributes& attributes, std::span<const OnnxValue> inputs,
                                  std::span<const Type> types, std::span<const Type> output_types,
                                  std::span<const Graph> bodies = {});
  OnnxValue activate(const OnnxValue& value, const Type& type, const AttributeValue& activation);

  /// The body of a loop: what is written in between belongs to it.
  onnx::GraphProto* enter_body(onnx::GraphProto* body);
  void leave_body(onnx::GraphProto* outer);
  std::string unique_value(const std::string& wanted);

  /// Something that ONNX cannot say. All are reported at once, by finish.
  void problem(const std::string& what);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  int64_t opset_;
  onnx::ModelProto model_;
  onnx::GraphProto* graph_;
  std::string origin_;
  std::set<std::string> value_names_, node_names_;
  std::map<std::string, OnnxWeight> weights_;
  struct Parameter {
    std::string path;
    DType dtype = DType::f32;
    std::vector<int64_t> shape;
    std::span<const std::byte> bytes;
    Narrow narrow = Narrow::none;
  };
  std::map<std::string, Parameter> parameters_;  // by a name that no value of the file has
  std::map<std::string, int> initializers_;  // by name, type, shape and a hash of their values
  std::map<std::string, std::string> cache_;         // nodes with equal inputs, of this graph and those around it
  std::vector<std::map<std::string, std::string>> outer_caches_;
  std::map<std::string, std::pair<std::string, int64_t>> symbol_sources_;  // input and axis that bind a symbol
  std::map<std::string, std::string> renamed_;
  std::map<std::string, std::pair<std::string, Narrow>> narrow_sources_;  // of what was made wide
  std::set<std::string> produced_;  // by nodes of the outermost graph
  std::vector<std::string> problems_;

  std::string node_name(const std::string& type, bool side);
  std::string cached(const std::string& type, std::vector<std::string> inputs, const OnnxAttributes& attributes = {});
  std::string dim(const Dim& dim);
  void drop_unread();
};

/// One node of a graph while it is written: what a function for an op sees.
struct OnnxOpWriter {
  OnnxWriter& writer;
  const Op& op;
  const Attributes& attributes;
  std::span<const OnnxValue> inputs;
  std::span<const Type> types, output_types;
  std::span<const Graph> bodies;
  std::vector<OnnxValue> outputs = {};

  /// By the name of the op's input; nothing where it is absent.
  OnnxValue find(std::string_view input) const;
  bool has_mask() const;
  size_t index(std::string_view input) const;
  const OnnxWeight* find_weight(std::string_view input) const { return writer.find_weight(find(input)); }
  std::string plain(size_t input = 0) { return writer.plain(inputs[input]); }
  std::string weight_name(const std::string& name) const { return writer.origin() + "/" + name; }
  void set(OnnxValue value) { outputs.push_back(std::move(value)); }
  void set(std::string name) { outputs.push_back({std::move(name), {}}); }
};

/// Writes a node and sets its outputs; false, having written nothing, where its expansion is to be written instead.
using OnnxWrite = bool (*)(OnnxOpWriter&);
struct OnnxWriteEntry {
  std::string_view op;
  OnnxWrite write;
};
OnnxWrite find_onnx_write(std::string_view op);

// The families: onnx_write_<family>.cpp.
std::span<const OnnxWriteEntry> onnx_write_elementwise();
std::span<const OnnxWriteEntry> onnx_write_tensors();
std::span<const OnnxWriteEntry> onnx_write_layers();
std::span<const OnnxWriteEntry> onnx_write_spatial();
std::span<const OnnxWriteEntry> onnx_write_recurrent();

}  // namespace moru
