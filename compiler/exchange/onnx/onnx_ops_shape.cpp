// ONNX operators that move elements, make constants or ask for shapes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/exchange/onnx/onnx_fold.h"
#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"
#include "compiler/ops/spatial.h"
#include "compiler/support/dim_bounds.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

constexpr int64_t most_repeats = 64;  // of an axis in its own padding, whose parts are nodes of the graph

Integers constants(OnnxNode& n, const Shape& shape) {
  Integers numbers;
  for (const Dim& dim : shape) {
    if (!dim.is_constant()) n.fail("needs a known extent but got " + shape_text(shape));
    numbers.push_back(dim.constant());
  }
  return numbers;
}

// From version 13, 11, ... on an input, before an attribute.
std::optional<Integers> axes_of(OnnxNode& n, size_t input, const char* attribute = "axes") {
  if (n.has_input(input)) return n.need_integers(input);
  if (n.has(attribute)) return n.integers(attribute);
  return std::nullopt;
}

std::shared_ptr<KnownValue> known_integers(std::vector<Dim> dims, Integers shape) {
  auto value = std::make_shared<KnownValue>();
  value->dtype = DType::i64;
  value->dims = std::move(dims);
  value->shape = std::move(shape);
  return value;
}

void constant(OnnxNode& n) {
  if (n.has("value_int")) return n.set_known(0, known_integers({Dim(n.integer("value_int"))}, {}));
  if (n.has("value_ints")) {
    const Integers numbers = n.integers("value_ints");
    return n.set_known(0, known_integers({numbers.begin(), numbers.end()}, {static_cast<int64_t>(numbers.size())}));
  }
  if (n.has("value_float") || n.has("value_floats")) {
    auto value = std::make_shared<KnownValue>();
    value->dtype = DType::f32;
    value->reals = n.has("value_float") ? std::vector<double>{n.real("value_float")} : n.reals("value_floats");
    if (n.has("value_floats")) value->shape = {static_cast<int64_t>(value->reals.size())};
    return n.set_known(0, value);
  }
  if (!n.has("value")) n.fail("holds no tensor, which is not supported");
  const OnnxTensor tensor = n.tensor("value");
  n.set_known(0, known_of(tensor));
}

void constant_of_shape(OnnxNode& n) {
  const Shape shape = n.need_dims(0);
  ElementType dtype = DType::f32;
  double number = 0.0;
  if (n.has("value")) {
    const OnnxTensor tensor = n.tensor("value");
    const Known value = known_of(tensor);
    if (value->elements() != 1) n.fail("needs one number as 'value'");
    dtype = tensor.dtype;
    number = value->number(0);
  }
  n.set_as(0, n.builder().fill(number, shape, compute_dtype(dtype)), dtype);
}

void shape_of(OnnxNode& n) {
  const Shape& shape = n.type(0).shape;
  const auto rank = static_cast<int64_t>(shape.size());
  auto bound = [&](int64_t at) { return std::clamp(at < 0 ? at + rank : at, int64_t{0}, rank); };
  const int64_t begin = bound(n.integer("start", 0)), end = std::max(begin, bound(n.integer("end", rank)));
  n.set_known(0, known_integers({shape.begin() + begin, shape.begin() + end}, {end - begin}));
}

void size_of(OnnxNode& n) { n.set_known(0, known_integers({element_count(n.type(0).shape)}, {})); }

// As many elements in another shape. Where only a run can tell whether they are as many, as of [n, m] and [n, floor(m, 2), 2], it does.
Value reshape_to(Builder& b, Value x, const Shape& shape) {
  const Shape from = x.shape();
  const Dim count = element_count(from), wanted = element_count(shape);
  if (count == wanted || find_unequal_factor(count, wanted) || !can_be_equal(count, wanted)) return b.reshape(x, shape);
  const size_t shorter = std::min(from.size(), shape.size());
  size_t before = 0, after = 0;
  while (before < shorter && from[before] == shape[before]) ++before;
  while (after + before < shorter && from[from.size() - 1 - after] == shape[shape.size() - 1 - after]) ++after;
  Shape joined(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(before));
  joined.push_back(product(from, before, from.size() - after));
  joined.insert(joined.end(), shape.end() - static_cast<std::ptrdiff_t>(after), shape.end());
  x = b.reshape(x, joined);
  joined[before] = product(shape, before, shape.size() - after);
  return b.reshape(b.call("ensure_shape", {x}, {{"shape", joined}}), shape);
}

