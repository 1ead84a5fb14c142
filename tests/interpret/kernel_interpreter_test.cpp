#include "compiler/interpret/kernel_interpreter.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "compiler/support/error.h"

using namespace moru;

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();
const float not_a_number = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_floats(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

void run(const Kernel& kernel, std::vector<void*> buffers, std::map<std::string, int64_t> symbols,
         InterpretKernelOptions options = {}) {
  verify_kernel(kernel, "the test");
  interpret_kernel(kernel, buffers, symbols, options);
}

/// The value of an expression over x (f32, f64, i32, i64 by the name of the buffer).
template <class To, class From>
std::vector<To> evaluate(const std::string& expression, DType from, DType to, std::vector<From> a,
                         std::vector<From> b) {
  const std::string n = std::to_string(a.size());
  const Kernel kernel =
      parse_kernel("kernel \"k\" { buffer \"a\": " + std::string(dtype_name(from)) + "[" + n +
                   "] buffer \"b\": " + std::string(dtype_name(from)) + "[" + n +
                   "] buffer \"y\": " + std::string(dtype_name(to)) + "[" + n + "] vector i: " + n +
                   " { let %a = load \"a\"[i] let %b = load \"b\"[i] \"y\"[i] = " + expression + " } }");
  std::vector<To> y(a.size());
  run(kernel, {a.data(), b.data(), y.data()}, {});
  return y;
}
std::vector<float> floats(const std::string& expression, std::vector<float> a, std::vector<float> b = {}) {
  b.resize(a.size());
  return evaluate<float, float>(expression, DType::f32, DType::f32, a, b);
}
std::vector<int32_t> ints(const std::string& expression, std::vector<int32_t> a, std::vector<int32_t> b = {}) {
  b.resize(a.size());
  return evaluate<int32_t, int32_t>(expression, DType::i32, DType::i32, a, b);
}
using Ints = std::vector<int32_t>;

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::isnan(a[i]) && std::isnan(b[i])) && (a[i] != b[i] || std::signbit(a[i]) != std::signbit(b[i])))
      return false;
  return true;
}

}  // namespace

TEST_CASE("kernel_interpreter: min and max are IEEE 754-2019's minimum and maximum") {
  CHECK(same(floats("max(%a, %b)", {1, -0.0f, 0.0f, not_a_number, 3}, {2, 0.0f, -0.0f, 1, not_a_number}),
             {2, 0.0f, 0.0f, not_a_number, not_a_number}));
  CHECK(same(floats("min(%a, %b)", {1, -0.0f, 0.0f, not_a_number, 3}, {2, 0.0f, -0.0f, 1, not_a_number}),
             {1, -0.0f, -0.0f, not_a_number, not_a_number}));
}

TEST_CASE("kernel_interpreter: fma rounds once, and a product and a sum round twice") {
  const float a = 1.0f + 0x1p-12f;
  CHECK(same(floats("fma(%a, %a, %b)", {a}, {-1.0f}), {0x1p-11f + 0x1p-24f}));
  CHECK(same(floats("((%a * %a) + %b)", {a}, {-1.0f}), {0x1p-11f}));
}

TEST_CASE("kernel_interpreter: rounding is to nearest even, conversions truncate and saturate") {
  CHECK(same(floats("round(%a)", {0.5f, 1.5f, 2.5f, -0.5f, -1.5f}), {0, 2, 2, -0.0f, -2}));
  CHECK(same(floats("floor(%a)", {-0.5f, 1.5f}), {-1, 1}));
  CHECK(same(floats("ceil(%a)", {-0.5f, 1.5f}), {-0.0f, 2}));
  const std::vector<float> from{1.9f, -1.9f, 3e9f, -3e9f, infinite, -infinite, not_a_number, -2147483648.0f};
  const std::vector<float> none(from.size());
  CHECK(evaluate<int32_t, float>("convert_i32(%a)", DType::f32, DType::i32, from, none) ==
        Ints{1, -1, INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN, 0, INT32_MIN});
  CHECK(evaluate<int64_t, float>("convert_i64(%a)", DType::f32, DType::i64, from, none)[4] == INT64_MAX);
  const std::vector<double> wide{1.0 + 0x1p-24, 1.0 + 3 * 0x1p-24, 1e300}, no_wide(3);
  CHECK(same(evaluate<float, double>("convert_f32(%a)", DType::f64, DType::f32, wide, no_wide),
             {1.0f, 1.0f + 0x1p-22f, infinite}));
}

