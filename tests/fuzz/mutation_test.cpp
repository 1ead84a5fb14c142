// A short, deterministic run of what the fuzzers do at length: mutated files are refused or read, in bounded time.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "compiler/support/error.h"
#include "tests/fuzz/importers.h"

using namespace moru::test;

namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t operator()(uint64_t below) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return below == 0 ? 0 : state_ % below;
  }

 private:
  uint64_t state_;
};

void mutate(Bytes& bytes, Random& random) {
  static constexpr uint64_t numbers[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, ~uint64_t{0}, uint64_t{1} << 63};
  for (uint64_t i = 1 + random(4); i-- > 0 && !bytes.empty();) {
    const size_t at = random(bytes.size());
    switch (random(6)) {
      case 0:
        bytes[at] ^= static_cast<std::byte>(1u << random(8));
        break;
      case 1:
        bytes[at] = static_cast<std::byte>(random(256));
        break;
      case 2: {  // a number that is often wrong
        const uint64_t number = numbers[random(std::size(numbers))];
        const size_t width = std::min<size_t>(size_t{1} << random(4), bytes.size() - at);
        std::memcpy(bytes.data() + at, &number, width);
        break;
      }
      case 3:
        bytes.resize(at);
        break;
      case 4:  // something twice
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), 1 + random(16), bytes[at]);
        break;
      default: {  // a piece from elsewhere
        const size_t from = random(bytes.size()), size = std::min<size_t>(random(32), bytes.size() - std::max(at, from));
        std::memmove(bytes.data() + at, bytes.data() + from, size);
      }
    }
  }
}

}  // namespace

TEST_CASE("mutated files of every kind are refused or read, in bounded time") {
  constexpr uint64_t runs = 12;
  constexpr double most_seconds = 20.0;  // for one file of a few kilobytes, on a busy machine
  for (const Importer& importer : importers()) {
    CAPTURE(importer.name);
    uint64_t seed = 0;
    for (const Bytes& file : importer.seeds()) {
      REQUIRE_NOTHROW(importer.read(file));
      for (uint64_t run = 0; run < runs; ++run) {
        CAPTURE(++seed);
        Random random(seed);
        Bytes bytes = file;
        mutate(bytes, random);
        const auto begin = std::chrono::steady_clock::now();
        std::string fault;
        try {
          importer.read(bytes);
        } catch (const std::exception& error) {
          fault = error.what();
        }
        CHECK(fault == "");
        CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < most_seconds);
      }
    }
  }
}
