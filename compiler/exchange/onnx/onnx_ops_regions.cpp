// ONNX operators on regions of images: pooling of boxes, convolution with places that move, and patches put together.
#include <cmath>
#include <limits>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

void check_boxes(OnnxNode& n, size_t columns) {
  const Shape &x = n.type(0).shape, &boxes = n.type(1).shape;
  if (x.size() != 4 || boxes.size() != 2 || !boxes[1].is_constant(static_cast<int64_t>(columns)))
    n.fail("needs images [batch, channels, height, width] and boxes [count, " + std::to_string(columns) + "] but got " +
           shape_text(x) + " and " + shape_text(boxes));
}

Value box_column(OnnxNode& n, int64_t column) {
  Builder& b = n.builder();
  const Value boxes = n.in(1);
  return b.reshape(b.slice(boxes, 1, column, 1), {boxes.dim(0)});
}

// The images of the boxes: [count, channels, height, width].
Value images_of(OnnxNode& n, Value places) { return n.builder().call("gather", {n.in(0), n.builder().cast(places, DType::i64)}); }

// How a point along an axis lies between two elements: each as weights [count, points, extent], of which one is not 0.
struct Neighbours {
  Value below, above;
};

Neighbours neighbours(Value point, const Dim& extent) {
  Builder& b = *point.builder;
  const DType dtype = point.type().dtype;
  const auto number = [&](double value) { return b.constant(value, dtype); };
  const Value size = dim_scalar(b, extent, dtype), last = size - 1.0;
  // More than one element outside counts as zero.
  const Value inside = b.call("logical_and", {b.call("greater_equal", {point, number(-1.0)}), b.call("less_equal", {point, size})});
  const Value at = b.call("minimum", {b.call("maximum", {point, number(0.0)}), last});
  const Value below = b.call("floor", {at}), part = at - below;
  const Shape points = point.shape();
  const Value column = iota(b, {1, 1, extent}, 2, dtype);
  const auto weights = [&](Value element, Value weight) {
    const Value here = b.call("equal", {column, b.reshape(element, {points[0], points[1], 1})});
    return b.select(here, b.reshape(b.select(inside, weight, number(0.0)), {points[0], points[1], 1}), number(0.0));
  };
  return {weights(below, 1.0 - part), weights(b.call("minimum", {below + 1.0, last}), part)};
}

struct Samples {
  Value points;        // [count, bins * most]
  int64_t most = 1;    // in a bin
  Value weights = {};  // [count, most]: 1 for those that a box has; none where all have the same number
  Value counts = {};   // [count]
};

// Evenly spaced samples within each of a box's bins along one axis.
Samples samples_of(OnnxNode& n, Value begin, Value size, int64_t bins, const std::vector<double>& known_counts) {
  Builder& b = n.builder();
  const DType dtype = begin.type().dtype;
  const Dim boxes = begin.dim(0);
  const int64_t ratio = n.integer("sampling_ratio", 0);
  Samples samples;
  samples.most = ratio;
  Value counts = b.constant(static_cast<double>(ratio), dtype);
  if (ratio <= 0) {
    double most = 1.0;
    for (double count : known_counts) most = std::max(most, count);
    samples.most = static_cast<int64_t>(most);
    HostTensor numbers = make_tensor(dtype, {static_cast<int64_t>(known_counts.size())});
    numbers.data = known_counts;
    samples.counts = n.table(known_of(numbers), "samples");
    counts = b.reshape(samples.counts, {boxes, 1, 1});
    samples.weights = b.cast(b.call("less", {iota(b, {1, samples.most}, 1, dtype), b.reshape(samples.counts, {boxes, 1})}), dtype);
  }
  const auto along = [&](Value x) { return b.reshape(x, {boxes, 1, 1}); };
  const Value bin = along(size / static_cast<double>(bins));
  const Value number = iota(b, {1, bins, 1}, 1, dtype), sample = iota(b, {1, 1, samples.most}, 2, dtype);
  const Value points = along(begin) + number * bin + (sample + 0.5) * bin / counts;
  samples.points = b.reshape(b.broadcast_to(points, {boxes, bins, samples.most}), {boxes, bins * samples.most});
  return samples;
}

