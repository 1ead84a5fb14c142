#include "runtime/training/shuffle.h"

#include <numeric>
#include <utility>

namespace moru {
namespace {

// Told apart from the streams that dropout and noise draw from the same seed.
constexpr uint32_t shuffle_stream = 0x73687566u;  // "shuf"

/// A number in [0, bound): the high half of a 64 x 64 bit product. The bias is below bound / 2^64.
uint64_t below(uint64_t random, uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(random) * bound) >> 64);
}

}  // namespace

PhiloxBlock philox4x32(PhiloxBlock counter, uint64_t key) {
  uint32_t key_low = static_cast<uint32_t>(key);
  uint32_t key_high = static_cast<uint32_t>(key >> 32);
  PhiloxBlock x = counter;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product_0 = uint64_t{0xD2511F53u} * x.words[0];
    const uint64_t product_1 = uint64_t{0xCD9E8D57u} * x.words[2];
    x = {{static_cast<uint32_t>(product_1 >> 32) ^ x.words[1] ^ key_low, static_cast<uint32_t>(product_1),
          static_cast<uint32_t>(product_0 >> 32) ^ x.words[3] ^ key_high, static_cast<uint32_t>(product_0)}};
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return x;
}

void shuffle_order(uint64_t seed, uint64_t epoch, std::span<int64_t> order) {
  std::iota(order.begin(), order.end(), int64_t{0});
  // Fisher-Yates from the end. One Philox block gives two 64-bit numbers.
  uint64_t spare = 0;
  for (uint64_t i = order.size(), draw = 0; i > 1; --i, ++draw) {
    uint64_t random = spare;
    if (draw % 2 == 0) {
      const uint64_t block = draw / 2;
      const PhiloxBlock r = philox4x32({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                         static_cast<uint32_t>(epoch), shuffle_stream}},
                                       seed);
      random = (uint64_t{r.words[0]} << 32) | r.words[1];
      spare = (uint64_t{r.words[2]} << 32) | r.words[3];
    }
    std::swap(order[i - 1], order[below(random, i)]);
  }
}

}  // namespace moru
