// ONNX operators that work element by element: arithmetic, comparison, logic, activations, casts.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

void identity(OnnxNode& n) { n.set_as(0, n.raw(0), n.dtype(0)); }

// Operators that are ops of Moru.
std::string_view unary_name(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 19> names = {{{"Abs", "abs"},
                                                                                    {"Ceil", "ceil"},
                                                                                    {"Cos", "cos"},
                                                                                    {"Erf", "erf"},
                                                                                    {"Exp", "exp"},
                                                                                    {"Floor", "floor"},
                                                                                    {"Log", "log"},
                                                                                    {"Neg", "neg"},
                                                                                    {"Not", "logical_not"},
                                                                                    {"Reciprocal", "reciprocal"},
                                                                                    {"Relu", "relu"},
                                                                                    {"Round", "round"},
                                                                                    {"Sigmoid", "sigmoid"},
                                                                                    {"Sign", "sign"},
                                                                                    {"Sin", "sin"},
                                                                                    {"Softplus", "softplus"},
                                                                                    {"Softsign", "softsign"},
                                                                                    {"Sqrt", "sqrt"},
                                                                                    {"Tanh", "tanh"}}};
  for (const auto& [onnx_name, name] : names)
    if (onnx_name == type) return name;
  return {};
}

void unary(OnnxNode& n) {
  const Value x = n.in(0);
  if (!is_float(x.type().dtype) && n.op_type() == "Relu")
    return n.set(0, n.builder().call("maximum", {x, n.constant(0.0, x.type().dtype)}));
  n.set(0, n.builder().call(unary_name(n.op_type()), {x}));
}

// Before version 7 the second operand was aligned at `axis` of the first, where `broadcast` was set.
Value second_operand(OnnxNode& n) {
  const Value b = n.in(1);
  if (n.version() >= 7 || n.integer("broadcast", 0) == 0 || !n.has("axis")) return b;
  const auto axis = static_cast<size_t>(n.axis(n.integer("axis"), n.rank(0)));
  if (axis + b.rank() > n.rank(0)) n.fail("cannot align its second input at axis " + std::to_string(axis));
  Shape shape = b.shape();
  shape.resize(n.rank(0) - axis, Dim(1));
  return n.builder().reshape(b, shape);
}

void arithmetic(OnnxNode& n) {
  const Value a = n.in(0), b = second_operand(n);
  const std::string& type = n.op_type();
  if (type == "Add") n.set(0, a + b);
  if (type == "Sub") n.set(0, a - b);
  if (type == "Mul") n.set(0, a * b);
  if (type == "Div") n.set(0, is_float(a.type().dtype) ? a / b : divide_integers(a, b));
}

// The remainder has the divisor's sign, with fmod the dividend's.
void modulo(OnnxNode& n) {
  Builder& builder = n.builder();
  const Value a = n.in(0), b = n.in(1);
  if (!is_float(a.type().dtype)) {
    const Value rest = a - divide_integers(a, b) * b;
    if (n.integer("fmod", 0) != 0) return n.set(0, rest);
    const Value zero = n.constant(0.0, a.type().dtype);
    const Value apart = builder.call("less", {builder.call("sign", {rest}) * builder.call("sign", {b}), zero});
    return n.set(0, builder.select(apart, rest + b, rest));
  }
  if (n.integer("fmod", 0) == 0) return n.set(0, a - builder.call("floor", {a / b}) * b);
  // The quotient of two floats may round up to a whole number, which the sign of the rest shows.
  const Value quotient = a / b;
  const Value toward_zero = builder.call("sign", {quotient}) * builder.call("floor", {builder.call("abs", {quotient})});
  n.set(0, a - toward_zero * b);
}

