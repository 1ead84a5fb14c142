// ONNX operators that read or write at positions given by data: gather, scatter, one-hot, the k greatest.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

Value indices_of(OnnxNode& n, size_t input) { return n.builder().cast(n.in(input), DType::i64); }

void gather(OnnxNode& n) {
  Builder& b = n.builder();
  Value table = n.raw(0);
  const int64_t axis = n.axis(n.integer("axis", 0), table.rank());
  Integers to_front(table.rank());
  std::iota(to_front.begin(), to_front.end(), int64_t{0});
  std::rotate(to_front.begin(), to_front.begin() + axis, to_front.begin() + axis + 1);
  table = b.transpose(table, to_front);
  const Dim count = table.dim(0);
  const Value indices = wrapped_indices(indices_of(n, 1), count);
  const Value rows = b.call("gather", {table, indices});
  // [indices..., before axis..., behind axis...] -> [before..., indices..., behind...]
  const auto index_rank = static_cast<int64_t>(indices.rank());
  Integers order;
  for (int64_t i = 0; i < axis; ++i) order.push_back(index_rank + i);
  for (int64_t i = 0; i < index_rank; ++i) order.push_back(i);
  for (int64_t i = index_rank + axis; i < static_cast<int64_t>(rows.rank()); ++i) order.push_back(i);
  n.set_as(0, b.transpose(rows, order), n.dtype(0));
}

void gather_elements(OnnxNode& n) {
  Builder& b = n.builder();
  const Value data = n.raw(0);
  const Value positions = element_positions(indices_of(n, 1), data.shape(), n.axis(n.integer("axis", 0), data.rank()));
  n.set_as(0, b.call("gather", {b.reshape(data, {element_count(data.shape())}), positions}), n.dtype(0));
}

// The last axis of the indices names a place in the first axes of `shape`, behind `batch_dims` axes of their own.
Value tuple_positions(OnnxNode& n, Value indices, Shape shape, size_t batch_dims) {
  Builder& b = n.builder();
  if (indices.rank() == 0 || !indices.dim(-1).is_constant()) n.fail("needs indices with a last axis of a known extent");
  const auto width = static_cast<size_t>(indices.dim(-1).constant());
  if (batch_dims + width > shape.size())
    n.fail("has indices of " + std::to_string(width) + " axes into " + shape_text(shape));
  Shape outer(indices.shape().begin(), indices.shape().end() - 1);
  if (batch_dims > outer.size())
    n.fail("has " + std::to_string(batch_dims) + " batch axes but indices " + shape_text(indices.shape()));
  const auto last = static_cast<int64_t>(indices.rank()) - 1;
  Value sum = b.fill(0.0, outer, DType::i64);
  Dim stride = 1;
  for (size_t k = width; k-- > 0;) {
    const Value part = b.reshape(b.slice(indices, last, static_cast<int64_t>(k), 1), outer);
    sum = sum + wrapped_indices(part, shape[batch_dims + k]) * dim_scalar(b, stride, DType::i64);
    stride *= shape[batch_dims + k];
  }
  for (size_t k = batch_dims; k-- > 0;) {
    sum = sum + iota(b, only_axis(outer, static_cast<int64_t>(k)), static_cast<int64_t>(k)) *
                    dim_scalar(b, stride, DType::i64);
    stride *= shape[k];
  }
  return sum;
}

void gather_nd(OnnxNode& n) {
  Builder& b = n.builder();
  const Value data = n.raw(0), indices = indices_of(n, 1);
  if (n.integer("batch_dims", 0) < 0) n.fail("has " + std::to_string(n.integer("batch_dims")) + " batch axes");
  const auto batch_dims = static_cast<size_t>(n.integer("batch_dims", 0));
  const Shape shape = data.shape();
  const Value positions = tuple_positions(n, indices, shape, batch_dims);
  const size_t named = batch_dims + static_cast<size_t>(indices.dim(-1).constant());
  Shape rows(shape.begin() + static_cast<std::ptrdiff_t>(named), shape.end());
  rows.insert(rows.begin(), product(shape, 0, named));
  n.set_as(0, b.call("gather", {b.reshape(data, rows), positions}), n.dtype(0));
}

