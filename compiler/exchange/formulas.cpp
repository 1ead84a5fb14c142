#include "compiler/exchange/formulas.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "compiler/support/error.h"

namespace moru {

Value divide_integers(Value a, Value b) { return a.builder->call("divide_integers", {a, b}); }

Value raise(Value a, Value b) {
  Builder& builder = *a.builder;
  return builder.call("power", {a, b});
}

Value softmax_along(Value x, int64_t axis, bool logarithm) {
  return x.builder->call(logarithm ? "log_softmax" : "softmax", {x}, {{"axis", axis}});
}

Value kept_sum(Value x, const std::vector<int64_t>& axes) { return x.builder->reduce("reduce_sum", x, axes, true); }
Value kept_mean(Value x, const std::vector<int64_t>& axes) { return x.builder->reduce("reduce_mean", x, axes, true); }

Value matmul(Value a, Value b) {
  Builder& builder = *a.builder;
  if (a.rank() == 0 || b.rank() == 0)
    throw CompileError({.stage = "import", .what = "multiplies matrices but got " + shape_text(a.shape()) + " and " + shape_text(b.shape())});
  const DType dtype = a.type().dtype;
  if (!is_float(dtype)) {
    const Value y = matmul(builder.cast(a, DType::f64), builder.cast(b, DType::f64));
    return builder.cast(y, dtype);
  }
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a = builder.reshape(a, {1, a.dim(0)});
  if (column) b = builder.reshape(b, {b.dim(0), 1});
  // Stacks: an extent of 1 that meets another one is left out of the operand's labels.
  const size_t stack = std::max(a.rank(), b.rank()) - 2;
  std::string a_labels, b_labels, y_labels;
  Shape a_shape, b_shape, y_shape;
  for (size_t i = 0; i < stack; ++i) {
    const char label = static_cast<char>('a' + i);
    auto extent = [&](const Value& x) {
      return i + x.rank() < stack + 2 ? Dim(1) : x.shape()[i + x.rank() - stack - 2];
    };
    const Dim from_a = extent(a), from_b = extent(b);
    const bool a_repeats = from_a.is_constant(1) && !from_b.is_constant(1),
               b_repeats = from_b.is_constant(1) && !from_a.is_constant(1);
    const bool unit = from_a.is_constant(1) && from_b.is_constant(1);
    if (!a_repeats && !unit) a_labels += label, a_shape.push_back(from_a);
    if (!b_repeats && !unit) b_labels += label, b_shape.push_back(from_b);
    if (!unit) y_labels += label;
    y_shape.push_back(a_repeats ? from_b : from_a);
  }
  for (int axis : {-2, -1}) a_shape.push_back(a.dim(axis)), b_shape.push_back(b.dim(axis));
  Value y = builder.contract(builder.reshape(a, a_shape), builder.reshape(b, b_shape),
                             a_labels + "xy," + b_labels + "yz->" + y_labels + "xz");
  if (!row) y_shape.push_back(a.dim(-2));
  if (!column) y_shape.push_back(b.dim(-1));
  return builder.reshape(y, y_shape);
}

std::vector<int64_t> axis_to_back(size_t rank, int64_t axis) {
  std::vector<int64_t> permutation(rank);
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  std::rotate(permutation.begin() + axis, permutation.begin() + axis + 1, permutation.end());
  return permutation;
}

std::vector<int64_t> inverse_permutation(const std::vector<int64_t>& permutation) {
  std::vector<int64_t> inverse(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i)
    inverse[static_cast<size_t>(permutation[i])] = static_cast<int64_t>(i);
  return inverse;
}

Value iota(Builder& b, const Shape& shape, int64_t axis, DType dtype) {
  return b.call("iota", {}, {{"shape", shape}, {"axis", axis}, {"dtype", std::string(dtype_name(dtype))}});
}

Value dim_scalar(Builder& b, Dim dim, DType dtype) {
  return dim.is_constant() ? b.constant(static_cast<double>(dim.constant()), dtype) : b.dim_value(dim, dtype);
}

Value wrapped_indices(Value indices, Dim extent) {
  Builder& b = *indices.builder;
  const DType dtype = indices.type().dtype;
  const Value count = dim_scalar(b, extent, dtype), zero = b.constant(0.0, dtype);
  return b.select(b.call("less", {indices, zero}), indices + count, indices);
}

Shape only_axis(const Shape& shape, int64_t axis) {
  if (axis < 0 || static_cast<size_t>(axis) >= shape.size())
    throw CompileError({.stage = "build", .what = "needs a tensor with an axis " + std::to_string(axis) + " but got " + shape_text(shape)});
  Shape result(shape.size(), Dim(1));
  result[static_cast<size_t>(axis)] = shape[static_cast<size_t>(axis)];
  return result;
}

Dim product(const Shape& shape, size_t begin, size_t end) {
  Dim result = 1;
  for (size_t i = begin; i < end; ++i) result *= shape[i];
  return result;
}

std::vector<Value> scan_along(Value initial, Value sequence, bool reverse,
                              const std::function<std::vector<Value>(Builder&, Value, Value)>& step) {
  Graph body;
  Builder inner(body);
  const Value carry = inner.input(initial.type());
  Type slice = sequence.type();
  slice.shape.erase(slice.shape.begin());
  const Value element = inner.input(slice);
  const std::vector<Value> results = step(inner, carry, element);
  for (const Value& result : results) inner.result(result);
  const Value inputs[] = {initial, sequence};
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  return initial.builder->call_all("scan", inputs,
                                   {{"carries", 1},
                                    {"sequences", 1},
                                    {"axes", std::vector<int64_t>{0}},
                                    {"output_axes", std::vector<int64_t>(results.size() - 1, 0)},
                                    {"reverse", reverse}},
                                   std::move(bodies));
}

Value pad_axis(Value x, int64_t axis, Dim before, Dim after, double value) {
  Builder& b = *x.builder;
  Dim front = before, back = after;
  auto negative = [](const Dim& dim) { return dim.is_constant() && dim.constant() < 0; };
  if (negative(front) || negative(back)) {
    const Dim cut_front = negative(front) ? Dim(0) - front : Dim(0), cut_back = negative(back) ? Dim(0) - back : Dim(0);
    x = b.slice(x, axis, cut_front, x.shape()[static_cast<size_t>(axis)] - cut_front - cut_back);
    if (negative(front)) front = 0;
    if (negative(back)) back = 0;
  }
  if (front.is_constant(0) && back.is_constant(0)) return x;
  return b.call("pad", {x}, {{"axis", axis}, {"before", Shape{front}}, {"after", Shape{back}}, {"value", value}});
}

Value element_positions(Value indices, Shape shape, int64_t axis) {
  Builder& b = *indices.builder;
  const Shape strides = row_major_strides(shape);
  Value sum;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool along = static_cast<int64_t>(i) == axis;
    const Value index = along ? wrapped_indices(indices, shape[i])
                              : iota(b, only_axis(indices.shape(), static_cast<int64_t>(i)), static_cast<int64_t>(i));
    const Value part = index * dim_scalar(b, strides[i], DType::i64);
    sum = sum ? sum + part : part;
  }
  return b.broadcast_to(sum, indices.shape());
}

