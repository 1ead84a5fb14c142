// drop_dead: removes what nobody reads.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Removes nodes whose outputs are not read, unread stacked outputs, unread sequences and invariants of scans, unread
/// tile operands, carries that only feed themselves, and inputs of entries that are neither read nor the only ones to
/// tell a size that is still computed with. Inputs of bodies stay in step with their node's operands.
void drop_dead(Graph& graph);

/// Only removes nodes whose outputs are not read, in this graph alone.
void remove_unread_nodes(Graph& graph);

}  // namespace moru
