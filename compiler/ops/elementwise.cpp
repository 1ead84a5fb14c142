// Elementwise arithmetic, comparison and logic. `reference` and `lower` are two formulas of the same function; a
// gradient uses y in place of x where that is possible, since y is what the next op keeps anyway.
#include "compiler/ops/elementwise.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "compiler/ops/tensor_loops.h"
#include "compiler/ops/transcendentals.h"
#include "compiler/support/narrow.h"

namespace moru {

namespace {

using Attrs = const Attributes&;

double maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  if (a == b) return std::signbit(a) ? b : a;  // the maximum of -0 and +0 is +0
  return a > b ? a : b;
}

double minimum(double a, double b) { return -maximum(-a, -b); }

double sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }

// A cast of a double that holds any element type. Floats to integers truncate and saturate, NaN becomes 0; i64 to i32
// wraps; numbers to booleans are "not 0".
double cast_element(double x, DType from, DType to) {
  if (to == DType::boolean) return x != 0.0 ? 1.0 : 0.0;
  if (to == DType::f32) return x;  // rounded with every other result
  if (to == DType::bf16) return static_cast<double>(bf16_value(bf16_bits_of_normal(static_cast<float>(x))));
  if (to == DType::f64) return x;
  if (!is_float(from)) return to == DType::i32 ? static_cast<double>(static_cast<int32_t>(static_cast<int64_t>(x))) : x;
  if (std::isnan(x)) return 0.0;
  const double least = to == DType::i32 ? -0x1p31 : -0x1p63;
  const double most = to == DType::i32 ? 0x1p31 - 1.0 : 0x1p63;
  return std::trunc(std::fmin(std::fmax(x, least), most));
}

Op cast_op() {
  Op op;
  op.name = "cast";
  op.family = OpFamily::elementwise;
  op.doc =
      "y = x converted to `dtype`. Floats to integers truncate towards zero and saturate, NaN becomes 0; i64 to i32 "
      "wraps; numbers to bool are x != 0; f64 to f32 and f32 to bf16 round to nearest even (subnormal numbers to 0).  x, y: [...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {dtype_attribute()};
  op.cheap = true;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    return {{dtype_of(context.attributes), context.inputs[0].shape}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    HostTensor y = inputs[0];
    y.dtype = dtype_of(attributes);
    for (double& value : y.data) value = cast_element(value, inputs[0].dtype, y.dtype);
    return std::vector<HostTensor>{std::move(y)};
  };
  op.lower = [](std::span<const Expr> x, Attrs attributes) {
    const DType to = dtype_of(attributes);
    if (x[0]->type == to) return x[0];
    if (to == DType::boolean) return expr::binary(ExprOp::not_equal, x[0], number_like(x[0], 0.0));
    // bf16 is converted from and to f32 only.
    const bool narrows = to == DType::bf16 && x[0]->type != DType::f32;
    const bool widens = x[0]->type == DType::bf16 && to != DType::f32;
    return expr::convert(narrows || widens ? expr::convert(x[0], DType::f32) : x[0], to);
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const DType from = context.inputs[0].type().dtype;
    if (!is_float(from) || !is_float(dtype_of(context.attributes))) return {Value{}};
    return {context.builder.cast(context.output_gradients[0], from)};
  };
  auto example = [](Example::Tensor x, const char* to, bool differentiable) {
    return Example{.inputs = {std::move(x)}, .attributes = {{"dtype", to}}, .differentiable = differentiable};
  };
  op.examples = {
      example({.shape = {5, 17}, .low = -9, .high = 9}, "i32", false),
      example({.shape = {5, 17}, .low = -9, .high = 9}, "f64", true),
      example({.shape = {5}, .low = -9, .high = 9, .dtype = DType::f64}, "f32", true),
      example({.shape = {}, .low = -9, .high = 9, .dtype = DType::i32}, "f32", false),
      example({.shape = {7}, .low = -2, .high = 3, .dtype = DType::i64}, "bool", false),
      example({.shape = {4, 3}, .low = 0, .high = 2, .dtype = DType::boolean}, "f32", false),
      example({.shape = {6}, .low = -9, .high = 9, .dtype = DType::i64}, "i32", false),
      example({.shape = {9}, .low = -9, .high = 9, .dtype = DType::i32}, "i64", false),
      example({.shape = {5, 17}, .low = -9, .high = 9}, "bf16", false),
      example({.shape = {5, 17}, .low = -9, .high = 9, .dtype = DType::bf16}, "f32", false),
      example({.shape = {8},
               .values = {1e30, -1e30, std::numeric_limits<double>::infinity(), std::nan(""), 2.5, -2.5, 0.0, -0.0}},
              "i32", false),
  };
  return op;
}

