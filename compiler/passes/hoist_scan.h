// hoist_scan: moves out of a loop, ahead of it, what does not depend on the carry.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// A contraction of a sequence's slice with an invariant becomes one contraction over all time steps (an RNN's input
/// projection), and what is added to it follows it out. Nodes that depend on invariants alone move out as they are.
/// Needs expanded graphs; keeps values.
void hoist_scan(Graph& graph);

}  // namespace moru
