// rewrite: the small tools that graph passes share.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

/// How often each value is read, by nodes (not counting their bodies' insides) and results.
std::vector<uint32_t> count_uses(const Graph& graph);

/// The index of the node that defines each value; UINT32_MAX for inputs.
std::vector<uint32_t> find_producers(const Graph& graph);

/// What the graph writes to a slot, nullptr if nothing.
const GraphResult* find_result(const Graph& graph, std::string_view slot);

/// Replaces reads of values by other values, in nodes and results: `replacement[v]` where it is not v.
void replace_uses(Graph& graph, const std::vector<ValueId>& replacement);

/// Orders nodes so that definitions come before uses, keeping the present order where it can. Throws InternalError on a
/// cycle.
void sort_nodes(Graph& graph);

/// Applies `pass` to every body inside, innermost first, then to the graph itself.
void for_each_graph(Graph& graph, const std::function<void(Graph&)>& pass);

}  // namespace moru