Op select_op() {
  Op op;
  op.name = "select";
  op.family = OpFamily::elementwise;
  op.doc =
      "y = condition ? then : else, elementwise with broadcasting.  condition: bool[...], then and else of one element "
      "type";
  op.inputs = {{.name = "condition"}, {.name = "then"}, {.name = "else"}};
  op.cheap = true;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "select", 0, Accepts::booleans);
    const Type& a = context.inputs[1];
    const Type& b = context.inputs[2];
    if (a.dtype != b.dtype)
      refuse(context, "select",
             "needs 'then' and 'else' of the same element type but got " + type_text(a) + " and " + type_text(b),
             "cast one of them");
    std::optional<Shape> shape = broadcast_shapes(context, a.shape, b.shape);
    if (shape) shape = broadcast_shapes(context, context.inputs[0].shape, *shape);
    if (!shape)
      refuse(context, "select",
             "the shapes " + shape_text(context.inputs[0].shape) + ", " + shape_text(a.shape) + " and " +
                 shape_text(b.shape) + " do not broadcast",
             "shapes are aligned at the right; extents must be equal, or 1");
    return {{a.dtype, std::move(*shape)}};
  };
  op.scalar = [](std::span<const double> x) { return x[0] != 0.0 ? x[1] : x[2]; };
  op.reference = [](std::span<const HostTensor> inputs, Attrs) {
    const HostTensor &c = inputs[0], &a = inputs[1], &b = inputs[2];
    HostTensor y = make_tensor(a.dtype, broadcast_extents(c.shape, broadcast_extents(a.shape, b.shape)));
    for_each_row<4>(y.shape,
                    {strides_of(y.shape), broadcast_strides(c.shape, y.shape), broadcast_strides(a.shape, y.shape),
                     broadcast_strides(b.shape, y.shape)},
                    [&](auto at, int64_t count, auto step) {
                      for (int64_t i = 0; i < count; ++i)
                        y.data[static_cast<size_t>(at[0] + i * step[0])] =
                            c.data[static_cast<size_t>(at[1] + i * step[1])] != 0.0
                                ? a.data[static_cast<size_t>(at[2] + i * step[2])]
                                : b.data[static_cast<size_t>(at[3] + i * step[3])];
                    });
    return std::vector<HostTensor>{std::move(y)};
  };
  op.lower = [](std::span<const Expr> x, Attrs) { return expr::select(x[0], x[1], x[2]); };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    Builder& b = context.builder;
    const Value dy = context.output_gradients[0];
    const Value zero = zero_like(dy);
    return {Value{}, b.sum_to(b.select(context.inputs[0], dy, zero), Shape(context.inputs[1].shape())),
            b.sum_to(b.select(context.inputs[0], zero, dy), Shape(context.inputs[2].shape()))};
  };
  auto example = [](std::vector<int64_t> c, std::vector<int64_t> a, std::vector<int64_t> b) {
    return Example{.inputs = {{.shape = std::move(c), .low = 0, .high = 2, .dtype = DType::boolean},
                              {.shape = std::move(a)},
                              {.shape = std::move(b)}}};
  };
  op.examples = {example({7, 33}, {7, 33}, {7, 33}), example({7, 1}, {5}, {}), example({}, {}, {}),
                 example({3}, {2, 1}, {2, 3})};
  op.examples[2].inputs[0].values = {1.0};
  return op;
}

