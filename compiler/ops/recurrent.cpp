// Recurrent layers: SimpleRNN, GRU, LSTM. Each expands into one scan over time whose body is the cell, written as in the
// textbook: x_t . kernel + bias + h . recurrent_kernel, all gates in one contraction. That the part without h can be
// computed for all steps at once is the business of a general pass (hoist_scan).
#include "compiler/ops/recurrent.h"

#include <cmath>
#include <functional>

#include "compiler/ops/layer.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

// A cell is what differs between the three layers. Weights: kernel [in, gates*units], recurrent_kernel
// [units, gates*units], bias [gates*units] (GRU with reset_after: [2, gates*units]).
struct Cell {
  std::string_view op;
  int64_t gates = 1;
  size_t states = 1;

  /// Weights as they enter the scan, prepared once outside it.
  std::vector<Value> (*invariants)(Builder&, std::span<const Value> weights, const Attributes&);
  /// One step in the body: the next states; the first is the output.
  std::vector<Value> (*step)(Builder&, Value x, std::span<const Value> states, std::span<const Value> invariants,
                             const Attributes&);
  /// The same by plain loops: weights are kernel, recurrent kernel and bias (null without one).
  std::vector<HostTensor> (*reference_step)(const HostTensor& x, std::span<const HostTensor> states,
                                            std::span<const HostTensor* const> weights, const Attributes&);
};

const AttributeValue& activation_of(const Attributes& attributes) { return *attributes.find("activation"); }
const AttributeValue& recurrent_activation_of(const Attributes& attributes) {
  return *attributes.find("recurrent_activation");
}

std::vector<int64_t> equal_parts(int64_t units, size_t count) { return std::vector<int64_t>(count, units); }

// ---- expansion ----

// x . kernel + bias + h . recurrent_kernel over all gates
Value projected(Builder& builder, Value x, Value h, std::span<const Value> weights) {
  Value sum = builder.contract(x, weights[0], "ab,bc->ac");
  if (weights.size() > 2) sum = sum + weights[2];
  return sum + builder.contract(h, weights[1], "ab,bc->ac");
}

std::vector<Value> present_weights(Builder&, std::span<const Value> weights, const Attributes&) {
  std::vector<Value> present;
  for (const Value& weight : weights)
    if (weight) present.push_back(weight);
  return present;
}

std::vector<Value> simple_rnn_step(Builder& builder, Value x, std::span<const Value> states, std::span<const Value> weights,
                                   const Attributes& attributes) {
  return {apply_activation(projected(builder, x, states[0], weights), activation_of(attributes))};
}

std::vector<Value> lstm_step(Builder& builder, Value x, std::span<const Value> states, std::span<const Value> weights,
                             const Attributes& attributes) {
  const AttributeValue& activation = activation_of(attributes);
  const AttributeValue& recurrent_activation = recurrent_activation_of(attributes);
  int64_t units = attributes.integer("units");
  std::vector<Value> gates = builder.split(projected(builder, x, states[0], weights), 1, equal_parts(units, 4));
  Value input = apply_activation(gates[0], recurrent_activation);
  Value forget = apply_activation(gates[1], recurrent_activation);
  Value candidate = apply_activation(gates[2], activation);
  Value output = apply_activation(gates[3], recurrent_activation);
  Value c = forget * states[1] + input * candidate;
  return {output * apply_activation(c, activation), c};
}

// reset_after: kernel, recurrent kernel and the two rows of the bias.
// Otherwise the candidate's recurrent contraction takes r*h instead of h: the recurrent kernel in two parts, then the bias.
std::vector<Value> gru_invariants(Builder& builder, std::span<const Value> weights, const Attributes& attributes) {
  int64_t units = attributes.integer("units");
  Value bias = find_input(weights, 2);
  std::vector<Value> invariants = {weights[0]};
  if (attributes.boolean("reset_after")) {
    invariants.push_back(weights[1]);
    if (bias)
      for (int64_t row : {0, 1}) invariants.push_back(builder.reshape(builder.slice(bias, 0, row, 1), {3 * units}));
  } else {
    for (Value part : builder.split(weights[1], 1, {2 * units, units})) invariants.push_back(part);
    if (bias) invariants.push_back(bias);
  }
  return invariants;
}

