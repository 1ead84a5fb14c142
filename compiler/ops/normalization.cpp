// Layers that bring activations to a common mean and size: BatchNormalization, LayerNormalization, GroupNormalization,
// RMSNormalization, UnitNormalization. (Normalization, whose statistics are fitted to data, is in preprocessing.cpp.)
#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/ops/layer.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

constexpr double masked_epsilon = 1e-7;  // Keras' backend.epsilon(), beside the number of steps that are not masked

// ---- what they share ----

std::vector<AttributeSpec> scale_and_offset(std::vector<AttributeSpec> attributes) {
  attributes.insert(attributes.end(),
                    {{.name = "center", .type = T::boolean, .default_value = true, .doc = "adds beta"},
                     {.name = "scale", .type = T::boolean, .default_value = true, .doc = "multiplies by gamma"},
                     {.name = "beta_initializer", .type = T::initializer, .default_value = "zeros"},
                     {.name = "gamma_initializer", .type = T::initializer, .default_value = "ones"},
                     {.name = "beta_regularizer", .type = T::regularizer, .optional = true},
                     {.name = "gamma_regularizer", .type = T::regularizer, .optional = true},
                     {.name = "beta_constraint", .type = T::constraint, .optional = true},
                     {.name = "gamma_constraint", .type = T::constraint, .optional = true}});
  return attributes;
}

std::vector<InputSpec> with_scale_and_offset(std::vector<InputSpec> inputs) {
  inputs.push_back({.name = "gamma", .optional = true, .parameter = true});
  inputs.push_back({.name = "beta", .optional = true, .parameter = true});
  return inputs;
}

std::vector<ParameterSpec> scale_and_offset_parameters(const Attributes& a, const Shape& shape, bool scale, bool center) {
  std::vector<ParameterSpec> parameters;
  if (scale)
    parameters.push_back({.name = "gamma",
                          .shape = shape,
                          .initializer = initializer_of(a, "gamma_initializer"),
                          .regularizer = regularizer_of(a, "gamma_regularizer")});
  if (center)
    parameters.push_back({.name = "beta",
                          .shape = shape,
                          .initializer = initializer_of(a, "beta_initializer"),
                          .regularizer = regularizer_of(a, "beta_regularizer")});
  return parameters;
}

/// The attribute "axis", one axis or a list, counted from the front and ascending; it was checked.
std::vector<size_t> axes_of(const Attributes& attributes, size_t rank) {
  std::vector<size_t> axes;
  const AttributeValue& given = *attributes.find("axis");
  Integers list;
  if (const auto* axis = std::get_if<int64_t>(&given.value)) list = {*axis};
  if (const auto* many = std::get_if<Integers>(&given.value)) list = *many;
  for (int64_t axis : list) axes.push_back(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis));
  std::sort(axes.begin(), axes.end());
  return axes;
}

/// Fails unless "axis" names axes of x, each once, all of them with known extents where weights lie along them.
void check_normalized_axes(const OpContext& context, const Op& op, const Integers& axes, bool known_extents) {
  const Type& x = context.inputs[0];
  std::vector<size_t> seen;
  for (int64_t axis : axes) {
    const size_t at = checked_axis(context, op, axis, x.shape.size());
    if (std::ranges::count(seen, at) > 0) fail(context, op, "axis " + std::to_string(axis) + " is named twice");
    seen.push_back(at);
    if (known_extents && !x.shape[at].is_constant())
      fail(context, op, "needs a known extent on axis " + std::to_string(axis) + " but got " + shape_text(x.shape),
           "its weights have one element for each of its elements");
  }
  if (axes.empty()) fail(context, op, "needs at least one axis to normalize");
}

/// The extents of `axes`, or (with `ones`) all extents with 1 on every other axis: how weights broadcast against x.
template <typename Extent>
std::vector<Extent> extents_of(const std::vector<Extent>& x, const std::vector<size_t>& axes, bool ones) {
  std::vector<Extent> shape;
  for (size_t i = 0; i < x.size(); ++i) {
    const bool kept = std::ranges::count(axes, i) > 0;
    if (kept) shape.push_back(x[i]);
    if (!kept && ones) shape.push_back(Extent(1));
  }
  return shape;
}

