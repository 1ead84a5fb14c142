// Recurrent layers: SimpleRNN, LSTM, GRU, RNN over cells, and what ConvLSTM shares with them. Each expands into one scan over
// time whose body is its cells (recurrent_cells.h); masks, states that are kept and dropout are the same for all.
#include "compiler/ops/recurrent.h"

#include <algorithm>

#include "compiler/ops/recurrent_loop.h"
#include "compiler/ops/recurrent_parts.h"

namespace moru {

using namespace recurrent;

namespace {

// ---- states that are kept ----

std::string state_name(const Op& op, size_t index) {
  if (op.name == "rnn") return "state_" + std::to_string(index);
  return index == 0 ? "initial_h" : "initial_c";  // the inputs that they fill
}

std::vector<ParameterSpec> kept_states(const OpContext& context, const Op& op) {
  std::vector<ParameterSpec> states;
  if (!context.attributes.boolean("stateful")) return states;
  const Type& x = context.inputs[0];
  for (const Shape& shape : shapes_of(parts_of(op, context.attributes, context.node), step_of(x.shape)).states)
    states.push_back({.name = state_name(op, states.size()),
                      .shape = shape,
                      .initializer = Attributes{{"class", "Zeros"}},
                      .regularizer = {},
                      .trainable = false,
                      .dtype = float_dtype(x.dtype)});
  return states;
}

std::vector<std::string> replaced_states(const Op& op, const Attributes& attributes) {
  std::vector<std::string> names;
  if (!attributes.boolean("stateful")) return names;
  const size_t count = state_count(parts_of(op, attributes, {}));
  while (names.size() < count) names.push_back(state_name(op, names.size()));
  return names;
}

// ---- dropout ----

// What dropout leaves: 1 / (1 - rate) or 0; no value where nothing is dropped.
Value drawn(Builder& builder, std::span<const Value> random, const Draw& draw, DType dtype) {
  if (random.empty() || draw.shape.empty()) return {};
  const Value uniform = builder.call_all("random_uniform", random, {{"shape", draw.shape}, {"stream", draw.stream}})[0];
  const Value kept = builder.call("greater_equal", {uniform, builder.constant(draw.rate, uniform.type().dtype)});
  return builder.select(kept, builder.constant(1.0 / (1.0 - draw.rate), dtype), builder.constant(0.0, dtype));
}

// [batch, ...] as [batch, 1, ...]
Shape with_gate(Shape shape) {
  shape.insert(shape.begin() + 1, Dim(1));
  return shape;
}

// One step x times what is kept of it, [batch, gates, ...] where each gate has numbers of its own.
Value dropped(Builder& builder, Value x, Value kept) {
  if (kept.dim(1).is_constant(1)) return x * builder.reshape(kept, x.shape());
  return builder.reshape(x, with_gate(x.shape())) * kept;
}

// The same for all steps of [batch, time, ...].
Value dropped_sequence(Builder& builder, Value x, Value kept) {
  if (kept.dim(1).is_constant(1)) return x * kept;
  Shape each = x.shape(), of_kept = kept.shape();
  each.insert(each.begin() + 2, Dim(1));
  of_kept.insert(of_kept.begin() + 1, Dim(1));
  return builder.reshape(x, each) * builder.reshape(kept, of_kept);
}

// ---- the layers ----

std::vector<ParameterSpec> recurrent_parameters(const OpContext& context, const Op& op) {
  std::vector<ParameterSpec> parameters;
  const Parts parts = parts_of(op, context.attributes, context.node);
  const StepShapes shapes = shapes_of(parts, step_of(context.inputs[0].shape));
  for (size_t p = 0; p < parts.size(); ++p)
    for (ParameterSpec& parameter : parts[p].cell->parameters(*parts[p].cell, shapes.inputs[p], parts[p].attributes)) {
      parameter.name = parts[p].prefix + parameter.name;
      parameters.push_back(std::move(parameter));
    }
  return parameters;
}

std::vector<Type> infer_recurrent(const OpContext& context, const Op& op) {
  const Attributes& a = context.attributes;
  refuse_attributes(context, op, {"time_major"});
  const Parts parts = parts_of(op, a, context.node);
  for (const Part& part : parts) {
    const OpContext of_cell{context.inputs, context.present, part.attributes, {}, context.node};
    check_activation(of_cell, op, "activation");
    check_activation(of_cell, op, "recurrent_activation");
  }
  const Type& x = context.inputs[0];
  const Shape step = step_of(x.shape);
  parts[0].cell->check(context, op, *parts[0].cell, step, parts[0].attributes);
  if (a.boolean("stateful") && !x.shape[0].is_constant())
    fail(context, op, "is stateful and needs a fixed batch size, but its input is " + shape_text(x.shape),
         "give the model's input a batch size (batch_shape in Keras): a state belongs to one row of the batch");
  const std::vector<Shape> states = shapes_of(parts, step).states;
  const Places places = places_of(op, parts, context.inputs.size());
  size_t given = 0;
  for (size_t i = 0; i < places.weights - places.states; ++i) {
    if (!has_input(context, places.states + i)) continue;
    ++given;
    const Shape& initial = context.inputs[places.states + i].shape;
    if (i < states.size() && !are_equal(context, states[i], initial))
      fail(context, op, "needs an initial state " + shape_text(states[i]) + " but got " + shape_text(initial),
           op.name == "rnn" ? "" : "a state has one column for each of the " + states[i].back().text() + " units");
  }
  if (given != 0 && given != states.size())
    fail(context, op, states.size() == 2 && parts.size() == 1
                          ? "needs two initial states, h and c, but got one"
                          : "needs " + std::to_string(states.size()) + " initial states but got " + std::to_string(given));
  check_step_mask(context, op, places.mask);
  if (has_input(context, places.seed) != has_input(context, places.seed + 1))
    fail(context, op, "needs seed and step, or neither");
  if (op.name != "rnn") check_parameters(context, op);
  const DType dtype = float_dtype(x.dtype);
  std::vector<Type> kept;
  for (const Shape& state : states) kept.push_back({dtype, state});
  std::vector<Type> outputs = {{dtype, states[states.size() - parts.back().cell->states]}};
  if (a.boolean("return_sequences")) outputs[0].shape.insert(outputs[0].shape.begin() + 1, x.shape[1]);
  for (const char* flag : {"return_state", "stateful"})
    if (a.boolean(flag)) outputs.insert(outputs.end(), kept.begin(), kept.end());
  return outputs;
}

std::vector<Value> expand_recurrent(const Op& op, Builder& builder, std::span<const Value> inputs, const Attributes& attributes,
                                    bool in_time_order) {
  const Parts parts = parts_of(op, attributes, builder.origin());
  const Arguments<Value> arguments = arguments_of<Value>(op, parts, inputs);
  RecurrentLoop loop{.x = to_float(arguments.x), .mask = arguments.mask, .states = {}, .invariants = {}, .step = {}};
  const DType dtype = loop.x.type().dtype;
  const StepShapes shapes = shapes_of(parts, step_of(loop.x.shape()));
  for (size_t i = 0; i < shapes.states.size(); ++i)
    loop.states.push_back(arguments.states.empty() ? builder.fill(0.0, shapes.states[i], dtype) : to_float(arguments.states[i]));

  // All numbers of dropout are drawn outside of the loop, which multiplies by them; the input of the first cell is
  // multiplied out here as well.
  const Draws draws = draws_of(parts, shapes, attributes);
  std::vector<Value> kept_x, kept_h;
  for (size_t p = 0; p < parts.size(); ++p) {
    kept_x.push_back(drawn(builder, arguments.random, draws.x[p], dtype));
    kept_h.push_back(drawn(builder, arguments.random, draws.h[p], dtype));
  }
  if (kept_x[0]) loop.x = dropped_sequence(builder, loop.x, kept_x[0]);
  kept_x[0] = {};

  // Where what belongs to each part stands among the invariants: weights, then factors.
  struct Place {
    size_t first = 0, weights = 0;
  };
  std::vector<Place> places;
  for (size_t p = 0; p < parts.size(); ++p) {
    const std::vector<Value> weights = parts[p].cell->invariants(builder, arguments.weights[p], parts[p].attributes);
    places.push_back({loop.invariants.size(), weights.size()});
    loop.invariants.insert(loop.invariants.end(), weights.begin(), weights.end());
    for (const Value& kept : {kept_x[p], kept_h[p]})
      if (kept) loop.invariants.push_back(kept);
  }
  loop.step = [&](Builder& step, Value x, std::span<const Value> states, std::span<const Value> invariants) {
    std::vector<Value> next;
    for (size_t p = 0; p < parts.size(); ++p) {
      size_t at = places[p].first + places[p].weights;
      if (kept_x[p]) x = dropped(step, x, invariants[at++]);
      const std::vector<Value> of_part = parts[p].cell->step(step, x, states.subspan(next.size(), parts[p].cell->states),
                                                             invariants.subspan(places[p].first, places[p].weights),
                                                             kept_h[p] ? invariants[at] : Value{}, parts[p].attributes);
      x = of_part[0];
      next.insert(next.end(), of_part.begin(), of_part.end());
    }
    return std::pair(x, next);
  };
  loop.return_sequences = attributes.boolean("return_sequences");
  loop.go_backwards = attributes.boolean("go_backwards");
  loop.zero_output_for_mask = attributes.boolean("zero_output_for_mask");
  loop.in_time_order = in_time_order;
  loop.output_is_state = arguments.states.empty();
  const std::vector<Value> run = run_recurrent_loop(builder, loop);
  std::vector<Value> outputs = {run[0]};
  for (const char* flag : {"return_state", "stateful"})
    if (attributes.boolean(flag)) outputs.insert(outputs.end(), run.begin() + 1, run.end());
  return outputs;
}

// A sequence keeps the mask of its steps, as Keras has it: in the order of the input, also where the layer goes backwards.
std::vector<Value> recurrent_mask(const MaskContext& context) {
  if (!context.attributes.boolean("return_sequences")) return {};
  return {context.masks[0]};
}

// Of the loop, whatever it runs.
std::vector<AttributeSpec> loop_attributes() {
  using T = AttributeType;
  return {
      {.name = "return_sequences", .type = T::boolean, .default_value = false, .doc = "all steps, not only the last"},
      {.name = "return_state", .type = T::boolean, .default_value = false, .doc = "also return the last state"},
      {.name = "go_backwards", .type = T::boolean, .default_value = false, .doc = "from the last step to the first"},
      {.name = "stateful", .type = T::boolean, .default_value = false, .doc = "begins with the states of the call before"},
      {.name = "unroll", .type = T::boolean, .default_value = false, .doc = "no effect: steps are a loop"},
      {.name = "zero_output_for_mask", .type = T::boolean, .default_value = false, .doc = "masked steps yield 0, not the output before them"},
      {.name = "time_major", .type = T::boolean, .default_value = false, .doc = "unsupported"},
      {.name = "stream", .type = T::integer, .default_value = 0, .doc = "number of this draw", .internal = true},
  };
}

}  // namespace

std::vector<AttributeSpec> recurrent_attributes(bool gated) {
  using T = AttributeType;
  std::vector<AttributeSpec> attributes = {
      {.name = "units", .type = T::integer, .least = 1, .doc = "width of the state"},
      {.name = "activation", .type = T::activation, .default_value = "tanh"},
      {.name = "use_bias", .type = T::boolean, .default_value = true},
      {.name = "kernel_initializer", .type = T::initializer, .default_value = "glorot_uniform"},
      {.name = "recurrent_initializer", .type = T::initializer, .default_value = "orthogonal"},
      {.name = "bias_initializer", .type = T::initializer, .default_value = "zeros"},
      {.name = "kernel_regularizer", .type = T::regularizer, .optional = true},
      {.name = "recurrent_regularizer", .type = T::regularizer, .optional = true},
      {.name = "bias_regularizer", .type = T::regularizer, .optional = true},
      {.name = "activity_regularizer", .type = T::regularizer, .optional = true},
      {.name = "kernel_constraint", .type = T::constraint, .optional = true},
      {.name = "recurrent_constraint", .type = T::constraint, .optional = true},
      {.name = "bias_constraint", .type = T::constraint, .optional = true},
      {.name = "dropout", .type = T::real, .default_value = 0.0, .least = 0, .most = 1,
       .doc = "share of the features that training leaves out, the same ones in all steps"},
      {.name = "recurrent_dropout", .type = T::real, .default_value = 0.0, .least = 0, .most = 1,
       .doc = "the same of the state on its way into the gates"},
      {.name = "seed", .type = T::integer, .optional = true, .doc = "ignored: the run has one seed"},
      {.name = "implementation", .type = T::integer, .default_value = 2, .least = 0, .most = 2, .doc = gated ? "1: dropout draws for each gate" : "ignored: there are no gates"},
      {.name = "use_cudnn", .type = T::string, .default_value = "auto", .doc = "ignored"},
  };
  if (gated)
    attributes.insert(attributes.begin() + 2,
                      AttributeSpec{.name = "recurrent_activation", .type = T::activation, .default_value = "sigmoid"});
  const std::vector<AttributeSpec> loop = loop_attributes();
  attributes.insert(attributes.end(), loop.begin(), loop.end());
  return attributes;
}

std::vector<InputSpec> recurrent_inputs(size_t states) {
  std::vector<InputSpec> inputs = {{"x"}, {.name = "initial_h", .optional = true}};
  if (states == 2) inputs.push_back({.name = "initial_c", .optional = true});
  for (std::string_view weight : {"kernel", "recurrent_kernel"}) inputs.push_back({.name = weight});
  inputs.push_back({.name = "bias", .optional = true});
  inputs.push_back(mask_input());
  for (std::string_view random : {"seed", "step"}) inputs.push_back({.name = random, .optional = true});
  return inputs;
}

namespace {

std::vector<Example> recurrent_examples(size_t states) {
  auto with_initial = [&](std::vector<int64_t> x, int64_t units) {
    std::vector<Example::Tensor> inputs = {{x}};
    for (size_t i = 0; i < states; ++i) inputs.push_back({{x[0], units}});
    return inputs;
  };
  // x, initial states or not, weights that are made from their specs, a mask
  auto with_mask = [&](std::vector<int64_t> x, int64_t units, bool initial) {
    std::vector<Example::Tensor> inputs = initial ? with_initial(x, units) : std::vector<Example::Tensor>{{x}};
    inputs.resize(states + 4, Example::Tensor{.shape = {}, .absent = true});
    inputs.push_back({.shape = {x[0], x[1]}, .dtype = DType::boolean, .values = {0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0}});
    return inputs;
  };
  auto in_training = [&](std::vector<int64_t> x, int64_t units, bool masked) {
    std::vector<Example::Tensor> inputs = with_mask(x, units, masked);
    inputs.back().absent = !masked;
    for (double value : {42.0, 3.0}) inputs.push_back({.shape = {}, .dtype = DType::i64, .values = {value}});
    return inputs;
  };
  return {
      {.inputs = {{{3, 5, 4}}}, .attributes = {{"units", 6}}},
      {.inputs = with_initial({2, 4, 3}, 5), .attributes = {{"units", 5}, {"stateful", true}, {"return_sequences", true}}},
      {.inputs = in_training({3, 4, 5}, 6, false), .attributes = {{"units", 6}, {"dropout", 0.4}, {"return_sequences", true}}},
      {.inputs = in_training({2, 3, 5}, 6, false), .attributes = {{"units", 6}, {"dropout", 0.3}, {"implementation", 1}}},
      {.inputs = in_training({3, 4, 5}, 6, false),
       .attributes = {{"units", 6}, {"dropout", 0.25}, {"recurrent_dropout", 0.5}, {"return_sequences", true}}},
      {.inputs = in_training({3, 4, 5}, 6, true), .attributes = {{"units", 6}, {"recurrent_dropout", 0.4}, {"go_backwards", true}}},
      {.inputs = with_mask({3, 5, 4}, 6, false), .attributes = {{"units", 6}}},
      {.inputs = with_mask({3, 4, 3}, 5, true), .attributes = {{"units", 5}, {"return_state", true}}},
      {.inputs = with_mask({2, 5, 3}, 5, false), .attributes = {{"units", 5}, {"return_sequences", true}, {"go_backwards", true}}},
      {.inputs = with_mask({2, 5, 3}, 4, true), .attributes = {{"units", 4}, {"return_sequences", true}}},
      {.inputs = with_mask({2, 5, 3}, 4, true),
       .attributes = {{"units", 4}, {"return_sequences", true}, {"zero_output_for_mask", true}, {"go_backwards", true}}},
      {.inputs = with_mask({3, 6, 2}, 4, false), .attributes = {{"units", 4}, {"zero_output_for_mask", true}}},
      {.inputs = {{{2, 7, 3}}}, .attributes = {{"units", 5}, {"return_sequences", true}}},
      {.inputs = {{{2, 4, 3}}}, .attributes = {{"units", 17}, {"return_sequences", true}, {"go_backwards", true}}},
      {.inputs = {{{2, 4, 3}}}, .attributes = {{"units", 3}, {"return_state", true}, {"go_backwards", true}}},
      {.inputs = with_initial({3, 4, 2}, 5), .attributes = {{"units", 5}, {"return_sequences", true}, {"return_state", true}}},
      {.inputs = {{{2, 3, 4}}}, .attributes = {{"units", 3}, {"use_bias", false}, {"activation", "elu"}}},
      {.inputs = {{{1, 1, 1}}}, .attributes = {{"units", 1}}},
      {.inputs = {{{19, 3, 16}}}, .attributes = {{"units", 16}, {"return_sequences", true}}, .differentiable = false},
  };
}

}  // namespace

// The functions of an entry whose op is found again by its name.
Op recurrent_op(std::string_view name, std::string_view class_name, std::string_view doc, std::vector<InputSpec> inputs,
                std::vector<AttributeSpec> attributes, std::vector<Example> examples) {
  const auto op = [name]() -> const Op& { return get_op(name); };
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = std::move(inputs),
      .attributes = std::move(attributes),
      .infer = [op](const OpContext& context) { return infer_recurrent(context, op()); },
      .parameters = [op](const OpContext& context) { return recurrent_parameters(context, op()); },
      .states = [op](const OpContext& context) { return kept_states(context, op()); },
      .replaces = [op](const Attributes& a) { return replaced_states(op(), a); },
      .mask = recurrent_mask,
      .reference = [op](std::span<const HostTensor> given, const Attributes& a) { return recurrent_reference(op(), given, a); },
      .expand =
          [op](Builder& builder, std::span<const Value> given, const Attributes& a) {
            return expand_recurrent(op(), builder, given, a, false);
          },
      .examples = std::move(examples),
  };
}