void reshape(OnnxNode& n) {
  Shape shape;
  if (n.version() < 5) {
    const Integers given = n.integers("shape");
    shape.assign(given.begin(), given.end());
  } else {
    shape = n.need_dims(1);
  }
  const Shape& from = n.type(0).shape;
  const bool allow_zero = n.integer("allowzero", 0) != 0;
  std::optional<size_t> open;
  Dim others = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].is_constant(0) && !allow_zero) {
      if (i >= from.size()) n.fail("keeps extent " + std::to_string(i) + " of its input, which is " + shape_text(from));
      shape[i] = from[i];
    }
    if (shape[i].is_constant() && shape[i].constant() < -1) n.fail("has the extent " + shape[i].text() + " in its shape");
    if (shape[i].is_constant(-1)) {
      if (open) n.fail("leaves two extents open");
      open = i;
    } else {
      others *= shape[i];
    }
  }
  if (open) {
    // Extents that stand on both sides cancel, which divides symbols exactly.
    Dim count = 1;
    Shape left = from, right = shape;
    right.erase(right.begin() + static_cast<std::ptrdiff_t>(*open));
    for (auto at = left.begin(); at != left.end();) {
      const auto same = std::find(right.begin(), right.end(), *at);
      if (same != right.end()) {
        right.erase(same);
        at = left.erase(at);
      } else {
        ++at;
      }
    }
    Dim divisor = 1;
    for (const Dim& dim : left) count *= dim;
    for (const Dim& dim : right) divisor *= dim;
    if (divisor.is_constant(0)) n.fail("cannot give " + shape_text(from) + " the shape " + shape_text(shape));
    shape[*open] = floor_div(count, divisor);
  }
  n.set_as(0, reshape_to(n.builder(), n.raw(0), shape), n.dtype(0));
}

void flatten(OnnxNode& n) {
  const Shape& shape = n.type(0).shape;
  const auto rank = static_cast<int64_t>(shape.size());
  int64_t axis = n.integer("axis", 1);
  if (axis < -rank || axis > rank) n.fail("has no axis " + std::to_string(axis) + " in " + shape_text(shape));
  if (axis < 0) axis += rank;
  const auto at = static_cast<size_t>(axis);
  n.set_as(0, n.builder().reshape(n.raw(0), {product(shape, 0, at), product(shape, at, shape.size())}), n.dtype(0));
}

void transpose(OnnxNode& n) {
  Integers permutation(n.rank(0));
  std::iota(permutation.rbegin(), permutation.rend(), int64_t{0});
  if (n.has("perm")) permutation = n.integers("perm");
  for (int64_t& axis : permutation) axis = n.axis(axis, n.rank(0));
  n.set_as(0, n.builder().transpose(n.raw(0), permutation), n.dtype(0));
}

void squeeze(OnnxNode& n) {
  const Shape& from = n.type(0).shape;
  const auto given = axes_of(n, 1);
  Shape shape;
  Integers axes;
  if (given) axes = n.axes(*given, from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    const bool named = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (named && !from[i].is_constant(1))
      n.fail("cannot leave out axis " + std::to_string(i) + " of " + shape_text(from));
    if (!named && (given || !from[i].is_constant(1))) shape.push_back(from[i]);
  }
  n.set_as(0, n.builder().reshape(n.raw(0), shape), n.dtype(0));
}

