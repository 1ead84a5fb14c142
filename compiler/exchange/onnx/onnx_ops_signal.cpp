// ONNX operators on signals: Fourier transforms, of a whole signal or of frames of it, and the mel scale's weights. A
// transform is one contraction with a table of sines and cosines, which fuses, vectorises and trains as any other does.
#include <cmath>
#include <numbers>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

constexpr int64_t most_table_elements = int64_t{1} << 26;

struct Transform {
  int64_t length = 0;  // of the signal that is transformed
  bool inverse = false, one_sided = false;
};

// [samples, parts, results, parts]: what sample n in its real or imaginary part adds to result k in its.
//   y_k = sum_n x_n exp(-2 pi i n k / length),   inverse: exp(+...) / length
// One-sided: the first half of the results, or the real signal that has such a half.
HostTensor transform_table(OnnxNode& n, const Transform& transform, int64_t samples, int64_t parts_in, DType dtype) {
  const int64_t length = transform.length;
  const bool to_real = transform.inverse && transform.one_sided;
  const int64_t results = transform.one_sided && !transform.inverse ? length / 2 + 1 : length, parts_out = to_real ? 1 : 2;
  if (results > 0 && samples > most_table_elements / 4 / results)
    n.fail("transforms " + std::to_string(samples) + " samples to " + std::to_string(results) + ", which is not supported",
           "cut the signal into frames");
  HostTensor table = make_tensor(dtype, {samples, parts_in, results, parts_out});
  for (int64_t i = 0; i < samples; ++i)
    for (int64_t k = 0; k < results; ++k) {
      // The product of the numbers modulo the length keeps angles exact.
      const auto turn = static_cast<double>((i % length) * (k % length) % length) / static_cast<double>(length);
      const double angle = 2.0 * std::numbers::pi * turn * (transform.inverse ? 1.0 : -1.0);
      double weight = transform.inverse ? 1.0 / static_cast<double>(length) : 1.0;
      // Of the half that is left out, every result is the conjugate of one that is here.
      if (to_real && i > length / 2) weight = 0.0;
      else if (to_real && i != 0 && 2 * i != length) weight *= 2.0;
      const double cosine = weight * std::cos(angle), sine = weight * std::sin(angle);
      const double entries[2][2] = {{cosine, sine}, {-sine, cosine}};
      for (int64_t from = 0; from < parts_in; ++from)
        for (int64_t to = 0; to < parts_out; ++to)
          table.data[static_cast<size_t>(((i * parts_in + from) * results + k) * parts_out + to)] = entries[from][to];
    }
  return table;
}

/// x: [..., samples along `axis`, ..., parts] -> the same with the results along `axis`.
Value transformed(OnnxNode& n, Value x, int64_t axis, Transform transform) {
  Builder& b = n.builder();
  const Dim extent = x.shape()[static_cast<size_t>(axis)], parts = x.dim(-1);
  if (!extent.is_constant() || !parts.is_constant() || parts.constant() < 1 || parts.constant() > 2)
    n.fail("needs a signal of a known length with 1 or 2 numbers a sample but got " + shape_text(x.shape()));
  if (transform.length < 1) n.fail("cannot transform to " + std::to_string(transform.length) + " results");
  const int64_t samples = std::min(extent.constant(), transform.length);  // what is missing is zero
  if (samples < extent.constant()) x = b.slice(x, axis, 0, samples);
  // The axis to the back, before the parts: [rows, samples, parts].
  std::vector<int64_t> order = axis_to_back(x.rank() - 1, axis);
  order.push_back(static_cast<int64_t>(x.rank()) - 1);
  const Value last = b.transpose(x, order);
  const Value rows = b.reshape(last, {product(last.shape(), 0, x.rank() - 2), samples, parts});
  const HostTensor table = transform_table(n, transform, samples, parts.constant(), x.type().dtype);
  const Value y = b.contract(rows, n.table(known_of(table), "transform"), "rnp,npkq->rkq");
  Shape shape(last.shape().begin(), last.shape().end() - 2);
  shape.insert(shape.end(), {Dim(table.shape[2]), Dim(table.shape[3])});
  return b.transpose(b.reshape(y, shape), inverse_permutation(order));
}

void dft(OnnxNode& n) {
  const Value x = n.in(0);
  if (x.rank() < 2) n.fail("needs [batch, samples..., parts] but got " + shape_text(x.shape()));
  const int64_t given = n.version() < 20   ? n.integer("axis", 1)
                        : n.has_input(2) ? static_cast<int64_t>(n.need_number(2))
                                         : -2;
  const int64_t axis = n.axis(given, x.rank());
  if (axis == static_cast<int64_t>(x.rank()) - 1) n.fail("cannot transform along the axis of real and imaginary parts");
  Transform transform{.inverse = n.integer("inverse", 0) != 0, .one_sided = n.integer("onesided", 0) != 0};
  const Dim extent = x.shape()[static_cast<size_t>(axis)];
  if (n.has_input(1)) transform.length = static_cast<int64_t>(n.need_number(1));
  else if (extent.is_constant())
    transform.length = transform.inverse && transform.one_sided ? 2 * (extent.constant() - 1) : extent.constant();
  else
    n.fail("needs a signal of a known length but got " + shape_text(x.shape()));
  n.set(0, transformed(n, x, axis, transform));
}

