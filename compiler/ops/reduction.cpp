#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/ops/infer.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Attrs = const Attributes&;

std::vector<AttributeSpec> reduction_attributes() {
  return {{.name = "axes",
           .type = AttributeType::integers,
           .doc = "the axes that disappear; negative ones count from the end"},
          {.name = "keep_dims",
           .type = AttributeType::boolean,
           .default_value = false,
           .doc = "keep the reduced axes with extent 1"}};
}

Shape reduced_shape(const Shape& shape, const std::vector<int64_t>& axes, bool keep_dims) {
  std::vector<bool> reduced(shape.size(), false);
  for (int64_t axis : axes) reduced[normalized_axis(axis, shape.size())] = true;
  Shape result;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (!reduced[axis])
      result.push_back(shape[axis]);
    else if (keep_dims)
      result.push_back(1);
  }
  return result;
}

std::vector<Type> infer_reduction(const OpContext& context, std::string_view name, Accepts accepts) {
  check_dtype(context, name, 0, accepts);
  const Type& x = context.inputs[0];
  const std::vector<int64_t>& axes = context.attributes.integers("axes");
  check_axes(context, name, axes, x.shape.size());
  return {{x.dtype, reduced_shape(x.shape, axes, context.attributes.boolean("keep_dims"))}};
}

template <typename Combine>
HostTensor reduce(const HostTensor& x, const Attributes& attributes, double identity, Combine combine) {
  std::vector<int64_t> kept = x.shape;
  for (int64_t axis : attributes.integers("axes")) kept[normalized_axis(axis, x.shape.size())] = 1;
  HostTensor y = make_tensor(x.dtype, kept, identity);
  for_each_row<2>(x.shape, {broadcast_strides(kept, x.shape), strides_of(x.shape)},
                  [&](auto at, int64_t count, auto step) {
                    double* to = y.data.data() + at[0];
                    const double* from = x.data.data() + at[1];
                    for (int64_t i = 0; i < count; ++i) to[i * step[0]] = combine(to[i * step[0]], from[i]);
                  });
  Shape shape(x.shape.begin(), x.shape.end());
  y.shape = constant_shape(reduced_shape(shape, attributes.integers("axes"), attributes.boolean("keep_dims")));
  return y;
}

// `value`, of the reduced shape, as it was before: with extents of 1 where axes disappeared.
Value with_kept_dims(Builder& builder, Value value, const Shape& shape, const std::vector<int64_t>& axes) {
  return builder.reshape(value, reduced_shape(shape, axes, true));
}

std::vector<Example> reduction_examples() {
  auto example = [](std::vector<int64_t> shape, std::vector<int64_t> axes, bool keep_dims = false) {
    return Example{.inputs = {{.shape = std::move(shape), .low = -2, .high = 2}},
                   .attributes = {{"axes", std::move(axes)}, {"keep_dims", keep_dims}}};
  };
  return {example({7, 33}, {1}),
          example({7, 33}, {0}),
          example({7, 33}, {-1}, true),
          example({17}, {0}),
          example({1}, {0}, true),
          example({3, 4, 5}, {0, 2}),
          example({3, 4, 5}, {1}, true),
          example({3, 4, 5}, {0, 1, 2}),
          example({5, 1, 3}, {-1, -3}, true),
          example({100}, {0})};
}

Op reduction(std::string_view name, std::string_view doc) {
  Op op;
  op.name = name;
  op.family = OpFamily::reduction;
  op.doc = doc;
  op.inputs = {{.name = "x"}};
  op.attributes = reduction_attributes();
  op.infer = [name](const OpContext& context) { return infer_reduction(context, name, Accepts::numbers); };
  op.examples = reduction_examples();
  op.examples.push_back({.inputs = {{.shape = {4, 5}, .low = -9, .high = 9, .dtype = DType::i32}},
                         .attributes = {{"axes", std::vector<int64_t>{1}}},
                         .differentiable = false});
  return op;
}

