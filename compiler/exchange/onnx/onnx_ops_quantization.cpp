// ONNX's quantized operators: integers of 2 to 16 bits, and floats of 4 and 8, that stand for multiples of a scale.
#include <algorithm>
#include <cmath>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

struct Range {
  double low, high;
};

Range range_of(OnnxNode& n, ElementType type) {
  if (!is_narrow_integer(type.narrow) || stored_bits(type) > 16)
    n.fail("quantizes to another type than integers of 2 to 16 bits and floats of 4 and 8 bits, which is not supported");
  const auto bits = static_cast<int>(stored_bits(type));
  const bool is_signed = narrow_name(type.narrow).front() == 'i';
  const double count = std::ldexp(1.0, bits);
  return is_signed ? Range{-count / 2, count / 2 - 1} : Range{0, count - 1};
}

// A scale or zero point beside x: one for all, one for each place of `axis`, or one for each block along it. `shape` is a
// copy, since types move while a graph grows.
Value beside(OnnxNode& n, Value parameter, Shape shape, int64_t axis) {
  Builder& b = n.builder();
  const int64_t block = n.integer("block_size", 0);
  if (parameter.rank() == 0 || (parameter.rank() == 1 && parameter.dim(0).is_constant(1) && block == 0))
    return b.reshape(parameter, {});
  if (axis < 0 || axis >= std::ssize(shape))
    n.fail("has a scale of shape " + shape_text(parameter.shape()) + " for " + shape_text(shape));
  if (parameter.rank() == 1 && block == 0) {
    Shape along(shape.size(), Dim(1));
    along[static_cast<size_t>(axis)] = parameter.dim(0);
    return b.reshape(parameter, along);
  }
  if (parameter.rank() != shape.size() || block < 1)
    n.fail("has a scale of shape " + shape_text(parameter.shape()) + " for " + shape_text(shape));
  const auto at = static_cast<size_t>(axis);
  Shape apart = parameter.shape(), repeated = apart, joined = apart;
  apart.insert(apart.begin() + axis + 1, Dim(1));
  repeated.insert(repeated.begin() + axis + 1, Dim(block));
  joined[at] = joined[at] * block;
  const Value blocks = b.reshape(b.broadcast_to(b.reshape(parameter, apart), repeated), joined);
  return b.slice(blocks, axis, 0, shape[at]);  // the last block may be cut short
}

Value saturated(OnnxNode& n, Value x, Range range) {
  Builder& b = n.builder();
  const DType dtype = x.type().dtype;
  return b.call("minimum", {b.call("maximum", {x, b.constant(range.low, dtype)}), b.constant(range.high, dtype)});
}

// round(x) + zero point, within the type's range: as a float.
Value quantized(OnnxNode& n, Value x, Value zero_point, ElementType type) {
  Value y = n.builder().call("round", {x});
  if (zero_point) y = y + n.builder().cast(zero_point, x.type().dtype);
  return saturated(n, y, range_of(n, type));
}

void set_quantized(OnnxNode& n, size_t output, Value y, ElementType type) {
  n.set_as(output, n.builder().cast(y, DType::i32), type);
}

// The quotient, as precise as `precision` says, or as the scale is.
Value divided(OnnxNode& n, Value x, Value scale) {
  Builder& b = n.builder();
  const int64_t precision = n.integer("precision", 0);
  const ElementType type = precision == 0 ? n.dtype(1) : dtype_of_onnx(static_cast<int32_t>(precision), "the attribute 'precision'");
  const bool is_half = type.narrow == Narrow::f16 || type.narrow == Narrow::bf16;
  const auto as_precise = [&](Value value) { return is_half ? n.narrowed(value, type.narrow) : value; };
  if (type.dtype == DType::f64) return b.cast(x, DType::f64) / b.cast(scale, DType::f64);
  return as_precise(as_precise(b.cast(x, DType::f32)) / as_precise(b.cast(scale, DType::f32)));
}

void quantize(OnnxNode& n) {
  const Value x = n.in(0);
  const int64_t axis = x.rank() > 0 ? n.axis(n.integer("axis", 1), std::max<size_t>(x.rank(), 2)) : 0;
  ElementType type(DType::i32, Narrow::u8);
  if (n.has_input(2))
    type = n.dtype(2);
  else if (n.integer("output_dtype", 0) != 0)
    type = dtype_of_onnx(static_cast<int32_t>(n.integer("output_dtype")), "the attribute 'output_dtype'");
  const Value scale = beside(n, n.in(1), x.shape(), axis);
  const Value zero = n.has_input(2) ? beside(n, n.in(2), x.shape(), axis) : Value{};
  Value y = divided(n, x, scale);
  if (!is_float(type.dtype)) return set_quantized(n, 0, quantized(n, y, zero, type), type);
  if (type.narrow == Narrow::none || stored_bits(type) > 8) range_of(n, type);  // says why not
  if (zero && type.narrow == Narrow::f4e2m1) y = y + n.builder().cast(zero, y.type().dtype);
  n.set_as(0, n.narrowed(y, type.narrow, {.saturates = n.integer("saturate", 1) != 0}), type);
}

