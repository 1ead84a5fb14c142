#include "compiler/support/narrow.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>

namespace moru {

namespace {

struct Description {
  std::string_view name, numpy;
  DType held;
  int64_t bits;
};
constexpr Description descriptions[] = {{"", "", DType::f32, 0},
                                        {"f16", "float16", DType::f32, 16},
                                        {"bf16", "bfloat16", DType::f32, 16},
                                        {"i8", "int8", DType::i32, 8},
                                        {"i16", "int16", DType::i32, 16},
                                        {"u8", "uint8", DType::i32, 8},
                                        {"u16", "uint16", DType::i32, 16},
                                        {"u32", "uint32", DType::i64, 32},
                                        {"u64", "uint64", DType::i64, 64},
                                        {"f8e4m3fn", "float8_e4m3fn", DType::f32, 8},
                                        {"f8e4m3fnuz", "float8_e4m3fnuz", DType::f32, 8},
                                        {"f8e5m2", "float8_e5m2", DType::f32, 8},
                                        {"f8e5m2fnuz", "float8_e5m2fnuz", DType::f32, 8},
                                        {"f8e8m0", "float8_e8m0fnu", DType::f32, 8},
                                        {"f4e2m1", "float4_e2m1fn", DType::f32, 4},
                                        {"i4", "int4", DType::i32, 4},
                                        {"u4", "uint4", DType::i32, 4},
                                        {"i2", "int2", DType::i32, 2},
                                        {"u2", "uint2", DType::i32, 2}};

const Description& describe(Narrow narrow) { return descriptions[static_cast<size_t>(narrow)]; }

constexpr std::string_view directions[] = {"nearest", "up", "down"};

// Of eight bits or fewer: where the sign is, and the patterns of what is no number.
struct Patterns {
  uint8_t sign, nan, infinity;
};
Patterns patterns_of(Narrow narrow) {
  switch (narrow) {
    case Narrow::f8e4m3fn:
      return {0x80, 0x7f, 0x7f};
    case Narrow::f8e5m2:
      return {0x80, 0x7e, 0x7c};
    case Narrow::f4e2m1:
      return {0x08, 0x08, 0x07};
    default:
      return {0x80, 0x80, 0x80};
  }
}

double round_to_format(double value, const FloatFormat& format, bool saturates) {
  if (std::isnan(value)) return format.has_nan ? value : -0.0;
  const double magnitude = std::abs(value);
  const int exponent = magnitude == 0.0 ? format.least_exponent : std::max(std::ilogb(magnitude), format.least_exponent);
  const double distance = std::ldexp(1.0, exponent - format.mantissa_bits);
  double rounded = std::isinf(magnitude) ? magnitude : std::nearbyint(magnitude / distance) * distance;
  if (rounded > format.greatest) {
    if (saturates || !format.has_nan)
      rounded = format.greatest;
    else
      rounded = format.has_infinity ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return rounded == 0.0 && !format.has_negative_zero ? 0.0 : std::copysign(rounded, value);
}

double round_to_power_of_two(double value, NarrowRule rule) {
  constexpr double least = 0x1p-127, greatest = 0x1p127;
  const double magnitude = std::abs(value), nan = std::numeric_limits<double>::quiet_NaN();
  if (std::isnan(magnitude)) return magnitude;
  if (magnitude < least) return rule.saturates ? least : nan;
  if (std::isinf(magnitude)) return rule.saturates ? greatest : nan;
  const double below = std::ldexp(1.0, std::ilogb(magnitude));
  using Direction = NarrowRule::Direction;
  const bool rises = rule.direction == Direction::up        ? magnitude > below
                     : rule.direction == Direction::nearest ? magnitude >= 1.5 * below
                                                            : false;
  const double rounded = rises ? 2.0 * below : below;
  if (rounded > greatest) return rule.saturates ? greatest : nan;
  return rounded;
}

}  // namespace

std::string_view narrow_name(Narrow narrow) { return describe(narrow).name; }
std::string_view narrow_numpy_name(Narrow narrow) { return describe(narrow).numpy; }
DType held_in(Narrow narrow) { return describe(narrow).held; }
int64_t narrow_bits(Narrow narrow) { return describe(narrow).bits; }

int64_t stored_bits(ElementType type) {
  return type.narrow == Narrow::none ? 8 * dtype_bytes(type.dtype) : narrow_bits(type.narrow);
}

int64_t stored_bytes(ElementType type, int64_t elements) {
  const int64_t bits = stored_bits(type);
  return bits >= 8 ? elements * (bits / 8) : (elements + 8 / bits - 1) / (8 / bits);
}

const FloatFormat* find_float_format(Narrow narrow) {
  static constexpr FloatFormat f16 = {10, -14, 65504.0, true, true, true}, bf16 = {7, -126, 0x1.fep127, true, true, true},
                               e4m3fn = {3, -6, 448.0, false, true, true}, e4m3fnuz = {3, -7, 240.0, false, true, false},
                               e5m2 = {2, -14, 57344.0, true, true, true},
                               e5m2fnuz = {2, -15, 57344.0, false, true, false},
                               e2m1 = {1, 0, 6.0, false, false, true};
  switch (narrow) {
    case Narrow::f16:
      return &f16;
    case Narrow::bf16:
      return &bf16;
    case Narrow::f8e4m3fn:
      return &e4m3fn;
    case Narrow::f8e4m3fnuz:
      return &e4m3fnuz;
    case Narrow::f8e5m2:
      return &e5m2;
    case Narrow::f8e5m2fnuz:
      return &e5m2fnuz;
    case Narrow::f4e2m1:
      return &e2m1;
    default:
      return nullptr;
  }
}

std::string_view direction_name(NarrowRule::Direction direction) { return directions[static_cast<size_t>(direction)]; }

std::optional<NarrowRule::Direction> find_direction(std::string_view name) {
  for (size_t i = 0; i < std::size(directions); ++i)
    if (directions[i] == name) return static_cast<NarrowRule::Direction>(i);
  return std::nullopt;
}

std::optional<Narrow> find_narrow(std::string_view name) {
  for (size_t i = 1; i < std::size(descriptions); ++i)
    if (descriptions[i].name == name) return static_cast<Narrow>(i);
  return std::nullopt;
}

uint16_t f16_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00);
  const float magnitude = std::abs(value);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x1p-14f)
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24f)));
  const uint32_t low = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = low + 0xfff + (low >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

float f16_value(uint16_t bits) {
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return mantissa ? std::nanf("") : sign * INFINITY;
  if (exponent == 0) return sign * static_cast<float>(mantissa) * 0x1p-24f;
  return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

uint16_t bf16_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t bf16_bits_of_normal(float value) {
  const bool is_subnormal = std::fabs(value) < std::numeric_limits<float>::min();
  return bf16_bits(is_subnormal ? std::copysign(0.0f, value) : value);
}

float bf16_value(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

double narrowed(double value, Narrow narrow, NarrowRule rule) {
  const auto wrapped = [&](int64_t bits, bool is_signed) {
    const auto low = static_cast<uint64_t>(static_cast<int64_t>(value)) & ((uint64_t{1} << bits) - 1);
    const bool negative = is_signed && (low >> (bits - 1)) != 0;
    return static_cast<double>(static_cast<int64_t>(low) - (negative ? int64_t{1} << bits : 0));
  };
  switch (narrow) {
    case Narrow::f16:
      return static_cast<double>(f16_value(f16_bits(static_cast<float>(value))));
    case Narrow::bf16:
      return static_cast<double>(bf16_value(bf16_bits(static_cast<float>(value))));
    case Narrow::f8e4m3fn:
    case Narrow::f8e4m3fnuz:
    case Narrow::f8e5m2:
    case Narrow::f8e5m2fnuz:
    case Narrow::f4e2m1:
      return round_to_format(static_cast<double>(static_cast<float>(value)), *find_float_format(narrow), rule.saturates);
    case Narrow::f8e8m0:
      return round_to_power_of_two(static_cast<double>(static_cast<float>(value)), rule);
    case Narrow::i8:
    case Narrow::i16:
    case Narrow::i4:
    case Narrow::i2:
      return wrapped(narrow_bits(narrow), true);
    case Narrow::u8:
    case Narrow::u16:
    case Narrow::u32:
    case Narrow::u4:
    case Narrow::u2:
      return wrapped(narrow_bits(narrow), false);
    case Narrow::u64:
    case Narrow::none:
      return value;
  }
  return value;
}

uint8_t small_float_bits(float value, Narrow narrow) {
  value = static_cast<float>(narrowed(static_cast<double>(value), narrow));
  if (narrow == Narrow::f8e8m0) return std::isnan(value) ? 0xff : static_cast<uint8_t>(std::ilogb(value) + 127);
  const FloatFormat& format = *find_float_format(narrow);
  const Patterns patterns = patterns_of(narrow);
  const uint8_t sign = std::signbit(value) ? patterns.sign : uint8_t{0};
  const auto with_sign = [&](int bits) { return static_cast<uint8_t>(sign | bits); };
  if (std::isnan(value)) return format.has_negative_zero ? with_sign(patterns.nan) : patterns.nan;
  if (std::isinf(value)) return with_sign(patterns.infinity);
  if (value == 0.0f) return format.has_negative_zero ? sign : uint8_t{0};
  const float magnitude = std::abs(value);
  const int exponent = std::max(std::ilogb(magnitude), format.least_exponent);
  // The leading one of numbers from 2^least_exponent on adds one to the exponent's field.
  const auto digits = static_cast<int>(std::ldexp(magnitude, format.mantissa_bits - exponent));
  return with_sign(((exponent - format.least_exponent) << format.mantissa_bits) + digits);
}

float small_float_value(uint8_t bits, Narrow narrow) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  if (narrow == Narrow::f8e8m0) return bits == 0xff ? nan : std::ldexp(1.0f, bits - 127);
  const FloatFormat& format = *find_float_format(narrow);
  const Patterns patterns = patterns_of(narrow);
  const int pattern = bits & (patterns.sign - 1);
  const float sign = bits & patterns.sign ? -1.0f : 1.0f;
  if (format.has_infinity && pattern == patterns.infinity) return sign * std::numeric_limits<float>::infinity();
  if (!format.has_negative_zero && bits == patterns.nan) return nan;
  if (format.has_negative_zero && format.has_nan && pattern >= std::min(patterns.nan, patterns.infinity))
    return std::copysign(nan, sign);
  const int field = pattern >> format.mantissa_bits, digits = pattern & ((1 << format.mantissa_bits) - 1);
  const int exponent = format.least_exponent + std::max(field, 1) - 1;
  return sign * std::ldexp(static_cast<float>(digits + (field > 0 ? 1 << format.mantissa_bits : 0)),
                           exponent - format.mantissa_bits);
}

}  // namespace moru
