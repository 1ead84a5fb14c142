// Narrow element types: those of ONNX that Moru does not compute in. A tensor of one holds its values in a wider type
// (f16 in f32, u8 in i32, u32 in i64), rounded or wrapped to the narrow one after every operator; files hold them
// narrow.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "compiler/support/dtype.h"

namespace moru {

enum class Narrow : uint8_t { none, f16, bf16, i8, i16, u8, u16, u32, u64 };

/// "f16", "bf16", "i8", ...; empty for none.
std::string_view narrow_name(Narrow narrow);
std::optional<Narrow> find_narrow(std::string_view name);
/// "float16", "uint8", ...: as numpy calls it, "bfloat16" for the one that numpy lacks.
std::string_view narrow_numpy_name(Narrow narrow);
/// The type that holds its values.
DType held_in(Narrow narrow);
int64_t narrow_bytes(Narrow narrow);

uint16_t f16_bits(float value);  // rounds to nearest even
float f16_value(uint16_t bits);
uint16_t bf16_bits(float value);  // rounds to nearest even
float bf16_value(uint16_t bits);
/// The same as processors' instructions do it: what is below the normal numbers becomes a zero of its sign.
uint16_t bf16_bits_of_normal(float value);

/// `value` rounded (floats) or wrapped (integers) to what the narrow type can say.
double narrowed(double value, Narrow narrow);

/// An ONNX element type in Moru's terms: the type that holds it, and what is narrower about it.
struct ElementType {
  DType dtype = DType::f32;
  Narrow narrow = Narrow::none;
  ElementType() = default;
  ElementType(DType held, Narrow narrower = Narrow::none) : dtype(held), narrow(narrower) {}  // NOLINT
  operator DType() const { return dtype; }                                                    // NOLINT
};

}  // namespace moru
