// What training and prediction read: samples as named arrays, one per model input and one per model output, gathered
// batch by batch. A data set keeps the base rows once and, per sample, the row it is anchored at: windows that overlap
// are never written out, and the parts of a split share their rows. Values are raw; scaling happens in the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/large_array.h"
#include "runtime/mapped_file.h"
#include "runtime/status.h"
#include "schema/types.h"

namespace moru {

/// The bytes of an array's rows, which data sets share: in memory, or in a file that is mapped, of which the system keeps
/// in memory what there is room for.
class RowBytes {
 public:
  RowBytes(std::vector<std::byte> bytes) : memory_(std::move(bytes)), bytes_(memory_) {}  // NOLINT
  RowBytes(LargeBytes bytes) : large_(std::move(bytes)), bytes_(large_.data(), large_.size()), is_mapped_(large_.is_mapped()) {}  // NOLINT
  RowBytes(std::shared_ptr<const MappedFile> file, std::span<const std::byte> part)
      : file_(std::move(file)), bytes_(part), is_mapped_(true) {}
  RowBytes(const RowBytes&) = delete;
  RowBytes& operator=(const RowBytes&) = delete;

  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  bool is_mapped() const { return is_mapped_; }

 private:
  std::vector<std::byte> memory_;
  LargeBytes large_;
  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
  bool is_mapped_ = false;
};

/// Where one input's or target's part of a sample lies: `sample_bytes` at the base row (anchor + first_row).
struct DatasetArray {
  std::string name;  // of the model's input or output; empty where there is only one
  DType dtype = DType::f32;
  std::vector<int64_t> sample_shape;  // without the batch: [length, features], [features], or what the .npy has
  std::vector<std::string> features;  // names along the last axis; empty for .npy
  bool is_category = false;           // targets: a label or one-hot code, where a mean error means nothing
  int64_t first_row = 0;              // 1-length for a window, horizon for a target
  std::size_t row_bytes = 0;
  std::size_t sample_bytes = 0;
  std::shared_ptr<const RowBytes> base;  // row_count * row_bytes
};

/// The time of every base row, in seconds since 1970-01-01 00:00, whatever the time zone of the data.
struct RowTimes {
  std::vector<int64_t> seconds;
  int64_t spacing = 0;  // seconds from each row to the next, 0 where that varies
  int64_t step = 0;     // the same as a rule, by the rows of the training; 0 where there is none
};

class Dataset {
 public:
  int64_t size() const { return static_cast<int64_t>(anchors_.size()); }
  std::span<const DatasetArray> inputs() const { return inputs_; }
  std::span<const DatasetArray> targets() const { return targets_; }
  bool has_sample_weights() const { return weights_ != nullptr; }

  /// The position of an input or target by name, or -1. An empty name on either side fits where there is only one.
  int find_input(std::string_view name) const { return find(inputs_, name); }
  int find_target(std::string_view name) const { return find(targets_, name); }

  /// Writes one batch: for array k, the parts of samples[0], samples[1], ... one behind the other at inputs[k] and
  /// targets[k] (no more than the spans hold; a null address skips an array) and the weights at `weights` unless null.
  /// Allocates nothing. Every sample is in [0, size()).
  void gather(std::span<const int64_t> samples, std::span<void* const> inputs, std::span<void* const> targets,
              float* weights = nullptr) const noexcept;

  /// The same for samples first, first+1, ..., first+count-1.
  void gather_range(int64_t first, int64_t count, std::span<void* const> inputs, std::span<void* const> targets,
                    float* weights = nullptr) const noexcept;

  /// Has the system begin to read what these samples need of mapped files. Neither waits nor allocates.
  void prefetch(std::span<const int64_t> samples) const noexcept;

  /// Samples first ... first+count-1 as a data set of their own that shares the rows.
  Dataset slice(int64_t first, int64_t count) const;

  /// The base row a sample is anchored at (the last row of its window), and the row of its target. In a prediction the
  /// target row may lie behind the last row of the file.
  int64_t anchor(int64_t sample) const { return anchors_[static_cast<std::size_t>(sample)]; }
  int64_t target_row(int64_t sample) const { return anchor(sample) + horizon_; }
  int64_t horizon() const { return horizon_; }
  int64_t row_count() const { return row_count_; }

  bool has_times() const { return times_ != nullptr; }
  const RowTimes* times() const { return times_.get(); }
  /// "2018-11-30 23:00:00": when the target of a sample is; the number of its row (from 0) where rows have no time, and
  /// "" for a time behind the file's last row that neither spacing nor step tells.
  std::string target_label(int64_t sample) const;

  /// A fingerprint of source bytes and sample positions: equal data sets train alike.
  uint64_t fingerprint() const;

  struct Parts {
    std::vector<DatasetArray> inputs, targets;
    std::shared_ptr<const std::vector<float>> weights;  // one per base row (read at the target row); null = all one
    std::shared_ptr<const RowTimes> times;              // null = rows have no time
    std::vector<int64_t> anchors;
    int64_t horizon = 0;
    int64_t row_count = 0;
    uint64_t source_fingerprint = 0;
  };
  Dataset() = default;

  /// Checks that every sample's part of every array lies inside its base, and that sizes do not overflow.
  static Result<Dataset> make(Parts parts);

  /// A data set of arrays in memory whose first axis is the sample, for programs that bring their own data.
  /// Bytes are copied.
  struct Array {
    std::string name;
    DType dtype = DType::f32;
    std::vector<int64_t> shape;  // [samples, ...]
    std::span<const std::byte> data;
  };
  static Result<Dataset> from_arrays(std::span<const Array> inputs, std::span<const Array> targets,
                                     std::span<const float> weights = {});

 private:
  static int find(const std::vector<DatasetArray>& arrays, std::string_view name);
  void gather_one(std::size_t position, int64_t sample, std::span<void* const> inputs, std::span<void* const> targets,
                  float* weights) const noexcept;

  std::vector<DatasetArray> inputs_, targets_;
  std::shared_ptr<const std::vector<float>> weights_;
  std::shared_ptr<const RowTimes> times_;
  std::vector<int64_t> anchors_;
  int64_t horizon_ = 0;
  int64_t row_count_ = 0;
  uint64_t source_fingerprint_ = 0;
};

/// Keras' validation_split: the number of training samples, floor(count * (1 - fraction)) evaluated in double; the
/// samples behind them are the validation part, taken before any shuffling.
int64_t training_samples(int64_t count, double validation_split);

}  // namespace moru
