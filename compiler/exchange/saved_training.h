// SavedTraining: how far a model has been trained, beside its weights: what Keras' compile() was told, and what the
// optimizer keeps. It travels in Keras' files and in the section `training` of a `.moru`.
#pragma once

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

/// The variables by the names of Moru's slots: "step", "learning_rate", "adam/momentum/dense/kernel". None where there
/// are no variables, or their number or shapes are not what the optimizer keeps for these weights.
std::vector<NamedTensor> optimizer_slots(const SavedTraining& state, Model& model);

}  // namespace moru
