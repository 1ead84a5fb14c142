#include "compiler/ops/transcendentals.h"

#include <limits>
#include <numbers>
#include <span>
#include <string>

#include "compiler/ops/transcendental_tables.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

// What differs between f32 and f64: the layout of a number, the range of exp and the polynomials.
struct Format {
  DType type;
  DType integer;
  int64_t mantissa_bits;
  int64_t bias;
  int64_t sqrt_half_bits;  // of sqrt(1/2): where log cuts its interval
  double smallest_normal;
  double exp_low, exp_high;  // exp is 0 below, infinite above
  double tanh_high;          // tanh is 1 above
  double expm1_low;          // expm1 is -1 below
  double ln2_high, ln2_low;
  std::span<const double> exp_wide, exp_negated, expm1_narrow, tanh_narrow, log_narrow;
};

constexpr Format format_f32 = {.type = DType::f32,
                               .integer = DType::i32,
                               .mantissa_bits = 23,
                               .bias = 127,
                               .sqrt_half_bits = 0x3f3504f3,
                               .smallest_normal = 0x1p-126,
                               .exp_low = -105.0,
                               .exp_high = 89.0,
                               .tanh_high = 10.0,
                               .expm1_low = -25.0,
                               .ln2_high = tables_f32::ln2_high,
                               .ln2_low = tables_f32::ln2_low,
                               .exp_wide = tables_f32::exp_wide,
                               .exp_negated = tables_f32::exp_negated,
                               .expm1_narrow = tables_f32::expm1_narrow,
                               .tanh_narrow = tables_f32::tanh_narrow,
                               .log_narrow = tables_f32::log_narrow};

constexpr Format format_f64 = {.type = DType::f64,
                               .integer = DType::i64,
                               .mantissa_bits = 52,
                               .bias = 1023,
                               .sqrt_half_bits = 0x3fe6a09e667f3bcd,
                               .smallest_normal = 0x1p-1022,
                               .exp_low = -747.0,
                               .exp_high = 710.0,
                               .tanh_high = 20.0,
                               .expm1_low = -60.0,
                               .ln2_high = tables_f64::ln2_high,
                               .ln2_low = tables_f64::ln2_low,
                               .exp_wide = tables_f64::exp_wide,
                               .exp_negated = tables_f64::exp_negated,
                               .expm1_narrow = tables_f64::expm1_narrow,
                               .tanh_narrow = tables_f64::tanh_narrow,
                               .log_narrow = tables_f64::log_narrow};

const Format& format_of(const Expr& x, const char* function) {
  if (x->type == DType::f32) return format_f32;
  if (x->type == DType::f64) return format_f64;
  throw InternalError(std::string(function) + " of " + std::string(dtype_name(x->type)));
}

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Expr number(const Expr& like, double value) { return expr::constant(value, like->type); }
Expr integer(const Expr& like, int64_t value) { return expr::integer(value, like->type); }
Expr less(Expr a, Expr b) { return expr::binary(ExprOp::less, std::move(a), std::move(b)); }
Expr equal(Expr a, Expr b) { return expr::binary(ExprOp::equal, std::move(a), std::move(b)); }
Expr shift_left(Expr a, int64_t count) {
  Expr by = integer(a, count);
  return expr::binary(ExprOp::shl, std::move(a), std::move(by));
}
Expr clamp(const Expr& x, double low, double high) {
  return expr::binary(ExprOp::max, expr::binary(ExprOp::min, x, number(x, high)), number(x, low));
}

// c0 + c1 x + ... by Horner's rule.
Expr polynomial(const Expr& x, std::span<const double> c) {
  Expr sum = number(x, c.back());
  for (size_t i = c.size() - 1; i-- > 0;) sum = expr::fma(sum, x, number(x, c[i]));
  return sum;
}

// With step = multiple * ln(2): x = steps * step + rest, where steps is near / step, rounded, and
// scale = 2^(steps + scale_exponent).
struct Reduction {
  Expr rest;
  Expr scale;
};

