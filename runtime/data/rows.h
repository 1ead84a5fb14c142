// The rows of a source as numbers, before samples are cut: what csv_rows.cpp and npy_rows.cpp make and prepare.cpp
// uses.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"
#include "runtime/data/split.h"
#include "runtime/status.h"

namespace moru {

enum class Purpose : uint8_t { training, evaluation, prediction };

struct SourceRows {
  std::vector<DatasetArray> inputs, targets;  // no targets for a prediction
  std::shared_ptr<const std::vector<float>> weights;
  std::shared_ptr<const RowTimes> times;
  int64_t row_count = 0;
  uint64_t fingerprint = 0;
  /// usable[i]: the sample anchored at row i reads only rows that exist, pass the filters and miss nothing.
  std::vector<uint8_t> usable;
  std::vector<Part> parts;
  Fitted fitted;
};

/// Reads recipe.data from `path`. Statistics are learned from the training part where `learn`, else taken from
/// recipe.fitted.
Result<SourceRows> read_csv_rows(const Recipe& recipe, const std::string& path, Purpose purpose, bool learn);
Result<SourceRows> read_npy_rows(const Recipe& recipe, Purpose purpose, bool learn);

/// Which rows each of the arrays must have good for a sample: the rows it reads, relative to the anchor.
struct RowNeed {
  InputRows rows = InputRows::row;  // target_row for targets
  std::vector<uint8_t> good;
};
std::vector<uint8_t> find_usable(std::span<const RowNeed> needs, const WindowRecipe& window, int64_t row_count);

/// Fills in what follows from `rows`: name, element type, sample shape [length,] + row_shape, first row and bytes.
DatasetArray describe_array(const std::string& name, DType dtype, InputRows rows, const WindowRecipe& window,
                            const std::vector<int64_t>& row_shape);

}  // namespace moru
