// OnnxGraph: an ONNX graph while it is turned into a Model. It knows the values by name, translates node after node by
// the operators' builders, and finds out which values are known when compiling.
#pragma once

#include <onnx/onnx_pb.h>

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

class OnnxGraph {
 public:
  OnnxGraph(const onnx::ModelProto& proto, std::string path, const OnnxImportOptions& options);

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
  };
  const Value& value(uint32_t id) const { return values_[id]; }
  /// The value's numbers where they follow from constants and bound inputs; null where they do not.
  Known find_known(uint32_t id, int depth = 0);
  /// How the layer that reads an initializer gets it: as a parameter of its own, or from a layer that holds it.
  bool owns_initializer(uint32_t id) const;
  /// Gives an initializer that several layers read a layer of its own.
  void make_parameter_layer(uint32_t id);
  std::vector<std::byte> initializer_bytes(uint32_t id) const;
  const std::string& folder() const { return folder_; }
  OnnxNode::Body translate_body(const onnx::GraphProto& body, const OnnxNode& node, std::span<const Type> types,
                                std::span<const Narrow> narrow);

 private:
  using Scope = std::map<std::string, uint32_t>;
  struct Step {  // of a translated node: how its values are computed, for find_known
    std::shared_ptr<const Graph> body;
    std::vector<uint32_t> tensors;
    std::vector<Parameter> parameters;
  };

  const onnx::ModelProto& proto_;
  std::string path_, folder_;
  const OnnxImportOptions& options_;
  Model model_;
  std::vector<Value> values_;
  std::map<std::string, int> uses_;  // of initializers
  std::vector<Step> steps_;
  std::set<std::string> layer_names_;
  std::deque<onnx::NodeProto> expanded_;  // nodes of functions, with the call's attributes
  int symbols_ = 0;
  size_t translated_ = 0;
  int depth_ = 0;  // of this graph among bodies

  std::map<std::string, int64_t> versions(
      const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& sets) const;
  const onnx::FunctionProto* find_function(const onnx::NodeProto& node) const;
  void check_operators() const;
  void count_uses();
  std::string unique_name(std::string wanted, const std::string& class_name);
  Type input_type(const onnx::ValueInfoProto& info, Narrow& narrow);
  void add_inputs(Scope& scope);
  uint32_t add_value(Value value);
  void translate_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, Scope& scope,
                       const std::map<std::string, int64_t>& sets, const std::string& prefix, int depth);
  void translate_node(const onnx::NodeProto& node, Scope& scope, const std::map<std::string, int64_t>& sets,
                      const std::string& prefix, int depth);
  void call_function(const onnx::FunctionProto& function, const onnx::NodeProto& node, Scope& scope,
                     const std::string& prefix, int depth);
  void take_branch(const onnx::NodeProto& node, Scope& scope, const std::map<std::string, int64_t>& sets,
                   const std::string& prefix, int depth);
  void build_gradient(OnnxNode& node, const Scope& scope);
  void finish(OnnxNode& node, Scope& scope);
  AttributeValue record_node(const OnnxNode& node, const std::vector<uint32_t>& tensors,
                             const std::map<uint32_t, std::string>& weights, const std::vector<uint32_t>& outputs);
  bool fold(const OnnxNode& node, const Graph& body);
  void add_layer(Layer layer, std::vector<TensorRef> inputs, const std::vector<uint32_t>& outputs);
  TensorRef ref_of_output(uint32_t id, const std::string& name);
  void prune();
};

}  // namespace moru
