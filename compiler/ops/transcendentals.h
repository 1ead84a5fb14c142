// Transcendental functions as kernel expressions: branch-free and built from fma, bit operations and selects only, so
// that they vectorise on every target, fuse into their consumers and give the same bits everywhere.
//
// Every function takes f32 and f64 (erf: f32 only) and throws InternalError for other types. The error of the f64 forms
// is below 1e-14, relative. The largest error of the f32 forms over all 2^32 inputs, denormal ones and denormal results
// included, against the f64 functions of the C library, in units in the last place (ulp) of the exact result:
//
//   exp 1.63   expm1 1.53   log 0.92   log1p 1.46   tanh 1.76
//   sigmoid 1.81   erf 1.42   softplus 2.34   rsqrt 1.50
//
// transcendentals_test.cpp holds these bounds on a sample, and on all inputs when it is asked to. Infinities and NaN
// are as in C. tanh, sigmoid and erf never leave [-1, 1] and [0, 1]; tanh is exactly odd. The coefficients come from
// fit_transcendentals.py.
#pragma once

#include "compiler/ir/kernels.h"

namespace moru {

Expr exp_expr(Expr x);
Expr expm1_expr(Expr x);  // exp(x) - 1
Expr log_expr(Expr x);
Expr log1p_expr(Expr x);  // log(1 + x)
Expr tanh_expr(Expr x);
Expr sigmoid_expr(Expr x);  // 1 / (1 + exp(-x)); results below 1.5 * 2^-127, which are denormal, may be 0
Expr erf_expr(Expr x);
Expr softplus_expr(Expr x);  // log(1 + exp(x))

/// x to the power y. Computed in f64: f32 results are within 1 ulp, whatever the operands, f64 results lose as many
/// bits as |y log(x)| has. Special cases are those of IEEE 754: x^0 = 1^y = 1, even for NaN; a negative x has powers
/// with whole y only, others are NaN; zeros and infinities keep the sign of x for odd y. About ten times the cost of
/// exp.
Expr pow_expr(Expr x, Expr y);

}  // namespace moru
