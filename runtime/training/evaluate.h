// Losses and metrics of a data set, in inference mode.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/session.h"
#include "runtime/status.h"
#include "runtime/training/progress.h"

namespace moru {

/// Runs the entry `evaluate` over every batch of `data` and returns the values of `metric_results` under their history
/// keys, `loss` first. The session's metric state is that of this data set afterwards; nothing else changes.
Result<std::vector<NamedValue>> evaluate(Session& session, const Dataset& data, int64_t batch_size = 32);

}  // namespace moru
