// choose_layouts: brings contraction operands into the order in which the micro-kernels read them.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// - A reshape between a contraction and its operand or consumer is absorbed as further axes of the contraction, where
///   that spares a copy (Flatten in front of Dense reads the sequence as it lies).
/// - The operand that holds the result's last axis is packed (stored with that axis innermost) where it is not so
///   already: weights in W^T products. Inside a scan, an invariant operand is packed once, in front of the loop.
/// Needs expanded graphs after differentiation, hoisting and sinking; keeps values.
void choose_layouts(Graph& graph);

}  // namespace moru