Op reduce_sum_op() {
  Op op =
      reduction("reduce_sum", "y = sum of x along `axes`.  x: [...]; y: without these axes, or 1 there with keep_dims");
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    return std::vector<HostTensor>{reduce(inputs[0], attributes, 0.0, [](double a, double b) { return a + b; })};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const Shape shape = context.inputs[0].shape();
    const Value dy =
        with_kept_dims(context.builder, context.output_gradients[0], shape, context.attributes.integers("axes"));
    return {context.builder.broadcast_to(dy, shape)};
  };
  return op;
}

// 1 where x is the first, in row-major order of the reduced axes, that equals the result.
Value first_chosen(Builder& b, Value chosen, const Shape& shape, const std::vector<int64_t>& axes) {
  Value position;
  Dim step = 1;
  std::vector<size_t> reduced;
  for (int64_t axis : axes) reduced.push_back(normalized_axis(axis, shape.size()));
  std::sort(reduced.begin(), reduced.end());
  for (size_t k = reduced.size(); k-- > 0;) {
    Shape line(shape.size(), Dim(1));
    line[reduced[k]] = shape[reduced[k]];
    Value along = b.call("iota", {}, {{"shape", line}, {"axis", static_cast<int64_t>(reduced[k])}}) *
                  b.dim_value(step, DType::i32);
    position = position ? position + along : along;
    step *= shape[reduced[k]];
  }
  position = b.broadcast_to(position, shape);
  const Value candidates = b.select(chosen, position, b.broadcast_to(b.dim_value(step, DType::i32), shape));
  return b.call("equal", {candidates, b.reduce("reduce_min", candidates, axes, true)});
}

// At a tie the gradient is shared evenly, as TensorFlow does in reductions, or goes to the first, as in its pooling.
std::vector<Value> extremum_gradient(const GradientContext& context) {
  Builder& b = context.builder;
  const Value x = context.inputs[0];
  const Shape shape = x.shape();
  const std::vector<int64_t>& axes = context.attributes.integers("axes");
  const Value y = with_kept_dims(b, context.outputs[0], shape, axes);
  const Value dy = with_kept_dims(b, context.output_gradients[0], shape, axes);
  const Value greatest = b.call("equal", {x, y});
  if (context.attributes.has("first") && context.attributes.boolean("first"))
    return {b.cast(first_chosen(b, greatest, shape, axes), x.type().dtype) * dy};
  const Value chosen = b.cast(greatest, x.type().dtype);
  const Value count = b.reduce("reduce_sum", chosen, axes, true);
  return {chosen * (dy / count)};
}

Op reduce_extremum_op(bool greatest) {
  Op op = greatest ? reduction("reduce_max",
                               "y = the greatest x along `axes`, NaN if one is; -infinity (lowest integer) of "
                               "nothing; ties share the gradient.  x: [...]")
                   : reduction("reduce_min",
                               "y = the smallest x along `axes`, NaN if one is; +infinity (highest integer) of "
                               "nothing; ties share the gradient.  x: [...]");
  op.reference = [greatest](std::span<const HostTensor> inputs, Attrs attributes) {
    const DType dtype = inputs[0].dtype;
    double limit = std::numeric_limits<double>::infinity();
    if (is_integer(dtype)) limit = dtype == DType::i32 ? 0x1p31 : 0x1p63;
    if (greatest)
      return std::vector<HostTensor>{
          reduce(inputs[0], attributes, -limit, [](double a, double b) { return std::isnan(a) || a > b ? a : b; })};
    if (dtype == DType::i32) limit -= 1.0;
    return std::vector<HostTensor>{
        reduce(inputs[0], attributes, limit, [](double a, double b) { return std::isnan(a) || a < b ? a : b; })};
  };
  op.attributes.push_back({.name = "first",
                           .type = AttributeType::boolean,
                           .default_value = false,
                           .doc = "of equal ones the first gets the gradient, instead of all a share"});
  op.examples.push_back(
      {.inputs = {{.shape = {3, 4, 5}}}, .attributes = {{"axes", std::vector<int64_t>{0, 2}}, {"first", true}}});
  op.gradient = extremum_gradient;
  return op;
}

