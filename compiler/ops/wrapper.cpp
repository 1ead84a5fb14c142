// Layers around layers: Bidirectional and TimeDistributed.
#include <algorithm>

#include "compiler/ops/inner_layer.h"
#include "compiler/ops/names.h"
#include "compiler/ops/recurrent.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

// ---- Bidirectional ----

// What the op's inputs are, in order: x, the mask, seed and step or nothing, the initial states, the parameters.
constexpr size_t first_state = 4;

struct Directions {
  InnerLayer forward, backward;
  size_t states = 0;  // of each of the two
};

Directions directions_of(const Attributes& attributes, std::string_view node) {
  Directions d;
  d.forward = resolve_inner(attributes, "layer", node);
  if (attributes.has("backward_layer")) {
    d.backward = resolve_inner(attributes, "backward_layer", node);
  } else {
    d.backward = d.forward;
    if (recurrent_states(*d.forward.op, d.forward.attributes) > 0)
      d.backward.attributes.set("go_backwards", !d.forward.attributes.boolean("go_backwards"));
  }
  d.states = recurrent_states(*d.forward.op, d.forward.attributes);
  if (d.states == 0 || recurrent_states(*d.backward.op, d.backward.attributes) != d.states) return d;
  // Keras has sequences merged without what masked steps repeat.
  const int64_t stream = attributes.has("stream") ? attributes.integer("stream") : 0;
  for (InnerLayer* inner : {&d.forward, &d.backward}) {
    inner->attributes.set("zero_output_for_mask", inner->attributes.boolean("return_sequences"));
    inner->attributes.set("stream", 2 * stream + (inner == &d.backward ? 1 : 0));
  }
  return d;
}

std::string merge_mode_of(const Attributes& attributes) {
  return attributes.has("merge_mode") ? attributes.string("merge_mode") : "none";
}

std::vector<ParameterSpec> bidirectional_parameters(const OpContext& context) {
  Directions d = directions_of(context.attributes, context.node);
  std::vector<ParameterSpec> parameters = inner_parameters(d.forward, context.inputs.first(1), context.node, "forward/");
  for (ParameterSpec& parameter : inner_parameters(d.backward, context.inputs.first(1), context.node, "backward/"))
    parameters.push_back(std::move(parameter));
  return parameters;
}

std::vector<ParameterSpec> bidirectional_states(const OpContext& context) {
  Directions d = directions_of(context.attributes, context.node);
  std::vector<ParameterSpec> states;
  for (const InnerLayer* inner : {&d.forward, &d.backward}) {
    if (!inner->op->states) continue;
    for (ParameterSpec& state : inner->op->states({context.inputs.first(1), context.present.first(1), inner->attributes, {}, context.node})) {
      state.name = (inner == &d.forward ? "forward/" : "backward/") + state.name;
      states.push_back(std::move(state));
    }
  }
  return states;
}

std::vector<std::string> bidirectional_replaces(const Attributes& attributes) {
  Directions d = directions_of(attributes, {});
  std::vector<std::string> names;
  for (const InnerLayer* inner : {&d.forward, &d.backward})
    if (inner->op->replaces)
      for (const std::string& name : inner->op->replaces(inner->attributes))
        names.push_back((inner == &d.forward ? "forward/" : "backward/") + name);
  return names;
}

// What the two directions return behind their first outputs: the states of both, then those that stateful layers keep.
template <typename Item>
void append_states(const Directions& d, std::span<const Item> forward, std::span<const Item> backward, std::vector<Item>& outputs) {
  const size_t kept = d.forward.attributes.boolean("stateful") ? d.states : 0;
  for (std::span<const Item> of : {forward, backward}) outputs.insert(outputs.end(), of.begin() + 1, of.end() - static_cast<std::ptrdiff_t>(kept));
  for (std::span<const Item> of : {forward, backward}) outputs.insert(outputs.end(), of.end() - static_cast<std::ptrdiff_t>(kept), of.end());
}

