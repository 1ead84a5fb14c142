// What a report says of predicted numbers: their series, errors, and how these lie in time.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/report/run_files.h"
#include "tools/report/series_statistics.h"

namespace moru {

/// What a whole part of the data shares.
struct Frame {
  bool is_ordered = false;
  std::vector<int64_t> rows, seconds;  // seconds may be empty
  int64_t step_seconds = 0;            // between samples, where known
  int64_t horizon = 0;
  std::string horizon_text;  // "2 hours", or empty
};

/// Of a run's `predictions`.
Frame read_frame(const nlohmann::ordered_json& predictions);

/// One predicted number. Its JSON:
///   {"name", "label", "unit", "ordered", "horizon_text", "first", "x" [n] (milliseconds, or rows), "is_time",
///    "actual" [n], "predicted" [n], "baselines" {name: [n]}, "best_baseline", "errors" [rows of the table],
///    "histogram", "autocorrelation", "by_hour"}
/// Statistics are of all samples; the lists hold the newest 50,000.
struct NumberTarget {
  nlohmann::ordered_json json;
  std::string label;
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  double mae = unknown, rmse = unknown, bias = unknown;
  std::string best_baseline;
  double best_baseline_mae = unknown;
  std::optional<LjungBox> whiteness;
};

/// Appends the targets of one output, `only` if there is no other, and where it is wide the error by place: by step of the
/// forecast, or by column.
void read_numbers(const RunFiles& run, const Frame& frame, const nlohmann::ordered_json& output, bool only,
                  std::vector<NumberTarget>& targets, nlohmann::ordered_json& by_place);

}  // namespace moru
