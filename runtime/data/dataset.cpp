#include "runtime/data/dataset.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>
#include <cstring>

#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"

namespace moru {

void Dataset::gather_one(std::size_t position, int64_t sample, std::span<void* const> inputs,
                         std::span<void* const> targets, float* weights) const noexcept {
  const int64_t row = anchors_[static_cast<std::size_t>(sample)];
  const auto copy = [&](const std::vector<DatasetArray>& arrays, std::span<void* const> to) {
    for (std::size_t k = 0; k < arrays.size() && k < to.size(); ++k) {
      if (to[k] == nullptr) continue;
      const DatasetArray& array = arrays[k];
      const std::byte* from = array.base->data() + static_cast<std::size_t>(row + array.first_row) * array.row_bytes;
      std::memcpy(static_cast<std::byte*>(to[k]) + position * array.sample_bytes, from, array.sample_bytes);
    }
  };
  copy(inputs_, inputs);
  copy(targets_, targets);
  if (weights != nullptr) {
    weights[position] = weights_ ? (*weights_)[static_cast<std::size_t>(row + horizon_)] : 1.0f;
  }
}

void Dataset::gather(std::span<const int64_t> samples, std::span<void* const> inputs, std::span<void* const> targets,
                     float* weights) const noexcept {
  for (std::size_t i = 0; i < samples.size(); ++i) gather_one(i, samples[i], inputs, targets, weights);
}

void Dataset::gather_range(int64_t first, int64_t count, std::span<void* const> inputs, std::span<void* const> targets,
                           float* weights) const noexcept {
  for (int64_t i = 0; i < count; ++i) gather_one(static_cast<std::size_t>(i), first + i, inputs, targets, weights);
}

void Dataset::prefetch(std::span<const int64_t> samples) const noexcept {
  for (const auto* arrays : {&inputs_, &targets_})
    for (const DatasetArray& array : *arrays) {
      if (!array.base->is_mapped()) continue;
      for (const int64_t sample : samples) {
        const auto row = static_cast<std::size_t>(anchors_[static_cast<std::size_t>(sample)] + array.first_row);
        prefetch_mapped({array.base->data() + row * array.row_bytes, array.sample_bytes});
      }
    }
}

Dataset Dataset::slice(int64_t first, int64_t count) const {
  Dataset part = *this;
  part.anchors_.assign(anchors_.begin() + first, anchors_.begin() + first + count);
  return part;
}

int Dataset::find(const std::vector<DatasetArray>& arrays, std::string_view name) {
  if (arrays.size() == 1 && (name.empty() || arrays[0].name.empty())) return 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (arrays[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

std::string Dataset::target_label(int64_t sample) const {
  const int64_t row = target_row(sample);
  if (!times_) return std::to_string(row);
  const auto& seconds = times_->seconds;
  if (row < static_cast<int64_t>(seconds.size())) return format_time(seconds[static_cast<std::size_t>(row)]);
  const int64_t step = times_->spacing != 0 ? times_->spacing : times_->step;
  if (step == 0) return {};
  return format_time(seconds.back() + (row - static_cast<int64_t>(seconds.size()) + 1) * step);
}

uint64_t Dataset::fingerprint() const {
  const uint64_t shape[3] = {source_fingerprint_, static_cast<uint64_t>(horizon_), static_cast<uint64_t>(row_count_)};
  uint64_t hash = XXH3_64bits(shape, sizeof shape);
  hash = XXH3_64bits_withSeed(anchors_.data(), anchors_.size() * sizeof(int64_t), hash);
  for (const auto* arrays : {&inputs_, &targets_}) {
    for (const DatasetArray& array : *arrays) {
      hash = XXH3_64bits_withSeed(array.name.data(), array.name.size(), hash);
      hash = XXH3_64bits_withSeed(array.sample_shape.data(), array.sample_shape.size() * sizeof(int64_t), hash);
    }
  }
  return hash;
}

Result<Dataset> Dataset::make(Parts parts) {
  for (const auto* arrays : {&parts.inputs, &parts.targets}) {
    for (const DatasetArray& array : *arrays) {
      int64_t elements = 1;
      bool fits = true;
      for (const int64_t size : array.sample_shape) {
        fits = fits && size >= 0 && !__builtin_mul_overflow(elements, size, &elements);
      }
      int64_t bytes = 0;
      fits = fits && !__builtin_mul_overflow(elements, dtype_bytes(array.dtype), &bytes);
      if (!fits || array.base == nullptr || static_cast<uint64_t>(bytes) != array.sample_bytes) {
        return data_error("data array '" + array.name + "': its shape and its bytes disagree");
      }
      for (const int64_t anchor : parts.anchors) {
        const int64_t row = anchor + array.first_row;
        const bool inside =
            row >= 0 && (array.row_bytes == 0 || static_cast<uint64_t>(row) <= array.base->size() / array.row_bytes) &&
            array.sample_bytes <= array.base->size() - static_cast<std::size_t>(row) * array.row_bytes;
        if (!inside) return data_error("data array '" + array.name + "': a sample reaches beyond its rows");
      }
    }
  }
  if (parts.weights) {
    for (const int64_t anchor : parts.anchors) {
      const int64_t row = anchor + parts.horizon;
      if (row < 0 || row >= static_cast<int64_t>(parts.weights->size())) {
        return data_error("sample weights: a sample reaches beyond their rows");
      }
    }
  }
  Dataset dataset;
  dataset.inputs_ = std::move(parts.inputs);
  dataset.targets_ = std::move(parts.targets);
  dataset.weights_ = std::move(parts.weights);
  dataset.times_ = std::move(parts.times);
  dataset.anchors_ = std::move(parts.anchors);
  dataset.horizon_ = parts.horizon;
  dataset.row_count_ = parts.row_count;
  dataset.source_fingerprint_ = parts.source_fingerprint;
  return dataset;
}

Result<Dataset> Dataset::from_arrays(std::span<const Array> inputs, std::span<const Array> targets,
                                     std::span<const float> weights) {
  Parts parts;
  int64_t count = -1;
  uint64_t hash = 0;
  const auto take = [&](std::span<const Array> arrays, std::vector<DatasetArray>& out) -> Status {
    for (const Array& array : arrays) {
      if (array.shape.empty())
        return data_error("array '" + array.name + "' is a scalar\n  hint: its first axis must count the samples");
      int64_t elements = 1;
      for (const int64_t size : array.shape) {
        if (size < 0 || __builtin_mul_overflow(elements, size, &elements))
          return data_error("array '" + array.name + "': impossible shape");
      }
      int64_t bytes = 0;
      if (__builtin_mul_overflow(elements, dtype_bytes(array.dtype), &bytes) ||
          static_cast<uint64_t>(bytes) != array.data.size()) {
        return data_error("array '" + array.name + "': " + std::to_string(array.data.size()) +
                          " bytes do not fill its shape");
      }
      if (count < 0) count = array.shape[0];
      if (array.shape[0] != count) {
        return data_error("array '" + array.name + "' has " + std::to_string(array.shape[0]) +
                          " samples and the first array has " + std::to_string(count) +
                          "\n  hint: all arrays of a data set need the same first axis");
      }
      DatasetArray entry;
      entry.name = array.name;
      entry.dtype = array.dtype;
      entry.sample_shape.assign(array.shape.begin() + 1, array.shape.end());
      entry.sample_bytes = count > 0 ? array.data.size() / static_cast<std::size_t>(count) : 0;
      if (count == 0) {
        std::size_t sample_bytes = static_cast<std::size_t>(dtype_bytes(array.dtype));
        for (const int64_t size : entry.sample_shape) sample_bytes *= static_cast<std::size_t>(size);
        entry.sample_bytes = sample_bytes;
      }
      entry.row_bytes = entry.sample_bytes;
      entry.is_category = is_integer(array.dtype);
      entry.base = std::make_shared<const RowBytes>(std::vector<std::byte>(array.data.begin(), array.data.end()));
      hash = XXH3_64bits_withSeed(array.data.data(), array.data.size(), hash);
      out.push_back(std::move(entry));
    }
    return {};
  };
  MORU_RETURN_IF_ERROR(take(inputs, parts.inputs));
  MORU_RETURN_IF_ERROR(take(targets, parts.targets));
  if (!weights.empty()) {
    if (static_cast<int64_t>(weights.size()) != count) {
      return data_error("sample weights: " + std::to_string(weights.size()) + " for " + std::to_string(count) +
                        " samples");
    }
    parts.weights = std::make_shared<const std::vector<float>>(weights.begin(), weights.end());
  }
  parts.row_count = count < 0 ? 0 : count;
  parts.anchors.resize(static_cast<std::size_t>(parts.row_count));
  for (std::size_t i = 0; i < parts.anchors.size(); ++i) parts.anchors[i] = static_cast<int64_t>(i);
  parts.source_fingerprint = hash;
  return make(std::move(parts));
}

int64_t training_samples(int64_t count, double validation_split) {
  return static_cast<int64_t>(std::floor(static_cast<double>(count) * (1.0 - validation_split)));
}

}  // namespace moru