std::vector<Type> infer_bidirectional(const OpContext& context) {
  const Op& op = get_op("bidirectional");
  Directions d = directions_of(context.attributes, context.node);
  if (d.states == 0 || recurrent_states(*d.backward.op, d.backward.attributes) != d.states)
    fail(context, op, "needs a recurrent layer (SimpleRNN, LSTM, GRU, RNN or ConvLSTM) but wraps " + std::string(d.forward.op->class_name) +
                          (d.states == 0 ? "" : " and " + std::string(d.backward.op->class_name)));
  if (d.forward.attributes.boolean("return_sequences") != d.backward.attributes.boolean("return_sequences") ||
      d.forward.attributes.boolean("return_state") != d.backward.attributes.boolean("return_state") ||
      d.forward.attributes.boolean("stateful") != d.backward.attributes.boolean("stateful"))
    fail(context, op, "needs equal return_sequences, return_state and stateful in both directions");
  if (d.forward.attributes.boolean("go_backwards") == d.backward.attributes.boolean("go_backwards"))
    fail(context, op, "needs layers of opposite directions", "set go_backwards=true on exactly one of them");
  const Type& x = context.inputs[0];
  infer_inner(d.forward, {&x, 1}, context.node);
  check_step_mask(context, op, 1);
  // The states are what is left over between x and the parameters; when a model is drawn, parameters are not given yet.
  size_t parameters = bidirectional_parameters(context).size();
  size_t given = context.inputs.size() - std::min(context.inputs.size(), first_state);
  size_t states = given >= parameters ? given - parameters : given;
  if (states != 0 && states != 2 * d.states)
    fail(context, op, "needs " + std::to_string(2 * d.states) + " initial states (the forward layer's, then the backward "
                      "layer's) but got " + std::to_string(states));
  std::vector<Type> forward_inputs = {x}, backward_inputs = {x};
  for (size_t i = 0; i < states; ++i) (i < d.states ? forward_inputs : backward_inputs).push_back(context.inputs[first_state + i]);
  std::vector<Type> forward = infer_inner(d.forward, forward_inputs, context.node);
  std::vector<Type> backward = infer_inner(d.backward, backward_inputs, context.node);
  std::string mode = merge_mode_of(context.attributes);
  std::vector<Type> outputs = {forward[0]};
  if (mode == "concat") {
    outputs[0].shape.back() = forward[0].shape.back() + backward[0].shape.back();
  } else if (forward[0].shape != backward[0].shape) {
    fail(context, op, "cannot merge " + shape_text(forward[0].shape) + " and " + shape_text(backward[0].shape) +
                          " with merge_mode=\"" + mode + "\"", "give both layers the same number of units");
  }
  if (mode == "none") outputs.push_back(backward[0]);
  append_states<Type>(d, forward, backward, outputs);
  return outputs;
}

// Splits the op's inputs into those of the two directions.
template <typename Item>
std::pair<std::vector<Item>, std::vector<Item>> split_inputs(const Directions& d, std::span<const Item> inputs,
                                                             const std::vector<std::string>& forward_names,
                                                             const std::vector<std::string>& backward_names) {
  size_t states = inputs.size() - first_state - forward_names.size() - backward_names.size();
  std::vector<Item> tensors[2] = {{inputs[0]}, {inputs[0]}};
  for (size_t i = 0; i < states; ++i) tensors[i < d.states ? 0 : 1].push_back(inputs[first_state + i]);
  std::span<const Item> parameters = inputs.subspan(first_state + states);
  const Supplied<Item> supplied{inputs[1], inputs[2], inputs[3]};
  return {placed<Item>(d.forward, tensors[0], supplied, forward_names, parameters.first(forward_names.size())),
          placed<Item>(d.backward, tensors[1], supplied, backward_names, parameters.subspan(forward_names.size()))};
}

