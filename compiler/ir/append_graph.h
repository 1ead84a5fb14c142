// append_graph: puts the nodes of one graph into another, on values that are there already.
#pragma once

#include <span>
#include <vector>

#include "compiler/ir/builder.h"

namespace moru {

/// Appends the nodes of `graph` on `inputs`, one for each of its own; returns what its results become.
std::vector<Value> append_graph(Builder& builder, const Graph& graph, std::span<const Value> inputs);

}  // namespace moru