// The numbers of samples that sampling_ratio = 0 means: a box's extent in elements of a bin, rounded up.
std::vector<double> counts_of(OnnxNode& n, int64_t low, int64_t high, double scale, double least, int64_t bins) {
  std::vector<double> counts;
  if (n.integer("sampling_ratio", 0) > 0) return counts;
  const Known boxes = n.need(1);
  for (size_t box = 0; box + 3 < boxes->elements(); box += 4) {
    const double size = (boxes->number(box + static_cast<size_t>(high)) - boxes->number(box + static_cast<size_t>(low))) * scale;
    counts.push_back(std::ceil(std::max(size, least) / static_cast<double>(bins)));
    if (!(counts.back() >= 0.0 && counts.back() <= 4096.0)) n.fail("has a box that is " + std::to_string(size) + " elements wide");
  }
  return counts;
}

void roi_align(OnnxNode& n) {
  check_boxes(n, 4);
  Builder& b = n.builder();
  const bool half = n.version() >= 16 && n.choice("coordinate_transformation_mode", {"half_pixel", "output_half_pixel"}) == "half_pixel";
  const double scale = n.real("spatial_scale", 1.0), least = half ? -std::numeric_limits<double>::infinity() : 1.0;
  const std::string mode = n.choice("mode", {"avg", "max"});
  const int64_t bins[] = {n.integer("output_height", 1), n.integer("output_width", 1)};
  const Value images = images_of(n, n.in(2));
  const Dim boxes = images.dim(0), channels = images.dim(1);
  Neighbours weights[2];
  Samples samples[2];
  for (size_t axis = 0; axis < 2; ++axis) {
    const int64_t low = axis == 0 ? 1 : 0, high = low + 2;
    const double shift = half ? 0.5 : 0.0;
    const Value begin = box_column(n, low) * scale - shift, end = box_column(n, high) * scale - shift;
    Value size = end - begin;
    if (!half) size = b.call("maximum", {size, b.constant(1.0, size.type().dtype)});
    samples[axis] = samples_of(n, begin, size, bins[axis], counts_of(n, low, high, scale, least, bins[axis]));
    weights[axis] = neighbours(samples[axis].points, images.shape()[2 + axis]);
  }
  const auto sampled = [&](Value rows, Value columns) {
    return b.contract(b.contract(rows, images, "rph,rchw->rcpw"), columns, "rcpw,rqw->rcpq");
  };
  const Shape apart = {boxes, channels, bins[0], samples[0].most, bins[1], samples[1].most};
  if (mode == "max") {
    // As ONNX has it: of the four neighbours, each times its weight.
    Value most;
    for (const Value rows : {weights[0].below, weights[0].above})
      for (const Value columns : {weights[1].below, weights[1].above}) {
        const Value one = sampled(rows, columns);
        most = most ? b.call("maximum", {most, one}) : one;
      }
    most = b.reshape(most, apart);
    const Value lowest = b.constant(-std::numeric_limits<float>::max(), most.type().dtype);
    for (size_t axis = 0; axis < 2; ++axis)
      if (samples[axis].weights) {
        Shape shape(6, Dim(1));
        shape[0] = boxes;
        shape[3 + 2 * axis] = samples[axis].most;
        const Value counts = b.call("greater", {b.reshape(samples[axis].weights, shape), b.constant(0.0, most.type().dtype)});
        most = b.select(counts, most, lowest);
      }
    return n.set(0, b.reduce("reduce_max", most, {3, 5}));
  }
  // Means are linear: first the weights of a bin's samples together.
  Value means[2];
  for (size_t axis = 0; axis < 2; ++axis) {
    const Value all = weights[axis].below + weights[axis].above;
    const Dim extent = all.dim(2);
    Value grouped = b.reshape(all, {boxes, bins[axis], samples[axis].most, extent});
    if (samples[axis].weights) grouped = grouped * b.reshape(samples[axis].weights, {boxes, 1, samples[axis].most, 1});
    const Value sum = b.reduce("reduce_sum", grouped, {2});
    const DType dtype = sum.type().dtype;
    const Value count = samples[axis].counts ? b.reshape(b.call("maximum", {samples[axis].counts, b.constant(1.0, dtype)}), {boxes, 1, 1})
                                             : b.constant(static_cast<double>(samples[axis].most), dtype);
    means[axis] = sum / count;
  }
  n.set(0, sampled(means[0], means[1]));
}

