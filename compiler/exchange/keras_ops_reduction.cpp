// keras.ops that go along axes: sums and their like, running sums, norms.
#include <algorithm>
#include <utility>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/keras_ops.h"

namespace moru {
namespace {

using Call = const OperationCall&;
using Values = std::vector<Value>;
using Integers = std::vector<int64_t>;

Values reduce(Call c) {
  Builder& b = c.builder();
  const std::string& name = c.name();
  Value x = c.tensor("x");
  const Integers axes = c.axes("axis", x);
  const bool keep = c.flag("keepdims", false);
  if (name == "Any" || name == "All") {
    const Value bits = b.cast(b.cast(x, DType::boolean), DType::i32);
    return {b.cast(b.reduce(name == "Any" ? "reduce_max" : "reduce_min", bits, axes, keep), DType::boolean)};
  }
  if (name == "CountNonzero") return {b.reduce("reduce_sum", b.cast(b.cast(x, DType::boolean), DType::i32), axes)};
  x = numeric(c, x);
  if (c.has("initial")) c.fail("with an initial value is unsupported");
  if (name == "Sum") return {b.reduce("reduce_sum", x, axes, keep)};
  if (name == "Max" || name == "Amax") return {b.reduce("reduce_max", x, axes, keep)};
  if (name == "Min" || name == "Amin") return {b.reduce("reduce_min", x, axes, keep)};
  if (name == "Ptp") return {b.reduce("reduce_max", x, axes, keep) - b.reduce("reduce_min", x, axes, keep)};
  if (c.has("weights")) c.fail("with weights is unsupported");
  if (!is_float(x.type().dtype)) x = b.cast(x, DType::f32);
  if (name == "Mean" || name == "Average") return {b.reduce("reduce_mean", x, axes, keep)};
  if (name == "Logsumexp") {
    const Value most = b.call("stop_gradient", {b.reduce("reduce_max", x, axes, true)});
    const Value y = b.call("log", {b.reduce("reduce_sum", b.call("exp", {x - most}), axes, true)}) + most;
    return {keep ? y : b.reduce("reduce_sum", y, axes)};
  }
  const Value away = x - kept_mean(x, axes);
  const Value variance = b.reduce("reduce_mean", away * away, axes, keep);
  return {name == "Var" ? variance : b.call("sqrt", {variance})};
}

Values moments(Call c) {
  const Value x = c.floats("x");
  const Integers axes = c.axes("axes", x);
  const bool keep = c.flag("keepdims", false);
  const Value away = x - kept_mean(x, axes);
  return {c.builder().reduce("reduce_mean", x, axes, keep), c.builder().reduce("reduce_mean", away * away, axes, keep)};
}

// x with `axes` joined into one axis in front, and the shape of the others.
std::pair<Value, Shape> axes_in_front(Value x, const Integers& axes) {
  Integers permutation = axes;
  Shape rest;
  Dim joined = 1;
  for (int64_t axis : axes) joined *= x.shape()[static_cast<size_t>(axis)];
  for (size_t i = 0; i < x.rank(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end()) {
      permutation.push_back(static_cast<int64_t>(i));
      rest.push_back(x.shape()[i]);
    }
  Shape shape = {joined};
  shape.insert(shape.end(), rest.begin(), rest.end());
  return {x.builder->reshape(x.builder->transpose(x, permutation), shape), rest};
}

Values product_of(Call c) {
  Builder& b = c.builder();
  const Value x = numeric(c, c.tensor("x"));
  const Integers axes = c.axes("axis", x);
  const auto [front, rest] = axes_in_front(x, axes);
  const Values y = scan_along(b.fill(1.0, rest, x.type().dtype), front, false,
                              [](Builder&, Value carry, Value slice) -> Values { return {carry * slice}; });
  if (!c.flag("keepdims", false)) return {y[0]};
  Shape shape = x.shape();
  for (int64_t axis : axes) shape[static_cast<size_t>(axis)] = 1;
  return {b.reshape(y[0], shape)};
}

Values cumulate(Call c) {
  Builder& b = c.builder();
  Value x = numeric(c, c.tensor("x"));
  if (c.has("dtype")) x = b.cast(x, dtype_argument(c, "dtype"));
  if (!c.has("axis")) c.fail("over all elements is unsupported", "name its axis");
  const int64_t axis = c.axis(c.integer("axis"), x.rank());
  const auto [front, rest] = axes_in_front(x, {axis});
  const bool sum = c.name() == "Cumsum";
  const Values y = scan_along(b.fill(sum ? 0.0 : 1.0, rest, x.type().dtype), front, false,
                              [&](Builder&, Value carry, Value slice) -> Values {
                                const Value next = sum ? carry + slice : carry * slice;
                                return {next, next};
                              });
  Integers back;
  for (int64_t i = 0; i < static_cast<int64_t>(x.rank()); ++i) back.push_back(i == axis ? 0 : i < axis ? i + 1 : i);
  return {b.transpose(y[1], back)};
}

Values arg_extreme(Call c) {
  Builder& b = c.builder();
  const Value x = numeric(c, c.tensor("x"));
  if (!c.has("axis")) c.fail("over all elements is unsupported", "name its axis");
  const int64_t axis = c.axis(c.integer("axis"), x.rank());
  const Value y = b.call("arg_max", {c.name() == "Argmin" ? -x : x}, {{"axis", axis}});
  if (!c.flag("keepdims", false)) return {y};
  Shape shape = y.shape();
  shape.insert(shape.begin() + axis, 1);
  return {b.reshape(y, shape)};
}

Values norm(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  const Json* ord = c.find("ord");
  const Integers axes = c.axes("axis", x);
  const bool keep = c.flag("keepdims", false);
  const bool euclidean = ord == nullptr || (ord->is_string() && *ord == "euclidean") ||
                         (ord->is_string() && *ord == "fro") || (ord->is_number() && *ord == 2 && axes.size() == 1);
  if (euclidean) return {b.call("sqrt", {b.reduce("reduce_sum", x * x, axes, keep)})};
  const Value away = b.call("abs", {x});
  if (axes.size() == 1 && ord->is_number() && *ord == 1) return {b.reduce("reduce_sum", away, axes, keep)};
  if (axes.size() == 1 && ord->is_string() && (*ord == "inf" || *ord == "Infinity"))
    return {b.reduce("reduce_max", away, axes, keep)};
  c.fail("has ord = " + json_text(*ord) + ", which is unsupported", "use 1, 2 or inf along one axis");
}

Values normalize(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  const Integers axes = c.has("axis") ? c.axes("axis", x) : Integers{static_cast<int64_t>(x.rank()) - 1};
  if (c.integer("order", 2) != 2) c.fail("is supported with order 2 only");
  const double least = c.real("epsilon", 1e-7);
  const Value squares = kept_sum(x * x, axes);
  return {x / b.call("sqrt", {b.call("maximum", {squares, b.constant(least * least, x.type().dtype)})})};
}

// Over the last axis, or several, with an optional scale and offset.
Values standardized(Call c) {
  Builder& b = c.builder();
  Value x = c.floats("x");
  const Integers axes = c.has("axis") ? c.axes("axis", x) : Integers{static_cast<int64_t>(x.rank()) - 1};
  const bool rms = c.name() == "RMSNorm" || c.flag("rms_scaling", false);
  const double epsilon = c.real("epsilon", 1e-7);
  if (!rms) x = x - kept_mean(x, axes);
  x = x * b.call("rsqrt", {kept_mean(x * x, axes) + epsilon});
  for (std::string_view factor : {"scale", "gamma"})
    if (c.has(factor)) x = x * c.floats(factor);
  return {c.has("beta") ? x + c.floats("beta") : x};
}

constexpr KerasOp ops[] = {
    {"Sum", "x", reduce},
    {"Mean", "x", reduce},
    {"Average", "x weights", reduce},
    {"Max", "x", reduce},
    {"Amax", "x", reduce},
    {"Min", "x", reduce},
    {"Amin", "x", reduce},
    {"Any", "x", reduce},
    {"All", "x", reduce},
    {"Var", "x", reduce},
    {"Std", "x", reduce},
    {"Ptp", "x", reduce},
    {"CountNonzero", "x", reduce},
    {"Logsumexp", "x", reduce},
    {"Moments", "x", moments},
    {"Prod", "x", product_of},
    {"Cumsum", "x", cumulate},
    {"Cumprod", "x", cumulate},
    {"Argmax", "x", arg_extreme},
    {"Argmin", "x", arg_extreme},
    {"Norm", "x", norm},
    {"Normalize", "x", normalize},
    {"RMSNorm", "x scale", standardized},
    {"LayerNorm", "x gamma beta", standardized},
};

}  // namespace

std::span<const KerasOp> keras_reduction_ops() { return ops; }

}  // namespace moru