TEST_CASE("kernel_interpreter: integers wrap, shifts and divisions are defined") {
  CHECK(ints("(%a + %b)", {INT32_MAX, 1}, {1, 1}) == Ints{INT32_MIN, 2});
  CHECK(ints("(%a * %b)", {65536, -3}, {65536, 5}) == Ints{0, -15});
  CHECK(ints("neg(%a)", {INT32_MIN, 3}) == Ints{INT32_MIN, -3});
  CHECK(ints("(%a / %b)", {7, -7, 5, INT32_MIN}, {2, 2, 0, -1}) == Ints{3, -3, 0, INT32_MIN});
  CHECK(ints("shr(%a, %b)", {-1, 8}, {28, 1}) == Ints{15, 4});
  CHECK(ints("sar(%a, %b)", {-16, 8}, {2, 1}) == Ints{-4, 4});
  CHECK(ints("shl(%a, %b)", {1, 3}, {31, 1}) == Ints{INT32_MIN, 6});
  CHECK(ints("mul_high_unsigned(%a, %b)", {-1, INT32_MIN}, {-1, 4}) == Ints{-2, 2});
  CHECK(ints("bit_xor(bit_and(%a, %b), bit_or(%a, %b))", {12}, {10}) == Ints{6});
  const std::vector<int64_t> a{-1, INT64_MIN}, b{-1, 4};
  CHECK(evaluate<int64_t, int64_t>("mul_high_unsigned(%a, %b)", DType::i64, DType::i64, a, b) ==
        std::vector<int64_t>{-2, 2});
}

TEST_CASE("kernel_interpreter: comparisons with NaN are false, except not_equal") {
  auto compare = [](const std::string& op) {
    const std::vector<float> a{1, not_a_number, 2, 0.0f}, b{2, 1, not_a_number, -0.0f};
    return evaluate<uint8_t, float>(op + "(%a, %b)", DType::f32, DType::boolean, a, b);
  };
  using Booleans = std::vector<uint8_t>;
  CHECK(compare("less") == Booleans{1, 0, 0, 0});
  CHECK(compare("less_equal") == Booleans{1, 0, 0, 1});
  CHECK(compare("equal") == Booleans{0, 0, 0, 1});
  CHECK(compare("not_equal") == Booleans{1, 1, 1, 0});
  CHECK(same(floats("select(logical_and(less(%a, 2), logical_not(equal(%a, 0))), %a, %b)", {1, 0, 3}, {7, 8, 9}),
             {1, 8, 9}));
}

TEST_CASE("kernel_interpreter: a sum is folded in 16 partial sums, whatever the block") {
  for (size_t count : {0, 1, 15, 16, 17, 255, 256, 257, 1000}) {
    CAPTURE(count);
    std::vector<float> x = random_floats(count, 3), y{5.0f, 5.0f, 5.0f, 5.0f};
    const Kernel kernel = parse_kernel(R"(kernel "k" { buffer "x": f32[n] slot 0 buffer "y": f32[4] slot 1
      reduce add k: n into "y"[0] { load "x"[k] }
      reduce add k: n accumulate into "y"[1] { load "x"[k] }
      reduce max k: n into "y"[2] { load "x"[n - 1 - k] }
      reduce min k: n accumulate into "y"[3] { (load "x"[k] * 2) } })");
    run(kernel, {x.data(), y.data()}, {{"n", static_cast<int64_t>(count)}});
    float partial[16];
    std::fill_n(partial, 16, -0.0f);
    for (size_t k = 0; k < count; ++k) partial[k % 16] += x[k];
    for (size_t half : {8, 4, 2, 1})
      for (size_t p = 0; p < half; ++p) partial[p] += partial[p + half];
    CHECK(same({y[0], y[1]}, {partial[0], 5.0f + partial[0]}));
    float most = -infinite, least = 5.0f;
    for (float each : x) {
      most = std::max(most, each);
      least = std::min(least, each * 2);
    }
    CHECK(same({y[2], y[3]}, {most, least}));
  }
}

