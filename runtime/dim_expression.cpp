#include "runtime/dim_expression.h"

#include <algorithm>

namespace moru {
namespace {

std::optional<int64_t> evaluate_factor(const DimExpression::Factor& factor, std::span<const int64_t> symbols) {
  if (factor.kind == DimExpression::FactorKind::symbol) {
    if (factor.symbol >= symbols.size() || symbols[factor.symbol] == DimExpression::unknown) return std::nullopt;
    return symbols[factor.symbol];
  }
  std::optional<int64_t> left = factor.operands[0].evaluate(symbols);
  std::optional<int64_t> right = factor.operands[1].evaluate(symbols);
  if (!left || !right) return std::nullopt;
  if (factor.kind == DimExpression::FactorKind::max) return std::max(*left, *right);
  if (*right < 1) return std::nullopt;
  int64_t quotient = *left / *right;
  int64_t remainder = *left % *right;
  if (factor.kind == DimExpression::FactorKind::floor_div) return remainder < 0 ? quotient - 1 : quotient;
  return remainder > 0 ? quotient + 1 : quotient;
}

std::string factor_text(const DimExpression::Factor& factor, std::span<const std::string> symbol_names) {
  if (factor.kind == DimExpression::FactorKind::symbol) {
    return factor.symbol < symbol_names.size() ? symbol_names[factor.symbol] : "?";
  }
  auto operand = [&](const DimExpression& dim, bool bare) {
    std::string text = dim.text(symbol_names);
    return bare || dim.terms.size() <= 1 ? text : "(" + text + ")";
  };
  if (factor.kind == DimExpression::FactorKind::max) {
    return "max(" + operand(factor.operands[0], true) + ", " + operand(factor.operands[1], true) + ")";
  }
  return (factor.kind == DimExpression::FactorKind::floor_div ? "floor(" : "ceil(") +
         operand(factor.operands[0], false) + "/" + operand(factor.operands[1], false) + ")";
}

}  // namespace

std::optional<int64_t> DimExpression::evaluate(std::span<const int64_t> symbols) const {
  int64_t sum = 0;
  for (const Term& term : terms) {
    int64_t product = term.coefficient;
    for (const Factor& factor : term.factors) {
      std::optional<int64_t> value = evaluate_factor(factor, symbols);
      if (!value || __builtin_mul_overflow(product, *value, &product)) return std::nullopt;
    }
    if (__builtin_add_overflow(sum, product, &sum)) return std::nullopt;
  }
  return sum;
}

std::optional<uint32_t> DimExpression::as_symbol() const {
  if (terms.size() != 1 || terms[0].coefficient != 1 || terms[0].factors.size() != 1) return std::nullopt;
  const Factor& factor = terms[0].factors[0];
  if (factor.kind != FactorKind::symbol) return std::nullopt;
  return factor.symbol;
}

bool DimExpression::is_constant() const {
  return std::all_of(terms.begin(), terms.end(), [](const Term& term) { return term.factors.empty(); });
}

std::string DimExpression::text(std::span<const std::string> symbol_names) const {
  if (terms.empty()) return "0";
  std::string text;
  for (const Term& term : terms) {
    std::string coefficient = std::to_string(term.coefficient);
    if (!text.empty()) {
      text += term.coefficient < 0 ? " - " : " + ";
      if (term.coefficient < 0) coefficient.erase(0, 1);
    }
    bool written = term.factors.empty() || coefficient != "1";
    if (written) text += coefficient;
    for (const Factor& factor : term.factors) {
      if (written) text += "*";
      written = true;
      text += factor_text(factor, symbol_names);
    }
  }
  return text;
}

}  // namespace moru