void unsqueeze(OnnxNode& n) {
  Shape shape = n.type(0).shape;
  const Integers given = axes_of(n, 1).value_or(Integers{});
  for (int64_t axis : n.axes(given, shape.size() + given.size())) shape.insert(shape.begin() + axis, Dim(1));
  n.set_as(0, n.builder().reshape(n.raw(0), shape), n.dtype(0));
}

void concat(OnnxNode& n) {
  std::vector<Value> parts;
  for (size_t i = 0; i < n.inputs(); ++i) parts.push_back(n.raw(i));
  const int64_t axis = n.axis(n.integer("axis", n.version() < 4 ? 1 : 0), n.rank(0));
  n.set_as(0, n.builder().concat(parts, axis), n.dtype(0));
}

void split(OnnxNode& n) {
  const Value x = n.raw(0);
  const int64_t axis = n.axis(n.integer("axis", 0), n.rank(0));
  const Dim extent = x.shape()[static_cast<size_t>(axis)];
  std::vector<Dim> sizes;
  if (n.has_input(1)) {
    sizes = n.need_dims(1);
  } else if (n.has("split")) {
    const Integers given = n.integers("split");
    sizes.assign(given.begin(), given.end());
  } else {
    const auto count = n.integer("num_outputs", static_cast<int64_t>(n.outputs()));
    if (count < 1) n.fail("has no outputs");
    const Dim each = ceil_div(extent, count);
    for (int64_t i = 0; i < count; ++i) sizes.push_back(i + 1 < count ? each : extent - each * Dim(count - 1));
  }
  Dim begin = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    n.set_as(i, n.builder().slice(x, axis, begin, sizes[i]), n.dtype(0));
    begin += sizes[i];
  }
}

bool is_not_negative(const Dim& dim) {
  const std::optional<int64_t> least = least_of(dim);
  return least && *least >= 0;
}

Dim size_between(const Dim& begin, const Dim& end) {
  const Dim size = with_terms_inside(end - begin);
  return is_not_negative(size) ? size : max(size, 0);
}

void slice(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.raw(0);
  const size_t rank = x.rank();
  std::vector<Dim> starts, ends;
  Integers axes, steps;
  if (n.version() < 10) {
    const Integers s = n.integers("starts"), e = n.integers("ends");
    starts.assign(s.begin(), s.end());
    ends.assign(e.begin(), e.end());
    if (n.has("axes")) axes = n.integers("axes");
  } else {
    starts = n.need_dims(1);
    ends = n.need_dims(2);
    if (n.has_input(3)) axes = n.need_integers(3);
    if (n.has_input(4)) steps = n.need_integers(4);
  }
  if (axes.empty()) {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), int64_t{0});
  }
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (starts.size() != ends.size() || axes.size() != starts.size() || steps.size() != starts.size())
    n.fail("needs as many starts as ends, axes and steps");
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t axis = n.axis(axes[i], rank), step = steps[i];
    const Dim extent = x.shape()[static_cast<size_t>(axis)];
    if (step == 0) n.fail("has a step of 0");
    // -1 is the last element; what lies outside is cut. A position that holds a symbol counts from the back where it is plainly
    // negative; an entry that meets a size at which it lies outside of an axis of known extent refuses to run.
    auto place = [&](const Dim& at, bool is_end) -> Dim {
      const Dim low = step > 0 || !is_end ? Dim(0) : Dim(-1), high = step > 0 ? extent : extent - 1;
      if (!at.is_constant()) {
        const Dim from_front = is_not_negative(Dim(0) - at) ? extent + at : at;
        return extent.is_constant() || is_not_negative(high - from_front) ? from_front : min(from_front, high);
      }
      const int64_t number = at.constant();
      if (number >= INT32_MAX) return high;
      if (number <= -INT32_MAX) return low;
      if (extent.is_constant()) {
        return std::clamp(number < 0 ? number + extent.constant() : number, low.constant(), high.constant());
      }
      if (number < 0) return is_not_negative(extent + number - low) ? extent + number : max(extent + number, low);
      return is_not_negative(high - number) ? Dim(number) : min(Dim(number), high);
    };
    const Dim begin = place(starts[i], false), end = place(ends[i], true);
    if (step > 0) {
      const Dim size = size_between(begin, end);
      if (!(begin.is_constant(0) && size == extent)) x = b.slice(x, axis, begin, size);
    } else {
      const Dim size = size_between(end, begin);
      x = b.call("reverse", {size.is_constant(0) ? b.slice(x, axis, 0, 0) : b.slice(x, axis, end + 1, size)},
                 {{"axis", axis}});
    }
    const int64_t stride = step < 0 ? -step : step;
    if (stride > 1) {
      const Dim count = ceil_div(x.shape()[static_cast<size_t>(axis)], stride);
      if (count.is_constant(0)) continue;
      x = b.call("window", {x}, {{"axis", axis}, {"count", Shape{count}}, {"size", 1}, {"stride", stride}});
      Shape shape = x.shape();
      shape.erase(shape.begin() + axis + 1);
      x = b.reshape(x, shape);
    }
  }
  n.set_as(0, x, n.dtype(0));
}

