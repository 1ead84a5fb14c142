#include "compiler/ir/symbols.h"

namespace moru {

void collect_symbols(const Attributes& attributes, std::vector<std::string>& names) {
  for (const auto& [name, value] : attributes.entries())
    if (const Shape* shape = std::get_if<Shape>(&value.value))
      for (const Dim& dim : *shape) dim.collect_symbols(names);
}

void collect_symbols(const Graph& graph, std::vector<std::string>& names) {
  for (const Node& node : graph.nodes) {
    for (ValueId output : node.outputs)
      for (const Dim& dim : graph.types[output].shape) dim.collect_symbols(names);
    collect_symbols(node.attributes, names);
    for (const Graph& body : node.bodies) collect_symbols(body, names);
  }
}

bool has_symbols(const Attributes& attributes) {
  std::vector<std::string> names;
  collect_symbols(attributes, names);
  return !names.empty();
}

}  // namespace moru
