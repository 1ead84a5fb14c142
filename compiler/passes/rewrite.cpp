#include "compiler/passes/rewrite.h"

#include <algorithm>
#include <queue>

#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

std::vector<uint32_t> count_uses(const Graph& graph) {
  std::vector<uint32_t> uses(graph.types.size(), 0);
  for (const Node& node : graph.nodes)
    for (ValueId input : node.inputs)
      if (input != no_value) ++uses[input];
  for (const GraphResult& result : graph.results) ++uses[result.value];
  return uses;
}

const GraphResult* find_result(const Graph& graph, std::string_view slot) {
  const auto found = std::ranges::find(graph.results, slot, &GraphResult::slot);
  return found == graph.results.end() ? nullptr : &*found;
}

std::vector<uint32_t> find_producers(const Graph& graph) {
  std::vector<uint32_t> producers(graph.types.size(), UINT32_MAX);
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    for (ValueId output : graph.nodes[n].outputs) producers[output] = static_cast<uint32_t>(n);
  return producers;
}

void replace_uses(Graph& graph, const std::vector<ValueId>& replacement) {
  auto follow = [&](ValueId v) {
    while (v < replacement.size() && replacement[v] != v) v = replacement[v];
    return v;
  };
  for (Node& node : graph.nodes)
    for (ValueId& input : node.inputs)
      if (input != no_value) input = follow(input);
  for (GraphResult& result : graph.results) result.value = follow(result.value);
}

void sort_nodes(Graph& graph) {
  std::vector<uint32_t> producers = find_producers(graph);
  std::vector<uint32_t> waiting(graph.nodes.size(), 0);
  std::vector<std::vector<uint32_t>> consumers(graph.nodes.size());
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    for (ValueId input : graph.nodes[n].inputs)
      if (input != no_value && producers[input] != UINT32_MAX) {
        ++waiting[n];
        consumers[producers[input]].push_back(static_cast<uint32_t>(n));
      }
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ready;
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    if (waiting[n] == 0) ready.push(static_cast<uint32_t>(n));
  std::vector<Node> sorted;
  sorted.reserve(graph.nodes.size());
  while (!ready.empty()) {
    uint32_t n = ready.top();
    ready.pop();
    sorted.push_back(std::move(graph.nodes[n]));
    for (uint32_t consumer : consumers[n])
      if (--waiting[consumer] == 0) ready.push(consumer);
  }
  check_internal(sorted.size() == graph.nodes.size(), "a graph has a cycle");
  graph.nodes = std::move(sorted);
}

void for_each_graph(Graph& graph, const std::function<void(Graph&)>& pass) {
  for (Node& node : graph.nodes)
    for (Graph& body : node.bodies) for_each_graph(body, pass);
  pass(graph);
}

}  // namespace moru
