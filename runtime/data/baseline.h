// What anyone could predict without a model: the numbers that a model has to beat.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/training/regression_metrics.h"

namespace moru {

struct Baseline {
  std::string name;
  int64_t samples = 0;  // that have the value the baseline repeats
  RegressionMetrics metrics;
  std::vector<float> predicted;  // for every sample of the test part, the target's elements in order; NaN where left out
};

/// The baselines of one target over the samples of `test`:
///   persistence          the target at the sample's anchor, the newest that is known; needs a horizon of at least 1
///   same_time_yesterday  the target 24 hours before (or 48, ... where the horizon is longer); needs rows less than a day
///                        apart
///   same_time_last_week  the same with 7 days; needs rows a day apart or less
///   training_mean        the mean target of the samples of `train`
/// A sample whose reference row does not exist or misses its value is left out; a baseline that loses more than half of
/// the samples so is not given. No baseline looks behind the anchor. Empty for categories and integers.
std::vector<Baseline> naive_baselines(const Dataset& test, const Dataset& train, std::size_t target);

}  // namespace moru