void expand(OnnxNode& n) {
  const Shape wanted = n.need_dims(1);
  const auto shape = broadcast_shapes(n.type(0).shape, wanted);
  if (!shape) n.fail(shape_text(n.type(0).shape) + " does not broadcast to " + shape_text(wanted));
  n.set_as(0, n.builder().broadcast_to(n.raw(0), *shape), n.dtype(0));
}

void tile(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.raw(0);
  const size_t rank = x.rank();
  Shape repeats;
  if (n.version() < 6) {
    repeats.assign(rank, Dim(1));
    repeats[static_cast<size_t>(n.axis(static_cast<int64_t>(n.need_number(2)), rank))] =
        Dim(static_cast<int64_t>(n.need_number(1)));
  } else {
    repeats = n.need_dims(1);
  }
  if (repeats.size() != rank) n.fail("needs one number of repeats for each axis of " + shape_text(x.shape()));
  Shape apart, repeated, joined;
  for (size_t i = 0; i < rank; ++i) {
    const Dim extent = x.shape()[i];
    apart.insert(apart.end(), {Dim(1), extent});
    repeated.insert(repeated.end(), {repeats[i], extent});
    joined.push_back(repeats[i] * extent);
  }
  n.set_as(0, b.reshape(b.broadcast_to(b.reshape(x, apart), repeated), joined), n.dtype(0));
}

// Elements along an axis at positions that are known: x[..., index(i), ...] for i < size, by slices of runs.
Value pick(Value x, int64_t axis, const Integers& positions) {
  Builder& b = *x.builder;
  std::vector<Value> parts;
  for (size_t i = 0; i < positions.size();) {
    size_t run = 1;
    const int64_t step = i + 1 < positions.size() ? positions[i + 1] - positions[i] : 1;
    while ((step == 1 || step == -1) && i + run < positions.size() &&
           positions[i + run] - positions[i + run - 1] == step)
      ++run;
    const auto length = static_cast<int64_t>(run);
    Value part = b.slice(x, axis, step == -1 && run > 1 ? positions[i + run - 1] : positions[i], length);
    if (step == -1 && run > 1) part = b.call("reverse", {part}, {{"axis", axis}});
    parts.push_back(part);
    i += run;
  }
  return parts.empty() ? b.slice(x, axis, 0, 0) : b.concat(parts, axis);
}

