#include "tools/report/series_statistics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace moru;

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

/// For an even number of degrees the tail is a finite sum: e^-h sum_(k < degrees/2) h^k / k!, h = x / 2.
double even_tail(double x, int degrees) {
  double term = 1, sum = 0;
  for (int k = 0; k < degrees / 2; ++k) {
    sum += term;
    term *= x / 2 / (k + 1);
  }
  return std::exp(-x / 2) * sum;
}

}  // namespace

TEST_CASE("chi_squared_tail: the 5 % and 1 % points of printed tables") {
  CHECK(chi_squared_tail(3.841458820694124, 1) == doctest::Approx(0.05).epsilon(1e-10));
  CHECK(chi_squared_tail(6.634896601021213, 1) == doctest::Approx(0.01).epsilon(1e-10));
  CHECK(chi_squared_tail(18.307038053275146, 10) == doctest::Approx(0.05).epsilon(1e-10));
  CHECK(chi_squared_tail(67.50480654954122, 50) == doctest::Approx(0.05).epsilon(1e-9));
  CHECK(chi_squared_tail(0, 5) == 1);
  CHECK(chi_squared_tail(1e6, 3) == 0);
}

TEST_CASE("chi_squared_tail: agrees with the finite sum over its whole range, tiny tails included") {
  for (const int degrees : {2, 4, 10, 48, 100}) {
    for (const double x : {0.001, 0.5, 3.0, 20.0, 47.0, 60.0, 200.0, 600.0}) {
      CAPTURE(degrees);
      CAPTURE(x);
      CHECK(chi_squared_tail(x, degrees) == doctest::Approx(even_tail(x, degrees)).epsilon(1e-11));
    }
  }
}

TEST_CASE("autocorrelation: worked by hand for 1 2 3 4 5") {
  const std::vector<double> r = autocorrelation(std::vector<double>{1, 2, 3, 4, 5}, 10);
  REQUIRE(r.size() == 4);
  CHECK(r[0] == doctest::Approx(0.4));
  CHECK(r[1] == doctest::Approx(-0.1));
  CHECK(r[2] == doctest::Approx(-0.4));
  CHECK(r[3] == doctest::Approx(-0.4));
}

TEST_CASE("autocorrelation: a missing value is left out, not glued over") {
  // Deviations -1 1 . 1 -1 about the mean 1: lag 1 has the pairs (1,2) and (4,5), lag 2 only (2,4).
  const std::vector<double> r = autocorrelation(std::vector<double>{0, 2, missing, 2, 0}, 2);
  REQUIRE(r.size() == 2);
  CHECK(r[0] == doctest::Approx(-2.0 / 4));
  CHECK(r[1] == doctest::Approx(1.0 / 4));
  CHECK(autocorrelation(std::vector<double>{3, 3, 3, 3}, 2).empty());
}

TEST_CASE("ljung_box: worked by hand, and two degrees of freedom have the tail e^(-Q/2)") {
  const LjungBox test = ljung_box(std::vector<double>{0.4, -0.1}, 5);
  CHECK(test.lags == 2);
  CHECK(test.statistic == doctest::Approx(5 * 7 * (0.16 / 4 + 0.01 / 3)));
  CHECK(test.p_value == doctest::Approx(std::exp(-test.statistic / 2)));
}

TEST_CASE("ljung_box: independent numbers pass, a slow wave does not") {
  std::vector<double> noise, wave;
  uint64_t state = 12345;
  for (int i = 0; i < 2000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    noise.push_back(static_cast<double>(state >> 33) / 2147483648.0);
    wave.push_back(std::sin(i / 10.0) + noise.back());
  }
  CHECK(ljung_box(autocorrelation(noise, 20), noise.size()).p_value > 0.01);
  CHECK(ljung_box(autocorrelation(wave, 20), wave.size()).p_value < 1e-6);
  CHECK(white_noise_band(400) == doctest::Approx(0.098).epsilon(0.001));
}

TEST_CASE("on_grid: gaps become missing values; positions without a grid stay as they are") {
  const std::vector<double> values = {1, 2, 3};
  const std::vector<double> grid = on_grid(values, std::vector<int64_t>{10, 12, 18});
  REQUIRE(grid.size() == 5);
  CHECK(grid[0] == 1);
  CHECK(grid[1] == 2);
  CHECK(std::isnan(grid[2]));
  CHECK(std::isnan(grid[3]));
  CHECK(grid[4] == 3);
  CHECK(on_grid(values, std::vector<int64_t>{5, 1, 2}) == values);
  CHECK(on_grid(values, std::vector<int64_t>{0, 1, 1000000000}) == values);
}

TEST_CASE("histogram: counts every finite value once, far ones at the ends") {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(i % 100);
  values.push_back(1e9);
  values.push_back(-1e9);
  values.push_back(missing);
  const Histogram bins = histogram(values);
  int64_t sum = 0;
  for (const int64_t count : bins.counts) sum += count;
  CHECK(sum == 1002);
  CHECK(bins.low > -1000);
  CHECK(bins.low + bins.width * static_cast<double>(bins.counts.size()) < 1000);
  CHECK(bins.counts.size() > 5);
  const Histogram equal = histogram(std::vector<double>{2, 2, 2});
  REQUIRE(equal.counts.size() == 1);
  CHECK(equal.counts[0] == 3);
  CHECK(histogram(std::vector<double>{missing}).counts.empty());
}

TEST_CASE("quantile: linear between neighbours") {
  const std::vector<double> sorted = {1, 2, 3, 4};
  CHECK(quantile(sorted, 0) == 1);
  CHECK(quantile(sorted, 0.5) == doctest::Approx(2.5));
  CHECK(quantile(sorted, 0.25) == doctest::Approx(1.75));
  CHECK(quantile(sorted, 1) == 4);
}

TEST_CASE("summarize_groups: bias, mean absolute error and root mean square of each group") {
  const std::vector<double> errors = {1, -3, 2, missing, 2};
  const std::vector<std::size_t> groups = {0, 0, 2, 0, 2};
  const std::vector<ErrorSummary> all = summarize_groups(errors, groups, 3);
  CHECK(all[0].count == 2);
  CHECK(all[0].mean == doctest::Approx(-1));
  CHECK(all[0].mean_absolute == doctest::Approx(2));
  CHECK(all[0].root_mean_square == doctest::Approx(std::sqrt(5.0)));
  CHECK(all[1].count == 0);
  CHECK(all[2].mean == doctest::Approx(2));
}
