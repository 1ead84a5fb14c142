#include "compiler/ir/inline_graph.h"

#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

std::vector<Value> inline_graph(Builder& builder, const Graph& body, std::span<const Value> inputs) {
  check_internal(inputs.size() == body.inputs.size(), "a graph needs as many values as it has inputs");
  std::vector<Value> values(body.types.size());
  for (size_t i = 0; i < inputs.size(); ++i) values[body.inputs[i].value] = inputs[i];
  for (const Node& node : body.nodes) {
    std::vector<Value> operands;
    for (ValueId input : node.inputs) operands.push_back(input == no_value ? Value{} : values[input]);
    const std::vector<Value> outputs = builder.call_all(node.op->name, operands, node.attributes, node.bodies);
    for (size_t i = 0; i < outputs.size(); ++i) values[node.outputs[i]] = outputs[i];
  }
  std::vector<Value> results;
  for (const GraphResult& result : body.results) results.push_back(values[result.value]);
  return results;
}

}  // namespace moru
