#include "compiler/passes/prepare_weights.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/ir/symbols.h"
#include "compiler/ops/op.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/lowering.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

/// The entry `prepare` on its way. Equal values of several entries are one: they are known by what they say.
class Preparation {
 public:
  explicit Preparation(Module& module) : module_(module) { graph_.name = "prepare"; }

  /// The derived slot that holds a value of `from`, which is computed there from slots alone.
  std::string slot_of(const Graph& from, const std::vector<uint32_t>& producer, ValueId value) {
    const Copied copied = copy(from, producer, value);
    auto [slot, is_new] = slots_.try_emplace(copied.key);
    if (is_new) {
      slot->second = "prepared/" + from.nodes[producer[value]].origin + "/" + std::to_string(slots_.size());
      module_.slots.push_back({.name = slot->second, .kind = SlotKind::derived, .type = from.type(value)});
      graph_.add_result(copied.value, slot->second);
    }
    return slot->second;
  }

  void finish() {
    if (!slots_.empty()) module_.entries.push_back(std::move(graph_));
  }

 private:
  Module& module_;
  Graph graph_;
  struct Copied {
    std::string key;
    ValueId value = no_value;
  };
  std::map<std::string, std::vector<ValueId>> made_;  // outputs by the text of what computes them
  std::map<std::string, std::string> slots_;          // by a value's text

  Copied copy(const Graph& from, const std::vector<uint32_t>& producer, ValueId value) {
    if (producer[value] == UINT32_MAX) {
      const auto input = std::find_if(from.inputs.begin(), from.inputs.end(),
                                      [&](const GraphInput& each) { return each.value == value; });
      auto [known, is_new] = made_.try_emplace("slot " + input->slot);
      if (is_new) known->second = {graph_.add_input(from.type(value), input->slot, from.names[value])};
      return {known->first, known->second[0]};
    }
    Node node = from.nodes[producer[value]];
    std::string key(node.op->name);
    for (ValueId& operand : node.inputs) {
      if (operand == no_value) continue;
      const Copied copied = copy(from, producer, operand);
      key += " (" + copied.key + ")";
      operand = copied.value;
    }
    key += node.attributes.text();
    const auto output = static_cast<size_t>(std::find(node.outputs.begin(), node.outputs.end(), value) - node.outputs.begin());
    auto [known, is_new] = made_.try_emplace(key);
    if (is_new) {
      for (ValueId& made : node.outputs) {
        made = graph_.add_value(from.type(made), from.names[made]);
        known->second.push_back(made);
      }
      graph_.nodes.push_back(std::move(node));
    }
    return {key + "#" + std::to_string(output), known->second[output]};
  }
};

/// Which values of an entry are known before it runs.
struct Known {
  std::vector<bool> is_known, reads_slots;

  Known(const Module& module, const Graph& graph) : is_known(graph.types.size()), reads_slots(graph.types.size()) {
    std::set<std::string_view> written;
    for (const GraphResult& result : graph.results) written.insert(result.slot);
    for (const GraphInput& input : graph.inputs) {
      const Slot* slot = module.find_slot(input.slot);
      const bool is_weight = slot && (slot->kind == SlotKind::parameter || slot->kind == SlotKind::layer_state);
      is_known[input.value] = reads_slots[input.value] = is_weight && !written.count(input.slot);
    }
    for (const Node& node : graph.nodes) {
      bool known = node.bodies.empty() && node.op->family != OpFamily::random &&
                   (!node.inputs.empty() || lowering::is_constant(*node.op)) && !has_symbols(node.attributes);
      bool reads = false;
      for (ValueId input : node.inputs) {
        if (input == no_value) continue;
        known &= is_known[input];
        reads |= reads_slots[input];
      }
      for (ValueId output : node.outputs) known &= is_constant(graph.type(output).shape);
      for (ValueId output : node.outputs) {
        is_known[output] = known;
        reads_slots[output] = known && reads;
      }
    }
  }
};

void prepare_entry(const Module& module, Graph& graph, Preparation& preparation) {
  const Known known(module, graph);
  const std::vector<uint32_t> producer = find_producers(graph);
  std::map<ValueId, std::string> wanted;  // values that become slots
  const auto want = [&](ValueId value) {
    if (value == no_value || !known.reads_slots[value]) return;
    while (producer[value] != UINT32_MAX && lowering::is_view(*graph.nodes[producer[value]].op))
      value = graph.nodes[producer[value]].inputs[0];
    if (producer[value] != UINT32_MAX) wanted.try_emplace(value);
  };
  for (const Node& node : graph.nodes)
    if (!known.is_known[node.outputs[0]])
      for (ValueId input : node.inputs) want(input);
  for (const GraphResult& result : graph.results) want(result.value);
  if (wanted.empty()) return;
  for (auto& [value, slot] : wanted) slot = preparation.slot_of(graph, producer, value);

  std::vector<ValueId> replacement(graph.types.size());
  for (ValueId v = 0; v < replacement.size(); ++v) replacement[v] = v;
  for (const auto& [value, slot] : wanted) replacement[value] = graph.add_input(graph.type(value), slot, graph.names[value]);
  replace_uses(graph, replacement);
  drop_dead(graph);
}

}  // namespace

void prepare_weights(Module& module) {
  Preparation preparation(module);
  for (Graph& graph : module.entries)
    if (graph.name == "predict" || graph.name == "evaluate") prepare_entry(module, graph, preparation);
  preparation.finish();
}

}  // namespace moru
