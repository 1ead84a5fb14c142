#include "compiler/support/narrow.h"

#include <bit>
#include <cmath>
#include <limits>
#include <iterator>

namespace moru {

namespace {

struct Description {
  std::string_view name, numpy;
  DType held;
  int64_t bytes;
};
constexpr Description descriptions[] = {
    {"", "", DType::f32, 0},          {"f16", "float16", DType::f32, 2}, {"bf16", "bfloat16", DType::f32, 2},
    {"i8", "int8", DType::i32, 1},    {"i16", "int16", DType::i32, 2},   {"u8", "uint8", DType::i32, 1},
    {"u16", "uint16", DType::i32, 2}, {"u32", "uint32", DType::i64, 4},  {"u64", "uint64", DType::i64, 8}};

const Description& describe(Narrow narrow) { return descriptions[static_cast<size_t>(narrow)]; }

}  // namespace

std::string_view narrow_name(Narrow narrow) { return describe(narrow).name; }
std::string_view narrow_numpy_name(Narrow narrow) { return describe(narrow).numpy; }
DType held_in(Narrow narrow) { return describe(narrow).held; }
int64_t narrow_bytes(Narrow narrow) { return describe(narrow).bytes; }

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

double narrowed(double value, Narrow narrow) {
  const auto whole = [&] { return static_cast<int64_t>(value); };
  switch (narrow) {
    case Narrow::f16:
      return static_cast<double>(f16_value(f16_bits(static_cast<float>(value))));
    case Narrow::bf16:
      return static_cast<double>(bf16_value(bf16_bits(static_cast<float>(value))));
    case Narrow::i8:
      return static_cast<double>(static_cast<int8_t>(whole()));
    case Narrow::i16:
      return static_cast<double>(static_cast<int16_t>(whole()));
    case Narrow::u8:
      return static_cast<double>(static_cast<uint8_t>(whole()));
    case Narrow::u16:
      return static_cast<double>(static_cast<uint16_t>(whole()));
    case Narrow::u32:
      return static_cast<double>(static_cast<uint32_t>(whole()));
    case Narrow::u64:
    case Narrow::none:
      return value;
  }
  return value;
}

}  // namespace moru
