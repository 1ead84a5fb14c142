// What the layers that disturb activations do to them in training: their statistics, and that runs can be repeated.
#include <doctest/doctest.h>

#include <cmath>

#include "compiler/ops/layer.h"

using namespace moru;

namespace {

HostTensor train(std::string_view layer, HostTensor x, Attributes attributes, double step = 3) {
  const Op& op = get_op(layer);
  auto number = [](double value) { return HostTensor{DType::i64, {}, {value}}; };
  const HostTensor inputs[] = {std::move(x), number(42), number(step)};
  return op.reference(inputs, check_attributes(op, std::move(attributes), "noise")).at(0);
}

HostTensor normal_numbers(std::vector<int64_t> shape) {
  const Op& op = get_op("random_normal");
  const HostTensor inputs[] = {{DType::i64, {}, {9}}, {DType::i64, {}, {1}}};
  return op.reference(inputs, {{"shape", Shape(shape.begin(), shape.end())}, {"stream", 5}}).at(0);
}

struct Statistics {
  double mean = 0, variance = 0;
};
Statistics statistics_of(const HostTensor& x) {
  Statistics s;
  const auto count = static_cast<double>(x.data.size());
  for (double value : x.data) s.mean += value / count;
  for (double value : x.data) s.variance += (value - s.mean) * (value - s.mean) / count;
  return s;
}

}  // namespace

TEST_CASE("random_normal: mean, variance, skewness and kurtosis are those of the normal distribution") {
  const HostTensor x = normal_numbers({1 << 16});
  const Statistics s = statistics_of(x);
  double third = 0, fourth = 0;
  for (double value : x.data) {
    third += std::pow(value, 3) / static_cast<double>(x.data.size());
    fourth += std::pow(value, 4) / static_cast<double>(x.data.size());
  }
  // Five standard errors of each for 65536 numbers.
  CHECK(std::fabs(s.mean) < 5.0 / 256);
  CHECK(std::fabs(s.variance - 1.0) < 5.0 * std::sqrt(2.0) / 256);
  CHECK(std::fabs(third) < 5.0 * std::sqrt(15.0) / 256);
  CHECK(std::fabs(fourth - 3.0) < 5.0 * std::sqrt(96.0) / 256);
}

TEST_CASE("noise layers: their mean and variance in training are those of their formulas") {
  const HostTensor ones = make_tensor(DType::f32, {64, 512}, 1.0);
  const double error = 5.0 / std::sqrt(64.0 * 512.0);  // of a mean of numbers with variance 1
  Statistics s = statistics_of(train("gaussian_noise", ones, {{"stddev", 0.5}}));
  CHECK(std::fabs(s.mean - 1.0) < 0.5 * error);
  CHECK(std::fabs(s.variance - 0.25) < 0.25 * std::sqrt(2.0) * error);
  s = statistics_of(train("gaussian_dropout", ones, {{"rate", 0.2}}));
  CHECK(std::fabs(s.mean - 1.0) < 0.5 * error);
  CHECK(std::fabs(s.variance - 0.25) < 0.25 * std::sqrt(2.0) * error);
  s = statistics_of(train("dropout", ones, {{"rate", 0.2}}));
  CHECK(std::fabs(s.mean - 1.0) < 0.5 * error);
  CHECK(std::fabs(s.variance - 0.25) < 0.25 * 2 * error);
  // Alpha dropout keeps mean 0 and variance 1.
  s = statistics_of(train("alpha_dropout", normal_numbers({64, 512}), {{"rate", 0.2}}));
  CHECK(std::fabs(s.mean) < 2 * error);
  CHECK(std::fabs(s.variance - 1.0) < 4 * error);
}

TEST_CASE("noise layers: the same step draws the same noise, another step other noise") {
  const HostTensor ones = make_tensor(DType::f32, {4, 3, 2, 2, 8}, 1.0);
  for (auto [name, attribute] : {std::pair<std::string_view, std::string>{"dropout", "rate"},
                                 {"spatial_dropout_3d", "rate"},
                                 {"gaussian_noise", "stddev"},
                                 {"gaussian_dropout", "rate"},
                                 {"alpha_dropout", "rate"}}) {
    CAPTURE(name);
    CHECK(train(name, ones, {{attribute, 0.5}}).data == train(name, ones, {{attribute, 0.5}}).data);
    CHECK(train(name, ones, {{attribute, 0.5}}).data != train(name, ones, {{attribute, 0.5}}, 4).data);
  }
}

TEST_CASE("spatial dropout: channels are dropped as a whole, each sample by itself") {
  for (bool first : {false, true}) {
    const std::vector<int64_t> shape = first ? std::vector<int64_t>{8, 16, 3, 5} : std::vector<int64_t>{8, 3, 5, 16};
    const HostTensor y = train("spatial_dropout_2d", make_tensor(DType::f32, shape, 1.0),
                               {{"rate", 0.5}, {"data_format", first ? "channels_first" : "channels_last"}});
    int dropped = 0;
    for (size_t sample = 0; sample < 8; ++sample)
      for (size_t channel = 0; channel < 16; ++channel) {
        auto at = [&](size_t place) { return y.data[sample * 240 + (first ? channel * 15 + place : place * 16 + channel)]; };
        for (size_t place = 1; place < 15; ++place) CHECK(at(place) == at(0));
        CHECK((at(0) == 0.0 || at(0) == 2.0));
        dropped += at(0) == 0.0;
      }
    CHECK(dropped > 32);
    CHECK(dropped < 96);
  }
}
