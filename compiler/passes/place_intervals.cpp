#include "compiler/passes/place_intervals.h"

#include <algorithm>
#include <numeric>

namespace moru {

namespace {

constexpr int most_rounds = 60;      // of improving the order
constexpr size_t most_candidates = 8;  // of a maximum; beyond it a bound of all

bool meet(const Interval& a, const Interval& b) { return a.first <= b.last && b.first <= a.last; }

// Offsets for sizes that are numbers, in the given order, each in the lowest gap that holds it.
std::vector<int64_t> place_greedily(std::span<const Interval> intervals, const std::vector<int64_t>& sizes,
                                    const std::vector<size_t>& order) {
  std::vector<int64_t> offsets(intervals.size(), 0);
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    int64_t end = 0;
    for (const size_t other : placed) {
      if (!meet(intervals[i], intervals[other])) continue;
      if (offsets[other] - end >= sizes[i]) break;
      end = std::max(end, offsets[other] + sizes[other]);
    }
    offsets[i] = end;
    const auto place = std::upper_bound(placed.begin(), placed.end(), i,
                                        [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
    placed.insert(place, i);
  }
  return offsets;
}

int64_t most_alive(std::span<const Interval> intervals, const std::vector<int64_t>& sizes) {
  int64_t most = 0;
  for (const Interval& at : intervals) {
    int64_t alive = 0;
    for (size_t i = 0; i < intervals.size(); ++i)
      if (intervals[i].first <= at.first && at.first <= intervals[i].last) alive += sizes[i];
    most = std::max(most, alive);
  }
  return most;
}

std::vector<int64_t> place_numbers(std::span<const Interval> intervals, const std::vector<int64_t>& sizes) {
  const auto height = [&](const std::vector<int64_t>& offsets, size_t* top = nullptr) {
    int64_t most = 0;
    for (size_t i = 0; i < offsets.size(); ++i) {
      if (offsets[i] + sizes[i] <= most) continue;
      most = offsets[i] + sizes[i];
      if (top) *top = i;
    }
    return most;
  };
  const auto area = [&](size_t i) { return sizes[i] * (intervals[i].last - intervals[i].first + 1); };
  const int64_t least = most_alive(intervals, sizes);
  std::vector<int64_t> best;
  for (const bool by_size : {true, false}) {
    std::vector<size_t> order(intervals.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return by_size ? sizes[a] > sizes[b] : area(a) > area(b);
    });
    for (int round = 0; round < most_rounds; ++round) {
      const std::vector<int64_t> now = place_greedily(intervals, sizes, order);
      size_t top = order.empty() ? 0 : order.front();
      if (height(now, &top); best.empty() || height(now) < height(best)) best = now;
      if (height(best) <= least || top == order.front()) break;
      std::rotate(order.begin(), std::find(order.begin(), order.end(), top), std::find(order.begin(), order.end(), top) + 1);
    }
    if (height(best) <= least) break;
  }
  return best;
}

// 1 if the factor is never negative, -1 if it is never positive, 0 if that is not plain.
int sign_of(const DimFactor& factor) {
  switch (factor.kind) {
    case DimFactor::Kind::symbol: return 1;
    case DimFactor::Kind::max:
      if (plainly_not_negative(*factor.left) || plainly_not_negative(*factor.right)) return 1;
      return plainly_not_negative(Dim(0) - *factor.left) && plainly_not_negative(Dim(0) - *factor.right) ? -1 : 0;
    case DimFactor::Kind::floor_div:
    case DimFactor::Kind::ceil_div: return plainly_not_negative(*factor.left) ? 1 : 0;
  }
  return 0;
}

int sign_of(const DimTerm& term) {
  int sign = term.coefficient < 0 ? -1 : 1;
  for (const DimFactor& factor : term.factors) sign *= sign_of(factor);
  return sign;
}

// The larger of each product: at least as large as either.
Dim bound_of(const Dim& a, const Dim& b) {
  Dim result = a;
  const Dim difference = b - a;
  for (const DimTerm& term : difference.terms()) {
    const int sign = sign_of(term);
    if (sign == 0) return a + b;  // neither is negative
    if (sign < 0) continue;
    Dim product = term.coefficient;
    for (const DimFactor& factor : term.factors) {
      switch (factor.kind) {
        case DimFactor::Kind::symbol: product *= Dim::symbol(factor.symbol); break;
        case DimFactor::Kind::max: product *= max(*factor.left, *factor.right); break;
        case DimFactor::Kind::floor_div: product *= floor_div(*factor.left, *factor.right); break;
        case DimFactor::Kind::ceil_div: product *= ceil_div(*factor.left, *factor.right); break;
      }
    }
    result += product;
  }
  return result;
}

/// A maximum of sums.
using Candidates = std::vector<Dim>;

Dim bound_of(const Candidates& candidates) {
  Dim bound;
  for (const Dim& each : candidates) bound = bound_of(bound, each);
  return bound;
}

void add_candidate(Candidates& candidates, const Dim& dim) {
  for (const Dim& known : candidates)
    if (plainly_not_negative(known - dim)) return;
  std::erase_if(candidates, [&](const Dim& known) { return plainly_not_negative(dim - known); });
  candidates.push_back(dim);
  if (candidates.size() <= most_candidates) return;
  candidates = {bound_of(candidates)};
}

// A tree of maxima as shallow as can be: runtimes limit how deep sizes nest.
Dim largest(std::span<const Dim> candidates) {
  if (candidates.empty()) return 0;
  if (candidates.size() == 1) return candidates[0];
  const size_t half = candidates.size() / 2;
  return max(largest(candidates.first(half)), largest(candidates.subspan(half)));
}

}  // namespace

bool plainly_not_negative(const Dim& dim) {
  return std::all_of(dim.terms().begin(), dim.terms().end(), [](const DimTerm& term) { return sign_of(term) > 0; });
}

Placement place_intervals(std::span<const Interval> intervals, const std::function<int64_t(const Dim&)>& typical) {
  std::vector<int64_t> sizes;
  for (const Interval& interval : intervals) sizes.push_back(typical(interval.bytes));
  const std::vector<int64_t> numbers = place_numbers(intervals, sizes);
  std::vector<size_t> upwards(intervals.size());
  std::iota(upwards.begin(), upwards.end(), size_t{0});
  std::stable_sort(upwards.begin(), upwards.end(), [&](size_t a, size_t b) { return numbers[a] < numbers[b]; });

  Placement placement;
  placement.offsets.resize(intervals.size());
  std::vector<Candidates> bottoms(intervals.size());
  Candidates total;
  std::vector<size_t> below;
  for (size_t position = 0; position < upwards.size(); ++position) {
    const size_t i = upwards[position];
    below.clear();
    for (size_t p = position; p-- > 0;) {
      const size_t other = upwards[p];
      if (!meet(intervals[i], intervals[other])) continue;
      // What one of `below` stands on ends below it.
      const bool is_covered = std::any_of(below.begin(), below.end(),
                                          [&](size_t higher) { return meet(intervals[higher], intervals[other]); });
      if (!is_covered) below.push_back(other);
    }
    for (const size_t other : below)
      for (const Dim& bottom : bottoms[other]) add_candidate(bottoms[i], bottom + intervals[other].bytes);
    if (bottoms[i].empty()) bottoms[i].push_back(0);
    placement.offsets[i] = largest(bottoms[i]);
    for (const Dim& bottom : bottoms[i]) add_candidate(total, bottom + intervals[i].bytes);
  }
  placement.total = largest(total);
  placement.bound = bound_of(total);
  return placement;
}

}  // namespace moru
