// TrainingSpec: what `compile()` says in Keras. With it, make_entries builds train_step and evaluate.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/ir/attributes.h"

namespace moru {

struct OpSpec {
  std::string op = {};    // op name: "mean_squared_error", "adam", "mean_absolute_error"
  Attributes attributes = {};  // as Keras spells them: {from_logits=true}, {learning_rate=0.001, beta_1=0.9, clipnorm=1.0}
  std::string key = {};   // metrics: the name in the history ("mae"), as the user wrote it
  bool weighted = false;  // metrics: sample weights count, as in Keras' weighted_metrics
};

/// Keras' LossScaleOptimizer around another one: a step whose gradients, times the scale, are not all finite is left out.
struct LossScale {
  double initial_scale = 32768.0;
  int64_t dynamic_growth_steps = 2000;
};

struct TrainingSpec {
  OpSpec optimizer;                          // "sgd", "rmsprop", "adam", "adamw", ...
  std::vector<OpSpec> losses;                // one per model output; an empty op means: no loss on it
  std::vector<double> loss_weights;          // one per output, or empty for all 1
  std::vector<std::vector<OpSpec>> metrics;  // per output
  bool sample_weight = false;                // add a [batch] sample_weight input per output with a loss
  OpSpec schedule = {};                      // of the learning rate: "cosine_decay"; an empty op: none
  std::optional<LossScale> loss_scale = {};
};

}  // namespace moru
