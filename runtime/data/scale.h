// The statistics of scalers. Scaling itself is a Normalization layer of the model, which computes
//   (x - mean) / sqrt(variance)
// and, for a target, its inverse; here are only its two numbers per column.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "runtime/data/recipe.h"

namespace moru {

struct ScalerNumbers {
  double mean = 0;
  double variance = 1;
};

/// Calls what it is given with each value and the number of its column, in the same order every time.
using ValueVisitor = std::function<void(const std::function<void(std::size_t column, double value)>& use)>;

/// none: 0 and 1.   standard: mean and population variance, in two passes over doubles.
/// minmax: the minimum and (max-min)^2, so that the training rows come out in [0, 1].
/// Missing values (NaN) do not count. A column that is constant, or has no value at all, has variance 1.
/// `visit` is called twice.
std::vector<ScalerNumbers> fit_scalers(std::span<const ScalerKind> columns, const ValueVisitor& visit);

/// The median of the values that are not NaN: of an even count the mean of the two in the middle; 0 of none.
double median(std::span<const double> values);

}  // namespace moru
