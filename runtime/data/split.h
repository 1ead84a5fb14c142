// Splits rows into parts and finds the samples of each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/data/recipe.h"
#include "runtime/status.h"

namespace moru {

enum class Part : uint8_t { none, train, validation, test };

/// The boundaries of a split of `count` rows: [train_begin, train_end), [train_end, validation_end), [validation_end,
/// test_end). Each is floor(count * the sum of the fractions before it), of `skip`, `train`, `validation` and `test` in
/// this order. A sum within 1e-9 of one takes in the last row.
struct Boundaries {
  int64_t train_begin = 0, train_end = 0, validation_end = 0, test_end = 0;
};
Boundaries split_boundaries(int64_t count, const SplitRecipe& split);

/// The part of every row by position. Rows with keep[row] == 0 are in none and are not counted. A random split permutes
/// the kept rows by the seed alone. `kind` is chronological or random.
std::vector<Part> split_rows(std::span<const uint8_t> keep, const SplitRecipe& split);

/// The rows that anchor a sample of `part`, in order: row i where
///   part[i] and part[i + horizon] are `part`, i - length + 1 >= 0, and usable(i),
/// every stride-th of them within a run of neighbouring rows of the part, the first that fits being the first taken.
/// `usable[i]` says whether the sample anchored at i reads only rows that are there.
std::vector<int64_t> find_anchors(std::span<const Part> parts, Part part, std::span<const uint8_t> usable,
                                  const WindowRecipe& window);

/// The parts as statistics see them when Keras' rule holds the last training samples out for validation: training rows
/// behind the last target row of the samples that stay become validation rows. Which samples there are is not changed.
std::vector<Part> hold_out_last(std::span<const Part> parts, std::span<const uint8_t> usable,
                                const WindowRecipe& window, double validation_split);

/// Marks the rows i for which every row of i-length+1 .. i is good; rows before length-1 are not.
std::vector<uint8_t> find_whole_windows(std::span<const uint8_t> good, int64_t length);

}  // namespace moru
