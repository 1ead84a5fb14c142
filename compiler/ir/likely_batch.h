// What the symbols of shapes are taken for where compiling has to choose between schedules and only a run knows sizes. The
// bits of results do not depend on it.
#pragma once

#include <cstdint>

namespace moru {

/// Of choices that pay in the middle of training: how contractions and rows are cut for the caches.
constexpr int64_t likely_batch = 128;
/// Of choices that must pay for small batches too: tiles of registers, and what is worth sharing between threads.
constexpr int64_t small_batch = 32;

}  // namespace moru
