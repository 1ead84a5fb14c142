// Preprocessing layers: Normalization, fitted to the data before training, and Rescaling.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"

namespace moru {

namespace {

constexpr double epsilon = 1e-7;  // Keras' backend.epsilon()
constexpr int64_t most_given_statistics = 1 << 20;

// The axes with a mean and variance of their own, from the front and in order; none where the attribute is absent.
std::vector<size_t> kept_axes(const Attributes& attributes, size_t rank) {
  std::vector<size_t> axes;
  if (!attributes.has("axis")) return axes;
  for (int64_t axis : attributes.integers("axis"))
    axes.push_back(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis));
  std::sort(axes.begin(), axes.end());
  return axes;
}

// 1 on every axis but the kept ones: the shape in which mean and variance broadcast against x.
template <typename Extent>
std::vector<Extent> statistics_shape(const std::vector<Extent>& x, const std::vector<size_t>& kept) {
  std::vector<Extent> shape(x.size(), Extent(1));
  for (size_t axis : kept) shape[axis] = x[axis];
  return shape;
}

// The initial value of a statistic: what is given, repeated along the kept axes in front of those that it speaks of.
AttributeValue initial_statistic(const Attributes& attributes, std::string_view name, double fallback, const Shape& shape) {
  if (!attributes.has(name)) return Attributes{{"class", "Constant"}, {"value", fallback}};
  std::vector<double> values = attributes.reals(name);
  const size_t given = values.size();
  const Dim count = element_count(shape);
  if (given > 1 && count.is_constant() && count.constant() <= most_given_statistics)
    for (auto k = given; k < static_cast<size_t>(count.constant()); ++k) values.push_back(values[k - given]);
  return Attributes{{"class", "Constant"}, {"value", std::move(values)}};
}

std::vector<ParameterSpec> normalization_parameters(const OpContext& context) {
  const Shape& x = context.inputs[0].shape;
  Shape shape;
  for (size_t axis : kept_axes(context.attributes, x.size())) shape.push_back(x[axis]);
  auto statistic = [&](const char* name, double fallback) {
    return ParameterSpec{.name = name,
                         .shape = shape,
                         .initializer = initial_statistic(context.attributes, name, fallback, shape),
                         .regularizer = {},
                         .trainable = false};
  };
  return {statistic("mean", 0.0), statistic("variance", 1.0)};
}

// Whether `given` numbers speak of all kept axes, or of the last ones.
bool fits_kept_axes(const Shape& kept, int64_t given) {
  Dim count = 1;
  for (size_t axis = kept.size(); axis-- > 0 && !count.is_constant(given);) count = count * kept[axis];
  return given == 1 || count.is_constant(given);
}

std::vector<Type> infer_normalization(const OpContext& context) {
  const Op& op = get_op("normalization");
  const Type& x = context.inputs[0];
  if (context.attributes.has("axis"))
    for (int64_t axis : context.attributes.integers("axis")) {
      size_t kept = checked_axis(context, op, axis, x.shape.size());
      if (!x.shape[kept].is_constant())
        fail(context, op, "needs a known extent on axis " + std::to_string(axis) + " but got " + shape_text(x.shape),
             "mean and variance are kept for each of its elements");
    }
  std::vector<ParameterSpec> parameters = normalization_parameters(context);
  if (context.attributes.has("mean") != context.attributes.has("variance"))
    fail(context, op, "needs both mean and variance, or neither");
  for (std::string_view name : {"mean", "variance"}) {
    if (!context.attributes.has(name)) continue;
    auto given = static_cast<int64_t>(context.attributes.reals(name).size());
    if (!fits_kept_axes(parameters[0].shape, given))
      fail(context, op, "attribute '" + std::string(name) + "' has " + std::to_string(given) + " values but needs " +
                            element_count(parameters[0].shape).text());
  }
  check_parameters(context, op);
  return {{float_dtype(x.dtype), x.shape}};
}

std::vector<HostTensor> normalization_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  HostTensor y = inputs[0];
  y.dtype = float_dtype(y.dtype);
  const HostTensor& mean = inputs[1];
  const HostTensor& variance = inputs[2];
  size_t rank = y.shape.size();
  std::vector<int64_t> broadcast = statistics_shape(y.shape, kept_axes(attributes, rank));
  bool invert = attributes.boolean("invert");
  for (size_t i = 0; i < y.data.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t offset = 0, stride = 1;
    for (size_t axis = rank; axis-- > 0; rest /= y.shape[axis]) {
      if (broadcast[axis] != 1) offset += rest % y.shape[axis] * stride;
      stride *= broadcast[axis];
    }
    auto k = static_cast<size_t>(offset);
    double deviation = std::max(std::sqrt(variance.data[k]), epsilon);
    y.data[i] = invert ? mean.data[k] + y.data[i] * deviation : (y.data[i] - mean.data[k]) / deviation;
  }
  return {y};
}

std::vector<Value> expand_normalization(Builder& builder, std::span<const Value> inputs, const Attributes& attributes) {
  Value x = to_float(inputs[0]);
  Shape shape = statistics_shape(x.shape(), kept_axes(attributes, x.rank()));
  Value mean = builder.reshape(inputs[1], shape);
  Value deviation = builder.call("maximum", {builder.call("sqrt", {inputs[2]}), builder.constant(epsilon, x.type().dtype)});
  deviation = builder.reshape(deviation, shape);
  return {attributes.boolean("invert") ? mean + x * deviation : (x - mean) / deviation};
}

