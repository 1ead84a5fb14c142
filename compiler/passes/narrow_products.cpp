#include "compiler/passes/narrow_products.h"

#include <algorithm>
#include <map>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ops/op.h"
#include "compiler/passes/lowering.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

class Narrower {
 public:
  /// `graph` is the body of the scan that is node `scan` of the outer one; or no body of a scan.
  explicit Narrower(Graph& graph, Narrower* outer = nullptr, size_t scan = 0)
      : graph_(graph), outer_(outer), scan_(scan) {}

  void run() {
    const size_t count = graph_.nodes.size();  // what is made comes behind, until it is sorted
    for (size_t n = 0; n < count; ++n) {
      for (size_t k = 0; k < graph_.nodes[n].bodies.size(); ++k) {
        // Casts that leave the body are added to this graph, whose list of nodes may move.
        Graph body = std::move(graph_.nodes[n].bodies[k]);
        if (graph_.nodes[n].op->name == "scan")
          Narrower(body, this, n).run();
        else
          Narrower(body).run();
        graph_.nodes[n].bodies[k] = std::move(body);
      }
      if (graph_.nodes[n].op->name != "contract" || !graph_.nodes[n].attributes.has("precision")) continue;
      const DType dtype = find_dtype(graph_.nodes[n].attributes.string("precision")).value();
      graph_.nodes[n].attributes.erase("precision");
      for (size_t operand = 0; operand < 2; ++operand)
        graph_.nodes[n].inputs[operand] = narrow(graph_.nodes[n].inputs[operand], dtype, graph_.nodes[n].origin);
    }
    if (!narrowed_.empty()) sort_nodes(graph_);
  }

 private:
  Graph& graph_;
  Narrower* const outer_;
  const size_t scan_;
  std::map<ValueId, ValueId> narrowed_;

  // Views are made anew of what they view; what a scan's steps read alike is cast before the loop.
  ValueId narrow(ValueId wide, DType dtype, std::string origin) {
    if (const auto found = narrowed_.find(wide); found != narrowed_.end()) return found->second;
    const ValueId made = make(wide, dtype, std::move(origin));
    return narrowed_[wide] = made;
  }

  ValueId make(ValueId wide, DType dtype, std::string origin) {
    if (const std::optional<size_t> input = find_invariant(wide)) {
      const ValueId before = outer_->narrow(outer_->graph_.nodes[scan_].inputs[*input], dtype, std::move(origin));
      outer_->graph_.nodes[scan_].inputs.push_back(before);
      return graph_.add_input(outer_->graph_.type(before), {});
    }
    const auto producer = std::find_if(graph_.nodes.begin(), graph_.nodes.end(), [&](const Node& node) {
      return std::find(node.outputs.begin(), node.outputs.end(), wide) != node.outputs.end();
    });
    Builder b(graph_, origin);
    if (producer == graph_.nodes.end() || !lowering::is_view(*producer->op)) return b.cast(b.value(wide), dtype).id;
    const Node view = *producer;
    const auto output = static_cast<size_t>(std::find(view.outputs.begin(), view.outputs.end(), wide) - view.outputs.begin());
    b.set_origin(view.origin);
    const Value source = b.value(narrow(view.inputs[0], dtype, view.origin));
    return b.call_all(view.op->name, std::vector<Value>{source}, view.attributes).at(output).id;
  }

  std::optional<size_t> find_invariant(ValueId value) const {
    if (!outer_) return std::nullopt;
    const ScanView scan(outer_->graph_.nodes[scan_]);
    for (size_t i = scan.carries + scan.sequences; i < graph_.inputs.size(); ++i)
      if (graph_.inputs[i].value == value) return i;
    return std::nullopt;
  }
};

}  // namespace

void narrow_products(Graph& graph) { Narrower(graph).run(); }

}  // namespace moru
