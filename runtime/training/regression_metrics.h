// How far predictions lie from the truth, in the units of the target: what metrics.json reports.
#pragma once

#include <span>

namespace moru {

/// Mean absolute error, mean squared error, its root, and the coefficient of determination
///   r2 = 1 - sum (actual - predicted)^2 / sum (actual - mean(actual))^2
/// over all elements. r2 is NaN where the actual values are all equal; everything is NaN where there are none.
struct RegressionMetrics {
  double mae, mse, rmse, r2;
};
RegressionMetrics regression_metrics(std::span<const float> actual, std::span<const float> predicted);

}  // namespace moru
