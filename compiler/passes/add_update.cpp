#include "compiler/passes/add_update.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "compiler/ir/builder.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/ops/optimizer.h"
#include "compiler/passes/rewrite.h"
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

// The update of one train_step. Everything that decides whether a step counts is a select on its results, so that all
// parameters and states stay elementwise and the update one kernel.
class Updater {
 public:
  Updater(Module& module, Graph& graph, const TrainingSpec& training)
      : module_(module),
        graph_(graph),
        training_(training),
        b_(graph),
        op_name_(optimizer_op_for(training.optimizer.op)),
        op_(get_op(op_name_)),
        attributes_(check_attributes(op_, training.optimizer.attributes, "optimizer " + training.optimizer.op)),
        prefix_(optimizer_prefix(op_)) {}

  /// Returns the entry finish_training, where there is something to finish.
  std::optional<Graph> run() {
    b_.set_origin("optimizer");
    take_gradients();
    const Value begun = read(*module_.find_slot("step"));
    const Value next = begun + b_.constant(1, DType::i64);
    if (training_.loss_scale) scale_loss();
    updates_ = begun;
    if (attributes_.has("gradient_accumulation_steps")) accumulate(begun, next);
    clip(b_, gradients_, attributes_);
    learning_rate_ = training_.schedule.op.empty() ? read(*module_.find_slot("learning_rate")) : scheduled_rate(begun);
    const Value step = updates_ + b_.constant(1, DType::i64);
    for (size_t i = 0; i < parameters_.size(); ++i) update(i, step);
    b_.set_origin("optimizer");
    const Value counted = finite_ ? b_.select(finite_, next, begun) : next;
    b_.result(counted, "step");
    // For those who watch; the next step works out its own, so that steps and their rates cannot part.
    if (!training_.schedule.op.empty()) b_.result(scheduled_rate(counted), "learning_rate");
    return finish_training();
  }

 private:
  Module& module_;
  Graph& graph_;
  const TrainingSpec& training_;
  Builder b_;
  std::string op_name_;
  const Op& op_;
  Attributes attributes_;
  std::string prefix_;
  std::vector<std::string> parameters_;
  std::vector<Value> gradients_;
  Value finite_;         // whether this step counts, where the loss is scaled
  Value updating_;       // whether it ends an accumulation of gradients, where there is one
  Value updates_;        // done before, as i64
  Value learning_rate_;

  Value read(const Slot& slot) {
    for (const GraphInput& input : graph_.inputs)
      if (input.slot == slot.name) return b_.value(input.value);
    return b_.input(slot.type, slot.name, slot.name);
  }

  // What the parameter is before the update: its new value where a layer replaces it.
  Value take_replaced(const Slot& parameter) {
    const GraphResult* replaced = find_result(graph_, parameter.name);
    if (!replaced) return read(parameter);
    const Value value = b_.value(replaced->value);
    std::erase_if(graph_.results, [&](const GraphResult& result) { return result.slot == parameter.name; });
    return value;
  }

  Value new_state(const std::string& name, Type type, double initial = 0.0) {
    module_.slots.push_back(
        {.name = prefix_ + "/" + name, .kind = SlotKind::optimizer_state, .type = std::move(type), .initial = initial});
    return read(module_.slots.back());
  }

  Value scheduled_rate(Value steps) {
    return b_.call(schedule_op_for(training_.schedule.op), {steps}, training_.schedule.attributes);
  }

  void take_gradients() {
    const std::string temporary = "gradient/";
    for (const GraphResult& result : graph_.results)
      if (result.slot.starts_with(temporary)) {
        parameters_.push_back(result.slot.substr(temporary.size()));
        gradients_.push_back(b_.value(result.value));
      }
    std::erase_if(graph_.results, [&](const GraphResult& result) { return result.slot.starts_with(temporary); });
  }

  // `now` where the step counts, else `before`.
  Value where_counted(Value now, Value before) {
    if (updating_) now = b_.select(updating_, now, before);
    return where_finite(now, before);
  }
  Value where_finite(Value now, Value before) { return finite_ ? b_.select(finite_, now, before) : now; }

  // Gradients are those of the loss itself; what would overflow if it were scaled counts as infinite.
  void scale_loss() {
    const LossScale& options = *training_.loss_scale;
    const Value scale = new_state("dynamic_scale", {DType::f32, {}}, options.initial_scale);
    const Value counter = new_state("step_counter", {DType::i64, {}});
    const Value limit = b_.constant(std::numeric_limits<float>::max());
    Value bad;
    for (Value g : gradients_) {
      std::vector<int64_t> axes(g.rank());
      for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
      const Value fine = b_.call("less_equal", {b_.call("abs", {g * scale}), limit});
      const Value broken = b_.reduce("reduce_sum", b_.cast(b_.call("logical_not", {fine}), DType::f32), axes);
      bad = bad ? bad + broken : broken;
    }
    if (!bad) return;
    finite_ = b_.call("equal", {bad, b_.constant(0.0)});
    const Value zero = b_.constant(0, DType::i64);
    const Value grow =
        b_.call("equal", {counter, b_.constant(static_cast<double>(options.dynamic_growth_steps - 1), DType::i64)});
    const Value counted = b_.select(grow, zero, counter + b_.constant(1, DType::i64));
    b_.result(b_.select(finite_, b_.select(grow, scale * 2.0, scale), scale * 0.5), prefix_ + "/dynamic_scale");
    b_.result(b_.select(finite_, counted, zero), prefix_ + "/step_counter");
  }

