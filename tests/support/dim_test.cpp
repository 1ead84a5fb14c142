#include "compiler/support/dim.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

#include "compiler/support/error.h"

using namespace moru;

namespace {

const Dim batch = Dim::symbol("batch"), time_ = Dim::symbol("time");

int64_t value(const Dim& dim, int64_t b, int64_t t) {
  return dim.evaluate([&](std::string_view name) { return name == "batch" ? b : t; });
}

}  // namespace

TEST_CASE("dim: expressions that are equal as polynomials are equal and print alike") {
  CHECK((batch + time_) * (batch - time_) == batch * batch - time_ * time_);
  CHECK(((batch + 1) * 24).text() == "24*batch + 24");
  CHECK((time_ * batch).text() == "batch*time");
  CHECK((batch - batch).is_constant(0));
  CHECK(Dim(0).text() == "0");
  CHECK((Dim(3) - batch).text() == "-batch + 3");
  CHECK((batch + time_ - batch).as_symbol() == "time");
  CHECK_FALSE((batch * 2).as_symbol());
  CHECK((batch * 2).coefficient("batch")->is_constant(2));
  CHECK((batch * time_ + 5).coefficient("batch") == time_);
  CHECK_FALSE((batch * batch).coefficient("batch"));
  CHECK_FALSE(floor_div(batch, 2).coefficient("batch"));
  CHECK(batch.coefficient("time")->is_constant(0));
}

TEST_CASE("dim: divisions without remainder disappear, others stay and are exact at run time") {
  CHECK(floor_div(batch * 24, 8) == batch * 3);
  CHECK(ceil_div(batch * time_ * 6, batch * 3) == time_ * 2);
  CHECK(floor_div(batch + time_, batch + time_).is_constant(1));
  CHECK(floor_div(batch, 1) == batch);
  CHECK(floor_div(batch + 1, 2) == floor_div(Dim(1) + batch, 2));
  CHECK_FALSE(floor_div(batch, 2) == ceil_div(batch, 2));
  CHECK(value(floor_div(batch, 2), 7, 0) == 3);
  CHECK(value(ceil_div(batch, 2), 7, 0) == 4);
  CHECK(floor_div(Dim(-7), 2).is_constant(-4));
  CHECK(ceil_div(Dim(-7), 2).is_constant(-3));
  CHECK(value(modulo(batch, 5), 13, 0) == 3);
  CHECK(value(modulo(Dim(0) - batch, 5), 13, 0) == 2);
  CHECK(modulo(batch * 5, 5).is_constant(0));
  CHECK_THROWS_AS(floor_div(Dim(7), 0), InternalError);
  CHECK_THROWS_AS(value(floor_div(batch, time_), 3, 0), InternalError);
}

TEST_CASE("dim: maxima and minima are ordered, fold where the difference is a number") {
  CHECK(max(batch + 2, batch) == batch + 2);
  CHECK(min(batch + 2, batch) == batch);
  CHECK(max(batch, time_) == max(time_, batch));
  CHECK(max(batch, batch) == batch);
  CHECK(value(max(batch, time_), 3, 9) == 9);
  CHECK(value(min(batch, time_), 3, 9) == 3);
  CHECK(value(min(batch, 4), 9, 0) == 4);
}

TEST_CASE("dim: substitution reaches into divisions and maxima and simplifies what it makes") {
  const Dim dim = floor_div(batch + 6, 4) * time_ + max(batch, time_);
  CHECK(dim.contains("batch"));
  const Dim at = dim.substitute("batch", 10);
  CHECK_FALSE(at.contains("batch"));
  CHECK(at == time_ * 4 + max(Dim(10), time_));
  CHECK(dim.substitute("rows", 3) == dim);
  CHECK(floor_div(batch, 4).substitute("batch", time_ * 8) == time_ * 2);
  std::vector<std::string> names;
  dim.collect_symbols(names);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"batch", "time"});
}