std::vector<size_t> other_axes(const std::vector<size_t>& axes, size_t rank) {
  std::vector<size_t> others;
  for (size_t i = 0; i < rank; ++i)
    if (std::ranges::count(axes, i) == 0) others.push_back(i);
  return others;
}

Integers as_integers(const std::vector<size_t>& axes) { return Integers(axes.begin(), axes.end()); }

struct Moments {
  Value mean, variance;  // with 1 on the axes that they are taken over; variance is the biased one
};

Moments moments(Value x, const Integers& axes) {
  Builder& b = *x.builder;
  const Value mean = b.reduce("reduce_mean", x, axes, true);
  return {mean, b.reduce("reduce_mean", b.call("square", {x - mean}), axes, true)};
}

/// (x - mean) * gamma / sqrt(variance + epsilon) + beta, with gamma and beta (which may be absent) in the shape `weights`.
Value standardized(Value x, const Moments& m, double epsilon, Value gamma, Value beta, const Shape& weights) {
  Builder& b = *x.builder;
  Value factor = b.call("rsqrt", {m.variance + epsilon});
  if (gamma) factor = factor * b.reshape(gamma, weights);
  Value y = (m.mean ? x - m.mean : x) * factor;
  return beta ? y + b.reshape(beta, weights) : y;
}

/// Where an element lies in the tensor of `axes` alone.
size_t projected(const std::vector<int64_t>& shape, size_t element, const std::vector<size_t>& axes) {
  size_t offset = 0, stride = 1;
  for (size_t i = shape.size(); i-- > 0; element /= static_cast<size_t>(shape[i])) {
    if (std::ranges::count(axes, i) == 0) continue;
    offset += element % static_cast<size_t>(shape[i]) * stride;
    stride *= static_cast<size_t>(shape[i]);
  }
  return offset;
}

size_t elements_along(const std::vector<int64_t>& shape, const std::vector<size_t>& axes) {
  size_t count = 1;
  for (size_t axis : axes) count *= static_cast<size_t>(shape[axis]);
  return count;
}

/// Mean and biased variance of each group of elements; `weight` counts an element less or not at all.
struct HostMoments {
  std::vector<double> mean, variance;
};
template <typename Group, typename Weight>
HostMoments host_moments(const HostTensor& x, size_t groups, Group group, Weight weight, double epsilon = 0.0) {
  HostMoments m{std::vector<double>(groups), std::vector<double>(groups)};
  std::vector<double> count(groups, epsilon);
  for (size_t i = 0; i < x.data.size(); ++i) count[group(i)] += weight(i);
  for (size_t i = 0; i < x.data.size(); ++i) m.mean[group(i)] += weight(i) * x.data[i] / count[group(i)];
  for (size_t i = 0; i < x.data.size(); ++i)
    m.variance[group(i)] += weight(i) * std::pow(x.data[i] - m.mean[group(i)], 2) / count[group(i)];
  return m;
}
double every_element(size_t) { return 1.0; }

AttributeSpec axes_attribute() {
  return {.name = "axis", .type = T::integers, .default_value = Integers{-1}, .keras_list = KerasList::unwrapped};
}

AttributeSpec epsilon_attribute(double value) {
  return {.name = "epsilon", .type = T::real, .default_value = value, .least = 0, .doc = "added to the variance"};
}

// ---- BatchNormalization ----

// Its inputs: x, mask, gamma, beta, moving_mean, moving_variance.
std::vector<ParameterSpec> batch_parameters(const OpContext& context) {
  const Attributes& a = context.attributes;
  const Shape& x = context.inputs[0].shape;
  const Shape shape = {x[axes_of(a, x.size())[0]]};
  std::vector<ParameterSpec> parameters = scale_and_offset_parameters(a, shape, a.boolean("scale"), a.boolean("center"));
  for (const char* name : {"moving_mean", "moving_variance"})
    parameters.push_back({.name = name,
                          .shape = shape,
                          .initializer = initializer_of(a, std::string(name) + "_initializer"),
                          .regularizer = {},
                          .trainable = false});
  return parameters;
}

