// Gradient of ai.onnx.preview.training: the nodes between its xs and its y once more, in one body, differentiated.
#include "compiler/exchange/onnx/onnx_graph.h"
#include "compiler/ir/append_graph.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/expand.h"

namespace moru {

namespace {

// The derivatives of the sum of y's elements after the first `count` inputs, as results of `graph` in place of y.
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

void OnnxGraph::translate_gradient(const Call& call) {
  const std::vector<uint32_t> inputs = inputs_of(call);
  build(call, inputs, [&](OnnxNode& node) {
    const std::vector<std::string> xs = node.strings("xs"), zs = node.strings("zs");
    if (inputs.size() != xs.size() + zs.size())
      node.fail("needs one input for each of its xs and zs but got " + std::to_string(inputs.size()));
    const uint32_t y = find_value(call, node.string("y"));
    if (!is_float(values_[y].type.dtype))
      node.fail("cannot differentiate '" + values_[y].name + "', which is no float");
    std::vector<uint32_t> sources;
    std::vector<Type> types;
    std::vector<moru::Value> given;
    for (size_t i = 0; i < inputs.size(); ++i) {
      sources.push_back(find_value(call, i < xs.size() ? xs[i] : zs[i - xs.size()]));
      given.push_back(node.raw(i));
      types.push_back(given.back().type());
    }
    Composition forward = compose(node, sources, types, {y});
    given.insert(given.end(), forward.outside.begin(), forward.outside.end());
    const std::vector<moru::Value> gradients =
        append_graph(node.builder(), derivatives_of(std::move(forward.graph), xs.size()), given);
    for (size_t i = 0; i < gradients.size(); ++i) node.set_as(i, gradients[i], node.dtype(i));
  });
}

}  // namespace moru
