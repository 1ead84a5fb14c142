// Recurrent layers as RNN, GRU and LSTM. ONNX has time in front and its gates in another order; what its operators cannot
// say (masks, other activations) is written by the layer's expansion, as a Scan.
#include <algorithm>
#include <limits>
#include <optional>

#include "compiler/exchange/onnx/onnx_writer.h"
#include "compiler/ops/layer.h"
#include "compiler/ops/recurrent.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

struct Cell {
  std::string_view op, onnx;
  int64_t gates;
  Integers order;  // Keras' gates in ONNX's order
};
const Cell cells[] = {
    {"simple_rnn", "RNN", 1, {0}},
    {"gru", "GRU", 3, {0, 1, 2}},      // z, r, h
    {"lstm", "LSTM", 4, {0, 3, 1, 2}}  // i, f, c, o -> i, o, f, c
};

struct Activation {
  std::string name;
  std::optional<double> alpha, beta;
};

// Which of ONNX's it is, by what it expands into; none where that is not one op that ONNX has.
std::optional<Activation> find_activation(const AttributeValue& value) {
  Graph graph;
  Builder builder(graph);
  apply_activation(builder.input({DType::f32, {Dim(1), Dim(1)}}), value);
  if (graph.nodes.empty()) return Activation{"Affine", 1.0, 0.0};
  if (graph.nodes.size() > 1) return std::nullopt;
  const Node& node = graph.nodes[0];
  const std::string_view op = node.op->name;
  if (op == "linear") return Activation{"Affine", 1.0, 0.0};
  if (op == "tanh") return Activation{"Tanh", {}, {}};
  if (op == "sigmoid") return Activation{"Sigmoid", {}, {}};
  const auto is_zero = [&](const char* name) { return !node.attributes.has(name) || node.attributes.real(name) == 0.0; };
  if (op == "relu" && is_zero("negative_slope") && is_zero("threshold") && !node.attributes.has("max_value"))
    return Activation{"Relu", {}, {}};
  if (op == "softplus") return Activation{"Softplus", {}, {}};
  if (op == "softsign") return Activation{"Softsign", {}, {}};
  if (op == "hard_sigmoid") return Activation{"HardSigmoid", 1.0 / 6.0, 0.5};
  if (op == "hard_sigmoid_keras2") return Activation{"HardSigmoid", 0.2, 0.5};
  if (op == "elu") return Activation{"Elu", node.attributes.real("alpha"), {}};
  if (op == "leaky_relu") return Activation{"LeakyRelu", node.attributes.real("negative_slope"), {}};
  return std::nullopt;
}

// One direction: the layer's attributes, and its inputs by name.
struct Direction {
  const Op* op = nullptr;
  Attributes attributes;
  std::vector<OnnxValue> inputs;

  OnnxValue input(std::string_view name) const {
    for (size_t i = 0; i < op->inputs.size() && i < inputs.size(); ++i)
      if (op->inputs[i].name == name) return inputs[i];
    return {};
  }
  bool flag(std::string_view name) const { return attributes.find(name) != nullptr && attributes.boolean(name); }
};

struct Weights {
  OnnxWeight w, r, b;
};

// Columns [in, gates * units] as rows in ONNX's order, behind those of other directions.
void add_rows(OnnxWeight& to, const OnnxWeight& kernel, const Cell& cell, int64_t units) {
  const int64_t depth = kernel.shape[0], width = kernel.shape[1];
  for (int64_t gate : cell.order)
    for (int64_t unit = 0; unit < units; ++unit)
      for (int64_t k = 0; k < depth; ++k)
        to.data.push_back(kernel.data[static_cast<size_t>(k * width + gate * units + unit)]);
}

void add_bias(OnnxWeight& to, const float* bias, const Cell& cell, int64_t units) {
  for (int64_t gate : cell.order)
    for (int64_t unit = 0; unit < units; ++unit) to.data.push_back(bias == nullptr ? 0.0f : bias[gate * units + unit]);
}

