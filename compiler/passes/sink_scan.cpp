#include "compiler/passes/sink_scan.h"

#include <algorithm>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ops/contraction.h"
#include "compiler/ops/op.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

class Sinker {
 public:
  Sinker(Graph& graph, size_t node_index) : graph_(graph), index_(node_index) {}

  // Appends what moved to the end of the graph (the caller sorts) and changes the scan. Returns false if nothing moved.
  bool run() {
    bool any = false;
    for (size_t i = 0; i < ScanView(node()).carries;) {
      if (sink_carry(i))
        any = true;
      else
        ++i;
    }
    for (size_t k = 0; k < ScanView(node()).stacks;) {
      if (sink_stack(k))
        any = true;
      else
        ++k;
    }
    if (any) remove_unread_nodes(body());
    return any;
  }

 private:
  Graph& graph_;
  size_t index_;

  Node& node() { return graph_.nodes[index_]; }
  Graph& body() { return node().bodies[0]; }

  // A body value over all time steps, outside: the operand itself if it is a sequence's slice, else a stacked output.
  struct Stacked {
    ValueId value;
    int64_t axis;  // of time; -1 for an invariant
  };
  Stacked outside(ValueId value) {
    ScanView scan(node());
    for (size_t i = 0; i < scan.sequences; ++i)
      if (body().inputs[scan.carries + i].value == value) return {node().inputs[scan.carries + i], scan.axes[i]};
    for (size_t i = 0; i < scan.invariants; ++i) {
      size_t at = scan.carries + scan.sequences + i;
      if (body().inputs[at].value == value) return {node().inputs[at], -1};
    }
    for (size_t k = 0; k < scan.stacks; ++k)
      if (body().results[scan.carries + k].value == value)
        return {node().outputs[scan.carries + k], scan.output_axes[k]};
    Type type = body().type(value);
    type.shape.insert(type.shape.begin(), scan_trip_count(graph_, node()));
    body().add_result(value);
    std::vector<int64_t> axes = scan.output_axes;
    axes.push_back(0);
    node().attributes.set("output_axes", axes);
    ValueId stack = graph_.add_value(type);
    node().outputs.push_back(stack);
    return {stack, 0};
  }

  // The contraction of two body values with time as one more axis, summed or at `result_axis`.
  ValueId contract_over_time(const Node& contraction, int64_t result_axis) {
    ContractSpec spec = parse_contract_spec(contraction.attributes.string("spec"));
    char time = spec.unused_label();
    Stacked a = outside(contraction.inputs[0]), b = outside(contraction.inputs[1]);
    if (a.axis >= 0) spec.a.insert(static_cast<size_t>(a.axis), 1, time);
    if (b.axis >= 0) spec.b.insert(static_cast<size_t>(b.axis), 1, time);
    if (result_axis >= 0) spec.result.insert(static_cast<size_t>(result_axis), 1, time);
    Builder builder(graph_, contraction.origin);
    return builder.contract_like(contraction, builder.value(a.value), builder.value(b.value), spec.text()).id;
  }

  const Node* producer(ValueId value) {
    for (const Node& n : body().nodes)
      if (std::find(n.outputs.begin(), n.outputs.end(), value) != n.outputs.end()) return &n;
    return nullptr;
  }

  void collect_addends(ValueId value, ValueId carry, const std::vector<uint32_t>& uses, std::vector<ValueId>& addends,
                       bool& found) {
    if (value == carry) {
      found = true;
      return;
    }
    const Node* n = producer(value);
    if (n && n->op->name == "add" && uses[value] == 1 && body().type(n->inputs[0]).shape == body().type(value).shape &&
        body().type(n->inputs[1]).shape == body().type(value).shape) {
      collect_addends(n->inputs[0], carry, uses, addends, found);
      collect_addends(n->inputs[1], carry, uses, addends, found);
    } else {
      addends.push_back(value);
    }
  }

