#include "compiler/exchange/saved_training.h"

#include "compiler/exchange/keras_optimizer.h"

namespace moru {
namespace {

Json optimizer_in(const std::string& compile_config) {
  if (compile_config.empty()) return {};
  const Json config = parse_json(compile_config, "the compile configuration");
  return config.is_object() ? config.value("optimizer", Json()) : Json();
}

}  // namespace

std::string optimizer_of(const SavedTraining& state) { return optimizer_op_of(optimizer_in(state.compile_config)); }

std::optional<double> learning_rate_of(const SavedTraining& state) {
  const Json rate = learning_rate_of(optimizer_in(state.compile_config));
  return rate.is_number() ? std::optional(rate.get<double>()) : std::nullopt;
}

std::vector<NamedTensor> optimizer_slots(const SavedTraining& state, Model& model) {
  const std::vector<OptimizerVariable> variables = optimizer_variables(optimizer_in(state.compile_config), model);
  if (variables.size() != state.variables.size()) return {};
  std::vector<NamedTensor> slots;
  for (size_t i = 0; i < variables.size(); ++i) {
    const NamedTensor& saved = state.variables[i];
    if (variables[i].slots.empty()) continue;
    if (saved.shape != variables[i].shape || saved.type.dtype != variables[i].dtype) return {};
    for (const std::string& name : variables[i].slots) {
      slots.push_back(saved);
      slots.back().name = name;
    }
  }
  return slots;
}

std::vector<NamedTensor> saved_variables(const std::string& compile_config, Model& model,
                                         const std::function<const NamedTensor*(const std::string& slot)>& find) {
  std::vector<NamedTensor> saved;
  for (const OptimizerVariable& variable : optimizer_variables(optimizer_in(compile_config), model)) {
    const std::string number = std::to_string(saved.size());
    if (variable.slots.empty()) {
      saved.push_back({number, variable.dtype, variable.shape, std::vector<std::byte>(static_cast<size_t>(dtype_bytes(variable.dtype)))});
      continue;
    }
    const NamedTensor* slot = find(variable.slots.front());
    if (slot == nullptr || slot->shape != variable.shape || slot->type.dtype != variable.dtype) return {};
    saved.push_back(*slot);
    saved.back().name = number;
  }
  return saved;
}

}  // namespace moru
