// keras.ops that move elements: reshaping, joining, splitting, repeating, padding.
#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <utility>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/keras_ops.h"

namespace moru {
namespace {

using Call = const OperationCall&;
using Values = std::vector<Value>;
using Integers = std::vector<int64_t>;

Values expand_dims(Call c) {
  const Value x = c.tensor("x");
  Integers axes = c.integers("axis");
  const size_t rank = x.rank() + axes.size();
  for (int64_t& axis : axes) axis = c.axis(axis, rank);
  std::sort(axes.begin(), axes.end());
  Shape shape = x.shape();
  for (int64_t axis : axes) shape.insert(shape.begin() + axis, 1);
  return {c.builder().reshape(x, shape)};
}

Values squeeze(Call c) {
  const Value x = c.tensor("x");
  Integers axes;
  if (c.has("axis"))
    axes = c.axes("axis", x);
  else
    for (size_t i = 0; i < x.rank(); ++i)
      if (x.shape()[i].is_constant(1)) axes.push_back(static_cast<int64_t>(i));
  Shape shape = x.shape();
  for (size_t i = axes.size(); i-- > 0;) {
    if (!shape[static_cast<size_t>(axes[i])].is_constant(1))
      c.fail("removes an axis of " + shape_text(x.shape()) + " that is not 1");
    shape.erase(shape.begin() + axes[i]);
  }
  return {c.builder().reshape(x, shape)};
}

// One extent may be -1. An open batch is written as -1 or null too: the first one then stands for it.
Values reshape(Call c) {
  const Value x = c.tensor("x");
  const Integers given = c.integers(c.has("newshape") ? "newshape" : "shape");
  Shape shape;
  std::optional<size_t> open;
  Dim rest = element_count(x.shape());
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i] >= 0) {
      shape.push_back(given[i]);
    } else if (i == 0 && std::count(given.begin(), given.end(), -1) > 1) {
      shape.push_back(x.dim(0));
    } else if (!open) {
      open = i;
      shape.push_back(1);
      continue;
    } else {
      c.fail("leaves more than one extent open");
    }
    if (shape.back().is_constant(0)) c.fail("has an extent of 0");
    const Dim divided = floor_div(rest, shape.back());
    if (divided * shape.back() != rest)
      c.fail("cannot bring " + shape_text(x.shape()) + " into the shape " +
             shape_text(Shape(given.begin(), given.end())));
    rest = divided;
  }
  if (open) shape[*open] = rest;
  if (!open && !rest.is_constant(1))
    c.fail("cannot bring " + shape_text(x.shape()) + " into the shape " + shape_text(shape));
  return {c.builder().reshape(x, shape)};
}

Values transpose(Call c) {
  const Value x = c.tensor("x");
  Integers permutation(x.rank());
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  if (c.name() == "Transpose") {
    std::reverse(permutation.begin(), permutation.end());
    if (c.has("axes")) {
      c.axes("axes", x);  // checks that none is named twice
      permutation = c.integers("axes");
      if (permutation.size() != x.rank())
        c.fail("names " + std::to_string(permutation.size()) + " axes of " + shape_text(x.shape()));
      for (int64_t& axis : permutation) axis = c.axis(axis, x.rank());
    }
  } else if (c.name() == "Swapaxes") {
    std::swap(permutation[static_cast<size_t>(c.axis(c.integer("axis1"), x.rank()))],
              permutation[static_cast<size_t>(c.axis(c.integer("axis2"), x.rank()))]);
  } else {
    const Integers from = c.integers("source"), to = c.integers("destination");
    if (from.size() != to.size()) c.fail("has other axes as source than as destination");
    c.axes("source", x);
    c.axes("destination", x);
    Integers placed(x.rank(), -1), others;
    for (size_t i = 0; i < from.size(); ++i)
      placed[static_cast<size_t>(c.axis(to[i], x.rank()))] = c.axis(from[i], x.rank());
    for (int64_t axis : permutation)
      if (std::find(placed.begin(), placed.end(), axis) == placed.end()) others.push_back(axis);
    auto next = others.begin();
    for (int64_t& axis : placed)
      if (axis < 0) axis = *next++;
    permutation = placed;
  }
  return {c.builder().transpose(x, permutation)};
}

Values concatenate(Call c) {
  const Values xs = c.tensors("xs");
  return {c.builder().concat(xs, c.axis(c.integer("axis", 0), xs[0].rank()))};
}

