#include "tools/report/model_drawing.h"

#include <algorithm>

#include "compiler/model/summary.h"

namespace moru {
namespace {

int64_t parameter_count(const Layer& layer) {
  int64_t count = 0;
  for (const Parameter& parameter : layer.parameters) {
    int64_t elements = 1;
    for (const int64_t extent : parameter.shape) elements *= extent;
    count += elements;
  }
  return count;
}

/// "24 × 16": without the batch.
std::string shape_text(const Type& type) {
  if (type.shape.size() <= 1) return type.shape.empty() ? "scalar" : "1 number";
  std::string text;
  for (size_t i = 1; i < type.shape.size(); ++i) text += (i > 1 ? " × " : "") + type.shape[i].text();
  return text;
}

void draw(const Model& model, const std::string& prefix, DotGraph& graph) {
  const auto id = [&](uint32_t node) { return prefix + model.nodes[node].name; };
  for (uint32_t i = 0; i < model.nodes.size(); ++i) {
    const ModelNode& node = model.nodes[i];
    const Layer& layer = model.layers[node.layer];
    DotNode box{id(i), node.name, {}, "layer"};
    const bool is_input = layer.class_name == "InputLayer";
    const bool is_output = prefix.empty() && std::any_of(model.outputs.begin(), model.outputs.end(),
                                                         [&](const TensorRef& ref) { return ref.node == i; });
    if (is_input) box.style = "input";
    if (is_output) box.style = "output";
    std::string what = is_input ? "Input" : layer.class_name;
    const int64_t parameters = parameter_count(layer);
    if (parameters > 0) what += ", " + with_commas(parameters) + (parameters == 1 ? " parameter" : " parameters");
    box.lines.push_back(what);
    if (!layer.trainable && parameters > 0) box.lines.back() += ", not trained";
    if (is_input && !node.outputs.empty()) box.lines.push_back(shape_text(node.outputs.front()));
    graph.nodes.push_back(std::move(box));
    for (const TensorRef& ref : node.inputs) graph.edges.push_back({id(ref.node), id(i), shape_text(model.type(ref))});
    const bool first_call = std::none_of(model.nodes.begin(), model.nodes.begin() + i,
                                         [&](const ModelNode& other) { return other.layer == node.layer; });
    if (layer.submodel != nullptr && first_call) {
      DotGraph frame;
      frame.name = "inside " + layer.name;
      draw(*layer.submodel, id(i) + "/", frame);
      graph.frames.push_back(std::move(frame));
    }
  }
}

}  // namespace

DotGraph draw_model(const Model& model) {
  DotGraph graph;
  graph.name = model.name;
  draw(model, "", graph);
  return graph;
}

}  // namespace moru
