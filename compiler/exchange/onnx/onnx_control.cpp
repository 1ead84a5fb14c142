// ONNX's control flow. What is known when compiling decides which branch is taken and how often a loop runs; a loop
// whose turns are all alike becomes one scan (onnx_roll.cpp), any other one is written out turn by turn.
#include <algorithm>
#include <functional>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/ir/append_graph.h"
#include "compiler/model/infer_model.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

const onnx::GraphProto* find_graph(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute())
    if (attribute.name() == name && attribute.has_g()) return &attribute.g();
  return nullptr;
}

std::vector<int64_t> integers_of(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute())
    if (attribute.name() == name) return {attribute.ints().begin(), attribute.ints().end()};
  return {};
}

int64_t integer_of(const onnx::NodeProto& node, std::string_view name, int64_t otherwise) {
  for (const auto& attribute : node.attribute())
    if (attribute.name() == name) return attribute.i();
  return otherwise;
}

}  // namespace

const onnx::GraphProto& OnnxGraph::body_of(const Call& call, const char* name) const {
  const onnx::GraphProto* graph = find_graph(call.node, name);
  if (!graph) fail(call, std::string("has no graph '") + name + "'");
  return *graph;
}

std::optional<bool> OnnxGraph::find_truth(uint32_t id) {
  const Known known = find_known(id);
  if (!known || known->elements() != 1 || known->is_symbolic()) return std::nullopt;
  return known->number(0) != 0.0;
}

std::vector<uint32_t> OnnxGraph::run_body(const Call& call, const onnx::GraphProto& body,
                                          const std::vector<uint32_t>& inputs) {
  Scope inner = call.scope;
  if (inputs.size() != static_cast<size_t>(body.input_size()))
    fail(call, "gives " + std::to_string(inputs.size()) + " values to a graph of " + std::to_string(body.input_size()) +
                   " inputs");
  for (const auto& tensor : body.initializer()) add_initializer(tensor, inner);
  for (int i = 0; i < body.input_size(); ++i) {
    inner.erase(body.input(i).name());
    if (const uint32_t id = inputs[static_cast<size_t>(i)]; id != UINT32_MAX) inner[body.input(i).name()] = id;
  }
  translate_nodes(body.node(), inner, call.sets, call.prefix + name_of(call.node) + "/", call.depth + 1);
  std::vector<uint32_t> results;
  for (const auto& output : body.output()) {
    const auto found = inner.find(output.name());
    if (found == inner.end()) fail(call, "has a graph in which no node makes '" + output.name() + "'");
    results.push_back(found->second);
  }
  return results;
}

void OnnxGraph::set_outputs(const Call& call, const std::vector<uint32_t>& values) {
  for (int i = 0; i < call.node.output_size(); ++i) {
    if (call.node.output(i).empty()) continue;
    if (static_cast<size_t>(i) >= values.size()) fail(call, "has more outputs than values");
    call.scope[call.node.output(i)] = values[static_cast<size_t>(i)];
  }
}

void OnnxGraph::translate_if(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  if (inputs.size() != 1 || inputs[0] == UINT32_MAX) fail(call, "needs one condition");
  const onnx::GraphProto &then_graph = body_of(call, "then_branch"), &else_graph = body_of(call, "else_branch");
  if (const std::optional<bool> truth = find_truth(inputs[0]))
    return set_outputs(call, run_body(call, *truth ? then_graph : else_graph, {}));
  // Nothing has side effects: both are computed, and one is chosen.
  const std::vector<uint32_t> then_values = run_body(call, then_graph, {}),
                              else_values = run_body(call, else_graph, {});
  if (then_values.size() != else_values.size()) fail(call, "has branches with different numbers of outputs");
  std::vector<uint32_t> operands = inputs;
  for (size_t i = 0; i < then_values.size(); ++i) {
    const Value &a = values_[then_values[i]], &b = values_[else_values[i]];
    if (a.is_sequence() || b.is_sequence() || a.type != b.type || a.narrow != b.narrow)
      fail(call, "has branches that make " + text_of(a) + " and " + text_of(b),
           "moru run knows the condition where it follows from the inputs; for other commands it must be a constant");
    operands.insert(operands.end(), {then_values[i], else_values[i]});
  }
  build(call, operands, [&](OnnxNode& node) {
    const moru::Value condition = node.builder().reshape(node.raw(0), {});
    for (size_t i = 0; i < then_values.size(); ++i)
      node.set_as(i, node.builder().select(condition, node.raw(2 * i + 1), node.raw(2 * i + 2)), node.dtype(2 * i + 1));
  });
}

