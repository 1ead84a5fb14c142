// When a monitored number has improved, and when training should stop: the rules of Keras 3 without any weights.
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/data/recipe.h"

namespace moru {

/// True where a larger value of the metric is better: the accuracies, AUC, R², precision, recall, F-scores, cosine
/// similarity and IoU, with or without `val_` and an output's name in front. Every other name is a loss or an error.
bool larger_is_better(std::string_view metric);

/// Resolves `automatic` by the name of the metric.
MonitorMode resolve_mode(MonitorMode mode, std::string_view metric);

/// Is `value` better than `reference` by more than `min_delta`?   min: value + |min_delta| < reference
///                                                                max: value - |min_delta| > reference
/// NaN improves on nothing. `mode` must be resolved.
bool improves(double value, double reference, double min_delta, MonitorMode mode);

/// The decision rule of keras.callbacks.EarlyStopping (Keras 3): `wait` counts every epoch and is reset by an epoch that
/// beats the best so far and, where there is one, the baseline; a non-improving epoch that finds wait >= patience stops
/// the training, but never epoch 0.
class EarlyStoppingRule {
 public:
  explicit EarlyStoppingRule(EarlyStoppingRecipe options);

  struct Verdict {
    bool take_weights = false;  // this epoch's weights are the best so far
    bool stop = false;
  };
  /// Judges the end of `epoch`, counted from 0.
  Verdict judge(int64_t epoch, double value);

  const EarlyStoppingRecipe& options() const { return options_; }

  // What a checkpoint keeps.
  int64_t wait = 0;
  int64_t stopped_epoch = 0;  // 0: not stopped
  int64_t best_epoch = 0;
  bool has_best = false;
  bool has_weights = false;
  double best = 0;

 private:
  EarlyStoppingRecipe options_;
};

}  // namespace moru
