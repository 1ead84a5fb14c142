#include "compiler/passes/simplify.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "compiler/ir/builder.h"
#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

// Rewrites node by node into a fresh list: `rule` returns the replacements of a node's outputs, or nothing to keep it.
// It may append nodes through the builder, which land in front of the node.
using Rule = std::function<std::vector<ValueId>(Builder&, const Node&, const std::vector<uint32_t>& producer)>;

void rewrite_nodes(Graph& graph, const Rule& rule) {
  std::vector<Node> old = std::move(graph.nodes);
  graph.nodes.clear();
  std::vector<ValueId> replacement(graph.types.size());
  std::iota(replacement.begin(), replacement.end(), ValueId{0});
  std::vector<uint32_t> producer(graph.types.size(), UINT32_MAX);  // into the fresh list
  auto note = [&](size_t from) {
    producer.resize(graph.types.size(), UINT32_MAX);
    for (size_t n = from; n < graph.nodes.size(); ++n)
      for (ValueId output : graph.nodes[n].outputs) producer[output] = static_cast<uint32_t>(n);
  };
  for (Node& node : old) {
    for (ValueId& input : node.inputs)
      if (input != no_value) input = replacement[input];
    Builder builder(graph, node.origin);
    size_t before = graph.nodes.size();
    std::vector<ValueId> outputs = rule(builder, node, producer);
    note(before);
    if (outputs.empty()) {
      graph.nodes.push_back(std::move(node));
      note(graph.nodes.size() - 1);
    } else {
      for (size_t k = 0; k < outputs.size(); ++k) replacement[node.outputs[k]] = outputs[k];
    }
  }
  for (GraphResult& result : graph.results) result.value = replacement[result.value];
}

struct Known {
  const Graph& graph;
  const std::vector<uint32_t>& producer;
  const Node* node(ValueId v) const {
    return v < producer.size() && producer[v] != UINT32_MAX ? &graph.nodes[producer[v]] : nullptr;
  }
  bool is(ValueId v, std::string_view op) const { return node(v) && node(v)->op->name == op; }
  bool is_number(ValueId v, double number) const {
    return is(v, "fill") && node(v)->attributes.real("value") == number;
  }
};

// x to a small whole power is a product or a quotient.
std::vector<ValueId> fold_power(Builder& b, const Node& node, const Known& known) {
  const Value x = b.value(node.inputs[0]);
  if (!(x.type() == b.graph().type(node.outputs[0]))) return {};
  if (known.is_number(node.inputs[1], 1.0)) return {x.id};
  if (known.is_number(node.inputs[1], 2.0)) return {(x * x).id};
  if (known.is_number(node.inputs[1], 3.0)) return {(x * x * x).id};
  if (known.is_number(node.inputs[1], -1.0)) return {(1.0 / x).id};
  return {};
}

std::vector<ValueId> fold_node(Builder& b, const Node& node, const std::vector<uint32_t>& producer) {
  Known known{b.graph(), producer};
  if (node.op->name == "power")
    if (std::vector<ValueId> product = fold_power(b, node, known); !product.empty()) return product;
  if (!node.op->scalar || node.inputs.empty() || node.outputs.size() != 1) return {};
  const Type type = b.graph().type(node.outputs[0]);
  if (!is_float(type.dtype)) return {};
  std::vector<double> values;
  for (ValueId input : node.inputs) {
    if (input == no_value || !known.is(input, "fill") || !b.graph().type(input).shape.empty()) return {};
    values.push_back(known.node(input)->attributes.real("value"));
  }
  double value = node.op->scalar(values);
  if (type.dtype == DType::f32) value = static_cast<float>(value);
  return {b.constant(value, type.dtype).id};
}

