// The model's answers for a whole data set.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/data/dataset.h"
#include "runtime/session.h"
#include "runtime/status.h"

namespace moru {

/// Runs the entry `predict` over every batch of `data`; one tensor for each model output, in the model's order and in raw
/// units, the batches one behind the other along the first axis. A larger batch_size costs memory and changes no bit.
Result<std::vector<SavedTensor>> predict(Session& session, const Dataset& data, int64_t batch_size = 256);

/// The answers for tensors given whole, one run: `inputs` by name, or one without a name where the model has only one.
/// Elements convert to the type of the input where nothing is lost.
Result<std::vector<SavedTensor>> predict_tensors(Session& session, std::span<const SavedTensor> inputs);

/// The name of the file for a model output, without its ending: every byte outside A-Za-z0-9._- becomes %XX.
std::string output_file_name(std::string_view output);

}  // namespace moru