std::vector<Value> expand_bidirectional(Builder& builder, std::span<const Value> inputs, const Attributes& attributes) {
  Directions d = directions_of(attributes, builder.origin());
  Type x = inputs[0].type();
  auto [forward_inputs, backward_inputs] =
      split_inputs<Value>(d, inputs, names_of(inner_parameters(d.forward, {&x, 1}, builder.origin(), "")),
                          names_of(inner_parameters(d.backward, {&x, 1}, builder.origin(), "")));
  std::vector<Value> forward = d.forward.op->expand(builder, forward_inputs, d.forward.attributes);
  // Keras reverses what the backward layer returns. It goes backwards itself, so that puts its sequence in time order.
  std::vector<Value> backward = expand_recurrent_in_time_order(*d.backward.op, builder, backward_inputs, d.backward.attributes);
  if (d.backward.attributes.boolean("return_sequences") && !d.backward.attributes.boolean("go_backwards"))
    backward[0] = builder.call("reverse", {backward[0]}, {{"axis", 1}});
  std::string mode = merge_mode_of(attributes);
  std::vector<Value> outputs;
  if (mode == "concat")
    outputs = {builder.concat(std::vector<Value>{forward[0], backward[0]}, static_cast<int64_t>(forward[0].rank()) - 1)};
  else if (mode == "sum")
    outputs = {forward[0] + backward[0]};
  else if (mode == "ave")
    outputs = {(forward[0] + backward[0]) * 0.5};
  else if (mode == "mul")
    outputs = {forward[0] * backward[0]};
  else
    outputs = {forward[0], backward[0]};
  append_states<Value>(d, forward, backward, outputs);
  return outputs;
}

// [batch, time, ...] with time reversed
HostTensor time_reversed(const HostTensor& x) {
  HostTensor y = x;
  int64_t time = x.shape[1], width = x.elements() / (x.shape[0] * time);
  for (int64_t i = 0; i < x.elements(); ++i) {
    int64_t t = i / width % time;
    y.data[static_cast<size_t>(i)] = x.data[static_cast<size_t>(i + (time - 1 - 2 * t) * width)];
  }
  return y;
}

std::vector<HostTensor> bidirectional_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  Directions d = directions_of(attributes, {});
  std::vector<Type> x = types_of(inputs.first(1));
  auto [forward_inputs, backward_inputs] = split_inputs<HostTensor>(d, inputs, names_of(inner_parameters(d.forward, x, {}, "")),
                                                                    names_of(inner_parameters(d.backward, x, {}, "")));
  std::vector<HostTensor> forward = d.forward.op->reference(forward_inputs, d.forward.attributes);
  std::vector<HostTensor> backward = d.backward.op->reference(backward_inputs, d.backward.attributes);
  if (d.forward.attributes.boolean("return_sequences")) backward[0] = time_reversed(backward[0]);
  std::string mode = merge_mode_of(attributes);
  HostTensor merged = forward[0];
  if (mode == "concat") {
    auto left = static_cast<size_t>(forward[0].shape.back()), right = static_cast<size_t>(backward[0].shape.back());
    merged.shape.back() += backward[0].shape.back();
    merged.data.clear();
    for (size_t row = 0; row < forward[0].data.size() / left; ++row) {
      for (size_t j = 0; j < left; ++j) merged.data.push_back(forward[0].data[row * left + j]);
      for (size_t j = 0; j < right; ++j) merged.data.push_back(backward[0].data[row * right + j]);
    }
  } else if (mode != "none") {
    for (size_t i = 0; i < merged.data.size(); ++i) {
      double a = forward[0].data[i], b = backward[0].data[i];
      merged.data[i] = mode == "mul" ? a * b : mode == "sum" ? a + b : (a + b) / 2.0;
    }
  }
  std::vector<HostTensor> outputs = {merged};
  if (mode == "none") outputs.push_back(backward[0]);
  append_states<HostTensor>(d, forward, backward, outputs);
  return outputs;
}

std::vector<Value> bidirectional_mask(const MaskContext& context) {
  if (!directions_of(context.attributes, context.builder.origin()).forward.attributes.boolean("return_sequences")) return {};
  const Value mask = context.masks[0];
  return merge_mode_of(context.attributes) == "none" ? std::vector<Value>{mask, mask} : std::vector<Value>{mask};
}

