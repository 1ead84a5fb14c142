// The cells of SimpleRNN, LSTM and GRU, written as in the textbook: x . kernel + bias + h . recurrent_kernel, all gates in one
// contraction. That the part without h can be computed for all steps at once is the business of a general pass
// (hoist_scan). Weights: kernel [in, gates*units], recurrent_kernel [units, gates*units], bias [gates*units] (GRU with
// reset_after: [2, gates*units]).
#include "compiler/ops/recurrent_cells.h"

#include "compiler/ops/layer.h"

namespace moru {

namespace {

const AttributeValue& activation_of(const Attributes& attributes) { return *attributes.find("activation"); }
const AttributeValue& recurrent_activation_of(const Attributes& attributes) {
  return *attributes.find("recurrent_activation");
}

std::vector<int64_t> equal_parts(int64_t units, size_t count) { return std::vector<int64_t>(count, units); }

// ---- expansion ----

// x . kernel for all gates: of one x, or of one x for each gate, [batch, gates, in].
Value project(Builder& builder, Value x, Value kernel) {
  if (x.rank() == 2) return builder.contract(x, kernel, "ab,bc->ac");
  const Dim gates = x.dim(1), depth = x.dim(2), width = kernel.dim(1);
  const Value each = builder.contract(x, builder.reshape(kernel, {depth, gates, floor_div(width, gates)}), "agb,bgc->agc");
  return builder.reshape(each, {x.dim(0), width});
}

// The state as the gates from `first` on see it: itself, or what dropout leaves for each of them.
Value seen_state(Builder& builder, Value h, Value kept, int64_t first, int64_t gates) {
  if (!kept) return h;
  if (Dim(gates) != kept.dim(1)) kept = builder.slice(kept, 1, first, gates);
  const Value seen = builder.reshape(h, {h.dim(0), 1, h.dim(1)}) * kept;
  return gates == 1 ? builder.reshape(seen, h.shape()) : seen;
}

// x . kernel + bias + h . recurrent_kernel over all gates
Value projected(Builder& builder, Value x, Value h, std::span<const Value> weights, Value kept, int64_t gates) {
  Value sum = project(builder, x, weights[0]);
  if (weights.size() > 2) sum = sum + weights[2];
  return sum + project(builder, seen_state(builder, h, kept, 0, gates), weights[1]);
}

std::vector<Value> present_weights(Builder&, std::span<const Value> weights, const Attributes&) {
  std::vector<Value> present;
  for (const Value& weight : weights)
    if (weight) present.push_back(weight);
  return present;
}

std::vector<Value> simple_rnn_step(Builder& builder, Value x, std::span<const Value> states, std::span<const Value> weights,
                                   Value kept, const Attributes& attributes) {
  return {apply_activation(projected(builder, x, states[0], weights, kept, 1), activation_of(attributes))};
}

std::vector<Value> lstm_step(Builder& builder, Value x, std::span<const Value> states, std::span<const Value> weights,
                             Value kept, const Attributes& attributes) {
  const AttributeValue& activation = activation_of(attributes);
  const AttributeValue& recurrent_activation = recurrent_activation_of(attributes);
  int64_t units = attributes.integer("units");
  std::vector<Value> gates = builder.split(projected(builder, x, states[0], weights, kept, 4), 1, equal_parts(units, 4));
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
                            Value kept, const Attributes& attributes) {
  const AttributeValue& activation = activation_of(attributes);
  const AttributeValue& recurrent_activation = recurrent_activation_of(attributes);
  int64_t units = attributes.integer("units");
  bool use_bias = attributes.boolean("use_bias");
  Value h = states[0];
  Value from_x = project(builder, x, invariants[0]);
  Value update, candidate;
  if (attributes.boolean("reset_after")) {
    Value from_h = project(builder, seen_state(builder, h, kept, 0, 3), invariants[1]);
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
    Value gates = of_x[0] + project(builder, seen_state(builder, h, kept, 0, 2), invariants[1]);
    std::vector<Value> of_h = builder.split(apply_activation(gates, recurrent_activation), 1, equal_parts(units, 2));
    update = of_h[0];
    candidate = apply_activation(of_x[1] + project(builder, of_h[1] * seen_state(builder, h, kept, 2, 1), invariants[2]), activation);
  }
  return {update * h + (1.0 - update) * candidate};
}

// ---- reference ----

// A row of a by a column of the matrix, which is one of gate `column / units`; `kept` holds factors of a for one gate or
// for each.
double dot(const HostTensor& a, const HostTensor* kept, size_t row, const HostTensor& matrix, size_t column, size_t units) {
  auto depth = static_cast<size_t>(matrix.shape[0]), width = static_cast<size_t>(matrix.shape[1]);
  double sum = 0.0;
  for (size_t k = 0; k < depth; ++k) {
    double factor = 1.0;
    if (kept) {
      const auto gates = static_cast<size_t>(kept->shape[1]);
      factor = kept->data[(row * gates + (gates == 1 ? 0 : column / units)) * depth + k];
    }
    sum += a.data[row * depth + k] * factor * matrix.data[k * width + column];
  }
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

std::vector<HostTensor> simple_rnn_reference_step(const CellStep& step, std::span<const HostTensor* const> weights,
                                                  const Attributes& attributes) {
  const HostTensor& h = step.states[0];
  auto units = static_cast<size_t>(h.shape[1]);
  return {gate(h, activation_of(attributes), [&](size_t row, size_t j) {
    return dot(step.x, step.kept_x, row, *weights[0], j, units) + dot(h, step.kept_h, row, *weights[1], j, units) +
           bias_at(weights[2], j);
  })};
}

// Hochreiter and Schmidhuber (1997) with forget gates; gates in Keras' order i, f, c, o:
//   i, f, o = recurrent_activation(...)   g = activation(...)   c' = f c + i g   h' = o activation(c')
std::vector<HostTensor> lstm_reference_step(const CellStep& step, std::span<const HostTensor* const> weights,
                                            const Attributes& attributes) {
  const HostTensor &h = step.states[0], &c = step.states[1];
  auto units = static_cast<size_t>(h.shape[1]);
  auto pre_activation = [&](size_t number) {
    return [&, number](size_t row, size_t j) {
      size_t column = number * units + j;
      return dot(step.x, step.kept_x, row, *weights[0], column, units) + dot(h, step.kept_h, row, *weights[1], column, units) +
             bias_at(weights[2], column);
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
std::vector<HostTensor> gru_reference_step(const CellStep& step, std::span<const HostTensor* const> weights,
                                           const Attributes& attributes) {
  const HostTensor& h = step.states[0];
  auto units = static_cast<size_t>(h.shape[1]);
  bool reset_after = attributes.boolean("reset_after");
  auto from_x = [&](size_t row, size_t column) {
    return dot(step.x, step.kept_x, row, *weights[0], column, units) + bias_at(weights[2], column);
  };
  auto from_h = [&](size_t row, size_t column) {
    return dot(h, step.kept_h, row, *weights[1], column, units) + (reset_after ? bias_at(weights[2], 3 * units + column) : 0.0);
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
                                              : dot(reset_h, step.kept_h, row, *weights[1], column, units));
  });
  for (size_t k = 0; k < h.data.size(); ++k) next.data[k] = z.data[k] * h.data[k] + (1.0 - z.data[k]) * next.data[k];
  return {next};
}

// ---- the three cells ----

std::vector<ParameterSpec> dense_cell_parameters(const Cell& cell, const Shape& x, const Attributes& a) {
  const int64_t units = a.integer("units"), width = cell.gates * units;
  const bool two_biases = a.has("reset_after") && a.boolean("reset_after");
  return cell_parameters(a, {x.back(), width}, {units, width}, two_biases ? Shape{2, width} : Shape{width});
}

void check_dense_cell(const OpContext& context, const Op& op, const Cell&, const Shape& x, const Attributes&) {
  const Shape& sequence = context.inputs[0].shape;
  if (sequence.size() != 3)
    fail(context, op, "needs a sequence [batch, time, features] but got " + shape_text(sequence),
         sequence.size() == 2 ? "set return_sequences=true on the recurrent layer before it, or add an axis with Reshape"
                              : "bring the input to three axes with Reshape");
  if (!x.back().is_constant())
    fail(context, op, "needs a known number of features on the last axis but got " + shape_text(sequence));
}

Shape dense_cell_state(const Cell&, const Shape& x, const Attributes& a) { return {x[0], a.integer("units")}; }

constexpr Cell cells[] = {
    {"simple_rnn", "SimpleRNNCell", 1, 1, check_dense_cell, dense_cell_state, dense_cell_parameters, present_weights,
     simple_rnn_step, simple_rnn_reference_step},
    {"lstm", "LSTMCell", 4, 2, check_dense_cell, dense_cell_state, dense_cell_parameters, present_weights, lstm_step,
     lstm_reference_step},
    {"gru", "GRUCell", 3, 1, check_dense_cell, dense_cell_state, dense_cell_parameters, gru_invariants, gru_step,
     gru_reference_step},
};

}  // namespace

std::span<const Cell> dense_cells() { return cells; }

const Cell* find_cell(std::string_view name) {
  for (std::span<const Cell> family : {dense_cells(), convolutional_cells()})
    for (const Cell& cell : family)
      if (cell.op == name || cell.class_name == name) return &cell;
  return nullptr;
}

std::vector<ParameterSpec> cell_parameters(const Attributes& a, Shape kernel, Shape recurrent_kernel, Shape bias_shape) {
  std::vector<ParameterSpec> parameters = {{.name = "kernel",
                                            .shape = std::move(kernel),
                                            .initializer = initializer_of(a, "kernel_initializer"),
                                            .regularizer = regularizer_of(a, "kernel_regularizer")},
                                           {.name = "recurrent_kernel",
                                            .shape = std::move(recurrent_kernel),
                                            .initializer = initializer_of(a, "recurrent_initializer"),
                                            .regularizer = regularizer_of(a, "recurrent_regularizer")}};
  if (!a.boolean("use_bias")) return parameters;
  ParameterSpec bias{.name = "bias",
                     .shape = std::move(bias_shape),
                     .initializer = initializer_of(a, "bias_initializer"),
                     .regularizer = regularizer_of(a, "bias_regularizer")};
  if (a.has("unit_forget_bias") && a.boolean("unit_forget_bias"))
    bias.initializer = Attributes{{"class", "UnitForgetBias"}, {"bias_initializer", bias.initializer}};
  parameters.push_back(bias);
  return parameters;
}

}  // namespace moru
