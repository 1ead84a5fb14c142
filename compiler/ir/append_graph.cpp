#include "compiler/ir/append_graph.h"

#include "compiler/ops/op.h"

namespace moru {

std::vector<Value> append_graph(Builder& builder, const Graph& graph, std::span<const Value> inputs) {
  std::vector<Value> values(graph.types.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i) values[graph.inputs[i].value] = inputs[i];
  for (const Node& node : graph.nodes) {
    std::vector<Value> given;
    for (ValueId input : node.inputs) given.push_back(input == no_value ? Value{} : values[input]);
    const std::vector<Value> outputs = builder.call_all(node.op->name, given, node.attributes, node.bodies);
    for (size_t i = 0; i < outputs.size(); ++i) values[node.outputs[i]] = outputs[i];
  }
  std::vector<Value> results;
  for (const GraphResult& result : graph.results) results.push_back(values[result.value]);
  return results;
}

}  // namespace moru
