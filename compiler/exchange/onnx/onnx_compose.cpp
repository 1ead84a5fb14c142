// One graph out of several translated nodes: what Gradient differentiates and what loops repeat.
#include <algorithm>
#include <set>

#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/ir/append_graph.h"

namespace moru {

OnnxGraph::Composition OnnxGraph::compose(OnnxNode& node, const std::vector<uint32_t>& sources,
                                          const std::vector<Type>& types, const std::vector<uint32_t>& results) {
  Composition composition;
  Builder b(composition.graph);
  std::map<uint32_t, moru::Value> made;
  std::vector<bool> depends(values_.size(), false);
  for (size_t i = 0; i < sources.size(); ++i) {
    made[sources[i]] = b.input(types[i]);
    depends[sources[i]] = true;
  }
  auto add_input = [&](moru::Value value) {
    composition.outside.push_back(value);
    return b.input(value.type());
  };
  // Values are numbered in the order in which they are made.
  for (uint32_t id = 0; id < values_.size(); ++id) {
    if (values_[id].step < 0 || made.count(id)) continue;
    const Step& step = steps_[static_cast<size_t>(values_[id].step)];
    depends[id] =
        std::any_of(step.tensors.begin(), step.tensors.end(), [&](uint32_t tensor) { return depends[tensor]; });
  }
  std::set<uint32_t> needed;
  std::vector<uint32_t> open = results;
  while (!open.empty()) {
    const uint32_t id = open.back();
    open.pop_back();
    if (made.count(id) || !needed.insert(id).second || !depends[id]) continue;
    const Step& step = steps_[static_cast<size_t>(values_[id].step)];
    open.insert(open.end(), step.tensors.begin(), step.tensors.end());
  }
  std::map<int64_t, std::vector<moru::Value>> outputs;  // by step
  for (uint32_t id : needed) {
    if (!depends[id]) {
      made[id] = add_input(node.read(id));
      continue;
    }
    const Step& step = steps_[static_cast<size_t>(values_[id].step)];
    std::vector<moru::Value>& made_here = outputs[values_[id].step];
    if (made_here.empty()) {
      std::vector<moru::Value> inputs;
      for (uint32_t tensor : step.tensors) inputs.push_back(made.at(tensor));
      for (const Parameter& parameter : parameters_of(step))
        inputs.push_back(add_input(node.table(known_of(parameter.dtype, parameter.shape, parameter.bytes()))));
      made_here = append_graph(b, *step.body, inputs);
    }
    made[id] = made_here.at(values_[id].output);
  }
  for (uint32_t id : results) b.result(made.at(id));
  return composition;
}

}  // namespace moru
