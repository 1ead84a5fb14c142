// A tensor somebody else owns: element type, shape, first element. Row-major and dense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "schema/types.h"

namespace moru {

template <typename T>
struct dtype_of;
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<int64_t> {
  static constexpr DType value = DType::i64;
};

struct TensorView {
  DType dtype = DType::f32;
  std::span<const int64_t> shape;
  const void* data = nullptr;

  /// 1 for a scalar. The maker of a view has checked that it does not overflow.
  int64_t element_count() const {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    return count;
  }
  uint64_t bytes() const { return static_cast<uint64_t>(element_count() * dtype_bytes(dtype)); }

  /// The elements; empty if T is not the element type.
  template <typename T>
  std::span<const T> elements() const {
    if (dtype != dtype_of<T>::value || data == nullptr) return {};
    return {static_cast<const T*>(data), static_cast<size_t>(element_count())};
  }
};

/// "[32, 24, 11]"; "[]" for a scalar.
std::string sizes_text(std::span<const int64_t> sizes);

}  // namespace moru