// The largest element of each of a box's bins, whose corners are whole elements.
void max_roi_pool(OnnxNode& n) {
  check_boxes(n, 5);
  Builder& b = n.builder();
  const Integers bins = n.integers("pooled_shape");
  if (bins.size() != 2 || bins[0] < 1 || bins[1] < 1) n.fail("needs a pooled_shape of two extents");
  const double scale = n.real("spatial_scale", 1.0);
  Value y = images_of(n, box_column(n, 0));
  const DType dtype = y.type().dtype;
  const Value lowest = b.constant(-std::numeric_limits<float>::max(), dtype), zero = b.constant(0.0, dtype);
  for (size_t axis = 0; axis < 2; ++axis) {
    const int64_t low = axis == 0 ? 2 : 1;
    const Dim boxes = y.dim(0), channels = y.dim(1), extent = y.shape()[2 + axis], other = y.shape()[3 - axis];
    const Value size = dim_scalar(b, extent, dtype);
    const auto corner = [&](int64_t column) { return b.call("floor", {box_column(n, column) * scale + 0.5}); };
    const Value begin = b.reshape(corner(low), {boxes, 1}), end = b.reshape(corner(low + 2), {boxes, 1});
    const Value bin = b.call("maximum", {end - begin + 1.0, b.constant(1.0, dtype)}) / static_cast<double>(bins[axis]);
    const Value number = iota(b, {1, bins[axis]}, 1, dtype);
    const auto inside = [&](Value x) { return b.call("minimum", {b.call("maximum", {x + begin, zero}), size}); };
    const Shape pairs = {boxes, bins[axis], 1};
    const Value first = b.reshape(inside(b.call("floor", {number * bin})), pairs),
                behind = b.reshape(inside(b.call("ceil", {(number + 1.0) * bin})), pairs);
    const Value place = iota(b, {1, 1, extent}, 2, dtype);
    const Value covered = b.call("logical_and", {b.call("greater_equal", {place, first}), b.call("less", {place, behind})});
    // [boxes, channels, bins, extent, other], with what was pooled before at the back.
    const Value images = axis == 0 ? y : b.transpose(y, {0, 1, 3, 2});
    const Value chosen = b.select(b.reshape(covered, {boxes, 1, bins[axis], extent, 1}),
                                  b.reshape(images, {boxes, channels, 1, extent, other}), lowest);
    const Value most = b.reduce("reduce_max", chosen, {3});
    const Value any = b.reshape(b.call("greater", {behind, first}), {boxes, 1, bins[axis], 1});
    const Value pooled = b.select(any, most, zero);
    y = axis == 0 ? pooled : b.transpose(pooled, {0, 1, 3, 2});
  }
  n.set(0, y);
}

// The pads at the beginning of each axis, then those at its end.
Integers pads_of(OnnxNode& n, size_t space) {
  const Integers pads = n.integers("pads", Integers(2 * space, 0));
  if (pads.size() != 2 * space) n.fail("needs two pads for each axis of space");
  return pads;
}

