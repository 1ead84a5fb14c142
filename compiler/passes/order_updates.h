// order_updates: readers of a state's old value come before what computes its new one, so that it is replaced in place.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Nodes that serve nothing but the new values of some states (a weight's gradient and its update) move behind every
/// other node that reads the old ones (the gradient that goes to the layer below), as far as there is such an order.
/// Otherwise the old order stays. Keeps values: nodes of a graph have no order but that of their values.
void order_updates(Graph& graph);

}  // namespace moru
