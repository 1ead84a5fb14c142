#include "runtime/training/regression_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moru {

RegressionMetrics regression_metrics(std::span<const float> actual, std::span<const float> predicted) {
  const size_t count = std::min(actual.size(), predicted.size());
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (count == 0) return {nan, nan, nan, nan};
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<double>(actual[i]);
  const double n = static_cast<double>(count);
  const double mean = sum / n;
  double absolute = 0, squared = 0, spread = 0;
  for (size_t i = 0; i < count; ++i) {
    const double error = static_cast<double>(predicted[i]) - static_cast<double>(actual[i]);
    const double deviation = static_cast<double>(actual[i]) - mean;
    absolute += std::fabs(error);
    squared += error * error;
    spread += deviation * deviation;
  }
  return {absolute / n, squared / n, std::sqrt(squared / n), spread > 0 ? 1 - squared / spread : nan};
}

}  // namespace moru
