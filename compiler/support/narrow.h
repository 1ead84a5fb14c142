// Narrow element types: those of ONNX that Moru does not compute in. A tensor of one holds its values in a wider type
// (f16 and f8 in f32, u8 and i4 in i32, u32 in i64), rounded or wrapped to the narrow one after every operator; files
// hold them narrow, those of less than a byte packed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "compiler/support/dtype.h"

namespace moru {

/// f8 and f4 are named by their bits of exponent and mantissa: "fn" has no infinity, "uz" no negative zero; f8e8m0 is a
/// power of two, the scale of a block (OCP Microscaling Formats, version 1.0).
enum class Narrow : uint8_t {
  none, f16, bf16, i8, i16, u8, u16, u32, u64,
  f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, f8e8m0, f4e2m1, i4, u4, i2, u2
};

/// "f16", "bf16", "i8", ...; empty for none.
std::string_view narrow_name(Narrow narrow);
std::optional<Narrow> find_narrow(std::string_view name);
/// "float16", "uint8", ...: as numpy calls it, or as ml_dtypes does where numpy lacks it ("bfloat16", "int4").
std::string_view narrow_numpy_name(Narrow narrow);
/// The type that holds its values.
DType held_in(Narrow narrow);
int64_t narrow_bits(Narrow narrow);

/// Floats of a sign, an exponent and a mantissa: multiples of 2^(e - mantissa_bits) for magnitudes from 2^e on, where e
/// is `least_exponent` for all that is smaller.
struct FloatFormat {
  int mantissa_bits, least_exponent;
  double greatest;
  bool has_infinity, has_nan, has_negative_zero;
};
/// Of f16, bf16, f8 and f4; null for integers and f8e8m0.
const FloatFormat* find_float_format(Narrow narrow);

uint16_t f16_bits(float value);  // rounds to nearest even
float f16_value(uint16_t bits);
uint16_t bf16_bits(float value);  // rounds to nearest even
float bf16_value(uint16_t bits);
/// The same as processors' instructions do it: what is below the normal numbers becomes a zero of its sign.
uint16_t bf16_bits_of_normal(float value);

/// How a float of 8 bits comes about. ONNX's Cast has the first two rules for all of them, the direction for f8e8m0.
struct NarrowRule {
  enum class Direction : uint8_t { nearest, up, down };
  bool saturates = false;  // to the greatest number (f8e8m0: and to the least), else infinity or NaN
  Direction direction = Direction::nearest;
};
/// "nearest", "up", "down".
std::string_view direction_name(NarrowRule::Direction direction);
std::optional<NarrowRule::Direction> find_direction(std::string_view name);

/// `value` rounded (floats: to nearest even) or wrapped (integers) to what the narrow type can say. f8e8m0 takes the
/// magnitude, ties up. Floats of 4 bits always saturate, and NaN becomes -0, as they have none.
double narrowed(double value, Narrow narrow, NarrowRule rule = {});

/// The pattern of a value of f8 or f4, and the value of a pattern.
uint8_t small_float_bits(float value, Narrow narrow);
float small_float_value(uint8_t bits, Narrow narrow);

/// An ONNX element type in Moru's terms: the type that holds it, and what is narrower about it.
struct ElementType {
  DType dtype = DType::f32;
  Narrow narrow = Narrow::none;
  ElementType() = default;
  ElementType(DType held, Narrow narrower = Narrow::none) : dtype(held), narrow(narrower) {}  // NOLINT
  operator DType() const { return dtype; }                                                    // NOLINT
};

/// Of one element in a file, and bytes of `elements` there.
int64_t stored_bits(ElementType type);
int64_t stored_bytes(ElementType type, int64_t elements);

}  // namespace moru
