// What can be said of a dimension whatever its symbols are.
#pragma once

#include <cstdint>
#include <optional>

#include "compiler/support/dim.h"

namespace moru {

/// A number that the dimension is never below where no symbol is below `least_symbol` (sizes of inputs: 1), as great as simple
/// reasoning finds it: maxima case by case, floor(a/c) within (a - c + 1)/c and a/c. None where it finds none.
std::optional<int64_t> least_of(const Dim& dim, int64_t least_symbol = 1);

/// The expression with `value` in the place of a factor that is no symbol, wherever it stands outside of other factors.
Dim with_value(const Dim& dim, const DimFactor& factor, const Dim& value);

/// The same expression with what is added to its one maximum drawn inside: time + max(-2, -time) is max(time - 2, 0).
Dim with_terms_inside(const Dim& dim);

}  // namespace moru
