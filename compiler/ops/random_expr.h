// The formula of philox.h as an expression of kernels, for drawing where the number is used.
#pragma once

#include <cstdint>

#include "compiler/ir/kernels.h"

namespace moru {

/// The f32 in [0, 1) of random_uniform (philox.h). `element`, `seed` and `step` are of type i64.
Expr random_uniform_expr(Expr element, Expr seed, Expr step, int64_t stream);

}  // namespace moru
