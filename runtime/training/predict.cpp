#include "runtime/training/predict.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/data/npy.h"
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

Result<std::vector<SavedTensor>> predict_tensors(Session& session, std::span<const SavedTensor> inputs) {
  const Program& program = session.program();
  const Result<uint32_t> entry = require_entry(program, "predict");
  if (!entry) return entry.status();
  const ProgramEntry& described = program.entries()[*entry];
  std::string known;
  for (const uint32_t slot : described.inputs) known += (known.empty() ? "'" : ", '") + program.slots()[slot].name + "'";
  for (const SavedTensor& input : inputs) {
    const std::optional<uint32_t> slot = program.find_slot(input.name);
    const bool only = input.name.empty() && described.inputs.size() == 1;
    if (only || (slot && std::find(described.inputs.begin(), described.inputs.end(), *slot) != described.inputs.end())) {
      continue;
    }
    return Status(StatusCode::not_found, (input.name.empty() ? std::string("an array without a name")
                                                             : "'" + input.name + "'") +
                                             " is not an input of the model; its inputs are " + known);
  }
  std::vector<std::vector<std::byte>> memory;  // of converted inputs, until the run is over
  for (const uint32_t slot : described.inputs) {
    const ProgramSlot& wanted = program.slots()[slot];
    const SavedTensor* given = nullptr;
    for (const SavedTensor& input : inputs) {
      if (input.name == wanted.name || input.name.empty()) given = &input;
    }
    if (given == nullptr) {
      return Status(StatusCode::not_bound, "the model needs the input '" + wanted.name + "', which is not given");
    }
    const void* data = given->bytes.data();
    if (given->dtype != wanted.dtype) {
      const NpyArray array = {npy_type_of(given->dtype), given->shape, given->bytes};
      Result<std::vector<std::byte>> fitting = convert_npy(array, wanted.dtype, "input '" + wanted.name + "'");
      if (!fitting) return fitting.status();
      memory.push_back(*std::move(fitting));
      data = memory.back().data();
    }
    MORU_RETURN_IF_ERROR(session.bind(slot, data, given->shape));
  }
  MORU_RETURN_IF_ERROR(session.run(*entry));
  std::vector<SavedTensor> answers;
  for (const ProgramOutput& output : program.outputs()) {
    answers.push_back(capture_slot(session, output.prediction));
    answers.back().name = output.name;
  }
  return answers;
}

std::string output_file_name(std::string_view output) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string name;
  for (const char c : output) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '-';
    if (plain) {
      name += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    name += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return name;
}

}  // namespace moru
