// The order in which an epoch visits the samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moru {

/// Ten rounds of Philox4x32 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
/// four random words that depend on nothing but counter and key.
struct PhiloxBlock {
  uint32_t words[4];
};
PhiloxBlock philox4x32(PhiloxBlock counter, uint64_t key);

/// Fills `order` with a permutation of 0 … order.size()-1 that is a function of (seed, epoch) alone, so that a run
/// resumed in the middle of an epoch sees the rest of the same permutation.
void shuffle_order(uint64_t seed, uint64_t epoch, std::span<int64_t> order);

}  // namespace moru
