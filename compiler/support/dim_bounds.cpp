#include "compiler/support/dim_bounds.h"

#include <algorithm>
#include <vector>

#include "compiler/support/error.h"

namespace moru {

Dim with_value(const Dim& dim, const DimFactor& factor, const Dim& value) {
  Dim result;
  for (const DimTerm& term : dim.terms()) {
    Dim product = term.coefficient;
    for (const DimFactor& each : term.factors) {
      if (each == factor)
        product *= value;
      else if (each.kind == DimFactor::Kind::symbol)
        product *= Dim::symbol(each.symbol);
      else
        product *= each.kind == DimFactor::Kind::max         ? max(*each.left, *each.right)
                   : each.kind == DimFactor::Kind::floor_div ? floor_div(*each.left, *each.right)
                                                             : ceil_div(*each.left, *each.right);
    }
    result += product;
  }
  return result;
}

namespace {

constexpr int most_cases = 8;  // nested maxima and divisions; each may double the work

std::optional<int64_t> greater(std::optional<int64_t> a, std::optional<int64_t> b) { return !a || (b && *b > *a) ? b : a; }

std::optional<int64_t> lesser(std::optional<int64_t> a, std::optional<int64_t> b) {
  return a && b ? std::optional(std::min(*a, *b)) : std::nullopt;
}

int64_t rounded_up(int64_t a, int64_t b) { return a / b + (a % b > 0 ? 1 : 0); }

// Of a polynomial: with each symbol as its least plus something that is not negative, no term is below 0 but the constant.
std::optional<int64_t> least_of_polynomial(const Dim& dim, int64_t least_symbol) {
  std::vector<std::string> symbols;
  dim.collect_symbols(symbols);
  Dim moved = dim;
  for (const std::string& symbol : symbols) moved = moved.substitute(symbol, Dim::symbol(symbol) + least_symbol);
  int64_t least = 0;
  for (const DimTerm& term : moved.terms()) {
    if (term.factors.empty())
      least = term.coefficient;
    else if (term.coefficient < 0)
      return std::nullopt;
  }
  return least;
}

std::optional<int64_t> least(const Dim& dim, int64_t least_symbol, int depth) {
  const DimTerm* around = nullptr;
  const DimFactor* factor = nullptr;
  for (const DimTerm& term : dim.terms())
    for (const DimFactor& each : term.factors)
      if (each.kind != DimFactor::Kind::symbol && factor == nullptr) factor = &each, around = &term;
  if (factor == nullptr) return least_of_polynomial(dim, least_symbol);
  if (depth == 0) return std::nullopt;
  const auto with = [&](const Dim& value) { return least(with_value(dim, *factor, value), least_symbol, depth - 1); };
  const bool alone = around->factors.size() == 1;
  const bool once = std::ranges::count_if(dim.terms(), [&](const DimTerm& term) { return std::ranges::find(term.factors, *factor) != term.factors.end(); }) == 1;
  if (factor->kind == DimFactor::Kind::max) {
    const auto left = with(*factor->left), right = with(*factor->right);
    return once && alone && around->coefficient > 0 ? greater(left, right) : lesser(left, right);
  }
  // floor(a/c) and ceil(a/c): with a number that it is never below, and by what it lies between, times c.
  if (!once || !alone || !factor->right->is_constant()) return std::nullopt;
  const int64_t c = factor->right->constant(), m = around->coefficient;
  const bool is_floor = factor->kind == DimFactor::Kind::floor_div;
  const Dim rest = with_value(dim, *factor, 0);
  const Dim near = (m < 0) == is_floor ? *factor->left : is_floor ? *factor->left - (c - 1) : *factor->left + (c - 1);
  std::optional<int64_t> found = least(rest * c + near * m, least_symbol, depth - 1);
  if (found) found = rounded_up(*found, c);
  if (m > 0)
    if (const auto numerator = least(*factor->left, least_symbol, depth - 1); numerator && *numerator >= 0)
      found = greater(found, with(is_floor ? *numerator / c : rounded_up(*numerator, c)));
  return found;
}

}  // namespace

std::optional<int64_t> least_of(const Dim& dim, int64_t least_symbol) {
  if (dim.is_constant()) return dim.constant();
  try {
    return least(dim, least_symbol, most_cases);
  } catch (const CompileError&) {  // of an overflow on the way
    return std::nullopt;
  }
}

Dim with_terms_inside(const Dim& dim) {
  const DimTerm* found = nullptr;
  for (const DimTerm& term : dim.terms()) {
    const bool is_max = term.factors.size() == 1 && term.factors[0].kind == DimFactor::Kind::max && (term.coefficient == 1 || term.coefficient == -1);
    if (!is_max) continue;
    if (found != nullptr) return dim;
    found = &term;
  }
  if (found == nullptr) return dim;
  const DimFactor& factor = found->factors[0];
  const Dim rest = with_value(dim, factor, 0);
  return found->coefficient > 0 ? max(*factor.left + rest, *factor.right + rest) : min(rest - *factor.left, rest - *factor.right);
}

}  // namespace moru
