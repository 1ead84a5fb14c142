#include "compiler/passes/hoist_scan.h"

#include <algorithm>
#include <map>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ops/contraction.h"
#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

// Where a body value is available outside the loop.
struct Outside {
  enum class Kind { no, invariant, stacked } kind = Kind::no;
  ValueId value = no_value;  // in the outer graph
  int64_t axis = 0;          // of time, where stacked
  bool moved = false;        // computed out here, rather than an operand of the scan
};

bool is_elementwise(const Op& op) {
  return (op.family == OpFamily::elementwise || op.family == OpFamily::activation) && op.lower;
}

class Hoister {
 public:
  Hoister(Graph& graph, size_t node_index) : graph_(graph), node_(graph.nodes[node_index]), scan_(node_) {}

  // Returns the nodes to put in front of the scan, which it changes in place.
  std::vector<Node> run() {
    Graph& body = node_.bodies[0];
    where_.resize(body.types.size());
    for (size_t i = 0; i < scan_.sequences; ++i)
      where_[body.inputs[scan_.carries + i].value] = {Outside::Kind::stacked, node_.inputs[scan_.carries + i],
                                                      scan_.axes[i], false};
    for (size_t i = 0; i < scan_.invariants; ++i) {
      size_t at = scan_.carries + scan_.sequences + i;
      where_[body.inputs[at].value] = {Outside::Kind::invariant, node_.inputs[at], 0, false};
    }
    outer_.types = graph_.types;  // new values continue the outer graph's numbering
    outer_.names = graph_.names;
    std::vector<bool> gone(body.nodes.size(), false);
    for (size_t n = 0; n < body.nodes.size(); ++n) gone[n] = try_move(body, body.nodes[n]);
    if (std::none_of(gone.begin(), gone.end(), [](bool g) { return g; })) return {};
    feed_back(body, gone);
    graph_.types = outer_.types;
    graph_.names = outer_.names;
    return std::move(outer_.nodes);
  }

 private:
  Graph& graph_;
  Node& node_;
  ScanView scan_;
  Graph outer_;
  std::vector<Outside> where_;

  bool try_move(const Graph& body, const Node& node) {
    if (!node.bodies.empty() || node.outputs.size() != 1 || node.op->family == OpFamily::random) return false;
    bool all_invariant = true, available = !node.inputs.empty(), any_moved = false;
    for (ValueId input : node.inputs) {
      if (input == no_value) return false;
      available &= where_[input].kind != Outside::Kind::no;
      all_invariant &= where_[input].kind == Outside::Kind::invariant;
      any_moved |= where_[input].moved && where_[input].kind == Outside::Kind::stacked;
    }
    if (node.inputs.empty()) {  // constants are available everywhere, but stay unless something moved needs them
      Builder b(outer_, node.origin);
      where_[node.outputs[0]] = {Outside::Kind::invariant, no_value, 0, false};
      constants_[node.outputs[0]] = &node;
      return false;
    }
    if (!available) return false;
    Builder b(outer_, node.origin);
    if (all_invariant) {
      // A value that every step computes alike. Views and broadcasts cost nothing inside; leave them.
      if (node.op->family == OpFamily::shape || node.op->cheap) return false;
      std::vector<Value> inputs;
      for (ValueId input : node.inputs) inputs.push_back(outside(b, input));
      where_[node.outputs[0]] = {Outside::Kind::invariant, b.call_all(node.op->name, inputs, node.attributes)[0].id, 0,
                                 true};
      return true;
    }
    if (node.op->name == "contract") {
      ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
      const Outside &wa = where_[node.inputs[0]], &wb = where_[node.inputs[1]];
      char time = spec.unused_label();
      if (wa.kind == Outside::Kind::stacked) spec.a.insert(static_cast<size_t>(wa.axis), 1, time);
      if (wb.kind == Outside::Kind::stacked) spec.b.insert(static_cast<size_t>(wb.axis), 1, time);
      spec.result.insert(0, 1, time);
      Value moved = b.contract_like(node, outside(b, node.inputs[0]), outside(b, node.inputs[1]), spec.text());
      where_[node.outputs[0]] = {Outside::Kind::stacked, moved.id, 0, true};
      return true;
    }
    // Arithmetic follows a moved contraction if that needs no reshaping: every stacked operand has time first and the
    // full rank, so that broadcasting means the same with the new axis.
    if (!any_moved || !is_elementwise(*node.op) || !node.op->cheap) return false;
    size_t rank = body.type(node.outputs[0]).shape.size();
    for (ValueId input : node.inputs) {
      if (where_[input].kind != Outside::Kind::stacked) continue;
      if (where_[input].axis != 0 || body.type(input).shape.size() != rank) return false;
    }
    std::vector<Value> inputs;
    for (ValueId input : node.inputs) inputs.push_back(outside(b, input));
    where_[node.outputs[0]] = {Outside::Kind::stacked, b.call_all(node.op->name, inputs, node.attributes)[0].id, 0,
                               true};
    return true;
  }

  Value outside(Builder& b, ValueId body_value) {
    Outside& w = where_[body_value];
    if (w.value == no_value) {  // a constant: make it again out here
      const Node* constant = constants_.at(body_value);
      w.value = b.call_all(constant->op->name, {}, constant->attributes)[0].id;
    }
    return b.value(w.value);
  }

  // Moved values come back as sequences and invariants of the scan.
  void feed_back(Graph& body, const std::vector<bool>& gone) {
    std::vector<uint32_t> uses(body.types.size(), 0);
    for (size_t n = 0; n < body.nodes.size(); ++n)
      if (!gone[n])
        for (ValueId input : body.nodes[n].inputs)
          if (input != no_value) ++uses[input];
    for (const GraphResult& result : body.results) ++uses[result.value];
    size_t sequence_end = scan_.carries + scan_.sequences;
    std::vector<int64_t> axes = scan_.axes;
    for (size_t n = 0; n < body.nodes.size(); ++n) {
      if (!gone[n]) continue;
      ValueId value = body.nodes[n].outputs[0];
      if (uses[value] == 0) continue;
      if (where_[value].kind == Outside::Kind::stacked) {
        node_.inputs.insert(node_.inputs.begin() + static_cast<std::ptrdiff_t>(sequence_end), where_[value].value);
        body.inputs.insert(body.inputs.begin() + static_cast<std::ptrdiff_t>(sequence_end), {value, {}});
        axes.push_back(where_[value].axis);
        ++sequence_end;
      } else {
        node_.inputs.push_back(where_[value].value);
        body.inputs.push_back({value, {}});
      }
    }
    node_.attributes.set("axes", axes);
    node_.attributes.set("sequences", static_cast<int64_t>(axes.size()));
    std::vector<Node> kept;
    for (size_t n = 0; n < body.nodes.size(); ++n)
      if (!gone[n]) kept.push_back(std::move(body.nodes[n]));
    body.nodes = std::move(kept);
  }

  std::map<ValueId, const Node*> constants_;
};

}  // namespace

void hoist_scan(Graph& root) {
  for_each_graph(root, [](Graph& graph) {
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      // What moves out of a loop is kept for all its steps: a loop over segments is there to keep less.
      if (graph.nodes[n].op->name != "scan" || ScanView(graph.nodes[n]).recompute) continue;
      std::vector<Node> front = Hoister(graph, n).run();
      size_t added = front.size();
      graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(n), std::make_move_iterator(front.begin()),
                         std::make_move_iterator(front.end()));
      n += added;
    }
  });
}

}  // namespace moru
