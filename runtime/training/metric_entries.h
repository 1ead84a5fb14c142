// The entries of a training program that hold its metrics, and how to read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/session.h"
#include "runtime/status.h"
#include "runtime/training/progress.h"

namespace moru {

/// The entry of that name, or an error that says what the program can do.
Result<uint32_t> require_entry(const Program& program, std::string_view name);

/// `reset_metrics` and `metric_results`, whose outputs are scalars called `metric_results/<history key>`: `loss`, the
/// losses of single outputs, the metrics.
struct MetricEntries {
  uint32_t reset = 0;
  uint32_t results = 0;
  std::vector<std::string> names;
  std::vector<uint32_t> slots;

  static Result<MetricEntries> find(const Program& program);

  /// Runs `metric_results` and stores what it says; `values` keeps its memory from one call to the next.
  Status read(Session& session, std::vector<NamedValue>& values) const;
};

}  // namespace moru