std::vector<Value> gru_step(Builder& builder, Value x, std::span<const Value> states, std::span<const Value> invariants,
                            const Attributes& attributes) {
  const AttributeValue& activation = activation_of(attributes);
  const AttributeValue& recurrent_activation = recurrent_activation_of(attributes);
  int64_t units = attributes.integer("units");
  bool use_bias = attributes.boolean("use_bias");
  Value h = states[0];
  Value from_x = builder.contract(x, invariants[0], "ab,bc->ac");
  Value update, candidate;
  if (attributes.boolean("reset_after")) {
    Value from_h = builder.contract(h, invariants[1], "ab,bc->ac");
    if (use_bias) {
      from_x = from_x + invariants[2];
      from_h = from_h + invariants[3];
    }
    std::vector<Value> of_x = builder.split(from_x, 1, equal_parts(units, 3));
    std::vector<Value> of_h = builder.split(from_h, 1, equal_parts(units, 3));
    update = apply_activation(of_x[0] + of_h[0], recurrent_activation);
    Value reset = apply_activation(of_x[1] + of_h[1], recurrent_activation);
    candidate = apply_activation(of_x[2] + reset * of_h[2], activation);
  } else {
    if (use_bias) from_x = from_x + invariants[3];
    std::vector<Value> of_x = builder.split(from_x, 1, {2 * units, units});
    Value gates = of_x[0] + builder.contract(h, invariants[1], "ab,bc->ac");
    std::vector<Value> of_h = builder.split(apply_activation(gates, recurrent_activation), 1, equal_parts(units, 2));
    update = of_h[0];
    candidate = apply_activation(of_x[1] + builder.contract(of_h[1] * h, invariants[2], "ab,bc->ac"), activation);
  }
  return {update * h + (1.0 - update) * candidate};
}

// ---- reference ----

double dot(const HostTensor& a, size_t row, const HostTensor& matrix, size_t column) {
  auto depth = static_cast<size_t>(matrix.shape[0]), width = static_cast<size_t>(matrix.shape[1]);
  double sum = 0.0;
  for (size_t k = 0; k < depth; ++k) sum += a.data[row * depth + k] * matrix.data[k * width + column];
  return sum;
}

// A [batch, units] tensor from a formula for one element of the given gate.
template <typename Formula>
HostTensor gate(const HostTensor& state, const AttributeValue& activation, Formula formula) {
  HostTensor y = make_tensor(state.dtype, state.shape);
  auto units = static_cast<size_t>(state.shape[1]);
  for (size_t i = 0; i < y.data.size(); ++i) y.data[i] = formula(i / units, i % units);
  return activation_reference(y, activation);
}

double bias_at(const HostTensor* bias, size_t index) { return bias ? bias->data[index] : 0.0; }

std::vector<HostTensor> simple_rnn_reference_step(const HostTensor& x, std::span<const HostTensor> states,
                                                  std::span<const HostTensor* const> weights, const Attributes& attributes) {
  return {gate(states[0], activation_of(attributes), [&](size_t row, size_t j) {
    return dot(x, row, *weights[0], j) + dot(states[0], row, *weights[1], j) + bias_at(weights[2], j);
  })};
}

// Hochreiter and Schmidhuber (1997) with forget gates; gates in Keras' order i, f, c, o:
//   i, f, o = recurrent_activation(...)   g = activation(...)   c' = f c + i g   h' = o activation(c')
std::vector<HostTensor> lstm_reference_step(const HostTensor& x, std::span<const HostTensor> states,
                                            std::span<const HostTensor* const> weights, const Attributes& attributes) {
  const HostTensor &h = states[0], &c = states[1];
  auto units = static_cast<size_t>(h.shape[1]);
  auto pre_activation = [&](size_t number) {
    return [&, number](size_t row, size_t j) {
      size_t column = number * units + j;
      return dot(x, row, *weights[0], column) + dot(h, row, *weights[1], column) + bias_at(weights[2], column);
    };
  };
  HostTensor i = gate(h, recurrent_activation_of(attributes), pre_activation(0));
  HostTensor f = gate(h, recurrent_activation_of(attributes), pre_activation(1));
  HostTensor g = gate(h, activation_of(attributes), pre_activation(2));
  HostTensor o = gate(h, recurrent_activation_of(attributes), pre_activation(3));
  HostTensor next_c = c;
  for (size_t k = 0; k < c.data.size(); ++k) next_c.data[k] = f.data[k] * c.data[k] + i.data[k] * g.data[k];
  HostTensor next_h = activation_reference(next_c, activation_of(attributes));
  for (size_t k = 0; k < c.data.size(); ++k) next_h.data[k] *= o.data[k];
  return {next_h, next_c};
}

