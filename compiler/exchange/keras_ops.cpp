// The operations of keras.ops that may be nodes of functional models, by their class names, as ops of Moru.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <optional>
#include <utility>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/keras_operation.h"
#include "compiler/exchange/keras_values.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

using Call = const OperationCall&;
using Values = std::vector<Value>;
using Integers = std::vector<int64_t>;

Value zero_like(Value x) { return x.builder->constant(0.0, x.type().dtype); }

// ---- element by element ----

struct Renamed {
  std::string_view keras, moru;
};

constexpr Renamed float_ops[] = {
    {"Ceil", "ceil"},   {"Cos", "cos"},     {"Erf", "erf"},
    {"Exp", "exp"},     {"Expm1", "expm1"}, {"Floor", "floor"},
    {"Log", "log"},     {"Log1p", "log1p"}, {"Reciprocal", "reciprocal"},
    {"Rsqrt", "rsqrt"}, {"Sin", "sin"},     {"Sqrt", "sqrt"},
    {"Tanh", "tanh"},   {"Arctan", "atan"}, {"Sigmoid", "sigmoid"},
};
constexpr Renamed number_ops[] = {
    {"Absolute", "abs"}, {"Abs", "abs"}, {"Fabs", "abs"}, {"Negative", "neg"}, {"Sign", "sign"}};
constexpr Renamed comparisons[] = {{"Equal", "equal"},     {"NotEqual", "not_equal"},
                                   {"Less", "less"},       {"LessEqual", "less_equal"},
                                   {"Greater", "greater"}, {"GreaterEqual", "greater_equal"}};
constexpr Renamed logic_ops[] = {
    {"LogicalAnd", "logical_and"}, {"LogicalOr", "logical_or"}, {"LogicalXor", "not_equal"}};
constexpr Renamed binary_ops[] = {{"Add", "add"},         {"Subtract", "sub"},    {"Multiply", "mul"},
                                  {"Maximum", "maximum"}, {"Minimum", "minimum"}, {"Fmax", "maximum"},
                                  {"Fmin", "minimum"}};

template <size_t N>
std::string_view moru_name(const Renamed (&names)[N], std::string_view keras) {
  return std::find_if(std::begin(names), std::end(names), [&](const Renamed& r) { return r.keras == keras; })->moru;
}

Values float_op(Call c) { return {c.builder().call(moru_name(float_ops, c.name()), {c.floats("x")})}; }

Value numeric(Call c, Value x) { return x.type().dtype == DType::boolean ? c.builder().cast(x, DType::i32) : x; }

Values number_op(Call c) { return {c.builder().call(moru_name(number_ops, c.name()), {numeric(c, c.tensor("x"))})}; }

Values comparison(Call c) {
  const Values x = c.operands({"x1", "x2"});
  const bool boolean = x[0].type().dtype == DType::boolean;
  const auto as_number = [&](Value v) { return boolean ? c.builder().cast(v, DType::i32) : v; };
  return {c.builder().call(moru_name(comparisons, c.name()), {as_number(x[0]), as_number(x[1])})};
}

Values logic(Call c) {
  Builder& b = c.builder();
  const Values x = c.operands({"x1", "x2"});
  Value p = b.cast(x[0], DType::boolean), q = b.cast(x[1], DType::boolean);
  if (c.name() == "LogicalXor") {
    p = b.cast(p, DType::i32);
    q = b.cast(q, DType::i32);
  }
  return {b.call(moru_name(logic_ops, c.name()), {p, q})};
}

Values logical_not(Call c) {
  return {c.builder().call("logical_not", {c.builder().cast(c.tensor("x"), DType::boolean)})};
}

Values binary(Call c) {
  const Values x = c.operands({"x1", "x2"});
  return {c.builder().call(moru_name(binary_ops, c.name()), {numeric(c, x[0]), numeric(c, x[1])})};
}

// As floats, f32 where both are integers.
std::pair<Value, Value> float_operands(Call c) {
  const Values x = c.operands({"x1", "x2"});
  const DType dtype = is_float(x[0].type().dtype) ? x[0].type().dtype : DType::f32;
  return {c.builder().cast(x[0], dtype), c.builder().cast(x[1], dtype)};
}