  // floor(count / divisor), and whether nothing is left over.
  struct Quotient {
    Value whole, exact;
  };
  Quotient divide(Value count, int64_t divisor) {
    const Value exact = b_.cast(count, DType::f64), by = b_.constant(static_cast<double>(divisor), DType::f64);
    const Value whole = b_.call("floor", {exact / by});
    return {b_.cast(whole, DType::i64), b_.call("equal", {whole * by, exact})};
  }

  // The mean over this step's gradients and those since the last update.
  void accumulate(Value begun, Value next) {
    const int64_t steps = attributes_.integer("gradient_accumulation_steps");
    updates_ = divide(begun, steps).whole;
    updating_ = divide(next, steps).exact;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const std::string name = "accumulated_gradient/" + parameters_[i];
      const Value before = new_state(name, gradients_[i].type());
      const Value sum = before + gradients_[i];
      b_.result(where_finite(b_.select(updating_, b_.constant(0.0), sum), before), prefix_ + "/" + name);
      gradients_[i] = sum / static_cast<double>(steps);
    }
  }

  // What training leaves: the averages of the parameters.
  std::optional<Graph> finish_training() {
    if (!attributes_.boolean("use_ema") || parameters_.empty()) return std::nullopt;
    Graph graph;
    graph.name = "finish_training";
    Builder b(graph);
    for (const std::string& name : parameters_) {
      const Slot* state = module_.find_slot(prefix_ + "/average/" + name);
      b.result(b.input(state->type, state->name, state->name), name);
    }
    return graph;
  }

  // As in Keras: an average that starts with the first parameters, of all parameters as the optimizer leaves them.
  Value average(Value parameter, const std::string& name, Value step) {
    const std::string state = "average/" + name;
    const Value before = new_state(state, parameter.type());
    const Value first = b_.call("equal", {updates_, b_.constant(0, DType::i64)});
    const Value momentum = b_.select(first, b_.constant(0.0), b_.constant(attributes_.real("ema_momentum")));
    const Value now = before * momentum + parameter * (1.0 - momentum);
    b_.result(where_finite(now, before), prefix_ + "/" + state);
    if (!attributes_.has("ema_overwrite_frequency")) return parameter;
    return b_.select(divide(step, attributes_.integer("ema_overwrite_frequency")).exact, now, parameter);
  }

  void update(size_t i, Value step) {
    b_.set_origin(parameters_[i]);
    const Slot parameter = *module_.find_slot(parameters_[i]);
    const Attributes attributes =
        attributes_for_parameter(op_, attributes_, parameters_[i], parameter.type.shape.size());
    const Value before = take_replaced(parameter);
    std::vector<Value> inputs = {before, gradients_[i], step, learning_rate_};
    std::vector<std::string> states;
    for (const ParameterSpec& state : optimizer_states(op_, parameter.type, attributes, parameters_[i])) {
      double initial = 0.0;
      if (const auto* nested = std::get_if<AttributeValue::Nested>(&state.initializer.value);
          nested && *nested && (*nested)->has("value"))
        initial = (*nested)->real("value");
      states.push_back(state.name + "/" + parameter.name);
      inputs.push_back(new_state(states.back(), {state.dtype, state.shape}, initial));
    }
    std::vector<Value> updated = b_.call_all(op_name_, inputs, attributes);
    for (size_t k = 0; k < states.size(); ++k)
      b_.result(where_counted(updated[k + 1], inputs[k + 4]), prefix_ + "/" + states[k]);
    Value now = updating_ ? b_.select(updating_, updated[0], before) : updated[0];
    if (attributes_.boolean("use_ema")) now = average(now, parameter.name, step);
    if (const auto* nested = std::get_if<AttributeValue::Nested>(&parameter.constraint.value); nested && *nested) {
      Attributes arguments = **nested;
      const std::string constraint = constraint_op_for(arguments.string("class"));
      arguments.erase("class");
      now = b_.call(constraint, {now}, arguments);
    }
    b_.result(where_finite(now, before), parameter.name);
  }
};

}  // namespace

void add_update(Module& module, const TrainingSpec& training) {
  std::optional<Graph> finish;
  for (Graph& graph : module.entries)
    if (graph.name == "train_step") finish = Updater(module, graph, training).run();
  if (finish) module.entries.push_back(std::move(*finish));
  std::erase_if(module.slots, [&](const Slot& slot) { return slot.name.starts_with("gradient/"); });
}

}  // namespace moru
