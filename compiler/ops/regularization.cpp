// Dropout. (Weight and activity regularizers are terms of the loss, not layers; passes/make_entries adds them.)
#include "compiler/ops/layer.h"

namespace moru {

namespace {

double kept_scale(double rate) { return rate < 1.0 ? 1.0 / (1.0 - rate) : 0.0; }

Shape as_shape(const std::vector<int64_t>& shape) { return Shape(shape.begin(), shape.end()); }

// The reference shares the random numbers with the expansion (they are defined by random_uniform alone), not the formula.
std::vector<HostTensor> dropout_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  HostTensor y = inputs[0];
  const HostTensor* seed = find_input(inputs, 1);
  double rate = attributes.real("rate");
  if (!seed || rate == 0.0) return {y};
  const Op& random = get_op("random_uniform");
  HostTensor draw[] = {*seed, inputs[2]};
  Attributes draw_attributes =
      check_attributes(random, {{"shape", as_shape(y.shape)}, {"stream", attributes.integer("stream")}}, {});
  HostTensor u = random.reference(draw, draw_attributes).at(0);
  for (size_t i = 0; i < y.data.size(); ++i) y.data[i] = u.data[i] < rate ? 0.0 : y.data[i] / (1.0 - rate);
  return {y};
}

std::vector<Value> expand_dropout(Builder& builder, std::span<const Value> inputs, const Attributes& attributes) {
  Value x = inputs[0], seed = find_input(inputs, 1), step = find_input(inputs, 2);
  double rate = attributes.real("rate");
  if (!seed || rate == 0.0) return {x};
  Value u = builder.call("random_uniform", {seed, step}, {{"shape", x.shape()}, {"stream", attributes.integer("stream")}});
  Value keep = builder.call("greater_equal", {u, builder.constant(rate, u.type().dtype)});
  return {builder.select(keep, x * kept_scale(rate), builder.constant(0.0, x.type().dtype))};
}

Op dropout() {
  Example::Tensor seed{.shape = {}, .dtype = DType::i64, .values = {42}};
  Example::Tensor step{.shape = {}, .dtype = DType::i64, .values = {3}};
  return {
      .name = "dropout",
      .family = OpFamily::layer,
      .doc = "Training: y = x / (1 - rate) where u >= rate, else 0; u is uniform in [0, 1), drawn anew for each step and "
             "stream.   Otherwise, where seed and step are absent: y = x.   x, y: [batch, ...]   seed, step: i64[]",
      .class_name = "Dropout",
      .inputs = {{"x"}, {.name = "seed", .optional = true}, {.name = "step", .optional = true}},
      .attributes = {{.name = "rate", .type = AttributeType::real, .least = 0, .most = 1, .doc = "share that is set to 0"},
                     {.name = "noise_shape", .type = AttributeType::integers, .optional = true, .doc = "unsupported"},
                     {.name = "seed", .type = AttributeType::integer, .optional = true, .doc = "ignored: the run has one seed"},
                     {.name = "stream", .type = AttributeType::integer, .default_value = 0, .doc = "number of this dropout", .internal = true}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("dropout");
        refuse_attributes(context, op, {"noise_shape"});
        if (!is_float(context.inputs[0].dtype))
          fail(context, op, "needs floating point input but got " + type_text(context.inputs[0]));
        if (has_input(context, 1) != has_input(context, 2)) fail(context, op, "needs seed and step, or neither");
        return {context.inputs[0]};
      },
      .reference = dropout_reference,
      .expand = expand_dropout,
      .cheap = true,
      .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"rate", 0.3}}},
                   {.inputs = {{{17, 19}}, seed, step}, .attributes = {{"rate", 0.3}}},
                   {.inputs = {{{3, 4, 5}}, seed, step}, .attributes = {{"rate", 0.5}, {"stream", 7}}},
                   {.inputs = {{{3, 4}}, seed, step}, .attributes = {{"rate", 0.0}}}},
  };
}

}  // namespace

std::vector<Op> regularization_ops() {
  std::vector<Op> ops;
  ops.push_back(dropout());
  return ops;
}

}  // namespace moru