Op bidirectional() {
  auto lstm = [](int64_t units, bool sequences, bool state = false) {
    return Attributes{{"class", "LSTM"}, {"units", units}, {"return_sequences", sequences}, {"return_state", state}};
  };
  Attributes gru{{"class", "GRU"}, {"units", 4}, {"return_sequences", true}, {"reset_after", false}};
  Attributes rnn{{"class", "SimpleRNN"}, {"units", 3}};
  const Example::Tensor mask{.shape = {2, 4}, .dtype = DType::boolean, .values = {0, 1, 1, 0, 1, 0, 1, 1}};
  const Example::Tensor none{.shape = {}, .absent = true};
  auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  Attributes dropping = lstm(3, true), stateful = rnn;
  dropping.set("dropout", 0.3);
  dropping.set("recurrent_dropout", 0.4);
  stateful.set("stateful", true);
  stateful.set("return_state", true);
  Attributes backward_gru = gru;
  backward_gru.set("units", 2);
  backward_gru.set("go_backwards", true);
  return {
      .name = "bidirectional",
      .family = OpFamily::layer,
      .doc = "Runs a recurrent layer forwards and another one backwards over the sequence and merges what they return.   "
             "x: [batch, time, in]   mask: [batch, time], then 2 or 4 initial states (forward, backward)   ->   the merged output (both for none), "
             "then the forward states, then the backward states with return_state",
      .class_name = "Bidirectional",
      .inputs = {{"x"}, mask_input(), {.name = "seed", .optional = true}, {.name = "step", .optional = true},
                 {.name = "states_and_parameters", .optional = true, .variadic = true}},
      .attributes = {{.name = "layer", .type = AttributeType::nested, .doc = "the forward layer, class under \"class\""},
                     {.name = "backward_layer", .type = AttributeType::nested, .optional = true,
                      .doc = "by default the forward layer's attributes with go_backwards flipped"},
                     {.name = "merge_mode", .type = AttributeType::string, .default_value = "concat", .optional = true,
                      .choices = {"concat", "sum", "ave", "mul", "none"}},
                     {.name = "stream", .type = AttributeType::integer, .default_value = 0, .doc = "number of this draw", .internal = true}},
      .infer = infer_bidirectional,
      .parameters = bidirectional_parameters,
      .states = bidirectional_states,
      .replaces = bidirectional_replaces,
      .mask = bidirectional_mask,
      .reference = bidirectional_reference,
      .expand = expand_bidirectional,
      .examples = {{.inputs = {{{2, 4, 3}}, none, none, none}, .attributes = {{"layer", lstm(5, true)}}},
                   {.inputs = {{{3, 4, 2}}, none, none, none}, .attributes = {{"layer", lstm(4, false)}}},
                   {.inputs = {{{2, 3, 4}}, none, none, none}, .attributes = {{"layer", gru}, {"merge_mode", "sum"}}},
                   {.inputs = {{{2, 5, 2}}, none, none, none}, .attributes = {{"layer", rnn}, {"merge_mode", "ave"}}},
                   {.inputs = {{{2, 3, 3}}, none, none, none}, .attributes = {{"layer", lstm(2, true, true)}, {"merge_mode", "mul"}}},
                   {.inputs = {{{2, 3, 3}}, none, none, none}, .attributes = {{"layer", lstm(3, true)}, {"merge_mode", AttributeValue()}}},
                   {.inputs = {{{2, 4, 3}}, none, none, none}, .attributes = {{"layer", gru}, {"backward_layer", backward_gru}}},
                   {.inputs = {{{2, 4, 3}}, mask, none, none}, .attributes = {{"layer", lstm(3, true)}}},
                   {.inputs = {{{2, 4, 3}}, mask, none, none, {{2, 3}}, {{2, 3}}}, .attributes = {{"layer", rnn}, {"merge_mode", "sum"}}},
                   {.inputs = {{{2, 4, 3}}, none, number(42), number(3)}, .attributes = {{"layer", dropping}}},
                   {.inputs = {{{2, 4, 3}}, none, none, none, {{2, 3}}, {{2, 3}}}, .attributes = {{"layer", stateful}}}},
  };
}

// ---- TimeDistributed ----

// Layers that act along the last axis or on single elements do the same to [batch, time, ...] as to each step.
bool acts_on_last_axis(const InnerLayer& inner) {
  if (inner.op->name == "softmax_layer") return inner.attributes.integer("axis") == -1;
  if (inner.op->name == "normalization")
    return inner.attributes.has("axis") && inner.attributes.integers("axis") == std::vector<int64_t>{-1};
  for (std::string_view name : {"dense", "activation", "relu_layer", "leaky_relu_layer", "elu_layer", "rescaling", "embedding"})
    if (inner.op->name == name) return true;
  return false;
}

