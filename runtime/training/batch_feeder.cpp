#include "runtime/training/batch_feeder.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace moru {
namespace {

std::string names_of(std::span<const DatasetArray> arrays) {
  std::string text;
  for (const DatasetArray& array : arrays) {
    text += (text.empty() ? "'" : ", '") + (array.name.empty() ? std::string("(unnamed)") : array.name) + "'";
  }
  return text.empty() ? "none" : text;
}

/// Integers convert to each other and anything to floats; what is fractional never becomes a label unasked.
bool converts(DType from, DType to) {
  if (from == to) return true;
  if (from == DType::boolean || to == DType::boolean) return false;
  return is_float(to) || is_integer(from);
}

template <typename From, typename To>
void convert_elements(const std::byte* from, std::byte* to, std::size_t count) {
  const From* source = reinterpret_cast<const From*>(from);
  To* target = reinterpret_cast<To*>(to);
  for (std::size_t i = 0; i < count; ++i) target[i] = static_cast<To>(source[i]);
}

template <typename From>
void convert_from(const std::byte* from, DType to_type, std::byte* to, std::size_t count) {
  switch (to_type) {
    case DType::f32: return convert_elements<From, float>(from, to, count);
    case DType::f64: return convert_elements<From, double>(from, to, count);
    case DType::i32: return convert_elements<From, int32_t>(from, to, count);
    case DType::i64: return convert_elements<From, int64_t>(from, to, count);
    case DType::boolean:
    case DType::bf16: return;
  }
}

void convert(DType from_type, const std::byte* from, DType to_type, std::byte* to, std::size_t count) {
  switch (from_type) {
    case DType::f32: return convert_from<float>(from, to_type, to, count);
    case DType::f64: return convert_from<double>(from, to_type, to, count);
    case DType::i32: return convert_from<int32_t>(from, to_type, to, count);
    case DType::i64: return convert_from<int64_t>(from, to_type, to, count);
    case DType::boolean:
    case DType::bf16: return;
  }
}

template <typename T>
int64_t label_of(const T* values, std::size_t count) {
  if (count == 1) return static_cast<int64_t>(values[0]);
  return std::max_element(values, values + count) - values;
}

int64_t label_of(DType dtype, const std::byte* sample, std::size_t count) {
  switch (dtype) {
    case DType::f32: return label_of(reinterpret_cast<const float*>(sample), count);
    case DType::f64: return label_of(reinterpret_cast<const double*>(sample), count);
    case DType::i32: return label_of(reinterpret_cast<const int32_t*>(sample), count);
    case DType::i64: return label_of(reinterpret_cast<const int64_t*>(sample), count);
    case DType::boolean: return static_cast<int64_t>(*sample);
    case DType::bf16: break;
  }
  return 0;
}

}  // namespace

Result<BatchFeeder> BatchFeeder::create(Session& session, uint32_t entry, const Dataset& data, int64_t batch_size,
                                        std::span<const ClassWeight> class_weight) {
  const Program& program = session.program();
  if (batch_size < 1) return Status(StatusCode::invalid_argument, "batch_size must be at least 1");
  BatchFeeder feeder(session, data);
  feeder.input_addresses_.assign(data.inputs().size(), nullptr);
  feeder.target_addresses_.assign(data.targets().size(), nullptr);
  // A batch is never larger than the data.
  const int64_t rows = std::min(batch_size, std::max<int64_t>(data.size(), 1));
  bool has_targets = false;
  for (const uint32_t slot : program.entries()[entry].inputs) {
    const ProgramSlot& described = program.slots()[slot];
    if (described.kind == SlotKind::input) {
      const int found = data.find_input(described.name);
      if (found < 0) {
        return Status(StatusCode::not_found, "the data have no array for the model's input '" + described.name +
                                                 "'; they have " + names_of(data.inputs()));
      }
      const auto position = static_cast<std::size_t>(found);
      MORU_RETURN_IF_ERROR(feeder.add_array(slot, data.inputs()[position], rows));
      feeder.input_addresses_[position] = feeder.arrays_.back().gathered();
    } else if (described.kind == SlotKind::target) {
      std::string_view name = described.name;
      for (const ProgramOutput& output : program.outputs()) {
        if (output.target == slot) name = output.name;
      }
      const int found = data.find_target(name);
      if (found < 0) {
        return Status(StatusCode::not_found, "the data have no target for the model's output '" + std::string(name) +
                                                 "'; they have " + names_of(data.targets()));
      }
      const auto position = static_cast<std::size_t>(found);
      MORU_RETURN_IF_ERROR(feeder.add_array(slot, data.targets()[position], rows));
      feeder.target_addresses_[position] = feeder.arrays_.back().gathered();
      feeder.label_array_ = feeder.arrays_.size() - 1;
      has_targets = true;
    } else if (described.kind == SlotKind::sample_weight) {
      if (described.dtype != DType::f32) {
        return Status(StatusCode::invalid_argument, "sample weights are f32, not " +
                                                        std::string(dtype_name(described.dtype)));
      }
      feeder.weight_slots_.push_back(slot);
    }
  }
  if (has_targets && feeder.weight_slots_.empty() && (data.has_sample_weights() || !class_weight.empty())) {
    return Status(StatusCode::invalid_argument,
                  std::string("there are ") + (class_weight.empty() ? "sample" : "class") +
                      " weights, but the program was compiled without them\n  hint: compile the model with a recipe "
                      "that has them");
  }
  if (!feeder.weight_slots_.empty()) {
    MORU_RETURN_IF_ERROR(feeder.weights_.reserve(static_cast<uint64_t>(rows) * sizeof(float), "a batch of weights"));
    // Data without weights leave this memory alone: every sample counts one.
    std::fill_n(reinterpret_cast<float*>(feeder.weights_.data()), rows, 1.0f);
  }
  if (!class_weight.empty()) {
    const bool one_target = std::count_if(feeder.target_addresses_.begin(), feeder.target_addresses_.end(),
                                          [](const void* address) { return address != nullptr; }) == 1;
    const Array& label = feeder.arrays_[feeder.label_array_];
    if (!one_target || (label.sample_elements != 1 &&
                        label.sample_elements != static_cast<std::size_t>(label.shape.back()))) {
      return Status(StatusCode::invalid_argument,
                    "class_weight needs a model with one output and one label for each sample");
    }
    feeder.class_weight_.assign(class_weight.begin(), class_weight.end());
  }
  return feeder;
}

