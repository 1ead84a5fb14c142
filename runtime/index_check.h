// Integer inputs that index a table are checked before native code sees them.
#pragma once

#include <string_view>

#include "runtime/status.h"
#include "runtime/tensor_view.h"

namespace moru {

/// Fails unless 0 <= v < limit for every element of an i32 or i64 tensor; names the slot, the first such element's
/// position and its value. limit > 0.
Status check_indices(const TensorView& tensor, int64_t limit, std::string_view slot_name);

}  // namespace moru
