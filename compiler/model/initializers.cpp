#include "compiler/model/initializers.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/model/model.h"
#include "compiler/ops/names.h"
#include "compiler/ops/philox.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

// FNV-1a, 64 bits (Fowler, Noll, Vo): a stream of random numbers for each path.
uint64_t path_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

// A sequence of random numbers. Step -1 keeps it apart from those that training draws.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t stream) : seed_(static_cast<int64_t>(seed)), stream_(static_cast<int64_t>(stream)) {}

  double uniform() {  // in [0, 1), 48 bits
    double high = random_uniform(seed_, -1, stream_, next_++);
    return high + random_uniform(seed_, -1, stream_, next_++) * 0x1p-24;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal() {  // Box and Muller (1958); the other one of the pair is not used
    double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }
  double truncated_normal() {  // redrawn while beyond two standard deviations
    for (;;)
      if (double x = normal(); std::fabs(x) < 2.0) return x;
  }

 private:
  int64_t seed_, stream_, next_ = 0;
};

[[noreturn]] void refuse(std::string_view where, std::string what, std::string hint = {}) {
  throw CompileError({.stage = "initialize",
                      .node = std::string(where),
                      .op = {},
                      .what = std::move(what),
                      .detail = {},
                      .hint = std::move(hint)});
}

struct Request {
  const Attributes& arguments;
  std::span<const int64_t> shape;
  uint64_t seed;
  std::string_view path;

  double real(std::string_view name, double fallback) const { return arguments.has(name) ? arguments.real(name) : fallback; }
  std::string text(std::string_view name, const char* fallback) const {
    return arguments.has(name) ? arguments.string(name) : fallback;
  }
  size_t count() const {
    size_t n = 1;
    for (int64_t extent : shape) n *= static_cast<size_t>(extent);
    return n;
  }
  Draws draws() const {
    if (arguments.has("seed")) return Draws(static_cast<uint64_t>(arguments.integer("seed")), 0);
    return Draws(seed, path_hash(path));
  }
};

template <typename Next>
std::vector<float> generated(const Request& request, Next next) {
  std::vector<float> values(request.count());
  for (float& value : values) value = static_cast<float>(next());
  return values;
}

std::vector<float> constant(const Request& request) {
  if (!request.arguments.has("value")) return std::vector<float>(request.count(), 0.0f);
  const auto* list = std::get_if<std::vector<double>>(&request.arguments.find("value")->value);
  if (!list || list->size() == 1)
    return std::vector<float>(request.count(), static_cast<float>(list ? list->front() : request.arguments.real("value")));
  if (list->size() != request.count())
    refuse(request.path, "the initializer Constant has " + std::to_string(list->size()) + " values but needs " +
                             std::to_string(request.count()));
  return std::vector<float>(list->begin(), list->end());
}

std::vector<float> variance_scaling(const Request& request, double scale, const std::string& mode,
                                    const std::string& distribution) {
  Fans fans = fans_of(request.shape);
  double n = mode == "fan_in" ? fans.in : mode == "fan_out" ? fans.out : (fans.in + fans.out) / 2.0;
  scale /= std::max(1.0, n);
  Draws draws = request.draws();
  if (distribution == "uniform") {
    double limit = std::sqrt(3.0 * scale);
    return generated(request, [&] { return draws.uniform(-limit, limit); });
  }
  if (distribution == "untruncated_normal") return generated(request, [&] { return std::sqrt(scale) * draws.normal(); });
  // The standard deviation of a normal distribution that is cut at two standard deviations is 0.8796...
  double stddev = std::sqrt(scale) / 0.87962566103423978;
  return generated(request, [&] { return stddev * draws.truncated_normal(); });
}

std::vector<float> variance_scaling(const Request& request) {
  double scale = request.real("scale", 1.0);
  std::string mode = request.text("mode", "fan_in"), distribution = request.text("distribution", "truncated_normal");
  if (distribution == "normal") distribution = "truncated_normal";
  if (scale <= 0.0) refuse(request.path, "the initializer VarianceScaling needs a scale above 0");
  if (mode != "fan_in" && mode != "fan_out" && mode != "fan_avg")
    refuse(request.path, "the initializer VarianceScaling has no mode '" + mode + "'", "use fan_in, fan_out or fan_avg");
  if (distribution != "uniform" && distribution != "truncated_normal" && distribution != "untruncated_normal")
    refuse(request.path, "the initializer VarianceScaling has no distribution '" + distribution + "'",
           "use uniform, truncated_normal or untruncated_normal");
  return variance_scaling(request, scale, mode, distribution);
}