uint32_t OnnxGraph::add_constant(Known known, const std::string& name) {
  Type type{known->dtype, Shape(known->shape.begin(), known->shape.end())};
  return add_value(
      {.name = name, .type = std::move(type), .known = std::move(known), .class_name = "Constant", .origin = name});
}

// A value that stands for another one at each turn of a loop. What it is drawn from is left out by prune().
uint32_t OnnxGraph::add_placeholder(const Type& type, Narrow narrow, const std::string& name) {
  const uint32_t id = add_value({.name = name, .type = type, .narrow = narrow, .class_name = "Loop", .origin = name});
  add_layer({.name = unique_name(name, "Loop"), .class_name = "InputLayer", .attributes = input_layer_attributes(type)},
            {}, {id});
  model_.nodes.back().outputs = {type};
  return id;
}

uint32_t OnnxGraph::stack_values(const Call& call, const std::vector<uint32_t>& parts, int64_t axis, const Type& like) {
  return build_values(call, parts, 1, [&](OnnxNode& node) {
    Builder& b = node.builder();
    if (parts.empty()) {
      Shape shape = like.shape;
      shape.insert(shape.begin(), Dim(0));
      return node.set_as(0, b.fill(0.0, shape, like.dtype), like.dtype);
    }
    std::vector<moru::Value> slices;
    const int64_t at = node.axis(axis, node.rank(0) + 1);
    for (size_t i = 0; i < parts.size(); ++i) {
      Shape shape = node.type(i).shape;
      shape.insert(shape.begin() + at, Dim(1));
      slices.push_back(b.reshape(node.raw(i), shape));
    }
    node.set_as(0, b.concat(slices, at), node.dtype(0));
  })[0];
}

void OnnxGraph::translate_loop(const Call& call) {
  std::vector<uint32_t> inputs = inputs_of(call);
  const onnx::GraphProto& body = body_of(call, "body");
  if (inputs.size() < 2) inputs.resize(2, UINT32_MAX);
  if (body.input_size() < 2 || body.output_size() < 1) fail(call, "needs a body that takes and makes a condition");
  const Known count = inputs[0] == UINT32_MAX ? nullptr : find_known(inputs[0]);
  if (inputs[0] != UINT32_MAX && (!count || count->elements() != 1))
    fail(call, "needs to know when compiling how often it runs",
         "moru run knows what follows from the inputs; for other commands make the trip count a constant of the model");
  std::optional<bool> starts = true;
  if (inputs[1] != UINT32_MAX) starts = find_truth(inputs[1]);
  std::vector<uint32_t> carries(inputs.begin() + 2, inputs.end());
  if (starts != false) {
    Rolling rolling{.carries = carries, .is_loop = true, .condition = inputs[1]};
    if (count) rolling.limit = count->dims[0];
    if (const auto outputs = roll(call, body, rolling)) return set_outputs(call, *outputs);
  }
  if (!starts)
    fail(call, "needs to know its condition when compiling",
         "moru run knows what follows from the inputs; for other commands make the condition a constant of the model");
  if (count && !count->dims[0].is_constant())
    fail(call, "runs " + count->dims[0].text() + " times, but its turns are not all alike");
  bool go = *starts;
  const uint32_t yes = add_constant(known_integer(1, DType::boolean), "condition");
  const int64_t limit = count ? count->dims[0].constant() : INT64_MAX;
  const auto made = static_cast<size_t>(body.output_size()) - 1;
  if (made < carries.size()) fail(call, "has a body that does not make every carried value");
  const size_t stacks = made - carries.size();
  std::vector<std::vector<uint32_t>> stacked(stacks);
  for (int64_t turn = 0; go && turn < limit; ++turn) {
    std::vector<uint32_t> arguments = {add_constant(known_integer(turn), "iteration"), yes};
    arguments.insert(arguments.end(), carries.begin(), carries.end());
    const std::vector<uint32_t> results = run_body(call, body, arguments);
    const std::optional<bool> truth = find_truth(results[0]);
    if (!truth)
      fail(call, "needs to know when compiling whether it goes on",
           "moru run knows what follows from the inputs; for other commands the condition must not depend on them");
    go = *truth;
    for (size_t i = 0; i < carries.size(); ++i) carries[i] = results[1 + i];
    for (size_t i = 0; i < stacks; ++i) stacked[i].push_back(results[1 + carries.size() + i]);
  }
  // Where there is no turn, one that nothing reads tells the types of what it would have stacked.
  std::vector<uint32_t> never;
  if (stacks > 0 && stacked[0].empty()) {
    std::vector<uint32_t> arguments = {add_constant(known_integer(0), "iteration"), yes};
    arguments.insert(arguments.end(), carries.begin(), carries.end());
    never = run_body(call, body, arguments);
  }
  std::vector<uint32_t> outputs = carries;
  for (size_t i = 0; i < stacks; ++i) {
    const Type like = never.empty() ? Type{} : values_[never[1 + carries.size() + i]].type;
    outputs.push_back(stack_values(call, stacked[i], 0, like));
  }
  set_outputs(call, outputs);
}

