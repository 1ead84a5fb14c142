// Layers that disturb activations in training and leave them as they are otherwise: dropout, noise. (Weight and activity
// regularizers are terms of the loss; passes/make_entries adds them.)
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/spatial.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

constexpr int64_t own_extent = -1;  // in noise_shape: the extent of x

// The shape in which noise is drawn and broadcast: `noise_shape`, or one number for each element.
template <typename Extent>
std::vector<Extent> noise_shape_of(const std::vector<Extent>& x, const Attributes& a) {
  if (a.find("noise_shape") == nullptr || !a.has("noise_shape")) return x;
  std::vector<Extent> shape;
  const Integers& given = a.integers("noise_shape");
  for (size_t i = 0; i < given.size(); ++i) shape.push_back(given[i] == 1 ? Extent(1) : x[i]);
  return shape;
}

// One number for each sample and channel, whatever lies between.
template <typename Extent>
std::vector<Extent> spatial_shape_of(const std::vector<Extent>& x, const Attributes& a) {
  std::vector<Extent> shape(x.size(), Extent(1));
  shape.front() = x.front();
  const bool first = a.find("data_format") != nullptr && channels_first(a);
  shape[first ? 1 : x.size() - 1] = x[first ? 1 : x.size() - 1];
  return shape;
}

void check_noise_shape(const OpContext& context, const Op& op) {
  if (!context.attributes.find("noise_shape") || !context.attributes.has("noise_shape")) return;
  const Shape& x = context.inputs[0].shape;
  const Integers& given = context.attributes.integers("noise_shape");
  bool fits = given.size() == x.size();
  for (size_t i = 0; fits && i < given.size(); ++i)
    fits = given[i] == own_extent || given[i] == 1 || (i == 0 && !x[0].is_constant()) || x[i].is_constant(given[i]);
  if (!fits)
    fail(context, op, "noise_shape " + shape_text(Shape(given.begin(), given.end())) + " does not broadcast to the input " +
                          shape_text(x),
         "give one extent for each axis: that of the input (or -1), or 1 to draw one number for all of it");
}

/// What the layers have in common: `disturb` is the formula in training, given numbers that were drawn in `noise_shape` and
/// broadcast. It gets one element of x and of the noise.
struct NoiseLayer {
  std::string_view name, class_name, doc;
  std::vector<AttributeSpec> attributes;  // the first says how much: 0 is none
  size_t rank = 0;                        // 0: any
  std::string_view distribution = "random_uniform";
  Shape (*symbolic_shape)(const Shape&, const Attributes&) = noise_shape_of<Dim>;
  Integers (*concrete_shape)(const Integers&, const Attributes&) = noise_shape_of<int64_t>;
  Value (*expand)(Value x, Value noise, double amount) = nullptr;
  double (*reference)(double x, double noise, double amount) = nullptr;
  std::vector<Example> examples = {};  // in training; the first is repeated without
};

Op noise_layer(NoiseLayer layer) {
  const std::string_view amount = layer.attributes[0].name;
  layer.attributes.push_back(
      {.name = "seed", .type = T::integer, .optional = true, .doc = "ignored: the run has one seed"});
  layer.attributes.push_back(
      {.name = "stream", .type = T::integer, .default_value = 0, .doc = "number of this draw", .internal = true});
  std::vector<Example> examples = layer.examples;
  examples.push_back({.inputs = {layer.examples[0].inputs[0]}, .attributes = layer.examples[0].attributes});
  for (size_t i = 0; i < layer.examples.size(); ++i) {
    examples[i].inputs.push_back({.shape = {}, .dtype = DType::i64, .values = {42}});
    examples[i].inputs.push_back({.shape = {}, .dtype = DType::i64, .values = {3}});
  }
  return {
      .name = layer.name,
      .family = OpFamily::layer,
      .doc = layer.doc,
      .class_name = layer.class_name,
      .inputs = {{"x"}, {.name = "seed", .optional = true}, {.name = "step", .optional = true}},
      .attributes = layer.attributes,
      .infer = [layer, amount](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(layer.name);
        const Type& x = context.inputs[0];
        if (!is_float(x.dtype)) fail(context, op, "needs floating point input but got " + type_text(x));
        if (layer.rank != 0 && x.shape.size() != layer.rank)
          fail(context, op, "needs an input with " + std::to_string(layer.rank) + " axes but got " + shape_text(x.shape));
        if (layer.distribution == "random_normal" && amount == "rate" && context.attributes.real("rate") >= 1.0)
          fail(context, op, "attribute 'rate' is 1, but the noise has the deviation sqrt(rate / (1 - rate))",
               "use a rate below 1");
        check_noise_shape(context, op);
        if (has_input(context, 1) != has_input(context, 2)) fail(context, op, "needs seed and step, or neither");
        return {x};
      },
      .mask = keep_mask,
      // The reference shares the random numbers with the expansion, not the formula.
      .reference = [layer, amount](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        const HostTensor* seed = find_input(inputs, 1);
        if (!seed || a.real(amount) == 0.0) return {y};
        const Integers shape = layer.concrete_shape(y.shape, a);
        const Op& random = get_op(layer.distribution);
        HostTensor draw[] = {*seed, inputs[2]};
        const HostTensor noise =
            random.reference(draw, check_attributes(random, {{"shape", Shape(shape.begin(), shape.end())},
                                                             {"stream", a.integer("stream")}}, {})).at(0);
        for (size_t i = 0; i < y.data.size(); ++i) {
          size_t rest = i, offset = 0, stride = 1;
          for (size_t axis = shape.size(); axis-- > 0; rest /= static_cast<size_t>(y.shape[axis])) {
            if (shape[axis] != 1) offset += rest % static_cast<size_t>(y.shape[axis]) * stride;
            stride *= static_cast<size_t>(shape[axis]);
          }
          y.data[i] = layer.reference(y.data[i], noise.data[offset], a.real(amount));
        }
        return {y};
      },
      .expand = [layer, amount](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = inputs[0], seed = find_input(inputs, 1), step = find_input(inputs, 2);
        if (!seed || a.real(amount) == 0.0) return {x};
        Value noise = b.call(layer.distribution, {seed, step},
                             {{"shape", layer.symbolic_shape(x.shape(), a)}, {"stream", a.integer("stream")}});
        return {layer.expand(x, b.cast(b.broadcast_to(noise, x.shape()), x.type().dtype), a.real(amount))};
      },
      .cheap = true,
      .examples = std::move(examples),
  };
}

