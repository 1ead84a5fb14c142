// What the files of activations share: the form of an elementwise one, and pieces of formulas.
#pragma once

#include <vector>

#include "compiler/ops/elementwise.h"

namespace moru {

/// An elementwise op that is an activation, with samples and extremes that suit most where it has none of its own.
Op activation(UnaryOp op);

// Elementwise, of values and of elements.

/// then_value where x > 0, else else_value (for NaN too).
Value where_positive(Value x, Value then_value, Value else_value);
/// then_value where low < x < high, else 0.
Value between(Value x, double low, double high, Value then_value);

Expr positive(const Expr& x);                       // x > 0, a boolean
Expr max0(const Expr& x);                           // max(x, 0); NaN of NaN
Expr clip(const Expr& x, double low, double high);  // min(max(x, low), high); NaN of NaN

/// Piecewise linear and quadratic activations.
void add_piecewise_activations(std::vector<Op>& ops);

}  // namespace moru
