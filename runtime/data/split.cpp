#include "runtime/data/split.h"

#include <algorithm>
#include <cmath>

#include "runtime/data/dataset.h"
#include "runtime/training/shuffle.h"

namespace moru {

Boundaries split_boundaries(int64_t count, const SplitRecipe& split) {
  const auto end = [&](double fraction) {
    // 0.7 + 0.15 + 0.15 is a little less than one in binary.
    if (std::abs(fraction - 1.0) < 1e-9) return count;
    return std::clamp(static_cast<int64_t>(std::floor(static_cast<double>(count) * fraction)), int64_t{0}, count);
  };
  const double train = split.skip + split.train;
  return {end(split.skip), end(train), end(train + split.validation), end(train + split.validation + split.test)};
}

std::vector<Part> split_rows(std::span<const uint8_t> keep, const SplitRecipe& split) {
  std::vector<int64_t> rows;
  rows.reserve(keep.size());
  for (std::size_t row = 0; row < keep.size(); ++row) {
    if (keep[row] != 0) rows.push_back(static_cast<int64_t>(row));
  }
  if (split.kind == SplitKind::random) {
    std::vector<int64_t> order(rows.size());
    shuffle_order(split.seed, 0, order);
    for (int64_t& position : order) position = rows[static_cast<std::size_t>(position)];
    rows.swap(order);
  }
  const Boundaries bounds = split_boundaries(static_cast<int64_t>(rows.size()), split);
  std::vector<Part> parts(keep.size(), Part::none);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto position = static_cast<int64_t>(k);
    const Part part = position < bounds.train_begin      ? Part::none
                      : position < bounds.train_end      ? Part::train
                      : position < bounds.validation_end ? Part::validation
                      : position < bounds.test_end       ? Part::test
                                                         : Part::none;
    parts[static_cast<std::size_t>(rows[k])] = part;
  }
  return parts;
}

std::vector<int64_t> find_anchors(std::span<const Part> parts, Part part, std::span<const uint8_t> usable,
                                  const WindowRecipe& window) {
  std::vector<int64_t> anchors;
  const auto count = static_cast<int64_t>(parts.size());
  const auto at = [&](int64_t row) { return parts[static_cast<std::size_t>(row)]; };
  int64_t next = 0;  // the first row that the stride allows
  for (int64_t i = 0; i + window.horizon < count; ++i) {
    if (at(i) != part) {
      next = i + 1;
      continue;
    }
    if (i < next || i < window.length - 1 || at(i + window.horizon) != part || usable[static_cast<std::size_t>(i)] == 0)
      continue;
    anchors.push_back(i);
    next = i + window.stride;
  }
  return anchors;
}

std::vector<Part> hold_out_last(std::span<const Part> parts, std::span<const uint8_t> usable,
                                const WindowRecipe& window, double validation_split) {
  std::vector<Part> seen(parts.begin(), parts.end());
  const std::vector<int64_t> anchors = find_anchors(parts, Part::train, usable, window);
  const int64_t kept = training_samples(static_cast<int64_t>(anchors.size()), validation_split);
  const int64_t last = kept > 0 ? anchors[static_cast<std::size_t>(kept - 1)] + window.horizon : -1;
  for (std::size_t row = static_cast<std::size_t>(last + 1); row < seen.size(); ++row) {
    if (seen[row] == Part::train) seen[row] = Part::validation;
  }
  return seen;
}

std::vector<uint8_t> find_whole_windows(std::span<const uint8_t> good, int64_t length) {
  std::vector<uint8_t> whole(good.size(), 0);
  int64_t run = 0;
  for (std::size_t row = 0; row < good.size(); ++row) {
    run = good[row] != 0 ? run + 1 : 0;
    whole[row] = run >= length;
  }
  return whole;
}

}  // namespace moru