void OnnxGraph::translate_scan(const Call& call) {
  std::vector<uint32_t> inputs = inputs_of(call);
  const onnx::GraphProto& body = body_of(call, "body");
  const auto version = call.sets.find("");
  const bool batched = version != call.sets.end() && version->second < 9;
  if (batched) {  // before operator set 9 the lengths of the samples stand first
    if (!inputs.empty() && inputs[0] != UINT32_MAX) fail(call, "is given the lengths of its samples, which is not supported");
    if (!inputs.empty()) inputs.erase(inputs.begin());
  }
  const auto sequences = static_cast<size_t>(integer_of(call.node, "num_scan_inputs", 0));
  if (sequences < 1 || sequences > inputs.size()) fail(call, "needs at least one sequence");
  const size_t carries = inputs.size() - sequences;
  if (static_cast<size_t>(body.output_size()) < carries || std::count(inputs.begin(), inputs.end(), UINT32_MAX) > 0)
    fail(call, "lacks a value, or has a body that does not make every carried one");
  const size_t stacks = static_cast<size_t>(body.output_size()) - carries;
  Rolling rolling;
  rolling.axes = batched ? std::vector<int64_t>() : integers_of(call.node, "scan_input_axes");
  rolling.axes.resize(sequences, 0);
  auto flags = [&](const char* name, size_t count) {
    std::vector<bool> reversed;
    for (int64_t direction : integers_of(call.node, name)) reversed.push_back(direction != 0);
    reversed.resize(count, false);
    return reversed;
  };
  rolling.reversed = flags(batched ? "directions" : "scan_input_directions", sequences);
  rolling.reversed_stacks = batched ? std::vector<bool>(stacks, false) : flags("scan_output_directions", stacks);
  if (!batched) rolling.stack_axes = integers_of(call.node, "scan_output_axes");
  rolling.stack_axes.resize(stacks, 0);
  const auto run = [&](const std::vector<uint32_t>& given) {
    Rolling one = rolling;
    one.carries.assign(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(carries));
    one.sequences.assign(given.begin() + static_cast<std::ptrdiff_t>(carries), given.end());
    return scan(call, body, std::move(one));
  };
  set_outputs(call, batched ? scan_samples(call, inputs, run) : run(inputs));
}

