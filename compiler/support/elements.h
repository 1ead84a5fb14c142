// Elements out of bytes that may lie at any address, each written once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace moru {

/// Appends the elements that `bytes` holds, in this machine's order.
template <typename Element>
void append_elements(std::vector<Element>& to, std::span<const std::byte> bytes) {
  to.reserve(to.size() + bytes.size() / sizeof(Element));
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(Element) == 0) {
    const auto* begin = reinterpret_cast<const Element*>(bytes.data());
    to.insert(to.end(), begin, begin + bytes.size() / sizeof(Element));
    return;
  }
  Element aligned[4096];
  for (size_t left = bytes.size() / sizeof(Element); left > 0;) {
    const size_t some = std::min(left, std::size(aligned));
    std::memcpy(aligned, bytes.data(), some * sizeof(Element));
    to.insert(to.end(), aligned, aligned + some);
    bytes = bytes.subspan(some * sizeof(Element));
    left -= some;
  }
}

/// Appends the bytes of one element, in this machine's order.
template <typename Element>
void append_bytes(std::vector<std::byte>& to, Element element) {
  const auto* begin = reinterpret_cast<const std::byte*>(&element);
  to.insert(to.end(), begin, begin + sizeof element);
}

}  // namespace moru
