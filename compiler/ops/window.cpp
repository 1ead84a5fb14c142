// Windows along an axis: what convolutions and pooling are made of. `window` is a view, so that a convolution is a
// contraction that reads its input in place; `window_sum` is its adjoint.
#include "compiler/ops/infer.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Attrs = const Attributes&;
using Tensors = std::vector<HostTensor>;
using Integers = std::vector<int64_t>;

std::vector<AttributeSpec> step_attributes() {
  return {
      {.name = "axis", .type = AttributeType::integer, .default_value = 0, .doc = "negative ones count from the end"},
      {.name = "stride",
       .type = AttributeType::integer,
       .default_value = 1,
       .least = 1.0,
       .doc = "from window to window"},
      {.name = "dilation",
       .type = AttributeType::integer,
       .default_value = 1,
       .least = 1.0,
       .doc = "from element to element of a window"}};
}

Op window_op() {
  Op op;
  op.name = "window";
  op.family = OpFamily::shape;
  op.doc =
      "y[..., i, j, ...] = x[..., i*stride + j*dilation, ...]: `axis` becomes two, the windows (`count` of them) and "
      "the elements of a window (`size`)";
  op.inputs = {{.name = "x"}};
  op.attributes = step_attributes();
  op.attributes.push_back({.name = "count", .type = AttributeType::shape, .doc = "one dimension"});
  op.attributes.push_back({.name = "size", .type = AttributeType::integer, .least = 1.0});
  op.cheap = true;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    Type y = context.inputs[0];
    Attrs a = context.attributes;
    const size_t axis = check_axis(context, "window", a.integer("axis"), y.shape.size());
    const Dim count = dim_attribute(context, "window", "count");
    check_extents(context, "window", {count}, "count");
    const int64_t size = a.integer("size");
    const Dim behind = y.shape[axis] - (count - 1) * a.integer("stride") - (size - 1) * a.integer("dilation") - 1;
    if (behind.is_constant() && behind.constant() < 0)
      refuse(context, "window",
             count.text() + " windows of " + std::to_string(size) + " do not fit axis " + std::to_string(axis) +
                 " of " + shape_text(y.shape));
    y.shape[axis] = count;
    y.shape.insert(y.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, size);
    return {std::move(y)};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs a) {
    const HostTensor& x = inputs[0];
    const size_t axis = normalized_axis(a.integer("axis"), x.shape.size());
    const auto behind = static_cast<std::ptrdiff_t>(axis) + 1;
    Integers shape = x.shape, strides = strides_of(x.shape);
    shape[axis] = a.shape("count")[0].constant();
    shape.insert(shape.begin() + behind, a.integer("size"));
    strides.insert(strides.begin() + behind, strides[axis] * a.integer("dilation"));
    strides[axis] *= a.integer("stride");
    HostTensor y = make_tensor(x.dtype, shape);
    copy_strided(shape, y, 0, strides_of(shape), x, 0, strides);
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const Value x = context.inputs[0];
    const size_t axis = normalized_axis(context.attributes.integer("axis"), x.rank());
    return {context.builder.call("window_sum", {context.output_gradients[0]},
                                 {{"axis", static_cast<int64_t>(axis)},
                                  {"stride", context.attributes.integer("stride")},
                                  {"dilation", context.attributes.integer("dilation")},
                                  {"extent", Shape{x.shape()[axis]}}})};
  };
  auto example = [](Integers shape, int axis, int64_t count, int64_t size, int64_t stride, int64_t dilation) {
    return Example{
        .inputs = {{.shape = std::move(shape)}},
        .attributes = {
            {"axis", axis}, {"count", Shape{count}}, {"size", size}, {"stride", stride}, {"dilation", dilation}}};
  };
  op.examples = {example({2, 7, 3}, 1, 5, 3, 1, 1), example({2, 9, 17}, 1, 4, 2, 2, 1), example({11}, 0, 3, 3, 2, 3),
                 example({3, 10}, -1, 3, 2, 4, 1), example({2, 5}, 1, 5, 1, 1, 1)};
  return op;
}

Op window_sum_op() {
  Op op;
  op.name = "window_sum";
  op.family = OpFamily::shape;
  op.doc =
      "y[..., p, ...] = sum of x[..., i, j, ...] over all i*stride + j*dilation = p, in row-major order of x: `axis` "
      "and the one behind it become one of extent `extent`";
  op.inputs = {{.name = "x"}};
  op.attributes = step_attributes();
  op.attributes.push_back({.name = "extent", .type = AttributeType::shape, .doc = "one dimension"});
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "window_sum", 0, Accepts::numbers);
    Type y = context.inputs[0];
    Attrs a = context.attributes;
    if (y.shape.size() < 2) refuse(context, "window_sum", "needs at least two axes but got " + type_text(y));
    const size_t axis = check_axis(context, "window_sum", a.integer("axis"), y.shape.size() - 1);
    const Dim extent = dim_attribute(context, "window_sum", "extent");
    check_extents(context, "window_sum", {extent}, "extent");
    const Dim behind =
        extent - (y.shape[axis] - 1) * a.integer("stride") - (y.shape[axis + 1] - 1) * a.integer("dilation") - 1;
    if (behind.is_constant() && behind.constant() < 0)
      refuse(context, "window_sum",
             "the windows of " + shape_text(y.shape) + " reach beyond the extent " + extent.text());
    y.shape[axis] = extent;
    y.shape.erase(y.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
    return {std::move(y)};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs a) {
    const HostTensor& x = inputs[0];
    const size_t axis = normalized_axis(a.integer("axis"), x.shape.size() - 1);
    Integers shape = x.shape;
    shape[axis] = a.shape("extent")[0].constant();
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
    HostTensor y = make_tensor(x.dtype, shape);
    Integers strides = strides_of(shape);
    const int64_t step = strides[axis];
    strides[axis] = step * a.integer("stride");
    strides.insert(strides.begin() + static_cast<std::ptrdiff_t>(axis) + 1, step * a.integer("dilation"));
    for_each_row<2>(x.shape, {strides, strides_of(x.shape)}, [&](auto at, int64_t count, auto steps) {
      for (int64_t i = 0; i < count; ++i)
        y.data[static_cast<size_t>(at[0] + i * steps[0])] += x.data[static_cast<size_t>(at[1] + i * steps[1])];
    });
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const Shape& x = context.inputs[0].shape();
    const size_t axis = normalized_axis(context.attributes.integer("axis"), x.size() - 1);
    return {context.builder.call("window", {context.output_gradients[0]},
                                 {{"axis", static_cast<int64_t>(axis)},
                                  {"stride", context.attributes.integer("stride")},
                                  {"dilation", context.attributes.integer("dilation")},
                                  {"count", Shape{x[axis]}},
                                  {"size", x[axis + 1].constant()}})};
  };
  auto example = [](Integers shape, int axis, int64_t extent, int64_t stride, int64_t dilation) {
    return Example{
        .inputs = {{.shape = std::move(shape)}},
        .attributes = {{"axis", axis}, {"extent", Shape{extent}}, {"stride", stride}, {"dilation", dilation}}};
  };
  op.examples = {example({2, 5, 3, 3}, 1, 7, 1, 1), example({2, 4, 2, 17}, 1, 9, 2, 1), example({3, 3}, 0, 11, 2, 3),
                 example({3, 3, 2}, 1, 10, 4, 1), example({2, 17, 3}, 1, 19, 1, 1)};
  return op;
}

}  // namespace

std::vector<Op> window_ops() { return {window_op(), window_sum_op()}; }

}  // namespace moru
