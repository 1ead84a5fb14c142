// Arrays of data that may be larger than memory. From large_bytes() on they lie in a temporary file without a name (in the
// folder that TMPDIR names, else /tmp), which is mapped: the system keeps in memory what there is room for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "runtime/status.h"

namespace moru {

/// 256 MiB, or what the environment variable MORU_LARGE_BYTES says. Files from this size on are mapped, not read.
uint64_t large_bytes();

/// The bytes of an array.
class LargeBytes {
 public:
  LargeBytes() = default;
  LargeBytes(LargeBytes&& other) noexcept { swap(other); }
  LargeBytes& operator=(LargeBytes&& other) noexcept {
    LargeBytes(std::move(other)).swap(*this);
    return *this;
  }
  ~LargeBytes();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool is_mapped() const { return descriptor_ >= 0; }

  /// However few they are, as parts of something large.
  void keep_on_disk() { threshold_ = 0; }

  /// Makes room, and keeps what was there; the rest is not set. Fails where memory or the disk is full: the room on disk is
  /// taken now, so that no later write can fail.
  Status resize(std::size_t bytes);

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int descriptor_ = -1;
  uint64_t threshold_ = large_bytes();

  void swap(LargeBytes& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(threshold_, other.threshold_);
  }
  Status move_to_file(std::size_t bytes);
};

template <typename T>
class LargeArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  std::size_t size() const { return size_; }
  T* data() { return reinterpret_cast<T*>(bytes_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data()); }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }

  Status push_back(T value) {
    if (size_ == bytes_.size() / sizeof(T)) MORU_RETURN_IF_ERROR(bytes_.resize(std::max<std::size_t>(64, size_ * 2) * sizeof(T)));
    data()[size_++] = value;
    return {};
  }
  Status assign(std::size_t count, T value) {
    MORU_RETURN_IF_ERROR(bytes_.resize(count * sizeof(T)));
    size_ = count;
    std::fill(begin(), end(), value);
    return {};
  }
  void clear() { size_ = 0; }
  void keep_on_disk() { bytes_.keep_on_disk(); }

 private:
  LargeBytes bytes_;
  std::size_t size_ = 0;
};

}  // namespace moru
