// Op: everything Moru knows about one operation, in one place. An op is a layer, loss, metric, optimizer update,
// activation or primitive; all are entries of this one type, kept in the file of their family, listed in all_ops.cpp.
//
// An op has `expand` (it is a composite: rewritten into simpler ops before differentiation) or it is a primitive, with
// `gradient` where it is differentiable and, if it is elementwise, `lower`. Primitives that are not elementwise are
// lowered by passes/lowering.h by the shape of their access: lower_groups.cpp (views, reductions, gathers),
// lower_contraction.cpp, lower_control.cpp (loops).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/builder.h"
#include "compiler/ir/graph.h"
#include "compiler/ir/kernels.h"

namespace moru {

/// A tensor of the reference interpreter: every element type is held in doubles (exact for f32, i32, bool and for i64
/// up to 2^53); `round_to(dtype)` after each op makes f32 really f32.
struct HostTensor {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<double> data;
  int64_t elements() const { return static_cast<int64_t>(data.size()); }
};
/// A shape is not checked: the caller knows that no extent is negative and that memory holds the product of all.
HostTensor make_tensor(DType dtype, std::vector<int64_t> shape, double fill = 0.0);
int64_t element_count(std::span<const int64_t> shape);

enum class AttributeType : uint8_t {
  boolean,
  integer,
  real,
  string,
  integers,
  reals,
  strings,
  shape,
  nested,
  initializer,  // nested or a string name: {class="GlorotUniform", ...}
  regularizer,  // nested or none: {class="L2", l2=0.01}
  constraint,   // nested or none: {class="MaxNorm", max_value=2}
  activation,   // the name of an elementwise op or "softmax"
};

/// How Keras writes a list of numbers, where its constructors want another form than a plain list.
enum class KerasList : uint8_t {
  plain,
  pairs,     // four numbers or more in pairs, two to an axis: [[1, 1], [2, 0]]
  open,      // -1 as null: the extent of the input
  unwrapped  // one number alone without its list
};

struct AttributeSpec {
  std::string_view name;
  AttributeType type = AttributeType::integer;
  AttributeValue default_value = {};            // none means: required, unless `optional`
  bool optional = false;                        // none is allowed
  std::vector<std::string_view> choices = {};   // allowed strings
  std::optional<double> least = {}, most = {};  // allowed range of numbers, ends included
  std::string_view doc = {};
  bool internal = false;                        // set by passes/make_entries, no argument of the layer: "training"
  bool of_call = false;                         // in Keras an argument of the layer's call: "use_causal_mask"
  bool recent = false;                          // Keras 3.0 lacks it: written only where it is not its default
  KerasList keras_list = KerasList::plain;
};

struct InputSpec {
  std::string_view name;
  bool optional = false;
  bool variadic = false;   // last input only: one or more
  bool parameter = false;  // a weight that a layer may lack; those that it has are known by their names
  bool keyword = false;    // in Keras an argument of the call of its own, where other tensors come as one list
  std::string_view absent_as = {};  // the input that takes its place where it is left out but a later one is given
};

/// A weight that a layer owns. Layers' ops take them as inputs after the tensors, in this order.
struct ParameterSpec {
  std::string name;            // "kernel", "forward/recurrent_kernel"
  Shape shape;                 // constants only
  AttributeValue initializer;  // as in AttributeType::initializer
  AttributeValue regularizer;  // none or nested {class="L2", l2=0.01}
  bool trainable = true;
  DType dtype = DType::f32;
};

struct OpContext {               // what infer and parameters see
  std::span<const Type> inputs;  // absent optional inputs have dtype f32 and are marked in `present`
  std::span<const bool> present;
  const Attributes& attributes;
  std::span<const Graph> bodies;
  std::string_view node;  // the user's name of the node, for messages
  mutable std::optional<std::pair<Dim, Dim>> unequal = {};  // what are_equal() found to differ: fail() passes it on
};

/// Whether two extents that an op needs to be equal are.
bool are_equal(const OpContext& context, const Dim& a, const Dim& b);
bool are_equal(const OpContext& context, const Shape& a, const Shape& b);

/// Throws the CompileError a user understands: fail(context, "needs ... but got ...", "hint").
[[noreturn]] void fail(const OpContext& context, const Op& op, std::string what, std::string hint = {},
                       std::string detail = {});

struct GradientContext {
  Builder& builder;
  const Attributes& attributes;
  std::span<const Value> inputs;  // of the node
  std::span<const Value> outputs;
  std::span<const Value> output_gradients;  // no_value where no gradient arrives
};

/// A mask says which steps of a tensor are real: bool, of the shape of its tensor's leading axes.
struct MaskContext {
  Builder& builder;
  const Attributes& attributes;
  std::span<const Value> inputs;  // the tensors that the layer is called on
  std::span<const Value> masks;   // of these tensors, or given in the call; no value where there is none
};

struct Example {
  struct Tensor {
    std::vector<int64_t> shape;
    double low = -1.0, high = 1.0;  // uniform random values; integers: low <= v < high
    DType dtype = DType::f32;
    std::vector<double> values = {};  // or exactly these
    bool absent = false;              // an optional input that is left out, before one that is not
  };
  std::vector<Tensor> inputs;  // tensors, then parameters (parameters may be left out: made from
                               // ParameterSpec with random values)
  Attributes attributes = {};
  bool differentiable = true;  // check gradients on this example
};

using ReferenceFn = std::function<std::vector<HostTensor>(std::span<const HostTensor> inputs, const Attributes&)>;

enum class OpFamily : uint8_t {
  elementwise,
  contraction,
  reduction,
  shape,
  indexing,
  random,
  control,  // primitives
  activation,
  layer,
  loss,
  metric,
  optimizer,
  schedule,
  constraint,
  regularizer,  // composites (some activations are elementwise)
};
std::string_view op_family_name(OpFamily family);

struct Op {
  std::string_view name;  // "tanh", "contract", "lstm", "mean_squared_error", "adam_update"
  OpFamily family = OpFamily::elementwise;
  std::string_view doc;              // formula and shapes
  std::string_view class_name = {};  // layers: the Keras class, "LSTM"
  bool takes_trainable = true;       // layers: the constructor of the Keras class has an argument "trainable"
  std::vector<InputSpec> inputs;
  std::vector<AttributeSpec> attributes = {};