Type step_type(const Type& x) {
  Type step = x;
  step.shape.erase(step.shape.begin() + 1);
  return step;
}

std::vector<ParameterSpec> time_distributed_parameters(const OpContext& context) {
  Type step = step_type(context.inputs[0]);
  return inner_parameters(resolve_inner(context.attributes, "layer", context.node), {&step, 1}, context.node, "layer/");
}

// True for dropout, noise, recurrent layers with dropout, and what may hold such layers.
bool draws(const InnerLayer& inner) {
  if (recurrent_states(*inner.op, inner.attributes) > 0) return draws_numbers(*inner.op, inner.attributes);
  return std::ranges::any_of(inner.op->inputs, [](const InputSpec& input) { return input.name == "seed"; });
}

InnerLayer resolve_step_layer(const Attributes& attributes, std::string_view node) {
  InnerLayer inner = resolve_inner(attributes, "layer", node);
  if (attributes.has("stream") && inner.attributes.find("stream")) inner.attributes.set("stream", attributes.integer("stream"));
  return inner;
}

// [batch, time, ...] as [batch * time, ...]: a layer that draws then has numbers of its own for each step, as in Keras.
template <typename Extent>
std::vector<Extent> joined_steps(const std::vector<Extent>& shape) {
  std::vector<Extent> joined(shape.begin() + 1, shape.end());
  joined[0] = shape[0] * shape[1];
  return joined;
}
template <typename Extent>
std::vector<Extent> parted_steps(const std::vector<Extent>& joined, const std::vector<Extent>& x) {
  std::vector<Extent> shape = {x[0], x[1]};
  shape.insert(shape.end(), joined.begin() + 1, joined.end());
  return shape;
}

// Keras hands each step's mask to the layer where that takes one. A mask of the steps alone says nothing of what is inside
// a step: it goes past the layer.
bool masks_steps(const InnerLayer& inner, const Shape& mask) { return mask.size() > 2 && takes_mask(inner); }

// What the op's inputs are, in order: x, the mask, seed and step or nothing, the parameters.
constexpr size_t first_parameter = 4;

std::vector<Type> infer_time_distributed(const OpContext& context) {
  const Op& op = get_op("time_distributed");
  const Type& x = context.inputs[0];
  if (x.shape.size() < 3)
    fail(context, op, "needs a sequence [batch, time, ...] but got " + shape_text(x.shape),
         "set return_sequences=true on the recurrent layer before it");
  const InnerLayer inner = resolve_step_layer(context.attributes, context.node);
  if (has_input(context, first_parameter - 2) != has_input(context, first_parameter - 1))
    fail(context, op, "needs seed and step, or neither");
  const bool masked = has_input(context, 1);
  if (masked) {
    const Shape& mask = context.inputs[1].shape;
    if (mask.size() < 2 || mask[0] != x.shape[0] || mask[1] != x.shape[1])
      fail(context, op, "needs a mask [batch, time, ...] of its input " + shape_text(x.shape) + " but got " + shape_text(mask));
  }
  Type step = step_type(x);
  const bool inside = masked && masks_steps(inner, context.inputs[1].shape);
  std::vector<Type> outputs =
      infer_inner(inner, {&step, 1}, context.node, inside ? std::optional(step_type(context.inputs[1])) : std::nullopt);
  if (outputs.size() != 1)
    unsupported(context, op, "TimeDistributed around a layer with " + std::to_string(outputs.size()) + " outputs");
  outputs[0].shape.insert(outputs[0].shape.begin() + 1, x.shape[1]);
  return outputs;
}

