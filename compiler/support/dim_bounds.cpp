#include "compiler/support/dim_bounds.h"

#include <algorithm>
#include <vector>

#include "compiler/support/error.h"

namespace moru {

namespace {

Dim dim_of(const DimFactor& factor) {
  switch (factor.kind) {
    case DimFactor::Kind::symbol: return Dim::symbol(factor.symbol);
    case DimFactor::Kind::max: return max(*factor.left, *factor.right);
    case DimFactor::Kind::floor_div: return floor_div(*factor.left, *factor.right);
    case DimFactor::Kind::ceil_div: return ceil_div(*factor.left, *factor.right);
  }
  return {};
}

}  // namespace

Dim with_value(const Dim& dim, const DimFactor& factor, const Dim& value) {
  Dim result;
  for (const DimTerm& term : dim.terms()) {
    Dim product = term.coefficient;
    for (const DimFactor& each : term.factors) product *= each == factor ? value : dim_of(each);
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

class Prover {
 public:
  explicit Prover(const LeastOfSymbol& least_of_symbol) : least_of_symbol_(least_of_symbol) {}

  std::optional<int64_t> least(const Dim& dim, int depth = most_cases) const {
    if (dim.is_constant()) return dim.constant();
    const DimFactor* factor = nullptr;
    for (const DimTerm& term : dim.terms())
      for (const DimFactor& each : term.factors)
        if (each.kind != DimFactor::Kind::symbol && factor == nullptr) factor = &each;
    if (factor == nullptr) return least_of_polynomial(dim);
    if (depth == 0) return std::nullopt;
    return factor->kind == DimFactor::Kind::max ? with_maximum(dim, *factor, depth - 1) : with_quotient(dim, *factor, depth - 1);
  }

 private:
  const LeastOfSymbol& least_of_symbol_;

  // With each symbol as its least plus something that is not negative, no term is below 0 but the constant.
  std::optional<int64_t> least_of_polynomial(const Dim& dim) const {
    std::vector<std::string> symbols;
    dim.collect_symbols(symbols);
    Dim moved = dim;
    for (const std::string& symbol : symbols) {
      const int64_t least = least_of_symbol_ ? least_of_symbol_(symbol) : 1;
      if (least != 0) moved = moved.substitute(symbol, Dim::symbol(symbol) + least);
    }
    int64_t least = 0;
    for (const DimTerm& term : moved.terms()) {
      if (term.factors.empty())
        least = term.coefficient;
      else if (term.coefficient < 0)
        return std::nullopt;
    }
    return least;
  }

  // max(p, q) is p or q, and not less than either: where it counts positively one of them will do.
  std::optional<int64_t> with_maximum(const Dim& dim, const DimFactor& factor, int depth) const {
    const auto left = least(with_value(dim, factor, *factor.left), depth);
    const auto right = least(with_value(dim, factor, *factor.right), depth);
    return counts_positively(dim, factor, depth) ? greater(left, right) : lesser(left, right);
  }

  // floor(a/b) and ceil(a/b): with a number that it is never below, and by what it lies between, times b.
  std::optional<int64_t> with_quotient(const Dim& dim, const DimFactor& factor, int depth) const {
    const bool is_floor = factor.kind == DimFactor::Kind::floor_div;
    const Dim& numerator = *factor.left;
    const Dim& divisor = *factor.right;
    std::optional<int64_t> found;
    if (counts_positively(dim, factor, depth))
      if (const auto least_numerator = least(numerator, depth); least_numerator && *least_numerator >= 0 && least(divisor, depth).value_or(0) > 0) {
        const int64_t quotient = !divisor.is_constant() ? 0 : is_floor ? *least_numerator / divisor.constant() : rounded_up(*least_numerator, divisor.constant());
        found = least(with_value(dim, factor, quotient), depth);
      }
    const std::optional<int64_t> times = coefficient_of(dim, factor);
    if (!times || !divisor.is_constant()) return found;
    const int64_t c = divisor.constant();
    const Dim near = (*times < 0) == is_floor ? numerator : is_floor ? numerator - (c - 1) : numerator + (c - 1);
    const auto multiple = least(with_value(dim, factor, 0) * c + near * *times, depth);
    return multiple ? greater(found, rounded_up(*multiple, c)) : found;
  }

  // The number before the factor, where it stands once and alone.
  static std::optional<int64_t> coefficient_of(const Dim& dim, const DimFactor& factor) {
    std::optional<int64_t> found;
    for (const DimTerm& term : dim.terms()) {
      if (std::ranges::find(term.factors, factor) == term.factors.end()) continue;
      if (found || term.factors.size() != 1) return std::nullopt;
      found = term.coefficient;
    }
    return found;
  }

  // Whether the dimension never falls while the factor grows.
  bool counts_positively(const Dim& dim, const DimFactor& factor, int depth) const {
    return std::ranges::all_of(dim.terms(), [&](const DimTerm& term) {
      const auto times = std::ranges::count(term.factors, factor);
      if (times == 0) return true;
      return term.coefficient > 0 && times == 1 &&
             std::ranges::all_of(term.factors, [&](const DimFactor& each) {
               return each == factor || each.kind == DimFactor::Kind::symbol || (depth > 0 && least(dim_of(each), depth - 1).value_or(-1) >= 0);
             });
    });
  }
};

}  // namespace

std::optional<int64_t> least_of(const Dim& dim, const LeastOfSymbol& least_of_symbol) {
  try {
    return Prover(least_of_symbol).least(dim);
  } catch (const CompileError&) {  // of an overflow on the way
    return std::nullopt;
  }
}

bool can_be_equal(const Dim& a, const Dim& b) {
  return least_of(a - b).value_or(0) <= 0 && least_of(b - a).value_or(0) <= 0;
}

std::optional<std::pair<Dim, Dim>> find_unequal_factor(const Dim& a, const Dim& b) {
  for (const auto& [from, to] : {std::pair{a, b}, std::pair{b, a}}) {
    std::vector<std::string> symbols;
    from.collect_symbols(symbols);
    for (const std::string& symbol : symbols) {
      const std::optional<Dim> others = from.coefficient(symbol);
      if (!others || others->is_constant(0) || *others * Dim::symbol(symbol) != from) continue;
      const Dim wanted = floor_div(to, *others);
      if (wanted * *others == to && !wanted.contains(symbol)) return {{Dim::symbol(symbol), wanted}};
    }
  }
  return std::nullopt;
}

Dim with_terms_inside(const Dim& dim) {
  const DimTerm* found = nullptr;
  for (const DimTerm& term : dim.terms()) {
    const auto maxima = std::ranges::count(term.factors, DimFactor::Kind::max, &DimFactor::kind);
    if (maxima == 0) continue;
    const bool stands_alone = term.factors.size() == 1 && (term.coefficient == 1 || term.coefficient == -1);
    if (found != nullptr || !stands_alone) return dim;
    found = &term;
  }
  if (found == nullptr) return dim;
  const DimFactor& factor = found->factors[0];
  const Dim rest = with_value(dim, factor, 0);
  return found->coefficient > 0 ? max(*factor.left + rest, *factor.right + rest) : min(rest - *factor.left, rest - *factor.right);
}

}  // namespace moru
