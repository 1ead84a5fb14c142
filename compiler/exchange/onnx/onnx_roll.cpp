// Loops whose turns are all alike, as one scan. A turn is translated once, on placeholders for what differs from turn to
// turn. What counts turns is no carry but the turn's number; what a turn takes from a tensor at that number is a slice of
// a sequence; what it appends to a sequence is stacked; and a condition that compares what counts with what does not says
// how many turns there are.
#include <algorithm>

#include "compiler/exchange/onnx/onnx_fold.h"
#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/support/dim_bounds.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

constexpr int64_t fewest_rolled = 4;       // turns from which on a loop is worth one scan
constexpr int64_t no_limit = INT32_MAX;    // trip counts from here on are there for conditions to end the loop before

const Node* find_producer(const Graph& graph, ValueId value) {
  for (const Node& node : graph.nodes)
    if (std::find(node.outputs.begin(), node.outputs.end(), value) != node.outputs.end()) return &node;
  return nullptr;
}

bool is_count(const Type& type) {
  return (type.dtype == DType::i64 || type.dtype == DType::i32) && element_count(type.shape).is_constant(1);
}

std::optional<Dim> known_count(const Known& known) {
  if (!known || is_float(known->dtype) || known->elements() != 1) return std::nullopt;
  return known->dims[0];
}

}  // namespace

std::vector<uint32_t> OnnxGraph::Turn::sources() const {
  std::vector<uint32_t> all;
  for (uint32_t id : carries)
    if (id != UINT32_MAX) all.push_back(id);
  all.insert(all.end(), slices.begin(), slices.end());
  if (number != UINT32_MAX) all.push_back(number);
  return all;
}

bool OnnxGraph::Turn::is_source(uint32_t id) const {
  const std::vector<uint32_t> all = sources();
  return std::find(all.begin(), all.end(), id) != all.end();
}

// `counters` are the starts of carries that count turns.
std::optional<OnnxGraph::Turn> OnnxGraph::translate_turn(const Call& call, const onnx::GraphProto& body,
                                                         const Rolling& rolling,
                                                         const std::vector<std::optional<Dim>>& counters) {
  const std::set<std::string> names = layer_names_;
  const size_t depth = turns_.size();
  Turn turn;
  turn.first_source = static_cast<uint32_t>(values_.size());
  std::vector<uint32_t> arguments;
  try {
    if (rolling.is_loop) {
      turn.number = add_placeholder({DType::i64, {}}, Narrow::none, name_of(call.node));
      arguments = {turn.number, add_constant(known_integer(1, DType::boolean), "condition")};
    }
    for (size_t i = 0; i < rolling.carries.size(); ++i) {
      const Value first = values_[rolling.carries[i]];
      turn.carries.push_back(UINT32_MAX);
      if (first.is_sequence()) {
        arguments.push_back(add_sequence(call, {}));
        values_[arguments.back()].grows = true;
      } else if (counters[i]) {
        arguments.push_back(build_values(call, {turn.number}, 1, [&](OnnxNode& node) {
          Builder& b = node.builder();
          moru::Value count = node.raw(0);
          if (!counters[i]->is_constant(0)) count = count + dim_scalar(b, *counters[i], DType::i64);
          node.set_as(0, b.reshape(b.cast(count, first.type.dtype), first.type.shape), first.type.dtype);
        })[0]);
      } else {
        arguments.push_back(turn.carries[i] = add_placeholder(first.type, first.narrow, name_of(call.node)));
      }
    }
    for (size_t i = 0; i < rolling.sequences.size(); ++i) {
      Type type = values_[rolling.sequences[i]].type;
      type.shape.erase(type.shape.begin() + rolling.axes[i]);
      turn.data.push_back(rolling.sequences[i]);
      turn.axes.push_back(rolling.axes[i]);
      turn.slices.push_back(add_placeholder(type, values_[rolling.sequences[i]].narrow, name_of(call.node)));
      arguments.push_back(turn.slices.back());
    }
    turns_.push_back(&turn);
    turn.results = run_body(call, body, arguments);
  } catch (const CompileError& error) {
    if (sizes_.teaches(error)) throw;
    turns_.resize(depth);
    layer_names_ = names;
    return std::nullopt;
  }
  turns_.resize(depth);
  return turn;
}