// Each sample of a batch of a known size on its own.
std::vector<uint32_t> OnnxGraph::scan_samples(
    const Call& call, const std::vector<uint32_t>& inputs,
    const std::function<std::vector<uint32_t>(const std::vector<uint32_t>&)>& run) {
  constexpr int64_t most_samples = 4096;
  const Shape shape = values_[inputs.back()].type.shape;
  if (shape.empty() || !shape[0].is_constant() || shape[0].constant() < 1 || shape[0].constant() > most_samples)
    fail(call, "is a Scan of operator set 8, which needs a batch of a known size but got " + shape_text(shape),
         "export the model with operator set 9 or later");
  std::vector<std::vector<uint32_t>> parts;
  for (int64_t sample = 0; sample < shape[0].constant(); ++sample) {
    std::vector<uint32_t> given;
    for (uint32_t input : inputs) {
      const Shape whole = values_[input].type.shape;
      if (whole.empty() || whole[0] != shape[0]) fail(call, "has inputs of other batches than " + shape[0].text());
      given.push_back(build_values(call, {input}, 1, [&](OnnxNode& node) {
        const moru::Value slice = node.builder().slice(node.raw(0), 0, sample, 1);
        node.set_as(0, node.builder().reshape(slice, {whole.begin() + 1, whole.end()}), node.dtype(0));
      })[0]);
    }
    const std::vector<uint32_t> results = run(given);
    parts.resize(results.size());
    for (size_t i = 0; i < results.size(); ++i) parts[i].push_back(results[i]);
  }
  std::vector<uint32_t> outputs;
  for (const std::vector<uint32_t>& samples : parts) outputs.push_back(stack_values(call, samples, 0, {DType::f32, {}}));
  return outputs;
}

std::vector<uint32_t> OnnxGraph::scan(const Call& call, const onnx::GraphProto& body, Rolling rolling) {
  const size_t carries = rolling.carries.size(), sequences = rolling.sequences.size(), stacks = rolling.stack_axes.size();
  for (size_t i = 0; i < sequences; ++i) {
    const auto rank = static_cast<int64_t>(values_[rolling.sequences[i]].type.shape.size());
    if (rolling.axes[i] < 0) rolling.axes[i] += rank;
    if (rolling.axes[i] < 0 || rolling.axes[i] >= rank) fail(call, "has an axis that its sequence lacks");
  }
  if (const auto outputs = roll(call, body, rolling)) return *outputs;

  const Dim trip = values_[rolling.sequences[0]].type.shape[static_cast<size_t>(rolling.axes[0])];
  if (!trip.is_constant()) fail(call, "runs " + trip.text() + " times, but its turns are not all alike");
  std::vector<uint32_t> state = rolling.carries;
  std::vector<std::vector<uint32_t>> stacked(stacks);
  for (int64_t turn = 0; turn < trip.constant(); ++turn) {
    std::vector<uint32_t> arguments = state;
    for (size_t i = 0; i < sequences; ++i)
      arguments.push_back(build_values(call, {rolling.sequences[i]}, 1, [&](OnnxNode& node) {
        const int64_t axis = rolling.axes[i];
        Shape shape = node.type(0).shape;
        shape.erase(shape.begin() + axis);
        const moru::Value slice =
            node.builder().slice(node.raw(0), axis, rolling.reversed[i] ? trip - 1 - turn : Dim(turn), 1);
        node.set_as(0, node.builder().reshape(slice, shape), node.dtype(0));
      })[0]);
    const std::vector<uint32_t> results = run_body(call, body, arguments);
    for (size_t i = 0; i < carries; ++i) state[i] = results[i];
    for (size_t i = 0; i < stacks; ++i) stacked[i].push_back(results[carries + i]);
  }
  std::vector<uint32_t> outputs = state;
  for (size_t i = 0; i < stacks; ++i) {
    if (rolling.reversed_stacks[i]) std::reverse(stacked[i].begin(), stacked[i].end());
    outputs.push_back(stack_values(call, stacked[i], rolling.stack_axes[i], {DType::f32, {}}));
  }
  return outputs;
}

}  // namespace moru