// Adding 1.5 * 2^mantissa_bits rounds to an integer that then stands in the low bits of the sum; the exponent's bias is
// added along with it, so that one shift makes the power of two.
Reduction reduce_by_ln2(const Format& f, const Expr& x, double multiple, int64_t scale_exponent, const Expr& near) {
  const double magic =
      1.5 * static_cast<double>(int64_t{1} << f.mantissa_bits) + static_cast<double>(f.bias + scale_exponent);
  const Expr sum = expr::fma(near, number(x, std::numbers::log2e / multiple), number(x, magic));
  const Expr steps = sum - number(x, magic);
  Expr rest = expr::fma(steps, number(x, -multiple * f.ln2_high), x);
  rest = expr::fma(steps, number(x, -multiple * f.ln2_low), rest);
  return {rest, expr::bitcast(shift_left(expr::bitcast(sum, f.integer), f.mantissa_bits), f.type)};
}

// |magnitude| with the sign of x.
Expr with_sign_of(const Format& f, const Expr& magnitude, const Expr& x) {
  const int64_t sign_bit = f.type == DType::f32 ? int64_t{INT32_MIN} : INT64_MIN;
  const Expr sign = expr::binary(ExprOp::bit_and, expr::bitcast(x, f.integer), expr::integer(sign_bit, f.integer));
  return expr::bitcast(expr::binary(ExprOp::bit_or, expr::bitcast(magnitude, f.integer), sign), f.type);
}

// log(m) + exponent * ln(2) for m = 1 + fraction in [sqrt(1/2), sqrt(2)).
Expr log_of_parts(const Format& f, const Expr& exponent, const Expr& fraction) {
  const Expr series = polynomial(fraction, f.log_narrow);
  const Expr low = expr::fma(exponent, number(fraction, f.ln2_low), fraction);
  const Expr sum = expr::fma(fraction * fraction, series, low);
  return expr::fma(exponent, number(fraction, f.ln2_high), sum);
}

// The k of x = m * 2^k with m in [sqrt(1/2), sqrt(2)), for positive normal x; `bits` are those of x.
Expr exponent_of(const Format& f, const Expr& bits) {
  return expr::binary(ExprOp::sar, bits - integer(bits, f.sqrt_half_bits), integer(bits, f.mantissa_bits));
}
Expr mantissa_of(const Format& f, const Expr& bits, const Expr& exponent) {
  return expr::bitcast(bits - shift_left(exponent, f.mantissa_bits), f.type);
}

// Of a positive x other than infinity and NaN, denormals included.
Expr log_of_positive(const Format& f, const Expr& x) {
  const Expr tiny = less(x, number(x, f.smallest_normal));
  const double scale = static_cast<double>(int64_t{1} << f.mantissa_bits);
  const Expr bits = expr::bitcast(expr::select(tiny, x * scale, x), f.integer);
  const Expr exponent = exponent_of(f, bits);
  const Expr shift = expr::select(tiny, number(x, -static_cast<double>(f.mantissa_bits)), number(x, 0.0));
  return log_of_parts(f, expr::convert(exponent, f.type) + shift, mantissa_of(f, bits, exponent) + -1.0);
}

// `inside` for 0 < x < inf; inf, -inf at 0, NaN below and for NaN.
Expr with_log_specials(const Expr& x, double zero, Expr inside) {
  const Expr above = expr::select(less(x, number(x, infinity)), std::move(inside), x);
  const Expr outside = expr::select(equal(x, number(x, zero)), number(x, -infinity), number(x, not_a_number));
  return expr::select(less(number(x, zero), x), above, outside);
}

}  // namespace

// The rest is twice as wide as usual, and the scale is applied twice: so 2^steps stays a normal number for results from
// the smallest denormal to infinity, and a denormal result is rounded once.
Expr exp_expr(Expr x) {
  const Format& f = format_of(x, "exp");
  const Expr clamped = clamp(x, f.exp_low, f.exp_high);
  const Reduction reduced = reduce_by_ln2(f, clamped, 2.0, 0, clamped);
  const Expr& r = reduced.rest;
  const Expr linear = expr::fma(polynomial(r, f.exp_wide), r, number(x, 1.0));
  return expr::fma(linear, r, number(x, 1.0)) * reduced.scale * reduced.scale;
}

