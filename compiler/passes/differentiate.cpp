#include "compiler/passes/differentiate.h"

#include <algorithm>
#include <map>

#include "compiler/ir/builder.h"
#include "compiler/ops/op.h"
#include "compiler/passes/choose_residuals.h"
#include "compiler/passes/rewrite.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

// Gradients as they gather: one value per forward value, added up.
class GradientMap {
 public:
  explicit GradientMap(Builder& builder) : builder_(builder) {}
  void add(ValueId value, Value gradient) {
    if (!gradient) return;
    auto [at, fresh] = map_.emplace(value, gradient.id);
    if (!fresh) at->second = (builder_.value(at->second) + gradient).id;
  }
  Value find(ValueId value) const {
    auto found = map_.find(value);
    return found == map_.end() ? Value{} : builder_.value(found->second);
  }

 private:
  Builder& builder_;
  std::map<ValueId, ValueId> map_;
};

// Which values depend on one of `sources`, through the first `node_count` nodes.
std::vector<bool> dependents(const Graph& graph, size_t node_count, const std::vector<ValueId>& sources) {
  std::vector<bool> depends(graph.types.size(), false);
  for (ValueId source : sources) depends[source] = true;
  for (size_t n = 0; n < node_count; ++n) {
    const Node& node = graph.nodes[n];
    bool any =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return v != no_value && depends[v]; });
    if (any && (node.op->gradient || node.op->name == "scan"))
      for (ValueId output : node.outputs) depends[output] = is_float(graph.types[output].dtype);
  }
  return depends;
}

void backpropagate(Builder& b, size_t node_count, const std::vector<bool>& depends, GradientMap& gradients);

struct ScanParts {
  size_t carries, sequences, invariants, stacks;
  std::vector<int64_t> axes, output_axes;
  bool reverse, recompute;
  std::string over;
};

ScanParts parts_of(const Node& node) {
  ScanParts parts;
  parts.carries = static_cast<size_t>(node.attributes.integer("carries"));
  parts.sequences = static_cast<size_t>(node.attributes.integer("sequences"));
  parts.invariants = node.inputs.size() - parts.carries - parts.sequences;
  parts.stacks = node.outputs.size() - parts.carries;
  parts.axes = node.attributes.integers("axes");
  parts.output_axes = node.attributes.integers("output_axes");
  parts.reverse = node.attributes.boolean("reverse");
  parts.recompute = node.attributes.has("recompute") && node.attributes.boolean("recompute");
  if (node.attributes.has("over")) parts.over = node.attributes.string("over");
  return parts;
}

Dim trip_count(const Graph& graph, const Node& node, const ScanParts& parts) {
  if (parts.sequences > 0) return graph.type(node.inputs[parts.carries]).shape[static_cast<size_t>(parts.axes[0])];
  return node.attributes.shape("trip")[0];
}

// Makes the forward scan also stack `value` of its body, time first, and returns that stack in the outer graph.
ValueId stack_output(Graph& graph, size_t node_index, ValueId body_value, const Dim& trip) {
  Node& node = graph.nodes[node_index];
  Graph& body = node.bodies[0];
  size_t carries = static_cast<size_t>(node.attributes.integer("carries"));
  std::vector<int64_t> axes = node.attributes.integers("output_axes");
  for (size_t k = carries; k < body.results.size(); ++k)
    if (body.results[k].value == body_value && axes[k - carries] == 0) return node.outputs[k];
  Type type = body.type(body_value);
  type.shape.insert(type.shape.begin(), trip);
  body.add_result(body_value);
  axes.push_back(0);
  node.attributes.set("output_axes", axes);
  ValueId stack = graph.add_value(type);
  graph.nodes[node_index].outputs.push_back(stack);
  return stack;
}