Op normalization() {
  using Integers = std::vector<int64_t>;
  Example::Tensor mean{.shape = {7}}, variance{.shape = {7}, .low = 0.1, .high = 4};
  return {
      .name = "normalization",
      .family = OpFamily::layer,
      .doc = "y = (x - mean) / max(sqrt(variance), 1e-7);   invert: y = mean + x * max(sqrt(variance), 1e-7).   x, y: [...]   "
             "mean, variance: the extents of `axis`, broadcast over the others",
      .class_name = "Normalization",
      .inputs = {{"x"}, {"mean"}, {"variance"}},
      .attributes = {{.name = "axis", .type = AttributeType::integers, .default_value = Integers{-1}, .optional = true,
                      .doc = "axes with statistics of their own; none: one mean and variance for all"},
                     {.name = "mean", .type = AttributeType::reals, .optional = true,
                      .doc = "instead of fitting it to data: one number, or one for each element of the axes or of the last of them",
                      .keras_list = KerasList::unwrapped},
                     {.name = "variance", .type = AttributeType::reals, .optional = true, .least = 0, .doc = "as mean",
                      .keras_list = KerasList::unwrapped},
                     {.name = "invert", .type = AttributeType::boolean, .default_value = false}},
      .infer = infer_normalization,
      .parameters = normalization_parameters,
      .mask = keep_mask,
      .reference = normalization_reference,
      .expand = expand_normalization,
      .examples = {{.inputs = {{{5, 7}}, mean, variance}},
                   {.inputs = {{{5, 7}}, mean, variance}, .attributes = {{"invert", true}}},
                   {.inputs = {{{3, 4, 7}}, mean, variance}},
                   {.inputs = {{{2, 3, 5}}, {{3, 5}}, {{3, 5}, 0.1, 2}}, .attributes = {{"axis", Integers{1, 2}}}},
                   {.inputs = {{{2, 3, 5}}, {{3}}, {{3}, 0.1, 2}}, .attributes = {{"axis", Integers{1}}}},
                   {.inputs = {{{4, 3}}, {{}}, {{}, 0.5, 2}}, .attributes = {{"axis", AttributeValue()}}},
                   {.inputs = {{{3, 2}}, {{2}}, {.shape = {2}, .values = {0, 0.25}}}, .attributes = {{"invert", true}},
                    .differentiable = false}},
  };
}

// x times or plus what is given: one number, or one for each element of the last axis.
Value with_given(Value x, const Attributes& a, std::string_view name, Value (*combine)(Value, Value)) {
  const std::vector<double>& given = a.reals(name);
  Builder& b = *x.builder;
  if (given.size() == 1) return combine(x, b.constant(given[0], x.type().dtype));
  std::vector<Value> numbers;
  for (double number : given) numbers.push_back(b.broadcast_to(b.constant(number, x.type().dtype), {Dim(1)}));
  return combine(x, b.concat(numbers, 0));
}

Op rescaling() {
  using Reals = std::vector<double>;
  return {
      .name = "rescaling",
      .family = OpFamily::layer,
      .doc = "y = x * scale + offset, each one number or one for each channel.   x, y: [..., channels]",
      .class_name = "Rescaling",
      .inputs = {{"x"}},
      .attributes = {{.name = "scale", .type = AttributeType::reals, .keras_list = KerasList::unwrapped},
                     {.name = "offset", .type = AttributeType::reals, .default_value = Reals{0.0}, .keras_list = KerasList::unwrapped}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("rescaling");
        const Shape& x = context.inputs[0].shape;
        for (std::string_view name : {"scale", "offset"}) {
          const auto given = static_cast<int64_t>(context.attributes.reals(name).size());
          if (given != 1 && (x.empty() || !x.back().is_constant(given)))
            fail(context, op, "attribute '" + std::string(name) + "' has " + std::to_string(given) + " values, but the input is " + shape_text(x),
                 "give one number, or one for each element of the last axis");
        }
        return {{float_dtype(context.inputs[0].dtype), x}};
      },
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        const Reals &scale = a.reals("scale"), &offset = a.reals("offset");
        for (size_t i = 0; i < y.data.size(); ++i) y.data[i] = y.data[i] * scale[i % scale.size()] + offset[i % offset.size()];
        return {y};
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value y = with_given(to_float(inputs[0]), a, "scale", [](Value x, Value given) { return x * given; });
        if (a.reals("offset") == Reals{0.0}) return {y};
        return {with_given(y, a, "offset", [](Value x, Value given) { return x + given; })};
      },
      .cheap = true,
      .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"scale", 0.25}}},
                   {.inputs = {{{3, 17}, 0, 256, DType::i32}}, .attributes = {{"scale", 1.0 / 127.5}, {"offset", -1.0}}},
                   {.inputs = {{{2, 4, 3}}}, .attributes = {{"scale", Reals{0.5, 2, -1}}, {"offset", Reals{0, 1, 0.25}}}}},
  };
}

}  // namespace

std::vector<Op> preprocessing_ops() {
  std::vector<Op> ops;
  ops.push_back(normalization());
  ops.push_back(rescaling());
  return ops;
}

}  // namespace moru