std::optional<uint32_t> OnnxGraph::find_slice(const Call& call, const std::vector<uint32_t>& inputs) {
  if (turns_.empty() || call.node.op_type() != "Gather" || inputs.size() != 2) return std::nullopt;
  Turn& turn = *turns_.back();
  const uint32_t data = inputs[0], index = inputs[1];
  if (turn.number == UINT32_MAX || data == UINT32_MAX || index == UINT32_MAX) return std::nullopt;
  if ((data >= turn.first_source && !values_[data].initializer) || !is_count(values_[index].type)) return std::nullopt;
  const std::optional<Affine> place = find_affine(index, turn);
  if (!place || place->base != turn.number || !place->offset.is_constant(0)) return std::nullopt;
  Type type = values_[data].type;
  int64_t axis = 0;
  for (const auto& attribute : call.node.attribute())
    if (attribute.name() == "axis") axis = attribute.i();
  const auto rank = static_cast<int64_t>(type.shape.size());
  if (axis < -rank || axis >= rank) return std::nullopt;
  if (axis < 0) axis += rank;
  Shape gathered = type.shape;
  gathered.erase(gathered.begin() + axis);
  type.shape = gathered;
  gathered.insert(gathered.begin() + axis, values_[index].type.shape.begin(), values_[index].type.shape.end());
  uint32_t slice = UINT32_MAX;
  for (size_t i = 0; i < turn.data.size(); ++i)
    if (turn.data[i] == data && turn.axes[i] == axis) slice = turn.slices[i];
  if (slice == UINT32_MAX) {
    slice = add_placeholder(type, values_[data].narrow, name_of(call.node));
    turn.data.push_back(data);
    turn.axes.push_back(axis);
    turn.slices.push_back(slice);
  }
  if (gathered == type.shape) return slice;
  return build_values(call, {slice}, 1, [&](OnnxNode& node) {
    node.set_as(0, node.builder().reshape(node.raw(0), gathered), node.dtype(0));
  })[0];
}

std::optional<OnnxGraph::Affine> OnnxGraph::find_affine(uint32_t id, const Turn& turn) {
  if (id == UINT32_MAX) return std::nullopt;
  if (turn.is_source(id)) return Affine{id, 0};
  if (const std::optional<Dim> count = known_count(values_[id].known)) return Affine{UINT32_MAX, *count};
  if (values_[id].step < 0) return std::nullopt;
  const Step& step = steps_[static_cast<size_t>(values_[id].step)];
  return find_affine(step, step.body->results.at(values_[id].output).value, turn);
}

std::optional<OnnxGraph::Affine> OnnxGraph::find_affine(const Step& step, ValueId value, const Turn& turn) {
  const Graph& body = *step.body;
  if (!is_count(body.type(value))) return std::nullopt;
  for (size_t i = 0; i < body.inputs.size(); ++i) {
    if (body.inputs[i].value != value) continue;
    if (i < step.tensors.size()) return find_affine(step.tensors[i], turn);
    const Parameter& parameter = parameters_of(step)[i - step.tensors.size()];
    const auto count = known_count(known_of(parameter.dtype, parameter.shape, parameter.bytes()));
    return count ? std::optional(Affine{UINT32_MAX, *count}) : std::nullopt;
  }
  const Node* node = find_producer(body, value);
  if (!node) return std::nullopt;
  const std::string_view op = node->op->name;
  if (op == "fill") return Affine{UINT32_MAX, Dim(static_cast<int64_t>(node->attributes.real("value")))};
  if (op == "dim_value") return Affine{UINT32_MAX, node->attributes.shape("dim")[0]};
  if (op == "cast" || op == "reshape" || op == "broadcast_to") return find_affine(step, node->inputs[0], turn);
  if (op != "add" && op != "sub") return std::nullopt;
  const auto a = find_affine(step, node->inputs[0], turn), b = find_affine(step, node->inputs[1], turn);
  if (!a || !b) return std::nullopt;
  if (op == "sub") return b->base == UINT32_MAX ? std::optional(Affine{a->base, a->offset - b->offset}) : std::nullopt;
  if (a->base != UINT32_MAX && b->base != UINT32_MAX) return std::nullopt;
  return Affine{a->base == UINT32_MAX ? b->base : a->base, a->offset + b->offset};
}

