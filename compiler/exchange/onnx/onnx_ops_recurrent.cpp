// ONNX's recurrent layers: each direction is one scan over time whose body is the cell.
#include <algorithm>
#include <cctype>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

struct Activation {
  std::string name;  // in lower case
  double alpha = 0.0, beta = 0.0;
};

struct Defaults {
  const char* name;
  double alpha, beta;
};
// The defaults of ONNX's operators of these names.
constexpr Defaults known_activations[] = {
    {"affine", 1.0, 0.0}, {"relu", 0, 0},           {"leakyrelu", 0.01, 0}, {"thresholdedrelu", 1.0, 0},
    {"tanh", 0, 0},       {"scaledtanh", 1.0, 1.0}, {"sigmoid", 0, 0},      {"hardsigmoid", 0.2, 0.5},
    {"elu", 1.0, 0},      {"softsign", 0, 0},       {"softplus", 0, 0}};

std::vector<Activation> activations_of(OnnxNode& n, std::vector<std::string> names, size_t needed) {
  if (n.has("activations")) names = n.strings("activations");
  if (names.size() != needed)
    n.fail("needs " + std::to_string(needed) + " activations but got " + std::to_string(names.size()));
  const std::vector<double> alphas = n.reals("activation_alpha"), betas = n.reals("activation_beta");
  size_t next_alpha = 0, next_beta = 0;
  std::vector<Activation> result;
  for (std::string name : names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto known = std::find_if(std::begin(known_activations), std::end(known_activations),
                                    [&](const Defaults& d) { return d.name == name; });
    if (known == std::end(known_activations)) n.fail("has the activation '" + name + "', which is not supported");
    Activation activation{name, known->alpha, known->beta};
    // Numbers stand in the order of the activations that take one.
    const bool takes_alpha = known->alpha != 0.0,
               takes_beta = name == "affine" || name == "scaledtanh" || name == "hardsigmoid";
    if (takes_alpha && next_alpha < alphas.size()) activation.alpha = alphas[next_alpha++];
    if (takes_beta && next_beta < betas.size()) activation.beta = betas[next_beta++];
    result.push_back(activation);
  }
  return result;
}

Value apply(const Activation& f, Value x) {
  Builder& b = *x.builder;
  const Value zero = b.constant(0.0, x.type().dtype);
  if (f.name == "affine") return x * f.alpha + f.beta;
  if (f.name == "leakyrelu") return b.select(b.call("less", {x, zero}), x * f.alpha, x);
  if (f.name == "thresholdedrelu") return b.select(b.call("less", {x, b.constant(f.alpha, x.type().dtype)}), zero, x);
  if (f.name == "scaledtanh") return b.call("tanh", {x * f.beta}) * f.alpha;
  if (f.name == "hardsigmoid")
    return b.call("minimum", {b.call("maximum", {x * f.alpha + f.beta, zero}), b.constant(1.0, x.type().dtype)});
  if (f.name == "elu") return b.select(b.call("less", {x, zero}), b.call("expm1", {x}) * f.alpha, x);
  return b.call(f.name, {x});
}

enum class Kind { rnn, gru, lstm };

struct Cell {
  Kind kind = Kind::rnn;
  Dim units;
  std::vector<Activation> f;
  double clip = 0.0;
  bool input_forget = false, linear_before_reset = false;
};

Value clipped(const Cell& cell, Value x) {
  if (cell.clip <= 0.0) return x;
  Builder& b = *x.builder;
  const DType dtype = x.type().dtype;
  return b.call("minimum", {b.call("maximum", {x, b.constant(-cell.clip, dtype)}), b.constant(cell.clip, dtype)});
}

Value part(Value x, const Cell& cell, int64_t index) {
  return x.builder->slice(x, static_cast<int64_t>(x.rank()) - 1, cell.units * index, cell.units);
}