// Whether the statistics are those of the batch.
bool uses_batch(const Attributes& a) { return a.boolean("training") && !a.boolean("frozen"); }

std::vector<Type> infer_batch(const OpContext& context) {
  const Op& op = get_op("batch_normalization");
  refuse_attributes(context, op, {"renorm"});
  const Type& x = context.inputs[0];
  check_normalized_axes(context, op, {context.attributes.integer("axis")}, true);
  if (x.shape.size() < 2) fail(context, op, "needs an input [batch, ...] but got " + shape_text(x.shape));
  if (has_input(context, 1) && !are_equal(context, Shape(x.shape.begin(), x.shape.end() - 1), context.inputs[1].shape))
    fail(context, op, "needs a mask with one axis less than the input " + shape_text(x.shape) + " but got " +
                          shape_text(context.inputs[1].shape));
  check_parameters(context, op);
  std::vector<Type> outputs = {{float_dtype(x.dtype), x.shape}};
  if (uses_batch(context.attributes))
    outputs.insert(outputs.end(), 2, {outputs[0].dtype, batch_parameters(context)[0].shape});
  return outputs;
}

std::vector<HostTensor> batch_reference(std::span<const HostTensor> inputs, const Attributes& a) {
  HostTensor y = inputs[0];
  y.dtype = float_dtype(y.dtype);
  const HostTensor *mask = find_input(inputs, 1), *gamma = find_input(inputs, 2), *beta = find_input(inputs, 3);
  const std::vector<size_t> axes = axes_of(a, y.shape.size());
  auto channel = [&](size_t i) { return projected(y.shape, i, axes); };
  HostMoments m{inputs[4].data, inputs[5].data};
  std::vector<HostTensor> outputs(1);
  if (uses_batch(a)) {
    auto width = static_cast<size_t>(y.shape.back());
    auto weight = [&](size_t i) { return mask ? mask->data[i / width] : 1.0; };
    m = host_moments(inputs[0], inputs[4].data.size(), channel, weight, mask ? masked_epsilon : 0.0);
    const double momentum = a.real("momentum");
    outputs.push_back(inputs[4]);
    outputs.push_back(inputs[5]);
    for (size_t c = 0; c < m.mean.size(); ++c) {
      outputs[1].data[c] = momentum * inputs[4].data[c] + (1.0 - momentum) * m.mean[c];
      outputs[2].data[c] = momentum * inputs[5].data[c] + (1.0 - momentum) * m.variance[c];
    }
  }
  for (size_t i = 0; i < y.data.size(); ++i) {
    const size_t c = channel(i);
    const double z = (y.data[i] - m.mean[c]) / std::sqrt(m.variance[c] + a.real("epsilon"));
    y.data[i] = z * (gamma ? gamma->data[c] : 1.0) + (beta ? beta->data[c] : 0.0);
  }
  outputs[0] = std::move(y);
  return outputs;
}

Moments masked_moments(Value x, Value mask, const Integers& axes) {
  Builder& b = *x.builder;
  Shape shape = mask.shape();
  shape.push_back(1);
  const Value real = b.broadcast_to(b.reshape(b.cast(mask, DType::boolean), shape), x.shape());
  const Value none = b.fill(0.0, x.shape(), x.type().dtype);
  const Value count = b.reduce("reduce_sum", b.cast(real, x.type().dtype), axes, true) + masked_epsilon;
  const Value mean = b.reduce("reduce_sum", b.select(real, x, none), axes, true) / count;
  return {mean, b.reduce("reduce_sum", b.select(real, b.call("square", {x - mean}), none), axes, true) / count};
}

std::vector<Value> expand_batch(Builder& b, std::span<const Value> inputs, const Attributes& a) {
  const Value x = to_float(inputs[0]), mask = find_input(inputs, 1);
  const std::vector<size_t> axes = axes_of(a, x.rank());
  const Shape weights = extents_of(x.shape(), axes, true);
  Moments m{b.reshape(inputs[4], weights), b.reshape(inputs[5], weights)};
  std::vector<Value> outputs(1);
  if (uses_batch(a)) {
    const Integers others = as_integers(other_axes(axes, x.rank()));
    m = mask ? masked_moments(x, mask, others) : moments(x, others);
    const double momentum = a.real("momentum");
    const Shape shape = inputs[4].shape();
    outputs.push_back(inputs[4] * momentum + b.reshape(m.mean, shape) * (1.0 - momentum));
    outputs.push_back(inputs[5] * momentum + b.reshape(m.variance, shape) * (1.0 - momentum));
  }
  outputs[0] = standardized(x, m, a.real("epsilon"), inputs[2], inputs[3], weights);
  return outputs;
}

