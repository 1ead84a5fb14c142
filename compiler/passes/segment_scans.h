// segment_scans: back-propagation through time with checkpoints: less memory for one more forward pass.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Every scan whose number of steps T is a constant with a divisor other than 1 and itself becomes a
/// scan over segments, whose body scans a segment. The outer one is marked `recompute`: differentiate keeps nothing of it
/// but the carries at the beginnings of segments and runs a segment again before it goes backwards through it (Chen et
/// al., "Training Deep Nets with Sublinear Memory Cost", 2016). Segments have about sqrt(T) steps. Keeps every value and,
/// as the same operations are computed again, every gradient bit for bit, but for the order in which a parameter's gradient
/// is summed over time. Where nothing is differentiated, what was hoisted out of the loop is made segment by segment. Needs
/// scans that have not been differentiated.
void segment_scans(Graph& graph);

}  // namespace moru