// weights: W [gates, inputs], R [gates, units], then biases [gates] of each and peepholes [3 * units] where they are.
std::vector<Value> step(const Cell& cell, Value x, std::span<const Value> states, Value w, Value r, Value wb, Value rb,
                        Value peephole) {
  Builder& b = *x.builder;
  const Value h = states[0];
  auto activate = [&](size_t i, Value value) { return apply(cell.f[i], clipped(cell, value)); };
  Value from_x = b.contract(x, w, "bi,gi->bg");
  if (wb) from_x = from_x + wb;
  if (cell.kind == Kind::gru) {
    const Value update_r = b.slice(r, 0, 0, cell.units), reset_r = b.slice(r, 0, cell.units, cell.units),
                hidden_r = b.slice(r, 0, cell.units * 2, cell.units);
    auto of_h = [&](Value value, Value weight, int64_t gate) {
      const Value y = b.contract(value, weight, "bi,gi->bg");
      return rb ? y + part(rb, cell, gate) : y;
    };
    const Value update = activate(0, part(from_x, cell, 0) + of_h(h, update_r, 0));
    const Value reset = activate(0, part(from_x, cell, 1) + of_h(h, reset_r, 1));
    const Value candidate =
        activate(1, part(from_x, cell, 2) +
                        (cell.linear_before_reset ? reset * of_h(h, hidden_r, 2) : of_h(reset * h, hidden_r, 2)));
    return {(1.0 - update) * candidate + update * h};
  }
  Value gates = from_x + b.contract(h, r, "bi,gi->bg");
  if (rb) gates = gates + rb;
  if (cell.kind == Kind::rnn) return {activate(0, gates)};
  const Value c = states[1];
  auto gate = [&](int64_t index, int64_t hole, Value cell_state) {
    const Value value = part(gates, cell, index);
    return peephole && hole >= 0 ? value + part(peephole, cell, hole) * cell_state : value;
  };
  const Value input = activate(0, gate(0, 0, c));
  const Value forget = cell.input_forget ? 1.0 - input : activate(0, gate(2, 2, c));
  const Value next_c = forget * c + input * activate(1, gate(3, -1, c));
  const Value output = activate(0, gate(1, 1, next_c));
  return {output * apply(cell.f[2], next_c), next_c};
}

struct Direction {
  Value y;                    // [time, batch, units]
  std::vector<Value> states;  // [batch, units]
};

Direction run_direction(const Cell& cell, Value x, std::vector<Value> initial, const std::vector<Value>& weights,
                        Value lengths, bool reverse) {
  Builder& outer = *x.builder;
  Graph body;
  Builder b(body);
  std::vector<Value> inputs = initial, states;
  for (const Value& state : initial) states.push_back(b.input(state.type()));
  auto sequence = [&](Value value) {
    inputs.push_back(value);
    Type slice = value.type();
    slice.shape.erase(slice.shape.begin());
    return b.input(slice);
  };
  const Value x_t = sequence(x);
  const Value t = lengths ? sequence(iota(outer, {x.dim(0)}, 0)) : Value{};
  auto invariant = [&](Value value) -> Value {
    if (!value) return {};
    inputs.push_back(value);
    return b.input(value.type());
  };
  std::vector<Value> inner;
  for (const Value& weight : weights) inner.push_back(invariant(weight));
  const Value length = invariant(lengths);
  std::vector<Value> next = step(cell, x_t, states, inner[0], inner[1], inner[2], inner[3], inner[4]);
  Value y = next[0];
  if (length) {
    // Behind a sequence's end its state stays and its output is zero.
    const Value inside = b.call("less", {t, length});
    y = b.select(inside, y, b.constant(0.0, y.type().dtype));
    for (size_t i = 0; i < next.size(); ++i) next[i] = b.select(inside, next[i], states[i]);
  }
  for (const Value& state : next) b.result(state);
  b.result(y);
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  const int64_t sequences = lengths ? 2 : 1;
  std::vector<Value> results = outer.call_all("scan", inputs,
                                              {{"carries", static_cast<int64_t>(initial.size())},
                                               {"sequences", sequences},
                                               {"axes", std::vector<int64_t>(static_cast<size_t>(sequences), 0)},
                                               {"output_axes", std::vector<int64_t>{0}},
                                               {"reverse", reverse}},
                                              std::move(bodies));
  Direction direction{results.back(), results};
  direction.states.pop_back();
  return direction;
}

