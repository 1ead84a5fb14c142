// Memory for tensors: 64-byte aligned, its size rounded up to a multiple of 64, so that vector code may read and write
// behind the last element. A failed or absurdly large allocation is a status.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "runtime/session_host.h"
#include "runtime/status.h"

namespace moru {

constexpr uint64_t round_up_to_alignment(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(const Allocator& allocator) : allocator_(allocator) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)), allocator_(other.allocator_) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(allocator_, other.allocator_);
    return *this;
  }
  ~AlignedBuffer();

  std::byte* data() const { return data_; }
  uint64_t capacity() const { return capacity_; }

  /// Makes room for `bytes`; the contents are lost if the buffer has to grow. `purpose` goes into the error message.
  /// Fails, unchanged, where the machine does not have as much memory.
  Status reserve(uint64_t bytes, const char* purpose);

 private:
  std::byte* data_ = nullptr;
  uint64_t capacity_ = 0;
  Allocator allocator_;

  void* allocate(uint64_t bytes) const;
  void release() const;
};

}  // namespace moru