void power(OnnxNode& n) {
  Builder& builder = n.builder();
  Value a = n.in(0);
  const Value b = second_operand(n);
  const DType dtype = a.type().dtype;
  if (is_float(dtype)) return n.set(0, builder.call("power", {a, builder.cast(b, dtype)}));
  a = builder.cast(a, DType::f64);
  const Value y = builder.call("power", {a, builder.cast(b, DType::f64)}), whole = builder.call("round", {y});
  // A power that is whole but for the last digits is that number; others are truncated.
  const Value close = builder.call("less_equal", {builder.call("abs", {y - whole}), 1e-12 * builder.call("abs", {y})});
  n.set(0, builder.cast(builder.select(close, whole, y), dtype));
}

void comparison(OnnxNode& n) {
  const std::string& type = n.op_type();
  std::string_view op = type == "Equal"         ? "equal"
                        : type == "Less"        ? "less"
                        : type == "LessOrEqual" ? "less_equal"
                        : type == "Greater"     ? "greater"
                                                : "greater_equal";
  Value a = n.in(0), b = second_operand(n);
  if (n.dtype(0).narrow == Narrow::u64 && op != "equal") {  // held in i64: the order of unsigned numbers
    const Value lowest = n.materialize(*known_integer(INT64_MIN));
    a = a + lowest;
    b = b + lowest;
  }
  n.set_as(0, n.builder().call(op, {a, b}), DType::boolean);
}

void logic(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0), y = second_operand(n);
  if (n.op_type() == "And") n.set(0, b.call("logical_and", {x, y}));
  if (n.op_type() == "Or") n.set(0, b.call("logical_or", {x, y}));
  if (n.op_type() == "Xor") n.set(0, b.call("not_equal", {x, y}));
}

void bits(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const std::string& type = n.op_type();
  if (type == "BitwiseNot") return n.set(0, -x - 1.0);
  if (type != "BitShift") {
    const char* op = type == "BitwiseAnd" ? "bitwise_and" : type == "BitwiseOr" ? "bitwise_or" : "bitwise_xor";
    return n.set(0, b.call(op, {x, n.in(1)}));
  }
  const std::string direction = n.string("direction");
  if (direction != "LEFT" && direction != "RIGHT") n.fail("has the unknown direction '" + direction + "'");
  const Value wide = b.cast(x, DType::i64), count = b.cast(n.in(1), DType::i64);
  const Value y = b.call(direction == "LEFT" ? "shift_left" : "shift_right", {wide, count});
  n.set(0, b.cast(y, x.type().dtype));
}

void variadic(OnnxNode& n) {
  Builder& b = n.builder();
  const std::string& type = n.op_type();
  Value y = n.in(0);
  for (size_t i = 1; i < n.inputs(); ++i) {
    const Value x = n.in(i);
    if (type == "Max") y = b.call("maximum", {y, x});
    if (type == "Min") y = b.call("minimum", {y, x});
    if (type == "Sum" || type == "Mean") y = y + x;
  }
  if (type == "Mean") y = y * (1.0 / static_cast<double>(n.inputs()));
  n.set(0, y);
}

void where(OnnxNode& n) { n.set_as(0, n.builder().select(n.in(0), n.in(1), n.in(2)), n.dtype(1)); }

void clip(OnnxNode& n) {
  Builder& b = n.builder();
  Value y = n.in(0);
  const DType dtype = y.type().dtype;
  auto limit = [&](size_t input, const char* attribute) -> Value {
    if (n.version() < 11) return n.has(attribute) ? n.constant(n.real(attribute), dtype) : Value{};
    return n.has_input(input) ? b.reshape(n.in(input), {}) : Value{};
  };
  if (const Value low = limit(1, "min")) y = b.call("maximum", {y, low});
  if (const Value high = limit(2, "max")) y = b.call("minimum", {y, high});
  n.set(0, y);
}

