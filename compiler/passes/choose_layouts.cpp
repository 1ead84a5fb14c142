#include "compiler/passes/choose_layouts.h"

#include <algorithm>
#include <numeric>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ops/contraction.h"
#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

// The axes [begin, end) of `fine` that make up each axis of `coarse`, if coarse only merges neighbours of fine.
bool merges(const Shape& fine, const Shape& coarse, std::vector<std::pair<size_t, size_t>>& runs) {
  size_t i = 0;
  runs.clear();
  for (const Dim& dim : coarse) {
    size_t begin = i;
    Dim product = 1;
    do {
      if (i == fine.size()) return false;
      product *= fine[i++];
    } while (!(product == dim));
    runs.emplace_back(begin, i);
  }
  return i == fine.size();
}

std::string fresh_labels(const ContractSpec& spec, size_t count, const std::string& taken) {
  std::string labels;
  for (char c = 'a'; c <= 'z' && labels.size() < count; ++c)
    if (!spec.in_a(c) && !spec.in_b(c) && taken.find(c) == std::string::npos) labels += c;
  return labels;
}

void replace_label(std::string& labels, char label, const std::string& by) {
  size_t at = labels.find(label);
  if (at != std::string::npos) labels.replace(at, 1, by);
}

// The shape in which `label`'s axis is spread out into `parts`.
Shape spread(const Shape& shape, const std::string& labels, char label, const Shape& parts) {
  Shape out;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == label)
      out.insert(out.end(), parts.begin(), parts.end());
    else
      out.push_back(shape[i]);
  }
  return out;
}

class ReshapeAbsorber {
 public:
  explicit ReshapeAbsorber(Graph& graph) : graph_(graph) {}

