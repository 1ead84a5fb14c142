#include "compiler/ops/transcendentals.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "compiler/interpret/kernel_interpreter.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// y[i] = f(x[i], z[i]) as a kernel.
class Evaluator {
 public:
  Evaluator(DType type, const std::function<Expr(Expr, Expr)>& build) {
    const Dim n = Dim::symbol("n"), i = Dim::symbol("i");
    kernel_.entry = "evaluate";
    kernel_.buffers = {{"x", type, n, 0}, {"z", type, n, 1}, {"y", type, n, 2}};
    const Expr value = build(expr::load(kernel_.buffers[0], 0, i), expr::load(kernel_.buffers[1], 1, i));
    For loop{"i", n, ForKind::vector, {}};
    loop.body.push_back({Store{{2, i, nullptr}, value, false}, ""});
    kernel_.body.push_back({loop, ""});
    verify_kernel(kernel_, "the test");
  }
  template <class T>
  void run(const std::vector<T>& x, const std::vector<T>& z, std::vector<T>& y) const {
    y.resize(x.size());
    void* buffers[] = {const_cast<T*>(x.data()), const_cast<T*>(z.data()), y.data()};
    interpret_kernel(kernel_, buffers, {{"n", static_cast<int64_t>(x.size())}});
  }
  template <class T>
  T operator()(T x, T z = 0) const {
    std::vector<T> y;
    run<T>({x}, {z}, y);
    return y[0];
  }

 private:
  Kernel kernel_;
};

/// How far `value` is from the exact result, in units of the last place of the exact one.
double ulps(float value, double exact) {
  if (std::isnan(exact) || std::isnan(value)) return std::isnan(exact) && std::isnan(value) ? 0.0 : infinity;
  if (std::isinf(value)) {
    // Rounding to nearest makes infinity of what is at least this large; one unit less is one unit off.
    const double threshold = 0x1.ffffffp127;
    if (std::signbit(value) != std::signbit(exact)) return infinity;
    return std::abs(exact) >= threshold ? 0.0 : std::max(1.0, (threshold - std::abs(exact)) / 0x1p104);
  }
  if (std::abs(exact) >= 0x1p128) exact = std::copysign(0x1p128, exact);
  const int exponent = exact == 0.0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::abs(static_cast<double>(value) - exact) / std::ldexp(1.0, exponent - 23);
}

struct Function {
  const char* name;
  Expr (*build)(Expr);
  double (*exact)(double);
  double bound;          // in ulps
  double flushed = 0.0;  // results of smaller magnitude may be 0
  double least = -infinity, most = infinity;
};

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

// The bounds are the ones stated in transcendentals.h.
const Function functions[] = {
    {"exp", exp_expr, [](double x) { return std::exp(x); }, 1.63, 0.0, 0.0},
    {"expm1", expm1_expr, [](double x) { return std::expm1(x); }, 1.53, 0.0, -1.0},
    {"log", log_expr, [](double x) { return std::log(x); }, 0.92},
    {"log1p", log1p_expr, [](double x) { return std::log1p(x); }, 1.46},
    {"tanh", tanh_expr, [](double x) { return std::tanh(x); }, 1.76, 0.0, -1.0, 1.0},
    {"sigmoid", sigmoid_expr, sigmoid, 1.81, 0x1.7p-127, 0.0, 1.0},
    {"erf", erf_expr, [](double x) { return std::erf(x); }, 1.42, 0.0, -1.0, 1.0},
    {"softplus", softplus_expr, softplus, 2.34, 0.0, 0.0},
};

struct Worst {
  double error = 0.0;
  float at = 0.0f;
  bool in_range = true;
};

Worst measure(const Function& function, const Evaluator& evaluate, const std::vector<float>& x, Worst worst = {}) {
  std::vector<float> y;
  evaluate.run(x, x, y);
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = function.exact(static_cast<double>(x[i]));
    if (std::abs(exact) < function.flushed && y[i] == 0.0f) continue;
    const double error = ulps(y[i], exact);
    if (error > worst.error) {
      worst.error = error;
      worst.at = x[i];
    }
    if (!(y[i] >= function.least && y[i] <= function.most) && !std::isnan(y[i])) worst.in_range = false;
  }
  return worst;
}

Worst measure_bits(const Function& function, uint64_t first, uint64_t end, uint64_t step) {
  const Evaluator evaluate(DType::f32, [&](Expr x, Expr) { return function.build(x); });
  Worst worst;
  std::vector<float> x;
  for (uint64_t bits = first; bits < end;) {
    x.clear();
    for (; bits < end && x.size() < 65536; bits += step) x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    worst = measure(function, evaluate, x, worst);
  }
  return worst;
}

}  // namespace

