#include "compiler/ir/access_overlap.h"

#include <algorithm>
#include <optional>
#include <set>

#include "compiler/support/dim_bounds.h"

namespace moru {

bool provably_not_negative(const Dim& value, std::span<const LoopRange> variables) {
  const auto least = [&](std::string_view name) {
    return name == "worker" || std::ranges::any_of(variables, [&](const LoopRange& range) { return range.var == name; }) ? 0 : 1;
  };
  return least_of(value, least).value_or(-1) >= 0;
}

namespace {

struct Interval {
  Dim low, high;
};

// The ends of a dim over the ranges; null where its direction is not known.
std::optional<Interval> interval_of(const Dim& value, std::span<const LoopRange> ranges,
                                    std::span<const LoopRange> variables) {
  Interval result{value, value};
  // The innermost first: its extent may depend on the ones before.
  for (size_t i = ranges.size(); i-- > 0;) {
    const LoopRange& range = ranges[i];
    for (auto [bound, is_high] : {std::pair{&result.low, false}, std::pair{&result.high, true}}) {
      if (!bound->contains(range.var)) continue;
      const auto slope = bound->coefficient(range.var);
      if (!slope) return std::nullopt;
      const bool rises = provably_not_negative(*slope, variables);
      if (!rises && !provably_not_negative(Dim(0) - *slope, variables)) return std::nullopt;
      *bound = bound->substitute(range.var, rises == is_high ? range.extent - 1 : Dim(0));
    }
  }
  return result;
}

bool ordered(const Interval& first, const Interval& second, std::span<const LoopRange> variables) {
  return provably_not_negative(second.low - first.high - 1, variables);
}

// Splits a = m * quotient + rest by the terms' coefficients.
Dim rest_of(const Dim& value, int64_t m) {
  Dim rest;
  for (const DimTerm& term : value.terms()) {
    if (term.coefficient % m == 0) continue;
    Dim part = term.coefficient;
    for (const DimFactor& factor : term.factors) {
      if (factor.kind != DimFactor::Kind::symbol) return value;
      part *= Dim::symbol(factor.symbol);
    }
    rest += part;
  }
  return rest;
}

// Columns of rows of length m: both stay within their own columns, and the columns differ.
bool disjoint_modulo(const Dim& a, const Dim& b, int64_t m, std::span<const LoopRange> ranges,
                     std::span<const LoopRange> variables) {
  const auto x = interval_of(rest_of(a, m), ranges, variables);
  const auto y = interval_of(rest_of(b, m), ranges, variables);
  if (!x || !y) return false;
  auto inside = [&](const Interval& interval) {
    return provably_not_negative(interval.low, variables) && provably_not_negative(Dim(m - 1) - interval.high, variables);
  };
  return inside(*x) && inside(*y) && (ordered(*x, *y, variables) || ordered(*y, *x, variables));
}

}  // namespace

bool provably_disjoint(const Dim& a, const Dim& b, std::span<const LoopRange> ranges,
                       std::span<const LoopRange> enclosing) {
  std::vector<LoopRange> variables(enclosing.begin(), enclosing.end());
  variables.insert(variables.end(), ranges.begin(), ranges.end());
  const auto x = interval_of(a, ranges, variables);
  const auto y = interval_of(b, ranges, variables);
  if (x && y && (ordered(*x, *y, variables) || ordered(*y, *x, variables))) return true;
  std::set<int64_t> moduli;
  for (const Dim* dim : {&a, &b})
    for (const DimTerm& term : dim->terms())
      if (!term.factors.empty() && (term.coefficient > 1 || term.coefficient < -1))
        moduli.insert(std::abs(term.coefficient));
  return std::any_of(moduli.begin(), moduli.end(),
                     [&](int64_t m) { return disjoint_modulo(a, b, m, ranges, variables); });
}

}  // namespace moru
