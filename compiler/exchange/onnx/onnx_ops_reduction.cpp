// ONNX operators that reduce along axes, or run along one: sums, extrema, softmax, cumulative sums.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

// Halves are multiplied until one is left; an axis of unknown extent goes step by step.
Value product_along(Value x, int64_t axis) {
  Builder& b = *x.builder;
  const Dim extent = x.shape()[static_cast<size_t>(axis)];
  Shape kept = x.shape();
  kept[static_cast<size_t>(axis)] = 1;
  if (!extent.is_constant()) {
    Integers permutation(x.rank());
    std::iota(permutation.begin(), permutation.end(), int64_t{0});
    std::rotate(permutation.begin(), permutation.begin() + axis, permutation.begin() + axis + 1);
    const Value sequence = b.transpose(x, permutation);
    const Shape rest(sequence.shape().begin() + 1, sequence.shape().end());
    const Value y = scan_along(b.fill(1.0, rest, x.type().dtype), sequence, false,
                               [](Builder&, Value carry, Value slice) { return std::vector<Value>{carry * slice}; })[0];
    return b.reshape(y, kept);
  }
  int64_t count = extent.constant();
  if (count == 0) return b.fill(1.0, kept, x.type().dtype);
  while (count > 1) {
    const int64_t half = count / 2;
    Value y = b.slice(x, axis, 0, half) * b.slice(x, axis, half, half);
    if (count % 2 == 1) {
      const Value parts[] = {y, b.slice(x, axis, count - 1, 1)};
      y = b.concat(parts, axis);
    }
    x = y;
    count = half + count % 2;
  }
  return x;
}

Value log_of(Value x) { return x.builder->call("log", {x}); }

Value log_sum_exp(Value x, const Integers& axes) {
  Builder& b = *x.builder;
  const Value greatest = b.call("stop_gradient", {b.reduce("reduce_max", x, axes, true)});
  const double limit = static_cast<double>(std::numeric_limits<float>::max());
  const Value finite = b.call("less_equal", {b.call("abs", {greatest}), b.constant(limit, x.type().dtype)});
  const Value shift = b.select(finite, greatest, b.constant(0.0, x.type().dtype));
  return log_of(kept_sum(b.call("exp", {x - shift}), axes)) + shift;
}

void reduction(OnnxNode& n) {
  Builder& b = n.builder();
  const std::string& type = n.op_type();
  Value x = n.in(0);
  const size_t rank = x.rank();
  Integers axes;
  const bool given = n.has_input(1) || n.has("axes");
  if (n.has_input(1))
    axes = n.need_integers(1);
  else if (n.has("axes"))
    axes = n.integers("axes");
  const bool nothing = axes.empty() && n.integer("noop_with_empty_axes", 0) != 0;
  if (axes.empty() && !nothing) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), int64_t{0});
  }
  (void)given;
  axes = n.axes(axes, rank);
  const DType dtype = x.type().dtype;
  if (dtype == DType::boolean) x = b.cast(x, DType::i32);
  const bool real = is_float(x.type().dtype);
  const bool needs_real =
      type == "ReduceMean" || type == "ReduceL2" || type == "ReduceLogSum" || type == "ReduceLogSumExp";
  if (!real && needs_real) x = b.cast(x, DType::f64);
  if (type == "ReduceL1") x = b.call("abs", {x});
  if (type == "ReduceL2" || type == "ReduceSumSquare") x = x * x;
  Value y = x;
  if (type == "ReduceMean") {
    if (!nothing) y = kept_mean(x, axes);
  } else if (type == "ReduceMax" || type == "ReduceMin") {
    y = b.reduce(type == "ReduceMax" ? "reduce_max" : "reduce_min", x, axes, true);
  } else if (type == "ReduceProd") {
    for (int64_t axis : axes) y = product_along(y, axis);
  } else if (type == "ReduceLogSumExp") {
    y = log_sum_exp(x, axes);
  } else {
    y = kept_sum(x, axes);
    if (type == "ReduceL2") y = b.call("sqrt", {y});
    if (type == "ReduceLogSum") y = log_of(y);
  }
  if (n.integer("keepdims", 1) == 0) {
    Shape shape;
    for (size_t i = 0; i < rank; ++i)
      if (!std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(i))) shape.push_back(x.shape()[i]);
    y = b.reshape(y, shape);
  }
  n.set(0, b.cast(y, dtype));
}