TEST_CASE("transcendentals: every 997th f32 is within the stated error") {
  for (const Function& function : functions) {
    const Worst worst = measure_bits(function, 0, uint64_t{1} << 32, 997);
    CAPTURE(function.name);
    CAPTURE(worst.at);
    CHECK(worst.error <= function.bound);
    CHECK(worst.in_range);
  }
}

TEST_CASE("transcendentals: all f32 near special points are within the stated error") {
  const double points[] = {0.0,        0x1p-149,   0x1p-126, 0x1p-24, 0x1p-12,      0.17328680, 0.34657359, 0.5,
                           0.69314718, 0.70710678, 0.95,     1.0,     1.41421356,   2.0,        3.92,       4.0,
                           9.0109,     10.0,       17.33,    24.0,    87.3365,      88.0,       88.3763,    88.72284,
                           89.0,       103.2789,   103.9721, 104.5,   3.4028235e38, infinity};
  std::vector<float> x;
  for (double point : points)
    for (float signed_point : {static_cast<float>(point), static_cast<float>(-point)}) {
      const uint32_t bits = std::bit_cast<uint32_t>(signed_point);
      for (uint32_t offset = 0; offset <= 4000; ++offset) x.push_back(std::bit_cast<float>(bits + offset - 2000));
    }
  for (const Function& function : functions) {
    const Evaluator evaluate(DType::f32, [&](Expr e, Expr) { return function.build(e); });
    const Worst worst = measure(function, evaluate, x);
    CAPTURE(function.name);
    CAPTURE(worst.at);
    CHECK(worst.error <= function.bound);
    CHECK(worst.in_range);
  }
}

// Minutes: test_ops --no-skip --test-case="*all 2^32*"
TEST_CASE("transcendentals: all 2^32 f32 are within the stated error (slow)" * doctest::skip()) {
  for (const Function& function : functions) {
    const Worst worst = measure_bits(function, 0, uint64_t{1} << 32, 1);
    std::printf("%-9s %.4f ulp at %a\n", function.name, worst.error, static_cast<double>(worst.at));
    std::fflush(stdout);
    CAPTURE(function.name);
    CAPTURE(worst.at);
    CHECK(worst.error <= function.bound);
    CHECK(worst.in_range);
  }
}

TEST_CASE("transcendentals: limits and undefined points are as in C") {
  auto value = [](Expr (*build)(Expr), double x) {
    return static_cast<double>(Evaluator(DType::f32, [&](Expr e, Expr) { return build(e); })(static_cast<float>(x)));
  };
  for (const Function& function : functions) CHECK(std::isnan(value(function.build, nan_value)));
  CHECK(value(exp_expr, infinity) == infinity);
  CHECK(value(exp_expr, -infinity) == 0.0);
  CHECK(value(exp_expr, 0.0) == 1.0);
  CHECK(value(exp_expr, -103.5) > 0.0);  // a denormal
  CHECK(value(expm1_expr, infinity) == infinity);
  CHECK(value(expm1_expr, -infinity) == -1.0);
  CHECK(value(log_expr, 0.0) == -infinity);
  CHECK(value(log_expr, -0.0) == -infinity);
  CHECK(std::isnan(value(log_expr, -1.0)));
  CHECK(value(log_expr, infinity) == infinity);
  CHECK(value(log_expr, 1.0) == 0.0);
  CHECK(value(log1p_expr, -1.0) == -infinity);
  CHECK(std::isnan(value(log1p_expr, -1.5)));
  CHECK(value(log1p_expr, infinity) == infinity);
  CHECK(value(tanh_expr, infinity) == 1.0);
  CHECK(value(tanh_expr, -infinity) == -1.0);
  CHECK(value(sigmoid_expr, infinity) == 1.0);
  CHECK(value(sigmoid_expr, -infinity) == 0.0);
  CHECK(value(sigmoid_expr, 0.0) == 0.5);
  CHECK(value(erf_expr, infinity) == 1.0);
  CHECK(value(erf_expr, -infinity) == -1.0);
  CHECK(value(softplus_expr, infinity) == infinity);
  CHECK(value(softplus_expr, -infinity) == 0.0);
  for (auto build : {expm1_expr, log1p_expr, tanh_expr, erf_expr}) {
    CHECK(value(build, 0.0) == 0.0);
    CHECK(std::signbit(value(build, -0.0)));
  }
}