std::vector<ValueId> simplify_node(Builder& b, const Node& node, const std::vector<uint32_t>& producer) {
  Graph& g = b.graph();
  Known known{g, producer};
  std::string_view name = node.op->name;
  auto same = [&](ValueId v) { return g.type(v) == g.type(node.outputs[0]); };
  ValueId x = node.inputs.empty() ? no_value : node.inputs[0], y = node.inputs.size() > 1 ? node.inputs[1] : no_value;
  if (name == "mul" || name == "add") {
    double unit = name == "mul" ? 1.0 : 0.0;
    if (known.is_number(y, unit) && same(x)) return {x};
    if (known.is_number(x, unit) && same(y)) return {y};
  }
  if ((name == "div" && known.is_number(y, 1.0)) || (name == "sub" && known.is_number(y, 0.0)))
    if (same(x)) return {x};
  if (name == "neg" && known.is(x, "neg")) return {known.node(x)->inputs[0]};
  if ((name == "cast" || name == "linear" || name == "broadcast_to" || name == "reshape" || name == "ensure_shape") && same(x)) return {x};
  if (name == "reshape" && known.is(x, "reshape")) {
    ValueId inner = known.node(x)->inputs[0];
    if (g.type(inner) == g.type(node.outputs[0])) return {inner};
    return {b.reshape(b.value(inner), g.type(node.outputs[0]).shape).id};
  }
  if (name == "reshape" && known.is(x, "fill"))
    return {b.fill(known.node(x)->attributes.real("value"), g.type(node.outputs[0]).shape, g.type(x).dtype).id};
  if (name == "transpose" && known.is(x, "transpose")) {
    const auto& first = known.node(x)->attributes.integers("permutation");
    std::vector<int64_t> both;
    for (int64_t axis : node.attributes.integers("permutation")) both.push_back(first[static_cast<size_t>(axis)]);
    if (std::is_sorted(both.begin(), both.end())) return {known.node(x)->inputs[0]};
    return {b.transpose(b.value(known.node(x)->inputs[0]), both).id};
  }
  if (name == "concat" && known.is(x, "split")) {
    const Node& split = *known.node(x);
    if (split.outputs == node.inputs && split.attributes.integer("axis") == node.attributes.integer("axis"))
      return {split.inputs[0]};
  }
  if (name == "split" && known.is(x, "concat")) {
    const Node& concat = *known.node(x);
    int64_t rank = static_cast<int64_t>(g.type(x).shape.size());
    auto axis = [&](const Node& n) { return (n.attributes.integer("axis") + rank) % rank; };
    bool fits = axis(concat) == axis(node) && concat.inputs.size() == node.outputs.size();
    for (size_t k = 0; fits && k < node.outputs.size(); ++k) fits = g.type(concat.inputs[k]) == g.type(node.outputs[k]);
    if (fits) return concat.inputs;
  }
  if (name == "reduce_sum" && node.attributes.integers("axes").empty() && same(x)) return {x};
  return {};
}

using Permutation = std::vector<int64_t>;

// op(transpose(x), ...) as transpose(op(x, ...)), where every operand of the result's size is transposed alike.
std::vector<ValueId> sink_through_elementwise(Builder& b, const Node& node, const Known& known) {
  const Graph& g = b.graph();
  const Shape shape = g.type(node.outputs[0]).shape;
  Permutation permutation;
  for (ValueId input : node.inputs) {
    if (input == no_value) return {};
    if (!(g.type(input).shape == shape)) continue;
    const Node* transpose = known.node(input);
    if (!transpose || transpose->op->name != "transpose" || !known.node(transpose->inputs[0])) return {};
    if (!permutation.empty() && permutation != transpose->attributes.integers("permutation")) return {};
    permutation = transpose->attributes.integers("permutation");
  }
  if (permutation.empty()) return {};
  Permutation inverse(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i) inverse[static_cast<size_t>(permutation[i])] = static_cast<int64_t>(i);
  std::vector<Value> inputs;
  for (ValueId input : node.inputs) {
    if (g.type(input).shape == shape) {
      inputs.push_back(b.value(known.node(input)->inputs[0]));
      continue;
    }
    Value value = b.value(input);
    if (value.rank() > 0) {  // broadcast along some axes
      Shape aligned(shape.size() - value.rank(), Dim(1));
      aligned.insert(aligned.end(), value.shape().begin(), value.shape().end());
      value = b.transpose(b.reshape(value, aligned), inverse);
    }
    inputs.push_back(value);
  }
  return {b.transpose(b.call_all(node.op->name, inputs, node.attributes)[0], permutation).id};
}