Values divide(Call c) {
  const auto [a, d] = float_operands(c);
  if (c.name() != "DivideNoNan") return {a / d};
  Builder& b = c.builder();
  const Value none = b.call("equal", {d, zero_like(d)});
  return {b.select(none, zero_like(a), a / b.select(none, b.constant(1.0, d.type().dtype), d))};
}

Values power(Call c) {
  const Values x = c.operands({"x1", "x2"});
  // Whole exponents keep the gradient of bases below 0.
  const Json* exponent = c.find("x2");
  if (exponent->is_number() && exponent->get<double>() == 2.0) return {x[0] * x[0]};
  const auto [a, e] = float_operands(c);
  return {c.builder().cast(raise(a, e), x[0].type().dtype)};
}

// The remainder has the divisor's sign.
Values modulo(Call c) {
  Builder& b = c.builder();
  const Values x = c.operands({"x1", "x2"});
  if (is_float(x[0].type().dtype)) {
    const Value quotient = b.call("floor", {x[0] / x[1]});
    return {c.name() == "FloorDivide" ? quotient : x[0] - quotient * x[1]};
  }
  const Value p = numeric(c, x[0]), q = numeric(c, x[1]);
  const Value quotient = divide_integers(p, q), rest = p - quotient * q;
  const Value apart = b.call("less", {b.call("sign", {rest}) * b.call("sign", {q}), zero_like(rest)});
  return {c.name() == "FloorDivide" ? quotient - b.cast(apart, quotient.type().dtype)
                                    : b.select(apart, rest + q, rest)};
}

Values square(Call c) {
  const Value x = numeric(c, c.tensor("x"));
  return {x * x};
}

// Formulas of e^x and log(x).
Values exponential_form(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  const std::string& name = c.name();
  const auto log = [&](Value v) { return b.call("log", {v}); };
  const auto root = [&](Value v) { return b.call("sqrt", {v}); };
  if (name == "Log2") return {log(x) * std::numbers::log2e};
  if (name == "Log10") return {log(x) * std::numbers::log10e};
  if (name == "Exp2") return {b.call("exp", {x * std::numbers::ln2})};
  if (name == "Arcsinh") {  // of |x|, where no digits cancel
    const Value away = b.call("abs", {x});
    return {b.call("sign", {x}) * log(away + root(away * away + 1.0))};
  }
  if (name == "Arccosh") return {log(x + root(x * x - 1.0))};
  if (name == "Arctanh") return {(b.call("log1p", {x}) - b.call("log1p", {-x})) * 0.5};
  const Value grown = b.call("exp", {x}), shrunk = b.call("exp", {-x});
  return {(name == "Sinh" ? grown - shrunk : grown + shrunk) * 0.5};
}

Values angle(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  if (c.name() == "Tan") return {b.call("sin", {x}) / b.call("cos", {x})};
  if (c.name() == "Deg2rad") return {x * (std::numbers::pi / 180.0)};
  if (c.name() == "Rad2deg") return {x * (180.0 / std::numbers::pi)};
  const Value sine = b.call("atan", {x * b.call("rsqrt", {1.0 - x * x})});
  return {c.name() == "Arcsin" ? sine : std::numbers::pi / 2 - sine};
}

Values classify(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  const Value infinite = b.call("equal", {b.call("abs", {x}), b.constant(INFINITY, x.type().dtype)});
  const Value no_number = b.call("not_equal", {x, x});
  if (c.name() == "Isnan") return {no_number};
  if (c.name() == "Isinf") return {infinite};
  return {b.call("logical_not", {b.call("logical_or", {infinite, no_number})})};
}

Values trunc(Call c) {
  const Value x = c.floats("x");
  return {c.builder().call("sign", {x}) * c.builder().call("floor", {c.builder().call("abs", {x})})};
}

Values round(Call c) {
  const Value x = c.floats("x");
  const double scale = std::pow(10.0, static_cast<double>(c.integer("decimals", 0)));
  return {c.builder().call("round", {x * scale}) / scale};
}

Values clip(Call c) {
  const Values x = c.operands({"x", "x_min", "x_max"});
  return {c.builder().call("minimum",
                           {c.builder().call("maximum", {numeric(c, x[0]), numeric(c, x[1])}), numeric(c, x[2])})};
}

Values where(Call c) {
  if (!c.has("x1") || !c.has("x2")) c.fail("without two values is unsupported: how many it finds is not known before");
  const Values x = c.operands({"x1", "x2"});
  return {c.builder().select(c.builder().cast(c.tensor("condition"), DType::boolean), x[0], x[1])};
}