// What a condition says, all of which must hold.
std::optional<std::vector<OnnxGraph::Order>> OnnxGraph::find_orders(uint32_t id, const Turn& turn) {
  if (id == UINT32_MAX) return std::vector<Order>{};
  if (const std::optional<bool> truth = find_truth(id))
    return *truth ? std::vector<Order>{} : std::vector<Order>{{{UINT32_MAX, 1}, {UINT32_MAX, 0}}};
  if (values_[id].step < 0) return std::nullopt;
  const Step& step = steps_[static_cast<size_t>(values_[id].step)];
  return find_orders(step, step.body->results.at(values_[id].output).value, turn);
}

std::optional<std::vector<OnnxGraph::Order>> OnnxGraph::find_orders(const Step& step, ValueId value, const Turn& turn) {
  const Graph& body = *step.body;
  for (size_t i = 0; i < step.tensors.size(); ++i)
    if (body.inputs[i].value == value) return find_orders(step.tensors[i], turn);
  const Node* node = find_producer(body, value);
  if (!node) return std::nullopt;
  const std::string_view op = node->op->name;
  if (op == "cast" || op == "reshape") {
    if (body.type(node->inputs[0]).dtype != DType::boolean) return std::nullopt;
    return find_orders(step, node->inputs[0], turn);
  }
  if (op == "logical_and") {
    auto orders = find_orders(step, node->inputs[0], turn);
    const auto more = find_orders(step, node->inputs[1], turn);
    if (!orders || !more) return std::nullopt;
    orders->insert(orders->end(), more->begin(), more->end());
    return orders;
  }
  const bool swapped = op == "greater" || op == "greater_equal", equal = op == "less_equal" || op == "greater_equal";
  if (!swapped && !equal && op != "less") return std::nullopt;
  const auto less = find_affine(step, node->inputs[swapped ? 1 : 0], turn),
             more = find_affine(step, node->inputs[swapped ? 0 : 1], turn);
  if (!less || !more) return std::nullopt;
  return std::vector<Order>{{*less, {more->base, more->offset + (equal ? 1 : 0)}}};
}

// Where a carry starts that grows by one at every turn.
std::optional<Dim> OnnxGraph::find_counter(const Rolling& rolling, const Turn& turn, size_t carry) {
  const uint32_t source = turn.carries[carry];
  if (source == UINT32_MAX || !is_count(values_[source].type) || values_[source].narrow != Narrow::none)
    return std::nullopt;
  const auto next = find_affine(turn.results[carry + 1], turn);
  if (!next || next->base != source || !next->offset.is_constant(1)) return std::nullopt;
  return known_count(find_known(rolling.carries[carry]));
}