// Cho et al. (2014), gates in Keras' order z, r, h; h' = z h + (1 - z) candidate. reset_after: r multiplies h . R + b_r
// (as in cuDNN), otherwise h alone.
std::vector<HostTensor> gru_reference_step(const HostTensor& x, std::span<const HostTensor> states,
                                           std::span<const HostTensor* const> weights, const Attributes& attributes) {
  const HostTensor& h = states[0];
  auto units = static_cast<size_t>(h.shape[1]);
  bool reset_after = attributes.boolean("reset_after");
  auto from_x = [&](size_t row, size_t column) { return dot(x, row, *weights[0], column) + bias_at(weights[2], column); };
  auto from_h = [&](size_t row, size_t column) {
    return dot(h, row, *weights[1], column) + (reset_after ? bias_at(weights[2], 3 * units + column) : 0.0);
  };
  auto both = [&](size_t number) {
    return [&, number](size_t row, size_t j) { return from_x(row, number * units + j) + from_h(row, number * units + j); };
  };
  HostTensor z = gate(h, recurrent_activation_of(attributes), both(0));
  HostTensor r = gate(h, recurrent_activation_of(attributes), both(1));
  HostTensor reset_h = h;
  for (size_t k = 0; k < h.data.size(); ++k) reset_h.data[k] *= r.data[k];
  HostTensor next = gate(h, activation_of(attributes), [&](size_t row, size_t j) {
    size_t column = 2 * units + j;
    return from_x(row, column) + (reset_after ? r.data[row * units + j] * from_h(row, column)
                                              : dot(reset_h, row, *weights[1], column));
  });
  for (size_t k = 0; k < h.data.size(); ++k) next.data[k] = z.data[k] * h.data[k] + (1.0 - z.data[k]) * next.data[k];
  return {next};
}

// ---- the three cells, and what is the same for them ----

constexpr Cell cells[] = {
    {"simple_rnn", 1, 1, present_weights, simple_rnn_step, simple_rnn_reference_step},
    {"lstm", 4, 2, present_weights, lstm_step, lstm_reference_step},
    {"gru", 3, 1, gru_invariants, gru_step, gru_reference_step},
};

const Cell* find_cell(std::string_view op) {
  for (const Cell& cell : cells)
    if (cell.op == op) return &cell;
  return nullptr;
}

const Cell& get_cell(std::string_view op) {
  const Cell* cell = find_cell(op);
  check_internal(cell != nullptr, "not a recurrent layer");
  return *cell;
}

std::vector<ParameterSpec> recurrent_parameters(const OpContext& context, const Cell& cell) {
  const Attributes& a = context.attributes;
  int64_t units = a.integer("units"), width = cell.gates * units;
  std::vector<ParameterSpec> parameters = {{.name = "kernel",
                                            .shape = {context.inputs[0].shape.back(), width},
                                            .initializer = initializer_of(a, "kernel_initializer"),
                                            .regularizer = regularizer_of(a, "kernel_regularizer")},
                                           {.name = "recurrent_kernel",
                                            .shape = {units, width},
                                            .initializer = initializer_of(a, "recurrent_initializer"),
                                            .regularizer = regularizer_of(a, "recurrent_regularizer")}};
  if (!a.boolean("use_bias")) return parameters;
  ParameterSpec bias{.name = "bias",
                     .shape = {width},
                     .initializer = initializer_of(a, "bias_initializer"),
                     .regularizer = regularizer_of(a, "bias_regularizer")};
  if (a.has("reset_after") && a.boolean("reset_after")) bias.shape = {2, width};
  if (a.has("unit_forget_bias") && a.boolean("unit_forget_bias"))
    bias.initializer = Attributes{{"class", "UnitForgetBias"}, {"bias_initializer", bias.initializer}};
  parameters.push_back(bias);
  return parameters;
}

