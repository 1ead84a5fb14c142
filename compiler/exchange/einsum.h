// Einstein's summation convention, numpy's notation, as a graph of contractions.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compiler/ir/builder.h"

namespace moru {

/// One operand or several, from the left: "bij,bjk->bik". A label that stands twice in an operand is its diagonal; dots are the
/// axes that no label names, aligned at the right, and broadcast; without an arrow the result has the labels that stand once,
/// in the alphabet's order, behind the dots. Integers are computed in f64. `fail` throws what it is told of a wrong equation.
Value einsum(std::vector<Value> operands, std::string equation, const std::function<void(std::string)>& fail);

}  // namespace moru