// Convolution at places that are each moved by an offset, between elements by linear interpolation:
//   y[n, o, p] = bias[o] + sum over c, k of weight[o, c, k] mask[n, k, p] x[n, c, p stride + k dilation - pad + offset[n, k, p]]
void deform_conv(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0), weight = n.in(1), offset = n.in(2);
  const size_t space = x.rank() < 3 ? 0 : x.rank() - 2;
  if (space == 0 || weight.rank() != x.rank() || offset.rank() != x.rank())
    n.fail("needs [batch, channels, space...], a weight and offsets of as many axes but got " + shape_text(x.shape()) + ", " +
           shape_text(weight.shape()) + " and " + shape_text(offset.shape()));
  const DType dtype = x.type().dtype;
  const Integers strides = n.integers("strides", Integers(space, 1)), dilations = n.integers("dilations", Integers(space, 1)),
                 pads = pads_of(n, space);
  const int64_t groups = n.integer("group", 1), moved = n.integer("offset_group", 1);
  int64_t taps = 1;
  for (size_t i = 0; i < space; ++i) {
    if (!weight.shape()[2 + i].is_constant() || weight.shape()[2 + i].constant() < 1) n.fail("needs a kernel of a known size");
    taps *= weight.shape()[2 + i].constant();
  }
  if (groups < 1 || moved < 1 || strides.size() != space || dilations.size() != space)
    n.fail("needs a stride and a dilation for each axis of space, and at least one group");
  const Dim batch = x.dim(0), channels = x.dim(1);
  const Shape out(offset.shape().begin() + 2, offset.shape().end());
  const auto axes = static_cast<int64_t>(space);
  if (offset.dim(1) != Dim(moved * taps * axes))
    n.fail("needs " + std::to_string(moved * taps * axes) + " offsets a place but got " + offset.dim(1).text());
  Shape places = {batch * moved, taps};
  places.insert(places.end(), out.begin(), out.end());
  Shape with_axes = {batch * moved, taps, axes};
  with_axes.insert(with_axes.end(), out.begin(), out.end());
  const Value offsets = b.reshape(offset, with_axes);
  // Rows of channels, by image and group of offsets: [batch * moved * space..., channels / moved].
  const Dim width = floor_div(channels, moved);
  Shape split = {batch * moved, width};
  split.insert(split.end(), x.shape().begin() + 2, x.shape().end());
  const Integers order = axis_to_back(x.rank(), 1);
  const Value last = b.transpose(b.reshape(x, split), order);
  const Value rows = b.reshape(last, {product(last.shape(), 0, last.rank() - 1), width});

  std::vector<Value> below(space), part(space);
  int64_t inner = taps;
  for (size_t i = 0; i < space; ++i) {
    inner /= weight.shape()[2 + i].constant();
    HostTensor taps_at = make_tensor(dtype, {taps});
    for (int64_t k = 0; k < taps; ++k)
      taps_at.data[static_cast<size_t>(k)] =
          static_cast<double>(k / inner % weight.shape()[2 + i].constant() * dilations[i] - pads[i]);
    Shape along_taps(places.size(), Dim(1));
    along_taps[1] = taps;
    const Value start = b.reshape(n.table(known_of(taps_at), "taps"), along_taps);
    const Value step = iota(b, only_axis(places, static_cast<int64_t>(2 + i)), static_cast<int64_t>(2 + i), dtype) *
                       static_cast<double>(strides[i]);
    const Value at = b.reshape(b.slice(offsets, 2, static_cast<int64_t>(i), 1), places) + start + step;
    below[i] = b.call("floor", {at});
    part[i] = at - below[i];
  }
  const Value zero = b.constant(0.0, dtype), one = b.constant(1.0, dtype);
  Shape one_channel = places;
  one_channel.push_back(1);
  Value columns;  // [batch * moved, taps, out..., channels / moved]
  for (size_t corner = 0; corner < size_t{1} << space; ++corner) {
    Value row = iota(b, only_axis(places, 0), 0), share;
    for (size_t i = 0; i < space; ++i) {
      const bool upper = corner >> i & 1;
      const Dim extent = x.shape()[2 + i];
      const Value element = upper ? below[i] + 1.0 : below[i], end = dim_scalar(b, extent, dtype) - 1.0;
      const Value inside = b.call("logical_and", {b.call("greater_equal", {element, zero}), b.call("less_equal", {element, end})});
      const Value amount = b.select(inside, upper ? part[i] : one - part[i], zero);
      share = share ? share * amount : amount;
      const Value clamped = b.call("minimum", {b.call("maximum", {element, zero}), end});
      row = row * dim_scalar(b, extent, DType::i64) + b.cast(clamped, DType::i64);
    }
    const Value term = b.call("gather", {rows, row}) * b.reshape(share, one_channel);
    columns = columns ? columns + term : term;
  }
  if (n.has_input(4)) columns = columns * b.reshape(n.in(4), one_channel);
  // [batch, groups, channels of a group, taps, places]
  const Dim count = product(out, 0, out.size());
  const Value apart = b.transpose(b.reshape(columns, {batch, moved, taps, count, width}), {0, 1, 4, 2, 3});
  const Value grouped = b.reshape(apart, {batch, groups, floor_div(channels, groups), taps, count});
  const Dim filters = weight.dim(0);
  const Value kernel = b.reshape(weight, {groups, floor_div(filters, groups), weight.dim(1), taps});
  Shape shape = {batch, filters};
  shape.insert(shape.end(), out.begin(), out.end());
  Value y = b.reshape(b.contract(grouped, kernel, "ngckp,gock->ngop"), shape);
  if (n.has_input(3)) {
    Shape per_filter(shape.size() - 1, Dim(1));
    per_filter[0] = filters;
    y = y + b.reshape(n.in(3), per_filter);
  }
  n.set(0, y);
}

