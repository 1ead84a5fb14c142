// expand: rewrites composite ops into simpler ones, again and again, until only primitives are left, so that gradients
// and lowering need to know primitives only.
#pragma once

#include <string>

#include "compiler/ir/graph.h"

namespace moru {

/// Multiplication in layers, and so in their gradients: "" as the operands are, "bf16" rounded to bf16 (the op
/// `contract`). Losses, metrics and penalties multiply as their operands are.
struct ExpandOptions {
  std::string precision;
};

/// The same graph with every node whose op has `expand` replaced, in bodies too. New nodes keep the origin of the node
/// they come from; results keep slots and names. Throws InternalError if an expansion does not yield the types
/// inferred.
Graph expand(const Graph& graph, const ExpandOptions& options = {});

}  // namespace moru
