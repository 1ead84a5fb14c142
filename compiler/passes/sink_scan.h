// sink_scan: moves out of a loop, behind it, what nothing in the loop reads.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// - A carry that only gathers a sum, c' = c + contract(a, b) + ..., becomes one contraction over all time steps behind
/// the
///   loop, over the stacked a and b (an RNN's weight gradients); reduce_sum and other addends likewise.
/// - A stacked output that is a contraction nobody else reads is computed for all time steps behind the loop (the
/// gradient
///   that goes to the layer below).
/// Needs expanded graphs; keeps values up to the order of additions.
void sink_scan(Graph& graph);

}  // namespace moru
