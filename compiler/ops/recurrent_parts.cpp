#include "compiler/ops/recurrent_parts.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace moru::recurrent {

namespace {

constexpr std::string_view stacked = "StackedRNNCells";

Part resolve_cell(Attributes nested, std::string prefix, std::string_view node) {
  const std::string class_name = nested.has("class") ? nested.string("class") : "";
  const Cell* cell = class_name.ends_with("Cell") ? find_cell(class_name) : nullptr;
  if (!cell)
    throw CompileError({.stage = "infer_shapes",
                        .node = std::string(node),
                        .op = "RNN",
                        .what = "runs a cell of the class '" + class_name + "', which is unsupported",
                        .detail = {},
                        .hint = "use SimpleRNNCell, LSTMCell, GRUCell or StackedRNNCells of them"});
  for (std::string_view name : {"class", "name", "trainable", "dtype"}) nested.erase(name);
  return {cell, check_attributes(get_op(cell->op), std::move(nested), node), std::move(prefix)};
}

size_t weight_count(const Part& part) { return part.attributes.boolean("use_bias") ? 3 : 2; }

}  // namespace

Parts parts_of(const Op& op, const Attributes& attributes, std::string_view node) {
  if (op.name != "rnn") return Parts{Part{find_cell(op.name), attributes}};
  const Attributes& cell = attributes.nested("cell");
  if (!cell.has("class") || cell.string("class") != stacked) return Parts{resolve_cell(cell, "cell/", node)};
  Parts parts;
  for (size_t i = 0; cell.has("cell_" + std::to_string(i)); ++i)
    parts.push_back(resolve_cell(cell.nested("cell_" + std::to_string(i)), "cells/" + std::to_string(i) + "/", node));
  if (parts.empty())
    throw CompileError({.stage = "infer_shapes",
                        .node = std::string(node),
                        .op = "RNN",
                        .what = "has StackedRNNCells without cells",
                        .detail = {},
                        .hint = "give it at least one cell, as cell_0"});
  return parts;
}

StepShapes shapes_of(const Parts& parts, Shape x) {
  StepShapes shapes;
  for (const Part& part : parts) {
    shapes.inputs.push_back(x);
    x = part.state(x);
    shapes.states.insert(shapes.states.end(), part.cell->states, x);
  }
  return shapes;
}

Shape step_of(const Shape& sequence) {
  Shape step = sequence;
  if (step.size() > 1) step.erase(step.begin() + 1);
  return step;
}

size_t state_count(const Parts& parts) {
  size_t count = 0;
  for (const Part& part : parts) count += part.cell->states;
  return count;
}

Places places_of(const Op& op, const Parts& parts, size_t inputs) {
  const size_t states = state_count(parts);
  if (op.name != "rnn") return {.mask = states + 4, .seed = states + 5, .states = 1, .weights = states + 1};
  size_t weights = 0;
  for (const Part& part : parts) weights += weight_count(part);
  // When a model is drawn, weights are not given yet.
  const size_t given = std::max<size_t>(inputs, 4) - 4;
  return {.mask = 1, .seed = 2, .states = 4, .weights = 4 + (given >= weights ? given - weights : given)};
}

const HostTensor* or_null(const HostTensor& tensor) { return find_input(std::span<const HostTensor>(&tensor, 1), 0); }

namespace {
bool is_given(const Value& value) { return static_cast<bool>(value); }
bool is_given(const HostTensor& tensor) { return or_null(tensor) != nullptr; }
}  // namespace

template <typename Item>
Arguments<Item> arguments_of(const Op& op, const Parts& parts, std::span<const Item> inputs) {
  const Places places = places_of(op, parts, inputs.size());
  const auto at = [&](size_t i) { return i < inputs.size() ? inputs[i] : Item{}; };
  Arguments<Item> a{.x = at(0), .mask = at(places.mask), .random = {}, .states = {}, .weights = {}};
  if (is_given(at(places.seed))) a.random = inputs.subspan(places.seed, 2);
  for (size_t i = places.states; i < places.weights && is_given(at(i)); ++i) a.states.push_back(at(i));
  size_t next = places.weights;
  for (const Part& part : parts) {
    a.weights.push_back({at(next), at(next + 1), weight_count(part) == 3 ? at(next + 2) : Item{}});
    next += weight_count(part);
  }
  return a;
}

template Arguments<Value> arguments_of<Value>(const Op&, const Parts&, std::span<const Value>);
template Arguments<HostTensor> arguments_of<HostTensor>(const Op&, const Parts&, std::span<const HostTensor>);

// ---- dropout ----

bool drops(const Attributes& attributes, std::string_view rate) {
  return attributes.real(rate) > 0.0 && attributes.real(rate) < 1.0;
}

namespace {

// Keras draws numbers for each gate with implementation 1, which recurrent dropout turns on; else one for all of them.
int64_t dropout_gates(const Part& part) {
  const AttributeValue* implementation = part.attributes.find("implementation");  // ConvLSTM has one, as if it were 1
  const bool each = !implementation || part.attributes.integer("implementation") == 1 || part.attributes.real("recurrent_dropout") > 0.0;
  return each ? part.cell->gates : 1;
}

// Every part of a call has two streams: of its input and of its state.
int64_t stream_of(const Attributes& layer, const Parts& parts, size_t part, bool state) {
  const auto count = static_cast<int64_t>(parts.size());
  return 2 * (layer.integer("stream") * count + static_cast<int64_t>(part)) + (state ? 1 : 0);
}

}  // namespace

Draws draws_of(const Parts& parts, const StepShapes& shapes, const Attributes& layer) {
  Draws draws{std::vector<Draw>(parts.size()), std::vector<Draw>(parts.size())};
  for (size_t p = 0; p < parts.size(); ++p) {
    const Attributes& a = parts[p].attributes;
    const auto draw = [&](Shape shape, int64_t gates, const char* rate, bool state) -> Draw {
      if (!drops(a, rate)) return {};
      shape.insert(shape.begin() + 1, gates);
      return {std::move(shape), a.real(rate), stream_of(layer, parts, p, state)};
    };
    draws.x[p] = draw(shapes.inputs[p], dropout_gates(parts[p]), "dropout", false);
    draws.h[p] = draw(parts[p].state(shapes.inputs[p]), parts[p].cell->gates, "recurrent_dropout", true);
  }
  return draws;
}

}  // namespace moru::recurrent
