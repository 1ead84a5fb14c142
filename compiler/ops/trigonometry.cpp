// Sine, cosine and arc tangent, and the quotient of integers. The trigonometric functions compute in f64 whatever their
// type: f32 results are then correct but for the last rounding (at most 1 ulp).
#include <cmath>
#include <numbers>

#include "compiler/ops/elementwise.h"

namespace moru {

namespace {

Expr number(double value) { return expr::constant(value, DType::f64); }

// Taylor's polynomial of sin(r)/r and cos(r) in r^2, for |r| <= pi/4: the first term left out is below 2^-60.
Expr polynomial(const Expr& square, bool sine) {
  constexpr int terms = 9;
  Expr sum;
  for (int k = terms - 1; k >= 0; --k) {
    double coefficient = k % 2 == 0 ? 1.0 : -1.0;
    for (int i = 2; i <= 2 * k + (sine ? 1 : 0); ++i) coefficient /= i;
    sum = sum ? expr::fma(sum, square, number(coefficient)) : number(coefficient);
  }
  return sum;
}

// x = quarter * pi/2 + r with |r| <= pi/4, pi/2 in three parts (Cody and Waite 1980): good to |x| about 2^30, beyond
// which an f32 has lost the angle anyway.
Expr sine_of(Expr x, int64_t quarters) {
  const DType type = x->type;
  if (type != DType::f64) x = expr::convert(x, DType::f64);
  const Expr quarter = expr::unary(ExprOp::round, x * number(2.0 * std::numbers::inv_pi));
  Expr r = expr::fma(quarter, number(-0x1.921fb54400000p+0), x);
  r = expr::fma(quarter, number(-0x1.0b4611a600000p-34), r);
  r = expr::fma(quarter, number(-0x1.3198a2e037073p-69), r);
  const Expr square = r * r;
  const Expr sine = r * polynomial(square, true), cosine = polynomial(square, false);
  const Expr turn = expr::convert(quarter, DType::i64) + expr::integer(quarters, DType::i64);
  const Expr odd = expr::binary(ExprOp::bit_and, turn, expr::integer(1, DType::i64));
  const Expr half = expr::binary(ExprOp::bit_and, turn, expr::integer(2, DType::i64));
  const Expr value = expr::select(expr::binary(ExprOp::equal, odd, expr::integer(0, DType::i64)), sine, cosine);
  // x - x is NaN for infinities and NaN.
  const Expr signed_value =
      expr::select(expr::binary(ExprOp::equal, half, expr::integer(0, DType::i64)), value, -value);
  const Expr result = signed_value + (x - x);
  return type == DType::f64 ? result : expr::convert(result, type);
}

// The angle is halved twice, atan(x) = 2 atan(x / (1 + sqrt(1 + x^2))), and Taylor's series does the rest.
Expr arc_tangent(Expr x) {
  const DType type = x->type;
  if (type != DType::f64) x = expr::convert(x, DType::f64);
  const Expr magnitude = expr::unary(ExprOp::abs, x);
  const Expr large = expr::binary(ExprOp::less, number(1.0), magnitude);
  Expr t = expr::select(large, number(1.0) / magnitude, magnitude);
  for (int i = 0; i < 2; ++i) t = t / (number(1.0) + expr::unary(ExprOp::sqrt, expr::fma(t, t, number(1.0))));
  const Expr square = t * t;
  Expr sum;
  for (int k = 13; k >= 0; --k) {
    const double coefficient = (k % 2 == 0 ? 1.0 : -1.0) / (2 * k + 1);
    sum = sum ? expr::fma(sum, square, number(coefficient)) : number(coefficient);
  }
  const Expr angle = number(4.0) * t * sum;
  const Expr positive = expr::select(large, number(std::numbers::pi / 2) - angle, angle);
  const Expr result = expr::select(expr::binary(ExprOp::less, x, number(0.0)), -positive, positive);
  return type == DType::f64 ? result : expr::convert(result, type);
}

int64_t quotient(int64_t a, int64_t b) { return b == 0 || (a == INT64_MIN && b == -1) ? 0 : a / b; }

}  // namespace

std::vector<Op> trigonometry_ops() {
  std::vector<Op> ops;
  std::vector<double> angles = {0.0,       -0.0,      1e-30, 0.785398, -0.785399, 1.5707964,
                                3.1415927, -4.712389, 100.0, -1e6,     INFINITY,  NAN};
  ops.push_back(elementwise(UnaryOp{
      .name = "sin",
      .doc = "y = sine of x in radians, elementwise; NaN of infinities.  x, y: [...]",
      .reference = [](double x) { return std::sin(x); },
      .lower = [](Expr x, const Attributes&) { return sine_of(std::move(x), 0); },
      .gradient = [](Value dy, Value x, Value, const Attributes&) { return dy * x.builder->call("cos", {x}); },
      .cheap = false,
      .samples = samples(-4, 4),
      .extremes = angles,
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "cos",
      .doc = "y = cosine of x in radians, elementwise; NaN of infinities.  x, y: [...]",
      .reference = [](double x) { return std::cos(x); },
      .lower = [](Expr x, const Attributes&) { return sine_of(std::move(x), 1); },
      .gradient = [](Value dy, Value x, Value, const Attributes&) { return -(dy * x.builder->call("sin", {x})); },
      .cheap = false,
      .samples = samples(-4, 4),
      .extremes = angles,
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "atan",
      .doc = "y = arc tangent of x, between -pi/2 and pi/2, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::atan(x); },
      .lower = [](Expr x, const Attributes&) { return arc_tangent(std::move(x)); },
      .gradient = [](Value dy, Value x, Value, const Attributes&) { return dy / (x * x + 1.0); },
      .cheap = false,
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  Op quotients = elementwise(BinaryOp{
      .name = "divide_integers",
      .doc = "y = a / b towards zero, elementwise with numpy broadcasting; 0 where b is 0.  a, b, y: integers",
      .accepts = Accepts::integers,
      .reference = [](double a, double b) { return b == 0.0 ? 0.0 : std::trunc(a / b); },
      .reference_integer = quotient,
      .lower =
          [](Expr a, Expr b) {
            const Expr zero = expr::integer(0, b->type), one = expr::integer(1, b->type);
            const Expr by_zero = expr::binary(ExprOp::equal, b, zero);
            return expr::select(by_zero, zero, a / expr::select(by_zero, one, b));
          },
      .cheap = false,
      .examples = pairs(-100, 100, 1, 9, DType::i32),
  });
  quotients.examples.push_back({.inputs = {{.shape = {5}, .dtype = DType::i64, .values = {7, -7, 7, -7, 5}},
                                           {.shape = {5}, .dtype = DType::i64, .values = {2, 2, -2, -2, 0}}},
                                .differentiable = false});
  ops.push_back(std::move(quotients));
  return ops;
}

}  // namespace moru
