#include "compiler/ir/access_overlap.h"

#include <algorithm>
#include <optional>
#include <set>

#include "compiler/support/dim_bounds.h"

namespace moru {

namespace {

constexpr int deepest_proof = 6;

bool is_variable(const std::string& name, std::span<const LoopRange> variables) {
  return name == "worker" ||
         std::any_of(variables.begin(), variables.end(), [&](const LoopRange& range) { return range.var == name; });
}

bool not_negative(const Dim& value, std::span<const LoopRange> variables, int depth);

bool factor_not_negative(const DimFactor& factor, std::span<const LoopRange> variables, int depth) {
  switch (factor.kind) {
    case DimFactor::Kind::symbol:
      return true;
    case DimFactor::Kind::max:
      return not_negative(*factor.left, variables, depth + 1) || not_negative(*factor.right, variables, depth + 1);
    case DimFactor::Kind::floor_div:
    case DimFactor::Kind::ceil_div:
      return not_negative(*factor.left, variables, depth + 1);
  }
  return false;
}

// Writes every symbol that is not a variable as 1 + symbol; then a polynomial without negative coefficients is proof.
Dim shifted(const Dim& value, std::span<const LoopRange> variables) {
  std::vector<std::string> names;
  value.collect_symbols(names);
  Dim result = value;
  for (const std::string& name : names) {
    bool plain = true;  // inside of a division the shift would hide equal terms from each other
    for (const DimTerm& term : value.terms())
      for (const DimFactor& factor : term.factors)
        if (factor.kind != DimFactor::Kind::symbol && (factor.left->contains(name) || factor.right->contains(name)))
          plain = false;
    if (plain && !is_variable(name, variables)) result = result.substitute(name, Dim::symbol(name) + 1);
  }
  return result;
}

bool not_negative(const Dim& value, std::span<const LoopRange> variables, int depth) {
  if (value.is_constant()) return value.constant() >= 0;
  if (depth > deepest_proof) return false;
  // max(p, q) is p or q, and not less than either: where it counts positively one of them will do.
  for (const DimTerm& term : value.terms()) {
    for (const DimFactor& factor : term.factors) {
      if (factor.kind != DimFactor::Kind::max || term.factors.size() != 1) continue;
      const bool left = not_negative(with_value(value, factor, *factor.left), variables, depth + 1);
      if (left && term.coefficient > 0) return true;
      if (!left && term.coefficient < 0) return false;
      return not_negative(with_value(value, factor, *factor.right), variables, depth + 1);
    }
  }
  const Dim polynomial = shifted(value, variables);
  for (const DimTerm& term : polynomial.terms()) {
    if (term.coefficient < 0) return false;
    for (const DimFactor& factor : term.factors)
      if (!factor_not_negative(factor, variables, depth)) return false;
  }
  return true;
}

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
      const bool rises = not_negative(*slope, variables, 0);
      if (!rises && !not_negative(Dim(0) - *slope, variables, 0)) return std::nullopt;
      *bound = bound->substitute(range.var, rises == is_high ? range.extent - 1 : Dim(0));
    }
  }
  return result;
}

bool ordered(const Interval& first, const Interval& second, std::span<const LoopRange> variables) {
  return not_negative(second.low - first.high - 1, variables, 0);
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
    return not_negative(interval.low, variables, 0) && not_negative(Dim(m - 1) - interval.high, variables, 0);
  };
  return inside(*x) && inside(*y) && (ordered(*x, *y, variables) || ordered(*y, *x, variables));
}

}  // namespace

bool provably_not_negative(const Dim& value, std::span<const LoopRange> variables) {
  return not_negative(value, variables, 0);
}

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