// Saxe et al. (2014): Q of a normal random matrix, its columns' signs chosen so that Q is uniformly distributed.
std::vector<float> orthogonal(const Request& request) {
  if (request.shape.size() < 2)
    refuse(request.path, "the initializer Orthogonal needs a parameter with at least two axes");
  Eigen::Index columns = request.shape.back(), rows = 1;
  for (int64_t extent : request.shape.first(request.shape.size() - 1)) rows *= extent;
  Eigen::Index tall = std::max(rows, columns), narrow = std::min(rows, columns);
  Draws draws = request.draws();
  Eigen::MatrixXd random(tall, narrow);
  for (Eigen::Index i = 0; i < tall; ++i)
    for (Eigen::Index j = 0; j < narrow; ++j) random(i, j) = draws.normal();
  Eigen::HouseholderQR<Eigen::MatrixXd> qr(random);
  Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(tall, narrow);
  for (Eigen::Index j = 0; j < narrow; ++j)
    if (qr.matrixQR()(j, j) < 0.0) q.col(j) *= -1.0;
  if (rows < columns) q.transposeInPlace();
  double gain = request.real("gain", 1.0);
  std::vector<float> values;
  for (Eigen::Index i = 0; i < rows; ++i)
    for (Eigen::Index j = 0; j < columns; ++j) values.push_back(static_cast<float>(gain * q(i, j)));
  return values;
}

std::vector<float> identity(const Request& request) {
  if (request.shape.size() != 2) refuse(request.path, "the initializer Identity needs a parameter with two axes");
  std::vector<float> values(request.count(), 0.0f);
  auto columns = static_cast<size_t>(request.shape[1]);
  for (size_t i = 0; i < static_cast<size_t>(std::min(request.shape[0], request.shape[1])); ++i)
    values[i * columns + i] = static_cast<float>(request.real("gain", 1.0));
  return values;
}

// The kernels of a short-time Fourier transform as a convolution, [frame, 1, frequencies]: cosines (side real) or sines of
// -2 pi time frequency / transform length, times a window, which scaling divides by the root of its squares or its sum.
std::vector<float> stft(const Request& request) {
  if (request.shape.size() != 3 || request.shape[2] < 2)
    refuse(request.path, "the initializer STFT needs a parameter [frame, 1, frequencies]");
  std::string side = request.text("side", "real"), window = request.text("window", "hann"), scaling = request.text("scaling", "density");
  if (side != "real" && side != "imag") refuse(request.path, "the initializer STFT has no side '" + side + "'", "use real or imag");
  // Weights of cos(0), -cos(x), cos(2x) over the window.
  std::vector<double> terms;
  if (window == "hann") terms = {0.5, 0.5};
  else if (window == "hamming") terms = {0.54, 0.46};
  else if (window == "blackman") terms = {0.42, 0.5, 0.08};
  else if (window == "boxcar" || window == "none") terms = {1.0};
  else refuse(request.path, "the initializer STFT has no window '" + window + "'", "use hann, hamming, blackman or boxcar");
  if (scaling != "density" && scaling != "spectrum" && scaling != "none")
    refuse(request.path, "the initializer STFT has no scaling '" + scaling + "'", "use density or spectrum");
  const auto frame = static_cast<size_t>(request.shape[0]), inner = static_cast<size_t>(request.shape[1]);
  const auto frequencies = static_cast<size_t>(request.shape[2]);
  const bool periodic = request.arguments.has("periodic") && request.arguments.boolean("periodic");
  const double span = std::max(1.0, static_cast<double>(frame) - (periodic ? 0.0 : 1.0));
  std::vector<double> weights(frame);
  double squares = 0.0, sum = 0.0;
  for (size_t n = 0; n < frame; ++n) {
    double x = 2.0 * std::numbers::pi * static_cast<double>(n) / span, sign = 1.0;
    for (size_t k = 0; k < terms.size(); ++k, sign = -sign) weights[n] += sign * terms[k] * std::cos(static_cast<double>(k) * x);
    if (frame == 1) weights[n] = 1.0;
    squares += weights[n] * weights[n];
    sum += std::fabs(weights[n]);
  }
  const double divisor = window == "none" || scaling == "none" ? 1.0 : scaling == "density" ? std::sqrt(squares) : sum;
  std::vector<float> values;
  for (size_t n = 0; n < frame; ++n)
    for (size_t channel = 0; channel < inner; ++channel)
      for (size_t f = 0; f < frequencies; ++f) {
        double angle = -2.0 * std::numbers::pi * static_cast<double>(n) * static_cast<double>(f) / (2.0 * (static_cast<double>(frequencies) - 1.0));
        values.push_back(static_cast<float>((side == "real" ? std::cos(angle) : std::sin(angle)) * weights[n] / divisor));
      }
  return values;
}

// An LSTM's bias, gates i, f, c, o: as its bias initializer says, but 1 for the forget gate.
std::vector<float> unit_forget_bias(const Request& request) {
  std::vector<float> values =
      initial_values(*request.arguments.find("bias_initializer"), request.shape, request.seed, request.path);
  auto units = static_cast<std::ptrdiff_t>(values.size() / 4);
  std::fill(values.begin() + units, values.begin() + 2 * units, 1.0f);
  return values;
}

using GenerateFn = std::vector<float> (*)(const Request&);

struct Initializer {
  std::string_view name;
  std::vector<std::string_view> arguments;
  GenerateFn generate;
};

