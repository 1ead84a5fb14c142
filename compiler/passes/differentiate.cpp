#include "compiler/passes/differentiate.h"

#include <algorithm>
#include <map>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
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

// The gradient of a scan: a scan in the other direction, over stacks of what the forward one carried and kept. Its carries
// are the gradients of the carries and the sums of those of the invariants; it stacks the gradients of the sequences.
class BackwardScan {
 public:
  BackwardScan(Builder& b, size_t node_index, GradientMap& gradients)
      : b_(b),
        graph_(b.graph()),
        node_index_(node_index),
        gradients_(gradients),
        view_(graph_.nodes[node_index]),
        trip_(scan_trip_count(graph_, graph_.nodes[node_index])),
        inputs_(graph_.nodes[node_index].inputs),
        outputs_(graph_.nodes[node_index].outputs),
        forward_(graph_.nodes[node_index].bodies[0]),
        mapped_(forward_.types.size(), no_value),
        carry_gradients_(view_.carries) {
    body_.name = "backward";
  }

  void run(const std::vector<bool>& depends) {
    choose_flows(depends);
    add_carries();
    add_sequences();
    add_invariants();
    copy_forward();
    differentiate_body();
    const std::vector<Value> results = call();
    size_t at = 0;
    for (size_t i : carries_) gradients_.add(inputs_[i], results[at++]);
    for (size_t i : invariants_) gradients_.add(outer_invariant(i), results[at++]);
    for (size_t i : sequences_) gradients_.add(outer_sequence(i), results[at++]);
  }

 private:
  Builder& b_;
  Graph& graph_;
  const size_t node_index_;
  GradientMap& gradients_;
  const ScanView view_;
  const Dim trip_;
  const std::vector<ValueId> inputs_, outputs_;
  const Graph forward_;  // a copy: stacking adds results to the original
  std::vector<size_t> carries_, sequences_, invariants_, stacks_;  // those through which gradients flow

  Graph body_;
  Builder in_body_{body_};
  std::vector<ValueId> mapped_;  // from the forward body's values to the backward body's
  std::vector<Value> operands_;  // of the backward scan: carries, sequences, invariants
  size_t carry_count_ = 0, sequence_count_ = 0;
  std::vector<int64_t> axes_;  // of its sequences
  std::vector<Value> carry_gradients_, sum_carries_, stack_gradients_;
  GradientMap body_gradients_{in_body_};

  ValueId outer_sequence(size_t i) const { return inputs_[view_.carries + i]; }
  ValueId outer_invariant(size_t i) const { return inputs_[view_.carries + view_.sequences + i]; }
  ValueId sequence(size_t i) const { return forward_.inputs[view_.carries + i].value; }
  ValueId invariant(size_t i) const { return forward_.inputs[view_.carries + view_.sequences + i].value; }
  ValueId stacked(size_t i) const { return forward_.results[view_.carries + i].value; }

  // Carries are differentiated if they are floating point, since their dependence is circular.
  void choose_flows(const std::vector<bool>& depends) {
    const auto is_real = [&](ValueId v) { return is_float(graph_.type(v).dtype); };
    for (size_t i = 0; i < view_.carries; ++i)
      if (is_real(inputs_[i])) carries_.push_back(i);
    for (size_t i = 0; i < view_.sequences; ++i)
      if (is_real(outer_sequence(i)) && depends[outer_sequence(i)]) sequences_.push_back(i);
    for (size_t i = 0; i < view_.invariants; ++i)
      if (is_real(outer_invariant(i)) && depends[outer_invariant(i)]) invariants_.push_back(i);
    for (size_t i = 0; i < view_.stacks; ++i)
      if (gradients_.find(outputs_[view_.carries + i])) stacks_.push_back(i);
  }

  void add_carries() {
    for (size_t i : carries_) {
      const Type type = graph_.type(inputs_[i]);
      const Value seed = gradients_.find(outputs_[i]);
      operands_.push_back(seed ? seed : b_.fill(0.0, type.shape, type.dtype));
      carry_gradients_[i] = in_body_.input(type);
    }
    for (size_t i : invariants_) {
      const Type type = graph_.type(outer_invariant(i));
      operands_.push_back(b_.fill(0.0, type.shape, type.dtype));
      sum_carries_.push_back(in_body_.input(type));
    }
    carry_count_ = operands_.size();
  }

  Value add_sequence(ValueId outer, int64_t axis, const Type& slice) {
    operands_.push_back(b_.value(outer));
    axes_.push_back(axis);
    ++sequence_count_;
    return in_body_.input(slice);
  }
  void add_stack(ValueId of_body) {
    mapped_[of_body] = add_sequence(stack_output(graph_, node_index_, of_body, trip_), 0, forward_.type(of_body)).id;
  }