Values log_add_exp(Call c) {
  Builder& b = c.builder();
  const auto [x, y] = float_operands(c);
  return {b.call("maximum", {x, y}) + b.call("softplus", {-b.call("abs", {x - y})})};
}

Values hypot(Call c) {
  const auto [x, y] = float_operands(c);
  return {c.builder().call("sqrt", {x * x + y * y})};
}

DType dtype_argument(Call c, std::string_view argument) {
  const Json* value = c.find(argument);
  std::string name;
  try {
    if (value != nullptr) name = import_dtype_name(*value);
  } catch (const KerasValueError& error) {
    c.fail("attribute '" + std::string(argument) + "' " + error.what);
  }
  if (name == "float16" || name == "bfloat16" || name == "float") name = "float32";  // all is computed in f32 at least
  if (name == "int" || name == "int8" || name == "int16" || name == "uint8" || name == "uint16") name = "int32";
  if (name == "uint32") name = "int64";
  const std::optional<DType> dtype = find_keras_dtype(name);
  if (!dtype) c.fail("has the dtype '" + name + "', which is unsupported");
  return *dtype;
}

Values cast(Call c) { return {c.builder().cast(c.tensor("x"), dtype_argument(c, "dtype"))}; }

Values converted(Call c) {
  const Value x = c.tensor("x");
  return {c.has("dtype") ? c.builder().cast(x, dtype_argument(c, "dtype")) : x};
}

Values stop_gradient(Call c) { return {c.builder().call("stop_gradient", {c.tensor("variable")})}; }

Values filled(Call c) {
  Builder& b = c.builder();
  const Value x = c.tensor("x");
  const DType dtype = c.has("dtype") ? dtype_argument(c, "dtype") : x.type().dtype;
  if (c.name() == "FullLike") return {b.broadcast_to(b.cast(c.tensor("fill_value"), dtype), x.shape())};
  return {b.fill(c.name() == "OnesLike" ? 1.0 : 0.0, x.shape(), dtype)};
}

// ---- activations ----

struct Activation {
  std::string_view keras, moru;
  std::string_view attribute = {}, more = {};  // reals, or the axis, or approximate
};
constexpr Activation activations[] = {
    {"Relu", "relu"},
    {"ReLU", "relu"},
    {"Relu6", "relu6"},
    {"SparseSigmoid", "sparse_sigmoid"},
    {"Softplus", "softplus"},
    {"Softsign", "softsign"},
    {"SoftShrink", "soft_shrink", "threshold"},
    {"SparsePlus", "sparse_plus"},
    {"Silu", "silu"},
    {"Squareplus", "squareplus", "b"},
    {"LogSigmoid", "log_sigmoid"},
    {"LeakyRelu", "leaky_relu", "negative_slope"},
    {"HardSigmoid", "hard_sigmoid"},
    {"HardSilu", "hard_silu"},
    {"Elu", "elu", "alpha"},
    {"Selu", "selu"},
    {"Celu", "celu", "alpha"},
    {"TanhShrink", "tanh_shrink"},
    {"HardTanh", "hard_tanh"},
    {"HardShrink", "hard_shrink", "threshold"},
    {"Threshold", "threshold", "threshold", "default_value"},
    {"Mish", "mish"},
};

Values activation(Call c) {
  const auto found = std::find_if(std::begin(activations), std::end(activations),
                                  [&](const Activation& a) { return a.keras == c.name(); });
  Attributes attributes;
  for (std::string_view name : {found->attribute, found->more})
    if (!name.empty() && c.has(name)) attributes.set(std::string(name), c.real(name));
  if (c.name() == "ReLU")
    for (const char* name : {"negative_slope", "max_value", "threshold"})
      if (c.has(name)) attributes.set(name, c.real(name));
  return {c.builder().call(found->moru, {c.floats("x")}, attributes)};
}

Values gelu(Call c) {
  return {c.builder().call("gelu", {c.floats("x")}, {{"approximate", c.flag("approximate", true)}})};
}

