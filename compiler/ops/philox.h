// Counter-based random numbers: Philox-2x32 with 10 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011). A number is a pure function of what it is for, so the same bits come back in any order,
// on any number of threads and after any resume.
//
// The number for flat element index `element` of a tensor drawn with `seed`, `step` and `stream` (the 64-bit integers
// written as two's complement words, low and high):
//   mix(h, w)  = fmix32(h ^ (w * 0xcc9e2d51 + 0x9e3779b9))               fmix32: the finalizer of MurmurHash3
//   key        = mix(mix(mix(mix(mix(0, seed_low), seed_high), stream_low), stream_high), step_high)
//                + 0x85ebca6b * element_high
//   word       = first word of philox_2x32_10(counter = (element_low, step_low), key)
//   uniform    = (word >> 8) * 2^-24                                      in [0, 1), exact in f32
#pragma once

#include <array>
#include <cstdint>

namespace moru {

constexpr uint32_t philox_multiplier = 0xd256d193;
constexpr uint32_t philox_key_step = 0x9e3779b9;
constexpr int philox_rounds = 10;

/// One round: with the 64-bit product multiplier * counter[0], the new counter is (high ^ key ^ counter[1], low).
std::array<uint32_t, 2> philox_2x32_10(std::array<uint32_t, 2> counter, uint32_t key);

/// `uniform` of the formula above.
float random_uniform(int64_t seed, int64_t step, int64_t stream, int64_t element);

}  // namespace moru
