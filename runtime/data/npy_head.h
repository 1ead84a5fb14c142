// The beginning of a .npy file, for who puts the data behind it himself.
#pragma once

#include <span>
#include <string>

#include "runtime/data/npy.h"

namespace moru {

/// What stands in front of the data of an array in row-major order: version 1.0, at most 32 axes.
std::string npy_head(NpyType type, std::span<const int64_t> shape);

}  // namespace moru
