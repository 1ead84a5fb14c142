// Rounding and wrapping to narrow element types, see support/narrow.h, and the bits of integers.
#include "compiler/support/narrow.h"

#include <bit>
#include <cmath>

#include "compiler/ops/elementwise.h"

namespace moru {

namespace {

Narrow narrow_of(const Attributes& attributes) { return find_narrow(attributes.string("type")).value(); }

NarrowRule rule_of(const Attributes& attributes) {
  return {attributes.boolean("saturate"), find_direction(attributes.string("round_mode")).value()};
}

Expr integer_and(Expr x, int64_t bits) {
  const DType type = x->type;
  return expr::binary(ExprOp::bit_and, std::move(x), expr::integer(bits, type));
}

// Rounds the lowest `dropped` bits of a float's pattern away, to nearest even; the carry moves the exponent.
Expr rounded_bits(const Expr& magnitude, int64_t dropped) {
  const Expr odd = integer_and(expr::binary(ExprOp::shr, magnitude, expr::integer(dropped)), 1);
  return integer_and(magnitude + expr::integer((int64_t{1} << (dropped - 1)) - 1) + odd, -(int64_t{1} << dropped));
}

Expr pattern(double value) {
  return expr::integer(std::bit_cast<int32_t>(static_cast<float>(value)));
}

Expr is_less(const Expr& a, const Expr& b) { return expr::binary(ExprOp::less, a, b); }

Expr round_to_format(const Expr& x, const FloatFormat& format, bool saturates) {
  const Expr bits = expr::bitcast(x, DType::i32), magnitude = integer_and(bits, 0x7fffffff);
  const Expr sign = integer_and(bits, INT32_MIN);
  Expr rounded = rounded_bits(magnitude, 23 - format.mantissa_bits);
  constexpr int least_of_f32 = -126;
  if (format.least_exponent > least_of_f32) {
    // What is added leaves room for no smaller multiples than the format has.
    const double room = std::ldexp(1.0, format.least_exponent - format.mantissa_bits + 23);
    const Expr small = expr::bitcast(magnitude, DType::f32) + expr::constant(room) - expr::constant(room);
    rounded = expr::select(is_less(magnitude, pattern(std::ldexp(1.0, format.least_exponent))),
                           expr::bitcast(small, DType::i32), rounded);
  }
  const bool only_infinity = format.least_exponent == least_of_f32 && format.has_infinity && !saturates;
  if (!only_infinity) {  // of f32 itself, which the carry reaches
    const double beyond = saturates || !format.has_nan ? format.greatest : format.has_infinity ? INFINITY : NAN;
    rounded = expr::select(is_less(pattern(format.greatest), rounded), pattern(beyond), rounded);
  }
  Expr with_sign = expr::binary(ExprOp::bit_or, rounded, sign);
  if (!format.has_negative_zero)
    with_sign = expr::select(expr::binary(ExprOp::equal, rounded, expr::integer(0)), rounded, with_sign);
  const Expr of_nan = format.has_nan ? x : expr::constant(-0.0);
  return expr::select(expr::binary(ExprOp::equal, x, x), expr::bitcast(with_sign, DType::f32), of_nan);
}

// A power of two from 2^-127, of which f32 has the pattern 0x400000, to 2^127.
Expr round_to_power_of_two(const Expr& x, NarrowRule rule) {
  using Direction = NarrowRule::Direction;
  constexpr int64_t least = 0x400000, normal = 0x800000, greatest = 0x7f000000, nan = 0x7fc00000;
  const Expr magnitude = integer_and(expr::bitcast(x, DType::i32), 0x7fffffff);
  const int64_t added = rule.direction == Direction::up ? normal - 1 : rule.direction == Direction::nearest ? normal / 2 : 0;
  Expr rounded = integer_and(magnitude + expr::integer(added), -normal);
  const int64_t rises = rule.direction == Direction::up        ? least + 1
                        : rule.direction == Direction::nearest ? least + least / 2
                                                               : normal;
  const Expr small = expr::select(is_less(magnitude, expr::integer(rises)), expr::integer(least), expr::integer(normal));
  rounded = expr::select(is_less(magnitude, expr::integer(normal)), small, rounded);
  if (!rule.saturates) rounded = expr::select(is_less(magnitude, expr::integer(least)), expr::integer(nan), rounded);
  const Expr in_range = is_less(magnitude, expr::integer(greatest + 1));
  // The sum above may have left the positive numbers; NaN is told apart below.
  const Expr fits = rule.direction == Direction::down ? is_less(magnitude, expr::integer(0x7f800000))
                    : rule.direction == Direction::up ? in_range
                                                      : is_less(magnitude, expr::integer(greatest + normal / 2));
  rounded = expr::select(fits, rounded, expr::integer(rule.saturates ? greatest : nan));
  return expr::select(expr::binary(ExprOp::equal, x, x), expr::bitcast(rounded, DType::f32), x);
}

Expr lower_narrow(Expr x, Narrow narrow, NarrowRule rule) {
  if (is_float(held_in(narrow))) {
    const DType type = x->type;
    if (type == DType::f64) x = expr::convert(std::move(x), DType::f32);
    const FloatFormat* format = find_float_format(narrow);
    const Expr y = format != nullptr ? round_to_format(x, *format, rule.saturates) : round_to_power_of_two(x, rule);
    return type == DType::f32 ? y : expr::convert(y, type);
  }
  switch (narrow) {
    case Narrow::u2:
    case Narrow::u4:
    case Narrow::u8:
    case Narrow::u16:
    case Narrow::u32:
      return integer_and(std::move(x), (int64_t{1} << narrow_bits(narrow)) - 1);
    case Narrow::i2:
    case Narrow::i4:
    case Narrow::i8:
    case Narrow::i16: {
      const Expr count = expr::integer((x->type == DType::i64 ? 64 : 32) - narrow_bits(narrow), x->type);
      return expr::binary(ExprOp::sar, expr::binary(ExprOp::shl, std::move(x), count), count);
    }
    default:
      return x;
  }
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
      "y = x rounded to nearest even (floats) or wrapped (integers) to the values of a narrow element type, elementwise; "
      "the gradient passes as it is. Beyond the greatest float lies infinity, else NaN, or where it saturates (f4e2m1 "
      "always) that float. f8e8m0 is the power of two that `round_mode` says, ties up.  x, y: [...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {{.name = "type",
                    .type = AttributeType::string,
                    .choices = {"f16", "bf16", "i8", "i16", "u8", "u16", "u32", "u64", "f8e4m3fn", "f8e4m3fnuz", "f8e5m2",
                                "f8e5m2fnuz", "f8e8m0", "f4e2m1", "i4", "u4", "i2", "u2"}},
                   {.name = "saturate", .type = AttributeType::boolean, .default_value = false},
                   {.name = "round_mode",
                    .type = AttributeType::string,
                    .default_value = "nearest",
                    .choices = {"nearest", "up", "down"}}};
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
    for (double& value : y.data) value = narrowed(value, narrow_of(attributes), rule_of(attributes));
    return std::vector<HostTensor>{std::move(y)};
  };
  op.lower = [](std::span<const Expr> x, const Attributes& attributes) {
    return lower_narrow(x[0], narrow_of(attributes), rule_of(attributes));
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
  for (const char* type : {"i4", "u4", "i2", "u2"})
    op.examples.push_back(example(type, {.shape = {whole}, .dtype = DType::i32, .values = integers}));
  // Around ties, the ends of the ranges and the least numbers of each.
  const std::vector<double> small = {0.0,    -0.0,   1.0625, 1.1875,  -3.5,     5.0,      -6.0,     7.0,       9.0,       240.0,
                                     247.0,  248.0,  448.0,  464.0,   465.0,    57344.0,  61439.0,  61440.0,   -1e6,      INFINITY,
                                     -INFINITY, NAN, 0.25,   0.75,    0x1p-9,   0x1.8p-9, 0x1p-10,  -0x1.1p-10, 0x1p-16, 0x1.8p-17,
                                     0x1p-17, -0x1p-18, 0x1p-126, 0x1.8p-127, 0x1p-127, 0x1p-128, 0x1.4p127, 0x1.8p127, 3e38, 0x1.8p3};
  const auto smalls = static_cast<int64_t>(small.size());
  for (const char* type : {"f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz", "f4e2m1", "f8e8m0"}) {
    const bool is_scale = std::string_view(type) == "f8e8m0";
    for (const bool saturates : {false, true})
      for (const char* direction : {"nearest", "up", "down"}) {
        if (!is_scale && std::string_view(direction) != "nearest") continue;
        Example one = example(type, {.shape = {smalls}, .values = small});
        one.attributes.set("saturate", saturates);
        one.attributes.set("round_mode", direction);
        op.examples.push_back(std::move(one));
      }
    if (!is_scale) op.examples.push_back(example(type, {.shape = {7, 33}, .low = -8, .high = 8}));
  }
  std::vector<Op> ops = bit_ops();
  ops.insert(ops.begin(), std::move(op));
  ops.push_back(bitcast_op());
  return ops;
}

}  // namespace moru
