// What can be said of a dimension whatever its symbols are.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "compiler/support/dim.h"

namespace moru {

/// The least value of a symbol; not below 0.
using LeastOfSymbol = std::function<int64_t(std::string_view)>;

/// A number that the dimension is never below where no symbol is below its least (without one: 1, as sizes of inputs are), as great
/// as simple reasoning finds it: maxima case by case, floor(a/c) within (a - c + 1)/c and a/c. None where it finds none.
std::optional<int64_t> least_of(const Dim& dim, const LeastOfSymbol& least_of_symbol = {});

/// Whether the dimensions are, or for some symbols may be, the same.
bool can_be_equal(const Dim& a, const Dim& b);

/// Of two products that are to be equal, the symbol of one whose other factors divide the other, and what it then is: n and 4 of 6*n
/// and 24. None where there is no such symbol.
std::optional<std::pair<Dim, Dim>> find_unequal_factor(const Dim& a, const Dim& b);

/// The expression with `value` in the place of a factor that is no symbol, wherever it stands outside of other factors.
Dim with_value(const Dim& dim, const DimFactor& factor, const Dim& value);

/// The same expression with what is added to its one maximum drawn inside: time + max(-2, -time) is max(time - 2, 0).
Dim with_terms_inside(const Dim& dim);

}  // namespace moru
