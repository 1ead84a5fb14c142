// choose_residuals: what a forward scan keeps for the backward scan, and what that one computes again.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// True if the outputs of a forward body's node are kept (stacked over time): contractions, transcendentals, reductions
/// and nested scans, which cost more than a load. Cheap arithmetic and views are computed again.
/// Carries and sequences are kept in any case; what nobody reads is dropped later.
bool is_residual(const Node& node);

}  // namespace moru
