// Ridge regression on the numbers that a model sees: the simplest forecast that learns, and so the one to beat.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/data/dataset.h"

namespace moru {

struct RidgeForecast {
  std::vector<float> predicted;  // for every sample of the test part, the target's elements in order
  double penalty = 0;            // lambda, of those tried the one with the least squared error in the validation part
};

/// Fits, by the normal equations and Cholesky's factorisation,
///   minimise  sum_i |y_i - b - W z_i|^2 / n + lambda |W|^2,   z = (x - mean) / deviation
/// where x is a sample of all inputs, windows laid out in one row; means and deviations are of the training part, a
/// constant column has the deviation one. lambda is one of 10^-5 ... 10^1; without a validation part it is 0.01.
/// Nothing where the target is no f32 number, a sample has more than `most_features` elements, or a value is missing.
std::optional<RidgeForecast> ridge_forecast(const Dataset& train, const Dataset& validation, const Dataset& test,
                                            std::size_t target, int64_t most_features = 4000);

}  // namespace moru