void backpropagate_scan(Builder& b, size_t node_index, const std::vector<bool>& depends, GradientMap& gradients) {
  Graph& graph = b.graph();
  const ScanParts parts = parts_of(graph.nodes[node_index]);
  const Dim trip = trip_count(graph, graph.nodes[node_index], parts);
  const std::vector<ValueId> inputs = graph.nodes[node_index].inputs;
  const std::vector<ValueId> outputs = graph.nodes[node_index].outputs;
  const Graph forward = graph.nodes[node_index].bodies[0];  // a copy: stacking below adds results to the original

  // What flows: carries are differentiated if they are floating point, since their dependence is circular.
  auto is_real = [&](ValueId v) { return is_float(graph.type(v).dtype); };
  std::vector<size_t> carries, sequences, invariants, stacks;
  for (size_t i = 0; i < parts.carries; ++i)
    if (is_real(inputs[i])) carries.push_back(i);
  for (size_t i = 0; i < parts.sequences; ++i)
    if (is_real(inputs[parts.carries + i]) && depends[inputs[parts.carries + i]]) sequences.push_back(i);
  for (size_t i = 0; i < parts.invariants; ++i) {
    ValueId v = inputs[parts.carries + parts.sequences + i];
    if (is_real(v) && depends[v]) invariants.push_back(i);
  }
  for (size_t i = 0; i < parts.stacks; ++i)
    if (gradients.find(outputs[parts.carries + i])) stacks.push_back(i);

  Graph body;
  body.name = "backward";
  Builder bb(body);
  std::vector<Value> operands;  // of the backward scan: carries, sequences, invariants
  std::vector<Value> carry_gradients(parts.carries), sum_carries;
  for (size_t i : carries) {
    const Type type = graph.type(inputs[i]);
    Value seed = gradients.find(outputs[i]);
    operands.push_back(seed ? seed : b.fill(0.0, type.shape, type.dtype));
    carry_gradients[i] = bb.input(type);
  }
  for (size_t i : invariants) {
    const Type type = graph.type(inputs[parts.carries + parts.sequences + i]);
    operands.push_back(b.fill(0.0, type.shape, type.dtype));
    sum_carries.push_back(bb.input(type));
  }
  const size_t carry_count = operands.size();

  std::vector<Value> sequence_operands;
  std::vector<int64_t> axes;
  auto add_sequence = [&](ValueId outer, int64_t axis, const Type& slice) {
    sequence_operands.push_back(b.value(outer));
    axes.push_back(axis);
    return bb.input(slice);
  };
  // From the forward body's values to the backward body's.
  std::vector<ValueId> mapped(forward.types.size(), no_value);
  for (size_t i = 0; i < parts.carries; ++i) {
    ValueId carry_in = forward.inputs[i].value;
    mapped[carry_in] = add_sequence(stack_output(graph, node_index, carry_in, trip), 0, forward.type(carry_in)).id;
  }
  for (size_t i = 0; i < parts.sequences; ++i) {
    ValueId slice = forward.inputs[parts.carries + i].value;
    mapped[slice] = add_sequence(inputs[parts.carries + i], parts.axes[i], forward.type(slice)).id;
  }
  std::vector<Value> stack_gradients;
  for (size_t i : stacks) {
    ValueId value = forward.results[parts.carries + i].value;
    stack_gradients.push_back(
        add_sequence(gradients.find(outputs[parts.carries + i]).id, parts.output_axes[i], forward.type(value)));
  }
  for (size_t n = 0; n < forward.nodes.size(); ++n)
    if (!parts.recompute && is_residual(forward.nodes[n]))
      for (ValueId output : forward.nodes[n].outputs)
        mapped[output] = add_sequence(stack_output(graph, node_index, output, trip), 0, forward.type(output)).id;
  const size_t sequence_count = sequence_operands.size();
  operands.insert(operands.end(), sequence_operands.begin(), sequence_operands.end());
  for (size_t i = 0; i < parts.invariants; ++i) {
    ValueId value = forward.inputs[parts.carries + parts.sequences + i].value;
    operands.push_back(b.value(inputs[parts.carries + parts.sequences + i]));
    mapped[value] = bb.input(forward.type(value)).id;
  }
  // The backward body recomputes what was not kept. Kept nodes stay in the list, with fresh outputs nobody reads, so
  // that their gradient finds inputs and outputs; drop_dead removes the recomputation.
  std::vector<size_t> body_nodes;
  for (const Node& node : forward.nodes) {
    Node copy = node;
    for (ValueId& input : copy.inputs)
      if (input != no_value) input = mapped[input];
    for (ValueId& output : copy.outputs) {
      ValueId fresh = body.add_value(forward.type(output));
      if (mapped[output] == no_value) mapped[output] = fresh;
      output = fresh;
    }
    body.nodes.push_back(std::move(copy));
  }
  // Differentiate with the kept values in place of recomputed ones: gradients gather on mapped ids, and the node list
  // handed to backpropagate carries the mapped outputs.
  const size_t forward_count = body.nodes.size();
  std::vector<std::vector<ValueId>> fresh_outputs(forward_count);
  for (size_t n = 0; n < forward_count; ++n) {
    fresh_outputs[n] = body.nodes[n].outputs;
    for (size_t k = 0; k < fresh_outputs[n].size(); ++k) body.nodes[n].outputs[k] = mapped[forward.nodes[n].outputs[k]];
  }
  std::vector<ValueId> sources;
  for (size_t i : carries) sources.push_back(mapped[forward.inputs[i].value]);
  for (size_t i : sequences) sources.push_back(mapped[forward.inputs[parts.carries + i].value]);
  for (size_t i : invariants) sources.push_back(mapped[forward.inputs[parts.carries + parts.sequences + i].value]);
  std::vector<bool> body_depends = dependents(body, forward_count, sources);
  GradientMap body_gradients(bb);
  for (size_t i : carries) body_gradients.add(mapped[forward.results[i].value], carry_gradients[i]);
  for (size_t k = 0; k < stacks.size(); ++k)
    body_gradients.add(mapped[forward.results[parts.carries + stacks[k]].value], stack_gradients[k]);
  backpropagate(bb, forward_count, body_depends, body_gradients);
  // An inner scan got further outputs, its stacks, behind those it had.
  for (size_t n = 0; n < forward_count; ++n)
    std::copy(fresh_outputs[n].begin(), fresh_outputs[n].end(), body.nodes[n].outputs.begin());

  auto gradient_or_zero = [&](ValueId value) {
    Value g = body_gradients.find(value);
    return g ? g : bb.fill(0.0, body.type(value).shape, body.type(value).dtype);
  };
  for (size_t i : carries) bb.result(gradient_or_zero(mapped[forward.inputs[i].value]));
  for (size_t k = 0; k < invariants.size(); ++k) {
    Value g = body_gradients.find(mapped[forward.inputs[parts.carries + parts.sequences + invariants[k]].value]);
    bb.result(g ? sum_carries[k] + g : sum_carries[k]);
  }
  std::vector<int64_t> output_axes;
  for (size_t i : sequences) {
    bb.result(gradient_or_zero(mapped[forward.inputs[parts.carries + i].value]));
    output_axes.push_back(parts.axes[i]);
  }
  Attributes attributes = {{"carries", static_cast<int64_t>(carry_count)},
                           {"sequences", static_cast<int64_t>(sequence_count)},
                           {"axes", axes},
                           {"output_axes", output_axes},
                           {"reverse", !parts.reverse},
                           {"recompute", parts.recompute}};
  if (!parts.over.empty()) attributes.set("over", parts.over);
  if (sequence_count == 0) attributes.set("trip", Shape{trip});
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  std::vector<Value> results = b.call_all("scan", operands, attributes, std::move(bodies));
  size_t at = 0;
  for (size_t i : carries) gradients.add(inputs[i], results[at++]);
  for (size_t i : invariants) gradients.add(inputs[parts.carries + parts.sequences + i], results[at++]);
  for (size_t i : sequences) gradients.add(inputs[parts.carries + i], results[at++]);
}

