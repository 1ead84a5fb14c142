// Rounding and wrapping to narrow element types, see support/narrow.h, and the bits of integers.
#include "compiler/support/narrow.h"

#include <bit>
#include <cmath>

#include "compiler/ops/elementwise.h"

namespace moru {

namespace {

Narrow narrow_of(const Attributes& attributes) { return find_narrow(attributes.string("type")).value(); }

Expr integer_and(Expr x, int64_t bits) {
  const DType type = x->type;
  return expr::binary(ExprOp::bit_and, std::move(x), expr::integer(bits, type));
}

// Rounds the lowest `dropped` bits of a float's pattern away, to nearest even; the carry moves the exponent.
Expr rounded_bits(const Expr& magnitude, int64_t dropped) {
  const Expr odd = integer_and(expr::binary(ExprOp::shr, magnitude, expr::integer(dropped)), 1);
  return integer_and(magnitude + expr::integer((int64_t{1} << (dropped - 1)) - 1) + odd, -(int64_t{1} << dropped));
}

Expr round_float(Expr x, bool brain) {
  if (x->type == DType::f64) x = expr::convert(x, DType::f32);
  const Expr bits = expr::bitcast(x, DType::i32), magnitude = integer_and(bits, 0x7fffffff);
  const Expr sign = integer_and(bits, INT32_MIN);
  Expr rounded = rounded_bits(magnitude, brain ? 16 : 13);
  if (!brain) {
    // From 65520 on there is only infinity; below 2^-14 every number is a multiple of 2^-24.
    rounded = expr::select(expr::binary(ExprOp::less, rounded, expr::integer(0x47800000)), rounded,
                           expr::integer(0x7f800000));
    const Expr small = expr::bitcast(magnitude, DType::f32) + expr::constant(0.5) - expr::constant(0.5);
    rounded = expr::select(expr::binary(ExprOp::less, magnitude, expr::integer(0x38800000)),
                           expr::bitcast(small, DType::i32), rounded);
  }
  const Expr value = expr::bitcast(expr::binary(ExprOp::bit_or, rounded, sign), DType::f32);
  return expr::select(expr::binary(ExprOp::equal, x, x), value, x);
}

Expr lower_narrow(Expr x, Narrow narrow) {
  switch (narrow) {
    case Narrow::f16:
    case Narrow::bf16: {
      const DType type = x->type;
      const Expr y = round_float(std::move(x), narrow == Narrow::bf16);
      return type == DType::f32 ? y : expr::convert(y, type);
    }
    case Narrow::u8:
      return integer_and(std::move(x), 0xff);
    case Narrow::u16:
      return integer_and(std::move(x), 0xffff);
    case Narrow::u32:
      return integer_and(std::move(x), 0xffffffff);
    case Narrow::i8:
    case Narrow::i16: {
      const Expr count = expr::integer((x->type == DType::i64 ? 64 : 32) - 8 * narrow_bytes(narrow), x->type);
      return expr::binary(ExprOp::sar, expr::binary(ExprOp::shl, std::move(x), count), count);
    }
    case Narrow::u64:
    case Narrow::none:
      return x;
  }
  return x;
}

// Shifts by 64 bits or more leave nothing.
Expr shifted(ExprOp op, Expr x, const Expr& count) {
  const Expr zero = expr::integer(0, DType::i64);
  const Expr inside = expr::binary(ExprOp::logical_and, expr::binary(ExprOp::less_equal, zero, count),
                                   expr::binary(ExprOp::less, count, expr::integer(64, DType::i64)));
  return expr::select(inside, expr::binary(op, std::move(x), expr::select(inside, count, zero)), zero);
}

int64_t shift_left(int64_t x, int64_t count) {
  return count < 0 || count > 63 ? 0 : static_cast<int64_t>(static_cast<uint64_t>(x) << count);
}

int64_t shift_right(int64_t x, int64_t count) {
  return count < 0 || count > 63 ? 0 : static_cast<int64_t>(static_cast<uint64_t>(x) >> count);
}

std::vector<Op> bit_ops() {
  struct Form {
    std::string_view name, doc;
    int64_t (*reference)(int64_t, int64_t);
    ExprOp op;
  };
  const Form forms[] = {
      {"bitwise_and",
       "y = the bits that are set in a and in b, elementwise with numpy broadcasting.  a, b, y: integers",
       [](int64_t a, int64_t b) { return a & b; }, ExprOp::bit_and},
      {"bitwise_or", "y = the bits that are set in a or in b, elementwise with numpy broadcasting.  a, b, y: integers",
       [](int64_t a, int64_t b) { return a | b; }, ExprOp::bit_or},
      {"bitwise_xor",
       "y = the bits that are set in one of a and b, elementwise with numpy broadcasting.  a, b, y: integers",
       [](int64_t a, int64_t b) { return a ^ b; }, ExprOp::bit_xor},
  };
  std::vector<Op> ops;
  for (const Form& form : forms) {
    Op op = elementwise(BinaryOp{
        .name = form.name,
        .doc = form.doc,
        .accepts = Accepts::integers,
        .reference_integer = form.reference,
        .lower = [bits = form.op](Expr a, Expr b) { return expr::binary(bits, std::move(a), std::move(b)); },
        .examples = pairs(-100, 100, -100, 100, DType::i32),
    });
    op.examples.push_back({.inputs = {{.shape = {3}, .dtype = DType::i64, .values = {6, -7, 1e12}},
                                      {.shape = {3}, .dtype = DType::i64, .values = {3, 5, 4095}}},
                           .differentiable = false});
    ops.push_back(std::move(op));
  }
  for (bool left : {true, false}) {
    Op op = elementwise(BinaryOp{
        .name = left ? "shift_left" : "shift_right",
        .doc =
            left ? "y = the bits of a moved up by b places, elementwise with numpy broadcasting; 0 where b is negative "
                   "or above 63.  a, b, y: i64"
                 : "y = the bits of a moved down by b places, zeros behind them, elementwise with numpy broadcasting; "
                   "0 where b is negative or above 63.  a, b, y: i64",
        .accepts = Accepts::integers,
        .reference_integer = left ? shift_left : shift_right,
        .lower = [left](Expr a, Expr b) { return shifted(left ? ExprOp::shl : ExprOp::shr, std::move(a), b); },
        .examples = pairs(0, 100, 0, 9, DType::i64),
    });
    op.infer = [infer = op.infer, name = op.name](const OpContext& context) {
      if (context.inputs[0].dtype != DType::i64)
        refuse(context, name, "needs i64 but got " + type_text(context.inputs[0]), "cast the inputs to i64");
      return infer(context);
    };
    op.examples.push_back({.inputs = {{.shape = {5}, .dtype = DType::i64, .values = {40, 5, 3, 1e12, -8}},
                                      {.shape = {5}, .dtype = DType::i64, .values = {33, 64, -1, 7, 60}}},
                           .differentiable = false});
    ops.push_back(std::move(op));
  }
  return ops;
}

// The bits of a number as a number of another type of as many bits.
double recast(double value, DType from, DType to) {
  if (from == DType::f32 && to == DType::i32) return std::bit_cast<int32_t>(static_cast<float>(value));
  if (from == DType::i32 && to == DType::f32) return static_cast<double>(std::bit_cast<float>(static_cast<int32_t>(value)));
  if (from == DType::f64 && to == DType::i64) return static_cast<double>(std::bit_cast<int64_t>(value));
  if (from == DType::i64 && to == DType::f64) return std::bit_cast<double>(static_cast<int64_t>(value));
  return value;
}

Op bitcast_op() {
  Op op;
  op.name = "bitcast";
  op.family = OpFamily::elementwise;
  op.doc = "y = the bits of x as numbers of `dtype`, elementwise: f32 and i32, or f64 and i64.  x, y: [...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {{.name = "dtype", .type = AttributeType::string, .choices = {"f32", "f64", "i32", "i64"}}};
  op.cheap = true;
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const DType from = context.inputs[0].dtype, to = find_dtype(context.attributes.string("dtype")).value();
    if (from == DType::boolean || dtype_bytes(from) != dtype_bytes(to))
      refuse(context, "bitcast", "cannot take the bits of " + type_text(context.inputs[0]) + " for " + std::string(dtype_name(to)),
             "cast it to a type of as many bits first");
    return {{to, context.inputs[0].shape}};
  };
  op.reference = [](std::span<const HostTensor> inputs, const Attributes& attributes) {
    HostTensor y = inputs[0];
    y.dtype = find_dtype(attributes.string("dtype")).value();
    for (double& value : y.data) value = recast(value, inputs[0].dtype, y.dtype);
    return std::vector<HostTensor>{std::move(y)};
  };
  op.lower = [](std::span<const Expr> x, const Attributes& attributes) {
    const DType to = find_dtype(attributes.string("dtype")).value();
    return x[0]->type == to ? x[0] : expr::bitcast(x[0], to);
  };
  auto example = [](const char* to, Example::Tensor x) {
    return Example{.inputs = {std::move(x)}, .attributes = {{"dtype", to}}, .differentiable = false};
  };
  const std::vector<double> reals = {0.0, -0.0, 1.0, -2.5, 0x1p-126, 0x1p100, INFINITY, -INFINITY};
  const std::vector<double> bits = {0, 1, -1, 0x3f800000, -0x800000, 0x7f7fffff};
  // Such that their bits are numbers that a double, which the reference counts in, holds exactly.
  const std::vector<double> long_bits = {0, 0x1p62, -0x1p52, 0x3ffp52, 0x7fep52};
  op.examples = {example("i32", {.shape = {7, 33}, .low = -100, .high = 100}),
                 example("i32", {.shape = {8}, .values = reals}),
                 example("f32", {.shape = {6}, .dtype = DType::i32, .values = bits}),
                 example("i64", {.shape = {8}, .dtype = DType::f64, .values = reals}),
                 example("f64", {.shape = {5}, .dtype = DType::i64, .values = long_bits}),
                 example("f32", {.shape = {}, .values = {3.0}})};
  return op;
}

}  // namespace

