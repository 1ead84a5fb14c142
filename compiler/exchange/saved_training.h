// SavedTraining: how far a model has been trained, beside its weights: what Keras' compile() was told, and what the
// optimizer keeps. It travels in Keras' files and in the section `training` of a `.moru`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compiler/exchange/named_weights.h"
#include "compiler/model/model.h"

namespace moru {

struct SavedTraining {
  /// JSON as in Keras 3's config.json: {"optimizer": ..., "loss": ..., "metrics": ...}. Empty: not compiled.
  std::string compile_config = {};
  /// The optimizer's variables in Keras 3's order, named "0", "1", ...: iterations, learning rate, then its states.
  std::vector<NamedTensor> variables = {};

  bool empty() const { return compile_config.empty() && variables.empty(); }
};

/// The optimizer's op ("adam_update"); empty where the configuration names none that Moru has.
std::string optimizer_of(const SavedTraining& state);

/// The learning rate that compile() was told; nothing where that was a schedule.
std::optional<double> learning_rate_of(const SavedTraining& state);

/// The variables by the names of Moru's slots: "step", "learning_rate", "adam/momentum/dense/kernel". None where there
/// are no variables, or their number or shapes are not what the optimizer keeps for these weights.
std::vector<NamedTensor> optimizer_slots(const SavedTraining& state, Model& model);

/// The inverse: the variables of the optimizer in `compile_config`. `find` gives the values of a slot, or null; none
/// where it lacks one that the optimizer needs.
std::vector<NamedTensor> saved_variables(const std::string& compile_config, Model& model,
                                         const std::function<const NamedTensor*(const std::string& slot)>& find);

}  // namespace moru