std::optional<Dim> OnnxGraph::find_trip(const Rolling& rolling, const Turn& turn) {
  if (!rolling.is_loop)
    return values_[turn.data[0]].type.shape[static_cast<size_t>(turn.axes[0])];
  std::optional<Dim> trip = rolling.limit;
  if (trip && trip->is_constant() && trip->constant() >= no_limit) trip.reset();
  const auto orders = find_orders(turn.results[0], turn);
  const auto first = find_orders(rolling.condition, turn);
  const std::optional<bool> starts = rolling.condition == UINT32_MAX ? true : find_truth(rolling.condition);
  if (!orders || (!starts && (!first || first->size() != orders->size()))) return std::nullopt;
  // A source's value at turn t: start + step * t.
  auto resolve = [&](const Affine& affine, Dim& start, int64_t& step) {
    start = affine.offset;
    step = 0;
    if (affine.base == UINT32_MAX) return true;
    if (affine.base == turn.number) return step = 1, true;
    const auto carry = std::find(turn.carries.begin(), turn.carries.end(), affine.base) - turn.carries.begin();
    const auto place = static_cast<size_t>(carry);
    if (place == turn.carries.size()) return false;
    const auto next = find_affine(turn.results[place + 1], turn);
    const auto begin = known_count(find_known(rolling.carries[place]));
    if (!next || !begin || next->base != affine.base || !next->offset.is_constant()) return false;
    start += *begin;
    step = next->offset.constant();
    return true;
  };
  for (size_t i = 0; i < orders->size(); ++i) {
    Dim less, more;
    int64_t less_step = 0, more_step = 0;
    if (!resolve((*orders)[i].less, less, less_step) || !resolve((*orders)[i].more, more, more_step))
      return std::nullopt;
    // Behind turn t there is another one while distance - closing * t > 0.
    const Dim distance = more - less;
    const int64_t closing = less_step - more_step;
    if (closing <= 0) {
      if (!distance.is_constant() || (closing < 0 && distance.constant() <= 0)) return std::nullopt;
      if (distance.constant() > 0) continue;  // it always holds
    }
    Dim turns = 1;
    if (closing > 0) {
      if (!starts) {
        // Turn 0 is asked for as any other is: that many turns there are, and may be none.
        const auto& [low, high] = (*first)[i];
        if (low.base != UINT32_MAX || high.base != UINT32_MAX || high.offset - low.offset != distance + closing)
          return std::nullopt;
      }
      turns = ceil_div(distance + closing, closing);
      const int64_t fewest = starts ? 1 : 0;
      if (const auto least = least_of(turns); !least || *least < fewest) turns = max(turns, fewest);
    } else if (!starts) {
      return std::nullopt;
    }
    if (!trip || *trip != turns) trip = trip ? min(*trip, turns) : turns;
  }
  if (orders->empty() && starts != true) return std::nullopt;
  return trip;
}

