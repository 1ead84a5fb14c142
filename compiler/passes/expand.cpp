#include "compiler/passes/expand.h"

#include <algorithm>

#include "compiler/ir/builder.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

bool has_composites(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    return node.op->expand || std::any_of(node.bodies.begin(), node.bodies.end(), has_composites);
  });
}

void expand_node(const Node& node, const Graph& from, Graph& to, std::vector<ValueId>& value_of) {
  Builder builder(to, node.origin);
  std::vector<Value> inputs;
  for (ValueId input : node.inputs) inputs.push_back(input == no_value ? Value{} : builder.value(value_of[input]));
  const std::vector<Value> outputs = node.op->expand(builder, inputs, node.attributes);
  const std::string name(node.op->name);
  if (outputs.size() != node.outputs.size())
    throw InternalError("the expansion of '" + name + "' yields " + std::to_string(outputs.size()) + " values, not " +
                        std::to_string(node.outputs.size()));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ValueId output = node.outputs[i];
    if (outputs[i].type() != from.type(output))
      throw InternalError("the expansion of '" + name + "' yields a " + type_text(outputs[i].type()) + ", not a " +
                          type_text(from.type(output)));
    value_of[output] = outputs[i].id;
    if (to.names[outputs[i].id].empty()) to.names[outputs[i].id] = from.names[output];
  }
}

bool is_of_layers(OpFamily family) {
  switch (family) {
    case OpFamily::loss:
    case OpFamily::metric:
    case OpFamily::optimizer:
    case OpFamily::schedule:
    case OpFamily::constraint:
    case OpFamily::regularizer:
      return false;
    default:
      return true;
  }
}

/// A graph on its way, and whether each of its nodes computes what a layer does.
struct Expansion {
  Graph graph;
  std::vector<bool> is_layer;
};

// One round: composites are replaced by their expansions, which may hold composites again.
Expansion expand_once(const Expansion& before) {
  const Graph& from = before.graph;
  Expansion after;
  Graph& to = after.graph;
  to.name = from.name;
  std::vector<ValueId> value_of(from.types.size(), no_value);
  for (const GraphInput& input : from.inputs)
    value_of[input.value] = to.add_input(from.type(input.value), input.slot, from.names[input.value]);
  for (size_t n = 0; n < from.nodes.size(); ++n) {
    const Node& node = from.nodes[n];
    const bool is_layer = before.is_layer[n] && is_of_layers(node.op->family);
    if (node.op->expand) {
      expand_node(node, from, to, value_of);
    } else {
      Node copy = node;
      for (Graph& body : copy.bodies) body = expand(body);
      for (ValueId& input : copy.inputs)
        if (input != no_value) input = value_of[input];
      for (ValueId& output : copy.outputs) {
        const ValueId old = output;
        output = value_of[old] = to.add_value(from.type(old), from.names[old]);
      }
      to.nodes.push_back(std::move(copy));
    }
    after.is_layer.resize(to.nodes.size(), is_layer);
  }
  for (const GraphResult& result : from.results) to.add_result(value_of[result.value], result.slot);
  return after;
}

void set_precision(const Graph& graph, Node& node, const std::string& precision) {
  if (node.op->name == "contract" && graph.type(node.outputs[0]).dtype == DType::f32) node.attributes.set("precision", precision);
  for (Graph& body : node.bodies)
    for (Node& inner : body.nodes) set_precision(body, inner, precision);
}

}  // namespace

Graph expand(const Graph& graph, const ExpandOptions& options) {
  Expansion current{graph, std::vector<bool>(graph.nodes.size(), true)};
  while (has_composites(current.graph)) current = expand_once(current);
  for (size_t n = 0; n < current.graph.nodes.size() && !options.precision.empty(); ++n)
    if (current.is_layer[n]) set_precision(current.graph, current.graph.nodes[n], options.precision);
  return std::move(current.graph);
}

}  // namespace moru