  void run() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n)
      if (graph_.nodes[n].op->name == "contract")
        while (absorb_operand(n) || absorb_result(n)) {
        }
    sort_nodes(graph_);
  }

 private:
  Graph& graph_;

  const Node* producer(ValueId v) const {
    for (const Node& node : graph_.nodes)
      if (std::find(node.outputs.begin(), node.outputs.end(), v) != node.outputs.end()) return &node;
    return nullptr;
  }

  // Spreads `label` of contraction n into `parts`; `done` is an operand that already has the new shape.
  void spread_label(size_t n, char label, const Shape& parts, ValueId new_a, ValueId new_b) {
    ContractSpec spec = parse_contract_spec(graph_.nodes[n].attributes.string("spec"));
    std::string labels = fresh_labels(spec, parts.size(), spec.result);
    Node node = graph_.nodes[n];
    Builder b(graph_, node.origin);
    auto operand = [&](ValueId old, ValueId replaced, const std::string& names) {
      if (replaced != no_value) return b.value(replaced);
      if (names.find(label) == std::string::npos) return b.value(old);
      return b.reshape(b.value(old), spread(graph_.type(old).shape, names, label, parts));
    };
    Value a = operand(node.inputs[0], new_a, spec.a), c = operand(node.inputs[1], new_b, spec.b);
    Shape shape = graph_.type(node.outputs[0]).shape;
    replace_label(spec.a, label, labels);
    replace_label(spec.b, label, labels);
    replace_label(spec.result, label, labels);
    Value spread_result = b.contract(a, c, spec.text());
    size_t fresh = graph_.nodes.size() - 1;
    Value result = b.reshape(spread_result, shape);
    std::vector<ValueId> replacement(graph_.types.size());
    std::iota(replacement.begin(), replacement.end(), ValueId{0});
    replacement[node.outputs[0]] = result.id;
    replace_uses(graph_, replacement);
    // The new contraction takes the old one's place, so that it is looked at again, and the old one goes.
    std::swap(graph_.nodes[n], graph_.nodes[fresh]);
    graph_.nodes.erase(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(fresh));
  }

  bool absorb_operand(size_t n) {
    ContractSpec spec = parse_contract_spec(graph_.nodes[n].attributes.string("spec"));
    for (size_t operand = 0; operand < 2; ++operand) {
      const Node* reshape = producer(graph_.nodes[n].inputs[operand]);
      if (!reshape || reshape->op->name != "reshape") continue;
      ValueId inner = reshape->inputs[0];
      const Node* source = producer(inner);
      if (!source) continue;  // a slot is contiguous: its reshape is free
      const Shape& fine = graph_.type(inner).shape;
      const Shape& coarse = graph_.type(reshape->outputs[0]).shape;
      std::vector<std::pair<size_t, size_t>> runs;
      if (fine.size() != coarse.size() + 1 || !merges(fine, coarse, runs)) continue;
      for (size_t i = 0; i < runs.size(); ++i) {
        if (runs[i].second - runs[i].first != 2) continue;
        char label = (operand == 0 ? spec.a : spec.b)[i];
        Shape parts(fine.begin() + static_cast<std::ptrdiff_t>(runs[i].first),
                    fine.begin() + static_cast<std::ptrdiff_t>(runs[i].second));
        if (parts[0].is_constant(1) || parts[1].is_constant(1)) return false;
        spread_label(n, label, parts, operand == 0 ? inner : no_value, operand == 1 ? inner : no_value);
        return true;
      }
    }
    return false;
  }

  bool absorb_result(size_t n) {
    ValueId result = graph_.nodes[n].outputs[0];
    const Node* reshape = nullptr;
    size_t readers = 0;
    for (const Node& node : graph_.nodes)
      for (ValueId input : node.inputs)
        if (input == result) {
          ++readers;
          reshape = &node;
        }
    for (const GraphResult& r : graph_.results) readers += r.value == result;
    if (readers != 1 || !reshape || reshape->op->name != "reshape") return false;
    const Shape& coarse = graph_.type(result).shape;
    const Shape& fine = graph_.type(reshape->outputs[0]).shape;
    // Only what a loop reads step by step gains from lying otherwise.
    bool sequence = std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [&](const Node& node) {
      return node.op->name == "scan" &&
             std::find(node.inputs.begin(), node.inputs.end(), reshape->outputs[0]) != node.inputs.end();
    });
    std::vector<std::pair<size_t, size_t>> runs;
    if (!sequence || fine.size() != coarse.size() + 1 || !merges(fine, coarse, runs)) return false;
    ContractSpec spec = parse_contract_spec(graph_.nodes[n].attributes.string("spec"));
    for (size_t i = 0; i < runs.size(); ++i) {
      if (runs[i].second - runs[i].first != 2) continue;
      Shape parts(fine.begin() + static_cast<std::ptrdiff_t>(runs[i].first),
                  fine.begin() + static_cast<std::ptrdiff_t>(runs[i].second));
      if (parts[0].is_constant(1) || parts[1].is_constant(1)) return false;
      spread_label(n, spec.result[i], parts, no_value, no_value);
      return true;
    }
    return false;
  }
};

