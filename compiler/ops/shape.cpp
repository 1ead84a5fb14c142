// Ops that move elements without computing: all of them are views or copies with strides.
#include <algorithm>

#include "compiler/ops/infer.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/support/dim_bounds.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Attrs = const Attributes&;
using Tensors = std::vector<HostTensor>;

AttributeSpec axis_attribute() {
  return {
      .name = "axis", .type = AttributeType::integer, .default_value = 0, .doc = "negative ones count from the end"};
}

Op shape_op(std::string_view name, std::string_view doc, std::vector<AttributeSpec> attributes) {
  Op op;
  op.name = name;
  op.family = OpFamily::shape;
  op.doc = doc;
  op.inputs = {{.name = "x"}};
  op.attributes = std::move(attributes);
  op.cheap = true;
  return op;
}

HostTensor copy_of_part(const HostTensor& x, size_t axis, int64_t begin, int64_t size) {
  std::vector<int64_t> shape = x.shape;
  shape[axis] = size;
  HostTensor y = make_tensor(x.dtype, shape);
  const std::vector<int64_t> strides = strides_of(x.shape);
  copy_strided(shape, y, 0, strides_of(shape), x, begin * strides[axis], strides);
  return y;
}

Op reshape_op() {
  Op op = shape_op("reshape", "y = the elements of x, in row-major order, in another shape of the same element count",
                   {{.name = "shape", .type = AttributeType::shape}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Type& x = context.inputs[0];
    const Shape& shape = context.attributes.shape("shape");
    check_extents(context, "reshape", shape, "shape");
    if (element_count(x.shape) != element_count(shape)) {
      if (const auto factor = find_unequal_factor(element_count(x.shape), element_count(shape))) are_equal(context, factor->first, factor->second);
      refuse(context, "reshape",
             "cannot give " + shape_text(x.shape) + " the shape " + shape_text(shape) + ": " +
                 element_count(x.shape).text() + " elements are not " + element_count(shape).text());
    }
    return {{x.dtype, shape}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    HostTensor y = inputs[0];
    y.shape = constant_shape(attributes.shape("shape"));
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    return {context.builder.reshape(context.output_gradients[0], context.inputs[0].shape())};
  };
  auto example = [](std::vector<int64_t> from, Shape to) {
    return Example{.inputs = {{.shape = std::move(from)}}, .attributes = {{"shape", std::move(to)}}};
  };
  op.examples = {example({7, 33}, {33, 7}), example({2, 3, 5}, {6, 5}), example({12}, {2, 1, 6}), example({}, {1, 1}),
                 example({1}, {})};
  return op;
}

Op ensure_shape_op() {
  Op op = shape_op("ensure_shape",
                   "y = x, whose extents are said in another way: a run in which one of them is not that of `shape` is refused.  "
                   "After tf.ensure_shape",
                   {{.name = "shape", .type = AttributeType::shape}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Type& x = context.inputs[0];
    const Shape& shape = context.attributes.shape("shape");
    check_extents(context, "ensure_shape", shape, "shape");
    bool can_be = shape.size() == x.shape.size();
    for (size_t i = 0; can_be && i < shape.size(); ++i) can_be = can_be_equal(x.shape[i], shape[i]);
    if (!can_be) refuse(context, "ensure_shape", "wants " + shape_text(shape) + " but got " + shape_text(x.shape));
    return {{x.dtype, shape}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const std::vector<int64_t> wanted = constant_shape(attributes.shape("shape"));
    if (inputs[0].shape != wanted)
      throw CompileError({.stage = "interpret", .op = "ensure_shape", .what = "wants " + shape_text(wanted) + " but got " + shape_text(inputs[0].shape), .hint = "choose sizes of the inputs that fit"});
    return Tensors{inputs[0]};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    return {context.builder.call("ensure_shape", {context.output_gradients[0]}, {{"shape", context.inputs[0].shape()}})};
  };
  op.examples = {{.inputs = {{.shape = {7, 33}}}, .attributes = {{"shape", Shape{7, 33}}}}, {.inputs = {{.shape = {}}}, .attributes = {{"shape", Shape{}}}}};
  return op;
}

Op transpose_op() {
  Op op = shape_op("transpose", "y[i_p0, i_p1, ...] = x[i_0, i_1, ...]: axis k of y is axis permutation[k] of x",
                   {{.name = "permutation", .type = AttributeType::integers, .least = 0.0}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Type& x = context.inputs[0];
    const std::vector<int64_t>& permutation = context.attributes.integers("permutation");
    if (permutation.size() != x.shape.size())
      refuse(context, "transpose",
             "attribute 'permutation' names " + std::to_string(permutation.size()) + " axes but x is " + type_text(x));
    check_axes(context, "transpose", permutation, x.shape.size());
    Shape shape;
    for (int64_t axis : permutation) shape.push_back(x.shape[static_cast<size_t>(axis)]);
    return {{x.dtype, std::move(shape)}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const HostTensor& x = inputs[0];
    const std::vector<int64_t> x_strides = strides_of(x.shape);
    std::vector<int64_t> shape, strides;
    for (int64_t axis : attributes.integers("permutation")) {
      shape.push_back(x.shape[static_cast<size_t>(axis)]);
      strides.push_back(x_strides[static_cast<size_t>(axis)]);
    }
    HostTensor y = make_tensor(x.dtype, shape);
    copy_strided(shape, y, 0, strides_of(shape), x, 0, strides);
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const std::vector<int64_t>& permutation = context.attributes.integers("permutation");
    std::vector<int64_t> inverse(permutation.size());
    for (size_t axis = 0; axis < permutation.size(); ++axis)
      inverse[static_cast<size_t>(permutation[axis])] = static_cast<int64_t>(axis);
    return {context.builder.transpose(context.output_gradients[0], std::move(inverse))};
  };
  auto example = [](std::vector<int64_t> shape, std::vector<int64_t> permutation) {
    return Example{.inputs = {{.shape = std::move(shape)}}, .attributes = {{"permutation", std::move(permutation)}}};
  };
  op.examples = {example({7, 33}, {1, 0}), example({2, 3, 5}, {2, 0, 1}), example({2, 3, 4, 5}, {0, 2, 1, 3}),
                 example({6}, {0}), example({3, 1}, {1, 0})};
  return op;
}

Op pack_op() {
  Op op = transpose_op();
  op.name = "pack";
  op.doc = "transpose, stored: y lies in memory in the order of its axes, whatever the layout of x";
  op.gradient = {};
  op.differentiable = false;  // made after differentiation, by choose_layouts
  for (Example& example : op.examples) example.differentiable = false;
  return op;
}

Op slice_op() {
  Op op = shape_op("slice", "y = x[..., begin : begin + size, ...] along `axis`",
                   {axis_attribute(),
                    {.name = "begin", .type = AttributeType::shape, .doc = "one dimension"},
                    {.name = "size", .type = AttributeType::shape, .doc = "one dimension"}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    Type y = context.inputs[0];
    const size_t axis = check_axis(context, "slice", context.attributes.integer("axis"), y.shape.size());
    const Dim begin = dim_attribute(context, "slice", "begin");
    const Dim size = dim_attribute(context, "slice", "size");
    check_extents(context, "slice", {begin}, "begin");
    check_extents(context, "slice", {size}, "size");
    const Dim behind = y.shape[axis] - begin - size;
    if (behind.is_constant() && behind.constant() < 0)
      refuse(context, "slice",
             "elements " + begin.text() + " to " + (begin + size).text() + " (not included) along axis " +
                 std::to_string(axis) + " lie outside " + shape_text(y.shape));
    y.shape[axis] = size;
    return {std::move(y)};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const size_t axis = normalized_axis(attributes.integer("axis"), inputs[0].shape.size());
    return Tensors{
        copy_of_part(inputs[0], axis, attributes.shape("begin")[0].constant(), attributes.shape("size")[0].constant())};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const Value x = context.inputs[0];
    const size_t axis = normalized_axis(context.attributes.integer("axis"), x.rank());
    const Dim before = context.attributes.shape("begin")[0];
    const Dim after = x.shape()[axis] - before - context.attributes.shape("size")[0];
    if (before.is_constant(0) && after.is_constant(0)) return {context.output_gradients[0]};
    return {context.builder.call(
        "pad", {context.output_gradients[0]},
        {{"axis", static_cast<int64_t>(axis)}, {"before", Shape{before}}, {"after", Shape{after}}})};
  };
  auto example = [](std::vector<int64_t> shape, int axis, int64_t begin, int64_t size) {
    return Example{.inputs = {{.shape = std::move(shape)}},
                   .attributes = {{"axis", axis}, {"begin", Shape{begin}}, {"size", Shape{size}}}};
  };
  op.examples = {example({7, 33}, 1, 3, 17), example({7, 33}, 0, 6, 1), example({5}, 0, 0, 5),
                 example({2, 6, 3}, -2, 2, 3), example({4, 5}, -1, 4, 1)};
  return op;
}

Op split_op() {
  Op op = shape_op("split", "y_k = the k-th part of x along `axis`, of extent sizes[k]; the sizes add up to the extent",
                   {axis_attribute(), {.name = "sizes", .type = AttributeType::integers, .least = 0.0}});
  op.infer = [](const OpContext& context) {
    const Type& x = context.inputs[0];
    const size_t axis = check_axis(context, "split", context.attributes.integer("axis"), x.shape.size());
    int64_t sum = 0;
    std::vector<Type> types;
    for (int64_t size : context.attributes.integers("sizes")) {
      sum += size;
      types.push_back(x);
      types.back().shape[axis] = size;
    }
    if (!x.shape[axis].is_constant(sum))
      refuse(context, "split",
             "the sizes add up to " + std::to_string(sum) + " but axis " + std::to_string(axis) + " of " +
                 shape_text(x.shape) + " is " + x.shape[axis].text());
    return types;
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const size_t axis = normalized_axis(attributes.integer("axis"), inputs[0].shape.size());
    Tensors parts;
    int64_t begin = 0;
    for (int64_t size : attributes.integers("sizes")) {
      parts.push_back(copy_of_part(inputs[0], axis, begin, size));
      begin += size;
    }
    return parts;
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    std::vector<Value> parts;
    for (size_t i = 0; i < context.outputs.size(); ++i) {
      const Type type = context.outputs[i].type();
      const Value dy = context.output_gradients[i];
      parts.push_back(dy ? dy : context.builder.fill(0.0, type.shape, type.dtype));
    }
    const auto axis =
        static_cast<int64_t>(normalized_axis(context.attributes.integer("axis"), context.inputs[0].rank()));
    return {context.builder.concat(parts, axis)};
  };
  auto example = [](std::vector<int64_t> shape, int axis, std::vector<int64_t> sizes) {
    return Example{.inputs = {{.shape = std::move(shape)}},
                   .attributes = {{"axis", axis}, {"sizes", std::move(sizes)}}};
  };
  op.examples = {example({7, 33}, 1, {16, 17}), example({7, 33}, 0, {1, 2, 4}), example({5}, 0, {5}),
                 example({2, 8, 3}, -2, {2, 2, 2, 2})};
  return op;
}

Op concat_op() {
  Op op = shape_op("concat", "y = the inputs one after the other along `axis`; all other extents are equal",
                   {axis_attribute()});
  op.inputs = {{.name = "parts", .variadic = true}};
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    Type y = context.inputs[0];
    const size_t axis = check_axis(context, "concat", context.attributes.integer("axis"), y.shape.size());
    for (size_t i = 1; i < context.inputs.size(); ++i) {
      const Type& part = context.inputs[i];
      bool fits = part.dtype == y.dtype && part.shape.size() == y.shape.size();
      for (size_t k = 0; fits && k < y.shape.size(); ++k) fits = k == axis || are_equal(context, y.shape[k], part.shape[k]);
      if (!fits)
        refuse(context, "concat",
               "cannot join " + type_text(context.inputs[0]) + " and " + type_text(part) + " along axis " +
                   std::to_string(axis),
               "element types and all extents but that of axis " + std::to_string(axis) + " must be equal");
      y.shape[axis] += part.shape[axis];
    }
    return {std::move(y)};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const size_t axis = normalized_axis(attributes.integer("axis"), inputs[0].shape.size());
    std::vector<int64_t> shape = inputs[0].shape;
    for (size_t i = 1; i < inputs.size(); ++i) shape[axis] += inputs[i].shape[axis];
    HostTensor y = make_tensor(inputs[0].dtype, shape);
    const std::vector<int64_t> strides = strides_of(shape);
    int64_t begin = 0;
    for (const HostTensor& part : inputs) {
      copy_strided(part.shape, y, begin * strides[axis], strides, part, 0, strides_of(part.shape));
      begin += part.shape[axis];
    }
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) {
    Builder& b = context.builder;
    const size_t axis = normalized_axis(context.attributes.integer("axis"), context.inputs[0].rank());
    std::vector<Value> gradients;
    Dim begin = 0;
    for (const Value& part : context.inputs) {
      const Dim size = part.shape()[axis];
      gradients.push_back(b.slice(context.output_gradients[0], static_cast<int64_t>(axis), begin, size));
      begin += size;
    }
    return gradients;
  };
  auto example = [](std::vector<std::vector<int64_t>> shapes, int axis) {
    Example result{.inputs = {}, .attributes = {{"axis", axis}}};
    for (std::vector<int64_t>& shape : shapes) result.inputs.push_back({.shape = std::move(shape)});
    return result;
  };
  op.examples = {example({{7, 16}, {7, 17}}, 1), example({{2, 3}, {1, 3}, {4, 3}}, 0), example({{5}}, 0),
                 example({{2, 1, 3}, {2, 4, 3}}, -2), example({{1}, {1}}, -1)};
  return op;
}

Op pad_op() {
  Op op = shape_op("pad", "y = x with `before` elements of `value` in front and `after` behind along `axis`",
                   {axis_attribute(),
                    {.name = "before", .type = AttributeType::shape, .doc = "one dimension"},
                    {.name = "after", .type = AttributeType::shape, .doc = "one dimension"},
                    {.name = "value", .type = AttributeType::real, .default_value = 0.0}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    Type y = context.inputs[0];
    const size_t axis = check_axis(context, "pad", context.attributes.integer("axis"), y.shape.size());
    const Dim before = dim_attribute(context, "pad", "before");
    const Dim after = dim_attribute(context, "pad", "after");
    check_extents(context, "pad", {before}, "before");
    check_extents(context, "pad", {after}, "after");
    y.shape[axis] = before + y.shape[axis] + after;
    return {std::move(y)};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const HostTensor& x = inputs[0];
    const size_t axis = normalized_axis(attributes.integer("axis"), x.shape.size());
    std::vector<int64_t> shape = x.shape;
    const int64_t before = attributes.shape("before")[0].constant();
    shape[axis] += before + attributes.shape("after")[0].constant();
    HostTensor y = make_tensor(x.dtype, shape, attributes.real("value"));
    const std::vector<int64_t> strides = strides_of(shape);
    copy_strided(x.shape, y, before * strides[axis], strides, x, 0, strides_of(x.shape));
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const Value x = context.inputs[0];
    const size_t axis = normalized_axis(context.attributes.integer("axis"), x.rank());
    const Dim size = x.shape()[axis];
    return {context.builder.slice(context.output_gradients[0], static_cast<int64_t>(axis),
                                  context.attributes.shape("before")[0], size)};
  };
  auto example = [](std::vector<int64_t> shape, int axis, int64_t before, int64_t after) {
    return Example{.inputs = {{.shape = std::move(shape)}},
                   .attributes = {{"axis", axis}, {"before", Shape{before}}, {"after", Shape{after}}}};
  };
  op.examples = {example({7, 33}, 1, 2, 3), example({7, 33}, 0, 1, 0), example({5}, -1, 0, 4),
                 example({2, 3, 4}, 1, 1, 1), example({3}, 0, 0, 0)};
  op.examples.push_back(op.examples[0]);
  op.examples.back().attributes.set("value", -3.5);
  return op;
}

Op broadcast_to_op() {
  Op op = shape_op("broadcast_to", "y = x repeated along new leading axes and along its axes of extent 1, numpy's rule",
                   {{.name = "shape", .type = AttributeType::shape}});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Type& x = context.inputs[0];
    const Shape& shape = context.attributes.shape("shape");
    check_extents(context, "broadcast_to", shape, "shape");
    std::optional<Shape> joined = broadcast_shapes(context, x.shape, shape);
    if (!joined || !are_equal(context, shape, *joined))
      refuse(context, "broadcast_to", shape_text(x.shape) + " does not broadcast to " + shape_text(shape));
    return {{x.dtype, shape}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const std::vector<int64_t> shape = constant_shape(attributes.shape("shape"));
    HostTensor y = make_tensor(inputs[0].dtype, shape);
    copy_strided(shape, y, 0, strides_of(shape), inputs[0], 0, broadcast_strides(inputs[0].shape, shape));
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    return {context.builder.sum_to(context.output_gradients[0], context.inputs[0].shape())};
  };
  auto example = [](std::vector<int64_t> from, Shape to) {
    return Example{.inputs = {{.shape = std::move(from)}}, .attributes = {{"shape", std::move(to)}}};
  };
  op.examples = {example({33}, {7, 33}), example({7, 1}, {7, 33}), example({}, {2, 3}),
                 example({2, 1, 4}, {5, 2, 3, 4}), example({3}, {3})};
  return op;
}

Op reverse_op() {
  Op op = shape_op("reverse", "y[..., i, ...] = x[..., n-1-i, ...] along `axis` of extent n", {axis_attribute()});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_axis(context, "reverse", context.attributes.integer("axis"), context.inputs[0].shape.size());
    return {context.inputs[0]};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const HostTensor& x = inputs[0];
    const size_t axis = normalized_axis(attributes.integer("axis"), x.shape.size());
    HostTensor y = make_tensor(x.dtype, x.shape);
    std::vector<int64_t> strides = strides_of(x.shape);
    const int64_t last = (x.shape[axis] - 1) * strides[axis];
    strides[axis] = -strides[axis];
    copy_strided(x.shape, y, 0, strides_of(x.shape), x, last, strides);
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    return {
        context.builder.call("reverse", {context.output_gradients[0]}, {{"axis", context.attributes.integer("axis")}})};
  };
  op.examples = {{.inputs = {{.shape = {7, 33}}}, .attributes = {{"axis", 1}}},
                 {.inputs = {{.shape = {2, 5, 3}}}, .attributes = {{"axis", -2}}},
                 {.inputs = {{.shape = {17}}}, .attributes = {{"axis", 0}}}};
  return op;
}

Op fill_op() {
  Op op = shape_op("fill", "y = `value` everywhere.  y: `shape`",
                   {{.name = "value", .type = AttributeType::real},
                    {.name = "shape", .type = AttributeType::shape},
                    dtype_attribute("f32")});
  op.inputs = {};
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_extents(context, "fill", context.attributes.shape("shape"), "shape");
    return {{dtype_of(context.attributes), context.attributes.shape("shape")}};
  };
  op.reference = [](std::span<const HostTensor>, Attrs attributes) {
    return Tensors{
        make_tensor(dtype_of(attributes), constant_shape(attributes.shape("shape")), attributes.real("value"))};
  };
  op.examples = {{.inputs = {}, .attributes = {{"value", 2.5}, {"shape", Shape{7, 33}}}},
                 {.inputs = {}, .attributes = {{"value", -1.0}, {"shape", Shape{}}, {"dtype", "i64"}}},
                 {.inputs = {}, .attributes = {{"value", 1.0}, {"shape", Shape{5}}, {"dtype", "bool"}}},
                 {.inputs = {}, .attributes = {{"value", 0.1}, {"shape", Shape{1}}, {"dtype", "f64"}}}};
  return op;
}

Op dim_value_op() {
  Op op = shape_op("dim_value", "y = a dimension as a number.  y: []",
                   {{.name = "dim", .type = AttributeType::shape, .doc = "one dimension"}, dtype_attribute("f32")});
  op.inputs = {};
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    dim_attribute(context, "dim_value", "dim");
    return {{dtype_of(context.attributes), {}}};
  };
  op.reference = [](std::span<const HostTensor>, Attrs attributes) {
    const int64_t value = attributes.shape("dim")[0].constant();
    return Tensors{make_tensor(dtype_of(attributes), {}, static_cast<double>(value))};
  };
  op.examples = {{.inputs = {}, .attributes = {{"dim", Shape{24}}}},
                 {.inputs = {}, .attributes = {{"dim", Shape{0}}, {"dtype", "i64"}}}};
  return op;
}

}  // namespace

std::vector<Op> shape_ops() {
  return {reshape_op(), ensure_shape_op(), transpose_op(),    pack_op(),    slice_op(), split_op(),    concat_op(),
          pad_op(),     broadcast_to_op(), reverse_op(), fill_op(),  dim_value_op()};
}

}  // namespace moru
