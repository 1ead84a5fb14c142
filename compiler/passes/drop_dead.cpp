#include "compiler/passes/drop_dead.h"

#include <algorithm>

#include "compiler/ir/scan_view.h"
#include "compiler/ir/symbols.h"
#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

void remove_unread_nodes(Graph& graph) {
  std::vector<uint32_t> uses = count_uses(graph);
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    Node& node = graph.nodes[n];
    bool read = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return uses[v] > 0; });
    if (read) continue;
    for (ValueId input : node.inputs)
      if (input != no_value) --uses[input];
    node.op = nullptr;
  }
  std::erase_if(graph.nodes, [](const Node& node) { return node.op == nullptr; });
}

namespace {

// Values of a body that its results from `roots` depend on.
std::vector<bool> reachable(const Graph& body, const std::vector<ValueId>& roots) {
  std::vector<bool> live(body.types.size(), false);
  for (ValueId root : roots) live[root] = true;
  for (size_t n = body.nodes.size(); n-- > 0;) {
    const Node& node = body.nodes[n];
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return live[v]; })) continue;
    for (ValueId input : node.inputs)
      if (input != no_value) live[input] = true;
  }
  return live;
}

template <typename T>
std::vector<T> keep(const std::vector<T>& all, const std::vector<bool>& kept) {
  std::vector<T> out;
  for (size_t i = 0; i < all.size(); ++i)
    if (kept[i]) out.push_back(all[i]);
  return out;
}

void shrink_scan(Node& node, const std::vector<uint32_t>& uses) {
  ScanView scan(node);
  Graph& body = node.bodies[0];
  // A carry lives if its final value is read or something living depends on it.
  std::vector<bool> carry_live(scan.carries), stack_live(scan.stacks);
  for (size_t i = 0; i < scan.carries; ++i) carry_live[i] = uses[node.outputs[i]] > 0;
  for (size_t k = 0; k < scan.stacks; ++k) stack_live[k] = uses[node.outputs[scan.carries + k]] > 0;
  std::vector<bool> live;
  for (bool changed = true; changed;) {
    std::vector<ValueId> roots;
    for (size_t i = 0; i < scan.carries; ++i)
      if (carry_live[i]) roots.push_back(body.results[i].value);
    for (size_t k = 0; k < scan.stacks; ++k)
      if (stack_live[k]) roots.push_back(body.results[scan.carries + k].value);
    live = reachable(body, roots);
    changed = false;
    for (size_t i = 0; i < scan.carries; ++i)
      if (!carry_live[i] && live[body.inputs[i].value]) carry_live[i] = changed = true;
  }
  std::vector<bool> operand_live(node.inputs.size()), output_live(node.outputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i)
    operand_live[i] =
        i < scan.carries ? static_cast<bool>(carry_live[i]) : static_cast<bool>(live[body.inputs[i].value]);
  // The trip count comes from a sequence: keep one.
  bool any_sequence = false;
  for (size_t i = 0; i < scan.sequences; ++i) any_sequence |= operand_live[scan.carries + i];
  if (scan.sequences > 0 && !any_sequence) operand_live[scan.carries] = true;
  for (size_t i = 0; i < scan.carries; ++i) output_live[i] = carry_live[i];
  for (size_t k = 0; k < scan.stacks; ++k) output_live[scan.carries + k] = stack_live[k];
  std::vector<int64_t> axes, output_axes;
  for (size_t i = 0; i < scan.sequences; ++i)
    if (operand_live[scan.carries + i]) axes.push_back(scan.axes[i]);
  for (size_t k = 0; k < scan.stacks; ++k)
    if (stack_live[k]) output_axes.push_back(scan.output_axes[k]);
  node.inputs = keep(node.inputs, operand_live);
  node.outputs = keep(node.outputs, output_live);
  body.inputs = keep(body.inputs, operand_live);
  body.results = keep(body.results, output_live);
  node.attributes.set("carries", static_cast<int64_t>(std::count(carry_live.begin(), carry_live.end(), true)));
  node.attributes.set("sequences", static_cast<int64_t>(axes.size()));
  node.attributes.set("axes", axes);
  node.attributes.set("output_axes", output_axes);
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// An input that nobody reads stays where it alone tells a size.
void drop_unread_inputs(Graph& graph) {
  const std::vector<uint32_t> uses = count_uses(graph);
  std::vector<std::string> told, needed;
  const auto tells_more = [&](const GraphInput& input) {
    const size_t before = told.size();
    for (const Dim& dim : graph.types[input.value].shape)
      if (const std::optional<std::string> symbol = dim.as_symbol(); symbol && contains(needed, *symbol) && !contains(told, *symbol))
        told.push_back(*symbol);
    return told.size() > before;
  };
  collect_symbols(graph, needed);
  for (const GraphInput& input : graph.inputs)
    if (uses[input.value] > 0) tells_more(input);
  std::erase_if(graph.inputs, [&](const GraphInput& input) { return uses[input.value] == 0 && !tells_more(input); });
}

void drop(Graph& graph, bool is_body) {
  remove_unread_nodes(graph);
  // Outer nodes first: what they stop reading from a body makes more of it dead.
  std::vector<uint32_t> uses = count_uses(graph);
  for (Node& node : graph.nodes) {
    if (node.op->name == "scan") shrink_scan(node, uses);
    for (Graph& body : node.bodies) drop(body, true);
  }
  remove_unread_nodes(graph);
  if (!is_body) drop_unread_inputs(graph);
}

}  // namespace

void drop_dead(Graph& graph) { drop(graph, false); }

}  // namespace moru
