#include <doctest/doctest.h>

#include "compiler/codegen/bounds.h"
#include "compiler/codegen/tile.h"

using namespace moru;

TEST_CASE("pieces cover every column once and are masked only where masks are cheap") {
  for (bool has_masks : {false, true}) {
    for (int lanes : {1, 4, 8, 16}) {
      for (int64_t columns = 1; columns <= 70; ++columns) {
        int64_t covered = 0;
        for (const ColumnPiece& piece : cut_columns(columns, lanes, has_masks)) {
          CHECK(piece.offset == covered);
          CHECK(piece.active <= piece.lanes);
          CHECK((has_masks || piece.active == piece.lanes));
          CHECK((piece.lanes & (piece.lanes - 1)) == 0);
          covered += piece.active;
        }
        CHECK(covered == columns);
      }
    }
  }
}

TEST_CASE("the heights at the edge are bits of what is left") {
  for (int height = 1; height <= 16; ++height) {
    for (int rest = 0; rest < height; ++rest) {
      int sum = 0;
      for (int edge : edge_heights(height, 0, false)) sum += rest & edge;
      CHECK(sum == rest);
    }
  }
}

TEST_CASE("a tile fits the registers and hides the latency of multiply-adds where the shape allows, and is small where they are computed") {
  for (const char* name : {"x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64", "wasm32-simd"}) {
    const Target target = Target::parse(name);
    const int lanes = target.vector_bytes / 4;
    for (int64_t columns : {1, 5, 11, 16, 32, 33, 64, 75, 256, 512}) {
      for (int64_t rows : {1, 2, 4, 32, 768}) {
        for (bool constant : {false, true}) {
          const TileShape shape = choose_tile({rows, columns, 64, constant, columns * 4}, lanes, target);
          CAPTURE(name);
          CAPTURE(columns);
          CAPTURE(rows);
          CHECK(shape.rows * shape.vectors + shape.vectors < target.vector_registers + 1);
          if (rows >= 32 && columns >= 64 && target.has_fma) CHECK(shape.rows * shape.vectors >= 8);
          if (!target.has_fma) CHECK(shape.rows * shape.vectors <= 8);
        }
      }
    }
  }
}

TEST_CASE("bounds hold through clamps, arithmetic and rounding") {
  const Buffer buffer{"x", DType::f32, 1, -1};
  const Expr x = expr::load(buffer, 0, 0);
  CHECK(float_bounds(x).high > 1e300);
  const Expr clamped = expr::binary(ExprOp::max, expr::binary(ExprOp::min, x, expr::constant(88.0)), expr::constant(-87.0));
  CHECK(float_bounds(clamped).low == -87.0);
  const Bounds scaled = float_bounds(expr::unary(ExprOp::round, clamped * 1.4426950408889634));
  CHECK(scaled.low >= -127.0);
  CHECK(scaled.low <= -125.0);
  CHECK(scaled.high >= 127.0);
  CHECK(scaled.high <= 128.0);
  CHECK(float_bounds(-clamped).high == 87.0);
  CHECK(float_bounds(x * 0.0).high > 1e300);  // infinity times zero
}
