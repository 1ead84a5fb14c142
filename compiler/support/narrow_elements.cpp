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
    case Narrow::u64:
    case Narrow::none:
      break;
  }
  return {held.begin(), held.end()};
}

std::vector<std::byte> widen_elements(std::span<const std::byte> bytes, Narrow narrow) {
  switch (narrow) {
    case Narrow::f16:
      return converted<uint16_t, float>(bytes, f16_value);
    case Narrow::bf16:
      return converted<uint16_t, float>(bytes, bf16_value);
    case Narrow::i8:
      return converted<int8_t, int32_t>(bytes, [](int8_t x) { return int32_t{x}; });
    case Narrow::u8:
      return converted<uint8_t, int32_t>(bytes, [](uint8_t x) { return int32_t{x}; });
    case Narrow::i16:
      return converted<int16_t, int32_t>(bytes, [](int16_t x) { return int32_t{x}; });
    case Narrow::u16:
      return converted<uint16_t, int32_t>(bytes, [](uint16_t x) { return int32_t{x}; });
    case Narrow::u32:
      return converted<uint32_t, int64_t>(bytes, [](uint32_t x) { return int64_t{x}; });
    case Narrow::u64:
    case Narrow::none:
      break;
  }
  return {bytes.begin(), bytes.end()};
}

}  // namespace moru