std::vector<Type> infer_recurrent(const OpContext& context, const Cell& cell) {
  const Op& op = get_op(cell.op);
  const Attributes& a = context.attributes;
  refuse_attributes(context, op, {"dropout", "recurrent_dropout", "stateful", "time_major"});
  check_activation(context, op, "activation");
  check_activation(context, op, "recurrent_activation");
  const Type& x = context.inputs[0];
  if (x.shape.size() != 3)
    fail(context, op, "needs a sequence [batch, time, features] but got " + shape_text(x.shape),
         x.shape.size() == 2 ? "set return_sequences=true on the recurrent layer before it, or add an axis with Reshape"
                             : "bring the input to three axes with Reshape");
  if (!x.shape[2].is_constant())
    fail(context, op, "needs a known number of features on the last axis but got " + shape_text(x.shape));
  Type state{float_dtype(x.dtype), {x.shape[0], a.integer("units")}};
  for (size_t i = 1; i <= cell.states; ++i) {
    if (!has_input(context, i)) continue;
    if (context.inputs[i].shape != state.shape)
      fail(context, op, "needs an initial state " + shape_text(state.shape) + " but got " + shape_text(context.inputs[i].shape),
           "a state has one column for each of the " + std::to_string(a.integer("units")) + " units");
  }
  if (cell.states == 2 && has_input(context, 1) != has_input(context, 2))
    fail(context, op, "needs two initial states, h and c, but got one");
  check_parameters(context, op);
  std::vector<Type> outputs = {state};
  if (a.boolean("return_sequences")) outputs[0].shape = {x.shape[0], x.shape[1], a.integer("units")};
  if (a.boolean("return_state")) outputs.insert(outputs.end(), cell.states, state);
  return outputs;
}

std::vector<Value> expand_recurrent(const Cell& cell, Builder& builder, std::span<const Value> inputs,
                                    const Attributes& attributes, bool in_time_order) {
  Value x = to_float(inputs[0]);
  Dim batch = x.dim(0), time = x.dim(1);
  int64_t units = attributes.integer("units");
  bool sequences = attributes.boolean("return_sequences"), backwards = attributes.boolean("go_backwards");

  std::vector<Value> scan_inputs;
  for (size_t i = 1; i <= cell.states; ++i) {
    Value initial = find_input(inputs, i);
    scan_inputs.push_back(initial ? to_float(initial) : builder.fill(0.0, {batch, units}, x.type().dtype));
  }
  scan_inputs.push_back(x);
  std::vector<Value> weights;
  for (size_t i = 1 + cell.states; i < 4 + cell.states; ++i) weights.push_back(find_input(inputs, i));
  for (Value invariant : cell.invariants(builder, weights, attributes)) scan_inputs.push_back(invariant);

  Graph body;
  Builder step(body, builder.origin());
  std::vector<Value> parts;
  for (size_t i = 0; i < scan_inputs.size(); ++i) {
    Type type = scan_inputs[i].type();
    if (i == cell.states) type.shape = {batch, x.dim(2)};
    parts.push_back(step.input(type));
  }
  std::span<const Value> all(parts);
  std::vector<Value> next = cell.step(step, all[cell.states], all.first(cell.states), all.subspan(cell.states + 1), attributes);
  for (Value state : next) step.result(state);
  if (sequences) step.result(next[0]);

  using Integers = std::vector<int64_t>;
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  std::vector<Value> scanned = builder.call_all("scan", scan_inputs,
                                                {{"carries", static_cast<int64_t>(cell.states)},
                                                 {"sequences", 1},
                                                 {"axes", Integers{1}},
                                                 {"output_axes", sequences ? Integers{1} : Integers{}},
                                                 {"reverse", backwards},
                                                 {"trip", Shape{time}}},
                                                std::move(bodies));
  Value output = scanned[0];
  if (sequences) {
    output = scanned[cell.states];  // at their own time positions; Keras wants them in the order of processing
    if (backwards && !in_time_order) output = builder.call("reverse", {output}, {{"axis", 1}});
  }
  std::vector<Value> outputs = {output};
  if (attributes.boolean("return_state"))
    outputs.insert(outputs.end(), scanned.begin(), scanned.begin() + static_cast<std::ptrdiff_t>(cell.states));
  return outputs;
}

