// Transcendental functions as kernel expressions: branch-free and built from fma, bit operations and selects only, so
// that they vectorise on every target, fuse into their consumers and give the same bits everywhere.
#pragma once

#include "compiler/ir/kernels.h"

namespace moru {

Expr exp_expr(Expr x);
Expr expm1_expr(Expr x);
Expr log_expr(Expr x);
Expr log1p_expr(Expr x);
Expr tanh_expr(Expr x);
Expr sigmoid_expr(Expr x);
Expr erf_expr(Expr x);
Expr softplus_expr(Expr x);  // log(1 + exp(x))
Expr rsqrt_expr(Expr x);     // 1 / sqrt(x), two roundings
Expr pow_expr(Expr x, Expr y);

}  // namespace moru
