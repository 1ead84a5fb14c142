// ONNX's Resize: along each axis a linear map from old elements to new ones, applied as a contraction. It is made while
// importing where both extents are known, else by the model at its sizes. Also the window functions, which are constants.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"
#include "compiler/ops/spatial.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

constexpr int64_t most_elements = int64_t{1} << 25;  // of a map that is made while importing

struct Resizing {
  std::string mode, transform, nearest;
  double cubic_a = -0.75, extrapolation = 0.0;
  bool exclude_outside = false, antialias = false;
};

// The place in the old axis of element i of the new one.
double source_place(const Resizing& r, int64_t i, double scale, int64_t from, int64_t to, double roi_begin,
                    double roi_end) {
  const auto at = static_cast<double>(i), width = static_cast<double>(from);
  const double resized = scale * width;
  if (r.transform == "align_corners") return resized == 1.0 ? 0.0 : at * (width - 1.0) / (resized - 1.0);
  if (r.transform == "asymmetric") return at / scale;
  if (r.transform == "tf_crop_and_resize") {
    const double moved = resized == 1.0 ? (roi_end - roi_begin) * (width - 1.0) / 2.0
                                        : at * (roi_end - roi_begin) * (width - 1.0) / (resized - 1.0);
    return moved + roi_begin * (width - 1.0);
  }
  if (r.transform == "tf_half_pixel_for_nn") return (at + 0.5) / scale;
  if (r.transform == "pytorch_half_pixel" && resized == 1.0) return -0.5;
  double offset = 0.0;
  if (r.transform == "half_pixel_symmetric") offset = width / 2.0 * (1.0 - static_cast<double>(to) / resized);
  return offset + (at + 0.5) / scale - 0.5;
}