void cast_to(OnnxNode& n, ElementType to) {
  Builder& b = n.builder();
  // Narrow integers wrap, whatever they come from.
  const Value x = n.in(0);
  if (is_narrow_integer(to.narrow) && is_float(x.type().dtype)) return n.set_as(0, b.cast(x, DType::i64), to);
  if (to.narrow != Narrow::none && stored_bits(to) <= 8 && is_float(to.dtype))
    return n.set_as(0, n.narrowed(x, to.narrow, narrow_rule(n)), to);
  n.set_as(0, x, to);
}

void cast(OnnxNode& n) {
  if (n.has("to") && n.integer("to") == 0 && !n.string("to", "").empty())
    n.fail("casts to a type by name, which is not supported");
  cast_to(n, dtype_of_onnx(static_cast<int32_t>(n.integer("to")), "the attribute 'to'"));
}

void cast_like(OnnxNode& n) { cast_to(n, n.dtype(1)); }

// Integers as wide as narrow floats are their bits only in files; here they are computed in wider types.
void bit_cast(OnnxNode& n) {
  Builder& b = n.builder();
  const ElementType from = n.dtype(0), to = dtype_of_onnx(static_cast<int32_t>(n.integer("to")), "the attribute 'to'");
  const int64_t bits = stored_bits(from);
  if (bits != stored_bits(to)) n.fail("takes the bits of elements for wider or narrower ones");
  Value x = n.in(0);
  if (from.narrow == to.narrow && from.dtype == to.dtype) return n.set(0, x);
  const bool floats = is_float(from.dtype) != is_float(to.dtype);
  if (bits < 32 && (floats || is_float(from.dtype)))
    n.fail("takes the bits of floats of " + std::to_string(bits) + " bits, which is not supported");
  // u32 is held in i64, wrapped.
  if (floats) {
    if (from.narrow == Narrow::u32) x = b.cast(x, DType::i32);
    const char* type = is_float(from.dtype) ? (bits == 32 ? "i32" : "i64") : (bits == 32 ? "f32" : "f64");
    x = b.call("bitcast", {x}, {{"dtype", type}});
  }
  n.set_as(0, b.cast(x, to.dtype), to);
}

void is_nan(OnnxNode& n) {
  const Value x = n.in(0);
  n.set_as(0, n.builder().call("not_equal", {x, x}), DType::boolean);
}

void is_infinite(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const DType dtype = x.type().dtype;
  const double greatest =
      dtype == DType::f64 ? std::numeric_limits<double>::max() : static_cast<double>(std::numeric_limits<float>::max());
  Value y;
  if (n.integer("detect_positive", 1)) y = b.call("greater", {x, n.constant(greatest, dtype)});
  if (n.integer("detect_negative", 1)) {
    const Value below = b.call("less", {x, n.constant(-greatest, dtype)});
    y = y ? b.call("logical_or", {y, below}) : below;
  }
  if (!y) y = b.call("not_equal", {b.call("equal", {x, x}), b.call("equal", {x, x})});
  n.set_as(0, y, DType::boolean);
}

void trigonometry(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const std::string& type = n.op_type();
  auto call = [&](const char* op, Value value) { return b.call(op, {value}); };
  auto atan_of = [&](Value value) { return call("atan", value); };
  const Value magnitude = call("abs", x);
  if (type == "Tan") return n.set(0, call("sin", x) / call("cos", x));
  if (type == "Atan") return n.set(0, atan_of(x));
  if (type == "Asin") return n.set(0, atan_of(x / call("sqrt", (1.0 - x) * (1.0 + x))));
  if (type == "Acos") return n.set(0, 2.0 * atan_of(call("sqrt", (1.0 - x) / (1.0 + x))));
  if (type == "Cosh") return n.set(0, 0.5 * (call("exp", x) + call("exp", -x)));
  if (type == "Sinh") {
    const Value grown = call("expm1", magnitude);
    const Value y = b.select(b.call("less", {magnitude, n.constant(20.0, x.type().dtype)}),
                             0.5 * (grown + grown / (grown + 1.0)), 0.5 * grown);
    return n.set(0, call("sign", x) * y);
  }
  if (type == "Asinh") {
    const Value square = x * x;
    const Value near = call("log1p", magnitude + square / (1.0 + call("sqrt", 1.0 + square)));
    const Value far = call("log", magnitude) + std::numbers::ln2;
    return n.set(0,
                 call("sign", x) * b.select(b.call("less", {magnitude, n.constant(1e9, x.type().dtype)}), near, far));
  }
  if (type == "Acosh") {
    const Value above = x - 1.0;
    const Value near = call("log1p", above + call("sqrt", above * (x + 1.0)));
    return n.set(
        0, b.select(b.call("less", {x, n.constant(1e9, x.type().dtype)}), near, call("log", x) + std::numbers::ln2));
  }
  n.set(0, 0.5 * call("log1p", 2.0 * x / (1.0 - x)));  // Atanh
}

