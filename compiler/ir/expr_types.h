// The types of kernel expressions, for those who build, parse and verify them.
#pragma once

#include <span>

#include "compiler/ir/kernels.h"

namespace moru {

/// How many arguments `op` takes.
size_t expr_arity(ExprOp op);

/// The type of `op` applied to `args`. For convert and bitcast `target` is the type wanted; elsewhere it is ignored,
/// except for leaves (constant, load, accumulator), where it is the result. Throws InternalError naming op and types.
DType expr_result_type(ExprOp op, std::span<const Expr> args, DType target);

/// True where both are the same tree: same ops, types, numbers bit by bit, dims and accesses.
bool equal_exprs(const Expr& a, const Expr& b);

}  // namespace moru
