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

// One round: composites are replaced by their expansions, which may hold composites again.
Graph expand_once(const Graph& from) {
  Graph to;
  to.name = from.name;
  std::vector<ValueId> value_of(from.types.size(), no_value);
  for (const GraphInput& input : from.inputs)
    value_of[input.value] = to.add_input(from.type(input.value), input.slot, from.names[input.value]);
  for (const Node& node : from.nodes) {
    if (node.op->expand) {
      expand_node(node, from, to, value_of);
      continue;
    }
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
  for (const GraphResult& result : from.results) to.add_result(value_of[result.value], result.slot);
  return to;
}

}  // namespace

Graph expand(const Graph& graph) {
  Graph current = graph;
  while (has_composites(current)) current = expand_once(current);
  return current;
}

}  // namespace moru
