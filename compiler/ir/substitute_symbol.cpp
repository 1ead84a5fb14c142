#include "compiler/ir/substitute_symbol.h"

namespace moru {

void substitute_symbol(Type& type, const std::string& symbol, const Dim& by) {
  for (Dim& dim : type.shape) dim = dim.substitute(symbol, by);
}

void substitute_symbol(Attributes& attributes, const std::string& symbol, const Dim& by) {
  const Attributes old = attributes;
  for (const auto& [name, value] : old.entries())
    if (const Shape* shape = std::get_if<Shape>(&value.value)) {
      Shape changed = *shape;
      for (Dim& dim : changed) dim = dim.substitute(symbol, by);
      attributes.set(name, changed);
    }
}

void substitute_symbol(Graph& graph, const std::string& symbol, const Dim& by) {
  for (Type& type : graph.types) substitute_symbol(type, symbol, by);
  for (Node& node : graph.nodes) {
    substitute_symbol(node.attributes, symbol, by);
    for (Graph& body : node.bodies) substitute_symbol(body, symbol, by);
  }
}

}  // namespace moru
