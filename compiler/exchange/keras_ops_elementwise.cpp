// keras.ops element by element: arithmetic, comparisons, activations, conversions.
#include <algorithm>
#include <limits>
#include <numbers>
#include <utility>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/keras_ops.h"

namespace moru {
namespace {

using Call = const OperationCall&;
using Values = std::vector<Value>;
using Integers = std::vector<int64_t>;

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

// The first choice whose condition holds, else the default.
Values select(Call c) {
  Builder& b = c.builder();
  const Values conditions = c.tensors("condlist");
  const Json *given = c.find("choicelist"), *otherwise = c.find("default");
  if (given == nullptr || !given->is_array() || given->size() != conditions.size()) c.fail("needs as many choices as conditions");
  const Values choices = c.tensors("choicelist");
  const DType dtype = choices[0].type().dtype;
  Value y = otherwise == nullptr ? b.constant(0.0, dtype) : b.cast(c.tensor("default"), dtype);
  for (size_t i = choices.size(); i-- > 0;) y = b.select(b.cast(conditions[i], DType::boolean), choices[i], y);
  return {y};
}

Values nan_to_num(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  const DType dtype = x.type().dtype;
  const double most = dtype == DType::f64 ? std::numeric_limits<double>::max() : static_cast<double>(std::numeric_limits<float>::max());
  const auto replaced = [&](Value in, double what, double by) {
    return b.select(b.call("equal", {in, b.constant(what, dtype)}), b.constant(by, dtype), in);
  };
  Value y = b.select(b.call("not_equal", {x, x}), b.constant(c.real("nan", 0.0), dtype), x);
  y = replaced(y, std::numeric_limits<double>::infinity(), c.real("posinf", most));
  return {replaced(y, -std::numeric_limits<double>::infinity(), c.real("neginf", -most))};
}

// The angle of (x2, x1), in all quadrants.
Values arctan2(Call c) {
  Builder& b = c.builder();
  const auto [y, x] = float_operands(c);
  const DType dtype = x.type().dtype;
  const auto number = [&](double value) { return b.constant(value, dtype); };
  const Value zero = number(0.0);
  // atan of the quotient with the greater one below, which never overflows.
  const Value ax = b.call("abs", {x}), ay = b.call("abs", {y});
  const Value more = b.call("maximum", {ax, ay}), less = b.call("minimum", {ax, ay});
  const Value none = b.call("equal", {more, zero});
  Value angle = b.call("atan", {less / b.select(none, number(1.0), more)});
  angle = b.select(b.call("greater", {ay, ax}), std::numbers::pi / 2 - angle, angle);
  angle = b.select(b.call("less", {x, zero}), std::numbers::pi - angle, angle);
  return {b.select(b.call("less", {y, zero}), -angle, angle)};
}

Values cube_root(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x");
  return {b.call("sign", {x}) * b.call("power", {b.call("abs", {x}), b.constant(1.0 / 3.0, x.type().dtype)})};
}

// sin(pi x) / (pi x), 1 at 0.
Values sinc(Call c) {
  Builder& b = c.builder();
  const Value x = c.floats("x"), one = b.constant(1.0, x.type().dtype);
  const Value none = b.call("equal", {x, zero_like(x)}), angle = b.select(none, one, x * std::numbers::pi);
  return {b.select(none, one, b.call("sin", {angle}) / angle)};
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

constexpr KerasOp ops[] = {
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
    {"Select", "condlist choicelist default", select},
    {"NanToNum", "x", nan_to_num},
    {"Arctan2", "x1 x2", arctan2},
    {"Cbrt", "x", cube_root},
    {"Sinc", "x", sinc},
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
};

}  // namespace

std::span<const KerasOp> keras_elementwise_ops() { return ops; }

}  // namespace moru