TEST_CASE("kernel_interpreter: a contraction is a chain of fused multiply-adds over depth") {
  const int64_t batch = 5, gates = 3, units = 70, depth = 9, taps = 2;
  std::vector<float> a = random_floats(static_cast<size_t>(batch * taps * depth), 1);
  std::vector<float> b = random_floats(static_cast<size_t>(taps * depth * gates * units), 2);
  std::vector<float> bias = random_floats(static_cast<size_t>(gates * units), 3);
  std::vector<float> y(static_cast<size_t>(batch * gates * units)), expected = y;
  auto text = [](const char* b_address) {
    return std::string(
               R"(kernel "k" { buffer "a": f32[18*batch] slot 0 buffer "b": f32[3780] slot 1 buffer "bias": f32[210] slot 2
      buffer "y": f32[210*batch] slot 3
      contract f32 rows (i: batch) columns (g: 3, j: 70) depth (t: 2, k: 9) a "a"[18*i + 9*t + k] b )") +
           b_address + R"( init load "bias"[70*g + j] { "y"[210*i + 70*g + j] = max(acc, 0) } })";
  };
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t c = 0; c < gates * units; ++c) {
      float acc = bias[static_cast<size_t>(c)];
      for (int64_t k = 0; k < taps * depth; ++k)
        acc = std::fma(a[static_cast<size_t>(18 * i + k)], b[static_cast<size_t>(210 * k + c)], acc);
      expected[static_cast<size_t>(210 * i + c)] = std::max(acc, 0.0f);
    }
  run(parse_kernel(text(R"("b"[1890*t + 210*k + 70*g + j])")), {a.data(), b.data(), bias.data(), y.data()},
      {{"batch", batch}});
  CHECK(same(y, expected));
  // The same address through its dynamic part takes the general path.
  std::fill(y.begin(), y.end(), 0.0f);
  run(parse_kernel(text(R"("b"[1890*t + 70*g + j; index(210*k)])")), {a.data(), b.data(), bias.data(), y.data()},
      {{"batch", batch}});
  CHECK(same(y, expected));
}

TEST_CASE("kernel_interpreter: loops nest, carry and gather") {
  std::vector<float> x(12), y(12, -1.0f), table = random_floats(20, 4);
  std::vector<int64_t> ids{3, 0, 1, 2};
  for (size_t i = 0; i < 12; ++i) x[i] = static_cast<float>(i + 1);
  run(parse_kernel(R"(kernel "k" { buffer "x": f32[3*n] slot 0 buffer "y": f32[3*n] slot 1
        for i: n { "y"[3*i] = load "x"[3*i]
          for j: 2 { "y"[3*i + j + 1] = (load "y"[3*i + j] + load "x"[3*i + j + 1]) } } })"),
      {x.data(), y.data()}, {{"n", 4}});
  CHECK(same(y, {1, 3, 6, 4, 9, 15, 7, 15, 24, 10, 21, 33}));
  run(parse_kernel(R"(kernel "k" { buffer "t": f32[20] slot 0 buffer "ids": i64[4] slot 1 buffer "y": f32[12] slot 2
        for i: 4 { vector j: 3 { "y"[3*i + j] = load "t"[j; (i64(5) * load "ids"[i])] } } })"),
      {table.data(), ids.data(), y.data()}, {});
  CHECK(y[0] == table[15]);
  CHECK(y[11] == table[12]);
  run(parse_kernel(R"(kernel "k" { buffer "x": f32[12] slot 0 buffer "y": f32[12] slot 1
        vector i: 12 { "y"[floor(i, 2)] = load "x"[floor(i, 3)] } })"),
      {x.data(), y.data()}, {});
  CHECK(y[2] == 2.0f);
  CHECK(y[5] == 4.0f);
  run(parse_kernel(R"(kernel "k" { buffer "x": f32[12] slot 0 buffer "y": f32[12] slot 1
        transpose (3, n) from "x"[0] stride (n) to "y"[0] stride (3) })"),
      {x.data(), y.data()}, {{"n", 4}});
  CHECK(same(y, {1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12}));
}