// data: [rows, ...]; positions: [count]; updates: [count, ...]. Duplicate positions are ONNX's to forbid unless a
// reduction joins them.
Value scatter_rows(OnnxNode& n, Value data, Value positions, Value updates, const std::string& reduction) {
  Builder& b = n.builder();
  const DType dtype = data.type().dtype;
  const bool boolean = dtype == DType::boolean;
  if (boolean) data = b.cast(data, DType::i32), updates = b.cast(updates, DType::i32);
  const Dim rows = data.dim(0);
  if (reduction == "none" || reduction == "add") {
    const Value sums = b.call("scatter_add", {positions, updates}, {{"rows", Shape{rows}}});
    if (reduction == "add") return b.cast(data + sums, dtype);
    const Value hits =
        b.call("scatter_add", {positions, b.fill(1.0, positions.shape(), DType::i32)}, {{"rows", Shape{rows}}});
    Shape column(data.rank(), Dim(1));
    column[0] = rows;
    return b.cast(b.select(b.call("greater", {b.reshape(hits, column), b.constant(0.0, DType::i32)}), sums, data),
                  dtype);
  }
  const std::string op = reduction == "max" ? "maximum" : reduction == "min" ? "minimum" : "mul";
  // One update after the other.
  Graph body;
  Builder inner(body);
  const Value carry = inner.input(data.type());
  const Value position = inner.input({DType::i64, {}});
  Type row = updates.type();
  row.shape.erase(row.shape.begin());
  const Value update = inner.input(row);
  Shape column(data.rank(), Dim(1)), spread = row.shape;
  column[0] = rows;
  spread.insert(spread.begin(), Dim(1));
  const Value here = inner.call("equal", {iota(inner, column, 0), position});
  inner.result(inner.select(here, inner.call(op, {carry, inner.reshape(update, spread)}), carry));
  const Value inputs[] = {data, positions, updates};
  std::vector<Graph> bodies;
  bodies.push_back(std::move(body));
  const std::vector<Value> y =
      b.call_all("scan", inputs, {{"carries", 1}, {"sequences", 2}, {"axes", Integers{0, 0}}}, std::move(bodies));
  return b.cast(y[0], dtype);
}

void scatter_elements(OnnxNode& n) {
  Builder& b = n.builder();
  const Value data = n.in(0), indices = indices_of(n, 1), updates = n.in(2);
  const Value positions = element_positions(indices, data.shape(), n.axis(n.integer("axis", 0), data.rank()));
  const Dim count = element_count(indices.shape());
  const Value y = scatter_rows(n, b.reshape(data, {element_count(data.shape())}), b.reshape(positions, {count}),
                               b.reshape(updates, {count}), n.choice("reduction", {"none", "add", "mul", "max", "min"}));
  n.set(0, b.reshape(y, data.shape()));
}

void scatter_nd(OnnxNode& n) {
  Builder& b = n.builder();
  const Value data = n.in(0), indices = indices_of(n, 1), updates = n.in(2);
  const Shape shape = data.shape();
  const Value positions = tuple_positions(n, indices, shape, 0);
  const auto named = static_cast<size_t>(indices.dim(-1).constant());
  const Dim count = element_count(positions.shape());
  Shape rows(shape.begin() + static_cast<std::ptrdiff_t>(named), shape.end()), parts = rows;
  rows.insert(rows.begin(), product(shape, 0, named));
  parts.insert(parts.begin(), count);
  const Value y = scatter_rows(n, b.reshape(data, rows), b.reshape(positions, {count}), b.reshape(updates, parts),
                               n.choice("reduction", {"none", "add", "mul", "max", "min"}));
  n.set(0, b.reshape(y, shape));
}