// ---- the formulas ----

Value kept(Value noise, double rate) {
  return noise.builder->call("greater_equal", {noise, noise.builder->constant(rate, noise.type().dtype)});
}

Value expand_dropout(Value x, Value u, double rate) {
  const double scale = rate < 1.0 ? 1.0 / (1.0 - rate) : 0.0;
  return x.builder->select(kept(u, rate), x * scale, x.builder->constant(0.0, x.type().dtype));
}
double dropout_element(double x, double u, double rate) { return u < rate ? 0.0 : x / (1.0 - rate); }

// Klambauer et al., "Self-normalizing neural networks" (2017): dropped elements become the least value of selu, and the
// result is brought back to the mean and variance of x.
constexpr double dropped = -1.0507009873554805 * 1.6732632423543772;
double alpha_scale(double rate) { return rate < 1.0 ? 1.0 / std::sqrt((1.0 - rate) * (1.0 + rate * dropped * dropped)) : 0.0; }

AttributeSpec rate_attribute(std::string_view doc) {
  return {.name = "rate", .type = T::real, .least = 0, .most = 1, .doc = doc};
}
AttributeSpec noise_shape_attribute() {
  return {.name = "noise_shape", .type = T::integers, .optional = true, .least = -1,
          .doc = "shape of the noise, broadcast to x; -1: the extent of x", .keras_list = KerasList::open};
}

Op dropout(std::string_view name, std::string_view class_name, std::string_view doc, std::vector<AttributeSpec> attributes,
           size_t rank, std::vector<Example> examples) {
  NoiseLayer layer{.name = name, .class_name = class_name, .doc = doc, .attributes = std::move(attributes), .rank = rank};
  if (rank != 0) {
    layer.symbolic_shape = spatial_shape_of<Dim>;
    layer.concrete_shape = spatial_shape_of<int64_t>;
  }
  layer.expand = expand_dropout;
  layer.reference = dropout_element;
  layer.examples = std::move(examples);
  return noise_layer(std::move(layer));
}

Op gaussian_noise() {
  return noise_layer(
      {.name = "gaussian_noise",
       .class_name = "GaussianNoise",
       .doc = "Training: y = x + stddev * n, n normal, drawn anew for each step and stream.   Otherwise, where seed and step are "
              "absent: y = x.   x, y: [batch, ...]   seed, step: i64[]",
       .attributes = {{.name = "stddev", .type = T::real, .least = 0}},
       .distribution = "random_normal",
       .expand = [](Value x, Value n, double stddev) { return x + n * stddev; },
       .reference = [](double x, double n, double stddev) { return x + stddev * n; },
       .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"stddev", 0.3}}},
                    {.inputs = {{{3, 4, 17}}}, .attributes = {{"stddev", 1.0}, {"stream", 7}}},
                    {.inputs = {{{3, 4}}}, .attributes = {{"stddev", 0.0}}}}});
}

Op gaussian_dropout() {
  return noise_layer(
      {.name = "gaussian_dropout",
       .class_name = "GaussianDropout",
       .doc = "Training: y = x * (1 + sqrt(rate / (1 - rate)) * n), n normal, drawn anew for each step and stream.   Otherwise, "
              "where seed and step are absent: y = x.   x, y: [batch, ...]   seed, step: i64[]",
       .attributes = {rate_attribute("as a dropout with the same variance would have")},
       .distribution = "random_normal",
       .expand = [](Value x, Value n, double rate) { return x * (n * std::sqrt(rate / (1.0 - rate)) + 1.0); },
       .reference = [](double x, double n, double rate) { return x + x * n * std::sqrt(rate / (1.0 - rate)); },
       .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"rate", 0.3}}},
                    {.inputs = {{{3, 4, 17}}}, .attributes = {{"rate", 0.5}, {"stream", 7}}}}});
}