void stft(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  if (x.rank() == 2) x = b.reshape(x, {x.dim(0), x.dim(1), 1});
  const auto step = static_cast<int64_t>(n.need_number(1));
  if (x.rank() != 3 || !x.dim(1).is_constant())
    n.fail("needs a signal [batch, samples, parts] of a known length but got " + shape_text(x.shape()));
  const int64_t samples = x.dim(1).constant();
  int64_t length = samples;
  if (n.has_input(3)) length = static_cast<int64_t>(n.need_number(3));
  else if (n.has_input(2) && n.type(2).shape.size() == 1 && n.type(2).shape[0].is_constant())
    length = n.type(2).shape[0].constant();
  if (step < 1 || length < 1 || length > samples)
    n.fail("cannot take frames of " + std::to_string(length) + " samples, " + std::to_string(step) + " apart, from " +
           std::to_string(samples));
  const int64_t frames = 1 + (samples - length) / step;
  const Value first = iota(b, {frames, 1}, 0) * static_cast<double>(step);
  const Value at = b.broadcast_to(first, {frames, length}) + b.broadcast_to(iota(b, {1, length}, 1), {frames, length});
  // Rows of samples: [samples, batch, parts] -> [frames, length, batch, parts].
  Value cut = b.transpose(b.call("gather", {b.transpose(x, {1, 0, 2}), at}), {2, 0, 1, 3});
  if (n.has_input(2)) {
    const Value window = n.in(2);
    if (window.rank() != 1 || !window.dim(0).is_constant(length))
      n.fail("needs a window of " + std::to_string(length) + " samples but got " + shape_text(window.shape()));
    cut = cut * b.reshape(b.cast(window, x.type().dtype), {1, 1, length, 1});
  }
  n.set(0, transformed(n, cut, 2, {.length = length, .one_sided = n.integer("onesided", 1) != 0}));
}

// Triangles over the bins of a spectrum, whose corners are evenly spaced in mel = 2595 log10(1 + hertz / 700).
void mel_weight_matrix(OnnxNode& n) {
  const auto bands = static_cast<int64_t>(n.need_number(0)), length = static_cast<int64_t>(n.need_number(1));
  const double rate = n.need_number(2), low = n.need_number(3), high = n.need_number(4);
  const int64_t bins = length / 2 + 1;
  if (bands < 1 || length < 1 || rate <= 0.0 || bands > most_table_elements / bins)
    n.fail("cannot make " + std::to_string(bands) + " bands of a spectrum of " + std::to_string(bins) + " bins");
  const auto mel = [](double hertz) { return 2595.0 * std::log10(1.0 + hertz / 700.0); };
  const double step = (mel(high) - mel(low)) / static_cast<double>(bands + 2);
  std::vector<int64_t> corners;
  for (int64_t i = 0; i < bands + 2; ++i) {
    const double hertz = 700.0 * (std::pow(10.0, (static_cast<double>(i) * step + mel(low)) / 2595.0) - 1.0);
    const double bin = std::floor(static_cast<double>(length + 1) * hertz / rate);
    if (!(bin >= 0.0) || bin >= static_cast<double>(bins))
      n.fail("has a band at " + std::to_string(hertz) + " Hz, which a spectrum of " + std::to_string(bins) +
             " bins at the sample rate " + std::to_string(rate) + " lacks");
    corners.push_back(static_cast<int64_t>(bin));
  }
  const ElementType type = dtype_of_onnx(static_cast<int32_t>(n.integer("output_datatype", 1)), "'output_datatype'");
  if (!is_float(type.dtype)) n.fail("makes weights of another type than floats, which is not supported");
  HostTensor weights = make_tensor(type.dtype, {bins, bands});
  const auto weight = [&](int64_t bin, int64_t band) -> double& { return weights.data[static_cast<size_t>(bin * bands + band)]; };
  for (int64_t band = 0; band < bands; ++band) {
    const auto at = static_cast<size_t>(band);
    const int64_t left = corners[at], centre = corners[at + 1], right = corners[at + 2];
    if (left == centre) weight(centre, band) = 1.0;
    for (int64_t bin = left; bin <= centre && left < centre; ++bin)
      weight(bin, band) = static_cast<double>(bin - left) / static_cast<double>(centre - left);
    for (int64_t bin = centre; bin < right; ++bin)
      weight(bin, band) = static_cast<double>(right - bin) / static_cast<double>(right - centre);
  }
  auto known = std::make_shared<KnownValue>(*known_of(weights));
  known->narrow = type.narrow;
  n.set_known(0, std::move(known));
}

constexpr OnnxOp ops[] = {{"DFT", 17, dft}, {"STFT", 17, stft}, {"MelWeightMatrix", 17, mel_weight_matrix}};

}  // namespace

std::span<const OnnxOp> onnx_signal_ops() { return ops; }

}  // namespace moru