BinaryOp comparison(std::string_view name, std::string_view doc, Accepts accepts, double (*reference)(double, double),
                    Expr (*lower)(Expr, Expr)) {
  BinaryOp op{.name = name,
              .doc = doc,
              .accepts = accepts,
              .to_boolean = true,
              .reference = reference,
              .lower = lower,
              .examples = pairs(-2, 3, -2, 3, DType::i32)};
  op.examples.push_back({.inputs = {{.shape = {6, 17}}, {.shape = {17}}}, .differentiable = false});
  op.examples.push_back({.inputs = {{.shape = {13}, .values = extreme_values()}, {.shape = {}, .values = {1.0}}},
                         .differentiable = false});
  return op;
}

BinaryOp logical(std::string_view name, std::string_view doc, double (*reference)(double, double),
                 Expr (*lower)(Expr, Expr)) {
  return {.name = name,
          .doc = doc,
          .accepts = Accepts::booleans,
          .reference = reference,
          .lower = lower,
          .examples = pairs(0, 2, 0, 2, DType::boolean)};
}

std::vector<Example> with_extremes(std::vector<Example> examples, std::vector<Example> more = {}) {
  examples.push_back(
      {.inputs = {{.shape = {13, 1}, .values = extreme_values()}, {.shape = {13}, .values = extreme_values()}},
       .differentiable = false});
  for (Example& example : more) examples.push_back(std::move(example));
  return examples;
}

std::vector<Example> integer_pairs() {
  return {{.inputs = {{.shape = {3, 7}, .low = -100, .high = 100, .dtype = DType::i64},
                      {.shape = {7}, .low = -100, .high = 100, .dtype = DType::i64}},
           .differentiable = false},
          {.inputs = {{.shape = {3}, .dtype = DType::i32, .values = {2147483647, -2147483648.0, 65537}},
                      {.shape = {3}, .dtype = DType::i32, .values = {2, -1, 65539}}},
           .differentiable = false}};
}