std::vector<Value> expand_time_distributed(Builder& builder, std::span<const Value> inputs, const Attributes& attributes) {
  InnerLayer inner = resolve_step_layer(attributes, builder.origin());
  Value x = inputs[0], mask = find_input(inputs, 1), seed = find_input(inputs, 2);
  if (mask && !masks_steps(inner, mask.shape())) mask = {};
  const std::span<const Value> parameters = inputs.subspan(std::min(inputs.size(), first_parameter));
  Type step_input = step_type(x.type());
  std::vector<std::string> names = names_of(inner_parameters(inner, {&step_input, 1}, builder.origin(), ""));
  if (seed && draws(inner)) {
    const Value joined = builder.reshape(x, joined_steps(x.shape()));
    if (mask) mask = builder.reshape(mask, joined_steps(mask.shape()));
    const Value y = inner.op->expand(builder, placed<Value>(inner, {&joined, 1}, {.mask = mask, .seed = seed, .step = inputs[3]}, names, parameters),
                                     inner.attributes).at(0);
    return {builder.reshape(y, parted_steps(y.shape(), x.shape()))};
  }
  if (acts_on_last_axis(inner) && !mask)
    return inner.op->expand(builder, placed<Value>(inner, inputs.first(1), {}, names, parameters), inner.attributes);

  std::vector<Value> scanned = {x};
  if (mask) scanned.push_back(mask);
  const size_t sequences = scanned.size();
  scanned.insert(scanned.end(), parameters.begin(), parameters.end());
  Graph body;
  Builder step(body, builder.origin());
  std::vector<Value> parts;
  for (size_t i = 0; i < scanned.size(); ++i)
    parts.push_back(step.input(i < sequences ? step_type(scanned[i].type()) : scanned[i].type()));
  std::span<const Value> all(parts);
  const std::vector<Value> at_step =
      placed<Value>(inner, all.first(1), {.mask = mask ? all[1] : Value{}, .seed = {}, .step = {}}, names, all.subspan(sequences));
  step.result(inner.op->expand(step, at_step, inner.attributes).at(0));
  using Integers = std::vector<int64_t>;
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  return builder.call_all("scan", scanned,
                          {{"carries", 0},
                           {"sequences", static_cast<int64_t>(sequences)},
                           {"axes", Integers(sequences, 1)},
                           {"output_axes", Integers{1}},
                           {"reverse", false},
                           {"trip", Shape{x.dim(1)}}},
                          std::move(bodies));
}

std::vector<HostTensor> time_distributed_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  InnerLayer inner = resolve_step_layer(attributes, {});
  const HostTensor &x = inputs[0], *mask = find_input(inputs, 1), *seed = find_input(inputs, 2);
  const std::span<const HostTensor> parameters = inputs.subspan(std::min(inputs.size(), first_parameter));
  auto batch = static_cast<size_t>(x.shape[0]), time = static_cast<size_t>(x.shape[1]);
  const auto at_step = [&](const HostTensor& from, size_t t) {
    HostTensor step = from;
    step.shape.erase(step.shape.begin() + 1);
    step.data.clear();
    const auto width = static_cast<std::ptrdiff_t>(from.data.size() / (batch * time));
    for (size_t b = 0; b < batch; ++b) {
      const auto row = from.data.begin() + static_cast<std::ptrdiff_t>(b * time + t) * width;
      step.data.insert(step.data.end(), row, row + width);
    }
    return step;
  };
  HostTensor y;
  std::vector<Type> step_input = {step_type(types_of(inputs.first(1))[0])};
  std::vector<std::string> names = names_of(inner_parameters(inner, step_input, {}, ""));
  const bool masked = mask && mask->shape.size() > 2 && takes_mask(inner);
  if (seed && draws(inner)) {
    const auto joined = [](HostTensor tensor) {
      tensor.shape = joined_steps(tensor.shape);
      return tensor;
    };
    const HostTensor steps = joined(x), steps_mask = masked ? joined(*mask) : HostTensor{};
    y = inner.op->reference(placed<HostTensor>(inner, {&steps, 1}, {.mask = steps_mask, .seed = *seed, .step = inputs[3]}, names, parameters),
                            inner.attributes).at(0);
    y.shape = parted_steps(y.shape, x.shape);
    return {y};
  }
  for (size_t t = 0; t < time; ++t) {
    const HostTensor step = at_step(x, t), step_mask = masked ? at_step(*mask, t) : HostTensor{};
    HostTensor out =
        inner.op->reference(placed<HostTensor>(inner, {&step, 1}, {.mask = step_mask, .seed = {}, .step = {}}, names, parameters), inner.attributes).at(0);
    if (t == 0) {
      std::vector<int64_t> shape = out.shape;
      shape.insert(shape.begin() + 1, x.shape[1]);
      y = make_tensor(out.dtype, shape);
    }
    size_t out_width = out.data.size() / batch;
    for (size_t b = 0; b < batch; ++b)
      for (size_t k = 0; k < out_width; ++k) y.data[(b * time + t) * out_width + k] = out.data[b * out_width + k];
  }
  return {y};
}

