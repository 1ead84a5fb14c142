#include "compiler/model/initializers.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "compiler/model/model.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

struct Statistics {
  double mean = 0.0, deviation = 0.0, least = INFINITY, most = -INFINITY;
};

Statistics statistics_of(const std::vector<float>& values) {
  Statistics s;
  for (double value : values) {
    s.mean += value / static_cast<double>(values.size());
    s.least = std::min(s.least, value);
    s.most = std::max(s.most, value);
  }
  for (double value : values) s.deviation += (value - s.mean) * (value - s.mean) / static_cast<double>(values.size());
  s.deviation = std::sqrt(s.deviation);
  return s;
}

std::vector<float> values_of(const AttributeValue& initializer, std::vector<int64_t> shape, uint64_t seed = 1,
                             const char* path = "dense/kernel") {
  return initial_values(initializer, shape, seed, path);
}

std::string error_of(const AttributeValue& initializer, std::vector<int64_t> shape) {
  try {
    values_of(initializer, std::move(shape));
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

// Five standard errors of the mean, and of the standard deviation for distributions without heavy tails.
void check_distribution(const Statistics& s, double mean, double deviation, double count) {
  CHECK(std::fabs(s.mean - mean) < 5.0 * deviation / std::sqrt(count));
  CHECK(std::fabs(s.deviation - deviation) < 5.0 * deviation / std::sqrt(count));
}

}  // namespace

TEST_CASE("initializers: the uniform ones stay in their limits and fill them") {
  struct Case {
    const char* name;
    double limit;
  };
  const double in = 80, out = 120;
  for (const Case& c : {Case{"glorot_uniform", std::sqrt(6.0 / (in + out))}, Case{"he_uniform", std::sqrt(6.0 / in)},
                        Case{"lecun_uniform", std::sqrt(3.0 / in)}, Case{"uniform", 0.05}}) {
    CAPTURE(c.name);
    Statistics s = statistics_of(values_of(c.name, {80, 120}));
    check_distribution(s, 0.0, c.limit / std::sqrt(3.0), in * out);
    CHECK(s.most <= c.limit);
    CHECK(s.least >= -c.limit);
    CHECK(s.most > 0.995 * c.limit);
    CHECK(s.least < -0.995 * c.limit);
  }
}

TEST_CASE("initializers: the normal ones have the deviation that Keras documents after truncation") {
  struct Case {
    const char* name;
    double deviation;
  };
  const double in = 80, out = 120;
  for (const Case& c : {Case{"glorot_normal", std::sqrt(2.0 / (in + out))}, Case{"he_normal", std::sqrt(2.0 / in)},
                        Case{"lecun_normal", std::sqrt(1.0 / in)}}) {
    CAPTURE(c.name);
    Statistics s = statistics_of(values_of(c.name, {80, 120}));
    check_distribution(s, 0.0, c.deviation, in * out);
    double cut = 2.0 * c.deviation / 0.87962566103423978;
    CHECK(s.most <= cut);
    CHECK(s.most > 0.98 * cut);
    CHECK(s.least >= -cut);
  }
  Statistics normal = statistics_of(values_of(Attributes{{"class", "RandomNormal"}, {"mean", 3.0}, {"stddev", 0.5}}, {100, 100}));
  check_distribution(normal, 3.0, 0.5, 10000);
  CHECK(normal.most > 3.0 + 2.5 * 0.5);
  Statistics cut = statistics_of(values_of(Attributes{{"class", "TruncatedNormal"}, {"stddev", 0.5}}, {100, 100}));
  check_distribution(cut, 0.0, 0.5 * 0.87962566103423978, 10000);
  CHECK(cut.most <= 1.0);
}

TEST_CASE("initializers: VarianceScaling takes scale, mode and distribution") {
  AttributeValue initializer = Attributes{
      {"class", "VarianceScaling"}, {"scale", 4.0}, {"mode", "fan_out"}, {"distribution", "untruncated_normal"}, {"seed", AttributeValue()}};
  Statistics s = statistics_of(values_of(initializer, {50, 200}));
  check_distribution(s, 0.0, std::sqrt(4.0 / 200.0), 10000);
  CHECK(error_of(Attributes{{"class", "VarianceScaling"}, {"mode", "fan"}}, {2, 2}).find("fan_avg") != std::string::npos);
}

TEST_CASE("initializers: the fans of a convolution kernel count its field") {
  const int64_t kernel[] = {3, 5, 4, 7};
  CHECK(fans_of(kernel).in == 3 * 5 * 4);
  CHECK(fans_of(kernel).out == 3 * 5 * 7);
  const int64_t vector[] = {9};
  CHECK(fans_of(vector).in == 9);
  CHECK(fans_of({}).out == 1);
}

TEST_CASE("initializers: an orthogonal matrix has orthonormal columns, or rows where it is wide, times the gain") {
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{24, 24}, {40, 7}, {16, 64}}) {
    CAPTURE(rows);
    std::vector<float> q = values_of(Attributes{{"class", "Orthogonal"}, {"gain", 2.0}}, {rows, columns});
    bool tall = rows >= columns;
    int64_t vectors = std::min(rows, columns), length = std::max(rows, columns);
    auto at = [&](int64_t vector, int64_t k) {
      int64_t i = tall ? k : vector, j = tall ? vector : k;
      return static_cast<double>(q[static_cast<size_t>(i * columns + j)]);
    };
    for (int64_t a = 0; a < vectors; ++a)
      for (int64_t b = 0; b < vectors; ++b) {
        double dot = 0.0;
        for (int64_t k = 0; k < length; ++k) dot += at(a, k) * at(b, k);
        CHECK(std::fabs(dot - (a == b ? 4.0 : 0.0)) < 1e-5);
      }
  }
  CHECK(error_of("orthogonal", {5}).find("at least two axes") != std::string::npos);
}

