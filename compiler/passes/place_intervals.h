// place_intervals: gives things that need memory for a while their places in one piece of it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "compiler/support/dim.h"

namespace moru {

struct Interval {
  int64_t first = 0, last = -1;  // the moments at which it is alive, both included
  Dim bytes;                     // a sum of products that are not negative
};

struct Placement {
  std::vector<Dim> offsets;  // by interval
  Dim total;                 // of all
  Dim bound;                 // no smaller than the total, and without a maximum over intervals
};

/// Places intervals so that those that are alive together never overlap, whatever the values of the symbols (which are
/// not negative). How well they are packed depends on `typical`, which says what a size usually is: at these sizes the
/// intervals are placed greedily by size, or by size and life, in the lowest gap that holds them (Pisarchyk and Lee, "Efficient Memory
/// Management for Deep Neural Net Inference", 2020), and what stands highest is moved forward in that order while it
/// helps. From this packing only the order is kept: an interval stands on the highest of those below it that it lives
/// with. Where it depends on the symbols which one is the highest, the offset is a maximum. Deterministic.
Placement place_intervals(std::span<const Interval> intervals, const std::function<int64_t(const Dim&)>& typical);

/// True if no value of the symbols, which are not negative, makes it negative; false where that is not plain.
bool plainly_not_negative(const Dim& dim);

}  // namespace moru