bool write_recurrent(OnnxOpWriter& w, const std::vector<Direction>& directions, const std::string& merge) {
  OnnxWriter& to = w.writer;
  const Direction& first = directions[0];
  const auto cell = std::find_if(std::begin(cells), std::end(cells), [&](const Cell& c) { return c.op == first.op->name; });
  if (cell == std::end(cells) || w.types[0].dtype != DType::f32) return false;
  const int64_t units = first.attributes.integer("units");
  const auto count = static_cast<int64_t>(directions.size());
  const bool reset_after = first.flag("reset_after"), sequences = first.flag("return_sequences"),
             return_state = first.flag("return_state");
  const size_t states = recurrent_states(*first.op, first.attributes);

  std::vector<std::string> activations;
  std::vector<double> alphas, betas;
  bool any_bias = false, initial = false, plain_activations = true;
  for (const Direction& direction : directions) {
    if (direction.op != first.op || direction.attributes.integer("units") != units ||
        direction.flag("reset_after") != reset_after || direction.flag("stateful") || direction.input("mask"))
      return false;
    const OnnxValue bias = direction.input("bias");
    if (!to.find_weight(direction.input("kernel")) || !to.find_weight(direction.input("recurrent_kernel")) ||
        (bias && !to.find_weight(bias)))
      return false;
    any_bias = any_bias || bias;
    initial = initial || direction.input("initial_h");
    const std::vector<const char*> names = cell->gates == 1   ? std::vector{"activation"}
                                           : cell->gates == 3 ? std::vector{"recurrent_activation", "activation"}
                                                              : std::vector{"recurrent_activation", "activation", "activation"};
    for (const char* name : names) {
      const auto activation = find_activation(*direction.attributes.find(name));
      if (!activation) return false;
      activations.push_back(activation->name);
      if (activation->alpha) alphas.push_back(*activation->alpha);
      if (activation->beta) betas.push_back(*activation->beta);
      plain_activations = plain_activations && activation->name == (std::string_view(name) == "activation" ? "Tanh" : "Sigmoid");
    }
  }
  for (const Direction& direction : directions)
    if (initial != static_cast<bool>(direction.input("initial_h"))) return false;

  // Nothing below refuses.
  Weights weights;
  for (const Direction& direction : directions) {
    const OnnxWeight& kernel = *to.find_weight(direction.input("kernel"));
    add_rows(weights.w, kernel, *cell, units);
    weights.w.shape = {count, cell->gates * units, kernel.shape[0]};
    add_rows(weights.r, *to.find_weight(direction.input("recurrent_kernel")), *cell, units);
    const OnnxWeight* bias = direction.input("bias") ? to.find_weight(direction.input("bias")) : nullptr;
    add_bias(weights.b, bias == nullptr ? nullptr : bias->data.data(), *cell, units);
    add_bias(weights.b, bias == nullptr || !reset_after ? nullptr : bias->data.data() + cell->gates * units, *cell, units);
  }
  weights.r.shape = {count, cell->gates * units, units};
  weights.b.shape = {count, 2 * cell->gates * units};

  const auto initial_state = [&](const char* name) -> std::string {
    if (!initial) return "";
    std::vector<std::string> parts;
    for (const Direction& direction : directions)
      parts.push_back(to.side_node("Unsqueeze", {to.plain(direction.input(name)), to.integers({0})}));
    return parts.size() == 1 ? parts[0] : to.side_node("Concat", parts, {{"axis", int64_t{0}}});
  };
  const bool backwards = first.flag("go_backwards");
  OnnxAttributes attributes = {{"hidden_size", units}};
  if (count == 2 || backwards) attributes.emplace_back("direction", std::string(count == 2 ? "bidirectional" : "reverse"));
  if (cell->op == "gru") attributes.emplace_back("linear_before_reset", int64_t{reset_after});
  if (!plain_activations) attributes.emplace_back("activations", activations);
  if (!alphas.empty()) attributes.emplace_back("activation_alpha", alphas);
  if (!betas.empty()) attributes.emplace_back("activation_beta", betas);
  std::vector<std::string> inputs = {to.ordered(w.inputs[0], {1, 0, 2}), to.weight(w.weight_name("kernel"), weights.w),
                                     to.weight(w.weight_name("recurrent_kernel"), weights.r),
                                     any_bias ? to.weight(w.weight_name("bias"), weights.b) : "", "",
                                     initial_state("initial_h")};
  if (states == 2) inputs.push_back(initial_state("initial_c"));
  const std::vector<std::string> made = to.nodes(std::string(cell->onnx), inputs, attributes, 1 + states);

  // made: y [time, directions, batch, units], then the last states [directions, batch, units]
  const std::string& all = sequences ? made[0] : made[1];
  const int64_t direction_axis = sequences ? 1 : 0;
  const Integers order = sequences ? Integers{1, 0, 2} : Integers{0, 1};
  const auto squeezed = [&](const std::string& name, int64_t axis) {
    return to.side_node("Squeeze", {name, to.integers({axis})});
  };
  std::vector<std::string> each;  // of each direction, where they are merged one by one
  if (count == 1) {
    std::string y = squeezed(all, direction_axis);
    if (sequences && backwards)  // Keras lists the steps as they were run
      y = to.side_node("Slice", {y, to.integers({-1}), to.integers({std::numeric_limits<int64_t>::min()}), to.integers({0}),
                                 to.integers({-1})});
    w.set(OnnxWriter::from_ordered(y, order));
  } else if (merge == "concat") {
    const Integers together = sequences ? Integers{0, 2, 1, 3} : Integers{1, 0, 2};
    Integers shape(order.size() - 1, 0);
    shape.push_back(2 * units);
    w.set(OnnxWriter::from_ordered(
        to.side_node("Reshape", {to.side_node("Transpose", {all}, {{"perm", together}}), to.integers(shape)}), order));
  } else {
    for (int64_t d = 0; d < 2; ++d)
      each.push_back(to.side_node("Gather", {all, to.number(static_cast<double>(d), DType::i64)}, {{"axis", direction_axis}}));
    if (merge == "none") {
      for (const std::string& one : each) w.set(OnnxWriter::from_ordered(one, order));
    } else {
      std::string y = to.node(merge == "mul" ? "Mul" : "Add", each);
      if (merge == "ave") y = to.node("Mul", {y, to.number(0.5)});
      w.set(OnnxWriter::from_ordered(y, order));
    }
  }
  if (!return_state) return true;
  for (int64_t d = 0; d < count; ++d)
    for (size_t s = 0; s < states; ++s)
      w.set(count == 1 ? squeezed(made[1 + s], 0)
                       : to.side_node("Gather", {made[1 + s], to.number(static_cast<double>(d), DType::i64)},
                                      {{"axis", int64_t{0}}}));
  return true;
}

