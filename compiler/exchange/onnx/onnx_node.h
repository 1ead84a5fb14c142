// OnnxNode: one ONNX node while it is translated. What an operator's builder sees: attributes, inputs as values of the
// graph that is being built or, where a shape depends on them, as numbers; and where it puts its outputs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/exchange/onnx/onnx_tensor.h"
#include "compiler/ir/builder.h"

namespace onnx {
class NodeProto;
class AttributeProto;
class GraphProto;
}  // namespace onnx

namespace moru {

class OnnxGraph;  // onnx_graph.h

/// The type in which values of an element type are computed: f16 in f32, u8 in i32; most types in themselves.
inline DType compute_dtype(ElementType type) { return type.dtype; }

class OnnxNode {
 public:
  OnnxNode(OnnxGraph& graph, const onnx::NodeProto& proto, std::vector<uint32_t> inputs, int64_t version,
           std::string name);
  OnnxNode(const OnnxNode&) = delete;
  OnnxNode& operator=(const OnnxNode&) = delete;

  const std::string& name() const { return name_; }  // for people; unique in the model
  const std::string& op_type() const;
  int64_t version() const { return version_; }  // of the operator set
  Builder& builder() { return builder_; }

  // Attributes.
  bool has(std::string_view attribute) const;
  int64_t integer(std::string_view attribute, std::optional<int64_t> otherwise = {}) const;
  double real(std::string_view attribute, std::optional<double> otherwise = {}) const;
  std::string string(std::string_view attribute, std::optional<std::string> otherwise = {}) const;
  /// The attribute, by default the first of the choices; fails where it is none of them.
  std::string choice(std::string_view attribute, std::initializer_list<std::string_view> choices) const;
  std::vector<int64_t> integers(std::string_view attribute, std::optional<std::vector<int64_t>> otherwise = {}) const;
  std::vector<double> reals(std::string_view attribute) const;
  std::vector<std::string> strings(std::string_view attribute) const;
  OnnxTensor tensor(std::string_view attribute) const;

  // Inputs.
  size_t inputs() const { return inputs_.size(); }
  bool has_input(size_t index) const;
  const Type& type(size_t index) const;
  size_t rank(size_t index) const { return type(index).shape.size(); }
  ElementType dtype(size_t index) const;
  /// The input, as it is.
  Value raw(size_t index);
  /// A value of the model that need not be an input of the node.
  Value read(uint32_t id);
  /// The input's weights are statistics, which training leaves alone.
  void freeze(size_t index) {
    if (has_input(index)) frozen_.push_back(inputs_[index]);
  }
  /// The input, in the type that it is computed in.
  Value in(size_t index);
  /// The input's value where it is known when compiling, else null.
  Known known(size_t index) const;
  /// The input's value where it is a constant of the model that is no weight.
  Known constant_input(size_t index) const;
  /// As `known`, but fails where it is not, since the shape of the result depends on it.
  Known need(size_t index) const;
  std::vector<int64_t> need_integers(size_t index) const;  // constant ones
  Shape need_dims(size_t index) const;
  Dim need_dim(size_t index) const;  // one
  double need_number(size_t index) const;

  // Outputs.
  size_t outputs() const;
  bool wants(size_t index) const;  // is there, and has a name
  /// `value` is output `index`, in the element type of input 0 where that is computed in the type of `value`.
  void set(size_t index, Value value);
  void set_as(size_t index, Value value, ElementType type);
  /// `value` rounded to a narrow type, held in a wider one. Where no other rule is given, set_as does it.
  Value narrowed(Value value, Narrow narrow, NarrowRule rule = {});
  void set_known(size_t index, Known value);

  /// axis counted from the front; fails where `rank` has none such.
  int64_t axis(int64_t axis, size_t rank) const;
  std::vector<int64_t> axes(std::vector<int64_t> axes, size_t rank) const;
  Value constant(double number, DType dtype = DType::f32) { return builder_.constant(number, dtype); }
  /// A tensor of the graph with these values: a parameter that is not trained where they differ.
  Value table(Known values, const std::string& name = "table");
  /// A known value as a value of the graph.
  Value materialize(const KnownValue& value);

  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const;

 private:
  friend class OnnxGraph;
  OnnxGraph& graph_;
  const onnx::NodeProto& proto_;
  std::vector<uint32_t> inputs_;  // values of the OnnxGraph; UINT32_MAX where absent
  int64_t version_;
  std::string name_;
  Graph body_;
  Builder builder_;

  struct Output {
    Value value;
    Known known;
    Narrow narrow = Narrow::none;
  };
  std::vector<Output> outputs_;
  struct Table {
    std::string name;
    Known values;
    Value value;
  };
  std::map<uint32_t, Value> read_;  // tensors and parameters, by value of the OnnxGraph
  std::vector<uint32_t> read_order_, frozen_;
  std::vector<Table> tables_;
  bool is_original_ = true;  // stands in the file as it is, and can be written so

  const onnx::AttributeProto* find(std::string_view attribute) const;
  bool holds_narrow(const Value& value, Narrow narrow) const;
};

using OnnxBuild = void (*)(OnnxNode&);

/// An operator from a version of its operator set on, up to the next entry of its name.
struct OnnxOp {
  std::string_view type;
  int64_t since = 1;
  OnnxBuild build = nullptr;
  std::string_view domain = "";
};

/// The entry for an operator at a version; null where there is none.
const OnnxOp* find_onnx_op(std::string_view domain, std::string_view type, int64_t version);
std::vector<const OnnxOp*> all_onnx_ops();

// The families: onnx_ops_<family>.cpp.
std::span<const OnnxOp> onnx_elementwise_ops();
std::span<const OnnxOp> onnx_shape_ops();
std::span<const OnnxOp> onnx_contraction_ops();
std::span<const OnnxOp> onnx_reduction_ops();
std::span<const OnnxOp> onnx_indexing_ops();
std::span<const OnnxOp> onnx_window_ops();
std::span<const OnnxOp> onnx_normalization_ops();
std::span<const OnnxOp> onnx_recurrent_ops();
std::span<const OnnxOp> onnx_loss_ops();
std::span<const OnnxOp> onnx_attention_ops();
std::span<const OnnxOp> onnx_resize_ops();
std::span<const OnnxOp> onnx_training_ops();
std::span<const OnnxOp> onnx_selection_ops();
std::span<const OnnxOp> onnx_quantization_ops();
std::span<const OnnxOp> onnx_image_ops();
std::span<const OnnxOp> onnx_region_ops();
std::span<const OnnxOp> onnx_signal_ops();
std::span<const OnnxOp> onnx_random_ops();
std::span<const OnnxOp> onnx_text_ops();
std::span<const OnnxOp> onnx_ml_ops();

}  // namespace moru