// A cache [batch, ..., time, ...] with `update` written from each sample's own place on.
void tensor_scatter(OnnxNode& n) {
  Builder& b = n.builder();
  const Value cache = n.raw(0), update = n.raw(1);
  const size_t rank = cache.rank();
  const int64_t axis = n.axis(n.integer("axis", -2), rank);
  if (axis == 0) n.fail("cannot write along the batch axis");
  Integers order = {0, axis};
  for (int64_t i = 1; i < static_cast<int64_t>(rank); ++i)
    if (i != axis) order.push_back(i);
  const Value past = b.transpose(cache, order), added = b.transpose(update, order);
  const Dim batch = past.dim(0), length = past.dim(1), count = added.dim(1);
  Value begin = n.has_input(2) ? b.reshape(indices_of(n, 2), {batch, 1}) : b.fill(0.0, {batch, 1}, DType::i64);
  Value from = iota(b, {1, length}, 1) - begin;
  const Value zero = n.constant(0.0, DType::i64);
  if (n.choice("mode", {"linear", "circular"}) == "circular")
    from = b.select(b.call("less", {from, zero}), from + dim_scalar(b, length, DType::i64), from);
  const Value last = dim_scalar(b, count - 1, DType::i64);
  const Value written =
      b.call("logical_and", {b.call("greater_equal", {from, zero}), b.call("less_equal", {from, last})});
  const Value inside = b.call("minimum", {b.call("maximum", {from, zero}), last});
  Shape flat(added.shape().begin() + 2, added.shape().end()), mask(rank, Dim(1));
  flat.insert(flat.begin(), batch * count);
  mask[0] = batch;
  mask[1] = length;
  const Value rows =
      b.call("gather", {b.reshape(added, flat), inside + iota(b, {batch, 1}, 0) * dim_scalar(b, count, DType::i64)});
  n.set_as(0, b.transpose(b.select(b.reshape(written, mask), rows, past), inverse_permutation(order)), n.dtype(0));
}

void one_hot(OnnxNode& n) {
  Builder& b = n.builder();
  Value indices = indices_of(n, 0);
  const auto depth = static_cast<int64_t>(n.need_number(1));
  const Value values = n.in(2);
  const int64_t axis = n.axis(n.integer("axis", -1), indices.rank() + 1);
  indices = wrapped_indices(indices, depth);
  Shape shape = indices.shape(), classes(indices.rank() + 1, Dim(1));
  shape.insert(shape.begin() + axis, Dim(1));
  classes[static_cast<size_t>(axis)] = depth;
  const Value hot = b.call("equal", {b.reshape(indices, shape), iota(b, classes, axis)});
  const Value off = b.reshape(b.slice(values, 0, 0, 1), {}), on = b.reshape(b.slice(values, 0, 1, 1), {});
  n.set_as(0, b.select(hot, on, off), n.dtype(2));
}

void top_k(OnnxNode& n) {
  const int64_t axis = n.axis(n.integer("axis", -1), n.rank(0));
  const Dim count = n.in(0).shape()[static_cast<size_t>(axis)];
  Dim k;
  if (n.version() < 10)
    k = n.integer("k");
  else
    k = n.need_dim(1);
  if (k.is_constant() && (k.constant() < 0 || (count.is_constant() && k.constant() > count.constant())))
    n.fail("asks for " + k.text() + " of " + count.text() + " elements");
  const Ordered found = first_in_order(n.in(0), axis, k, n.integer("largest", 1) != 0);
  n.set(0, found.values);
  n.set_as(1, found.positions, DType::i64);
}

constexpr OnnxOp ops[] = {
    {"Gather", 1, gather},
    {"GatherElements", 1, gather_elements},
    {"GatherND", 1, gather_nd},
    {"Scatter", 1, scatter_elements},
    {"ScatterElements", 1, scatter_elements},
    {"ScatterND", 1, scatter_nd},
    {"TensorScatter", 1, tensor_scatter},
    {"OneHot", 1, one_hot},
    {"TopK", 1, top_k},
};

}  // namespace

std::span<const OnnxOp> onnx_indexing_ops() { return ops; }

}  // namespace moru
