#include "compiler/passes/size_requirements.h"

#include <algorithm>

#include "compiler/ops/op.h"
#include "compiler/support/dim_bounds.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

class Requirements {
 public:
  std::vector<SizeRequirement> found;

  explicit Requirements(const Graph& entry) {
    for (const GraphInput& input : entry.inputs)
      for (const Dim& dim : entry.types[input.value].shape)
        if (const std::optional<std::string> symbol = dim.as_symbol()) known_.push_back(*symbol);
    collect(entry);
  }

 private:
  std::vector<std::string> known_;  // sizes that the inputs tell; others are loops' own

  void collect(const Graph& graph) {
    for (const Node& node : graph.nodes) {
      if (node.op->name == "slice") slice(graph, node);
      if (node.op->name == "ensure_shape") ensure_shape(graph, node);
      for (const Graph& body : node.bodies) collect(body);
    }
  }

  void slice(const Graph& graph, const Node& node) {
    const Shape& shape = graph.types[node.inputs[0]].shape;
    const int64_t axis = node.attributes.integer("axis");
    const Dim extent = shape[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis)];
    const Dim begin = node.attributes.shape("begin")[0], size = node.attributes.shape("size")[0];
    const std::string what = "'" + node.origin + "' takes elements " + begin.text() + " to " + (begin + size).text() + " of an axis of " + extent.text();
    for (const Dim& left : {begin, size, extent - begin - size}) require(left, what);
  }

  void ensure_shape(const Graph& graph, const Node& node) {
    const Shape &from = graph.types[node.inputs[0]].shape, &to = graph.types[node.outputs[0]].shape;
    for (size_t i = 0; i < from.size(); ++i) {
      if (from[i] == to[i]) continue;
      if (!is_known(from[i] - to[i]))
        throw CompileError({.stage = "compile", .node = node.origin, .op = "ensure_shape", .what = "needs " + from[i].text() + " to be " + to[i].text() + ", which the inputs' sizes alone do not tell"});
      const std::string what = "'" + node.origin + "' needs " + from[i].text() + " to be " + to[i].text();
      require(from[i] - to[i], what);
      require(to[i] - from[i], what);
    }
  }

  bool is_known(const Dim& dim) const {
    std::vector<std::string> symbols;
    dim.collect_symbols(symbols);
    return std::ranges::all_of(symbols, [&](const std::string& symbol) { return std::ranges::find(known_, symbol) != known_.end(); });
  }

  void require(const Dim& dim, const std::string& what) {
    if (!is_known(dim)) return;
    if (least_of(dim).value_or(-1) >= 0) return;
    if (std::none_of(found.begin(), found.end(), [&](const SizeRequirement& other) { return other.not_negative == dim; }))
      found.push_back({dim, what});
  }
};

}  // namespace

std::vector<SizeRequirement> find_size_requirements(const Graph& graph) { return Requirements(graph).found; }

}  // namespace moru