void recurrent(OnnxNode& n) {
  Builder& b = n.builder();
  Cell cell;
  cell.kind = n.op_type() == "LSTM" ? Kind::lstm : n.op_type() == "GRU" ? Kind::gru : Kind::rnn;
  const int64_t gates = cell.kind == Kind::lstm ? 4 : cell.kind == Kind::gru ? 3 : 1;
  const size_t states = cell.kind == Kind::lstm ? 2 : 1;
  const std::string order = n.choice("direction", {"forward", "reverse", "bidirectional"});
  const int64_t directions = order == "bidirectional" ? 2 : 1;
  Value x = n.in(0);
  const Value w = n.in(1), r = n.in(2);
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3)
    n.fail("needs a sequence, W and R of three axes each but got " + shape_text(x.shape()) + ", " +
           shape_text(w.shape()) + " and " + shape_text(r.shape()));
  if (!w.dim(0).is_constant(directions)) n.fail("has weights for " + w.dim(0).text() + " directions but is " + order);
  cell.units = r.dim(2);
  if (w.dim(1) != cell.units * gates || r.dim(1) != cell.units * gates)
    n.fail("needs weights of " + std::to_string(gates) + " gates but got " + shape_text(w.shape()) + " and " +
           shape_text(r.shape()));
  std::vector<std::string> names = {"Tanh"};
  if (cell.kind == Kind::gru) names = {"Sigmoid", "Tanh"};
  if (cell.kind == Kind::lstm) names = {"Sigmoid", "Tanh", "Tanh"};
  const size_t each = names.size();
  if (directions == 2)
    for (size_t i = 0; i < each; ++i) names.push_back(std::string(names[i]));
  const std::vector<Activation> f = activations_of(n, names, each * static_cast<size_t>(directions));
  cell.clip = n.real("clip", 0.0);
  cell.input_forget = n.integer("input_forget", 0) != 0;
  cell.linear_before_reset = n.integer("linear_before_reset", 0) != 0;
  const bool batch_first = n.integer("layout", 0) != 0;
  if (batch_first) x = b.transpose(x, {1, 0, 2});
  const Dim time = x.dim(0), batch = x.dim(1);
  const Value lengths = n.has_input(4) ? b.reshape(b.cast(n.in(4), DType::i64), {batch, 1}) : Value{};
  // [directions, ...] without its first axis.
  auto of_direction = [&](Value value, int64_t d) {
    Shape shape(value.shape().begin() + 1, value.shape().end());
    return b.reshape(directions == 1 ? value : b.slice(value, 0, d, 1), shape);
  };
  std::vector<Value> ys;
  std::vector<std::vector<Value>> finals(states);
  for (int64_t d = 0; d < directions; ++d) {
    cell.f.assign(f.begin() + d * static_cast<std::ptrdiff_t>(each),
                  f.begin() + (d + 1) * static_cast<std::ptrdiff_t>(each));
    std::vector<Value> initial;
    for (size_t s = 0; s < states; ++s) {
      if (!n.has_input(5 + s)) {
        initial.push_back(b.fill(0.0, {batch, cell.units}, x.type().dtype));
        continue;
      }
      Value state = n.in(5 + s);
      if (batch_first) state = b.transpose(state, {1, 0, 2});
      initial.push_back(of_direction(state, d));
    }
    std::vector<Value> weights = {of_direction(w, d), of_direction(r, d), {}, {}, {}};
    if (n.has_input(3)) {
      const Value bias = of_direction(n.in(3), d);
      weights[2] = b.slice(bias, 0, 0, cell.units * gates);
      weights[3] = b.slice(bias, 0, cell.units * gates, cell.units * gates);
    }
    if (cell.kind == Kind::lstm && n.has_input(7)) weights[4] = of_direction(n.in(7), d);
    const Direction direction = run_direction(cell, x, initial, weights, lengths, order == "reverse" || d == 1);
    ys.push_back(
        b.reshape(direction.y, batch_first ? Shape{time, batch, 1, cell.units} : Shape{time, 1, batch, cell.units}));
    for (size_t s = 0; s < states; ++s)
      finals[s].push_back(
          b.reshape(direction.states[s], batch_first ? Shape{batch, 1, cell.units} : Shape{1, batch, cell.units}));
  }
  Value y = b.concat(ys, batch_first ? 2 : 1);
  if (batch_first) y = b.transpose(y, {1, 0, 2, 3});
  if (n.wants(0)) n.set(0, y);
  for (size_t s = 0; s < states; ++s)
    if (n.wants(1 + s)) n.set(1 + s, b.concat(finals[s], batch_first ? 1 : 0));
}

constexpr OnnxOp ops[] = {{"LSTM", 1, recurrent}, {"GRU", 1, recurrent}, {"RNN", 1, recurrent}};

}  // namespace

std::span<const OnnxOp> onnx_recurrent_ops() { return ops; }

}  // namespace moru
