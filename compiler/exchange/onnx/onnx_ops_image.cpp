// ONNX operators that sample images at places given by data: GridSample, and AffineGrid, which makes such places.
#include <algorithm>
#include <cmath>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

struct Tap {
  Value index;   // of the element, within the axis
  Value weight;  // 0 where the element lies outside and counts as zero
};

class Axis {
 public:
  Axis(Value place, Dim extent, std::string padding, bool align_corners)
      : b_(*place.builder), type_(place.type().dtype), extent_(extent), padding_(std::move(padding)) {
    size_ = dim_scalar(b_, extent, type_);
    low_ = number(align_corners ? 0.0 : -0.5);
    high_ = align_corners ? size_ - 1.0 : size_ - 0.5;
    place_ = align_corners ? (place + 1.0) * 0.5 * (size_ - 1.0) : ((place + 1.0) * size_ - 1.0) * 0.5;
  }

  std::vector<Tap> taps(const std::string& mode) {
    if (mode == "nearest") {
      const Value at = moved_inside(b_.call("round", {place_}));
      return {tap(b_.call("round", {at}), number(1.0))};
    }
    const Value at = moved_inside(place_), below = b_.call("floor", {at}), part = at - below;
    if (mode == "linear" || mode == "bilinear") return {tap(below, 1.0 - part), tap(below + 1.0, part)};
    // Keys: "Cubic convolution interpolation", 1981, equation 4, with a = -0.75.
    constexpr double a = -0.75;
    auto outer = [&](Value x) { return ((x * a - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a; };
    auto inner = [&](Value x) { return (x * (a + 2.0) - (a + 3.0)) * x * x + 1.0; };
    return {tap(below - 1.0, outer(part + 1.0)), tap(below, inner(part)), tap(below + 1.0, inner(1.0 - part)),
            tap(below + 2.0, outer(2.0 - part))};
  }

 private:
  Builder& b_;
  DType type_;
  Dim extent_;
  std::string padding_;
  Value size_, low_, high_, place_;

  Value number(double value) { return b_.constant(value, type_); }
  Value clamped(Value x) { return b_.call("minimum", {b_.call("maximum", {x, number(0.0)}), size_ - 1.0}); }

  // Mirrored at both ends, as often as it takes.
  Value reflected(Value x) {
    const Value range = b_.call("maximum", {high_ - low_, number(1e-30)});
    const Value distance = b_.call("abs", {x - low_}), turns = b_.call("floor", {distance / range});
    const Value rest = distance - turns * range;
    const Value odd = turns - b_.call("floor", {turns * 0.5}) * 2.0;
    return low_ + b_.select(b_.call("less", {odd, number(0.5)}), rest, range - rest);
  }

  Value moved_inside(Value x) {
    if (padding_ == "border") return clamped(x);
    return padding_ == "reflection" ? reflected(x) : x;
  }

  Tap tap(Value at, Value weight) {
    if (padding_ == "reflection") at = reflected(at);
    const Value inside = clamped(at);
    if (padding_ == "zeros")
      weight = b_.select(b_.call("equal", {b_.call("floor", {inside + 0.5}), b_.call("floor", {at + 0.5})}), weight,
                         number(0.0));
    return {b_.cast(b_.call("floor", {inside + 0.5}), DType::i64), weight};
  }
};

void grid_sample(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0), grid = n.in(1);
  const size_t space = x.rank() < 3 ? 0 : x.rank() - 2;
  if (space == 0 || grid.rank() != x.rank() || !grid.dim(-1).is_constant(static_cast<int64_t>(space)))
    n.fail("needs [batch, channels, space...] and a grid [batch, new space..., axes of space] but got " +
           shape_text(x.shape()) + " and " + shape_text(grid.shape()));
  const std::string padding = n.choice("padding_mode", {"zeros", "border", "reflection"});
  const std::string mode = n.choice("mode", {"linear", "bilinear", "nearest", "cubic", "bicubic"});
  const Shape places(grid.shape().begin(), grid.shape().end() - 1);
  const auto last = static_cast<int64_t>(grid.rank()) - 1;
  std::vector<std::vector<Tap>> taps(space);
  for (size_t i = 0; i < space; ++i) {  // the grid names the last axis first
    const Value place = b.reshape(b.slice(grid, last, static_cast<int64_t>(space - 1 - i), 1), places);
    taps[i] = Axis(place, x.shape()[i + 2], padding, n.integer("align_corners", 0) != 0).taps(mode);
  }
  // Rows of channels: [batch * space..., channels].
  const std::vector<int64_t> order = axis_to_back(x.rank(), 1);
  const Value last_channels = b.transpose(x, order);
  const Value rows = b.reshape(last_channels, {product(last_channels.shape(), 0, x.rank() - 1), x.dim(1)});
  Shape weight_shape = places;
  weight_shape.push_back(1);
  Value sum;
  size_t combinations = 1;
  for (const auto& axis : taps) combinations *= axis.size();
  for (size_t c = 0; c < combinations; ++c) {
    Value row = iota(b, only_axis(places, 0), 0), weight;
    size_t rest = c;
    for (size_t i = 0; i < space; ++i) {
      const Tap& tap = taps[i][rest % taps[i].size()];
      rest /= taps[i].size();
      row = row * dim_scalar(b, x.shape()[i + 2], DType::i64) + tap.index;
      weight = weight ? weight * tap.weight : tap.weight;
    }
    weight = b.reshape(b.broadcast_to(weight, places), weight_shape);
    const Value part = b.call("gather", {rows, row}) * b.cast(weight, x.type().dtype);
    sum = sum ? sum + part : part;
  }
  n.set(0, b.transpose(sum, inverse_permutation(order)));
}

void affine_grid(OnnxNode& n) {
  Builder& b = n.builder();
  const Value theta = n.in(0);
  const std::vector<int64_t> size = n.need_integers(1);
  const size_t space = size.size() < 3 ? 0 : size.size() - 2;
  if (space == 0 || theta.rank() != 3 || !theta.dim(1).is_constant(static_cast<int64_t>(space)) ||
      !theta.dim(2).is_constant(static_cast<int64_t>(space) + 1))
    n.fail("needs matrices [batch, axes of space, axes of space + 1] and a size but got " + shape_text(theta.shape()));
  const bool align = n.integer("align_corners", 0) != 0;
  int64_t count = 1;
  for (size_t i = 0; i < space; ++i) count *= size[i + 2];
  if (count < 0 || count > (int64_t{1} << 26)) n.fail("cannot have a grid of " + std::to_string(count) + " places");
  HostTensor places = make_tensor(theta.type().dtype, {count, static_cast<int64_t>(space) + 1}, 1.0);
  for (int64_t row = 0; row < count; ++row) {
    int64_t rest = row;
    for (size_t i = space; i-- > 0;) {
      const int64_t extent = size[i + 2], at = rest % extent;
      rest /= extent;
      const auto step = static_cast<double>(at), width = static_cast<double>(extent);
      const double place =
          !align ? (2.0 * step + 1.0) / width - 1.0 : (extent > 1 ? 2.0 * step / (width - 1.0) - 1.0 : -1.0);
      places.data[static_cast<size_t>(row) * (space + 1) + (space - 1 - i)] = place;
    }
  }
  const Value y = b.contract(theta, n.table(known_of(places), "places"), "bij,rj->bri");
  Shape shape = {theta.dim(0)};
  for (size_t i = 0; i < space; ++i) shape.emplace_back(size[i + 2]);
  shape.emplace_back(static_cast<int64_t>(space));
  n.set(0, b.reshape(y, shape));
}

constexpr OnnxOp ops[] = {{"GridSample", 1, grid_sample}, {"AffineGrid", 1, affine_grid}};

}  // namespace

std::span<const OnnxOp> onnx_image_ops() { return ops; }

}  // namespace moru