Op alpha_dropout() {
  return noise_layer(
      {.name = "alpha_dropout",
       .class_name = "AlphaDropout",
       .doc = "Training: y = a * (x where u >= rate, else d) + b, with d the least value of selu and a, b such that mean 0 and "
              "variance 1 stay; u is uniform, drawn anew for each step and stream.   Otherwise, where seed and step are absent: "
              "y = x.   x, y: [batch, ...]   seed, step: i64[]",
       .attributes = {rate_attribute("share that is dropped"), noise_shape_attribute()},
       .expand =
           [](Value x, Value u, double rate) {
             const Value held = x.builder->select(kept(u, rate), x, x.builder->constant(dropped, x.type().dtype));
             return held * alpha_scale(rate) - alpha_scale(rate) * dropped * rate;
           },
       .reference = [](double x, double u, double rate) { return alpha_scale(rate) * ((u < rate ? dropped : x) - dropped * rate); },
       .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"rate", 0.3}}},
                    {.inputs = {{{3, 4, 17}}}, .attributes = {{"rate", 0.5}, {"noise_shape", Integers{-1, 1, 17}}}}}});
}

Op activity_regularization() {
  return {
      .name = "activity_regularization",
      .family = OpFamily::layer,
      .doc = "y = x; the loss grows by (l1 * sum |x| + l2 * sum x^2) / batch.   x, y: [batch, ...]",
      .class_name = "ActivityRegularization",
      .inputs = {{"x"}},
      .attributes = {{.name = "l1", .type = T::real, .default_value = 0.0, .least = 0},
                     {.name = "l2", .type = T::real, .default_value = 0.0, .least = 0}},
      .infer = [](const OpContext& context) -> std::vector<Type> { return {context.inputs[0]}; },
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> { return {inputs[0]}; },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> { return {inputs[0]}; },
      .cheap = true,
      .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"l1", 0.1}}}},
  };
}

}  // namespace

std::vector<Op> regularization_ops() {
  constexpr std::string_view spatial_doc =
      "As Dropout, but whole channels of a sample are dropped: u has one number for each.   Training: y = x / (1 - rate) where "
      "u >= rate, else 0.   Otherwise: y = x.   x, y: [batch, space..., channels]   seed, step: i64[]";
  std::vector<Op> ops;
  ops.push_back(dropout(
      "dropout", "Dropout",
      "Training: y = x / (1 - rate) where u >= rate, else 0; u is uniform in [0, 1), drawn anew for each step and stream in "
      "noise_shape.   Otherwise, where seed and step are absent: y = x.   x, y: [batch, ...]   seed, step: i64[]",
      {rate_attribute("share that is set to 0"), noise_shape_attribute()}, 0,
      {{.inputs = {{{17, 19}}}, .attributes = {{"rate", 0.3}}},
       {.inputs = {{{3, 4, 5}}}, .attributes = {{"rate", 0.5}, {"stream", 7}}},
       {.inputs = {{{3, 4, 5}}}, .attributes = {{"rate", 0.5}, {"noise_shape", Integers{3, 1, -1}}}},
       {.inputs = {{{5, 6}}}, .attributes = {{"rate", 0.4}, {"noise_shape", Integers{1, 6}}}},
       {.inputs = {{{3, 4}}}, .attributes = {{"rate", 0.0}}}}));
  ops.push_back(dropout("spatial_dropout_1d", "SpatialDropout1D", spatial_doc, {rate_attribute("share of channels")}, 3,
                        {{.inputs = {{{3, 4, 17}}}, .attributes = {{"rate", 0.3}}}}));
  ops.push_back(dropout("spatial_dropout_2d", "SpatialDropout2D", spatial_doc,
                        {rate_attribute("share of channels"), data_format_attribute()}, 4,
                        {{.inputs = {{{3, 2, 4, 17}}}, .attributes = {{"rate", 0.3}}},
                         {.inputs = {{{3, 7, 2, 4}}}, .attributes = {{"rate", 0.5}, {"data_format", "channels_first"}}}}));
  ops.push_back(dropout("spatial_dropout_3d", "SpatialDropout3D", spatial_doc,
                        {rate_attribute("share of channels"), data_format_attribute()}, 5,
                        {{.inputs = {{{3, 2, 3, 2, 9}}}, .attributes = {{"rate", 0.3}}}}));
  for (Op& op : ops) op.takes_trainable = !op.name.starts_with("spatial_dropout");
  ops.push_back(gaussian_noise());
  ops.push_back(gaussian_dropout());
  ops.push_back(alpha_dropout());
  ops.push_back(activity_regularization());
  return ops;
}

}  // namespace moru
