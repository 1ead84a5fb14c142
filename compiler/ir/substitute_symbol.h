// substitute_symbol: an expression in place of a symbol in all dimensions of types, attributes and graphs.
#pragma once

#include <string>

#include "compiler/ir/graph.h"

namespace moru {

void substitute_symbol(Type& type, const std::string& symbol, const Dim& by);
void substitute_symbol(Attributes& attributes, const std::string& symbol, const Dim& by);
void substitute_symbol(Graph& graph, const std::string& symbol, const Dim& by);  // loops' bodies too

}  // namespace moru