Values stack(Call c) {
  Values xs = c.tensors("x");
  const int64_t axis = c.axis(c.integer("axis", 0), xs[0].rank() + 1);
  for (Value& x : xs) {
    Shape shape = x.shape();
    shape.insert(shape.begin() + axis, 1);
    x = c.builder().reshape(x, shape);
  }
  return {c.builder().concat(xs, axis)};
}

int64_t known_extent(Call c, Value x, int64_t axis) {
  const Dim& extent = x.shape()[static_cast<size_t>(axis)];
  if (!extent.is_constant())
    c.fail("needs a known extent on axis " + std::to_string(axis) + " but got " + shape_text(x.shape()));
  return extent.constant();
}

Values split(Call c) {
  const Value x = c.tensor("x");
  const int64_t axis = c.axis(c.integer("axis", 0), x.rank());
  const int64_t extent = known_extent(c, x, axis);
  const Json* given = c.find("indices_or_sections");
  Integers sizes;
  if (given != nullptr && given->is_number_integer()) {
    const int64_t parts = given->get<int64_t>();
    if (parts < 1 || extent % parts != 0)
      c.fail("cannot split " + shape_text(x.shape()) + " into " + std::to_string(parts) + " equal parts");
    sizes.assign(static_cast<size_t>(parts), extent / parts);
  } else {
    int64_t begin = 0;
    Integers ends = c.integers("indices_or_sections");
    ends.push_back(extent);
    for (int64_t end : ends) {
      if (end <= begin || end > extent) c.fail("splits " + shape_text(x.shape()) + " at " + std::to_string(end));
      sizes.push_back(end - begin);
      begin = end;
    }
  }
  return c.builder().split(x, axis, sizes);
}

Values unstack(Call c) {
  const Value x = c.tensor("x");
  const int64_t axis = c.axis(c.integer("axis", 0), x.rank());
  Values parts = c.builder().split(x, axis, Integers(static_cast<size_t>(known_extent(c, x, axis)), 1));
  Shape shape = x.shape();
  shape.erase(shape.begin() + axis);
  for (Value& part : parts) part = c.builder().reshape(part, shape);
  return parts;
}

// Open extents, -1, are those of x.
Values broadcast_to(Call c) {
  const Value x = c.tensor("x");
  const Integers given = c.integers("shape");
  if (given.size() < x.rank()) c.fail("has fewer axes than its input " + shape_text(x.shape()));
  Shape shape;
  for (size_t i = 0; i < given.size(); ++i) {
    const size_t behind = given.size() - i;
    if (given[i] >= 0)
      shape.push_back(given[i]);
    else if (behind <= x.rank())
      shape.push_back(x.shape()[x.rank() - behind]);
    else
      c.fail("leaves an extent open that its input does not have");
  }
  return {c.builder().broadcast_to(x, shape)};
}

// Each element, or all of x, so and so often along one axis.
Value repeated(Value x, int64_t axis, int64_t count, bool each) {
  Shape split = x.shape(), repeats, joined = x.shape();
  split.insert(split.begin() + axis + (each ? 1 : 0), 1);
  repeats = split;
  repeats[static_cast<size_t>(axis + (each ? 1 : 0))] = count;
  joined[static_cast<size_t>(axis)] *= Dim(count);
  Builder& b = *x.builder;
  return b.reshape(b.broadcast_to(b.reshape(x, split), repeats), joined);
}

Values repeat(Call c) {
  const Value x = c.tensor("x");
  if (!c.has("axis")) c.fail("over all elements is unsupported", "name its axis");
  const Integers counts = c.integers("repeats");
  const int64_t axis = c.axis(c.integer("axis"), x.rank());
  if (std::ranges::any_of(counts, [](int64_t count) { return count < 0; })) c.fail("repeats an element less than 0 times");
  if (counts.size() == 1 && counts[0] > 0) return {repeated(x, axis, counts[0], true)};
  if (static_cast<int64_t>(counts.size()) != known_extent(c, x, axis))
    c.fail("has " + std::to_string(counts.size()) + " numbers of repeats for axis " + std::to_string(axis) + " of " + shape_text(x.shape()));
  Values parts;
  for (size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) parts.push_back(repeated(c.builder().slice(x, axis, static_cast<int64_t>(i), 1), axis, counts[i], true));
  if (parts.empty()) c.fail("repeats nothing");
  return {c.builder().concat(parts, axis)};
}

