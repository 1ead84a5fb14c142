// size_requirements: what must hold of the sizes that an entry meets, since nothing else sees it before it runs.
#pragma once

#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

/// `what` says in words what goes wrong where the expression is negative: "'/Slice' takes elements 0 to n of an axis of 8".
struct SizeRequirement {
  Dim not_negative;
  std::string what;
};

/// Of the graph's slices that may end outside of their axis at some sizes of the entry's inputs.
std::vector<SizeRequirement> find_size_requirements(const Graph& graph);

}  // namespace moru
