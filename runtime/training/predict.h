// The model's answers for a whole data set.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/data/dataset.h"
#include "runtime/session.h"
#include "runtime/status.h"

namespace moru {

/// Runs the entry `predict` over every batch of `data`; one tensor for each model output, in the model's order and in raw
/// units, the batches one behind the other along the first axis. A larger batch_size costs memory and changes no bit.
Result<std::vector<SavedTensor>> predict(Session& session, const Dataset& data, int64_t batch_size = 256);

}  // namespace moru
