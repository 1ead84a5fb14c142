// Chooses the register tile of a contraction. Every choice gives the same bits; only the speed differs.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/codegen/target.h"

namespace moru {

/// Columns [offset, offset + active) of a block, computed in a vector of `lanes` of which the last are masked off where
/// active < lanes.
struct ColumnPiece {
  int64_t offset = 0;
  int lanes = 1;
  int active = 1;
};

/// Cuts `columns` into full vectors and what is left: a masked vector where the target has masks and the rest is not a
/// power of two, else ever smaller vectors.
std::vector<ColumnPiece> cut_columns(int64_t columns, int lanes, bool has_masks);

struct TileShape {
  int rows = 1;     // rows of a full tile
  int vectors = 1;  // column vectors of a full tile
  double cycles = 0;  // for all rows and columns and one step of the depth, by the model
};

struct ContractionSize {
  int64_t rows, columns, depth;  // nominal where they are not constant
  bool rows_constant;
  int64_t vector_stride;  // bytes between the vectors of one step of the depth and of the next; 0 if not known
};

/// The cheapest tile by a model of cycles: per step of the depth loop a tile costs the largest of its multiply-adds over
/// two units, its loads over two ports, the latency of one multiply-add and, where the block of b does not fit the first
/// cache (strides of large powers of two use few of its sets), what the second one delivers. Where multiply-adds are computed
/// they are all that counts, and tiles small.
TileShape choose_tile(const ContractionSize& size, int lanes, const Target& target);

/// Heights of the tiles that finish what full tiles leave: one exact height where the rows are constant, else a ladder.
std::vector<int> edge_heights(int tile_rows, int64_t rows, bool rows_constant);

}  // namespace moru