namespace {

Op recurrent_layer(const Cell& cell, std::string_view class_name, std::string_view doc) {
  return recurrent_op(cell.op, class_name, doc, recurrent_inputs(cell.states), recurrent_attributes(cell.gates > 1),
                      recurrent_examples(cell.states));
}

Op rnn() {
  std::vector<AttributeSpec> attributes = loop_attributes();
  attributes.insert(attributes.begin(),
                    AttributeSpec{.name = "cell",
                                  .type = AttributeType::nested,
                                  .doc = "the cell, its class under \"class\"; of StackedRNNCells cell_0, cell_1, ..."});
  const Attributes lstm{{"class", "LSTMCell"}, {"units", 4}}, simple{{"class", "SimpleRNNCell"}, {"units", 3}, {"use_bias", false}};
  Attributes gru{{"class", "GRUCell"}, {"units", 5}}, dropping = lstm;
  dropping.set("dropout", 0.3);
  dropping.set("recurrent_dropout", 0.4);
  const Attributes both{{"class", "StackedRNNCells"}, {"cell_0", gru}, {"cell_1", lstm}}, three{{"class", "StackedRNNCells"}, {"cell_0", simple}, {"cell_1", dropping}, {"cell_2", gru}};
  const Example::Tensor none{.shape = {}, .absent = true};
  const Example::Tensor mask{.shape = {2, 4}, .dtype = DType::boolean, .values = {0, 1, 1, 0, 1, 0, 1, 1}};
  const auto number = [](double value) { return Example::Tensor{.shape = {}, .dtype = DType::i64, .values = {value}}; };
  const Example::Tensor x{{2, 4, 3}};
  return recurrent_op(
      "rnn", "RNN",
      "Runs a cell over time, or several, each on the output of the one before.   x: [batch, time, in]   mask: [batch, time], "
      "steps that are left out, then the initial states of all cells   ->   [batch, units] of the last cell, or [batch, time, "
      "units] with return_sequences; then all states with return_state",
      {{"x"}, mask_input(), {.name = "seed", .optional = true}, {.name = "step", .optional = true},
       {.name = "states_and_parameters", .optional = true, .variadic = true}},
      std::move(attributes),
      {{.inputs = {x, none, none, none}, .attributes = {{"cell", lstm}, {"return_sequences", true}, {"return_state", true}}},
       {.inputs = {x, none, none, none}, .attributes = {{"cell", both}}},
       {.inputs = {x, mask, none, none}, .attributes = {{"cell", both}, {"return_sequences", true}, {"go_backwards", true}}},
       {.inputs = {x, mask, none, none, {{2, 5}}, {{2, 4}}, {{2, 4}}}, .attributes = {{"cell", both}, {"return_state", true}}},
       {.inputs = {x, none, none, none, {{2, 3}}}, .attributes = {{"cell", simple}, {"stateful", true}, {"return_sequences", true}}},
       {.inputs = {x, none, number(42), number(3)}, .attributes = {{"cell", three}, {"return_sequences", true}}}});
}

}  // namespace