std::vector<Op> narrow_ops() {
  Op op;
  op.name = "narrow";
  op.family = OpFamily::elementwise;
  op.doc =
      "y = x rounded to nearest even (f16, bf16) or wrapped (integers) to the values of a narrow element type, "
      "elementwise; "
      "the gradient passes as it is.  x, y: [...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {{.name = "type",
                    .type = AttributeType::string,
                    .choices = {"f16", "bf16", "i8", "i16", "u8", "u16", "u32", "u64"}}};
  op.cheap = true;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Narrow narrow = narrow_of(context.attributes);
    check_dtype(context, "narrow", 0, is_float(held_in(narrow)) ? Accepts::floats : Accepts::integers);
    if (narrow == Narrow::u32 && context.inputs[0].dtype != DType::i64)
      refuse(context, "narrow", "holds u32 in i64 only but got " + type_text(context.inputs[0]), "cast it to i64");
    return {context.inputs[0]};
  };
  op.reference = [](std::span<const HostTensor> inputs, const Attributes& attributes) {
    HostTensor y = inputs[0];
    for (double& value : y.data) value = narrowed(value, narrow_of(attributes));
    return std::vector<HostTensor>{std::move(y)};
  };
  op.lower = [](std::span<const Expr> x, const Attributes& attributes) {
    return lower_narrow(x[0], narrow_of(attributes));
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    if (!is_float(context.inputs[0].type().dtype)) return {Value{}};
    return {context.output_gradients[0]};
  };
  auto example = [](const char* type, Example::Tensor x) {
    return Example{.inputs = {std::move(x)}, .attributes = {{"type", type}}, .differentiable = false};
  };
  const std::vector<double> floats = {0.0,     -0.0,    1.0,     1.0009765625, 1.00048828125, 1.00146484375,
                                      65504.0, 65519.0, 65520.0, 6.1e-5,       5.97e-8,       2.9802322387695312e-08,
                                      2.99e-8, -3e-7,   1e30,    -INFINITY,    NAN,           3.3895e38};
  const std::vector<double> integers = {0,   1,     -1,    127,   128,   -128,   -129,      255,
                                        256, 32767, 32768, 65535, 65536, -65537, 2147483647};
  const auto count = static_cast<int64_t>(floats.size()), whole = static_cast<int64_t>(integers.size());
  op.examples = {example("f16", {.shape = {7, 33}, .low = -100, .high = 100}),
                 example("f16", {.shape = {count}, .values = floats}),
                 example("bf16", {.shape = {count}, .values = floats}),
                 example("i8", {.shape = {whole}, .dtype = DType::i32, .values = integers}),
                 example("i16", {.shape = {whole}, .dtype = DType::i32, .values = integers}),
                 example("u8", {.shape = {whole}, .dtype = DType::i32, .values = integers}),
                 example("u16", {.shape = {whole}, .dtype = DType::i32, .values = integers}),
                 example("u32", {.shape = {whole}, .dtype = DType::i64, .values = integers}),
                 example("u64", {.shape = {3, 5}, .low = 0, .high = 9, .dtype = DType::i64})};
  std::vector<Op> ops = bit_ops();
  ops.insert(ops.begin(), std::move(op));
  ops.push_back(bitcast_op());
  return ops;
}

}  // namespace moru