Op reduce_mean_op() {
  Op op = reduction("reduce_mean", "y = mean of x along `axes`; NaN of nothing.  x: [...]");
  op.infer = [](const OpContext& context) { return infer_reduction(context, "reduce_mean", Accepts::floats); };
  op.examples = reduction_examples();
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    double count = 1.0;
    for (int64_t axis : attributes.integers("axes"))
      count *= static_cast<double>(inputs[0].shape[normalized_axis(axis, inputs[0].shape.size())]);
    HostTensor y = reduce(inputs[0], attributes, 0.0, [](double a, double b) { return a + b; });
    for (double& value : y.data) value /= count;
    return std::vector<HostTensor>{std::move(y)};
  };
  op.expand = [](Builder& b, std::span<const Value> inputs, Attrs attributes) -> std::vector<Value> {
    const Value x = inputs[0];
    const DType dtype = x.type().dtype;
    Dim count = 1;
    for (int64_t axis : attributes.integers("axes")) count *= x.shape()[normalized_axis(axis, x.rank())];
    const Value sum = b.reduce("reduce_sum", x, attributes.integers("axes"), attributes.boolean("keep_dims"));
    return {sum / (count.is_constant() ? b.constant(static_cast<double>(count.constant()), dtype)
                                       : b.dim_value(count, dtype))};
  };
  return op;
}

Op arg_max_op() {
  Op op;
  op.name = "arg_max";
  op.family = OpFamily::reduction;
  op.doc =
      "y = index of the first greatest x along `axis`; a NaN counts as smaller than everything.  x: [...]; "
      "y: i32 without that axis";
  op.inputs = {{.name = "x"}};
  op.attributes = {{.name = "axis", .type = AttributeType::integer, .default_value = -1}};
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "arg_max", 0, Accepts::numbers);
    const Shape& shape = context.inputs[0].shape;
    const size_t axis = check_axis(context, "arg_max", context.attributes.integer("axis"), shape.size());
    if (shape[axis].is_constant(0))
      refuse(context, "arg_max", "axis " + std::to_string(axis) + " of " + shape_text(shape) + " is empty");
    return {{DType::i32, reduced_shape(shape, {static_cast<int64_t>(axis)}, false)}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const HostTensor& x = inputs[0];
    const size_t axis = normalized_axis(attributes.integer("axis"), x.shape.size());
    const int64_t stride = strides_of(x.shape)[axis];
    std::vector<int64_t> shape = x.shape;
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    HostTensor y = make_tensor(DType::i32, std::move(shape));
    for (int64_t i = 0; i < y.elements(); ++i) {
      const double* from = x.data.data() + (i / stride) * stride * x.shape[axis] + i % stride;
      int64_t best = 0;
      for (int64_t k = 1; k < x.shape[axis]; ++k)
        if (from[k * stride] > from[best * stride] ||
            (std::isnan(from[best * stride]) && !std::isnan(from[k * stride])))
          best = k;
      y.data[static_cast<size_t>(i)] = static_cast<double>(best);
    }
    return std::vector<HostTensor>{std::move(y)};
  };
  op.examples = {
      {.inputs = {{.shape = {7, 33}}}},
      {.inputs = {{.shape = {5}}}},
      {.inputs = {{.shape = {3, 4, 5}}}, .attributes = {{"axis", 1}}},
      {.inputs = {{.shape = {6, 3}, .low = 0, .high = 3, .dtype = DType::i32}}, .attributes = {{"axis", -2}}}};
  return op;
}

}  // namespace

std::vector<Op> reduction_ops() {
  return {reduce_sum_op(), reduce_extremum_op(true), reduce_extremum_op(false), reduce_mean_op(), arg_max_op()};
}

}  // namespace moru