bool draws_numbers(const Op& op, const Attributes& attributes) {
  return std::ranges::any_of(parts_of(op, attributes, {}), [](const Part& part) {
    return drops(part.attributes, "dropout") || drops(part.attributes, "recurrent_dropout");
  });
}

size_t recurrent_states(const Op& op, const Attributes& attributes) {
  return op.name == "rnn" || find_cell(op.name) ? state_count(parts_of(op, attributes, {})) : 0;
}

std::vector<Value> expand_recurrent_in_time_order(const Op& op, Builder& builder, std::span<const Value> inputs,
                                                  const Attributes& attributes) {
  return expand_recurrent(op, builder, inputs, attributes, true);
}

std::vector<Op> recurrent_ops() {
  Op simple_rnn = recurrent_layer(*find_cell("simple_rnn"), "SimpleRNN",
                                  "h' = activation(x_t . kernel + bias + h . recurrent_kernel) over time.   x: [batch, time, in]   "
                                  "mask: [batch, time], steps that are left out   ->   [batch, units], or [batch, time, units] with "
                                  "return_sequences; then h with return_state");
  Op lstm = recurrent_layer(*find_cell("lstm"), "LSTM",
                            "i, f, g, o = x_t . kernel + bias + h . recurrent_kernel;   c' = s(f) c + s(i) a(g);   "
                            "h' = s(o) a(c'), s = recurrent_activation, a = activation.   x: [batch, time, in]   mask: [batch, time], steps "
                            "that are left out   ->   [batch, units], or [batch, time, units] with return_sequences; then h, c with return_state");
  lstm.attributes.push_back({.name = "unit_forget_bias",
                             .type = AttributeType::boolean,
                             .default_value = true,
                             .doc = "the forget gate's bias starts at 1"});
  lstm.examples.push_back({.inputs = {{{2, 3, 4}}},
                           .attributes = {{"units", 5}, {"recurrent_activation", "hard_sigmoid"}, {"unit_forget_bias", false}},
                           .differentiable = false});
  lstm.examples.push_back({.inputs = {{{2, 3, 4}}}, .attributes = {{"units", 3}, {"activation", "softmax"}}});
  Op gru = recurrent_layer(*find_cell("gru"), "GRU",
                           "z, r = s(x_t . kernel + bias + h . recurrent_kernel);   h' = z h + (1 - z) a(x_h + n), with "
                           "n = r (h . R_h + b_h) (reset_after) or (r h) . R_h.   x: [batch, time, in]   mask: [batch, time], steps that are "
                           "left out   ->   [batch, units], or "
                           "[batch, time, units] with return_sequences; then h with return_state");
  gru.attributes.push_back({.name = "reset_after",
                            .type = AttributeType::boolean,
                            .default_value = true,
                            .doc = "the reset gate acts after the recurrent contraction; bias is then [2, 3*units]"});
  std::vector<Example> before = recurrent_examples(1);
  for (Example& example : before) example.attributes.set("reset_after", false);
  gru.examples.insert(gru.examples.end(), before.begin(), before.end());
  std::vector<Op> ops;
  ops.push_back(std::move(simple_rnn));
  ops.push_back(std::move(lstm));
  ops.push_back(std::move(gru));
  ops.push_back(rnn());
  for (Op& op : conv_lstm_ops()) ops.push_back(std::move(op));
  return ops;
}

}  // namespace moru
