// Brings batches of a data set to the slots of an entry: gathers them into aligned memory of its own, converts element
// types where that loses nothing, multiplies sample and class weights, and binds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/aligned_buffer.h"
#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"
#include "runtime/session.h"
#include "runtime/status.h"

namespace moru {

class BatchFeeder {
 public:
  /// Pairs the inputs, targets and sample weights that `entry` needs with the arrays of `data`, which must outlive the
  /// feeder, as must `session`. An input fits an array of its name, a target the array of its output's name; where there
  /// is only one on either side names do not matter. Class weights need an entry with sample weights and one target with
  /// one label a sample; a label that is not listed weighs 1.
  static Result<BatchFeeder> create(Session& session, uint32_t entry, const Dataset& data, int64_t batch_size,
                                    std::span<const ClassWeight> class_weight = {});

  int64_t samples() const { return data_->size(); }

  /// The next feed binds all slots again; needed when something else has bound them since.
  void rebind() { bound_rows_ = -1; }
  /// Gathers these samples, at most batch_size of them, and binds them. Allocates nothing.
  Status feed(std::span<const int64_t> samples);
  /// The same for samples first ... first+rows-1.
  Status feed_range(int64_t first, int64_t rows);
  /// Has the system begin to read what the next feed wants; see Dataset::prefetch.
  void prefetch(std::span<const int64_t> samples) const noexcept { data_->prefetch(samples); }
  /// Feeds every sample in order and runs `entry` on each batch.
  Status run_all(uint32_t entry, int64_t batch_size);

 private:
  struct Array {
    uint32_t slot = 0;
    std::size_t sample_elements = 0;
    std::byte* gathered() const { return from == to ? memory.data() : unconverted.data(); }
    DType from = DType::f32, to = DType::f32;
    AlignedBuffer memory;        // what is bound
    AlignedBuffer unconverted;   // what is gathered, where the types differ
    std::vector<int64_t> shape;  // of a batch; [0] is set when bound
  };

  BatchFeeder(Session& session, const Dataset& data) : session_(&session), data_(&data) {}
  Status add_array(uint32_t slot, const DatasetArray& from, int64_t batch_size);
  Status finish(int64_t rows);
  void apply_class_weights(int64_t rows);

  Session* session_;
  const Dataset* data_;
  std::vector<Array> arrays_;
  std::vector<uint32_t> weight_slots_;
  AlignedBuffer weights_;
  std::vector<int64_t> weight_shape_{0};
  std::vector<void*> input_addresses_, target_addresses_;  // by position in the data set; null where not needed
  std::vector<ClassWeight> class_weight_;
  std::size_t label_array_ = 0;  // the target the class weights go by
  int64_t bound_rows_ = -1;
};

}  // namespace moru
