#include "compiler/ir/graph.h"

#include <algorithm>

#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

std::string type_text(const Type& type) { return std::string(dtype_name(type.dtype)) + shape_text(type.shape); }

ValueId Graph::add_value(Type type, std::string value_name) {
  types.push_back(std::move(type));
  names.push_back(std::move(value_name));
  return static_cast<ValueId>(types.size() - 1);
}

ValueId Graph::add_input(Type type, std::string slot, std::string value_name) {
  ValueId id = add_value(std::move(type), std::move(value_name));
  inputs.push_back({id, std::move(slot)});
  return id;
}

const Slot* Module::find_slot(std::string_view name) const {
  auto found = std::find_if(slots.begin(), slots.end(), [&](const Slot& slot) { return slot.name == name; });
  return found == slots.end() ? nullptr : &*found;
}

const Graph* Module::find_entry(std::string_view name) const {
  auto found = std::find_if(entries.begin(), entries.end(), [&](const Graph& graph) { return graph.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

namespace {

[[noreturn]] void broken(const Graph& graph, const std::string& what, std::string_view after) {
  throw InternalError("graph '" + graph.name + "' is wrong after " + std::string(after) + ": " + what);
}

void verify(const Graph& graph, std::string_view after) {
  std::vector<bool> defined(graph.types.size(), false);
  auto define = [&](ValueId value, const std::string& where) {
    if (value >= graph.types.size()) broken(graph, where + " defines a value that does not exist", after);
    if (defined[value]) broken(graph, where + " defines %" + std::to_string(value) + " again", after);
    defined[value] = true;
  };
  for (const GraphInput& input : graph.inputs) define(input.value, "an input");
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    std::string where = "node " + std::to_string(n) + " (" + std::string(node.op ? node.op->name : "?") +
                        (node.origin.empty() ? "" : ", " + node.origin) + ")";
    if (!node.op) broken(graph, where + " has no op", after);
    std::vector<Type> types;
    std::vector<char> present;
    for (ValueId input : node.inputs) {
      if (input != no_value && (input >= defined.size() || !defined[input]))
        broken(graph, where + " uses %" + std::to_string(input) + " before its definition", after);
      types.push_back(input == no_value ? Type{} : graph.types[input]);
      present.push_back(input != no_value);
    }
    for (const Graph& body : node.bodies) verify(body, after);
    std::vector<Type> inferred;
    try {
      inferred = infer_node(*node.op, types, {reinterpret_cast<const bool*>(present.data()), present.size()},
                            node.attributes, node.bodies, node.origin);
    } catch (const CompileError& error) {
      broken(graph, where + ": " + error.what(), after);
    }
    if (inferred.size() != node.outputs.size()) broken(graph, where + " has the wrong number of outputs", after);
    for (size_t i = 0; i < inferred.size(); ++i) {
      define(node.outputs[i], where);
      if (!(inferred[i] == graph.types[node.outputs[i]]))
        broken(graph,
               where + " output " + std::to_string(i) + " is " + type_text(graph.types[node.outputs[i]]) +
                   " but should be " + type_text(inferred[i]),
               after);
    }
  }
  for (const GraphResult& result : graph.results)
    if (result.value >= defined.size() || !defined[result.value])
      broken(graph, "result '" + result.slot + "' is not defined", after);
}

}  // namespace

void verify_graph(const Graph& graph, std::string_view after) { verify(graph, after); }

void verify_module(const Module& module, std::string_view after) {
  for (const Graph& graph : module.entries) {
    verify(graph, after);
    for (const GraphInput& input : graph.inputs) {
      const Slot* slot = module.find_slot(input.slot);
      if (!slot) broken(graph, "input reads slot '" + input.slot + "', which does not exist", after);
      if (!(slot->type == graph.types[input.value]))
        broken(graph,
               "input '" + input.slot + "' is " + type_text(graph.types[input.value]) + " but the slot is " +
                   type_text(slot->type),
               after);
    }
    std::vector<std::string> written;
    for (const GraphResult& result : graph.results) {
      const Slot* slot = module.find_slot(result.slot);
      if (!slot) broken(graph, "result writes slot '" + result.slot + "', which does not exist", after);
      if (!(slot->type == graph.types[result.value]))
        broken(graph,
               "result '" + result.slot + "' is " + type_text(graph.types[result.value]) + " but the slot is " +
                   type_text(slot->type),
               after);
      if (std::find(written.begin(), written.end(), result.slot) != written.end())
        broken(graph, "slot '" + result.slot + "' is written twice", after);
      written.push_back(result.slot);
    }
  }
}

}  // namespace moru
