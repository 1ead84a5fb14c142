// prepare_weights: what prediction computes from weights alone is computed once, by an entry of its own.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Values that `predict` and `evaluate` compute from parameters, and from layer state that the entry does not change,
/// become derived slots, which a new entry `prepare` writes: packed and narrowed weights, scales of normalizations. Views
/// of them stay where they are. The runtime runs `prepare` before the next prediction whenever parameters have changed.
/// Values are kept, and an entry is added only where there is something to prepare. Needs expanded graphs with their
/// layouts chosen.
void prepare_weights(Module& module);

}  // namespace moru
