#include "compiler/codegen/tile.h"

#include <algorithm>
#include <numeric>

namespace moru {

std::vector<ColumnPiece> cut_columns(int64_t columns, int lanes, bool has_masks) {
  std::vector<ColumnPiece> pieces;
  int64_t offset = 0;
  for (; offset + lanes <= columns; offset += lanes) pieces.push_back({offset, lanes, lanes});
  int rest = static_cast<int>(columns - offset);
  while (rest > 0) {
    int width = 1;
    while (width * 2 <= rest) width *= 2;
    if (width < rest && has_masks) {
      pieces.push_back({offset, width * 2, rest});
      break;
    }
    pieces.push_back({offset, width, width});
    offset += width;
    rest -= width;
  }
  return pieces;
}

std::vector<int> edge_heights(int tile_rows, int64_t rows, bool rows_constant) {
  if (rows_constant) {
    const int rest = static_cast<int>(rows % tile_rows);
    return rest == 0 ? std::vector<int>{} : std::vector<int>{rest};
  }
  std::vector<int> heights;
  for (int height : {8, 4, 2, 1}) {
    if (height < tile_rows) heights.push_back(height);
  }
  return heights;
}

namespace {

// Cycles of one step of the depth loop for a tile of rows x vectors.
double step_cycles(int rows, int vectors, bool b_in_l1, bool has_fma) {
  // Computed multiply-adds (emit_fma.cpp) hide everything but that b becomes doubles once for all rows.
  if (!has_fma) return 8.0 * rows * vectors + vectors + 0.25;
  const double multiply_adds = rows * vectors / 2.0;
  const double loads = (rows + vectors) / 2.0;
  const double second_cache = b_in_l1 ? 0.0 : 4.0 * vectors;
  constexpr double latency = 4.0;
  // Dispatch: one instruction per multiply-add and load, two for the loop.
  const double dispatch = (rows * vectors + (vectors > 1 ? rows : 0) + vectors + 2) / 6.0;
  return std::max({multiply_adds, loads, second_cache, latency, dispatch}) + 0.25;
}

double column_cycles(int64_t rows, int tile_rows, int vectors, bool rows_constant, bool b_in_l1, bool has_fma) {
  double cycles = static_cast<double>(rows / tile_rows) * step_cycles(tile_rows, vectors, b_in_l1, has_fma);
  int64_t rest = rows % tile_rows;
  for (int height : edge_heights(tile_rows, rows, rows_constant)) {
    for (; rest >= height; rest -= height) cycles += step_cycles(height, vectors, b_in_l1, has_fma);
  }
  return cycles;
}

// Whether `depth` pieces of `bytes`, `stride` apart, stay in a cache of 64-byte lines and 64 sets.
bool fits_l1(int64_t depth, int64_t bytes, int64_t stride, int64_t cache_bytes) {
  if (depth * bytes > cache_bytes * 3 / 4) return false;
  if (stride == 0) return true;
  constexpr int64_t way = 4096;
  const int64_t places = way / std::max<int64_t>(64, std::gcd(stride, way));
  const int64_t lines = (bytes + 63) / 64;
  const int64_t ways = cache_bytes / way;
  // Pieces that begin in one set lie in the same sets; neighbours overlap where a piece is longer than the stride's step.
  const int64_t pieces_in_one_place = (depth + places - 1) / places;
  const int64_t overlap = std::max<int64_t>(1, lines * places / 64);
  return pieces_in_one_place * overlap <= ways;
}

}  // namespace

TileShape choose_tile(const ContractionSize& size, int lanes, const Target& target) {
  TileShape best;
  double best_cost = 0;
  const int64_t vectors = static_cast<int64_t>(cut_columns(size.columns, lanes, target.has_masks).size());
  constexpr int most_vectors = 8, most_rows = 16;
  const double code_of_multiply_add = target.has_fma ? 0.0005 : 0.002;
  for (int width = 1; width <= std::min<int64_t>(vectors, most_vectors); ++width) {
    for (int height = 1; height <= most_rows; ++height) {
      // One register for the broadcast of a, unless it can be an operand in memory.
      const int registers = height * width + width + (width > 1 || !target.has_masks ? 1 : 0);
      if (registers > target.vector_registers || height > std::max<int64_t>(size.rows, 1)) break;
      // Batches are powers of two more often than not, and then the ladder of smaller heights is never climbed.
      if (!size.rows_constant && (height & (height - 1)) != 0) continue;
      const bool b_in_l1 = fits_l1(size.depth, int64_t{width} * lanes * 4, size.vector_stride, target.l1_bytes);
      double cycles = static_cast<double>(vectors / width) *
                      column_cycles(size.rows, height, width, size.rows_constant, b_in_l1, target.has_fma);
      if (const int rest = static_cast<int>(vectors % width); rest > 0) {
        cycles += column_cycles(size.rows, height, rest, size.rows_constant, b_in_l1, target.has_fma);
      }
      // Among equals the smaller code, the ladder included.
      int heights = height;
      for (int edge : edge_heights(height, size.rows, size.rows_constant)) heights += edge;
      const double cost = cycles * (1.0 + code_of_multiply_add * heights * width);
      if (best_cost == 0 || cost < best_cost) {
        best_cost = cost;
        best = {height, width, cycles};
      }
    }
  }
  return best;
}

}  // namespace moru