const std::vector<Initializer>& initializers() {
  static const std::vector<Initializer> list = {
      {"zeros", {}, [](const Request& r) { return std::vector<float>(r.count(), 0.0f); }},
      {"ones", {}, [](const Request& r) { return std::vector<float>(r.count(), 1.0f); }},
      {"constant", {"value"}, constant},
      {"random_uniform", {"minval", "maxval", "seed"},
       [](const Request& r) {
         Draws draws = r.draws();
         double low = r.real("minval", -0.05), high = r.real("maxval", 0.05);
         return generated(r, [&] { return draws.uniform(low, high); });
       }},
      {"random_normal", {"mean", "stddev", "seed"},
       [](const Request& r) {
         Draws draws = r.draws();
         double mean = r.real("mean", 0.0), stddev = r.real("stddev", 0.05);
         return generated(r, [&] { return mean + stddev * draws.normal(); });
       }},
      {"truncated_normal", {"mean", "stddev", "seed"},
       [](const Request& r) {
         Draws draws = r.draws();
         double mean = r.real("mean", 0.0), stddev = r.real("stddev", 0.05);
         return generated(r, [&] { return mean + stddev * draws.truncated_normal(); });
       }},
      {"variance_scaling", {"scale", "mode", "distribution", "seed"}, variance_scaling},
      {"glorot_uniform", {"seed"}, [](const Request& r) { return variance_scaling(r, 1.0, "fan_avg", "uniform"); }},
      {"glorot_normal", {"seed"}, [](const Request& r) { return variance_scaling(r, 1.0, "fan_avg", "truncated_normal"); }},
      {"he_uniform", {"seed"}, [](const Request& r) { return variance_scaling(r, 2.0, "fan_in", "uniform"); }},
      {"he_normal", {"seed"}, [](const Request& r) { return variance_scaling(r, 2.0, "fan_in", "truncated_normal"); }},
      {"lecun_uniform", {"seed"}, [](const Request& r) { return variance_scaling(r, 1.0, "fan_in", "uniform"); }},
      {"lecun_normal", {"seed"}, [](const Request& r) { return variance_scaling(r, 1.0, "fan_in", "truncated_normal"); }},
      {"orthogonal", {"gain", "seed"}, orthogonal},
      {"identity", {"gain"}, identity},
      {"stft", {"side", "window", "scaling", "periodic"}, stft},
      {"unit_forget_bias", {"bias_initializer"}, unit_forget_bias},
  };
  return list;
}

struct Resolved {
  const Initializer* initializer = nullptr;
  Attributes arguments;
};

Resolved resolve(const AttributeValue& value, std::string_view where) {
  std::string name;
  Attributes arguments;
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    name = *text;
  } else if (const auto* nested = std::get_if<AttributeValue::Nested>(&value.value)) {
    arguments = **nested;
    if (arguments.has("class")) name = arguments.string("class");
    arguments.erase("class");
  }
  std::string wanted = snake_case(name);
  for (const char* suffix : {"_v2", "_initializer"})
    if (size_t length = std::string_view(suffix).size(); wanted.size() > length && wanted.substr(wanted.size() - length) == suffix)
      wanted.resize(wanted.size() - length);
  if (wanted == "uniform") wanted = "random_uniform";
  if (wanted == "normal") wanted = "random_normal";
  if (wanted == "zero") wanted = "zeros";
  if (wanted == "one") wanted = "ones";
  std::vector<std::string> known;
  for (const Initializer& initializer : initializers()) {
    known.emplace_back(initializer.name);
    if (initializer.name != wanted) continue;
    for (const auto& [argument, unused] : arguments.entries()) {
      bool takes = std::find(initializer.arguments.begin(), initializer.arguments.end(), argument) != initializer.arguments.end();
      if (!takes && arguments.has(argument) && argument != "dtype")
        refuse(where, "the initializer '" + name + "' has no argument '" + argument + "'");
    }
    return {&initializer, arguments};
  }
  refuse(where, "there is no initializer '" + name + "'", near_names_hint(name, known));
}

}  // namespace

Fans fans_of(std::span<const int64_t> shape) {
  if (shape.empty()) return {};
  if (shape.size() == 1) return {static_cast<double>(shape[0]), static_cast<double>(shape[0])};
  double field = 1.0;
  for (int64_t extent : shape.first(shape.size() - 2)) field *= static_cast<double>(extent);
  return {static_cast<double>(shape[shape.size() - 2]) * field, static_cast<double>(shape.back()) * field};
}

std::vector<float> initial_values(const AttributeValue& initializer, std::span<const int64_t> shape, uint64_t seed,
                                  std::string_view path) {
  Resolved resolved = resolve(initializer, path);
  return resolved.initializer->generate({resolved.arguments, shape, seed, path});
}

void check_initializer(const AttributeValue& initializer, std::string_view where) { resolve(initializer, where); }

void initialize_parameters(Model& model, uint64_t seed) {
  for (const ParameterPath& path : all_parameters(model))
    if (!path.parameter->has_values() && element_count(path.parameter->shape) > 0)
      path.parameter->data = initial_values(path.parameter->initializer, path.parameter->shape, seed, path.path);
}

}  // namespace moru