Status BatchFeeder::add_array(uint32_t slot, const DatasetArray& from, int64_t batch_size) {
  const ProgramSlot& described = session_->program().slots()[slot];
  Array array;
  array.slot = slot;
  array.from = from.dtype;
  array.to = described.dtype;
  array.shape.push_back(batch_size);
  array.shape.insert(array.shape.end(), from.sample_shape.begin(), from.sample_shape.end());
  array.sample_elements = from.sample_bytes / static_cast<std::size_t>(dtype_bytes(from.dtype));
  // A column of numbers is [samples] to some and [samples, 1] to others.
  if (array.shape.size() == described.shape.size() + 1 && array.shape.back() == 1) array.shape.pop_back();
  if (array.shape.size() + 1 == described.shape.size()) array.shape.push_back(1);
  if (!converts(array.from, array.to)) {
    return Status(StatusCode::invalid_argument, "'" + described.name + "' takes " + std::string(dtype_name(array.to)) +
                                                    " but the data are " + std::string(dtype_name(array.from)) +
                                                    "\n  hint: give its type in the recipe, or save the array so");
  }
  const uint64_t elements = static_cast<uint64_t>(batch_size) * array.sample_elements;
  MORU_RETURN_IF_ERROR(array.memory.reserve(elements * static_cast<uint64_t>(dtype_bytes(array.to)), "a batch"));
  if (array.from != array.to) {
    MORU_RETURN_IF_ERROR(
        array.unconverted.reserve(elements * static_cast<uint64_t>(dtype_bytes(array.from)), "a batch"));
  }
  arrays_.push_back(std::move(array));
  return Status();
}

Status BatchFeeder::feed(std::span<const int64_t> samples) {
  data_->gather(samples, input_addresses_, target_addresses_, reinterpret_cast<float*>(weights_.data()));
  return finish(static_cast<int64_t>(samples.size()));
}

Status BatchFeeder::feed_range(int64_t first, int64_t rows) {
  data_->gather_range(first, rows, input_addresses_, target_addresses_, reinterpret_cast<float*>(weights_.data()));
  return finish(rows);
}

Status BatchFeeder::finish(int64_t rows) {
  for (const Array& array : arrays_) {
    if (array.from == array.to) continue;
    convert(array.from, array.unconverted.data(), array.to, array.memory.data(),
            static_cast<std::size_t>(rows) * array.sample_elements);
  }
  if (!class_weight_.empty()) apply_class_weights(rows);
  if (rows == bound_rows_) return Status();
  for (Array& array : arrays_) {
    array.shape[0] = rows;
    MORU_RETURN_IF_ERROR(session_->bind(array.slot, array.memory.data(), array.shape));
  }
  weight_shape_[0] = rows;
  for (const uint32_t slot : weight_slots_) {
    MORU_RETURN_IF_ERROR(session_->bind(slot, weights_.data(), weight_shape_));
  }
  bound_rows_ = rows;
  return Status();
}

void BatchFeeder::apply_class_weights(int64_t rows) {
  const Array& label = arrays_[label_array_];
  const std::size_t sample_bytes = label.sample_elements * static_cast<std::size_t>(dtype_bytes(label.to));
  float* weights = reinterpret_cast<float*>(weights_.data());
  const bool weighted = data_->has_sample_weights();
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    const int64_t value = label_of(label.to, label.memory.data() + row * sample_bytes, label.sample_elements);
    float weight = 1.0f;
    for (const ClassWeight& of_class : class_weight_) {
      if (of_class.label == value) weight = static_cast<float>(of_class.weight);
    }
    weights[row] = weighted ? weights[row] * weight : weight;
  }
}

Status BatchFeeder::run_all(uint32_t entry, int64_t batch_size) {
  rebind();
  for (int64_t first = 0; first < samples(); first += batch_size) {
    MORU_RETURN_IF_ERROR(feed_range(first, std::min(batch_size, samples() - first)));
    MORU_RETURN_IF_ERROR(session_->run(entry));
  }
  return Status();
}

}  // namespace moru
