// Elements of narrow types in files, and as they are held in memory (narrow.h).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "compiler/support/narrow.h"

namespace moru {

/// Elements from the type that holds them to the narrow one, and back.
std::vector<std::byte> narrow_elements(std::span<const std::byte> held, Narrow narrow);
std::vector<std::byte> widen_elements(std::span<const std::byte> narrow_bytes, Narrow narrow);

}  // namespace moru