// The axes of a value, outermost first, as they lie in memory where the value is a transposed view.
std::vector<int64_t> memory_order(const Graph& graph, ValueId value) {
  for (const Node& node : graph.nodes) {
    if (node.op->name != "transpose" || node.outputs[0] != value) continue;
    const std::vector<int64_t>& permutation = node.attributes.integers("permutation");
    std::vector<int64_t> order = memory_order(graph, node.inputs[0]);
    for (int64_t& axis : order) axis = std::find(permutation.begin(), permutation.end(), axis) - permutation.begin();
    return order;
  }
  std::vector<int64_t> order(graph.type(value).shape.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

// Whether the operand that holds the result's last axis must be packed, and in which order of its axes.
bool needs_packing(const Graph& graph, const Node& node, size_t& operand, std::vector<int64_t>& permutation) {
  ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
  const Shape &a = graph.type(node.inputs[0]).shape, &b = graph.type(node.inputs[1]).shape;
  auto is_unit = [&](char label) {
    return (spec.in_a(label) ? a[spec.a.find(label)] : b[spec.b.find(label)]).is_constant(1);
  };
  char last = 0;
  for (char label : spec.result)
    if (!is_unit(label)) last = label;
  if (!last || spec.in_a(last) == spec.in_b(last)) return false;
  operand = spec.in_a(last) ? 0 : 1;
  const std::string& labels = operand == 0 ? spec.a : spec.b;
  const std::string& others = operand == 0 ? spec.b : spec.a;
  char innermost = 0;
  for (int64_t axis : memory_order(graph, node.inputs[operand]))
    if (const char label = labels[static_cast<size_t>(axis)]; !is_unit(label)) innermost = label;
  if (innermost == last) return false;
  // A column vector times anything is a fold along the depth, without packing.
  bool other_columns = std::any_of(others.begin(), others.end(), [&](char c) {
    return spec.in_result(c) && !is_unit(c) && labels.find(c) == std::string::npos;
  });
  if (!other_columns &&
      std::any_of(labels.begin(), labels.end(), [&](char c) { return c == innermost && !spec.in_result(c); }))
    return false;
  permutation.clear();
  for (bool column : {false, true})
    for (size_t i = 0; i < labels.size(); ++i) {
      bool is_column = spec.in_result(labels[i]) && others.find(labels[i]) == std::string::npos;
      if (is_column == column) permutation.push_back(static_cast<int64_t>(i));
    }
  // Depth first, in order; columns in the result's order.
  std::stable_sort(permutation.begin(), permutation.end(), [&](int64_t x, int64_t y) {
    auto rank = [&](int64_t i) {
      char label = labels[static_cast<size_t>(i)];
      bool is_column = spec.in_result(label) && others.find(label) == std::string::npos;
      return is_column ? static_cast<int64_t>(100 + spec.result.find(label)) : i;
    };
    return rank(x) < rank(y);
  });
  return true;
}

std::string permuted(const std::string& labels, const std::vector<int64_t>& permutation) {
  std::string out;
  for (int64_t axis : permutation) out += labels[static_cast<size_t>(axis)];
  return out;
}

void use_packed(Node& node, size_t operand, ValueId packed, const std::vector<int64_t>& permutation) {
  ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
  (operand == 0 ? spec.a : spec.b) = permuted(operand == 0 ? spec.a : spec.b, permutation);
  node.inputs[operand] = packed;
  node.attributes.set("spec", spec.text());
}

void pack_operands(Graph& graph) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    size_t operand = 0;
    std::vector<int64_t> permutation;
    if (graph.nodes[n].op->name == "scan") {
      ScanView scan(graph.nodes[n]);
      size_t first_invariant = scan.carries + scan.sequences;
      for (size_t k = 0; k < graph.nodes[n].bodies[0].nodes.size(); ++k) {
        const Graph& body = graph.nodes[n].bodies[0];
        if (body.nodes[k].op->name != "contract" || !needs_packing(body, body.nodes[k], operand, permutation)) continue;
        ValueId value = body.nodes[k].inputs[operand];
        for (size_t i = first_invariant; i < body.inputs.size(); ++i) {
          if (body.inputs[i].value != value) continue;
          Graph ahead;  // collects the packing node with the outer graph's numbering
          ValueId outer = graph.nodes[n].inputs[i];
          Builder b(graph, graph.nodes[n].bodies[0].nodes[k].origin);
          ValueId packed = b.call("pack", {b.value(outer)}, {{"permutation", permutation}}).id;
          Graph& inner = graph.nodes[n].bodies[0];
          ValueId input = inner.add_input(graph.type(packed), {});
          graph.nodes[n].inputs.push_back(packed);
          use_packed(inner.nodes[k], operand, input, permutation);
          break;
        }
      }
    }
    if (graph.nodes[n].op->name == "contract" && needs_packing(graph, graph.nodes[n], operand, permutation)) {
      Builder b(graph, graph.nodes[n].origin);
      ValueId packed = b.call("pack", {b.value(graph.nodes[n].inputs[operand])}, {{"permutation", permutation}}).id;
      use_packed(graph.nodes[n], operand, packed, permutation);
    }
  }
  sort_nodes(graph);
}

// From the outside in: what an outer graph packs for its loops' bodies is not packed there again.
void outermost_first(Graph& graph) {
  pack_operands(graph);
  for (Node& node : graph.nodes)
    for (Graph& body : node.bodies) outermost_first(body);
}

}  // namespace

void choose_layouts(Graph& root) {
  for_each_graph(root, [](Graph& graph) { ReshapeAbsorber(graph).run(); });
  outermost_first(root);
}

}  // namespace moru