// The sum of patches at their places: [batch, channels * patch, patches] -> [batch, channels, image...].
void col2im(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const Integers image = n.need_integers(1), block = n.need_integers(2);
  const size_t space = image.size();
  if (x.rank() != 3 || block.size() != space) n.fail("needs patches of three axes but got " + shape_text(x.shape()));
  const Integers strides = n.integers("strides", Integers(space, 1)), dilations = n.integers("dilations", Integers(space, 1)),
                 pads = pads_of(n, space);
  if (strides.size() != space || dilations.size() != space) n.fail("needs a stride and a dilation for each axis of the image");
  Shape shape = {x.dim(0), 0};
  Integers steps(space);
  int64_t elements = 1;
  for (size_t i = 0; i < space; ++i) {
    const int64_t padded = image[i] + pads[i] + pads[space + i], covered = dilations[i] * (block[i] - 1) + 1;
    if (block[i] < 1 || strides[i] < 1 || dilations[i] < 1 || covered > padded)
      n.fail("has patches of " + std::to_string(covered) + " elements in an image of " + std::to_string(padded));
    steps[i] = (padded - covered) / strides[i] + 1;
    elements *= block[i];
    shape.emplace_back(block[i]);
  }
  const Dim channels = floor_div(x.dim(1), elements);
  shape[1] = channels;
  for (const int64_t step : steps) shape.emplace_back(step);
  Value y = b.reshape(x, shape);  // [batch, channels, block..., steps...]
  for (size_t i = 0; i < space; ++i) {
    // The block's axis i stands at 2 + i, its steps behind the blocks that are left: bring these before it.
    const size_t at = 2 + i, steps_at = 2 + space;
    Integers order;
    for (size_t axis = 0; axis < y.rank(); ++axis) {
      if (axis == steps_at) continue;
      if (axis == at) order.push_back(static_cast<int64_t>(steps_at));
      order.push_back(static_cast<int64_t>(axis));
    }
    const int64_t padded = image[i] + pads[i] + pads[space + i];
    y = b.call("window_sum", {b.transpose(y, order)},
               {{"axis", static_cast<int64_t>(at)}, {"stride", strides[i]}, {"dilation", dilations[i]}, {"extent", Shape{padded}}});
    y = b.slice(y, static_cast<int64_t>(at), pads[i], image[i]);
  }
  n.set(0, y);
}

constexpr OnnxOp ops[] = {{"RoiAlign", 10, roi_align},
                          {"MaxRoiPool", 1, max_roi_pool},
                          {"DeformConv", 19, deform_conv},
                          {"Col2Im", 18, col2im}};

}  // namespace

std::span<const OnnxOp> onnx_region_ops() { return ops; }

}  // namespace moru
