#include <doctest/doctest.h>

#include <cmath>

#include "compiler/ops/philox.h"
#include "compiler/ops/random_expr.h"

using namespace moru;

TEST_CASE("philox_2x32_10: known answers of the authors' Random123 library") {
  using Words = std::array<uint32_t, 2>;
  CHECK(philox_2x32_10({0x00000000, 0x00000000}, 0x00000000) == Words{0xff1dae59, 0x6cd10df2});
  CHECK(philox_2x32_10({0xffffffff, 0xffffffff}, 0xffffffff) == Words{0x2c3f628b, 0xab4fd7ad});
  CHECK(philox_2x32_10({0x243f6a88, 0x85a308d3}, 0x13198a2e) == Words{0xdd7ce038, 0xf62a4c12});
}

TEST_CASE("random_uniform: the expression for kernels draws the same numbers") {
  const int64_t words[] = {0, 1, -1, 12345, (int64_t{1} << 32) + 7, -(int64_t{1} << 40), INT64_MAX, INT64_MIN};
  for (int64_t seed : words)
    for (int64_t step : words)
      for (int64_t stream : {int64_t{0}, int64_t{5}, int64_t{-3}, int64_t{1} << 35})
        for (int64_t element : {int64_t{0}, int64_t{31}, (int64_t{1} << 32) + 3, int64_t{1} << 50}) {
          const Expr drawn = random_uniform_expr(expr::integer(element, DType::i64), expr::integer(seed, DType::i64),
                                                 expr::integer(step, DType::i64), stream);
          REQUIRE(drawn->op == ExprOp::constant);  // constants fold, by the arithmetic of the kernel interpreter
          CHECK(drawn->type == DType::f32);
          CHECK(static_cast<float>(drawn->number) == random_uniform(seed, step, stream, element));
        }
}

TEST_CASE("random_uniform: numbers are in [0, 1), evenly spread, and differ by seed, step, stream and element") {
  constexpr int count = 1 << 16;
  double sum = 0, squares = 0, lagged = 0;
  int buckets[16] = {};
  float before = 0;
  for (int i = 0; i < count; ++i) {
    const float u = random_uniform(42, 7, 3, i);
    REQUIRE(u >= 0.0f);
    REQUIRE(u < 1.0f);
    CHECK(u * 0x1p24f == std::floor(u * 0x1p24f));
    sum += static_cast<double>(u);
    squares += static_cast<double>(u) * static_cast<double>(u);
    lagged += (static_cast<double>(u) - 0.5) * (static_cast<double>(before) - 0.5);
    ++buckets[static_cast<int>(u * 16.0f)];
    before = u;
  }
  // Six standard deviations each.
  CHECK(std::fabs(sum / count - 0.5) < 6 * std::sqrt(1.0 / 12 / count));
  CHECK(std::fabs(squares / count - 1.0 / 3) < 6 * std::sqrt(4.0 / 45 / count));
  CHECK(std::fabs(lagged / count) < 6.0 / 12 / std::sqrt(double{count}));
  for (int bucket : buckets) CHECK(std::abs(bucket - count / 16) < 6 * std::sqrt(count / 16.0));

  const float u = random_uniform(42, 7, 3, 11);
  CHECK(u != random_uniform(43, 7, 3, 11));
  CHECK(u != random_uniform(42, 8, 3, 11));
  CHECK(u != random_uniform(42, 7, 4, 11));
  CHECK(u != random_uniform(42, 7, 3, 12));
  CHECK(u != random_uniform(42, 7, 3, 11 + (int64_t{1} << 32)));
  CHECK(u != random_uniform(42, 7 + (int64_t{1} << 32), 3, 11));
}
