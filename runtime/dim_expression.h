// A size as an integer expression of a program's symbols: the runtime's reading of table Dim in schema/program.fbs.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moru {

/// A sum of terms, each a coefficient times factors. Division is by positive numbers; floor rounds towards minus
/// infinity.
struct DimExpression {
  enum class FactorKind : uint8_t { symbol = 0, floor_div = 1, ceil_div = 2, max = 3 };
  struct Factor {
    FactorKind kind = FactorKind::symbol;
    uint32_t symbol = 0;                  // kind symbol
    std::vector<DimExpression> operands;  // otherwise: left, right
  };
  struct Term {
    int64_t coefficient = 0;
    std::vector<Factor> factors;
  };
  std::vector<Term> terms;  // none: zero

  /// A symbol's value before it is known.
  static constexpr int64_t unknown = std::numeric_limits<int64_t>::min();

  /// The value, or nothing on overflow, on division by a number below 1, and where a needed symbol is unknown.
  std::optional<int64_t> evaluate(std::span<const int64_t> symbols) const;
  /// The symbol's index if the expression is exactly one symbol.
  std::optional<uint32_t> as_symbol() const;
  bool is_constant() const;
  /// "24*batch + 1", "floor(time/2)", with the given symbol names.
  std::string text(std::span<const std::string> symbol_names) const;
};

}  // namespace moru
