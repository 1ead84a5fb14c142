#include "compiler/passes/add_update.h"

#include <algorithm>

#include "compiler/ir/builder.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

Value sum_of_squares(Builder& b, Value g) {
  std::vector<int64_t> axes(g.rank());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  return b.reduce("reduce_sum", b.call("square", {g}), axes);
}

double positive(const Attributes& attributes, const char* name) {
  return attributes.has(name) ? attributes.real(name) : 0.0;
}

void clip(Builder& b, std::vector<Value>& gradients, const Attributes& attributes) {
  if (double limit = positive(attributes, "clipnorm"); limit > 0) {
    for (Value& g : gradients) {
      Value norm = b.call("sqrt", {sum_of_squares(b, g)});
      g = g * (limit / b.call("maximum", {norm, b.constant(limit)}));
    }
  } else if (double global = positive(attributes, "global_clipnorm"); global > 0) {
    Value sum;
    for (Value g : gradients) sum = sum ? sum + sum_of_squares(b, g) : sum_of_squares(b, g);
    if (!sum) return;
    Value scale = global / b.call("maximum", {b.call("sqrt", {sum}), b.constant(global)});
    for (Value& g : gradients) g = g * scale;
  } else if (double bound = positive(attributes, "clipvalue"); bound > 0) {
    for (Value& g : gradients) g = b.call("minimum", {b.call("maximum", {g, b.constant(-bound)}), b.constant(bound)});
  }
}

Value read_slot(Graph& graph, Builder& b, const Slot& slot) {
  for (const GraphInput& input : graph.inputs)
    if (input.slot == slot.name) return b.value(input.value);
  return b.input(slot.type, slot.name, slot.name);
}

}  // namespace

void add_update(Module& module, const TrainingSpec& training) {
  const std::string op_name = optimizer_op_for(training.optimizer.op);
  const Op& op = get_op(op_name);
  const Attributes attributes =
      check_attributes(op, training.optimizer.attributes, "optimizer " + training.optimizer.op);
  const std::string prefix = op_name.substr(0, op_name.find("_update"));
  const std::string temporary = "gradient/";

  for (Graph& graph : module.entries) {
    if (graph.name != "train_step") continue;
    Builder b(graph);
    b.set_origin("optimizer");
    std::vector<std::string> parameters;
    std::vector<Value> gradients;
    for (const GraphResult& result : graph.results)
      if (result.slot.starts_with(temporary)) {
        parameters.push_back(result.slot.substr(temporary.size()));
        gradients.push_back(b.value(result.value));
      }
    std::erase_if(graph.results, [&](const GraphResult& result) { return result.slot.starts_with(temporary); });
    clip(b, gradients, attributes);
    Value step = read_slot(graph, b, *module.find_slot("step")) + b.constant(1, DType::i64);
    Value learning_rate = read_slot(graph, b, *module.find_slot("learning_rate"));
    for (size_t i = 0; i < parameters.size(); ++i) {
      b.set_origin(parameters[i]);
      const Slot parameter = *module.find_slot(parameters[i]);
      Value value = read_slot(graph, b, parameter);
      std::vector<Value> inputs = {value, gradients[i], step, learning_rate};
      const bool present[] = {true};
      std::vector<std::string> states;
      if (op.parameters)
        for (const ParameterSpec& state :
             op.parameters({{&parameter.type, 1}, present, attributes, {}, parameters[i]})) {
          Slot slot{.name = prefix + "/" + state.name + "/" + parameter.name,
                    .kind = SlotKind::optimizer_state,
                    .type = {state.dtype, state.shape}};
          if (const auto* nested = std::get_if<AttributeValue::Nested>(&state.initializer.value);
              nested && *nested && (*nested)->has("value"))
            slot.initial = (*nested)->real("value");
          module.slots.push_back(slot);
          states.push_back(slot.name);
          inputs.push_back(read_slot(graph, b, slot));
        }
      std::vector<Value> updated = b.call_all(op_name, inputs, attributes);
      b.result(updated[0], parameter.name);
      for (size_t k = 0; k < states.size(); ++k) b.result(updated[k + 1], states[k]);
    }
    b.result(step, "step");
  }
  std::erase_if(module.slots, [&](const Slot& slot) { return slot.name.starts_with(temporary); });
}

}  // namespace moru