// exp(x) - 1 = 2 (s/2 (exp(r) - 1) + (s/2 - 1/2)), where s/2 is finite although s may not be.
Expr expm1_expr(Expr x) {
  const Format& f = format_of(x, "expm1");
  const Expr clamped = clamp(x, f.expm1_low, f.exp_high);
  const Reduction reduced = reduce_by_ln2(f, clamped, 1.0, -1, clamped);
  const Expr& r = reduced.rest;
  const Expr near_zero = expr::fma(r * r, polynomial(r, f.expm1_narrow), r);
  const Expr half = expr::fma(reduced.scale, near_zero, reduced.scale + -0.5);
  return expr::select(equal(x, number(x, 0.0)), x, half + half);  // keeps the sign of zero
}

Expr log_expr(Expr x) {
  const Format& f = format_of(x, "log");
  return with_log_specials(x, 0.0, log_of_positive(f, x));
}

// The fraction of 1 + x is taken from x itself, (1 + x) / 2^k - 1 = x / 2^k + (1 / 2^k - 1), so that nothing is lost in
// 1 + x. For large k the 1 does not matter, and 2^-k might not be a normal number.
Expr log1p_expr(Expr x) {
  const Format& f = format_of(x, "log1p");
  const Expr bits = expr::bitcast(x + 1.0, f.integer);
  const Expr k = exponent_of(f, bits);
  const Expr scale = expr::bitcast(shift_left(integer(k, f.bias) - k, f.mantissa_bits), f.type);
  const Expr small = expr::fma(scale, x, scale + -1.0);
  const Expr large = mantissa_of(f, bits, k) + -1.0;
  const Expr fraction = expr::select(less(k, integer(k, 2 * f.mantissa_bits)), small, large);
  const Expr inside = log_of_parts(f, expr::convert(k, f.type), fraction);
  return expr::select(equal(x, number(x, 0.0)), x, with_log_specials(x, -1.0, inside));
}

// With |x| = n ln(2)/2 + r, s = 2^n and t = tanh(r), the addition theorem gives
//   tanh|x| = ((s - 1) + (s + 1) t) / ((s + 1) + (s - 1) t).
// The denominator is computed as numerator + (2 - 2 t): so a rounding error of the numerator is in both and nearly
// cancels. Rounding to n is shifted, because the error is largest where r is near its negative end.
Expr tanh_expr(Expr x) {
  const Format& f = format_of(x, "tanh");
  const Expr magnitude = expr::binary(ExprOp::min, expr::unary(ExprOp::abs, x), number(x, f.tanh_high));
  const Reduction reduced = reduce_by_ln2(f, magnitude, 0.5, 0, magnitude + -0.1);
  const Expr& r = reduced.rest;
  const Expr y = r * r;
  const Expr t = expr::fma(r * y, polynomial(y, f.tanh_narrow), r);
  const Expr numerator = expr::fma(reduced.scale + 1.0, t, reduced.scale + -1.0);
  const Expr denominator = numerator + expr::fma(t, number(x, -2.0), number(x, 2.0));
  return with_sign_of(f, numerator / denominator, x);
}

// With x = n ln(2) + r and s = 2^n, 1 / (1 + exp(-x)) = s / (s + exp(-r)), where exp(-r) = 1 + r p(r). What is lost in
// 1 + s is added to the small r p(r). The clamps let s become 0 for large negative x and much larger than 1 for large
// positive x.
Expr sigmoid_expr(Expr x) {
  const Format& f = format_of(x, "sigmoid");
  const Expr clamped = clamp(x, -static_cast<double>(f.bias) * std::numbers::ln2, 2.5 * f.tanh_high);
  const Reduction reduced = reduce_by_ln2(f, clamped, 1.0, 0, clamped);
  const Expr& r = reduced.rest;
  const Expr& s = reduced.scale;
  const Expr p = expr::fma(polynomial(r, f.exp_negated), r, number(x, -1.0));
  const Expr sum = s + 1.0;
  const Expr lost = s - (sum + -1.0);
  return s / (sum + expr::fma(r, p, lost));
}

