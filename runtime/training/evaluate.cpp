#include "runtime/training/evaluate.h"

#include "runtime/training/batch_feeder.h"
#include "runtime/training/metric_entries.h"

namespace moru {

Result<std::vector<NamedValue>> evaluate(Session& session, const Dataset& data, int64_t batch_size) {
  const Result<uint32_t> entry = require_entry(session.program(), "evaluate");
  if (!entry) return entry.status();
  const Result<MetricEntries> metrics = MetricEntries::find(session.program());
  if (!metrics) return metrics.status();
  if (data.size() == 0) return Status(StatusCode::invalid_argument, "there are no samples to evaluate");
  Result<BatchFeeder> feeder = BatchFeeder::create(session, *entry, data, batch_size);
  if (!feeder) return feeder.status();
  MORU_RETURN_IF_ERROR(session.run(metrics->reset));
  MORU_RETURN_IF_ERROR(feeder->run_all(*entry, batch_size));
  std::vector<NamedValue> values;
  MORU_RETURN_IF_ERROR(metrics->read(session, values));
  return values;
}

}  // namespace moru