bool recurrent(OnnxOpWriter& w) {
  return write_recurrent(w, {{&w.op, w.attributes, {w.inputs.begin(), w.inputs.end()}}}, "");
}

std::optional<Direction> inner_direction(const OnnxOpWriter& w, const char* attribute) {
  Attributes nested = w.attributes.nested(attribute);
  const Op* op = find_layer(nested.string("class"));
  if (op == nullptr || recurrent_states(*op, nested) == 0) return std::nullopt;
  for (const char* name : {"class", "name", "trainable", "dtype"}) nested.erase(name);
  return Direction{op, check_attributes(*op, nested, w.writer.origin()), {}};
}

bool bidirectional(OnnxOpWriter& w) {
  std::optional<Direction> forward = inner_direction(w, "layer"), backward = forward;
  if (!forward || w.has_mask()) return false;
  if (w.attributes.has("backward_layer"))
    backward = inner_direction(w, "backward_layer");
  else
    backward->attributes.set("go_backwards", !forward->flag("go_backwards"));
  if (!backward || forward->flag("go_backwards") || !backward->flag("go_backwards")) return false;
  const size_t states = recurrent_states(*forward->op, forward->attributes);
  // x, initial states, weights of the one, weights of the other
  std::vector<OnnxValue> given;
  for (const OnnxValue& input : w.inputs)
    if (input) given.push_back(input);
  const auto names_of = [](const Direction& direction) {
    std::vector<std::string> names = {"kernel", "recurrent_kernel"};
    if (direction.flag("use_bias")) names.push_back("bias");
    return names;
  };
  const std::vector<std::string> names[2] = {names_of(*forward), names_of(*backward)};
  const size_t weights = names[0].size() + names[1].size();
  if (given.size() != 1 + weights && given.size() != 1 + weights + 2 * states) return false;
  const bool initial = given.size() > 1 + weights;
  std::vector<Direction> directions = {*forward, *backward};
  size_t next_weight = given.size() - weights;
  for (size_t d = 0; d < 2; ++d) {
    std::vector<OnnxValue> tensors = {given[0]};
    if (initial)
      for (size_t s = 0; s < states; ++s) tensors.push_back(given[1 + d * states + s]);
    const auto own = std::span(given).subspan(next_weight, names[d].size());
    next_weight += names[d].size();
    directions[d].inputs = placed_inputs<OnnxValue>(*directions[d].op, tensors, names[d], own, [](auto) { return OnnxValue{}; });
  }
  return write_recurrent(w, directions, w.attributes.has("merge_mode") ? w.attributes.string("merge_mode") : "none");
}

constexpr OnnxWriteEntry entries[] = {
    {"simple_rnn", recurrent}, {"gru", recurrent}, {"lstm", recurrent}, {"bidirectional", bidirectional}};

}  // namespace

std::span<const OnnxWriteEntry> onnx_write_recurrent() { return entries; }

}  // namespace moru
