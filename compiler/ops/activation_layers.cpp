// Activations that are layers: Activation with any of them, and those that are layers of their own, PReLU with weights.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

// A layer that applies an activation given by its attributes: y = f(x), same shape.
Op activation_layer(std::string_view name, std::string_view class_name, std::string_view doc,
                    std::vector<AttributeSpec> attributes, std::function<AttributeValue(const Attributes&)> activation,
                    std::vector<Example> examples) {
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) -> std::vector<Type> {
        return {{float_dtype(context.inputs[0].dtype), context.inputs[0].shape}};
      },
      .mask = keep_mask,
      .reference = [activation](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor x = inputs[0];
        x.dtype = float_dtype(x.dtype);
        return {activation_reference(std::move(x), activation(a))};
      },
      .expand = [activation](Builder&, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {apply_activation(to_float(inputs[0]), activation(a))};
      },
      .cheap = false,
      .examples = std::move(examples),
  };
}

Op any_activation() {
  Op op = activation_layer(
      "activation", "Activation", "y = activation(x).   x, y: [...]; glu halves the last axis",
      {{.name = "activation", .type = AttributeType::activation}},
      [](const Attributes& a) { return *a.find("activation"); },
      {{.inputs = {{{5, 7}}}, .attributes = {{"activation", "tanh"}}},
       {.inputs = {{{3, 4, 5}}}, .attributes = {{"activation", "softmax"}}},
       {.inputs = {{{3, 17}, -4, 4}}, .attributes = {{"activation", "gelu"}}},
       {.inputs = {{{3, 6}, -4, 4}}, .attributes = {{"activation", "glu"}}},
       {.inputs = {{{3, 17}, -4, 4}},
        .attributes = {{"activation", Attributes{{"class", "ReLU"}, {"max_value", 2.0}, {"threshold", 0.5}}}}},
       {.inputs = {{{2, 3}}}, .attributes = {{"activation", "linear"}}}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Type x{float_dtype(context.inputs[0].dtype), context.inputs[0].shape};
    return {activation_type(context, get_op("activation"), "activation", x)};
  };
  return op;
}

// The axes that sum to 1 together, from the front.
std::vector<size_t> softmax_axes(const Attributes& a, size_t rank) {
  std::vector<size_t> axes;
  for (int64_t axis : a.integers("axis")) axes.push_back(normalized_axis(axis, rank));
  std::sort(axes.begin(), axes.end());
  return axes;
}

constexpr double masked_away = -1e9;  // what Keras puts in the place of an element that is masked

Op softmax_layer() {
  return {
      .name = "softmax_layer",
      .family = OpFamily::layer,
      .doc = "y = exp(x) / sum of exp(x) along `axis`, -1e9 in place of x where the mask is false.   x, y: [...]",
      .class_name = "Softmax",
      .inputs = {{"x"}, {.name = "mask", .optional = true}},
      .attributes = {{.name = "axis",
                      .type = AttributeType::integers,
                      .default_value = Integers{-1},
                      .doc = "one or several axes that sum to 1 together",
                      .keras_list = KerasList::unwrapped}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("softmax_layer");
        const Type& x = context.inputs[0];
        std::vector<size_t> axes;
        for (int64_t axis : context.attributes.integers("axis"))
          axes.push_back(checked_axis(context, op, axis, x.shape.size()));
        std::sort(axes.begin(), axes.end());
        if (axes.empty() || std::adjacent_find(axes.begin(), axes.end()) != axes.end())
          fail(context, op, axes.empty() ? "axis names no axis" : "axis names an axis twice");
        if (has_input(context, 1)) {
          const Shape& mask = context.inputs[1].shape;
          const std::optional<Shape> wider = broadcast_shapes(context, x.shape, mask);
          if (!wider || !are_equal(context, x.shape, *wider))
            fail(context, op,
                 "its mask " + shape_text(mask) + " does not broadcast to its input " + shape_text(x.shape));
        }
        return {{float_dtype(x.dtype), x.shape}};
      },
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        const std::vector<size_t> axes = softmax_axes(a, y.shape.size());
        std::vector<int64_t> sums_shape = y.shape;
        for (size_t axis : axes) sums_shape[axis] = 1;
        const std::vector<int64_t> strides = strides_of(y.shape), to_sum = broadcast_strides(sums_shape, y.shape);
        const HostTensor* mask = find_input(inputs, 1);
        const std::vector<int64_t> to_mask = mask ? broadcast_strides(mask->shape, y.shape) : strides;
        auto offset = [&](size_t i, const std::vector<int64_t>& to) {
          int64_t at = 0;
          for (size_t axis = 0; axis < y.shape.size(); ++axis)
            at += static_cast<int64_t>(i) / strides[axis] % y.shape[axis] * to[axis];
          return static_cast<size_t>(at);
        };
        HostTensor largest = make_tensor(y.dtype, sums_shape, -INFINITY), sums = make_tensor(y.dtype, sums_shape);
        for (size_t i = 0; i < y.data.size(); ++i) {
          if (mask && mask->data[offset(i, to_mask)] == 0.0) y.data[i] = masked_away;
          double& most = largest.data[offset(i, to_sum)];
          most = std::max(most, y.data[i]);
        }
        for (size_t i = 0; i < y.data.size(); ++i)
          sums.data[offset(i, to_sum)] += y.data[i] = std::exp(y.data[i] - largest.data[offset(i, to_sum)]);
        for (size_t i = 0; i < y.data.size(); ++i) y.data[i] /= sums.data[offset(i, to_sum)];
        return {y};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value x = to_float(inputs[0]);
        if (Value mask = find_input(inputs, 1))
          x = b.select(b.cast(mask, DType::boolean), x, b.constant(masked_away, x.type().dtype));
        const std::vector<size_t> among = softmax_axes(a, x.rank());
        const Integers axes(among.begin(), among.end());
        if (axes.size() == 1) return {b.call("softmax", {x}, {{"axis", axes[0]}})};
        const Value e = b.call("exp", {x - b.call("stop_gradient", {b.reduce("reduce_max", x, axes, true)})});
        return {e / b.reduce("reduce_sum", e, axes, true)};
      },
      .examples = {{.inputs = {{{5, 7}}}},
                   {.inputs = {{{3, 4, 5}}}, .attributes = {{"axis", 1}}},
                   {.inputs = {{{3, 4, 5}}}, .attributes = {{"axis", Integers{-1, 1}}}},
                   {.inputs = {{{3, 4, 5}}, {.shape = {3, 1, 5}, .low = 0, .high = 2, .dtype = DType::boolean}}}},
  };
}