Values tile(Call c) {
  Value x = c.tensor("x");
  Integers counts = c.integers("repeats");
  Shape shape = x.shape();
  while (shape.size() < counts.size()) shape.insert(shape.begin(), 1);
  while (counts.size() < shape.size()) counts.insert(counts.begin(), 1);
  x = c.builder().reshape(x, shape);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 1) c.fail("repeats its input " + std::to_string(counts[i]) + " times");
    if (counts[i] > 1) x = repeated(x, static_cast<int64_t>(i), counts[i], false);
  }
  return {x};
}

Values flip(Call c) {
  Value x = c.tensor("x");
  for (int64_t axis : c.axes("axis", x)) x = c.builder().call("reverse", {x}, {{"axis", axis}});
  return {x};
}

Values roll(Call c) {
  Value x = c.tensor("x");
  if (!c.has("axis")) c.fail("over all elements is unsupported", "name its axis");
  const Integers axes = c.integers("axis"), shifts = c.integers("shift");
  if (axes.size() != shifts.size()) c.fail("has other numbers of axes than of shifts");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = c.axis(axes[i], x.rank()), extent = known_extent(c, x, axis);
    const int64_t shift = ((shifts[i] % extent) + extent) % extent;
    if (shift == 0) continue;
    const Values parts = c.builder().split(x, axis, {extent - shift, shift});
    const Value swapped[] = {parts[1], parts[0]};
    x = c.builder().concat(swapped, axis);
  }
  return {x};
}

// Mirrored at its ends: reflect leaves out the element at the end itself.
Value mirrored(Call c, Value x, int64_t axis, int64_t before, int64_t after, bool reflect) {
  Builder& b = c.builder();
  const Dim& extent = x.shape()[static_cast<size_t>(axis)];
  const int64_t skipped = reflect ? 1 : 0;
  if (extent.is_constant() && std::max(before, after) + skipped > extent.constant())
    c.fail("mirrors more of axis " + std::to_string(axis) + " than there is in " + shape_text(x.shape()));
  Values parts;
  const auto add = [&](const Dim& begin, int64_t size) {
    if (size > 0) parts.push_back(b.call("reverse", {b.slice(x, axis, begin, size)}, {{"axis", axis}}));
  };
  add(skipped, before);
  parts.push_back(x);
  add(extent - after - skipped, after);
  return b.concat(parts, axis);
}

