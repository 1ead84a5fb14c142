#include "compiler/support/dim_bounds.h"

#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <string>

namespace moru {
namespace {

std::optional<int64_t> least(const char* text) { return least_of(Dim::parse(text)); }

}  // namespace

TEST_CASE("least_of: sizes are at least 1, whatever else they are") {
  CHECK(least("7") == 7);
  CHECK(least("time") == 1);
  CHECK(least("time - 1") == 0);
  CHECK(least("2*batch*time - batch - 3") == -2);
  CHECK(least("time - batch") == std::nullopt);
  CHECK(least("max(time - 2, 0)") == 0);
  CHECK(least("min(time, 1)") == 1);
  CHECK(least("time - min(time, 5)") == 0);
  CHECK(least("max(time, batch) - batch") == 0);
  CHECK(least("floor(time, 2)") == 0);
  CHECK(least("ceil(time, 2)") == 1);
  CHECK(least("time - floor(time, 2)") == 1);
  CHECK(least("time - 2*floor(time, 2)") == 0);
  CHECK(least("1 - time + 2*floor(time, 2)") == 0);
  CHECK(least("2*ceil(time, 2) - time") == 0);
  CHECK(least("batch*floor(time, 2) + 3*floor(time, 2)") == 0);
  CHECK(least("ceil(time, batch)*floor(time, 2) + 1") == 1);
  CHECK(least("batch*max(time - 2, 0) - time") == std::nullopt);
  CHECK(least("9223372036854775807*time - 9223372036854775807") == 0);
}

TEST_CASE("least_of: no value of an expression is below what it says") {
  std::mt19937 random(5);
  const auto number = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  const std::function<Dim(int)> draw = [&](int depth) -> Dim {
    switch (depth == 0 ? number(0, 2) : number(0, 10)) {
      case 0: return Dim::symbol("a");
      case 1: return Dim::symbol("b");
      case 2: return number(-5, 5);
      case 3: return draw(depth - 1) + draw(depth - 1);
      case 4: return draw(depth - 1) - draw(depth - 1);
      case 5: return draw(depth - 1) * Dim(number(-3, 3));
      case 6: return max(draw(depth - 1), draw(depth - 1));
      case 7: return floor_div(draw(depth - 1), number(1, 4));
      case 8: return draw(depth - 1) * draw(depth - 2 < 0 ? 0 : depth - 2);
      case 9: return floor_div(draw(depth - 1), Dim::symbol("b"));
      default: return ceil_div(draw(depth - 1), number(1, 4));
    }
  };
  int found = 0;
  for (int i = 0; i < 3000; ++i) {
    const Dim dim = draw(4);
    const Dim inside = with_terms_inside(dim);
    const int64_t least_a = i % 2;
    const std::optional<int64_t> bound = least_of(dim, [&](std::string_view symbol) { return symbol == "a" ? least_a : 1; });
    found += bound && !dim.is_constant();
    for (int64_t a = least_a; a < 12; ++a)
      for (int64_t b = 1; b < 12; ++b) {
        const auto value_of = [&](std::string_view symbol) { return symbol == "a" ? a : b; };
        const int64_t value = dim.evaluate(value_of);
        if (bound && value < *bound) FAIL(dim.text() << " is " << value << " at a = " << a << ", b = " << b << ", below " << *bound);
        if (inside.evaluate(value_of) != value) FAIL(dim.text() << " is not " << inside.text());
      }
  }
  CHECK(found > 300);
}

TEST_CASE("with_terms_inside: sizes that are equal have one form") {
  const Dim time = Dim::symbol("time");
  CHECK(with_terms_inside(time - min(Dim(2), time)) == max(time - 2, 0));
  CHECK(with_terms_inside(max(time - 2, 0)) == max(time - 2, 0));
  CHECK(with_terms_inside(time - max(time - 3, 0)) == min(time, 3));
}

}  // namespace moru
