// expand: rewrites composite ops into simpler ones, again and again, until only primitives are left, so that gradients
// and lowering need to know primitives only.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// The same graph with every node whose op has `expand` replaced, in bodies too. New nodes keep the origin of the node
/// they come from; results keep slots and names. Throws InternalError if an expansion does not yield the types
/// inferred.
Graph expand(const Graph& graph);

}  // namespace moru
