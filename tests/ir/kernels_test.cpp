#include "compiler/ir/kernels.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "compiler/ir/expr_types.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

const Buffer buffer{"x", DType::f32, Dim::symbol("n"), 0};
const Buffer flags{"m", DType::boolean, Dim::symbol("n"), 1};
Expr x() { return expr::load(buffer, 0, Dim::symbol("i")); }
Expr m() { return expr::load(flags, 1, Dim::symbol("i")); }
double number(const Expr& e) {
  REQUIRE(e->op == ExprOp::constant);
  return is_float(e->type) ? e->number : static_cast<double>(e->bits);
}

}  // namespace

TEST_CASE("kernels: types of results are derived, and wrong operands are refused by name") {
  CHECK((x() + x())->type == DType::f32);
  CHECK(expr::binary(ExprOp::less, x(), x())->type == DType::boolean);
  CHECK(expr::select(m(), x(), x() * 2.0)->type == DType::f32);
  CHECK(expr::convert(x(), DType::i64)->type == DType::i64);
  CHECK(expr::index(Dim::symbol("i"))->type == DType::i64);
  CHECK_THROWS_WITH_AS(x() + m(), doctest::Contains("add cannot be applied to (f32, bool)"), InternalError);
  CHECK_THROWS_AS(m() + m(), InternalError);
  CHECK_THROWS_AS(expr::unary(ExprOp::sqrt, expr::integer(4)), InternalError);
  CHECK_THROWS_AS(expr::select(x(), x(), x()), InternalError);
  CHECK_THROWS_AS(expr::binary(ExprOp::shl, x(), x()), InternalError);
  CHECK_THROWS_AS(expr::bitcast(x(), DType::i64), InternalError);
  CHECK_THROWS_AS(expr::fma(x(), x(), expr::constant(1.0, DType::f64)), InternalError);
  CHECK_THROWS_AS(expr::load(buffer, 0, 0, expr::integer(3, DType::i32)), InternalError);
}

TEST_CASE("kernels: constants are rounded to their type") {
  CHECK(number(expr::constant(0.1)) == static_cast<double>(0.1f));
  CHECK(number(expr::constant(0.1, DType::f64)) == 0.1);
  CHECK(number(expr::constant(2.9, DType::i32)) == 2.0);
  CHECK(number(expr::integer(INT64_MAX, DType::i32)) == -1.0);
  CHECK(number(expr::integer(7, DType::boolean)) == 1.0);
}

TEST_CASE("kernels: folding computes in the declared type") {
  const Expr third = expr::constant(1.0) / expr::constant(3.0);
  CHECK(number(third) == static_cast<double>(1.0f / 3.0f));
  CHECK(number(expr::constant(16777216.0) + expr::constant(1.0)) == 16777216.0);
  CHECK(number(expr::integer(INT32_MAX) + expr::integer(1)) == static_cast<double>(INT32_MIN));
  CHECK(number(expr::integer(5) / expr::integer(0)) == 0.0);
  CHECK(number(expr::unary(ExprOp::round, expr::constant(2.5))) == 2.0);
  CHECK(number(expr::convert(expr::constant(-1e30), DType::i32)) == static_cast<double>(INT32_MIN));
  CHECK(number(expr::bitcast(expr::constant(1.0), DType::i32)) == 0x3f800000);
  CHECK(number(expr::binary(ExprOp::mul_high_unsigned, expr::integer(-1), expr::integer(-1))) == -2.0);
  CHECK(number(expr::binary(ExprOp::shr, expr::integer(-1), expr::integer(28))) == 15.0);
  CHECK(number(expr::binary(ExprOp::sar, expr::integer(-16), expr::integer(2))) == -4.0);
  CHECK(std::signbit(number(expr::binary(ExprOp::min, expr::constant(0.0), expr::constant(-0.0)))));
  CHECK_FALSE(std::signbit(number(expr::binary(ExprOp::max, expr::constant(-0.0), expr::constant(0.0)))));
}

TEST_CASE("kernels: only identities that keep every bit are folded") {
  const Expr e = x();
  CHECK(e * 1.0 == e);
  CHECK(e + -0.0 == e);
  CHECK(expr::binary(ExprOp::sub, e, expr::constant(0.0)) == e);
  CHECK(-(-e) == e);
  CHECK(expr::select(m(), e, e) == e);
  CHECK(expr::bitcast(expr::bitcast(e, DType::i32), DType::f32) == e);
  // -0 + 0 is +0; NaN * 0 is NaN; x - -0 is +0 for x = -0; inf - inf has no fixed bits.
  CHECK((e + 0.0)->op == ExprOp::add);
  CHECK((e * 0.0)->op == ExprOp::mul);
  CHECK(expr::binary(ExprOp::sub, e, expr::constant(-0.0))->op == ExprOp::sub);
  const Expr infinite = expr::constant(std::numeric_limits<double>::infinity());
  CHECK((infinite - infinite)->op == ExprOp::sub);
}

TEST_CASE("kernels: equality looks at bits and structure, not at identity") {
  CHECK(equal_exprs(x() * 2.0, x() * 2.0));
  CHECK_FALSE(equal_exprs(x() * 2.0, x() * 3.0));
  CHECK_FALSE(equal_exprs(expr::constant(0.0), expr::constant(-0.0)));
  CHECK_FALSE(equal_exprs(x(), nullptr));
  Expr a = x(), b = x();
  for (int level = 0; level < 100; ++level) {  // trees of 2^100 leaves
    a = a * a;
    b = b * b;
  }
  CHECK(equal_exprs(a, b));
}