void arg_extremum(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  const int64_t axis = n.axis(n.integer("axis", 0), x.rank());
  const Dim extent = x.shape()[static_cast<size_t>(axis)];
  if (n.op_type() == "ArgMin") {
    // ~x orders integers the other way round without the overflow of -x.
    x = is_float(x.type().dtype) ? -x : (-x) - 1.0;
  }
  const bool last = n.integer("select_last_index", 0) != 0;
  if (last) x = b.call("reverse", {x}, {{"axis", axis}});
  Value y = b.cast(b.call("arg_max", {x}, {{"axis", axis}}), DType::i64);
  if (last) y = dim_scalar(b, extent - 1, DType::i64) - y;
  if (n.integer("keepdims", 1) != 0) {
    Shape shape = x.shape();
    shape[static_cast<size_t>(axis)] = 1;
    y = b.reshape(y, shape);
  }
  n.set_as(0, y, DType::i64);
}

// Before version 13 the input was seen as a matrix whose rows end at `axis`.
void softmax(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  const Shape shape = x.shape();
  const bool logarithm = n.op_type() == "LogSoftmax", hard = n.op_type() == "Hardmax";
  int64_t axis = n.axis(n.integer("axis", n.version() < 13 ? 1 : -1), std::max<size_t>(x.rank(), 1));
  if (shape.empty()) x = b.reshape(x, {1});
  if (n.version() < 13 && !shape.empty()) {
    const auto at = static_cast<size_t>(axis);
    x = b.reshape(x, {product(shape, 0, at), product(shape, at, shape.size())});
    axis = 1;
  }
  Value y;
  if (hard) {
    Shape kept = x.shape();
    kept[static_cast<size_t>(axis)] = 1;
    const Value first = b.reshape(b.call("arg_max", {x}, {{"axis", axis}}), kept);
    y = b.cast(b.call("equal", {iota(b, only_axis(x.shape(), axis), axis, DType::i32), first}), x.type().dtype);
  } else {
    y = softmax_along(x, axis, logarithm);
  }
  n.set(0, b.reshape(y, shape));
}

void cumulative(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const int64_t axis = n.axis(static_cast<int64_t>(n.need_number(1)), x.rank());
  const bool product = n.op_type() == "CumProd", exclusive = n.integer("exclusive", 0) != 0,
             reverse = n.integer("reverse", 0) != 0;
  Integers permutation(x.rank());
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  std::rotate(permutation.begin(), permutation.begin() + axis, permutation.begin() + axis + 1);
  const Value sequence = b.transpose(x, permutation);
  const Shape rest(sequence.shape().begin() + 1, sequence.shape().end());
  const Value y = scan_along(b.fill(product ? 1.0 : 0.0, rest, x.type().dtype), sequence, reverse,
                             [&](Builder&, Value carry, Value slice) {
                               const Value next = product ? carry * slice : carry + slice;
                               return std::vector<Value>{next, exclusive ? carry : next};
                             })[1];
  n.set(0, b.transpose(y, inverse_permutation(permutation)));
}

void lp_normalization(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const Integers axes = {n.axis(n.integer("axis", -1), x.rank())};
  Value norm = n.integer("p", 2) == 1 ? kept_sum(b.call("abs", {x}), axes) : b.call("sqrt", {kept_sum(x * x, axes)});
  const Value zero = n.constant(0.0, x.type().dtype);
  norm = b.select(b.call("equal", {norm, zero}), n.constant(1.0, x.type().dtype), norm);
  n.set(0, x / norm);
}

constexpr OnnxOp ops[] = {
    {"ReduceSum", 1, reduction},       {"ReduceMean", 1, reduction},   {"ReduceMax", 1, reduction},
    {"ReduceMin", 1, reduction},       {"ReduceProd", 1, reduction},   {"ReduceL1", 1, reduction},
    {"ReduceL2", 1, reduction},        {"ReduceLogSum", 1, reduction}, {"ReduceLogSumExp", 1, reduction},
    {"ReduceSumSquare", 1, reduction}, {"ArgMax", 1, arg_extremum},    {"ArgMin", 1, arg_extremum},
    {"Softmax", 1, softmax},           {"LogSoftmax", 1, softmax},     {"Hardmax", 1, softmax},
    {"CumSum", 1, cumulative},         {"CumProd", 1, cumulative},     {"LpNormalization", 1, lp_normalization},
};

}  // namespace

std::span<const OnnxOp> onnx_reduction_ops() { return ops; }

}  // namespace moru