std::vector<HostTensor> recurrent_reference(const Cell& cell, std::span<const HostTensor> inputs, const Attributes& attributes) {
  const HostTensor& x = inputs[0];
  int64_t batch = x.shape[0], time = x.shape[1], features = x.shape[2], units = attributes.integer("units");
  DType dtype = float_dtype(x.dtype);
  std::vector<HostTensor> states;
  for (size_t i = 1; i <= cell.states; ++i) {
    const HostTensor* initial = find_input(inputs, i);
    states.push_back(initial ? *initial : make_tensor(dtype, {batch, units}));
  }
  std::vector<const HostTensor*> weights;
  for (size_t i = 1 + cell.states; i < 4 + cell.states; ++i) weights.push_back(find_input(inputs, i));
  HostTensor sequence = make_tensor(dtype, {batch, time, units});
  for (int64_t step = 0; step < time; ++step) {
    int64_t t = attributes.boolean("go_backwards") ? time - 1 - step : step;
    HostTensor x_t = make_tensor(dtype, {batch, features});
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t k = 0; k < features; ++k)
        x_t.data[static_cast<size_t>(b * features + k)] = x.data[static_cast<size_t>((b * time + t) * features + k)];
    states = cell.reference_step(x_t, states, weights, attributes);
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t j = 0; j < units; ++j)
        sequence.data[static_cast<size_t>((b * time + step) * units + j)] = states[0].data[static_cast<size_t>(b * units + j)];
  }
  std::vector<HostTensor> outputs = {attributes.boolean("return_sequences") ? sequence : states[0]};
  if (attributes.boolean("return_state")) outputs.insert(outputs.end(), states.begin(), states.end());
  return outputs;
}

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
      {.name = "dropout", .type = T::real, .default_value = 0.0, .least = 0, .most = 1, .doc = "only 0 is supported"},
      {.name = "recurrent_dropout", .type = T::real, .default_value = 0.0, .least = 0, .most = 1, .doc = "only 0 is supported"},
      {.name = "seed", .type = T::integer, .optional = true, .doc = "ignored: the run has one seed"},
      {.name = "return_sequences", .type = T::boolean, .default_value = false, .doc = "all steps, not only the last"},
      {.name = "return_state", .type = T::boolean, .default_value = false, .doc = "also return the last state"},
      {.name = "go_backwards", .type = T::boolean, .default_value = false, .doc = "from the last step to the first"},
      {.name = "stateful", .type = T::boolean, .default_value = false, .doc = "unsupported"},
      {.name = "unroll", .type = T::boolean, .default_value = false, .doc = "ignored"},
      {.name = "implementation", .type = T::integer, .default_value = 2, .doc = "ignored"},
      {.name = "zero_output_for_mask", .type = T::boolean, .default_value = false, .doc = "ignored: there are no masks"},
      {.name = "time_major", .type = T::boolean, .default_value = false, .doc = "unsupported"},
      {.name = "use_cudnn", .type = T::string, .default_value = "auto", .doc = "ignored"},
  };
  if (gated)
    attributes.insert(attributes.begin() + 2,
                      AttributeSpec{.name = "recurrent_activation", .type = T::activation, .default_value = "sigmoid"});
  return attributes;
}

std::vector<InputSpec> recurrent_inputs(size_t states) {
  std::vector<InputSpec> inputs = {{"x"}, {.name = "initial_h", .optional = true}};
  if (states == 2) inputs.push_back({.name = "initial_c", .optional = true});
  for (std::string_view weight : {"kernel", "recurrent_kernel"}) inputs.push_back({.name = weight});
  inputs.push_back({.name = "bias", .optional = true});
  return inputs;
}

