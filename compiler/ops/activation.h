// What the files of activations share: the form of an elementwise one, and pieces of formulas.
#pragma once

#include <vector>

#include "compiler/ops/elementwise.h"

namespace moru {

/// An elementwise activation with samples and extremes; the formulas are still to be set.
UnaryOp activation(std::string_view name, std::string_view doc);

Value where_positive(Value x, Value then_value, Value else_value);
/// then_value where low < x < high, else 0.
Value between(Value x, double low, double high, Value then_value);

Expr positive(const Expr& x);
Expr max0(const Expr& x);
Expr clip(const Expr& x, double low, double high);

/// Piecewise linear and quadratic activations.
void add_piecewise_activations(std::vector<Op>& ops);

}  // namespace moru