void activation(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const DType dtype = x.type().dtype;
  const std::string& type = n.op_type();
  const Value zero = n.constant(0.0, dtype);
  auto where_below = [&](Value then_value) { return b.select(b.call("less", {x, zero}), then_value, x); };
  if (type == "LeakyRelu") return n.set(0, where_below(x * n.real("alpha", 0.01)));
  if (type == "Elu") return n.set(0, where_below(b.call("expm1", {x}) * n.real("alpha", 1.0)));
  if (type == "Celu") {
    const double alpha = n.real("alpha", 1.0);
    return n.set(0, b.call("maximum", {x, zero}) + b.call("minimum", {b.call("expm1", {x / alpha}) * alpha, zero}));
  }
  if (type == "Selu") {
    const double gamma = n.real("gamma", 1.05070102214813232421875), alpha = n.real("alpha", 1.67326319217681884765625);
    return n.set(0, where_below(b.call("expm1", {x}) * alpha) * gamma);
  }
  if (type == "HardSigmoid") {
    const Value line = x * n.real("alpha", 0.2) + n.real("beta", 0.5);
    return n.set(0, b.call("minimum", {b.call("maximum", {line, zero}), n.constant(1.0, dtype)}));
  }
  if (type == "HardSwish") {
    const Value line = x * (1.0 / 6.0) + 0.5;
    return n.set(0, x * b.call("minimum", {b.call("maximum", {line, zero}), n.constant(1.0, dtype)}));
  }
  if (type == "ThresholdedRelu")
    return n.set(0, b.select(b.call("greater", {x, n.constant(n.real("alpha", 1.0), dtype)}), x, zero));
  if (type == "Shrink") {
    const double bias = n.real("bias", 0.0), lambd = n.real("lambd", 0.5);
    const Value above =
        b.select(b.call("greater", {x, n.constant(lambd, dtype)}), b.cast(x - n.constant(bias, dtype), dtype), zero);
    return n.set(0, b.select(b.call("less", {x, n.constant(-lambd, dtype)}), x + n.constant(bias, dtype), above));
  }
  if (type == "Mish") return n.set(0, x * b.call("tanh", {b.call("softplus", {x})}));
  if (type == "Swish") return n.set(0, x * b.call("sigmoid", {x * n.real("alpha", 1.0)}));
  // Gelu
  n.set(0, b.call("gelu", {x}, {{"approximate", n.choice("approximate", {"none", "tanh"}) == "tanh"}}));
}

// The slope is aligned at the right; one per channel stood alone before version 7.
void prelu(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  Value slope = n.in(1);
  if (n.version() < 7 && slope.rank() == 1 && x.rank() > 2 && !slope.shape()[0].is_constant(1)) {
    Shape shape(x.rank() - 1, Dim(1));
    shape[0] = slope.shape()[0];
    slope = b.reshape(slope, shape);
  }
  n.set(0, b.select(b.call("less", {x, n.constant(0.0, x.type().dtype)}), x * slope, x));
}