// The elements of an axis of which a padded one consists: the modes "reflect", "edge" and "wrap".
Integers padded_positions(OnnxNode& n, std::string_view mode, int64_t extent, int64_t before, int64_t after) {
  if (extent == 0 && (before > 0 || after > 0)) n.fail("cannot pad an empty axis from its own elements");
  if (std::max(before, after) > most_repeats * extent)
    n.fail("pads an axis of " + std::to_string(extent) + " elements by more than " + std::to_string(most_repeats) + " times as many");
  Integers positions;
  for (int64_t k = -before; k < extent + after; ++k) {
    int64_t at = std::clamp(k, int64_t{0}, extent - 1);
    if (mode == "reflect" && extent > 1) {
      const int64_t period = 2 * (extent - 1);
      at = (k % period + period) % period;
      if (at >= extent) at = period - at;
    }
    if (mode == "wrap") at = (k % extent + extent) % extent;
    positions.push_back(at);
  }
  return positions;
}

// The same at sizes known when the model runs, where the padding is shorter than the axis.
Value padded_positions(Builder& b, std::string_view mode, const Dim& extent, const Dim& before, const Dim& after) {
  const auto number = [&](const Dim& dim) { return dim_scalar(b, dim, DType::i64); };
  const Value k = iota(b, {before + extent + after}, 0) - number(before), zero = number(0), last = number(extent - 1);
  if (mode == "reflect") return last - b.call("abs", {last - b.call("abs", {k})});
  if (mode == "wrap")
    return b.select(b.call("less", {k, zero}), k + number(extent), b.select(b.call("greater", {k, last}), k - number(extent), k));
  return b.call("minimum", {b.call("maximum", {k, zero}), last});
}

void pad(OnnxNode& n) {
  Builder& b = n.builder();
  const size_t rank = n.rank(0);
  Shape pads;
  if (n.version() < 11) {
    const Integers given = n.has("pads") ? n.integers("pads") : n.integers("paddings", Integers{});
    pads.assign(given.begin(), given.end());
  } else {
    pads = n.need_dims(1);
  }
  Integers axes(rank);
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (n.has_input(3)) {
    axes = n.need_integers(3);
    for (int64_t& axis : axes) axis = n.axis(axis, rank);
  }
  if (pads.size() != 2 * axes.size()) n.fail("needs two numbers of padding for each axis");
  const std::string mode = n.choice("mode", {"constant", "reflect", "edge", "wrap"});
  Value x = mode == "constant" && n.dtype(0) != DType::boolean ? n.in(0) : n.raw(0);
  const DType dtype = x.type().dtype;
  double number = n.version() < 11 ? n.real("value", 0.0) : 0.0;
  Value filler;
  if (n.version() >= 11 && n.has_input(2)) {
    const Known known = n.known(2);
    if (known && known->elements() == 1 && !known->is_symbolic())
      number = known->number(0);
    else
      filler = b.reshape(n.in(2), {});
  }
  Value inside;
  if (filler) inside = b.fill(1.0, x.shape(), DType::f32);
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i];
    const Dim before = pads[i], after = pads[axes.size() + i];
    if (mode == "constant") {
      x = pad_axis(x, axis, before, after, filler ? 0.0 : number);
      if (filler) inside = pad_axis(inside, axis, before, after, 0.0);
      continue;
    }
    if (before == Dim(0) && after == Dim(0)) continue;
    const Dim extent = x.shape()[static_cast<size_t>(axis)];
    const bool is_short = extent.is_constant() && before.is_constant() && after.is_constant() &&
                          (mode != "edge" || std::max(before.constant(), after.constant()) <= 16);
    if (is_short)
      x = pick(x, axis, padded_positions(n, mode, extent.constant(), before.constant(), after.constant()));
    else
      x = gather_along(x, axis, padded_positions(b, mode, extent, before, after));
  }
  if (filler) x = b.select(b.call("greater", {inside, b.constant(0.5)}), x, b.cast(filler, dtype));
  n.set_as(0, x, n.dtype(0));
}