// One input, algebraic: what the hardware computes directly.
void add_algebraic(std::vector<Op>& ops) {
  ops.push_back(elementwise(UnaryOp{
      .name = "neg",
      .doc = "y = -x, elementwise.  x, y: [...]",
      .accepts = Accepts::numbers,
      .reference = [](double x) { return -x; },
      .lower = [](Expr x, Attrs) { return -x; },
      .gradient = [](Value dy, Value, Value, Attrs) { return -dy; },
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "abs",
      .doc = "y = |x|, elementwise; the gradient at 0 is 0.  x, y: [...]",
      .accepts = Accepts::numbers,
      .reference = [](double x) { return std::fabs(x); },
      .lower = [](Expr x, Attrs) { return expr::unary(ExprOp::abs, x); },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy * x.builder->call("sign", {x}); },
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "sign",
      .doc = "y = 1 where x > 0, -1 where x < 0, else x (zero or NaN), elementwise.  x, y: [...]",
      .accepts = Accepts::numbers,
      .reference = sign,
      .lower =
          [](Expr x, Attrs) {
            const Expr zero = number_like(x, 0.0);
            return expr::select(expr::binary(ExprOp::less, zero, x), number_like(x, 1.0),
                                expr::select(expr::binary(ExprOp::less, x, zero), number_like(x, -1.0), x));
          },
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "sqrt",
      .doc = "y = square root of x, elementwise; NaN where x < 0.  x, y: [...]",
      .reference = [](double x) { return std::sqrt(x); },
      .lower = [](Expr x, Attrs) { return expr::unary(ExprOp::sqrt, x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * 0.5 / y; },
      .cheap = false,
      .samples = samples(0.1, 9),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "rsqrt",
      .doc = "y = 1 / square root of x, elementwise.  x, y: [...]",
      .reference = [](double x) { return 1.0 / std::sqrt(x); },
      .lower = [](Expr x, Attrs) { return number_like(x, 1.0) / expr::unary(ExprOp::sqrt, x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * (y * y * y) * -0.5; },
      .cheap = false,
      .samples = samples(0.2, 9),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "square",
      .doc = "y = x * x, elementwise; floating point only.  x, y: [...]",
      .reference = [](double x) { return x * x; },
      .lower = [](Expr x, Attrs) { return x * x; },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy * (x * 2.0); },
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "reciprocal",
      .doc = "y = 1 / x, elementwise.  x, y: [...]",
      .reference = [](double x) { return 1.0 / x; },
      .lower = [](Expr x, Attrs) { return number_like(x, 1.0) / x; },
      .gradient = [](Value dy, Value, Value y, Attrs) { return -(dy * (y * y)); },
      .cheap = false,
      .samples = samples(0.3, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "floor",
      .doc = "y = the greatest integer that is at most x, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::floor(x); },
      .lower = [](Expr x, Attrs) { return expr::unary(ExprOp::floor, x); },
      .samples = samples(-9, 9),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "ceil",
      .doc = "y = the least integer that is at least x, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::ceil(x); },
      .lower = [](Expr x, Attrs) { return expr::unary(ExprOp::ceil, x); },
      .samples = samples(-9, 9),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "round",
      .doc = "y = x rounded to the nearest integer, halves to even, elementwise.  x, y: [...]",
      .reference = [](double x) { return x - std::remainder(x, 1.0); },
      .lower = [](Expr x, Attrs) { return expr::unary(ExprOp::round, x); },
      .samples = samples(-9, 9),
      .extremes = {0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30},
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "logical_not",
      .doc = "y = not x, elementwise.  x, y: bool[...]",
      .accepts = Accepts::booleans,
      .reference = [](double x) { return x != 0.0 ? 0.0 : 1.0; },
      .lower = [](Expr x, Attrs) { return expr::unary(ExprOp::logical_not, x); },
      .samples = samples(0, 2, DType::boolean),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "stop_gradient",
      .doc = "y = x, but no gradient flows back to x.  x, y: [...]",
      .accepts = Accepts::any,
      .reference = [](double x) { return x; },
      .lower = [](Expr x, Attrs) { return x; },
      .samples = samples(-4, 4),
  }));
}

// One input, transcendental: built from expressions, each with its ulp bound in transcendentals.h.
void add_transcendental(std::vector<Op>& ops) {
  ops.push_back(elementwise(UnaryOp{
      .name = "exp",
      .doc = "y = e^x, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::exp(x); },
      .lower = [](Expr x, Attrs) { return exp_expr(x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * y; },
      .cheap = false,
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "expm1",
      .doc = "y = e^x - 1 without cancellation near 0, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::expm1(x); },
      .lower = [](Expr x, Attrs) { return expm1_expr(x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * (y + 1.0); },
      .cheap = false,
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "log",
      .doc = "y = natural logarithm of x, elementwise; NaN where x < 0, -infinity at 0.  x, y: [...]",
      .reference = [](double x) { return std::log(x); },
      .lower = [](Expr x, Attrs) { return log_expr(x); },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy / x; },
      .cheap = false,
      .samples = samples(0.1, 9),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "log1p",
      .doc = "y = log(1 + x) without cancellation near 0, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::log1p(x); },
      .lower = [](Expr x, Attrs) { return log1p_expr(x); },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy / (x + 1.0); },
      .cheap = false,
      .samples = samples(-0.8, 9),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "tanh",
      .doc = "y = hyperbolic tangent of x, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::tanh(x); },
      .lower = [](Expr x, Attrs) { return tanh_expr(x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * (1.0 - y * y); },
      .cheap = false,
      .samples = samples(-4, 4),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "sigmoid",
      .doc = "y = 1 / (1 + e^-x), elementwise.  x, y: [...]",
      .reference = [](double x) { return 1.0 / (1.0 + std::exp(-x)); },
      .lower = [](Expr x, Attrs) { return sigmoid_expr(x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * (y * (1.0 - y)); },
      .cheap = false,
      .samples = samples(-6, 6),
      .extremes = extreme_values(),
  }));
  ops.push_back(elementwise(UnaryOp{
      .name = "erf",
      .doc = "y = error function of x: 2/sqrt(pi) * integral of e^(-t^2) from 0 to x, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::erf(x); },
      .lower = [](Expr x, Attrs) { return erf_expr(x); },
      .gradient = [](Value dy, Value x, Value,
                     Attrs) { return dy * (x.builder->call("exp", {-(x * x)}) * (2.0 * std::numbers::inv_sqrtpi)); },
      .cheap = false,
      .samples = samples(-3, 3),
      .extremes = extreme_values(),
  }));
}

void add_arithmetic(std::vector<Op>& ops) {
  ops.push_back(elementwise(BinaryOp{
      .name = "add",
      .doc = "y = a + b, elementwise with numpy broadcasting",
      .accepts = Accepts::numbers,
      .reference = [](double a, double b) { return a + b; },
      .lower = [](Expr a, Expr b) { return a + b; },
      .gradient = [](Value dy, Value, Value, Value) { return std::pair(dy, dy); },
      .examples = with_extremes(pairs(-2, 2, -2, 2), integer_pairs()),
  }));
  ops.push_back(elementwise(BinaryOp{
      .name = "sub",
      .doc = "y = a - b, elementwise with numpy broadcasting",
      .accepts = Accepts::numbers,
      .reference = [](double a, double b) { return a - b; },
      .lower = [](Expr a, Expr b) { return a - b; },
      .gradient = [](Value dy, Value, Value, Value) { return std::pair(dy, -dy); },
      .examples = with_extremes(pairs(-2, 2, -2, 2), integer_pairs()),
  }));
  ops.push_back(elementwise(BinaryOp{
      .name = "mul",
      .doc = "y = a * b, elementwise with numpy broadcasting",
      .accepts = Accepts::numbers,
      .reference = [](double a, double b) { return a * b; },
      .reference_integer =
          [](int64_t a, int64_t b) {
            return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
          },
      .lower = [](Expr a, Expr b) { return a * b; },
      .gradient = [](Value dy, Value a, Value b, Value) { return std::pair(dy * b, dy * a); },
      .examples = with_extremes(pairs(-2, 2, -2, 2), integer_pairs()),
  }));
  ops.push_back(elementwise(BinaryOp{
      .name = "div",
      .doc = "y = a / b, elementwise with numpy broadcasting; floating point only",
      .reference = [](double a, double b) { return a / b; },
      .lower = [](Expr a, Expr b) { return a / b; },
      .gradient =
          [](Value dy, Value, Value b, Value y) {
            const Value da = dy / b;
            return std::pair(da, -(da * y));
          },
      .cheap = false,
      .examples = with_extremes(pairs(-2, 2, 0.5, 3)),
  }));
  ops.push_back(elementwise(BinaryOp{
      .name = "maximum",
      .doc = "y = the greater of a and b, NaN if either is, elementwise with numpy broadcasting; at a tie the gradient "
             "goes to a",
      .accepts = Accepts::numbers,
      .reference = maximum,
      .lower = [](Expr a, Expr b) { return expr::binary(ExprOp::max, a, b); },
      .gradient =
          [](Value dy, Value a, Value b, Value) {
            Builder& builder = *dy.builder;
            const Value first = builder.call("greater_equal", {a, b});
            return std::pair(builder.select(first, dy, zero_like(dy)), builder.select(first, zero_like(dy), dy));
          },
      .examples = with_extremes(pairs(-2, 2, -2, 2), integer_pairs()),
  }));
  ops.push_back(elementwise(BinaryOp{
      .name = "minimum",
      .doc = "y = the smaller of a and b, NaN if either is, elementwise with numpy broadcasting; at a tie the gradient "
             "goes to a",
      .accepts = Accepts::numbers,
      .reference = minimum,
      .lower = [](Expr a, Expr b) { return expr::binary(ExprOp::min, a, b); },
      .gradient =
          [](Value dy, Value a, Value b, Value) {
            Builder& builder = *dy.builder;
            const Value first = builder.call("less_equal", {a, b});
            return std::pair(builder.select(first, dy, zero_like(dy)), builder.select(first, zero_like(dy), dy));
          },
      .examples = with_extremes(pairs(-2, 2, -2, 2), integer_pairs()),
  }));
  ops.push_back(elementwise(BinaryOp{
      .name = "power",
      .doc = "y = a to the power b, elementwise with numpy broadcasting; NaN where a < 0 and b is no integer; "
             "the gradient of b is 0 where a <= 0",
      .reference = [](double a, double b) { return std::pow(a, b); },
      .lower = [](Expr a, Expr b) { return pow_expr(a, b); },
      .gradient =
          [](Value dy, Value a, Value b, Value y) {
            Builder& builder = *dy.builder;
            const Value zero = zero_like(a);
            const Value one = builder.constant(1.0, a.type().dtype);
            // b * a^(b-1), where 0 * 0^-1 must be 0 and not NaN.
            const Value exponent = builder.select(builder.call("equal", {b, zero}), one, b - one);
            const Value positive = builder.call("greater", {a, zero});
            const Value log_a = builder.call("log", {builder.select(positive, a, one)});
            return std::pair(dy * (b * builder.call("power", {a, exponent})), dy * (y * log_a));
          },
      .cheap = false,
      .examples = with_extremes(pairs(0.2, 3, -2, 3)),
  }));
}

void add_logic(std::vector<Op>& ops) {
  ops.push_back(elementwise(comparison(
      "equal", "y = a == b, false if either is NaN, elementwise with numpy broadcasting.  y: bool[...]", Accepts::any,
      [](double a, double b) { return a == b ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::equal, a, b); })));
  ops.push_back(elementwise(comparison(
      "not_equal", "y = a != b, true if either is NaN, elementwise with numpy broadcasting.  y: bool[...]",
      Accepts::any, [](double a, double b) { return a != b ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::not_equal, a, b); })));
  ops.push_back(elementwise(comparison(
      "less", "y = a < b, elementwise with numpy broadcasting.  y: bool[...]", Accepts::numbers,
      [](double a, double b) { return a < b ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::less, a, b); })));
  ops.push_back(elementwise(comparison(
      "less_equal", "y = a <= b, elementwise with numpy broadcasting.  y: bool[...]", Accepts::numbers,
      [](double a, double b) { return a <= b ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::less_equal, a, b); })));
  ops.push_back(elementwise(comparison(
      "greater", "y = a > b, elementwise with numpy broadcasting.  y: bool[...]", Accepts::numbers,
      [](double a, double b) { return a > b ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::less, b, a); })));
  ops.push_back(elementwise(comparison(
      "greater_equal", "y = a >= b, elementwise with numpy broadcasting.  y: bool[...]", Accepts::numbers,
      [](double a, double b) { return a >= b ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::less_equal, b, a); })));
  ops.push_back(elementwise(logical(
      "logical_and", "y = a and b, elementwise with numpy broadcasting.  a, b, y: bool[...]",
      [](double a, double b) { return a != 0.0 && b != 0.0 ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::logical_and, a, b); })));
  ops.push_back(elementwise(logical(
      "logical_or", "y = a or b, elementwise with numpy broadcasting.  a, b, y: bool[...]",
      [](double a, double b) { return a != 0.0 || b != 0.0 ? 1.0 : 0.0; },
      [](Expr a, Expr b) { return expr::binary(ExprOp::logical_or, a, b); })));
}

}  // namespace

std::vector<Op> elementwise_ops() {
  std::vector<Op> ops;
  add_algebraic(ops);
  add_transcendental(ops);
  ops.push_back(cast_op());
  add_arithmetic(ops);
  add_logic(ops);
  ops.push_back(select_op());
  return ops;
}

}  // namespace moru