  void add_sequences() {
    for (size_t i = 0; i < view_.carries; ++i) add_stack(forward_.inputs[i].value);
    for (size_t i = 0; i < view_.sequences; ++i)
      mapped_[sequence(i)] = add_sequence(outer_sequence(i), view_.axes[i], forward_.type(sequence(i))).id;
    for (size_t i : stacks_)
      stack_gradients_.push_back(add_sequence(gradients_.find(outputs_[view_.carries + i]).id, view_.output_axes[i],
                                              forward_.type(stacked(i))));
    if (view_.recompute) return;
    for (const Node& node : forward_.nodes)
      if (is_residual(node))
        for (ValueId output : node.outputs) add_stack(output);
  }

  void add_invariants() {
    for (size_t i = 0; i < view_.invariants; ++i) {
      operands_.push_back(b_.value(outer_invariant(i)));
      mapped_[invariant(i)] = in_body_.input(forward_.type(invariant(i))).id;
    }
  }

  // The backward body recomputes what was not kept. Kept nodes stay in the list, with fresh outputs nobody reads, so
  // that their gradient finds inputs and outputs; drop_dead removes the recomputation.
  void copy_forward() {
    for (const Node& node : forward_.nodes) {
      Node copy = node;
      for (ValueId& input : copy.inputs)
        if (input != no_value) input = mapped_[input];
      for (ValueId& output : copy.outputs) {
        const ValueId fresh = body_.add_value(forward_.type(output));
        if (mapped_[output] == no_value) mapped_[output] = fresh;
        output = fresh;
      }
      body_.nodes.push_back(std::move(copy));
    }
  }

  // With the kept values in place of recomputed ones: gradients gather on mapped ids, and the node list handed to
  // backpropagate carries the mapped outputs.
  void differentiate_body() {
    const size_t forward_count = body_.nodes.size();
    std::vector<std::vector<ValueId>> fresh_outputs(forward_count);
    for (size_t n = 0; n < forward_count; ++n) {
      fresh_outputs[n] = body_.nodes[n].outputs;
      for (size_t k = 0; k < fresh_outputs[n].size(); ++k)
        body_.nodes[n].outputs[k] = mapped_[forward_.nodes[n].outputs[k]];
    }
    std::vector<ValueId> sources;
    for (size_t i : carries_) sources.push_back(mapped_[forward_.inputs[i].value]);
    for (size_t i : sequences_) sources.push_back(mapped_[sequence(i)]);
    for (size_t i : invariants_) sources.push_back(mapped_[invariant(i)]);
    for (size_t i : carries_) body_gradients_.add(mapped_[forward_.results[i].value], carry_gradients_[i]);
    for (size_t k = 0; k < stacks_.size(); ++k) body_gradients_.add(mapped_[stacked(stacks_[k])], stack_gradients_[k]);
    backpropagate(in_body_, forward_count, dependents(body_, forward_count, sources), body_gradients_);
    // An inner scan got further outputs, its stacks, behind those it had.
    for (size_t n = 0; n < forward_count; ++n)
      std::copy(fresh_outputs[n].begin(), fresh_outputs[n].end(), body_.nodes[n].outputs.begin());
  }

  Value gradient_or_zero(ValueId value) {
    const Value gradient = body_gradients_.find(value);
    return gradient ? gradient : in_body_.fill(0.0, body_.type(value).shape, body_.type(value).dtype);
  }

  std::vector<Value> call() {
    for (size_t i : carries_) in_body_.result(gradient_or_zero(mapped_[forward_.inputs[i].value]));
    for (size_t k = 0; k < invariants_.size(); ++k) {
      const Value gradient = body_gradients_.find(mapped_[invariant(invariants_[k])]);
      in_body_.result(gradient ? sum_carries_[k] + gradient : sum_carries_[k]);
    }
    std::vector<int64_t> output_axes;
    for (size_t i : sequences_) {
      in_body_.result(gradient_or_zero(mapped_[sequence(i)]));
      output_axes.push_back(view_.axes[i]);
    }
    Attributes attributes = {{"carries", static_cast<int64_t>(carry_count_)},
                             {"sequences", static_cast<int64_t>(sequence_count_)},
                             {"axes", axes_},
                             {"output_axes", output_axes},
                             {"reverse", !view_.reverse},
                             {"recompute", view_.recompute}};
    if (!view_.over.empty()) attributes.set("over", view_.over);
    if (sequence_count_ == 0) attributes.set("trip", Shape{trip_});
    std::vector<Graph> bodies;
    bodies.push_back(std::move(body_));
    return b_.call_all("scan", operands_, attributes, std::move(bodies));
  }
};

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
      BackwardScan(b, n, gradients).run(depends);
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
