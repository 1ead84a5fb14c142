#include "compiler/ops/philox.h"

namespace moru {

std::array<uint32_t, 2> philox_2x32_10(std::array<uint32_t, 2> counter, uint32_t key) {
  for (int round = 0; round < philox_rounds; ++round) {
    const uint64_t product = uint64_t{philox_multiplier} * counter[0];
    counter = {static_cast<uint32_t>(product >> 32) ^ key ^ counter[1], static_cast<uint32_t>(product)};
    key += philox_key_step;
  }
  return counter;
}

namespace {

// `key` of the header's formula.
uint32_t random_key(int64_t seed, int64_t step, int64_t stream, int64_t element) {
  uint32_t h = 0;
  auto mix = [&h](uint64_t w) {
    h ^= static_cast<uint32_t>(w) * 0xcc9e2d51u + 0x9e3779b9u;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    h ^= h >> 16;
  };
  mix(static_cast<uint64_t>(seed));
  mix(static_cast<uint64_t>(seed) >> 32);
  mix(static_cast<uint64_t>(stream));
  mix(static_cast<uint64_t>(stream) >> 32);
  mix(static_cast<uint64_t>(step) >> 32);
  return h + 0x85ebca6bu * static_cast<uint32_t>(static_cast<uint64_t>(element) >> 32);
}

}  // namespace

float random_uniform(int64_t seed, int64_t step, int64_t stream, int64_t element) {
  const std::array<uint32_t, 2> words = philox_2x32_10(
      {static_cast<uint32_t>(static_cast<uint64_t>(element)), static_cast<uint32_t>(static_cast<uint64_t>(step))},
      random_key(seed, step, stream, element));
  return static_cast<float>(words[0] >> 8) * 0x1p-24f;
}

}  // namespace moru
