#include "compiler/codegen/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

namespace moru {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Bounds anything = {-infinity, infinity};

// Rounding to f32 may carry a result across the exact bound by half an ulp.
Bounds widened(double low, double high) {
  if (std::isnan(low) || std::isnan(high)) return anything;
  return {low - std::abs(low) * 1e-6 - 1e-37, high + std::abs(high) * 1e-6 + 1e-37};
}

Bounds product(Bounds a, Bounds b) {
  const double corners[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
  for (double corner : corners) {
    if (std::isnan(corner)) return anything;
  }
  return widened(*std::min_element(corners, corners + 4), *std::max_element(corners, corners + 4));
}

using Known = std::unordered_map<const ExprNode*, Bounds>;

Bounds bounds_of(const Expr& expr, int depth, Known& known);

Bounds derive_bounds(const Expr& expr, int depth, Known& known) {
  const auto argument = [&](size_t index) { return bounds_of(expr->args[index], depth - 1, known); };
  switch (expr->op) {
    case ExprOp::constant: return std::isnan(expr->number) ? anything : Bounds{expr->number, expr->number};
    case ExprOp::add: {
      const Bounds a = argument(0), b = argument(1);
      return widened(a.low + b.low, a.high + b.high);
    }
    case ExprOp::sub: {
      const Bounds a = argument(0), b = argument(1);
      return widened(a.low - b.high, a.high - b.low);
    }
    case ExprOp::mul: return product(argument(0), argument(1));
    case ExprOp::fma: {
      const Bounds p = product(argument(0), argument(1)), c = argument(2);
      return widened(p.low + c.low, p.high + c.high);
    }
    case ExprOp::min: {
      const Bounds a = argument(0), b = argument(1);
      return {std::min(a.low, b.low), std::min(a.high, b.high)};
    }
    case ExprOp::max: {
      const Bounds a = argument(0), b = argument(1);
      return {std::max(a.low, b.low), std::max(a.high, b.high)};
    }
    case ExprOp::neg: {
      const Bounds a = argument(0);
      return {-a.high, -a.low};
    }
    case ExprOp::abs: {
      const Bounds a = argument(0);
      return {0.0, std::max(std::abs(a.low), std::abs(a.high))};
    }
    case ExprOp::round:
    case ExprOp::floor:
    case ExprOp::ceil: {
      const Bounds a = argument(0);
      return {std::floor(a.low), std::ceil(a.high)};
    }
    case ExprOp::select: {
      const Bounds a = argument(1), b = argument(2);
      return {std::min(a.low, b.low), std::max(a.high, b.high)};
    }
    case ExprOp::convert: {
      const DType from = expr->args[0]->type;
      if (from == DType::boolean) return {0.0, 1.0};
      if (from == DType::i32) return {-2147483648.0, 2147483648.0};
      if (is_float(from)) {
        const Bounds a = argument(0);
        return widened(a.low, a.high);
      }
      return anything;
    }
    default: return anything;
  }
}

// Not deeper than what transcendentals need; shared parts are looked at once.
Bounds bounds_of(const Expr& expr, int depth, Known& known) {
  if (depth == 0) return anything;
  if (const auto found = known.find(expr.get()); found != known.end()) return found->second;
  return known[expr.get()] = derive_bounds(expr, depth, known);
}

}  // namespace

Bounds float_bounds(const Expr& expr) {
  Known known;
  return bounds_of(expr, 10, known);
}

}  // namespace moru