TEST_CASE("transcendentals: tanh is odd and never decreases between neighbours by more than a rounding") {
  const Evaluator tanh(DType::f32, [](Expr x, Expr) { return tanh_expr(x); });
  std::vector<float> x, negative, y, z;
  for (uint32_t bits = 0; bits < 0x41400000; bits += 211) x.push_back(std::bit_cast<float>(bits));
  for (float each : x) negative.push_back(-each);
  tanh.run(x, x, y);
  tanh.run(negative, negative, z);
  bool odd = true, rising = true;
  for (size_t i = 0; i < x.size(); ++i) odd = odd && y[i] == -z[i];
  for (size_t i = 1; i < x.size(); ++i) rising = rising && y[i] >= y[i - 1] * (1 - 0x1p-22f);
  CHECK(odd);
  CHECK(rising);
}

TEST_CASE("transcendentals: pow is within one ulp for positive bases") {
  const Evaluator pow(DType::f32, [](Expr x, Expr y) { return pow_expr(x, y); });
  std::mt19937_64 random(20);
  std::uniform_real_distribution<double> exponent(-30.0, 30.0), power(-4.0, 4.0);
  std::vector<float> x, y, result;
  for (int i = 0; i < 200000; ++i) {
    x.push_back(static_cast<float>(std::pow(10.0, exponent(random))));
    y.push_back(static_cast<float>(i % 3 == 0 ? std::round(power(random)) : power(random)));
  }
  for (int i = 0; i < 50000; ++i) {  // near 1, with large exponents
    x.push_back(static_cast<float>(1.0 + exponent(random) * 1e-3));
    y.push_back(static_cast<float>(power(random) * 500));
  }
  pow.run(x, y, result);
  double worst = 0.0;
  for (size_t i = 0; i < x.size(); ++i)
    worst = std::max(worst, ulps(result[i], std::pow(static_cast<double>(x[i]), static_cast<double>(y[i]))));
  CHECK(worst <= 1.0);
}

TEST_CASE("transcendentals: pow has the special cases of IEEE 754") {
  const Evaluator pow(DType::f32, [](Expr x, Expr y) { return pow_expr(x, y); });
  const double specials[] = {0.0,  -0.0, 1.0,  -1.0, 0.5,      -0.5,      2.0,       -2.0,     3.0,
                             -3.0, 2.5,  -2.5, 1e30, infinity, -infinity, nan_value, 16777217, 1e-30};
  for (double x : specials)
    for (double y : specials) {
      CAPTURE(x);
      CAPTURE(y);
      const float exact = std::pow(static_cast<float>(x), static_cast<float>(y));
      const float value = pow(static_cast<float>(x), static_cast<float>(y));
      CHECK(ulps(value, static_cast<double>(exact)) <= 1.0);
      if (!std::isnan(exact)) CHECK(std::signbit(value) == std::signbit(exact));
    }
}

TEST_CASE("transcendentals: the f64 forms are good to 1e-14") {
  struct Wide {
    Expr (*build)(Expr);
    double (*exact)(double);
    double low, high;
  };
  const Wide wides[] = {{exp_expr, [](double x) { return std::exp(x); }, -740, 709},
                        {expm1_expr, [](double x) { return std::expm1(x); }, -40, 709},
                        {expm1_expr, [](double x) { return std::expm1(x); }, -1e-3, 1e-3},
                        {log_expr, [](double x) { return std::log(x); }, 0, 1e10},
                        {log_expr, [](double x) { return std::log(x); }, 0.5, 2},
                        {log1p_expr, [](double x) { return std::log1p(x); }, -1, 100},
                        {log1p_expr, [](double x) { return std::log1p(x); }, -1e-6, 1e-6},
                        {tanh_expr, [](double x) { return std::tanh(x); }, -22, 22},
                        {sigmoid_expr, sigmoid, -700, 50},
                        {softplus_expr, softplus, -50, 50},
                        {erf_expr, [](double x) { return std::erf(x); }, -7, 7},
                        {erf_expr, [](double x) { return std::erf(x); }, -1e-3, 1e-3}};
  std::mt19937_64 random(7);
  for (const Wide& wide : wides) {
    const Evaluator evaluate(DType::f64, [&](Expr x, Expr) { return wide.build(x); });
    std::uniform_real_distribution<double> uniform(wide.low, wide.high);
    std::vector<double> x, y;
    for (int i = 0; i < 20000; ++i) x.push_back(uniform(random));
    evaluate.run(x, x, y);
    double worst = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = wide.exact(x[i]);
      // A denormal result has fewer bits than that.
      if (std::abs(exact) > 0x1p-1022) worst = std::max(worst, std::abs(y[i] - exact) / std::abs(exact));
    }
    CAPTURE(wide.low);
    CAPTURE(wide.high);
    CHECK(worst <= 1e-14);
  }
  const Evaluator pow(DType::f64, [](Expr x, Expr y) { return pow_expr(x, y); });
  CHECK(std::abs(pow(2.5, 3.25) / std::pow(2.5, 3.25) - 1.0) <= 1e-14);
}