// Below 0.95 a polynomial; above 1 - 2^p(x), where p fits log2(1 - erf).
Expr erf_expr(Expr x) {
  const Format& f = format_of(x, "erf");
  const Expr magnitude = expr::unary(ExprOp::abs, x);
  if (f.type == DType::f64) {  // above 0.95 1 - e^p(x), where p fits log(1 - erf)
    const Expr near = expr::fma(x, polynomial(x * x, tables_f64::erf_small), x);
    const Expr far =
        1.0 - exp_expr(polynomial(expr::binary(ExprOp::min, magnitude, number(x, 6.0)), tables_f64::log_erfc));
    return expr::select(less(magnitude, number(x, 0.95)), near, with_sign_of(f, far, x));
  }
  const Expr small = expr::fma(x, polynomial(x * x, tables_f32::erf_small), x);

  const Expr exponent = polynomial(expr::binary(ExprOp::min, magnitude, number(x, 4.0)), tables_f32::log2_erfc);
  const double magic = 0x1.8p23 + static_cast<double>(f.bias);
  const Expr sum = exponent + magic;
  const Expr r = exponent - (sum - number(x, magic));
  const Expr scale = expr::bitcast(shift_left(expr::bitcast(sum, f.integer), f.mantissa_bits), f.type);
  const Expr power = expr::fma(polynomial(r, tables_f32::exp2_narrow), r, number(x, 1.0));
  const Expr large = expr::fma(-power, scale, number(x, 1.0));
  return expr::select(less(magnitude, number(x, 0.95)), small, with_sign_of(f, large, x));
}

Expr softplus_expr(Expr x) {
  const Expr decay = exp_expr(-expr::unary(ExprOp::abs, x));
  return expr::binary(ExprOp::max, x, number(x, 0.0)) + log1p_expr(decay);
}

// exp(y log|x|) in f64, whose rounding errors are far below those of f32; f64 operands lose |y log x| / 2^52.
Expr pow_expr(Expr x, Expr y) {
  const DType type = x->type;
  const Expr base = expr::convert(x, DType::f64);
  const Expr exponent = expr::convert(y, DType::f64);
  const Expr one = number(base, 1.0), zero = number(base, 0.0);

  const Expr magnitude = expr::unary(ExprOp::abs, base);
  const Expr power = exp_expr(exponent * log_expr(magnitude));
  const Expr trivial = expr::binary(ExprOp::logical_or, equal(exponent, zero), equal(magnitude, one));
  const Expr unsigned_power = expr::select(trivial, one, power);

  auto is_whole = [](const Expr& a) { return equal(expr::unary(ExprOp::floor, a), a); };
  const Expr whole = is_whole(exponent);
  const Expr odd = expr::binary(ExprOp::logical_and, whole, expr::unary(ExprOp::logical_not, is_whole(exponent * 0.5)));
  const Expr has_sign = less(expr::bitcast(base, DType::i64), expr::integer(0, DType::i64));
  const Expr signed_power =
      expr::select(expr::binary(ExprOp::logical_and, odd, has_sign), -unsigned_power, unsigned_power);

  // A finite negative base has no power with a fraction; NaN stays NaN except for 1^y and x^0.
  const Expr negative = expr::binary(ExprOp::logical_and, less(base, zero), less(number(base, -infinity), base));
  const Expr undefined = expr::binary(ExprOp::logical_and, negative, expr::unary(ExprOp::logical_not, whole));
  const Expr result = expr::select(undefined, number(base, not_a_number), signed_power);
  return expr::convert(result, type);
}

}  // namespace moru
