#include "runtime/data/scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace moru {

ScalerNumbers fit_scaler(ScalerKind kind, std::span<const double> values) {
  return fit_scaler_over(kind, [&](const auto& use) {
    for (const double value : values) use(value);
  });
}

ScalerNumbers fit_scaler_over(ScalerKind kind, const ValueVisitor& visit) {
  if (kind == ScalerKind::none) return {};
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0;
  std::size_t count = 0;
  visit([&](double value) {
    if (std::isnan(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
    sum += value;
    ++count;
  });
  if (count == 0) return {};
  // Equality is tested on the values: the mean of equal values may round away from them.
  if (low == high) return {low, 1};
  if (kind == ScalerKind::minmax) return {low, (high - low) * (high - low)};
  const double mean = sum / static_cast<double>(count);
  double squares = 0;
  visit([&](double value) {
    if (!std::isnan(value)) squares += (value - mean) * (value - mean);
  });
  return {mean, squares / static_cast<double>(count)};
}

double median(std::span<const double> values) {
  std::vector<double> sorted;
  sorted.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(sorted),
               [](double value) { return !std::isnan(value); });
  if (sorted.empty()) return 0;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  if (sorted.size() % 2 == 1) return *middle;
  return (*std::max_element(sorted.begin(), middle) + *middle) / 2;
}

}  // namespace moru