TEST_CASE("dim: products and sums that leave 64 bits are refused, not wrapped") {
  const Dim big = int64_t{1} << 40;
  CHECK_THROWS_WITH_AS(big * big, doctest::Contains("overflows 64 bits"), CompileError);
  CHECK_THROWS_AS(value(batch * batch, int64_t{1} << 40, 0), CompileError);
  CHECK_THROWS_AS(Dim::parse("99999999999999999999"), CompileError);
}

TEST_CASE("dim: hostile text is refused with its reason") {
  auto refuses = [](const std::string& text, const char* why) {
    CAPTURE(text.substr(0, 60));
    CHECK_THROWS_WITH_AS(Dim::parse(text), doctest::Contains(why), CompileError);
  };
  refuses("", "expected a number or a name");
  refuses("batch +", "expected a number or a name");
  refuses("(batch", "missing ')'");
  refuses("floor(batch, 0)", "not positive");
  refuses("floor(batch)", "missing ','");
  refuses("sin(batch, 1)", "unknown function");
  refuses("batch batch", "unexpected character");
  refuses(std::string(100000, '('), "too deep");
  std::string product = "1";
  for (int i = 0; i < 60; ++i) product += "*(a" + std::to_string(i) + " + b" + std::to_string(i) + ")";
  refuses(product, "too many terms");
}

TEST_CASE("dim: row-major strides and element counts") {
  const Shape shape = {batch, 3, time_};
  CHECK(element_count(shape) == batch * time_ * 3);
  CHECK(row_major_strides(shape) == Shape{time_ * 3, time_, 1});
  CHECK(shape_text(shape) == "[batch, 3, time]");
  CHECK(element_count({}).is_constant(1));
}

TEST_CASE("dim: random expressions keep their values through normal form, text and substitution") {
  struct Pair {
    Dim dim;
    int64_t value;
  };
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const int64_t b = 1 + static_cast<int64_t>(random() % 40), t = 1 + static_cast<int64_t>(random() % 40);
    auto floor_of = [](int64_t x, int64_t y) { return x / y - (x % y != 0 && x < 0); };
    std::vector<Pair> pool = {{batch, b}, {time_, t}, {1, 1}, {3, 3}, {-2, -2}, {batch * 6, b * 6}};
    for (int step = 0; step < 14; ++step) {
      const Pair x = pool[random() % pool.size()], y = pool[random() % pool.size()];
      if (std::abs(x.value) > 100000 || std::abs(y.value) > 100000 || x.dim.terms().size() > 20) continue;
      Pair z{0, 0};
      switch (random() % 7) {
        case 0:
          z = {x.dim + y.dim, x.value + y.value};
          break;
        case 1:
          z = {x.dim - y.dim, x.value - y.value};
          break;
        case 2:
          z = {x.dim * y.dim, x.value * y.value};
          break;
        case 3:
          z = {max(x.dim, y.dim), std::max(x.value, y.value)};
          break;
        case 4:
          z = {min(x.dim, y.dim), std::min(x.value, y.value)};
          break;
        default: {
          const int64_t by = 1 + static_cast<int64_t>(random() % 7);
          const bool up = random() % 2 == 0, symbolic = random() % 3 == 0;
          const Dim divisor = symbolic ? batch * by : Dim(by);
          const int64_t number = symbolic ? b * by : by;
          z = up ? Pair{ceil_div(x.dim, divisor), -floor_of(-x.value, number)}
                 : Pair{floor_div(x.dim, divisor), floor_of(x.value, number)};
        }
      }
      CAPTURE(z.dim.text());
      REQUIRE(value(z.dim, b, t) == z.value);
      REQUIRE(Dim::parse(z.dim.text()) == z.dim);
      REQUIRE(value(z.dim.substitute("batch", time_ * 2 + 1), 0, t) == value(z.dim, 2 * t + 1, t));
      pool.push_back(z);
    }
  }
}
