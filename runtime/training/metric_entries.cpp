#include "runtime/training/metric_entries.h"

#include <optional>

namespace moru {

Result<uint32_t> require_entry(const Program& program, std::string_view name) {
  if (const std::optional<uint32_t> entry = program.find_entry(name)) return *entry;
  std::string known;
  for (const ProgramEntry& entry : program.entries()) known += (known.empty() ? "" : ", ") + entry.name;
  return Status(StatusCode::not_found, "the program has no entry '" + std::string(name) + "'; it has: " + known +
                                           "\n  hint: compile the model with a recipe (a loss and an optimizer), or "
                                           "ask for that entry when compiling");
}

Result<MetricEntries> MetricEntries::find(const Program& program) {
  MetricEntries metrics;
  const Result<uint32_t> reset = require_entry(program, "reset_metrics");
  if (!reset) return reset.status();
  const Result<uint32_t> results = require_entry(program, "metric_results");
  if (!results) return results.status();
  metrics.reset = *reset;
  metrics.results = *results;
  for (const uint32_t slot : program.entries()[*results].outputs) {
    constexpr std::string_view prefix = "metric_results/";
    std::string_view key = program.slots()[slot].name;
    if (key.starts_with(prefix)) key.remove_prefix(prefix.size());
    metrics.names.emplace_back(key);
    metrics.slots.push_back(slot);
  }
  return metrics;
}

Status MetricEntries::read(Session& session, std::vector<NamedValue>& values) const {
  MORU_RETURN_IF_ERROR(session.run(results));
  if (values.size() != names.size()) {
    values.clear();
    for (const std::string& name : names) values.push_back({name, 0});
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    const TensorView view = session.view(slots[i]);
    if (const auto wide = view.elements<double>(); wide.size() == 1) {
      values[i].value = wide[0];
    } else if (const auto narrow = view.elements<float>(); narrow.size() == 1) {
      values[i].value = static_cast<double>(narrow[0]);
    } else {
      return Status(StatusCode::shape_mismatch, "the metric '" + names[i] + "' is not a floating-point scalar");
    }
  }
  return Status();
}

}  // namespace moru