std::vector<ValueId> sink_through_reduction(Builder& b, const Node& node, const Permutation& permutation, Value x) {
  const auto rank = static_cast<int64_t>(permutation.size());
  Permutation axes;
  std::vector<bool> reduced(permutation.size(), false);
  for (int64_t axis : node.attributes.integers("axes")) {
    const auto at = static_cast<size_t>(axis < 0 ? axis + rank : axis);
    reduced[at] = true;
    axes.push_back(permutation[at]);
  }
  // Of equal elements the first counts, in the order of the axes.
  if (!std::is_sorted(axes.begin(), axes.end())) return {};
  Attributes attributes = node.attributes;
  attributes.set("axes", axes);
  const Value y = b.call(node.op->name, {x}, attributes);
  if (node.attributes.boolean("keep_dims")) return {b.transpose(y, permutation).id};
  Permutation kept;
  for (size_t i = 0; i < permutation.size(); ++i)
    if (!reduced[i]) kept.push_back(permutation[i]);
  Permutation sorted = kept;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t& axis : kept) axis = std::find(sorted.begin(), sorted.end(), axis) - sorted.begin();
  return {std::is_sorted(kept.begin(), kept.end()) ? y.id : b.transpose(y, kept).id};
}

std::vector<ValueId> sink_node(Builder& b, const Node& node, const std::vector<uint32_t>& producer) {
  const Known known{b.graph(), producer};
  if (node.op->lower && node.outputs.size() == 1) return sink_through_elementwise(b, node, known);
  if (node.inputs.empty() || node.inputs[0] == no_value) return {};
  const Node* transpose = known.node(node.inputs[0]);
  if (!transpose || transpose->op->name != "transpose" || !known.node(transpose->inputs[0])) return {};
  const Permutation permutation = transpose->attributes.integers("permutation");
  const Value x = b.value(transpose->inputs[0]);
  const std::string_view name = node.op->name;
  if (name == "transpose") return simplify_node(b, node, producer);
  if (name.starts_with("reduce_")) return sink_through_reduction(b, node, permutation, x);
  if (name != "pad" && name != "slice" && name != "concat") return {};
  std::vector<Value> inputs;
  for (ValueId input : node.inputs) {
    const Node* each = known.node(input);
    if (!each || each->op->name != "transpose" || each->attributes.integers("permutation") != permutation) return {};
    inputs.push_back(b.value(each->inputs[0]));
  }
  const int64_t axis = node.attributes.integer("axis");
  Attributes attributes = node.attributes;
  attributes.set("axis", permutation[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(permutation.size()) : axis)]);
  return {b.transpose(b.call_all(name, inputs, attributes)[0], permutation).id};
}

}  // namespace

void sink_transposes(Graph& root) {
  for_each_graph(root, [](Graph& graph) { rewrite_nodes(graph, sink_node); });
}

void fold_constants(Graph& root) {
  for_each_graph(root, [](Graph& graph) { rewrite_nodes(graph, fold_node); });
}

void simplify(Graph& root) {
  for_each_graph(root, [](Graph& graph) { rewrite_nodes(graph, simplify_node); });
}

void share_common(Graph& root) {
  for_each_graph(root, [](Graph& graph) {
    std::map<std::string, std::vector<ValueId>> seen;
    rewrite_nodes(graph, [&](Builder&, const Node& node, const std::vector<uint32_t>&) -> std::vector<ValueId> {
      if (!node.bodies.empty() || node.op->family == OpFamily::random) return {};
      std::string key(node.op->name);
      for (ValueId input : node.inputs) key += " " + std::to_string(input);
      key += node.attributes.text();
      auto [at, fresh] = seen.emplace(std::move(key), node.outputs);
      return fresh ? std::vector<ValueId>{} : at->second;
    });
  });
}

}  // namespace moru