Op batch_normalization() {
  std::vector<AttributeSpec> attributes = scale_and_offset(
      {{.name = "axis", .type = T::integer, .default_value = -1, .doc = "has statistics of its own for each element"},
       {.name = "momentum", .type = T::real, .default_value = 0.99, .doc = "share of the old moving statistics that is kept"},
       epsilon_attribute(1e-3)});
  attributes.insert(
      attributes.end(),
      {{.name = "moving_mean_initializer", .type = T::initializer, .default_value = "zeros"},
       {.name = "moving_variance_initializer", .type = T::initializer, .default_value = "ones"},
       {.name = "renorm", .type = T::boolean, .default_value = false, .doc = "unsupported"},
       {.name = "renorm_clipping", .type = T::nested, .optional = true, .doc = "ignored: there is no renorm"},
       {.name = "renorm_momentum", .type = T::real, .default_value = 0.99, .doc = "ignored: there is no renorm"},
       {.name = "synchronized", .type = T::boolean, .default_value = false, .doc = "ignored: there is one device"},
       {.name = "training", .type = T::boolean, .default_value = false, .doc = "statistics of the batch", .internal = true},
       {.name = "frozen", .type = T::boolean, .default_value = false, .doc = "moving statistics even in training", .internal = true}});
  std::vector<InputSpec> inputs = with_scale_and_offset({{"x"}, {.name = "mask", .optional = true}});
  inputs.push_back({"moving_mean"});
  inputs.push_back({"moving_variance"});
  Example::Tensor mask{.shape = {3, 4}, .dtype = DType::boolean, .values = {1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1}};
  return {
      .name = "batch_normalization",
      .family = OpFamily::layer,
      .doc = "y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, for each element of `axis`.   Training: mean and biased "
             "variance of the batch without its masked steps, and moving' = momentum moving + (1 - momentum) them; otherwise, "
             "and in layers that are not trained, the moving ones.   x, y: [batch, ...]   weights: [extent of axis]",
      .class_name = "BatchNormalization",
      .inputs = inputs,
      .attributes = attributes,
      .infer = infer_batch,
      .parameters = batch_parameters,
      .replaces = [](const Attributes& a) -> std::vector<std::string> {
        if (!uses_batch(a)) return {};
        return {"moving_mean", "moving_variance"};
      },
      .mask = keep_mask,
      .reference = batch_reference,
      .expand = expand_batch,
      .examples = {{.inputs = {{{5, 7}}}},
                   {.inputs = {{{5, 7}}}, .attributes = {{"training", true}}},
                   {.inputs = {{{2, 3, 4, 5}}}, .attributes = {{"training", true}, {"momentum", 0.5}, {"epsilon", 0.1}}},
                   {.inputs = {{{4, 3, 5}}}, .attributes = {{"axis", 1}, {"training", true}, {"scale", false}}},
                   {.inputs = {{{4, 3, 2, 2}}}, .attributes = {{"axis", 1}, {"center", false}}},
                   {.inputs = {{{19, 17}}}, .attributes = {{"center", false}, {"scale", false}, {"training", true}}},
                   {.inputs = {{{3, 4, 5}}, mask}, .attributes = {{"training", true}}},
                   {.inputs = {{{3, 4, 5}}, mask}}},
  };
}

// ---- LayerNormalization ----

std::vector<ParameterSpec> layer_parameters(const OpContext& context) {
  const Attributes& a = context.attributes;
  const Shape& x = context.inputs[0].shape;
  const bool rms = a.boolean("rms_scaling");
  return scale_and_offset_parameters(a, extents_of(x, axes_of(a, x.size()), false), a.boolean("scale") || rms,
                                     a.boolean("center") && !rms);
}

