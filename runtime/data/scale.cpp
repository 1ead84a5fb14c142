#include "runtime/data/scale.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace moru {

std::vector<ScalerNumbers> fit_scalers(std::span<const ScalerKind> columns, const ValueVisitor& visit) {
  struct Column {
    double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, mean = 0, squares = 0;
    std::size_t count = 0;
  };
  std::vector<Column> seen(columns.size());
  if (std::any_of(columns.begin(), columns.end(), [](ScalerKind kind) { return kind != ScalerKind::none; }))
    visit([&](std::size_t k, double value) {
      if (std::isnan(value)) return;
      Column& column = seen[k];
      column.low = std::min(column.low, value);
      column.high = std::max(column.high, value);
      column.sum += value;
      ++column.count;
    });
  for (Column& column : seen) column.mean = column.sum / static_cast<double>(column.count);
  if (std::find(columns.begin(), columns.end(), ScalerKind::standard) != columns.end())
    visit([&](std::size_t k, double value) {
      if (!std::isnan(value)) seen[k].squares += (value - seen[k].mean) * (value - seen[k].mean);
    });
  std::vector<ScalerNumbers> numbers(columns.size());
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const Column& column = seen[k];
    if (columns[k] == ScalerKind::none || column.count == 0) continue;
    // Equality is tested on the values: the mean of equal values may round away from them.
    if (column.low == column.high)
      numbers[k] = {column.low, 1};
    else if (columns[k] == ScalerKind::minmax)
      numbers[k] = {column.low, (column.high - column.low) * (column.high - column.low)};
    else
      numbers[k] = {column.mean, column.squares / static_cast<double>(column.count)};
  }
  return numbers;
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