void backpropagate(Builder& b, size_t node_count, const std::vector<bool>& depends, GradientMap& gradients) {
  for (size_t n = node_count; n-- > 0;) {
    const Node node = b.graph().nodes[n];  // a copy: appending nodes moves the list
    bool arrives = std::any_of(node.outputs.begin(), node.outputs.end(),
                               [&](ValueId v) { return static_cast<bool>(gradients.find(v)); });
    bool needed =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return v != no_value && depends[v]; });
    if (!arrives || !needed) continue;
    b.set_origin(node.origin);
    if (node.op->name == "scan") {
      backpropagate_scan(b, n, depends, gradients);
      continue;
    }
    if (!node.op->gradient) {
      if (!node.op->differentiable) continue;
      throw InternalError("differentiate: op '" + std::string(node.op->name) + "' has no gradient");
    }
    std::vector<Value> inputs, outputs, output_gradients;
    for (ValueId v : node.inputs) inputs.push_back(v == no_value ? Value{} : b.value(v));
    for (ValueId v : node.outputs) {
      outputs.push_back(b.value(v));
      output_gradients.push_back(gradients.find(v));
    }
    std::vector<Value> results = node.op->gradient({b, node.attributes, inputs, outputs, output_gradients});
    for (size_t i = 0; i < results.size(); ++i)
      if (results[i] && node.inputs[i] != no_value && depends[node.inputs[i]]) {
        check_internal(results[i].shape() == inputs[i].shape(), "a gradient must have its value's shape");
        gradients.add(node.inputs[i], results[i]);
      }
  }
}

}  // namespace

std::vector<ValueId> append_gradients(Graph& graph, ValueId loss, const std::vector<ValueId>& wanted) {
  Builder b(graph);
  size_t node_count = graph.nodes.size();
  std::vector<bool> depends = dependents(graph, node_count, wanted);
  GradientMap gradients(b);
  gradients.add(loss, b.constant(1.0, graph.type(loss).dtype));
  backpropagate(b, node_count, depends, gradients);
  std::vector<ValueId> results;
  for (ValueId value : wanted) {
    Value g = gradients.find(value);
    results.push_back(g ? g.id : b.fill(0.0, graph.type(value).shape, graph.type(value).dtype).id);
  }
  return results;
}

void differentiate(Module& module) {
  for (Graph& graph : module.entries) {
    if (graph.name != "train_step") continue;
    const GraphResult* loss = find_result(graph, "loss");
    check_internal(loss != nullptr, "train_step has no result 'loss'");
    std::vector<ValueId> wanted;
    std::vector<std::string> names;
    for (const GraphInput& input : graph.inputs) {
      const Slot* slot = module.find_slot(input.slot);
      if (slot->kind == SlotKind::parameter && slot->trainable) {
        const GraphResult* replaced = find_result(graph, slot->name);
        wanted.push_back(replaced ? replaced->value : input.value);
        names.push_back(slot->name);
      }
    }
    std::vector<ValueId> gradients = append_gradients(graph, loss->value, wanted);
    for (size_t i = 0; i < names.size(); ++i) {
      std::string slot = "gradient/" + names[i];
      graph.add_result(gradients[i], slot);
      module.slots.push_back({.name = slot, .kind = SlotKind::derived, .type = graph.type(gradients[i])});
    }
  }
}

}  // namespace moru
