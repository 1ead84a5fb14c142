#include "runtime/training/shuffle.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

using namespace moru;

namespace {

std::vector<int64_t> order_of(uint64_t seed, uint64_t epoch, size_t count) {
  std::vector<int64_t> order(count, -1);
  shuffle_order(seed, epoch, order);
  return order;
}

}  // namespace

TEST_CASE("shuffle: Philox4x32-10 gives the published known answers") {
  // kat_vectors of Random123 1.14: counter and key all zeros, all ones, and the digits of pi.
  const PhiloxBlock zeros = philox4x32({{0, 0, 0, 0}}, 0);
  CHECK(zeros.words[0] == 0x6627e8d5u);
  CHECK(zeros.words[1] == 0xe169c58du);
  CHECK(zeros.words[2] == 0xbc57ac4cu);
  CHECK(zeros.words[3] == 0x9b00dbd8u);
  const PhiloxBlock ones = philox4x32({{~0u, ~0u, ~0u, ~0u}}, ~uint64_t{0});
  CHECK(ones.words[0] == 0x408f276du);
  CHECK(ones.words[1] == 0x41c83b0eu);
  CHECK(ones.words[2] == 0xa20bc7c6u);
  CHECK(ones.words[3] == 0x6d5451fdu);
  const PhiloxBlock pi = philox4x32({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0x299f31d0a4093822u);
  CHECK(pi.words[0] == 0xd16cfe09u);
  CHECK(pi.words[1] == 0x94fdccebu);
  CHECK(pi.words[2] == 0x5001e420u);
  CHECK(pi.words[3] == 0x24126ea1u);
}

TEST_CASE("shuffle: an order holds every sample once, whatever the size") {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{1000}, size_t{4097}}) {
    std::vector<int64_t> order = order_of(5, 3, count);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> expected(count);
    std::iota(expected.begin(), expected.end(), int64_t{0});
    CHECK(order == expected);
  }
}

TEST_CASE("shuffle: the order depends on seed and epoch and on nothing else") {
  const std::vector<int64_t> order = order_of(1, 2, 500);
  order_of(9, 9, 77);
  CHECK(order_of(1, 2, 500) == order);
  CHECK(order_of(1, 3, 500) != order);
  CHECK(order_of(2, 2, 500) != order);
  CHECK(order_of(1 + (uint64_t{1} << 40), 2, 500) != order);
}

TEST_CASE("shuffle: every sample is as likely at every place") {
  constexpr size_t count = 6;
  constexpr int epochs = 12000;
  int seen[count][count] = {};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const std::vector<int64_t> order = order_of(123, static_cast<uint64_t>(epoch), count);
    for (size_t place = 0; place < count; ++place) ++seen[place][order[place]];
  }
  // Each cell is binomial(12000, 1/6): mean 2000, standard deviation 41.
  for (size_t place = 0; place < count; ++place) {
    for (size_t sample = 0; sample < count; ++sample) {
      CHECK(seen[place][sample] > 2000 - 5 * 41);
      CHECK(seen[place][sample] < 2000 + 5 * 41);
    }
  }
}
