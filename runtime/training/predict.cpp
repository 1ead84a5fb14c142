#include "runtime/training/predict.h"

#include <algorithm>
#include <utility>

#include "runtime/training/batch_feeder.h"
#include "runtime/training/metric_entries.h"

namespace moru {

Result<std::vector<SavedTensor>> predict(Session& session, const Dataset& data, int64_t batch_size) {
  const Program& program = session.program();
  const Result<uint32_t> entry = require_entry(program, "predict");
  if (!entry) return entry.status();
  if (data.size() == 0) return Status(StatusCode::invalid_argument, "there are no samples to predict");
  Result<BatchFeeder> feeder = BatchFeeder::create(session, *entry, data, batch_size);
  if (!feeder) return feeder.status();

  std::vector<SavedTensor> answers;
  for (const ProgramOutput& output : program.outputs()) {
    answers.push_back({output.name, program.slots()[output.prediction].dtype, {}, {}});
  }
  for (int64_t first = 0; first < data.size(); first += batch_size) {
    const int64_t rows = std::min(batch_size, data.size() - first);
    MORU_RETURN_IF_ERROR(feeder->feed_range(first, rows));
    MORU_RETURN_IF_ERROR(session.run(*entry));
    for (std::size_t i = 0; i < answers.size(); ++i) {
      SavedTensor& answer = answers[i];
      const TensorView view = session.view(program.outputs()[i].prediction);
      if (view.shape.empty()) {
        return Status(StatusCode::shape_mismatch, "the output '" + answer.name + "' is a scalar: it has no batch axis");
      }
      if (first == 0) {
        answer.shape.assign(view.shape.begin(), view.shape.end());
        const auto per_row = view.bytes() / static_cast<uint64_t>(rows);
        answer.bytes.reserve(static_cast<std::size_t>(per_row) * static_cast<std::size_t>(data.size()));
      } else {
        answer.shape[0] += view.shape[0];
      }
      const auto* bytes = static_cast<const std::byte*>(view.data);
      answer.bytes.insert(answer.bytes.end(), bytes, bytes + view.bytes());
    }
  }
  return answers;
}

}  // namespace moru
