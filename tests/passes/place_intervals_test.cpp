// Packing: never two at one place that live together, whatever the sizes; close to the lower bound at typical ones.
#include "compiler/passes/place_intervals.h"

#include <doctest/doctest.h>

#include <random>

using namespace moru;

namespace {

int64_t at(const Dim& dim, int64_t batch) {
  return dim.evaluate([&](std::string_view) { return batch; });
}

void check_placement(const std::vector<Interval>& intervals, const Placement& placement) {
  for (int64_t batch : {1, 2, 31, 32, 500}) {
    CAPTURE(batch);
    for (size_t i = 0; i < intervals.size(); ++i) {
      const int64_t begin = at(placement.offsets[i], batch), end = begin + at(intervals[i].bytes, batch);
      CHECK(begin >= 0);
      CHECK(end <= at(placement.total, batch));
      for (size_t j = 0; j < i; ++j) {
        if (intervals[i].first > intervals[j].last || intervals[j].first > intervals[i].last) continue;
        const int64_t other = at(placement.offsets[j], batch);
        CHECK((end <= other || other + at(intervals[j].bytes, batch) <= begin));
      }
    }
  }
}

}  // namespace

TEST_CASE("place_intervals: random intervals of sizes that cross, packed without overlap") {
  int64_t sum = 0, least_sum = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<Interval> intervals;
    const size_t count = 1 + random() % 40;
    for (size_t i = 0; i < count; ++i) {
      const int64_t first = random() % 50;
      Dim bytes = static_cast<int64_t>(random() % 30) * 64;
      if (random() % 2) bytes += Dim::symbol("batch") * static_cast<int64_t>(random() % 4 * 64);
      if (random() % 8 == 0) bytes = ceil_div(min(Dim::symbol("batch"), Dim(32)) * 12, Dim(64)) * 64;
      intervals.push_back({first, first + static_cast<int64_t>(random() % 10), bytes});
    }
    const Placement placement = place_intervals(intervals, [](const Dim& dim) { return at(dim, 32); });
    check_placement(intervals, placement);
    int64_t least = 0;
    for (const Interval& moment : intervals) {
      int64_t alive = 0;
      for (const Interval& each : intervals)
        if (each.first <= moment.first && moment.first <= each.last) alive += at(each.bytes, 32);
      least = std::max(least, alive);
    }
    CHECK(at(placement.total, 32) >= least);
    CHECK(at(placement.total, 32) <= least + least / 2);
    sum += at(placement.total, 32);
    least_sum += least;
    CHECK(at(placement.bound, 500) >= at(placement.total, 500));
  }
  CHECK(sum <= least_sum + least_sum / 10);
}

TEST_CASE("place_intervals: which of two sizes is the larger may depend on the symbols") {
  const std::vector<Interval> intervals = {
      {0, 1, Dim::symbol("batch") * 64}, {0, 1, 640}, {1, 2, 640}, {2, 3, Dim::symbol("batch") * 64}};
  check_placement(intervals, place_intervals(intervals, [](const Dim& dim) { return at(dim, 32); }));
}

TEST_CASE("place_intervals: signs of sizes") {
  const Dim batch = Dim::symbol("batch");
  CHECK(!plainly_not_negative(max(Dim(-4), Dim(0) - batch)));
  CHECK(plainly_not_negative(min(Dim(4), batch)));
  CHECK(plainly_not_negative(batch * 3 + min(Dim(4), batch) * 5));
  CHECK(!plainly_not_negative(batch * 3 - min(Dim(4), batch)));
  CHECK(plainly_not_negative(max(Dim(4), batch - 7)));
  CHECK(!plainly_not_negative(max(batch - 4, Dim(3) - batch)));
  CHECK(plainly_not_negative(ceil_div(batch, Dim(32)) * 64 + 3));
}
