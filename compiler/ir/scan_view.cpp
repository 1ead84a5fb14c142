#include "compiler/ir/scan_view.h"

namespace moru {

ScanView::ScanView(const Node& node)
    : carries(static_cast<size_t>(node.attributes.integer("carries"))),
      sequences(static_cast<size_t>(node.attributes.integer("sequences"))),
      invariants(node.inputs.size() - carries - sequences),
      stacks(node.outputs.size() - carries),
      axes(node.attributes.integers("axes")),
      output_axes(node.attributes.integers("output_axes")),
      reverse(node.attributes.boolean("reverse")),
      recompute(node.attributes.has("recompute") && node.attributes.boolean("recompute")),
      over(node.attributes.has("over") ? node.attributes.string("over") : "") {}

Dim scan_trip_count(const Graph& graph, const Node& node) {
  const ScanView scan(node);
  if (scan.sequences > 0) return graph.type(node.inputs[scan.carries]).shape[static_cast<size_t>(scan.axes[0])];
  return node.attributes.shape("trip")[0];
}

}  // namespace moru