  std::function<std::vector<Type>(const OpContext&)> infer;
  std::function<std::vector<ParameterSpec>(const OpContext&)> parameters = {};  // layers with weights

  /// What the layer carries from one call to the next and is no weight (the state of a stateful layer): inputs by name like
  /// parameters, zero before the first call and after the entry `reset_states`. `replaces` names them too.
  std::function<std::vector<ParameterSpec>(const OpContext&)> states = {};
  /// Names of inputs whose new values are the op's last outputs, in this order, behind those that the user sees: what a
  /// layer changes by itself (moving statistics in training, the carry of a stateful layer).
  std::function<std::vector<std::string>(const Attributes&)> replaces = {};
  /// Masks of the outputs, by output, from those of the inputs; what is behind the list has none. Absent: masks end here.
  /// A layer that uses a mask has an input `mask`, or `query_mask` for its input `query`; make_entries fills it.
  std::function<std::vector<Value>(const MaskContext&)> mask = {};

  /// The meaning, by plain loops in doubles. Needs concrete shapes only. Dim-valued attributes were bound before.
  ReferenceFn reference = {};
  /// Elementwise ops: the same for one element.
  std::function<double(std::span<const double>)> scalar = {};

  std::function<std::vector<Value>(Builder&, std::span<const Value> inputs, const Attributes&)> expand = {};

  /// Gradients with respect to the inputs, in order; no_value for none. Written with ordinary ops.
  std::function<std::vector<Value>(const GradientContext&)> gradient = {};
  bool differentiable = true;  // false: its gradient is zero everywhere (comparisons, rounding)

  /// Elementwise ops: the element from the inputs' elements (already converted to the input dtypes).
  std::function<Expr(std::span<const Expr>, const Attributes&)> lower = {};
  /// True where recomputing the value in a backward pass is cheaper than keeping it.
  bool cheap = false;

  std::vector<Example> examples = {};
};

/// All ops, in the order of the families' files.
std::span<const Op> all_ops();
const Op* find_op(std::string_view name);
const Op& get_op(std::string_view name);            // InternalError if there is none
const Op* find_layer(std::string_view class_name);  // by Keras class name

/// Fills in defaults and checks names, types, choices and ranges. Throws CompileError naming node, attribute and
/// remedy.
Attributes check_attributes(const Op& op, Attributes attributes, std::string_view node);

/// Infers the types of a node's outputs after checking the number of inputs. Throws CompileError.
std::vector<Type> infer_node(const Op& op, std::span<const Type> inputs, std::span<const bool> present,
                             const Attributes& attributes, std::span<const Graph> bodies, std::string_view node);

/// The shape two operands broadcast to, numpy's rule; nullopt if they do not. Symbolic extents must be equal or 1.
std::optional<Shape> broadcast_shapes(const Shape& a, const Shape& b);
std::optional<Shape> broadcast_shapes(const OpContext& context, const Shape& a, const Shape& b);

// The families, each of the file of its name; all_ops.cpp concatenates them.
std::vector<Op> elementwise_ops();
std::vector<Op> trigonometry_ops();
std::vector<Op> narrow_ops();
std::vector<Op> activation_ops();
std::vector<Op> contraction_ops();
std::vector<Op> reduction_ops();
std::vector<Op> shape_ops();
std::vector<Op> window_ops();
std::vector<Op> indexing_ops();
std::vector<Op> random_ops();
std::vector<Op> control_ops();
std::vector<Op> dense_ops();
std::vector<Op> activation_layer_ops();
std::vector<Op> merging_ops();
std::vector<Op> convolution_ops();
std::vector<Op> pooling_ops();
std::vector<Op> adaptive_pooling_ops();
std::vector<Op> resizing_ops();
std::vector<Op> einsum_dense_ops();
std::vector<Op> regularization_ops();
std::vector<Op> normalization_ops();
std::vector<Op> preprocessing_ops();
std::vector<Op> augmentation_ops();
std::vector<Op> encoding_ops();
std::vector<Op> attention_ops();
std::vector<Op> multi_head_attention_ops();
std::vector<Op> recurrent_ops();
std::vector<Op> wrapper_ops();
std::vector<Op> loss_ops();
std::vector<Op> metric_ops();
std::vector<Op> optimizer_ops();
std::vector<Op> schedule_ops();
std::vector<Op> constraint_ops();

}  // namespace moru