// Inference leaves everything in place. What a training-mode node would drop depends on a generator that ONNX leaves
// open.
void dropout(OnnxNode& n) {
  bool training = n.version() < 7 && n.has("is_test") && n.integer("is_test") == 0;
  if (n.version() >= 12 && n.has_input(2)) training = n.need_number(2) != 0.0;
  const double ratio = n.version() >= 12 ? (n.has_input(1) && training ? n.need_number(1) : 0.5) : n.real("ratio", 0.5);
  if (training && ratio != 0.0 && n.version() >= 12)
    n.fail("drops elements in the model itself (training_mode is true), which is not supported",
           "export the model for inference");
  n.set_as(0, n.raw(0), n.dtype(0));
  if (n.wants(1)) {
    const ElementType mask = n.version() < 10 ? n.dtype(0) : ElementType(DType::boolean);
    n.set_as(1, n.builder().fill(1.0, n.type(0).shape, DType::boolean), mask);
  }
}

constexpr OnnxOp ops[] = {
    {"Identity", 1, identity},
    {"Abs", 1, unary},
    {"Ceil", 1, unary},
    {"Cos", 1, unary},
    {"Erf", 1, unary},
    {"Exp", 1, unary},
    {"Floor", 1, unary},
    {"Log", 1, unary},
    {"Neg", 1, unary},
    {"Not", 1, unary},
    {"Reciprocal", 1, unary},
    {"Relu", 1, unary},
    {"Round", 1, unary},
    {"Sigmoid", 1, unary},
    {"Sign", 1, unary},
    {"Sin", 1, unary},
    {"Softplus", 1, unary},
    {"Softsign", 1, unary},
    {"Sqrt", 1, unary},
    {"Tanh", 1, unary},
    {"Add", 1, arithmetic},
    {"Sub", 1, arithmetic},
    {"Mul", 1, arithmetic},
    {"Div", 1, arithmetic},
    {"Mod", 1, modulo},
    {"Pow", 1, power},
    {"Equal", 1, comparison},
    {"Less", 1, comparison},
    {"LessOrEqual", 1, comparison},
    {"Greater", 1, comparison},
    {"GreaterOrEqual", 1, comparison},
    {"And", 1, logic},
    {"Or", 1, logic},
    {"Xor", 1, logic},
    {"BitwiseAnd", 1, bits},
    {"BitwiseOr", 1, bits},
    {"BitwiseXor", 1, bits},
    {"BitwiseNot", 1, bits},
    {"BitShift", 1, bits},
    {"Max", 1, variadic},
    {"Min", 1, variadic},
    {"Sum", 1, variadic},
    {"Mean", 1, variadic},
    {"Where", 1, where},
    {"Clip", 1, clip},
    {"Cast", 1, cast},
    {"CastLike", 1, cast_like},
    {"BitCast", 26, bit_cast},
    {"IsNaN", 1, is_nan},
    {"IsInf", 1, is_infinite},
    {"Tan", 1, trigonometry},
    {"Atan", 1, trigonometry},
    {"Asin", 1, trigonometry},
    {"Acos", 1, trigonometry},
    {"Cosh", 1, trigonometry},
    {"Sinh", 1, trigonometry},
    {"Asinh", 1, trigonometry},
    {"Acosh", 1, trigonometry},
    {"Atanh", 1, trigonometry},
    {"LeakyRelu", 1, activation},
    {"Elu", 1, activation},
    {"Celu", 1, activation},
    {"Selu", 1, activation},
    {"HardSigmoid", 1, activation},
    {"HardSwish", 1, activation},
    {"ThresholdedRelu", 1, activation},
    {"Shrink", 1, activation},
    {"Mish", 1, activation},
    {"Swish", 1, activation},
    {"Gelu", 1, activation},
    {"PRelu", 1, prelu},
    {"Dropout", 1, dropout},
};

}  // namespace

std::span<const OnnxOp> onnx_elementwise_ops() { return ops; }

}  // namespace moru