Values along_axis(Call c) {
  const Value x = c.floats("x");
  Integers axes = c.has("axis") ? c.integers("axis") : Integers{-1};
  if (c.name() == "Softmax") {
    const std::vector<Value> y = c.builder().call_all("softmax_layer", std::vector<Value>{x}, {{"axis", axes}});
    return y;
  }
  const std::string_view name = c.name() == "LogSoftmax"  ? "log_softmax"
                                : c.name() == "Sparsemax" ? "sparsemax"
                                                          : "glu";
  return {c.builder().call(name, {x}, {{"axis", c.axis(axes.at(0), x.rank())}})};
}

// ---- reductions ----

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
  const double epsilon = c.real("epsilon", c.name() == "RMSNorm" ? 1e-7 : 1e-3);
  if (!rms) x = x - kept_mean(x, axes);
  x = x * b.call("rsqrt", {kept_mean(x * x, axes) + epsilon});
  for (std::string_view factor : {"scale", "gamma"})
    if (c.has(factor)) x = x * c.floats(factor);
  return {c.has("beta") ? x + c.floats("beta") : x};
}

// ---- shapes ----

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
  if (counts.size() != 1 || counts[0] < 1) c.fail("is supported with one positive number of repeats only");
  return {repeated(x, c.axis(c.integer("axis"), x.rank()), counts[0], true)};
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