std::vector<Type> infer_layer_normalization(const OpContext& context) {
  const Op& op = get_op("layer_normalization");
  check_normalized_axes(context, op, context.attributes.integers("axis"), true);
  check_parameters(context, op);
  return {{float_dtype(context.inputs[0].dtype), context.inputs[0].shape}};
}

Op layer_normalization() {
  return {
      .name = "layer_normalization",
      .family = OpFamily::layer,
      .doc = "y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and biased variance over `axis` for each sample.   "
             "rms_scaling: y = x / sqrt(variance + epsilon) * gamma.   x, y: [batch, ...]   gamma, beta: the extents of axis",
      .class_name = "LayerNormalization",
      .inputs = with_scale_and_offset({{"x"}}),
      .attributes = scale_and_offset({axes_attribute(),
                                      epsilon_attribute(1e-3),
                                      {.name = "rms_scaling", .type = T::boolean, .default_value = false,
                                       .doc = "neither subtracts the mean nor adds beta"}}),
      .infer = infer_layer_normalization,
      .parameters = layer_parameters,
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        const HostTensor *gamma = find_input(inputs, 1), *beta = find_input(inputs, 2);
        const std::vector<size_t> axes = axes_of(a, y.shape.size()), others = other_axes(axes, y.shape.size());
        auto sample = [&](size_t i) { return projected(y.shape, i, others); };
        const HostMoments m = host_moments(inputs[0], elements_along(y.shape, others), sample, every_element);
        for (size_t i = 0; i < y.data.size(); ++i) {
          const size_t s = sample(i), w = projected(y.shape, i, axes);
          const double centered = a.boolean("rms_scaling") ? y.data[i] : y.data[i] - m.mean[s];
          const double z = centered / std::sqrt(m.variance[s] + a.real("epsilon"));
          y.data[i] = z * (gamma ? gamma->data[w] : 1.0) + (beta ? beta->data[w] : 0.0);
        }
        return {y};
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = to_float(inputs[0]);
        const std::vector<size_t> axes = axes_of(a, x.rank());
        Moments m = moments(x, as_integers(axes));
        if (a.boolean("rms_scaling")) m.mean = {};
        return {standardized(x, m, a.real("epsilon"), find_input(inputs, 1), find_input(inputs, 2),
                             extents_of(x.shape(), axes, true))};
      },
      .examples = {{.inputs = {{{5, 7}}}},
                   {.inputs = {{{3, 4, 17}}}, .attributes = {{"epsilon", 1e-6}}},
                   {.inputs = {{{2, 3, 4, 5}}}, .attributes = {{"axis", Integers{-1, 1}}}},
                   {.inputs = {{{2, 5, 3}}}, .attributes = {{"axis", Integers{1, 2}}, {"center", false}}},
                   {.inputs = {{{4, 6}}}, .attributes = {{"scale", false}}},
                   {.inputs = {{{4, 6}}}, .attributes = {{"rms_scaling", true}}}},
  };
}

// ---- GroupNormalization ----

int64_t groups_of(const Attributes& a, int64_t channels) {
  return a.integer("groups") == -1 ? channels : a.integer("groups");
}

std::vector<Type> infer_group(const OpContext& context) {
  const Op& op = get_op("group_normalization");
  const Type& x = context.inputs[0];
  const int64_t axis = context.attributes.integer("axis");
  check_normalized_axes(context, op, {axis}, true);
  const size_t at = checked_axis(context, op, axis, x.shape.size());
  if (at == 0) fail(context, op, "cannot normalize along the batch axis");
  const int64_t channels = x.shape[at].constant(), groups = context.attributes.integer("groups");
  if (groups == 0 || (groups > 0 && channels % groups != 0))
    fail(context, op, "cannot make " + std::to_string(groups) + " groups of the " + std::to_string(channels) +
                          " channels on axis " + std::to_string(axis),
         "choose a number of groups that divides the channels, or -1 for one group for each channel");
  check_parameters(context, op);
  return {{float_dtype(x.dtype), x.shape}};
}