// The axes of alpha behind the batch: 1 where they are shared.
template <typename Extent>
std::vector<Extent> alpha_shape(const std::vector<Extent>& x, const Attributes& a) {
  std::vector<Extent> shape(x.begin() + 1, x.end());
  if (a.has("shared_axes"))
    for (int64_t axis : a.integers("shared_axes")) shape[normalized_axis(axis, x.size()) - 1] = Extent(1);
  return shape;
}

Op prelu() {
  return {
      .name = "prelu",
      .family = OpFamily::layer,
      .doc =
          "y = x where x > 0, else alpha * x (He et al. 2015).   x, y: [batch, ...]   alpha: the extents behind the "
          "batch, 1 "
          "where they are shared",
      .class_name = "PReLU",
      .inputs = {{"x"}, {"alpha"}},
      .attributes = {{.name = "alpha_initializer", .type = AttributeType::initializer, .default_value = "zeros"},
                     {.name = "alpha_regularizer", .type = AttributeType::regularizer, .optional = true},
                     {.name = "alpha_constraint", .type = AttributeType::constraint, .optional = true},
                     {.name = "shared_axes",
                      .type = AttributeType::integers,
                      .optional = true,
                      .doc = "axes with one alpha for all their elements, counted from the batch, 0"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("prelu");
        const Type& x = context.inputs[0];
        if (x.shape.size() < 2) fail(context, op, "needs an input [batch, ...] but got " + shape_text(x.shape));
        if (context.attributes.has("shared_axes"))
          for (int64_t axis : context.attributes.integers("shared_axes"))
            if (checked_axis(context, op, axis, x.shape.size()) == 0)
              fail(context, op, "shared_axes name axis 0, the batch, which always shares");
        for (const Dim& extent : alpha_shape(x.shape, context.attributes))
          if (!extent.is_constant())
            fail(context, op, "needs known extents on the axes that it does not share but got " + shape_text(x.shape),
                 "name the open axes in shared_axes");
        check_parameters(context, op);
        return {{float_dtype(x.dtype), x.shape}};
      },
      .parameters = [](const OpContext& context) -> std::vector<ParameterSpec> {
        const Attributes& a = context.attributes;
        return {{.name = "alpha",
                 .shape = alpha_shape(context.inputs[0].shape, a),
                 .initializer = initializer_of(a, "alpha_initializer"),
                 .regularizer = regularizer_of(a, "alpha_regularizer")}};
      },
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        const std::vector<int64_t> strides = strides_of(y.shape),
                                   to_alpha = broadcast_strides(inputs[1].shape, y.shape);
        for (size_t i = 0; i < y.data.size(); ++i) {
          int64_t at = 0;
          for (size_t axis = 0; axis < y.shape.size(); ++axis)
            at += static_cast<int64_t>(i) / strides[axis] % y.shape[axis] * to_alpha[axis];
          if (y.data[i] < 0.0) y.data[i] *= inputs[1].data[static_cast<size_t>(at)];
        }
        return {y};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        const Value x = to_float(inputs[0]);
        const Value above = b.call("greater", {x, b.constant(0.0, x.type().dtype)});
        return {b.select(above, x, x * inputs[1])};
      },
      .examples = {{.inputs = {{{5, 7}}}},
                   {.inputs = {{{2, 3, 4, 5}}}, .attributes = {{"shared_axes", Integers{1, 2}}}},
                   {.inputs = {{{3, 4, 17}}}, .attributes = {{"shared_axes", Integers{-2}}}}},
  };
}

}  // namespace