Values pad(Call c) {
  Value x = c.tensor("x");
  if (c.text("mode", "constant") != "constant") c.fail("is supported with mode 'constant' only");
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
    x = pad_axis(x, static_cast<int64_t>(i), before, after, value);
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

// ---- indexing ----

// Rows of x along an axis, for indices of any shape.
Value taken(Value x, int64_t axis, Value indices) {
  Builder& b = *x.builder;
  Integers front = {axis};
  for (int64_t i = 0; i < static_cast<int64_t>(x.rank()); ++i)
    if (i != axis) front.push_back(i);
  const Value rows =
      b.call("gather", {b.transpose(x, front), wrapped_indices(indices, x.shape()[static_cast<size_t>(axis)])});
  const auto more = static_cast<int64_t>(indices.rank());
  Integers back;
  for (int64_t i = 0; i < axis; ++i) back.push_back(more + i);
  for (int64_t i = 0; i < more; ++i) back.push_back(i);
  for (int64_t i = axis + 1; i < static_cast<int64_t>(x.rank()); ++i) back.push_back(more + i - 1);
  return b.transpose(rows, back);
}

Values take(Call c) {
  const Value x = c.tensor("x");
  if (!c.has("axis")) c.fail("from all elements is unsupported", "name its axis");
  Value indices = c.tensor("indices");
  if (!is_integer(indices.type().dtype)) indices = c.builder().cast(indices, DType::i32);
  return {taken(x, c.axis(c.integer("axis"), x.rank()), indices)};
}

struct Range {
  std::optional<int64_t> start, stop;
  int64_t step = 1;
};

std::optional<Range> range_of(Call c, const Json& key) {
  if (!key.is_object() || !key.contains("class_name") || key["class_name"] != "__slice__") return std::nullopt;
  Range range;
  const Json config = key.value("config", Json::object());
  const auto number = [&](const char* name) -> std::optional<int64_t> {
    if (!config.contains(name) || config[name].is_null()) return std::nullopt;
    if (!config[name].is_number_integer())
      c.fail("has a slice with " + std::string(name) + " = " + json_text(config[name]));
    return config[name].get<int64_t>();
  };
  range.start = number("start");
  range.stop = number("stop");
  range.step = number("step").value_or(1);
  if (range.step == 0) c.fail("has a slice whose step is 0");
  return range;
}

// x[start:stop:step] along one axis, numpy's rule. Where the extent is open, ends are counted as far as that is
// possible.
Value sliced(Call c, Value x, int64_t axis, Range range) {
  Builder& b = c.builder();
  if (range.step < 0) {
    const bool whole = !range.start && !range.stop;
    if (!whole && !x.shape()[static_cast<size_t>(axis)].is_constant())
      c.fail("goes backwards through part of an open axis");
    x = b.call("reverse", {x}, {{"axis", axis}});
    const Dim& extent = x.shape()[static_cast<size_t>(axis)];
    const auto mirrored = [&](int64_t at) {
      const int64_t n = extent.constant(), front = std::clamp(at < 0 ? at + n : at, int64_t{-1}, n - 1);
      return n - 1 - front;
    };
    return sliced(c, x, axis,
                  {range.start ? std::optional(mirrored(*range.start)) : std::nullopt,
                   range.stop ? std::optional(mirrored(*range.stop)) : std::nullopt, -range.step});
  }
  const Dim extent = x.shape()[static_cast<size_t>(axis)];
  const auto place = [&](std::optional<int64_t> at, const Dim& otherwise) -> Dim {
    if (!at) return otherwise;
    if (extent.is_constant()) return std::clamp(*at < 0 ? *at + extent.constant() : *at, int64_t{0}, extent.constant());
    return *at < 0 ? extent + *at : Dim(*at);
  };
  const Dim begin = place(range.start, 0), end = place(range.stop, extent);
  const Dim size = end - begin;
  if (size.is_constant() && size.constant() < 1)
    c.fail("leaves nothing of axis " + std::to_string(axis) + " of " + shape_text(x.shape()));
  if (!(begin.is_constant(0) && end == extent)) x = b.slice(x, axis, begin, size);
  if (range.step == 1) return x;
  x = b.call("window", {x},
             {{"axis", axis},
              {"count", Shape{ceil_div(size, range.step)}},
              {"size", 1},
              {"stride", range.step},
              {"dilation", 1}});
  Shape shape = x.shape();
  shape.erase(shape.begin() + axis + 1);
  return b.reshape(x, shape);
}

Values get_item(Call c) {
  Builder& b = c.builder();
  Value x = c.tensor("x");
  const Json* given = c.find("key");
  if (given == nullptr) c.fail("lacks its argument 'key'");
  const Json keys = given->is_array() ? *given : Json::array({*given});
  const auto is_ellipsis = [](const Json& key) {
    return key.is_object() && key.contains("class_name") && key["class_name"] == "__ellipsis__";
  };
  const auto is_tensor = [](const Json& key) { return key.is_object() && key.contains(tensor_key); };
  size_t named = 0;
  for (const Json& key : keys) named += key.is_null() || is_ellipsis(key) ? 0 : 1;
  if (named > x.rank()) c.fail("names " + std::to_string(named) + " axes of " + shape_text(x.shape()));
  int64_t axis = 0;
  for (const Json& key : keys) {
    if (key.is_null()) {
      Shape shape = x.shape();
      shape.insert(shape.begin() + axis++, 1);
      x = b.reshape(x, shape);
    } else if (is_ellipsis(key)) {
      size_t behind = 0;  // the axes that what stands behind the dots names, from the end
      for (size_t i = keys.size(); i-- > 0 && !is_ellipsis(keys[i]);) behind += keys[i].is_null() ? 0 : 1;
      axis = static_cast<int64_t>(x.rank() - behind);
    } else if (const std::optional<Range> range = range_of(c, key)) {
      x = sliced(c, x, axis++, *range);
    } else if (key.is_number_integer()) {
      const int64_t at = key.get<int64_t>();
      const Dim& extent = x.shape()[static_cast<size_t>(axis)];
      if (extent.is_constant() && (at >= extent.constant() || at < -extent.constant()))
        c.fail("takes element " + std::to_string(at) + " of axis " + std::to_string(axis) + " of " +
               shape_text(x.shape()));
      x = b.slice(x, axis, at < 0 ? extent + at : Dim(at), 1);
      Shape shape = x.shape();
      shape.erase(shape.begin() + axis);
      x = b.reshape(x, shape);
    } else if (is_tensor(key) && keys.size() == 1) {
      const Value indices = c.tensor("key");
      if (!is_integer(indices.type().dtype)) c.fail("takes elements by a mask, so how many is not known before");
      x = taken(x, axis, indices);
    } else {
      c.fail("has the key " + json_text(key) + ", which is unsupported");
    }
  }
  return {x};
}

Values one_hot(Call c) {
  Value x = c.tensor("x");
  Builder& b = c.builder();
  if (!is_integer(x.type().dtype)) x = b.cast(x, DType::i32);
  const DType dtype = c.has("dtype") ? dtype_argument(c, "dtype") : DType::f32;
  Value y = b.call("one_hot", {x}, {{"depth", c.integer("num_classes")}, {"dtype", "f32"}});
  const int64_t axis = c.axis(c.integer("axis", -1), y.rank());
  Integers permutation;
  for (int64_t i = 0; i + 1 < static_cast<int64_t>(y.rank()); ++i) permutation.push_back(i);
  permutation.insert(permutation.begin() + axis, static_cast<int64_t>(y.rank()) - 1);
  return {b.cast(b.transpose(y, permutation), dtype)};
}

// ---- products ----

Values product(Call c) {
  const Values x = c.operands({"x1", "x2"});
  return {matmul(x[0], x[1])};
}

// Keras' dot: over the last axis of a and the last but one of b; without broadcasting of the others.
Values dot(Call c) {
  const Values x = c.operands({"x1", "x2"});
  if (x[0].rank() == 0 || x[1].rank() == 0) return {x[0] * x[1]};
  if (x[1].rank() <= 2) return {matmul(x[0], x[1])};
  std::string a, d, y;
  for (size_t i = 0; i + 1 < x[0].rank(); ++i) y += static_cast<char>('a' + static_cast<int>(i));
  a = y + 'Z';
  for (size_t i = 0; i < x[1].rank(); ++i) {
    const char label = static_cast<char>('A' + static_cast<int>(i));
    d += i + 2 == x[1].rank() ? 'Z' : label;
    if (i + 2 != x[1].rank()) y += label;
  }
  return {c.builder().contract(x[0], x[1], a + "," + d + "->" + y)};
}

// One or two operands, dots in front or within, each letter once in an operand.
Values einsum(Call c) {
  Values x = c.tensors("operands");
  std::string text;
  for (char letter : c.text("subscripts", "")) {
    if (letter != ' ') text += letter;
  }
  const auto bad = [&](const std::string& why) { c.fail("has the subscripts '" + text + "', " + why); };
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos) bad("which do not say the result");
  std::vector<std::string> sides(1);
  for (char letter : text.substr(0, arrow)) {
    if (letter == ',')
      sides.emplace_back();
    else
      sides.back() += letter;
  }
  std::string result = text.substr(arrow + 2);
  if (sides.size() != x.size()) bad("but " + std::to_string(x.size()) + " operands");
  // Dots become letters that are free, those at the back shared.
  size_t most = 0;
  for (size_t i = 0; i < sides.size(); ++i)
    if (sides[i].find("...") != std::string::npos) {
      if (x[i].rank() + 3 < sides[i].size()) bad("which name more axes than " + shape_text(x[i].shape()) + " has");
      most = std::max(most, x[i].rank() + 3 - sides[i].size());
    }
  std::string free;
  for (char letter = 'Z'; free.size() < most && letter >= 'A'; --letter)
    if (text.find(letter) == std::string::npos) free = letter + free;
  const auto fill = [&](std::string& side, size_t count) {
    const size_t at = side.find("...");
    if (at != std::string::npos) side.replace(at, 3, free.substr(free.size() - count));
  };
  for (size_t i = 0; i < sides.size(); ++i) {
    if (sides[i].find("...") != std::string::npos) fill(sides[i], x[i].rank() + 3 - sides[i].size());
    if (sides[i].size() != x[i].rank()) bad("which do not fit " + shape_text(x[i].shape()));
  }
  fill(result, most);
  Builder& b = c.builder();
  const auto whole = [&](const Value& v) { return is_float(v.type().dtype) ? v : b.cast(v, DType::f32); };
  for (Value& v : x) v = whole(v);
  while (x.size() > 2) {  // from the left, keeping what anything later needs
    std::string needed = result, kept;
    for (size_t i = 2; i < sides.size(); ++i) needed += sides[i];
    for (char letter : sides[0] + sides[1])
      if (needed.find(letter) != std::string::npos && kept.find(letter) == std::string::npos) kept += letter;
    x[1] = b.contract(x[0], x[1], sides[0] + "," + sides[1] + "->" + kept);
    sides[1] = kept;
    x.erase(x.begin());
    sides.erase(sides.begin());
  }
  if (x.size() == 2) {
    // An extent of 1 of one operand that meets another one of the other is left out.
    for (size_t i = 0; i < 2; ++i) {
      Shape shape;
      std::string labels;
      for (size_t axis = 0; axis < sides[i].size(); ++axis) {
        const size_t other = sides[1 - i].find(sides[i][axis]);
        const bool repeats =
            x[i].shape()[axis].is_constant(1) && other != std::string::npos && !x[1 - i].shape()[other].is_constant(1);
        if (repeats) continue;
        shape.push_back(x[i].shape()[axis]);
        labels += sides[i][axis];
      }
      if (labels != sides[i]) x[i] = b.reshape(x[i], shape);
      sides[i] = labels;
    }
    return {b.contract(x[0], x[1], sides[0] + "," + sides[1] + "->" + result)};
  }
  Integers summed, permutation;
  std::string left;
  for (size_t i = 0; i < sides[0].size(); ++i) {
    if (result.find(sides[0][i]) == std::string::npos)
      summed.push_back(static_cast<int64_t>(i));
    else
      left += sides[0][i];
  }
  const Value y = summed.empty() ? x[0] : b.reduce("reduce_sum", x[0], summed);
  for (char letter : result) {
    const size_t at = left.find(letter);
    if (at == std::string::npos) bad(std::string("where '") + letter + "' is in no operand");
    permutation.push_back(static_cast<int64_t>(at));
  }
  return {b.transpose(y, permutation)};
}

