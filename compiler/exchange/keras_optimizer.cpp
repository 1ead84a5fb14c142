#include "compiler/exchange/keras_optimizer.h"

#include <algorithm>

#include "compiler/exchange/keras_values.h"
#include "compiler/exchange/keras_weight_order.h"
#include "compiler/ops/names.h"
#include "compiler/ops/optimizer.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

using Names = std::vector<std::string_view>;

// The states that stand together for each weight, one group of them behind the other.
struct StateOrder {
  std::string_view op;
  std::vector<Names> groups;
  bool fills_gaps = false;  // with a placeholder, where a weight lacks a state
};
const StateOrder state_orders[] = {
    {"adam_update", {{"momentum", "velocity"}, {"velocity_hat"}}},
    {"adamw_update", {{"momentum", "velocity"}, {"velocity_hat"}}},
    {"rmsprop_update", {{"velocity"}, {"momentum"}, {"average_gradient"}}},
    {"nadam_update", {{"momentum", "velocity"}, {"u_product"}}},
    {"adafactor_update", {{"row", "column", "velocity"}}, true},
};

// One number for all weights in Keras; Moru has one for each.
constexpr std::string_view shared_state = "u_product";

constexpr std::string_view scaling_class = "LossScaleOptimizer";

std::string class_of(const Json& optimizer) {
  const Json name = optimizer.is_object() ? optimizer.value("class_name", Json()) : optimizer;
  return name.is_string() ? name.get<std::string>() : std::string();
}

Json config_of(const Json& optimizer) {
  const Json config = optimizer.is_object() ? optimizer.value("config", Json()) : Json();
  return config.is_object() ? config : Json::object();
}

std::string name_of(const Json& optimizer) {
  const Json name = config_of(optimizer).value("name", Json());
  return name.is_string() ? name.get<std::string>() : snake_case(class_of(optimizer));
}

Json inner_optimizer(const Json& optimizer) {
  return class_of(optimizer) == scaling_class ? config_of(optimizer).value("inner_optimizer", Json()) : optimizer;
}

std::string with_underscores(std::string path) {
  std::replace(path.begin(), path.end(), '/', '_');
  return path;
}

class VariableList {
 public:
  VariableList(const Op& op, const Json& optimizer, Model& model)
      : op_(op), prefix_(optimizer_prefix(op)), name_(name_of(optimizer)), weights_(trainable_weights(model)) {
    const Json config = config_of(optimizer);
    Attributes attributes;
    for (const AttributeSpec& spec : op.attributes)
      if (const Json value = config.value(std::string(spec.name), Json()); !value.is_null() && !value.is_object())
        attributes.set(std::string(spec.name), import_value(value, spec, {}));
    attributes_ = check_attributes(op, attributes, "optimizer");
    for (const OrderedWeight& weight : weights_) {
      const Shape shape(weight.parameter->shape.begin(), weight.parameter->shape.end());
      const Attributes own = attributes_for_parameter(op, attributes_, weight.path, shape.size());
      states_.push_back(optimizer_states(op, {DType::f32, shape}, own, weight.path));
    }
    scheduled_ = learning_rate_of(optimizer).is_object();
  }

  std::vector<OptimizerVariable> list() {
    add("iteration", {"step"}, DType::i64);
    if (!scheduled_) add("learning_rate", {"learning_rate"});
    if (attributes_.boolean("use_ema")) add_for_each_weight("average", "average");
    if (attributes_.has("gradient_accumulation_steps")) add_for_each_weight("accumulated_gradient", "gradient_accumulator");
    const auto order = std::find_if(std::begin(state_orders), std::end(state_orders),
                                    [&](const StateOrder& one) { return one.op == op_.name; });
    if (order == std::end(state_orders)) {
      for (size_t i = 0; i < weights_.size(); ++i)
        for (const ParameterSpec& state : states_[i]) add_state(i, state);
      return std::move(variables_);
    }
    for (const Names& group : order->groups) add_group(group, order->fills_gaps);
    return std::move(variables_);
  }

 private:
  const Op& op_;
  std::string prefix_, name_;
  std::vector<OrderedWeight> weights_;
  Attributes attributes_;
  std::vector<std::vector<ParameterSpec>> states_;  // of each weight
  bool scheduled_ = false;
  std::vector<OptimizerVariable> variables_;

  void add(const std::string& name, std::vector<std::string> slots, DType dtype = DType::f32,
           std::vector<int64_t> shape = {}) {
    variables_.push_back({name_ + "/" + name, std::move(slots), dtype, std::move(shape)});
  }

  void add_for_each_weight(const std::string& state, const std::string& name) {
    for (const OrderedWeight& weight : weights_)
      add(with_underscores(keras_path(weight)) + "_" + name, {slot(state, weight)}, DType::f32, weight.parameter->shape);
  }

  void add_state(size_t i, const ParameterSpec& state) {
    std::vector<int64_t> shape;
    for (const Dim& extent : state.shape) shape.push_back(extent.constant());
    add(with_underscores(keras_path(weights_[i])) + "_" + std::string(state.name), {slot(std::string(state.name), weights_[i])},
        state.dtype, std::move(shape));
  }

  void add_group(const Names& group, bool fills_gaps) {
    if (group.front() == shared_state) {
      add(std::string(shared_state), {});
      for (const OrderedWeight& weight : weights_) variables_.back().slots.push_back(slot(std::string(shared_state), weight));
      return;
    }
    for (size_t i = 0; i < weights_.size(); ++i)
      for (const std::string_view name : group) {
        const auto state = std::find_if(states_[i].begin(), states_[i].end(),
                                        [&](const ParameterSpec& one) { return one.name == name; });
        if (state != states_[i].end()) add_state(i, *state);
        else if (fills_gaps) add(with_underscores(keras_path(weights_[i])) + "_" + std::string(name), {});
      }
  }

  std::string slot(const std::string& state, const OrderedWeight& weight) const {
    return prefix_ + "/" + state + "/" + weight.path;
  }
};

}  // namespace

std::string optimizer_op_of(const Json& optimizer) {
  const std::string name = class_of(inner_optimizer(optimizer));
  if (name.empty()) return {};
  try {
    return optimizer_op_for(name);
  } catch (const CompileError&) {
    return {};
  }
}

Json learning_rate_of(const Json& optimizer) {
  return config_of(inner_optimizer(optimizer)).value("learning_rate", Json());
}

std::vector<OptimizerVariable> optimizer_variables(const Json& optimizer, Model& model) {
  const std::string op_name = optimizer_op_of(optimizer);
  if (op_name.empty()) return {};
  const Op& op = get_op(op_name);
  std::vector<OptimizerVariable> variables;
  if (class_of(optimizer) == scaling_class) {
    const std::string name = name_of(optimizer) + "/", prefix = optimizer_prefix(op) + "/";
    variables = {{name + "iteration", {}, DType::i64},
                 {name + "learning_rate", {}, DType::f32},
                 {name + "step_counter", {prefix + "step_counter"}, DType::i64},
                 {name + "dynamic_scale", {prefix + "dynamic_scale"}, DType::f32}};
  }
  try {
    std::vector<OptimizerVariable> own = VariableList(op, inner_optimizer(optimizer), model).list();
    variables.insert(variables.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  } catch (const CompileError&) {  // arguments that Moru's optimizer does not have
    return {};
  } catch (const KerasValueError&) {
    return {};
  }
  return variables;
}

}  // namespace moru
