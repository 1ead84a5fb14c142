#include "compiler/support/narrow_elements.h"

#include <cstdint>
#include <cstring>

namespace moru {

namespace {

template <typename From, typename To, typename Convert>
std::vector<std::byte> converted(std::span<const std::byte> from, Convert convert) {
  std::vector<std::byte> to(from.size() / sizeof(From) * sizeof(To));
  for (size_t i = 0; i < from.size() / sizeof(From); ++i) {
    From element;
    std::memcpy(&element, from.data() + i * sizeof(From), sizeof(From));
    const To result = convert(element);
    std::memcpy(to.data() + i * sizeof(To), &result, sizeof(To));
  }
  return to;
}

// The pattern of an element of eight bits or fewer.
uint8_t pattern_of(const std::byte* held, Narrow narrow) {
  if (is_float(held_in(narrow))) {
    float value;
    std::memcpy(&value, held, sizeof value);
    return small_float_bits(value, narrow);
  }
  int32_t value;
  std::memcpy(&value, held, sizeof value);
  return static_cast<uint8_t>(value & ((1 << narrow_bits(narrow)) - 1));
}

void hold_pattern(uint8_t pattern, Narrow narrow, std::byte* held) {
  if (is_float(held_in(narrow))) {
    const float value = small_float_value(pattern, narrow);
    std::memcpy(held, &value, sizeof value);
    return;
  }
  const auto value = static_cast<int32_t>(narrowed(pattern, narrow));
  std::memcpy(held, &value, sizeof value);
}

// The first of the elements that share a byte is in its lowest bits.
std::vector<std::byte> packed(std::span<const std::byte> held, Narrow narrow) {
  constexpr size_t held_bytes = 4;
  const size_t count = held.size() / held_bytes;
  const auto bits = static_cast<size_t>(narrow_bits(narrow)), each = 8 / bits;
  std::vector<std::byte> stored((count + each - 1) / each);
  for (size_t i = 0; i < count; ++i)
    stored[i / each] |= static_cast<std::byte>(pattern_of(held.data() + i * held_bytes, narrow) << (i % each * bits));
  return stored;
}

std::vector<std::byte> unpacked(std::span<const std::byte> stored, Narrow narrow) {
  constexpr size_t held_bytes = 4;
  const auto bits = static_cast<size_t>(narrow_bits(narrow)), each = 8 / bits;
  // Every byte stands for the same elements wherever it is.
  std::vector<std::byte> meaning(256 * each * held_bytes), held(stored.size() * each * held_bytes);
  for (size_t i = 0; i < 256 * each; ++i)
    hold_pattern(static_cast<uint8_t>(i / each >> (i % each * bits) & ((1u << bits) - 1)), narrow,
                 meaning.data() + i * held_bytes);
  for (size_t i = 0; i < stored.size(); ++i)
    std::memcpy(held.data() + i * each * held_bytes,
                meaning.data() + static_cast<size_t>(stored[i]) * each * held_bytes, each * held_bytes);
  return held;
}

}  // namespace

std::vector<std::byte> narrow_elements(std::span<const std::byte> held, Narrow narrow) {
  switch (narrow) {
    case Narrow::f16:
      return converted<float, uint16_t>(held, f16_bits);
    case Narrow::bf16:
      return converted<float, uint16_t>(held, bf16_bits);
    case Narrow::i8:
    case Narrow::u8:
      return converted<int32_t, uint8_t>(held, [](int32_t x) { return static_cast<uint8_t>(x); });
    case Narrow::i16:
    case Narrow::u16:
      return converted<int32_t, uint16_t>(held, [](int32_t x) { return static_cast<uint16_t>(x); });
    case Narrow::u32:
      return converted<int64_t, uint32_t>(held, [](int64_t x) { return static_cast<uint32_t>(x); });
    case Narrow::f8e4m3fn:
    case Narrow::f8e4m3fnuz:
    case Narrow::f8e5m2:
    case Narrow::f8e5m2fnuz:
    case Narrow::f8e8m0:
    case Narrow::f4e2m1:
    case Narrow::i4:
    case Narrow::u4:
    case Narrow::i2:
    case Narrow::u2:
      return packed(held, narrow);
    case Narrow::u64:
    case Narrow::none:
      break;
  }
  return {held.begin(), held.end()};
}

std::vector<std::byte> widen_elements(std::span<const std::byte> stored, Narrow narrow) {
  switch (narrow) {
    case Narrow::f16:
      return converted<uint16_t, float>(stored, f16_value);
    case Narrow::bf16:
      return converted<uint16_t, float>(stored, bf16_value);
    case Narrow::i8:
      return converted<int8_t, int32_t>(stored, [](int8_t x) { return int32_t{x}; });
    case Narrow::u8:
      return converted<uint8_t, int32_t>(stored, [](uint8_t x) { return int32_t{x}; });
    case Narrow::i16:
      return converted<int16_t, int32_t>(stored, [](int16_t x) { return int32_t{x}; });
    case Narrow::u16:
      return converted<uint16_t, int32_t>(stored, [](uint16_t x) { return int32_t{x}; });
    case Narrow::u32:
      return converted<uint32_t, int64_t>(stored, [](uint32_t x) { return int64_t{x}; });
    case Narrow::f8e4m3fn:
    case Narrow::f8e4m3fnuz:
    case Narrow::f8e5m2:
    case Narrow::f8e5m2fnuz:
    case Narrow::f8e8m0:
    case Narrow::f4e2m1:
    case Narrow::i4:
    case Narrow::u4:
    case Narrow::i2:
    case Narrow::u2:
      return unpacked(stored, narrow);
    case Narrow::u64:
    case Narrow::none:
      break;
  }
  return {stored.begin(), stored.end()};
}

}  // namespace moru
