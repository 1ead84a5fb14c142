// Gradient of ai.onnx.preview.training: the nodes between its xs and its y once more, in one body, differentiated.
#include <algorithm>
#include <set>

#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/ir/append_graph.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/expand.h"

namespace moru {

namespace {

// The sum of y's elements and its derivatives after the first `count` inputs, as results of `graph` in place of y.
Graph derivatives_of(Graph graph, size_t count) {
  Builder b(graph);
  const Value y = b.value(graph.results.at(0).value);
  std::vector<int64_t> axes;
  for (size_t axis = 0; axis < y.rank(); ++axis) axes.push_back(static_cast<int64_t>(axis));
  graph.results[0].value = b.reduce("reduce_sum", y, axes).id;
  Graph expanded = expand(graph);
  std::vector<ValueId> wanted;
  for (size_t i = 0; i < count; ++i) wanted.push_back(expanded.inputs[i].value);
  const std::vector<ValueId> gradients = append_gradients(expanded, expanded.results[0].value, wanted);
  expanded.results.clear();
  for (ValueId gradient : gradients) expanded.add_result(gradient);
  return expanded;
}

}  // namespace

void OnnxGraph::build_gradient(OnnxNode& node, const Scope& scope) {
  auto find = [&](const std::string& name) {
    const auto found = scope.find(name);
    if (found == scope.end()) node.fail("names '" + name + "', which no node before it makes");
    return found->second;
  };
  const std::vector<std::string> xs = node.strings("xs"), zs = node.strings("zs");
  if (node.inputs() != xs.size() + zs.size())
    node.fail("needs one input for each of its xs and zs but got " + std::to_string(node.inputs()));
  const uint32_t y = find(node.string("y"));

  Graph forward;
  Builder b(forward);
  std::vector<moru::Value> outside;  // what the inputs of `forward` are in the node's body
  std::map<uint32_t, moru::Value> made;
  auto add_input = [&](moru::Value value) {
    outside.push_back(value);
    return b.input(value.type());
  };
  std::vector<bool> depends(values_.size(), false);
  for (size_t i = 0; i < node.inputs(); ++i) {
    const uint32_t id = find(i < xs.size() ? xs[i] : zs[i - xs.size()]);
    made[id] = add_input(node.raw(i));
    depends[id] = true;
  }
  // Values are numbered in the order in which they are made.
  for (uint32_t id = 0; id < values_.size(); ++id) {
    if (values_[id].step < 0 || made.count(id)) continue;
    const Step& step = steps_[static_cast<size_t>(values_[id].step)];
    depends[id] = std::any_of(step.tensors.begin(), step.tensors.end(), [&](uint32_t tensor) { return depends[tensor]; });
  }
  std::set<uint32_t> needed;
  std::vector<uint32_t> open = {y};
  while (!open.empty()) {
    const uint32_t id = open.back();
    open.pop_back();
    if (made.count(id) || !needed.insert(id).second || !depends[id]) continue;
    const Step& step = steps_[static_cast<size_t>(values_[id].step)];
    open.insert(open.end(), step.tensors.begin(), step.tensors.end());
  }
  std::map<int64_t, std::vector<moru::Value>> results;  // by step
  for (uint32_t id : needed) {
    if (!depends[id]) {
      made[id] = add_input(node.read(id));
      continue;
    }
    const Step& step = steps_[static_cast<size_t>(values_[id].step)];
    std::vector<moru::Value>& outputs = results[values_[id].step];
    if (outputs.empty()) {
      std::vector<moru::Value> inputs;
      for (uint32_t tensor : step.tensors) inputs.push_back(made.at(tensor));
      for (const Parameter& parameter : step.parameters)
        inputs.push_back(add_input(node.table(known_of(parameter.dtype, parameter.shape, parameter.bytes()))));
      outputs = append_graph(b, *step.body, inputs);
    }
    made[id] = outputs.at(values_[id].output);
  }
  if (!is_float(made.at(y).type().dtype)) node.fail("cannot differentiate '" + values_[y].name + "', which is no float");
  b.result(made.at(y));
  const std::vector<moru::Value> gradients =
      append_graph(node.builder(), derivatives_of(std::move(forward), xs.size()), outside);
  for (size_t i = 0; i < gradients.size(); ++i) node.set_as(i, gradients[i], node.dtype(i));
}

}  // namespace moru