// ---- layers without weights ----

Values as_layer(Call c, std::string_view op, Value x, Attributes attributes) {
  if (c.has("data_format")) attributes.set("data_format", c.text("data_format", ""));
  return c.builder().call_all(op, std::vector<Value>{x}, std::move(attributes));
}

Values pool(Call c) {
  const Value x = c.floats("inputs");
  if (x.rank() < 3 || x.rank() > 5)
    c.fail("needs an input [batch, space..., channels] but got " + shape_text(x.shape()));
  const std::string rank = std::to_string(x.rank() - 2) + "d";
  if (c.name().starts_with("Adaptive"))
    return as_layer(c, (c.name() == "AdaptiveMaxPool" ? "adaptive_max_pooling_" : "adaptive_average_pooling_") + rank,
                    x, {{"output_size", c.integers("output_size")}});
  Attributes attributes = {{"pool_size", c.integers("pool_size")}, {"padding", c.text("padding", "valid")}};
  if (c.has("strides")) attributes.set("strides", c.integers("strides"));
  return as_layer(c, (c.name() == "MaxPool" ? "max_pooling_" : "average_pooling_") + rank, x, std::move(attributes));
}

Values resize(Call c) {
  const Integers size = c.integers("size");
  if (size.size() != 2) c.fail("needs a height and a width as 'size'");
  Attributes attributes = {
      {"height", size[0]}, {"width", size[1]}, {"interpolation", c.text("interpolation", "bilinear")}};
  for (const char* name : {"antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio"})
    attributes.set(name, c.flag(name, false));
  attributes.set("fill_mode", c.text("fill_mode", "constant"));
  attributes.set("fill_value", c.real("fill_value", 0.0));
  return as_layer(c, "resizing", c.floats("images"), std::move(attributes));
}