void dequantize(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  const int64_t axis = x.rank() > 0 ? n.axis(n.integer("axis", 1), std::max<size_t>(x.rank(), 2)) : 0;
  const ElementType type = n.integer("output_dtype", 0) != 0
                               ? dtype_of_onnx(static_cast<int32_t>(n.integer("output_dtype")), "'output_dtype'")
                               : n.dtype(1);
  if (n.has_input(2)) x = x - beside(n, n.in(2), x.shape(), axis);
  n.set_as(0, b.cast(x, DType::f32) * beside(n, b.cast(n.in(1), DType::f32), x.shape(), axis), type);
}

void quantize_dynamically(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  std::vector<int64_t> all(x.rank());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  const DType dtype = x.type().dtype;
  const Value none = b.constant(0.0, dtype);
  const Value low = b.call("minimum", {b.reduce("reduce_min", x, all), none});
  const Value high = b.call("maximum", {b.reduce("reduce_max", x, all), none});
  const Value scale = (high - low) / 255.0;
  // Zeros alone have no scale.
  const Value divisor = b.select(b.call("equal", {scale, none}), b.constant(1.0, dtype), scale);
  const ElementType type(DType::i32, Narrow::u8);
  const Value zero = quantized(n, -low / divisor, {}, type);
  set_quantized(n, 0, quantized(n, x / divisor, zero, type), type);
  n.set_as(1, scale, dtype);
  set_quantized(n, 2, zero, type);
}

// Exact: sums of products of 16-bit integers fit into f64.
Value centered(OnnxNode& n, size_t input, size_t zero_point, int64_t axis) {
  Builder& b = n.builder();
  const Value x = b.cast(n.in(input), DType::f64);
  if (!n.has_input(zero_point)) return x;
  return x - beside(n, b.cast(n.in(zero_point), DType::f64), x.shape(), axis);
}

void multiply_integers(OnnxNode& n) {
  const Value a = centered(n, 0, 2, static_cast<int64_t>(n.rank(0)) - 2),
              b = centered(n, 1, 3, static_cast<int64_t>(n.rank(1)) - 1);
  n.set_as(0, n.builder().cast(matmul(a, b), DType::i32), DType::i32);
}

void multiply_quantized(OnnxNode& n) {
  Builder& b = n.builder();
  const auto row = static_cast<int64_t>(n.rank(0)) - 2, column = static_cast<int64_t>(n.rank(3)) - 1;
  const Value left = centered(n, 0, 2, row), right = centered(n, 3, 5, column);
  const Value left_scale = beside(n, b.cast(n.in(1), DType::f64), left.shape(), row);
  const Value right_scale = beside(n, b.cast(n.in(4), DType::f64), right.shape(), column);
  const Value y = matmul(left * left_scale, right * right_scale) / b.cast(b.reshape(n.in(6), {}), DType::f64);
  set_quantized(n, 0, quantized(n, y, b.reshape(n.in(7), {}), n.dtype(7)), n.dtype(7));
}

void convolve_integers(OnnxNode& n) {
  const Value y = convolution(n, centered(n, 0, 2, 1), centered(n, 1, 3, 0));
  n.set_as(0, n.builder().cast(y, DType::i32), DType::i32);
}

void convolve_quantized(OnnxNode& n) {
  Builder& b = n.builder();
  Value y = convolution(n, centered(n, 0, 2, 1), centered(n, 3, 5, 0));
  auto per_channel = [&](Value x) {
    if (x.rank() == 0 || x.dim(0).is_constant(1)) return b.reshape(x, {});
    Shape shape(y.rank() - 1, Dim(1));
    shape[0] = x.dim(0);
    return b.reshape(x, shape);
  };
  if (n.has_input(8)) y = y + per_channel(b.cast(n.in(8), DType::f64));
  const Value scale = b.cast(b.reshape(n.in(1), {}), DType::f64) * per_channel(b.cast(n.in(4), DType::f64)) /
                      b.cast(b.reshape(n.in(6), {}), DType::f64);
  set_quantized(n, 0, quantized(n, y * scale, b.reshape(n.in(7), {}), n.dtype(7)), n.dtype(7));
}

constexpr OnnxOp ops[] = {{"QuantizeLinear", 1, quantize},
                          {"DequantizeLinear", 1, dequantize},
                          {"DynamicQuantizeLinear", 1, quantize_dynamically},
                          {"MatMulInteger", 1, multiply_integers},
                          {"QLinearMatMul", 1, multiply_quantized},
                          {"ConvInteger", 1, convolve_integers},
                          {"QLinearConv", 1, convolve_quantized}};

}  // namespace

std::span<const OnnxOp> onnx_quantization_ops() { return ops; }

}  // namespace moru