std::vector<Op> activation_layer_ops() {
  std::vector<Op> ops;
  ops.push_back(any_activation());
  ops.push_back(activation_layer(
      "relu_layer", "ReLU",
      "y = x where x > threshold, at most max_value, else negative_slope * (x - threshold).   x, y: [...]",
      {{.name = "max_value", .type = AttributeType::real, .optional = true, .least = 0},
       {.name = "negative_slope", .type = AttributeType::real, .default_value = 0.0, .least = 0},
       {.name = "threshold", .type = AttributeType::real, .default_value = 0.0, .least = 0}},
      [](const Attributes& a) {
        Attributes relu = a;
        relu.set("class", "relu");
        return AttributeValue(relu);
      },
      {{.inputs = {{{5, 7}}}},
       {.inputs = {{{3, 17}, -4, 4}}, .attributes = {{"max_value", 2.0}, {"negative_slope", 0.1}}},
       {.inputs = {{{4, 9}, -2, 2}}, .attributes = {{"threshold", 0.5}}}}));
  ops.push_back(activation_layer(
      "leaky_relu_layer", "LeakyReLU", "y = x where x >= 0, else negative_slope * x.   x, y: [...]",
      {{.name = "negative_slope", .type = AttributeType::real, .default_value = 0.3, .least = 0}},
      [](const Attributes& a) {
        return AttributeValue(Attributes{{"class", "leaky_relu"}, {"negative_slope", a.real("negative_slope")}});
      },
      {{.inputs = {{{5, 7}}}}, {.inputs = {{{3, 17}, -4, 4}}, .attributes = {{"negative_slope", 0.05}}}}));
  ops.push_back(
      activation_layer("elu_layer", "ELU", "y = x where x > 0, else alpha * (exp(x) - 1).   x, y: [...]",
                       {{.name = "alpha", .type = AttributeType::real, .default_value = 1.0, .least = 0}},
                       [](const Attributes& a) {
                         return AttributeValue(Attributes{{"class", "elu"}, {"alpha", a.real("alpha")}});
                       },
                       {{.inputs = {{{5, 7}}}}, {.inputs = {{{3, 17}, -4, 4}}, .attributes = {{"alpha", 0.5}}}}));
  ops.push_back(softmax_layer());
  ops.push_back(prelu());
  return ops;
}

}  // namespace moru
