// What the times of a series say of its rows: which step they keep, and where a stretch of time is missing. Rows are
// neighbours by their place in the file, so that a window runs over such a gap.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"

namespace moru {

/// Seconds from a row to the next that at least 95 of 100 rows keep; 0 where there is no such step, as in trading days.
int64_t usual_step(std::span<const int64_t> seconds);

/// One line on the gaps in the times of a series that is cut into windows, against the step that the recipe was fitted
/// to, or the series' own where it was not. Empty where nothing is missing, or no step is usual.
std::string describe_gaps(const Recipe& recipe, const RowTimes* times);

}  // namespace moru