// ---- the table ----

struct Entry {
  std::string_view name;
  std::string_view signature;  // of its call: the arguments in order
  Values (*build)(Call);
};

constexpr Entry entries[] = {
    {"Ceil", "x", float_op},
    {"Cos", "x", float_op},
    {"Erf", "x", float_op},
    {"Exp", "x", float_op},
    {"Expm1", "x", float_op},
    {"Floor", "x", float_op},
    {"Log", "x", float_op},
    {"Log1p", "x", float_op},
    {"Reciprocal", "x", float_op},
    {"Rsqrt", "x", float_op},
    {"Sin", "x", float_op},
    {"Sqrt", "x", float_op},
    {"Tanh", "x", float_op},
    {"Arctan", "x", float_op},
    {"Sigmoid", "x", float_op},
    {"Absolute", "x", number_op},
    {"Abs", "x", number_op},
    {"Fabs", "x", number_op},
    {"Negative", "x", number_op},
    {"Sign", "x", number_op},
    {"Square", "x", square},
    {"Log2", "x", exponential_form},
    {"Log10", "x", exponential_form},
    {"Exp2", "x", exponential_form},
    {"Sinh", "x", exponential_form},
    {"Cosh", "x", exponential_form},
    {"Arcsinh", "x", exponential_form},
    {"Arccosh", "x", exponential_form},
    {"Arctanh", "x", exponential_form},
    {"Tan", "x", angle},
    {"Arcsin", "x", angle},
    {"Arccos", "x", angle},
    {"Deg2rad", "x", angle},
    {"Rad2deg", "x", angle},
    {"Isnan", "x", classify},
    {"Isinf", "x", classify},
    {"Isfinite", "x", classify},
    {"Trunc", "x", trunc},
    {"Round", "x", round},
    {"LogicalNot", "x", logical_not},
    {"Add", "x1 x2", binary},
    {"Subtract", "x1 x2", binary},
    {"Multiply", "x1 x2", binary},
    {"Maximum", "x1 x2", binary},
    {"Minimum", "x1 x2", binary},
    {"Fmax", "x1 x2", binary},
    {"Fmin", "x1 x2", binary},
    {"Divide", "x1 x2", divide},
    {"TrueDivide", "x1 x2", divide},
    {"DivideNoNan", "x1 x2", divide},
    {"Power", "x1 x2", power},
    {"Mod", "x1 x2", modulo},
    {"FloorDivide", "x1 x2", modulo},
    {"Equal", "x1 x2", comparison},
    {"NotEqual", "x1 x2", comparison},
    {"Less", "x1 x2", comparison},
    {"LessEqual", "x1 x2", comparison},
    {"Greater", "x1 x2", comparison},
    {"GreaterEqual", "x1 x2", comparison},
    {"LogicalAnd", "x1 x2", logic},
    {"LogicalOr", "x1 x2", logic},
    {"LogicalXor", "x1 x2", logic},
    {"Logaddexp", "x1 x2", log_add_exp},
    {"Hypot", "x1 x2", hypot},
    {"Where", "condition x1 x2", where},
    {"Clip", "x x_min x_max", clip},
    {"Cast", "x dtype", cast},
    {"SaturateCast", "x dtype", cast},
    {"ConvertToTensor", "x", converted},
    {"Copy", "x", converted},
    {"StopGradient", "variable", stop_gradient},
    {"ZerosLike", "x", filled},
    {"OnesLike", "x", filled},
    {"FullLike", "x fill_value", filled},
    {"Relu", "x", activation},
    {"ReLU", "x", activation},
    {"Relu6", "x", activation},
    {"SparseSigmoid", "x", activation},
    {"Softplus", "x", activation},
    {"Softsign", "x", activation},
    {"SoftShrink", "x", activation},
    {"SparsePlus", "x", activation},
    {"Silu", "x", activation},
    {"Squareplus", "x", activation},
    {"LogSigmoid", "x", activation},
    {"LeakyRelu", "x", activation},
    {"HardSigmoid", "x", activation},
    {"HardSilu", "x", activation},
    {"Elu", "x", activation},
    {"Selu", "x", activation},
    {"Celu", "x", activation},
    {"TanhShrink", "x", activation},
    {"HardTanh", "x", activation},
    {"HardShrink", "x", activation},
    {"Threshold", "x", activation},
    {"Mish", "x", activation},
    {"Gelu", "x", gelu},
    {"Softmax", "x", along_axis},
    {"LogSoftmax", "x", along_axis},
    {"Sparsemax", "x", along_axis},
    {"Glu", "x", along_axis},
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
    {"Take", "x indices", take},
    {"GetItem", "x key", get_item},
    {"OneHot", "x", one_hot},
    {"Matmul", "x1 x2", product},
    {"Dot", "x1 x2", dot},
    {"Einsum", "*operands", einsum},
    {"MaxPool", "inputs", pool},
    {"AveragePool", "inputs", pool},
    {"AdaptiveMaxPool", "inputs", pool},
    {"AdaptiveAveragePool", "inputs", pool},
    {"Resize", "images", resize},
};

const Entry* find_entry(std::string_view class_name) {
  const auto found =
      std::find_if(std::begin(entries), std::end(entries), [&](const Entry& e) { return e.name == class_name; });
  return found == std::end(entries) ? nullptr : &*found;
}

}  // namespace

bool knows_keras_operation(std::string_view class_name) { return find_entry(class_name) != nullptr; }

Graph keras_operation_graph(const KerasOperation& operation, std::span<const Type> tensors, const std::string& node) {
  const Entry* entry = find_entry(operation.class_name);
  check_internal(entry != nullptr, "an unknown operation was read");
  Graph graph;
  Builder builder(graph, node);
  Values inputs;
  for (const Type& type : tensors) inputs.push_back(builder.input(type));
  const OperationCall call(operation, entry->signature, builder, std::move(inputs), node);
  for (const Value& result : entry->build(call)) builder.result(result);
  return graph;
}

}  // namespace moru
