// inline_graph: a graph's nodes appended to another one, in place of a call.
#pragma once

#include <span>
#include <vector>

#include "compiler/ir/builder.h"

namespace moru {

/// Appends the nodes of `body` with `inputs` in place of its inputs, in their order, and returns its results. Types are
/// inferred anew, so that the inputs' extents may differ from those that `body` declares.
std::vector<Value> inline_graph(Builder& builder, const Graph& body, std::span<const Value> inputs);

}  // namespace moru
