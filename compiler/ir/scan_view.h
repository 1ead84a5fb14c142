// A scan's attributes and operand ranges, spelled out: op `scan` in ops/control.cpp says what they mean.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

/// Inputs are carries, sequences, invariants, in this order; outputs carries, stacks.
struct ScanView {
  size_t carries = 0, sequences = 0, invariants = 0, stacks = 0;
  std::vector<int64_t> axes, output_axes;
  bool reverse = false, recompute = false;
  std::string over;  // what the steps are, for readers; may be empty
  explicit ScanView(const Node& node);
};

/// How often a scan's body runs.
Dim scan_trip_count(const Graph& graph, const Node& node);

}  // namespace moru