Values pad(Call c) {
  Value x = c.tensor("x");
  const std::string mode = c.text("mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "symmetric") c.fail("is supported with the modes constant, reflect and symmetric only");
  const double value = c.real("constant_values", 0.0);
  if (!c.has("pad_width")) c.fail("lacks its argument 'pad_width'");
  const Json& widths = *c.find("pad_width");
  const auto ends = [&](size_t axis) -> std::array<int64_t, 2> {
    const Json* at = &widths;
    if (at->is_array() && !at->empty() && (*at)[0].is_array()) at = &(*at)[at->size() == 1 ? 0 : axis];
    if (at->is_number_integer()) return {at->get<int64_t>(), at->get<int64_t>()};
    if (!at->is_array() || at->size() != 2 || !(*at)[0].is_number_integer() || !(*at)[1].is_number_integer())
      c.fail("has pad_width = " + json_text(widths));
    return {(*at)[0].get<int64_t>(), (*at)[1].get<int64_t>()};
  };
  if (widths.is_array() && !widths.empty() && widths[0].is_array() && widths.size() != 1 && widths.size() != x.rank())
    c.fail("has pad_width = " + json_text(widths) + " for " + shape_text(x.shape()));
  for (size_t i = 0; i < x.rank(); ++i) {
    const auto [before, after] = ends(i);
    if (before < 0 || after < 0) c.fail("has pad_width = " + json_text(widths));
    x = mode == "constant" ? pad_axis(x, static_cast<int64_t>(i), before, after, value)
                           : mirrored(c, x, static_cast<int64_t>(i), before, after, mode == "reflect");
  }
  return {x};
}

Values triangle(Call c) {
  Builder& b = c.builder();
  const Value x = c.tensor("x");
  if (x.rank() < 2) c.fail("needs matrices but got " + shape_text(x.shape()));
  const Value row = iota(b, {x.dim(-2), 1}, 0, DType::i32), column = iota(b, {1, x.dim(-1)}, 1, DType::i32);
  const Value diagonal = row + static_cast<double>(c.integer("k", 0));
  return {b.select(b.call(c.name() == "Tril" ? "less_equal" : "greater_equal", {column, diagonal}), x, zero_like(x))};
}

// Joined along the second axis, vectors along their one; vstack: as rows of one.
Values stack_along(Call c) {
  Values xs = c.tensors("xs");
  const size_t least = c.name() == "Hstack" ? 1 : 2;
  for (Value& x : xs) {
    Shape shape = x.shape();
    while (shape.size() < least) shape.insert(shape.begin(), 1);
    x = c.builder().reshape(x, shape);
  }
  return {c.builder().concat(xs, c.name() == "Vstack" || xs[0].rank() == 1 ? 0 : 1)};
}

// x with two axes at the back, and their elements where column - row is `offset`, 0 elsewhere.
struct Diagonal {
  Value masked;
  int64_t rows = 0, columns = 0, offset = 0, first = 0, count = 0;  // row of the first element of the diagonal, its length
};
Diagonal diagonal_of(Call c) {
  Builder& b = c.builder();
  Value x = numeric(c, c.tensor("x"));
  const int64_t axis1 = c.axis(c.integer("axis1", 0), x.rank()), axis2 = c.axis(c.integer("axis2", 1), x.rank());
  if (axis1 == axis2) c.fail("names an axis twice");
  Diagonal d{.masked = {}, .rows = known_extent(c, x, axis1), .columns = known_extent(c, x, axis2), .offset = c.integer("offset", 0)};
  Integers order;
  for (int64_t i = 0; i < static_cast<int64_t>(x.rank()); ++i)
    if (i != axis1 && i != axis2) order.push_back(i);
  order.push_back(axis1);
  order.push_back(axis2);
  x = b.transpose(x, order);
  d.first = std::max<int64_t>(0, -d.offset);
  d.count = std::min(d.rows - d.first, d.columns - std::max<int64_t>(0, d.offset));
  if (d.count < 1) c.fail("has no diagonal at offset " + std::to_string(d.offset) + " in " + shape_text(c.tensor("x").shape()));
  const Value row = iota(b, {d.rows, 1}, 0, DType::i32), column = iota(b, {1, d.columns}, 1, DType::i32);
  d.masked = b.select(b.call("equal", {column, row + static_cast<double>(d.offset)}), x, zero_like(x));
  return d;
}

Values diagonal(Call c) {
  const Diagonal d = diagonal_of(c);
  const auto rank = static_cast<int64_t>(d.masked.rank());
  return {c.builder().slice(c.builder().reduce("reduce_sum", d.masked, {rank - 1}), rank - 2, d.first, d.count)};
}

Values trace(Call c) {
  const Diagonal d = diagonal_of(c);
  const auto rank = static_cast<int64_t>(d.masked.rank());
  return {c.builder().reduce("reduce_sum", d.masked, {rank - 2, rank - 1})};
}

Values diff(Call c) {
  Builder& b = c.builder();
  Value x = numeric(c, c.tensor("a"));
  const int64_t axis = c.axis(c.integer("axis", -1), x.rank()), times = c.integer("n", 1);
  if (times < 0) c.fail("is asked for differences of order " + std::to_string(times));
  for (int64_t i = 0; i < times; ++i) {
    const Dim rest = x.shape()[static_cast<size_t>(axis)] - 1;
    if (rest.is_constant() && rest.constant() < 1) c.fail("leaves nothing of axis " + std::to_string(axis) + " of " + shape_text(c.tensor("a").shape()));
    x = b.slice(x, axis, 1, rest) - b.slice(x, axis, 0, rest);
  }
  return {x};
}

constexpr KerasOp ops[] = {
    {"Hstack", "xs", stack_along},
    {"Vstack", "xs", stack_along},
    {"Diagonal", "x", diagonal},
    {"Trace", "x", trace},
    {"Diff", "a", diff},
    {"ExpandDims", "x", expand_dims},
    {"Squeeze", "x", squeeze},
    {"Reshape", "x", reshape},
    {"Transpose", "x", transpose},
    {"Swapaxes", "x", transpose},
    {"Moveaxis", "x", transpose},
    {"Concatenate", "xs", concatenate},
    {"Stack", "x", stack},
    {"Split", "x", split},
    {"Unstack", "x", unstack},
    {"BroadcastTo", "x", broadcast_to},
    {"Repeat", "x", repeat},
    {"Tile", "x", tile},
    {"Flip", "x", flip},
    {"Roll", "x", roll},
    {"Pad", "x constant_values", pad},
    {"Tril", "x", triangle},
    {"Triu", "x", triangle},
};

}  // namespace

std::span<const KerasOp> keras_shape_ops() { return ops; }

}  // namespace moru