void range(OnnxNode& n) {
  Builder& b = n.builder();
  const Known start = n.need(0), limit = n.need(1), delta = n.need(2);
  for (const Known& each : {start, limit, delta})
    if (each->elements() != 1 || each->dtype != start->dtype) n.fail("needs three numbers of one element type");
  const DType dtype = n.dtype(0), computed = compute_dtype(dtype);
  if (!is_float(computed)) {
    if (!delta->dims[0].is_constant() || delta->dims[0].constant() == 0)
      n.fail("needs a step that is a number other than 0");
    const int64_t step = delta->dims[0].constant();
    Dim count =
        step > 0 ? ceil_div(limit->dims[0] - start->dims[0], step) : ceil_div(start->dims[0] - limit->dims[0], -step);
    if (count.is_constant() && count.constant() < 0) count = 0;
    const Value at = iota(b, {count}, 0, computed);
    return n.set(0, at * static_cast<double>(step) + dim_scalar(b, start->dims[0], computed));
  }
  const double step = delta->number(0);
  if (step == 0.0) n.fail("needs a step other than 0");
  const double count = std::max(0.0, std::ceil((limit->number(0) - start->number(0)) / step));
  if (!(count < 1e9)) n.fail("would make " + std::to_string(count) + " numbers");
  n.set(0, iota(b, {Dim(static_cast<int64_t>(count))}, 0, computed) * step + start->number(0));
}

void eye_like(OnnxNode& n) {
  Builder& b = n.builder();
  const Shape& shape = n.type(0).shape;
  if (shape.size() != 2) n.fail("needs a matrix but got " + shape_text(shape));
  const ElementType dtype =
      n.has("dtype") ? dtype_of_onnx(static_cast<int32_t>(n.integer("dtype")), "the attribute 'dtype'") : n.dtype(0);
  const Value diagonal =
      b.call("equal", {iota(b, {shape[0], 1}, 0) + static_cast<double>(n.integer("k", 0)), iota(b, {1, shape[1]}, 1)});
  n.set_as(0, b.cast(diagonal, compute_dtype(dtype)), dtype);
}

void triangle(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  if (x.rank() < 2) n.fail("needs matrices but got " + shape_text(x.shape()));
  const double k = n.has_input(1) ? n.need_number(1) : 0.0;
  const Value row = iota(b, {x.dim(-2), 1}, 0) + n.constant(k, DType::i64), column = iota(b, {1, x.dim(-1)}, 1);
  const Value keep = b.call(n.integer("upper", 1) ? "greater_equal" : "less_equal", {column, row});
  if (x.type().dtype == DType::boolean) return n.set(0, b.call("logical_and", {x, keep}));
  n.set(0, b.select(keep, x, n.constant(0.0, x.type().dtype)));
}

void depth_to_space(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.raw(0);
  const int64_t block = n.integer("blocksize");
  if (x.rank() != 4 || block < 1) n.fail("needs [batch, channels, height, width] but got " + shape_text(x.shape()));
  const Dim channels = floor_div(x.dim(1), block * block);
  Value y;
  if (n.choice("mode", {"DCR", "CRD"}) == "CRD")
    y = b.transpose(b.reshape(x, {x.dim(0), channels, block, block, x.dim(2), x.dim(3)}), {0, 1, 4, 2, 5, 3});
  else
    y = b.transpose(b.reshape(x, {x.dim(0), block, block, channels, x.dim(2), x.dim(3)}), {0, 3, 4, 1, 5, 2});
  n.set_as(0, b.reshape(y, {x.dim(0), channels, x.dim(2) * block, x.dim(3) * block}), n.dtype(0));
}

void space_to_depth(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.raw(0);
  const int64_t block = n.integer("blocksize");
  if (x.rank() != 4 || block < 1) n.fail("needs [batch, channels, height, width] but got " + shape_text(x.shape()));
  const Dim height = floor_div(x.dim(2), block), width = floor_div(x.dim(3), block);
  const Value y = b.transpose(reshape_to(b, x, {x.dim(0), x.dim(1), height, block, width, block}), {0, 3, 5, 1, 2, 4});
  n.set_as(0, b.reshape(y, {x.dim(0), x.dim(1) * block * block, height, width}), n.dtype(0));
}