// An element's place in the order is the number of those before it; the k-th place is found by comparison.
Ordered first_in_order(Value x, int64_t axis, const Dim& k, bool largest) {
  Builder& b = *x.builder;
  const DType dtype = x.type().dtype;
  const std::vector<int64_t> back = axis_to_back(x.rank(), axis);
  x = b.transpose(x, back);
  const Dim count = x.dim(-1);
  Shape one = x.shape(), other = x.shape();
  one.push_back(1);
  other.insert(other.end() - 1, Dim(1));
  const Value mine = b.reshape(x, one), theirs = b.reshape(x, other);
  const Value better = b.call(largest ? "greater" : "less", {theirs, mine});
  const Value earlier = b.call("less", {iota(b, {1, count}, 1), iota(b, {count, 1}, 0)});
  const Value before = b.call("logical_or", {better, b.call("logical_and", {b.call("equal", {theirs, mine}), earlier})});
  const auto last = static_cast<int64_t>(x.rank());
  const Value place = b.reduce("reduce_sum", b.cast(before, DType::i32), {last});
  const Value chosen = b.call("equal", {b.reshape(place, one), iota(b, {1, k}, 1, DType::i32)});
  const double least = dtype == DType::i32   ? -0x1p31
                       : dtype == DType::i64 ? -0x1p63
                                             : -std::numeric_limits<double>::infinity();
  const Value values = b.reduce("reduce_max", b.select(chosen, mine, b.constant(least, dtype)), {last - 1});
  const Value positions = b.reduce("reduce_max", b.select(chosen, iota(b, {count, 1}, 0), b.constant(-1.0, DType::i64)), {last - 1});
  return {b.transpose(values, inverse_permutation(back)), b.transpose(positions, inverse_permutation(back))};
}

}  // namespace moru