std::optional<std::vector<uint32_t>> OnnxGraph::roll(const Call& call, const onnx::GraphProto& body,
                                                     const Rolling& rolling) {
  const size_t carries = rolling.carries.size(), lead = rolling.is_loop ? 1 : 0;
  for (uint32_t id : rolling.carries)
    if (id == UINT32_MAX || values_[id].is_absent || (values_[id].is_sequence() && !(values_[id].elements && values_[id].elements->empty())))
      return std::nullopt;
  std::vector<std::optional<Dim>> counters(carries);
  std::optional<Turn> turn = translate_turn(call, body, rolling, counters);
  if (!turn || turn->results.size() < lead + carries) return std::nullopt;
  if (rolling.is_loop) {
    for (size_t i = 0; i < carries; ++i) counters[i] = find_counter(rolling, *turn, i);
    if (std::any_of(counters.begin(), counters.end(), [](const auto& counter) { return counter.has_value(); }))
      turn = translate_turn(call, body, rolling, counters);
    if (!turn) return std::nullopt;
  }
  const std::optional<Dim> trip = find_trip(rolling, *turn);
  if (!trip || (rolling.is_loop && trip->is_constant() && trip->constant() < fewest_rolled)) return std::nullopt;
  for (size_t i = rolling.sequences.size(); i < turn->data.size(); ++i) {
    const Dim& extent = values_[turn->data[i]].type.shape[static_cast<size_t>(turn->axes[i])];
    if (const Dim left = extent - *trip; left.is_constant() && left.constant() < 0) return std::nullopt;
  }

  std::vector<uint32_t> operands, next, stacked;
  for (size_t i = 0; i < carries; ++i) {
    const uint32_t result = turn->results[lead + i];
    const Value &first = values_[rolling.carries[i]], &value = values_[result];
    if (counters[i]) continue;
    if (first.is_sequence()) {
      if (!value.grows || value.elements->size() != 1 || values_[value.elements->front()].is_sequence())
        return std::nullopt;
      stacked.push_back(value.elements->front());
      continue;
    }
    if (value.is_sequence() || first.type != value.type || first.narrow != value.narrow) return std::nullopt;
    operands.push_back(rolling.carries[i]);
    next.push_back(result);
  }
  const size_t kept = operands.size(), appended = stacked.size();
  stacked.insert(stacked.end(), turn->results.begin() + static_cast<std::ptrdiff_t>(lead + carries), turn->results.end());
  for (uint32_t id : stacked)
    if (values_[id].is_sequence() || values_[id].is_absent) return std::nullopt;
  operands.insert(operands.end(), turn->data.begin(), turn->data.end());
  std::vector<uint32_t> results = next;
  results.insert(results.end(), stacked.begin(), stacked.end());

  const std::vector<uint32_t> made = build_values(call, operands, results.size(), [&](OnnxNode& node) {
    Builder& b = node.builder();
    std::vector<Type> types;
    for (uint32_t id : turn->sources()) types.push_back(values_[id].type);
    Composition composed = compose(node, turn->sources(), types, results);
    // One scan runs in one direction, so that sequences of the other one are turned around outside.
    const bool reverse = !rolling.reversed.empty() && rolling.reversed[0];
    std::vector<moru::Value> inputs;
    std::vector<int64_t> axes = turn->axes;
    for (size_t i = 0; i < operands.size(); ++i) {
      moru::Value value = node.raw(i);
      if (const size_t sequence = i - kept; i >= kept) {
        if (sequence < rolling.reversed.size()) {
          if (rolling.reversed[sequence] != reverse) value = b.call("reverse", {value}, {{"axis", axes[sequence]}});
        } else if (value.shape()[static_cast<size_t>(axes[sequence])] != *trip) {
          value = b.slice(value, axes[sequence], 0, *trip);
        }
      }
      inputs.push_back(value);
    }
    if (rolling.is_loop) {
      inputs.push_back(iota(b, {*trip}, 0));
      axes.push_back(0);
    }
    inputs.insert(inputs.end(), composed.outside.begin(), composed.outside.end());
    std::vector<int64_t> stack_axes(stacked.size(), 0);
    for (size_t i = appended; i < stacked.size() && i - appended < rolling.stack_axes.size(); ++i)
      stack_axes[i] = node.axis(rolling.stack_axes[i - appended], values_[stacked[i]].type.shape.size() + 1);
    const Attributes attributes = {{"carries", static_cast<int64_t>(kept)},
                                   {"sequences", static_cast<int64_t>(axes.size())},
                                   {"axes", axes},
                                   {"output_axes", stack_axes},
                                   {"reverse", reverse}};
    std::vector<Graph> bodies;
    bodies.push_back(std::move(composed.graph));
    const std::vector<moru::Value> outputs = b.call_all("scan", inputs, attributes, std::move(bodies));
    for (size_t i = 0; i < outputs.size(); ++i) {
      moru::Value value = outputs[i];
      if (i >= kept + appended) {
        const size_t stack = i - kept - appended;
        const bool reversed = stack < rolling.reversed_stacks.size() && rolling.reversed_stacks[stack];
        if (reversed != reverse) value = b.call("reverse", {value}, {{"axis", stack_axes[i - kept]}});
      }
      node.set_as(i, value, {values_[results[i]].type.dtype, values_[results[i]].narrow});
    }
  });

  std::vector<uint32_t> outputs;
  size_t next_kept = 0, next_stack = kept;
  for (size_t i = 0; i < carries; ++i) {
    const Value first = values_[rolling.carries[i]];
    if (counters[i]) {
      auto last = std::make_shared<KnownValue>();
      last->dtype = first.type.dtype;
      last->shape.assign(first.type.shape.size(), 1);
      last->dims = {*counters[i] + *trip};
      outputs.push_back(add_constant(std::move(last), name_of(call.node)));
    } else if (first.is_sequence()) {
      outputs.push_back(add_sequence(call, {}));
      values_[outputs.back()].elements.reset();
      values_[outputs.back()].stack = made[next_stack++];
    } else {
      outputs.push_back(made[next_kept++]);
    }
  }
  outputs.insert(outputs.end(), made.begin() + static_cast<std::ptrdiff_t>(next_stack), made.end());
  return outputs;
}

}  // namespace moru