TEST_CASE("initializers: the signs of an orthogonal matrix are corrected, so that its entries average to zero") {
  // Without the correction the first entry of Q from a Householder decomposition is never positive.
  int positive = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) positive += values_of("orthogonal", {3, 3}, seed)[0] > 0.0f;
  CHECK(positive > 65);
  CHECK(positive < 135);
}

TEST_CASE("initializers: constants, identity and the bias of an LSTM are what they say") {
  CHECK(values_of("zeros", {2, 2}) == std::vector<float>{0, 0, 0, 0});
  CHECK(values_of("Ones", {3}) == std::vector<float>{1, 1, 1});
  CHECK(values_of(Attributes{{"class", "Constant"}, {"value", 2.5}}, {2}) == std::vector<float>{2.5, 2.5});
  CHECK(values_of(Attributes{{"class", "Constant"}, {"value", std::vector<double>{1, 2}}}, {2}) == std::vector<float>{1, 2});
  CHECK(values_of("identity", {2, 3}) == std::vector<float>{1, 0, 0, 0, 1, 0});
  CHECK(values_of(Attributes{{"class", "UnitForgetBias"}, {"bias_initializer", "zeros"}}, {8}) ==
        std::vector<float>{0, 0, 1, 1, 0, 0, 0, 0});
  CHECK(values_of("zeros", {}) == std::vector<float>{0});
}

TEST_CASE("initializers: values depend on seed and path alone, and not on them where the initializer has its own seed") {
  CHECK(values_of("glorot_uniform", {4, 5}) == values_of("GlorotUniform", {4, 5}));
  CHECK(values_of("glorot_uniform", {4, 5}, 1) != values_of("glorot_uniform", {4, 5}, 2));
  CHECK(values_of("glorot_uniform", {4, 5}, 1, "a/kernel") != values_of("glorot_uniform", {4, 5}, 1, "b/kernel"));
  AttributeValue own = Attributes{{"class", "GlorotUniform"}, {"seed", 7}};
  CHECK(values_of(own, {4, 5}, 1, "a/kernel") == values_of(own, {4, 5}, 2, "b/kernel"));
}

TEST_CASE("initializers: an unknown name or argument is refused with what is known") {
  CHECK(error_of("glorot_unifrom", {2, 2}).find("did you mean 'glorot_uniform'") != std::string::npos);
  CHECK(error_of(Attributes{{"class", "Zeros"}, {"value", 1.0}}, {2}).find("has no argument 'value'") != std::string::npos);
  CHECK(error_of("glorot_unifrom", {2, 2}).find("dense/kernel") != std::string::npos);
}

TEST_CASE("initialize_parameters: gives values to parameters without data only, through nested models") {
  auto layer = [](const char* name, const char* parameter, std::vector<int64_t> shape, const char* initializer) {
    Layer made;
    made.name = name;
    made.parameters.resize(1);
    made.parameters[0].name = parameter;
    made.parameters[0].shape = std::move(shape);
    made.parameters[0].initializer = initializer;
    return made;
  };
  auto inner = std::make_shared<Model>();
  inner->layers.push_back(layer("e0", "kernel", {3, 2}, "glorot_uniform"));
  Model model;
  model.layers.resize(1);
  model.layers[0].name = "encoder";
  model.layers[0].submodel = inner;
  model.layers.push_back(layer("out", "bias", {2}, "zeros"));
  model.layers[1].parameters[0].data = {5, 6};
  initialize_parameters(model, 11);
  CHECK(model.layers[1].parameters[0].data == std::vector<float>{5, 6});
  CHECK(inner->layers[0].parameters[0].data == values_of("glorot_uniform", {3, 2}, 11, "encoder/e0/kernel"));
}

TEST_CASE("initializers: STFT gives windowed cosines and sines") {
  const std::vector<int64_t> shape = {4, 1, 3};
  auto values = [&](Attributes attributes) {
    attributes.set("class", "STFT");
    return initial_values(attributes, shape, 0, "conv/kernel");
  };
  // A symmetric Hann window of 4 is 0, 3/4, 3/4, 0; its squares add up to 9/8. Frequencies are 0, 1/4, 1/2.
  const double scale = 0.75 / std::sqrt(1.125);
  const std::vector<double> real = {0, 0, 0, scale, 0, -scale, scale, -scale, scale, 0, 0, 0};
  const std::vector<double> imag = {0, 0, 0, 0, -scale, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<float> got = values({}), sines = values({{"side", "imag"}});
  for (size_t i = 0; i < real.size(); ++i) {
    CHECK(std::fabs(static_cast<double>(got[i]) - real[i]) < 1e-6);
    CHECK(std::fabs(static_cast<double>(sines[i]) - imag[i]) < 1e-6);
  }
  CHECK(std::fabs(static_cast<double>(values({{"window", "boxcar"}, {"scaling", "spectrum"}})[0]) - 0.25) < 1e-6);
  CHECK_THROWS_WITH_AS(values({{"window", "kaiser"}}), doctest::Contains("use hann, hamming, blackman or boxcar"), CompileError);
}
