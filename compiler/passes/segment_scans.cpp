#include "compiler/passes/segment_scans.h"

#include <cmath>
#include <optional>

#include "compiler/ir/builder.h"
#include "compiler/ir/scan_view.h"
#include "compiler/ops/op.h"
#include "compiler/passes/rewrite.h"

namespace moru {

namespace {

/// The divisor of `steps` that is closest to its root; nothing for primes and fewer than 4 steps.
std::optional<int64_t> segment_length(int64_t steps) {
  std::optional<int64_t> best;
  const double root = std::sqrt(static_cast<double>(steps));
  for (int64_t length = 2; length <= steps / 2; ++length) {
    if (steps % length != 0) continue;
    if (!best || std::abs(std::log(static_cast<double>(length) / root)) < std::abs(std::log(static_cast<double>(*best) / root)))
      best = length;
  }
  return best;
}

// The shape with the time axis in two: which segment, and where in it.
Shape split_axis(Shape shape, int64_t axis, int64_t segments, int64_t length) {
  shape[static_cast<size_t>(axis)] = segments;
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(length));
  return shape;
}

void segment(Graph& graph, size_t index, int64_t steps, int64_t length) {
  const Node scan = graph.nodes[index];
  const ScanView view(scan);
  const int64_t segments = steps / length;
  Builder b(graph, scan.origin);

  Graph body;
  body.name = "segment";
  Builder inner(body, scan.origin);
  std::vector<Value> operands, inner_operands;
  for (size_t i = 0; i < scan.inputs.size(); ++i) {
    Value operand = b.value(scan.inputs[i]);
    Type type = graph.type(scan.inputs[i]);
    if (i >= view.carries && i < view.carries + view.sequences) {
      const int64_t axis = view.axes[i - view.carries];
      operand = b.reshape(operand, split_axis(type.shape, axis, segments, length));
      type.shape[static_cast<size_t>(axis)] = length;
    }
    operands.push_back(operand);
    inner_operands.push_back(inner.input(type));
  }
  Attributes attributes = scan.attributes;
  if (attributes.has("trip")) attributes.set("trip", Shape{Dim(length)});
  const std::vector<Value> results = inner.call_all("scan", inner_operands, attributes, {scan.bodies[0]});
  for (const Value& result : results) inner.result(result);
  attributes.set("recompute", true);
  if (attributes.has("trip")) attributes.set("trip", Shape{Dim(segments)});
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  const std::vector<Value> outputs = b.call_all("scan", operands, attributes, std::move(bodies));

  std::vector<ValueId> whole;
  for (size_t k = 0; k < outputs.size(); ++k)
    whole.push_back(k < view.carries ? outputs[k].id : b.reshape(outputs[k], graph.type(scan.outputs[k]).shape).id);
  std::vector<ValueId> replacement(graph.types.size());
  for (size_t v = 0; v < replacement.size(); ++v) replacement[v] = static_cast<ValueId>(v);
  for (size_t k = 0; k < whole.size(); ++k) replacement[scan.outputs[k]] = whole[k];
  graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(index));
  replace_uses(graph, replacement);
  sort_nodes(graph);
}

}  // namespace

void segment_scans(Graph& graph) {
  for (bool again = true; again;) {
    again = false;
    for (size_t n = 0; n < graph.nodes.size() && !again; ++n) {
      const Node& node = graph.nodes[n];
      if (node.op->name != "scan" || ScanView(node).recompute) continue;
      const Dim trip = scan_trip_count(graph, node);
      const std::optional<int64_t> length = trip.is_constant() ? segment_length(trip.constant()) : std::nullopt;
      if (!length) continue;
      segment(graph, n, trip.constant(), *length);
      again = true;
    }
  }
}

}  // namespace moru
