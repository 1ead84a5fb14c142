#include "tools/moru/ridge.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace moru;

namespace {

struct Arrays {
  std::vector<float> x, y;
};

Dataset dataset(const Arrays& arrays, int64_t features) {
  const auto n = static_cast<int64_t>(arrays.y.size());
  const Dataset::Array x{"x", DType::f32, {n, features}, std::as_bytes(std::span(arrays.x))};
  const Dataset::Array y{"y", DType::f32, {n, 1}, std::as_bytes(std::span(arrays.y))};
  Result<Dataset> made = Dataset::from_arrays({&x, 1}, {&y, 1});
  REQUIRE(made.ok());
  return *std::move(made);
}

/// y = 3 a - 0.002 b + 7, with a constant third column; b is in thousands.
Arrays line(int n, int from) {
  Arrays arrays;
  for (int i = from; i < from + n; ++i) {
    const double a = (i * 37 % 101) / 50.0, b = 1000.0 * (i * 53 % 97);
    arrays.x.insert(arrays.x.end(), {static_cast<float>(a), static_cast<float>(b), 5.0f});
    arrays.y.push_back(static_cast<float>(3 * a - 0.002 * b + 7));
  }
  return arrays;
}

}  // namespace

TEST_CASE(
    "ridge_forecast: finds a line through its data, whatever the scale of a column, and more than one block of it") {
  const Dataset train = dataset(line(1500, 0), 3), validation = dataset(line(100, 1500), 3);
  const Arrays last = line(600, 1600);
  const auto forecast = ridge_forecast(train, validation, dataset(last, 3), 0);
  REQUIRE(forecast);
  CHECK(forecast->penalty == 1e-5);  // without noise the least
  REQUIRE(forecast->predicted.size() == last.y.size());
  for (size_t i = 0; i < last.y.size(); ++i) CHECK(std::fabs(forecast->predicted[i] - last.y[i]) < 0.02);
}

TEST_CASE("ridge_forecast: one standardised column is shrunk by 1 / (1 + lambda)") {
  // x = -1, 1 and y = -2, 2: without a validation part lambda is 0.01, so the slope is 2 / 1.01.
  const Arrays two{{-1, 1}, {-2, 2}};
  const auto forecast = ridge_forecast(dataset(two, 1), Dataset(), dataset(two, 1), 0);
  REQUIRE(forecast);
  CHECK(forecast->predicted[1] == doctest::Approx(2 / 1.01));
}

TEST_CASE("ridge_forecast: noise without a relation gets the largest penalty, and too many columns no forecast") {
  Arrays noise, more;
  uint64_t state = 3;
  const auto draw = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(state >> 40) / 16777216.0f;
  };
  for (Arrays* arrays : {&noise, &more}) {
    for (int i = 0; i < 60; ++i) {
      for (int j = 0; j < 40; ++j) arrays->x.push_back(draw());
      arrays->y.push_back(draw());
    }
  }
  const auto forecast = ridge_forecast(dataset(noise, 40), dataset(more, 40), dataset(more, 40), 0);
  REQUIRE(forecast);
  CHECK(forecast->penalty >= 1.0);
  CHECK_FALSE(ridge_forecast(dataset(noise, 40), dataset(more, 40), dataset(more, 40), 0, 39));
}