std::vector<Example> recurrent_examples(size_t states) {
  auto with_initial = [&](std::vector<int64_t> x, int64_t units) {
    std::vector<Example::Tensor> inputs = {{x}};
    for (size_t i = 0; i < states; ++i) inputs.push_back({{x[0], units}});
    return inputs;
  };
  return {
      {.inputs = {{{3, 5, 4}}}, .attributes = {{"units", 6}}},
      {.inputs = {{{2, 7, 3}}}, .attributes = {{"units", 5}, {"return_sequences", true}}},
      {.inputs = {{{2, 4, 3}}}, .attributes = {{"units", 17}, {"return_sequences", true}, {"go_backwards", true}}},
      {.inputs = {{{2, 4, 3}}}, .attributes = {{"units", 3}, {"return_state", true}, {"go_backwards", true}}},
      {.inputs = with_initial({3, 4, 2}, 5), .attributes = {{"units", 5}, {"return_sequences", true}, {"return_state", true}}},
      {.inputs = {{{2, 3, 4}}}, .attributes = {{"units", 3}, {"use_bias", false}, {"activation", "elu"}}},
      {.inputs = {{{1, 1, 1}}}, .attributes = {{"units", 1}}},
      {.inputs = {{{19, 3, 16}}}, .attributes = {{"units", 16}, {"return_sequences", true}}, .differentiable = false},
  };
}

Op recurrent_layer(const Cell& cell, std::string_view class_name, std::string_view doc) {
  return {
      .name = cell.op,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = recurrent_inputs(cell.states),
      .attributes = recurrent_attributes(cell.gates > 1),
      .infer = [&cell](const OpContext& context) { return infer_recurrent(context, cell); },
      .parameters = [&cell](const OpContext& context) { return recurrent_parameters(context, cell); },
      .reference = [&cell](std::span<const HostTensor> inputs, const Attributes& a) { return recurrent_reference(cell, inputs, a); },
      .expand =
          [&cell](Builder& builder, std::span<const Value> inputs, const Attributes& a) {
            return expand_recurrent(cell, builder, inputs, a, false);
          },
      .examples = recurrent_examples(cell.states),
  };
}

}  // namespace

size_t recurrent_states(const Op& op) {
  const Cell* cell = find_cell(op.name);
  return cell ? cell->states : 0;
}

std::vector<Value> expand_recurrent_in_time_order(const Op& op, Builder& builder, std::span<const Value> inputs,
                                                  const Attributes& attributes) {
  return expand_recurrent(get_cell(op.name), builder, inputs, attributes, true);
}

std::vector<Op> recurrent_ops() {
  Op simple_rnn = recurrent_layer(get_cell("simple_rnn"), "SimpleRNN",
                                  "h' = activation(x_t . kernel + bias + h . recurrent_kernel) over time.   x: [batch, time, in]   "
                                  "->   [batch, units], or [batch, time, units] with return_sequences; then h with return_state");
  Op lstm = recurrent_layer(get_cell("lstm"), "LSTM",
                            "i, f, g, o = x_t . kernel + bias + h . recurrent_kernel;   c' = s(f) c + s(i) a(g);   "
                            "h' = s(o) a(c'), s = recurrent_activation, a = activation.   x: [batch, time, in]   ->   [batch, units], "
                            "or [batch, time, units] with return_sequences; then h, c with return_state");
  lstm.attributes.push_back({.name = "unit_forget_bias",
                             .type = AttributeType::boolean,
                             .default_value = true,
                             .doc = "the forget gate's bias starts at 1"});
  lstm.examples.push_back({.inputs = {{{2, 3, 4}}},
                           .attributes = {{"units", 5}, {"recurrent_activation", "hard_sigmoid"}, {"unit_forget_bias", false}},
                           .differentiable = false});
  lstm.examples.push_back({.inputs = {{{2, 3, 4}}}, .attributes = {{"units", 3}, {"activation", "softmax"}}});
  Op gru = recurrent_layer(get_cell("gru"), "GRU",
                           "z, r = s(x_t . kernel + bias + h . recurrent_kernel);   h' = z h + (1 - z) a(x_h + n), with "
                           "n = r (h . R_h + b_h) (reset_after) or (r h) . R_h.   x: [batch, time, in]   ->   [batch, units], or "
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
  return ops;
}

}  // namespace moru