Op time_distributed() {
  Attributes dense{{"class", "Dense"}, {"units", 5}, {"activation", "tanh"}};
  Attributes flatten{{"class", "Flatten"}};
  Attributes lstm{{"class", "LSTM"}, {"units", 3}};
  Attributes repeat{{"class", "RepeatVector"}, {"n", 3}};
  Attributes dropout{{"class", "Dropout"}, {"rate", 0.4}};
  Attributes dropping{{"class", "LSTM"}, {"units", 3}, {"dropout", 0.3}};
  Attributes both_ways{{"class", "Bidirectional"}, {"layer", Attributes{{"class", "GRU"}, {"units", 2}}}};
  auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  const Example::Tensor mask{.shape = {2, 3}, .dtype = DType::boolean, .values = {0, 1, 1, 0, 1}};
  const Example::Tensor none{.shape = {}, .absent = true};
  const Example::Tensor inner_mask{.shape = {2, 3, 4}, .dtype = DType::boolean, .values = {0, 1, 1, 0, 1}};
  return {
      .name = "time_distributed",
      .family = OpFamily::layer,
      .doc = "Applies a layer to each step of a sequence, with the same weights.   x: [batch, time, ...]   ->   "
             "y: [batch, time, ...].   A mask [batch, time, ...] of more than the steps reaches the layer step by step",
      .class_name = "TimeDistributed",
      .inputs = {{"x"}, mask_input(), {.name = "seed", .optional = true}, {.name = "step", .optional = true},
                 {.name = "parameters", .optional = true, .variadic = true}},
      .attributes = {{.name = "layer", .type = AttributeType::nested, .doc = "the layer, its class under \"class\""},
                     {.name = "stream", .type = AttributeType::integer, .default_value = 0, .doc = "number of this draw", .internal = true}},
      .infer = infer_time_distributed,
      .parameters = time_distributed_parameters,
      .mask = keep_mask,
      .reference = time_distributed_reference,
      .expand = expand_time_distributed,
      .examples = {{.inputs = {{{2, 4, 3}}, none, none, none}, .attributes = {{"layer", dense}}},
                   {.inputs = {{{2, 3, 4, 5}}}, .attributes = {{"layer", flatten}}},
                   {.inputs = {{{2, 3, 4, 2}}, none, none, none}, .attributes = {{"layer", lstm}}},
                   {.inputs = {{{3, 2, 5}}}, .attributes = {{"layer", repeat}}},
                   {.inputs = {{{2, 3, 4}}, mask, none, none}, .attributes = {{"layer", dense}}},
                   {.inputs = {{{2, 3, 4, 2}}, inner_mask, none, none}, .attributes = {{"layer", lstm}}},
                   {.inputs = {{{2, 3, 4}}, none, number(42), number(3)}, .attributes = {{"layer", dropout}}},
                   {.inputs = {{{2, 3, 4}}}, .attributes = {{"layer", dropout}}},
                   {.inputs = {{{2, 3, 4, 2}}, inner_mask, number(42), number(3)}, .attributes = {{"layer", dropping}}},
                   {.inputs = {{{2, 3, 4, 2}}, none, none, none}, .attributes = {{"layer", both_ways}}},
                   {.inputs = {{{2, 3, 4, 2}}, inner_mask, number(42), number(3)}, .attributes = {{"layer", both_ways}}}},
  };
}

}  // namespace

std::vector<Op> wrapper_ops() {
  std::vector<Op> ops;
  ops.push_back(bidirectional());
  ops.push_back(time_distributed());
  ops.push_back(spectral_normalization());
  return ops;
}

}  // namespace moru