  bool sink_carry(size_t i) {
    ValueId carry = body().inputs[i].value;
    std::vector<uint32_t> uses = count_uses(body());
    if (uses[carry] != 1 || uses[body().results[i].value] != 1) return false;
    std::vector<ValueId> addends;
    bool found = false;
    collect_addends(body().results[i].value, carry, uses, addends, found);
    if (!found) return false;
    for (ValueId addend : addends) {
      const Node* n = producer(addend);
      if (!n || !is_float(body().type(addend).dtype)) return false;
    }
    Builder b(graph_, node().origin);
    Value total = b.value(node().inputs[i]);
    ValueId output = node().outputs[i];
    for (ValueId addend : addends) {
      const Node n = *producer(addend);
      b.set_origin(n.origin);
      Value part;
      if (n.op->name == "contract") {
        ContractSpec spec = parse_contract_spec(n.attributes.string("spec"));
        Stacked a = outside(n.inputs[0]), c = outside(n.inputs[1]);
        if (a.axis < 0 && c.axis < 0) return false;
        part = b.value(contract_over_time(n, -1));
      } else if (n.op->name == "reduce_sum") {
        Stacked v = outside(n.inputs[0]);
        if (v.axis < 0) return false;
        std::vector<int64_t> axes = {v.axis};
        for (int64_t axis : n.attributes.integers("axes")) {
          if (axis < 0) axis += static_cast<int64_t>(body().type(n.inputs[0]).shape.size());
          axes.push_back(axis >= v.axis ? axis + 1 : axis);
        }
        std::sort(axes.begin(), axes.end());
        part = b.reshape(b.reduce("reduce_sum", b.value(v.value), axes), body().type(addend).shape);
      } else {
        Stacked v = outside(addend);
        if (v.axis < 0) return false;
        part = b.reduce("reduce_sum", b.value(v.value), {v.axis});
      }
      total = total + part;
    }
    std::vector<ValueId> replacement(graph_.types.size());
    for (size_t v = 0; v < replacement.size(); ++v) replacement[v] = static_cast<ValueId>(v);
    replacement[output] = total.id;
    // The scan itself still defines `output`; only reads change.
    replace_uses(graph_, replacement);
    remove_carry(i);
    return true;
  }

  void remove_carry(size_t i) {
    Node& n = node();
    auto at = static_cast<std::ptrdiff_t>(i);
    n.inputs.erase(n.inputs.begin() + at);
    n.outputs.erase(n.outputs.begin() + at);
    body().inputs.erase(body().inputs.begin() + at);
    body().results.erase(body().results.begin() + at);
    n.attributes.set("carries", n.attributes.integer("carries") - 1);
  }

  bool sink_stack(size_t k) {
    ScanView scan(node());
    ValueId value = body().results[scan.carries + k].value;
    const Node* n = producer(value);
    if (!n || n->op->name != "contract" || count_uses(body())[value] != 1) return false;
    const Node contraction = *n;
    ValueId old = node().outputs[scan.carries + k];
    ValueId moved = contract_over_time(contraction, scan.output_axes[k]);
    std::vector<ValueId> replacement(graph_.types.size());
    for (size_t v = 0; v < replacement.size(); ++v) replacement[v] = static_cast<ValueId>(v);
    replacement[old] = moved;
    replace_uses(graph_, replacement);
    Node& s = node();
    auto at = static_cast<std::ptrdiff_t>(scan.carries + k);
    s.outputs.erase(s.outputs.begin() + at);
    body().results.erase(body().results.begin() + at);
    std::vector<int64_t> axes = s.attributes.integers("output_axes");
    axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(k));
    s.attributes.set("output_axes", axes);
    return true;
  }
};

}  // namespace

void sink_scan(Graph& root) {
  for_each_graph(root, [](Graph& graph) {
    bool any = false;
    for (size_t n = 0; n < graph.nodes.size(); ++n)
      if (graph.nodes[n].op->name == "scan" && !ScanView(graph.nodes[n]).recompute)
        any |= Sinker(graph, n).run();
    if (any) sort_nodes(graph);
  });
}

}  // namespace moru
