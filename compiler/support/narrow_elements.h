// Elements of narrow types in files, and as they are held in memory (narrow.h).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "compiler/support/narrow.h"

namespace moru {

/// Elements from the type that holds them to the narrow one, and back. Of those that are packed into bytes there come
/// back as many as the bytes hold, of which the last may be no elements of the tensor.
std::vector<std::byte> narrow_elements(std::span<const std::byte> held, Narrow narrow);
std::vector<std::byte> widen_elements(std::span<const std::byte> stored, Narrow narrow);

}  // namespace moru