std::vector<HostTensor> group_reference(std::span<const HostTensor> inputs, const Attributes& a) {
  HostTensor y = inputs[0];
  y.dtype = float_dtype(y.dtype);
  const HostTensor *gamma = find_input(inputs, 1), *beta = find_input(inputs, 2);
  const std::vector<size_t> axes = axes_of(a, y.shape.size());
  const int64_t channels = y.shape[axes[0]], groups = groups_of(a, channels);
  auto group = [&](size_t i) {
    const size_t sample = i / (y.data.size() / static_cast<size_t>(y.shape[0]));
    const size_t channel = projected(y.shape, i, axes);
    return sample * static_cast<size_t>(groups) + channel / static_cast<size_t>(channels / groups);
  };
  const HostMoments m = host_moments(inputs[0], static_cast<size_t>(y.shape[0] * groups), group, every_element);
  for (size_t i = 0; i < y.data.size(); ++i) {
    const size_t c = projected(y.shape, i, axes), g = group(i);
    const double z = (y.data[i] - m.mean[g]) / std::sqrt(m.variance[g] + a.real("epsilon"));
    y.data[i] = z * (gamma ? gamma->data[c] : 1.0) + (beta ? beta->data[c] : 0.0);
  }
  return {y};
}

std::vector<Value> expand_group(Builder& b, std::span<const Value> inputs, const Attributes& a) {
  const Value x = to_float(inputs[0]);
  const size_t axis = axes_of(a, x.rank())[0];
  const int64_t channels = x.dim(static_cast<int>(axis)).constant(), groups = groups_of(a, channels);
  Shape grouped = x.shape(), weights(x.rank() + 1, Dim(1));
  grouped[axis] = channels / groups;
  grouped.insert(grouped.begin() + static_cast<std::ptrdiff_t>(axis), Dim(groups));
  weights[axis] = groups;
  weights[axis + 1] = channels / groups;
  const Value z = b.reshape(x, grouped);
  const Moments m = moments(z, as_integers(other_axes({0, axis}, z.rank())));
  return {b.reshape(standardized(z, m, a.real("epsilon"), find_input(inputs, 1), find_input(inputs, 2), weights), x.shape())};
}

Op group_normalization() {
  return {
      .name = "group_normalization",
      .family = OpFamily::layer,
      .doc = "y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and biased variance over each group of neighbouring "
             "channels of a sample.   x, y: [batch, ...]   gamma, beta: [channels]",
      .class_name = "GroupNormalization",
      .inputs = with_scale_and_offset({{"x"}}),
      .attributes = scale_and_offset({{.name = "groups", .type = T::integer, .default_value = 32, .least = -1,
                                       .doc = "-1: one for each channel"},
                                      {.name = "axis", .type = T::integer, .default_value = -1, .doc = "of the channels"},
                                      epsilon_attribute(1e-3)}),
      .infer = infer_group,
      .parameters = [](const OpContext& context) -> std::vector<ParameterSpec> {
        const Attributes& a = context.attributes;
        const Shape& x = context.inputs[0].shape;
        return scale_and_offset_parameters(a, {x[axes_of(a, x.size())[0]]}, a.boolean("scale"), a.boolean("center"));
      },
      .mask = keep_mask,
      .reference = group_reference,
      .expand = expand_group,
      .examples = {{.inputs = {{{3, 4, 6}}}, .attributes = {{"groups", 2}}},
                   {.inputs = {{{2, 3, 3, 8}}}, .attributes = {{"groups", 4}, {"epsilon", 1e-5}}},
                   {.inputs = {{{2, 6, 5}}}, .attributes = {{"groups", 3}, {"axis", 1}, {"center", false}}},
                   {.inputs = {{{2, 5, 3}}}, .attributes = {{"groups", -1}, {"scale", false}}},
                   {.inputs = {{{5, 32}}}, .attributes = {{"groups", 1}}}},
  };
}

// ---- RMSNormalization and UnitNormalization ----