TEST_CASE("kernel_interpreter: the order of independent iterations does not matter") {
  const Kernel kernel = parse_kernel(R"(kernel "k" { buffer "x": f32[1000*n] slot 0 buffer "y": f32[1000*n] slot 1
      buffer "scratch": f32[1000*workers]
      parallel c: n {
        vector j: 1000 { "scratch"[1000*worker + j] = (load "x"[1000*c + j] * 3) }
        vector j: 1000 { "y"[1000*c + j] += (load "scratch"[1000*worker + j] - 1) } } })");
  std::vector<float> x = random_floats(7000, 5), y(7000, 0.5f), z = y, scratch(3000);
  const std::map<std::string, int64_t> symbols{{"n", 7}, {"workers", 3}};
  run(kernel, {x.data(), y.data(), scratch.data()}, symbols);
  run(kernel, {x.data(), z.data(), scratch.data()}, symbols, {.reverse_independent_loops = true});
  CHECK(same(y, z));
  CHECK(y[6999] == 0.5f + (x[6999] * 3 - 1));
}

TEST_CASE("kernel_interpreter: an access outside of a buffer is an error that names the statement") {
  std::vector<float> x(8), y(8);
  auto refuses = [&](const char* body, const char* message) {
    CAPTURE(body);
    const Kernel kernel = parse_kernel(
        std::string(R"(kernel "k" { buffer "x": f32[8] slot 0 buffer "y": f32[n] slot 1 buffer "unused": f32[4] )") +
        body + "}");
    void* buffers[] = {x.data(), y.data(), nullptr};
    CHECK_THROWS_WITH_AS(interpret_kernel(kernel, buffers, {{"n", 8}}), doctest::Contains(message), InternalError);
  };
  refuses(R"(vector i: n { "y"[i + 1] = 0 @ "dense_1" })",
          R"(kernel 'k': "y"[i + 1] = ... (from 'dense_1'): reaches element 8 of buffer "y", which has 8)");
  refuses(R"(for i: n { "y"[i] = load "x"[i - 1] })", "reaches element -1 of buffer \"x\"");
  refuses(R"(vector i: n { "y"[i] = load "x"[0; index(2*i)] })", "reaches element 8 of buffer \"x\"");
  refuses(R"(reduce add k: 9 into "y"[0] { load "x"[k] })", "reaches element 8 of buffer \"x\"");
  refuses(
      R"(contract f32 rows (i: 2) columns (j: 2) depth (k: 4) a "x"[5*i + k] b "x"[2*k + j] { "y"[2*i + j] = acc })",
      "reaches elements 5 to 8 of buffer \"x\"");
  refuses(R"(transpose (2, 4) from "x"[1] stride (4) to "y"[0] stride (2))", "reaches elements 1 to 8");
  refuses(R"("y"[0] = load "unused"[0])", "which has no memory");
  refuses(R"("y"[m] = 0)", "no value for the symbol 'm'");
  refuses(R"("y"[floor(n, n - 8)] = 0)", "divides by a number that is not positive");
}

TEST_CASE("kernel_interpreter: a shared subexpression is computed once") {
  // A tree of 2^60 leaves.
  std::vector<float> x{1.0f, 0.5f}, y(2);
  Kernel kernel = parse_kernel(R"(kernel "k" { buffer "x": f32[2] slot 0 buffer "y": f32[2] slot 1 })");
  Expr e = expr::load(kernel.buffers[0], 0, Dim::symbol("i"));
  for (int level = 0; level < 60; ++level) e = expr::fma(e, expr::constant(0.5), e * 0.5);
  For loop{"i", 2, ForKind::vector, {}};
  loop.body.push_back({Store{{1, Dim::symbol("i"), nullptr}, e, false}, ""});
  kernel.body.push_back({loop, ""});
  run(kernel, {x.data(), y.data()}, {});
  CHECK(same(y, {1.0f, 0.5f}));
}