void center_crop_pad(OnnxNode& n) {
  Value x = n.in(0);
  const Shape wanted = n.need_dims(1);
  Integers axes(x.rank());
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (n.has("axes")) axes = n.integers("axes");
  if (axes.size() != wanted.size()) n.fail("needs one extent for each axis");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = n.axis(axes[i], x.rank());
    const int64_t surplus = constants(n, {wanted[i] - x.shape()[static_cast<size_t>(axis)]})[0];
    // Of an odd number the greater half lies behind.
    const int64_t front = surplus >= 0 ? surplus / 2 : -(-surplus / 2);
    x = pad_axis(x, axis, front, surplus - front, 0.0);
  }
  n.set(0, x);
}

void reverse_sequence(OnnxNode& n) {
  Builder& b = n.builder();
  const int64_t batch = n.axis(n.integer("batch_axis", 1), n.rank(0)),
                time = n.axis(n.integer("time_axis", 0), n.rank(0));
  if (batch > 1 || time > 1 || batch == time) n.fail("needs batch and time as its first two axes");
  Value x = n.raw(0);
  if (time == 1) {
    Integers swap(x.rank());
    std::iota(swap.begin(), swap.end(), int64_t{0});
    std::swap(swap[0], swap[1]);
    x = b.transpose(x, swap);
  }
  const Dim steps = x.dim(0), rows = x.dim(1);
  const Value length = b.reshape(b.cast(n.in(1), DType::i64), {1, rows}), at = iota(b, {steps, 1}, 0);
  const Value from = b.select(b.call("less", {at, length}), length - 1.0 - at, at + 0.0 * length);
  // Rows of [time * batch, ...].
  Shape flat(x.shape().begin() + 2, x.shape().end());
  flat.insert(flat.begin(), steps * rows);
  const Value row = b.cast(from * dim_scalar(b, rows, DType::i64) + iota(b, {1, rows}, 1), DType::i64);
  Value y = b.call("gather", {b.reshape(x, flat), row});
  if (time == 1) {
    Integers swap(y.rank());
    std::iota(swap.begin(), swap.end(), int64_t{0});
    std::swap(swap[0], swap[1]);
    y = b.transpose(y, swap);
  }
  n.set_as(0, y, n.dtype(0));
}

void compress(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.raw(0);
  int64_t axis = 0;
  if (n.has("axis"))
    axis = n.axis(n.integer("axis"), x.rank());
  else
    x = b.reshape(x, {element_count(x.shape())});
  const Known condition = n.need(1);
  Integers positions;
  for (size_t i = 0; i < condition->elements(); ++i)
    if (condition->number(i) != 0.0) positions.push_back(static_cast<int64_t>(i));
  n.set_as(0, pick(x, axis, positions), n.dtype(0));
}

constexpr OnnxOp ops[] = {
    {"Constant", 1, constant},
    {"ConstantOfShape", 1, constant_of_shape},
    {"Shape", 1, shape_of},
    {"Size", 1, size_of},
    {"Reshape", 1, reshape},
    {"Flatten", 1, flatten},
    {"Transpose", 1, transpose},
    {"Squeeze", 1, squeeze},
    {"Unsqueeze", 1, unsqueeze},
    {"Concat", 1, concat},
    {"Split", 1, split},
    {"Slice", 1, slice},
    {"Expand", 1, expand},
    {"Tile", 1, tile},
    {"Pad", 1, pad},
    {"Range", 1, range},
    {"EyeLike", 1, eye_like},
    {"Trilu", 1, triangle},
    {"DepthToSpace", 1, depth_to_space},
    {"SpaceToDepth", 1, space_to_depth},
    {"CenterCropPad", 1, center_crop_pad},
    {"ReverseSequence", 1, reverse_sequence},
    {"Compress", 1, compress},
};

}  // namespace

std::span<const OnnxOp> onnx_shape_ops() { return ops; }

}  // namespace moru
