// The symbols of sizes that graphs and attributes mention.
#pragma once

#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

/// Appends each name once.
void collect_symbols(const Attributes& attributes, std::vector<std::string>& names);
/// Those of what the nodes give and of their attributes, loops' bodies included.
void collect_symbols(const Graph& graph, std::vector<std::string>& names);

bool has_symbols(const Attributes& attributes);

}  // namespace moru