double cubic_kernel(double x, double a) {
  x = std::abs(x);
  if (x <= 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
  return 0.0;
}

// The weights of the old elements around `place`: first element and coefficients.
std::pair<int64_t, std::vector<double>> weights_around(const Resizing& r, double place, double scale) {
  const double below = std::floor(place);
  const auto base = static_cast<int64_t>(below);
  if (r.mode == "nearest") {
    int64_t chosen = base;
    const double ratio = place - below;
    if (ratio == 0.0)
      chosen = base;
    else if (r.nearest == "round_prefer_floor")
      chosen = ratio <= 0.5 ? base : base + 1;
    else if (r.nearest == "round_prefer_ceil")
      chosen = ratio < 0.5 ? base : base + 1;
    else if (r.nearest == "ceil")
      chosen = base + 1;
    return {chosen, {1.0}};
  }
  const double narrow = r.antialias ? std::min(scale, 1.0) : 1.0;
  const double support = (r.mode == "cubic" ? 2.0 : 1.0) / narrow;
  const auto first = static_cast<int64_t>(std::floor(place - support)) + 1;
  const auto last = static_cast<int64_t>(std::ceil(place + support)) - 1;
  std::vector<double> coefficients;
  double sum = 0.0;
  for (int64_t i = first; i <= last; ++i) {
    const double distance = (static_cast<double>(i) - place) * narrow;
    coefficients.push_back(r.mode == "cubic" ? cubic_kernel(distance, r.cubic_a)
                                             : std::max(0.0, 1.0 - std::abs(distance)));
    sum += coefficients.back();
  }
  if (r.antialias)
    for (double& c : coefficients) c /= sum;
  return {first, coefficients};
}

struct AxisMap {
  HostTensor matrix;               // [to, from]
  std::vector<bool> extrapolated;  // new elements that lie outside
};

AxisMap make_map(const Resizing& r, double scale, int64_t from, int64_t to, double roi_begin,
                 double roi_end) {
  AxisMap map{make_tensor(DType::f32, {to, from}), std::vector<bool>(static_cast<size_t>(to), false)};
  for (int64_t i = 0; i < to; ++i) {
    const double place = source_place(r, i, scale, from, to, roi_begin, roi_end);
    if (r.transform == "tf_crop_and_resize" && (place < 0.0 || place > static_cast<double>(from - 1)))
      map.extrapolated[static_cast<size_t>(i)] = true;
    auto [first, coefficients] = weights_around(r, place, scale);
    double sum = 0.0;
    for (size_t k = 0; k < coefficients.size(); ++k) {
      const int64_t at = first + static_cast<int64_t>(k);
      if (r.exclude_outside && (at < 0 || at >= from)) coefficients[k] = 0.0;
      sum += coefficients[k];
    }
    for (size_t k = 0; k < coefficients.size(); ++k) {
      const int64_t at = std::clamp(first + static_cast<int64_t>(k), int64_t{0}, from - 1);
      map.matrix.data[static_cast<size_t>(i * from + at)] +=
          r.exclude_outside && sum != 0.0 ? coefficients[k] / sum : coefficients[k];
    }
  }
  return map;
}

// The contraction of x with a map [to, from] along `axis`.
std::string map_spec(size_t rank, int64_t axis) {
  std::string labels;
  for (size_t i = 0; i < rank; ++i) labels += static_cast<char>('a' + i);
  std::string result = labels;
  result[static_cast<size_t>(axis)] = 'z';
  return labels + ",z" + labels[static_cast<size_t>(axis)] + "->" + result;
}

Value apply_map(OnnxNode& n, Value x, int64_t axis, const AxisMap& map, double extrapolation) {
  Builder& b = n.builder();
  HostTensor matrix = map.matrix;
  matrix.dtype = x.type().dtype;
  const Value weights = n.table(known_of(matrix), "resize_" + std::to_string(axis));
  Value y = b.contract(x, weights, map_spec(x.rank(), axis));
  if (std::find(map.extrapolated.begin(), map.extrapolated.end(), true) != map.extrapolated.end()) {
    HostTensor outside = make_tensor(DType::boolean, {static_cast<int64_t>(map.extrapolated.size())});
    for (size_t i = 0; i < map.extrapolated.size(); ++i) outside.data[i] = map.extrapolated[i];
    const Value mask =
        b.reshape(n.table(known_of(outside), "outside_" + std::to_string(axis)), only_axis(y.shape(), axis));
    y = b.select(mask, b.constant(extrapolation, x.type().dtype), y);
  }
  return y;
}

// ---- extents that are known when the model runs ----

// source_place of all new elements, [to], by the same arithmetic, so that ties round alike; a scale of 0 is to / from.
Value source_places(OnnxNode& n, const Resizing& r, double scale, const Dim& from, const Dim& to) {
  Builder& b = n.builder();
  const auto number = [&](double value) { return b.constant(value, DType::f64); };
  const Value at = iota(b, {to}, 0, DType::f64), width = dim_scalar(b, from, DType::f64);
  const Value ratio = scale != 0.0 ? number(scale) : dim_scalar(b, to, DType::f64) / width;
  const Value resized = ratio * width, is_one = b.call("equal", {resized, number(1.0)});
  if (r.transform == "align_corners") return b.select(is_one, number(0.0), at * (width - 1.0) / (resized - 1.0));
  if (r.transform == "asymmetric") return at / ratio;
  if (r.transform == "tf_half_pixel_for_nn") return (at + 0.5) / ratio;
  const Value place = (at + 0.5) / ratio - 0.5;
  if (r.transform == "half_pixel") return place;
  if (r.transform == "pytorch_half_pixel") return b.select(is_one, number(-0.5), place);
  n.fail("can resize by '" + r.transform + "' only axes of known extents");
}

Value nearest(const Resizing& r, Value place) {
  Builder& b = *place.builder;
  if (r.nearest == "floor") return b.call("floor", {place});
  if (r.nearest == "ceil") return b.call("ceil", {place});
  if (r.nearest == "round_prefer_floor") return b.call("ceil", {place - 0.5});
  return b.call("floor", {place + 0.5});
}

Value resize_at_run_time(OnnxNode& n, Value x, const Resizing& r, int64_t axis, double scale, const Dim& to) {
  if (r.mode == "cubic" || r.antialias || r.exclude_outside)
    n.fail("can only resize axes of known extents where it is cubic, antialiased or excludes what lies outside, but got " +
           shape_text(x.shape()));
  Builder& b = n.builder();
  const Dim from = x.shape()[static_cast<size_t>(axis)];
  const Value last = dim_scalar(b, from - 1, DType::f64), first = b.constant(0.0, DType::f64);
  const auto inside = [&](Value place) { return b.call("maximum", {b.call("minimum", {place, last}), first}); };
  const Value place = source_places(n, r, scale, from, to);
  if (r.mode == "nearest") return gather_along(x, axis, b.cast(inside(nearest(r, place)), DType::i64));
  const Value distance = b.call("abs", {b.reshape(inside(place), {to, 1}) - iota(b, {1, from}, 1, DType::f64)});
  const Value weights = b.cast(b.call("relu", {b.constant(1.0, DType::f64) - distance}), x.type().dtype);
  return b.contract(x, weights, map_spec(x.rank(), axis));
}

std::vector<double> numbers(const Known& value) {
  std::vector<double> result;
  for (size_t i = 0; value && i < value->elements(); ++i) result.push_back(value->number(i));
  return result;
}

// floor(scale * extent): multiplied in float, as ONNX Runtime does: 5 * 1.8f are 9 there, and 8 with more digits. An extent
// that is not known takes a scale that is a fraction of a small denominator.
Dim resized(OnnxNode& n, double scale, const Dim& extent) {
  constexpr int64_t largest_denominator = 64;
  if (extent.is_constant()) {
    const float size = std::floor(static_cast<float>(scale) * static_cast<float>(extent.constant()));
    if (!(size < static_cast<float>(most_elements))) n.fail("cannot resize by the scale " + std::to_string(scale));
    return static_cast<int64_t>(size);
  }
  for (int64_t denominator = 1; denominator <= largest_denominator; ++denominator) {
    const double numerator = scale * static_cast<double>(denominator);
    if (numerator < 0x1p31 && numerator == std::floor(numerator))
      return floor_div(extent * static_cast<int64_t>(numerator), denominator);
  }
  n.fail("cannot resize axes of unknown extents by " + std::to_string(scale));
}

// One scale for all axes: the least of those that `sizes` ask for, or the greatest; which gives the sizes.
void keep_aspect_ratio(OnnxNode& n, bool not_larger, const Shape& extents, Shape& sizes, std::vector<double>& scales) {
  for (size_t k = 0; k < sizes.size(); ++k) {
    if (!extents[k].is_constant() || !sizes[k].is_constant() || extents[k].constant() <= 0)
      n.fail("can keep the ratio of known extents only, but got " + shape_text(extents) + " and " + shape_text(sizes));
    scales.push_back(static_cast<double>(sizes[k].constant()) / static_cast<double>(extents[k].constant()));
  }
  const double scale = not_larger ? *std::min_element(scales.begin(), scales.end()) : *std::max_element(scales.begin(), scales.end());
  for (size_t k = 0; k < sizes.size(); ++k) {
    scales[k] = scale;
    const double size = std::floor(scale * static_cast<double>(extents[k].constant()) + 0.5);
    if (!(size < static_cast<double>(most_elements))) n.fail("cannot resize by the scale " + std::to_string(scale));
    sizes[k] = static_cast<int64_t>(size);
  }
}

void resize(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  const size_t rank = x.rank();
  Resizing r;
  r.mode = n.choice("mode", {"nearest", "linear", "bilinear", "cubic"});
  r.transform = n.choice("coordinate_transformation_mode", {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
                                                            "tf_crop_and_resize", "tf_half_pixel_for_nn"});
  r.nearest = n.choice("nearest_mode", {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
  r.cubic_a = n.real("cubic_coeff_a", -0.75);
  r.extrapolation = n.real("extrapolation_value", 0.0);
  r.exclude_outside = n.integer("exclude_outside", 0) != 0;
  r.antialias = n.integer("antialias", 0) != 0;
  const bool old = n.op_type() == "Upsample" || n.version() < 11;
  if (old) r.transform = "asymmetric", r.nearest = "floor";
  if (r.mode == "bilinear") r.mode = "linear";
  Integers axes(rank);
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (n.has("axes")) {
    axes = n.integers("axes");
    for (int64_t& axis : axes) axis = n.axis(axis, rank);
  }
  std::vector<double> scales, roi;
  Shape sizes;
  if (n.has("scales"))
    scales = n.reals("scales");
  else if (old)
    scales = numbers(n.need(1));
  else {
    if (n.has_input(1) && r.transform == "tf_crop_and_resize") roi = numbers(n.need(1));
    if (n.has_input(2)) scales = numbers(n.need(2));
    if (scales.empty() && n.has_input(3)) sizes = n.need_dims(3);
  }
  if (scales.size() != axes.size() && sizes.size() != axes.size()) n.fail("needs one scale or size for each axis");
  if (!roi.empty() && roi.size() != 2 * axes.size()) n.fail("needs two numbers of its roi for each axis");
  Shape extents;
  for (const int64_t axis : axes) extents.push_back(x.shape()[static_cast<size_t>(axis)]);
  if (const std::string policy = n.choice("keep_aspect_ratio_policy", {"stretch", "not_larger", "not_smaller"}); scales.empty() && policy != "stretch")
    keep_aspect_ratio(n, policy == "not_larger", extents, sizes, scales);
  const DType dtype = x.type().dtype;
  if (!is_float(dtype)) x = b.cast(x, DType::f32);
  for (size_t k = 0; k < axes.size(); ++k) {
    const double begin = roi.empty() ? 0.0 : roi[k], end = roi.empty() ? 1.0 : roi[axes.size() + k];
    double scale = scales.empty() ? 0.0 : scales[k];  // 0: the ratio of the extents
    if (!scales.empty() && !(scale > 0.0)) n.fail("cannot resize by the scale " + std::to_string(scale));
    const Dim from = extents[k], to = sizes.empty() ? resized(n, scale, from) : sizes[k];
    if (from == to && (scale == 0.0 || scale == 1.0) && (roi.empty() || (begin == 0.0 && end == 1.0))) continue;
    if (!from.is_constant() || !to.is_constant()) {
      x = resize_at_run_time(n, x, r, axes[k], scale, to);
      continue;
    }
    const int64_t before = from.constant(), after = to.constant();
    if (before <= 0 || after < 0 || after > most_elements / before)
      n.fail("cannot resize " + std::to_string(before) + " elements to " + std::to_string(after));
    if (scale == 0.0) scale = static_cast<double>(after) / static_cast<double>(before);
    x = apply_map(n, x, axes[k], make_map(r, scale, before, after, begin, end), r.extrapolation);
  }
  if (!is_float(dtype)) x = b.call("round", {x});
  n.set(0, b.cast(x, dtype));
}

// a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N)
void window_function(OnnxNode& n) {
  const auto size = static_cast<int64_t>(n.need_number(0));
  if (size < 0 || size > (int64_t{1} << 24)) n.fail("cannot have " + std::to_string(size) + " elements");
  const std::string& type = n.op_type();
  const ElementType dtype = n.has("output_datatype") ? dtype_of_onnx(static_cast<int32_t>(n.integer("output_datatype")),
                                                                     "the attribute 'output_datatype'")
                                                     : ElementType(DType::f32);
  const double period = static_cast<double>(n.integer("periodic", 1) ? size : size - 1);
  const double a0 = type == "HannWindow" ? 0.5 : type == "HammingWindow" ? 25.0 / 46.0 : 0.42;
  const double a1 = type == "BlackmanWindow" ? 0.5 : 1.0 - a0, a2 = type == "BlackmanWindow" ? 0.08 : 0.0;
  HostTensor window = make_tensor(compute_dtype(dtype), {size});
  for (int64_t i = 0; i < size; ++i) {
    const double angle = period > 0.0 ? 2.0 * std::numbers::pi * static_cast<double>(i) / period : 0.0;
    window.data[static_cast<size_t>(i)] = a0 - a1 * std::cos(angle) + a2 * std::cos(2.0 * angle);
  }
  n.set_as(0, n.table(known_of(window), "window"), dtype);
}

constexpr OnnxOp ops[] = {{"Resize", 1, resize},
                          {"Upsample", 1, resize},
                          {"HannWindow", 1, window_function},
                          {"HammingWindow", 1, window_function},
                          {"BlackmanWindow", 1, window_function}};

}  // namespace

std::span<const OnnxOp> onnx_resize_ops() { return ops; }

}  // namespace moru