Op rms_normalization() {
  return {
      .name = "rms_normalization",
      .family = OpFamily::layer,
      .doc = "y = x / sqrt(mean(x^2) + epsilon) * scale, the mean over `axis`.   x, y: [batch, ...]   scale: the extents of axis",
      .class_name = "RMSNormalization",
      .inputs = {{"x"}, {.name = "scale", .parameter = true}},
      .attributes = {axes_attribute(), epsilon_attribute(1e-6)},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("rms_normalization");
        check_normalized_axes(context, op, context.attributes.integers("axis"), true);
        check_parameters(context, op);
        return {{float_dtype(context.inputs[0].dtype), context.inputs[0].shape}};
      },
      .parameters = [](const OpContext& context) -> std::vector<ParameterSpec> {
        const Shape& x = context.inputs[0].shape;
        return {{.name = "scale",
                 .shape = extents_of(x, axes_of(context.attributes, x.size()), false),
                 .initializer = Attributes{{"class", "Ones"}},
                 .regularizer = {}}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        const std::vector<size_t> axes = axes_of(a, y.shape.size()), others = other_axes(axes, y.shape.size());
        std::vector<double> squares(elements_along(y.shape, others));
        for (size_t i = 0; i < y.data.size(); ++i) squares[projected(y.shape, i, others)] += y.data[i] * y.data[i];
        const auto count = static_cast<double>(elements_along(y.shape, axes));
        for (size_t i = 0; i < y.data.size(); ++i)
          y.data[i] *= inputs[1].data[projected(y.shape, i, axes)] /
                       std::sqrt(squares[projected(inputs[0].shape, i, others)] / count + a.real("epsilon"));
        return {y};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = to_float(inputs[0]);
        const std::vector<size_t> axes = axes_of(a, x.rank());
        const Value squares = b.reduce("reduce_mean", b.call("square", {x}), as_integers(axes), true);
        return {standardized(x, {{}, squares}, a.real("epsilon"), inputs[1], {}, extents_of(x.shape(), axes, true))};
      },
      .examples = {{.inputs = {{{5, 7}}}},
                   {.inputs = {{{3, 4, 17}}}, .attributes = {{"epsilon", 0.1}}},
                   {.inputs = {{{2, 3, 4}}}, .attributes = {{"axis", Integers{1, 2}}}}},
  };
}

constexpr double least_norm = 1e-12;

Op unit_normalization() {
  return {
      .name = "unit_normalization",
      .family = OpFamily::layer,
      .doc = "y = x / max(|x|, 1e-12), |x| the Euclidean norm over `axis`.   x, y: [batch, ...]",
      .class_name = "UnitNormalization",
      .inputs = {{"x"}},
      .attributes = {axes_attribute()},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        check_normalized_axes(context, get_op("unit_normalization"), context.attributes.integers("axis"), false);
        return {{float_dtype(context.inputs[0].dtype), context.inputs[0].shape}};
      },
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        const std::vector<size_t> others = other_axes(axes_of(a, y.shape.size()), y.shape.size());
        std::vector<double> squares(elements_along(y.shape, others));
        for (size_t i = 0; i < y.data.size(); ++i) squares[projected(y.shape, i, others)] += y.data[i] * y.data[i];
        for (size_t i = 0; i < y.data.size(); ++i)
          y.data[i] /= std::max(std::sqrt(squares[projected(y.shape, i, others)]), least_norm);
        return {y};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = to_float(inputs[0]);
        const Value squares = b.reduce("reduce_sum", b.call("square", {x}), as_integers(axes_of(a, x.rank())), true);
        const Value least = b.constant(least_norm * least_norm, x.type().dtype);
        return {x * b.call("rsqrt", {b.call("maximum", {squares, least})})};
      },
      .examples = {{.inputs = {{{5, 7}}}},
                   {.inputs = {{{3, 4, 17}}}, .attributes = {{"axis", Integers{1}}}},
                   {.inputs = {{{2, 3, 4}}}, .attributes = {{"axis", Integers{-2, -1}}}},
                   {.inputs = {{.shape = {2, 2}, .values = {0, 0, 3, 4}}}, .differentiable = false}},
  };
}

}  // namespace

std::vector<Op> normalization_ops() {
  std::vector<Op> ops;
  ops.push_back(batch_normalization());
  ops.push_back(layer_normalization());
  ops.push_back(group_normalization());
  ops.push_back(rms_normalization());
  ops.push_back(unit_normalization());
  return ops;
}

}  // namespace moru
