#include "compiler/passes/order_updates.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

/// Whom a node serves: a bit for each state that it contributes to, and the last bit for everything else.
using Serves = std::vector<bool>;

bool is_within(const Serves& a, const Serves& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] && !b[i]) return false;
  return true;
}

}  // namespace

void order_updates(Graph& graph) {
  std::map<std::string, ValueId> old_value;
  for (const GraphInput& input : graph.inputs) old_value[input.slot] = input.value;
  std::vector<ValueId> states;  // old values of the states that the graph replaces
  std::vector<Serves> by_value(graph.types.size());
  std::vector<std::pair<ValueId, size_t>> ends;
  constexpr size_t elsewhere = SIZE_MAX;
  for (const GraphResult& result : graph.results) {
    auto old = old_value.find(result.slot);
    ends.emplace_back(result.value, old == old_value.end() ? elsewhere : states.size());
    if (old != old_value.end()) states.push_back(old->second);
  }
  if (states.empty()) return;
  for (Serves& serves : by_value) serves.assign(states.size() + 1, false);
  for (const auto& [value, state] : ends) by_value[value][state == elsewhere ? states.size() : state] = true;

  std::vector<Serves> by_node(graph.nodes.size(), Serves(states.size() + 1, false));
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    for (ValueId output : graph.nodes[n].outputs)
      for (size_t i = 0; i <= states.size(); ++i)
        if (by_value[output][i]) by_node[n][i] = true;
    for (ValueId input : graph.nodes[n].inputs)
      if (input != no_value)
        for (size_t i = 0; i <= states.size(); ++i)
          if (by_node[n][i]) by_value[input][i] = true;
  }
  std::map<ValueId, std::vector<size_t>> readers;
  for (size_t n = 0; n < graph.nodes.size(); ++n)
    for (ValueId input : graph.nodes[n].inputs) readers[input].push_back(n);
  // Who reads a transposed copy reads the state: the copy may be made piece by piece, where it is read.
  for (ValueId state : states) {
    const std::vector<size_t> direct = readers[state];
    for (size_t n : direct) {
      if (graph.nodes[n].op->name != "pack") continue;
      const std::vector<size_t>& indirect = readers[graph.nodes[n].outputs[0]];
      readers[state].insert(readers[state].end(), indirect.begin(), indirect.end());
    }
  }

  const std::vector<uint32_t> producers = find_producers(graph);
  std::vector<std::set<size_t>> first(graph.nodes.size()), wanted(graph.nodes.size());  // what must, and should, precede
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId input : graph.nodes[n].inputs)
      if (input != no_value && producers[input] != UINT32_MAX) first[n].insert(producers[input]);
    if (by_node[n].back()) continue;
    for (size_t state = 0; state < states.size(); ++state) {
      if (!by_node[n][state]) continue;
      for (size_t reader : readers[states[state]])
        if (!is_within(by_node[reader], by_node[n])) wanted[n].insert(reader);
    }
  }
  std::vector<bool> placed(graph.nodes.size(), false);
  std::vector<Node> ordered;
  auto all_placed = [&](const std::set<size_t>& nodes) {
    return std::all_of(nodes.begin(), nodes.end(), [&](size_t n) { return placed[n]; });
  };
  while (ordered.size() < graph.nodes.size()) {
    size_t next = graph.nodes.size();
    for (bool strict : {true, false}) {
      for (size_t n = 0; n < graph.nodes.size() && next == graph.nodes.size(); ++n)
        if (!placed[n] && all_placed(first[n]) && (!strict || all_placed(wanted[n]))) next = n;
      if (next < graph.nodes.size()) break;
    }
    placed[next] = true;
    ordered.push_back(graph.nodes[next]);
  }
  graph.nodes = std::move(ordered);
}

}  // namespace moru
