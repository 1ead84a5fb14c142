#include "runtime/aligned_buffer.h"

#include <unistd.h>

#include <new>
#include <string>

namespace moru {
namespace {

constexpr std::align_val_t alignment{64};

/// Bytes of memory in the machine. Asking for more would succeed (the kernel overcommits) and kill the process later.
uint64_t machine_memory_bytes() {
  static const uint64_t bytes = [] {
    long pages = ::sysconf(_SC_PHYS_PAGES);
    long page_bytes = ::sysconf(_SC_PAGE_SIZE);
    return pages > 0 && page_bytes > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) : UINT64_MAX;
  }();
  return bytes;
}

}  // namespace

AlignedBuffer::~AlignedBuffer() { release(); }

void* AlignedBuffer::allocate(uint64_t bytes) const {
  if (allocator_.allocate == nullptr) return ::operator new(bytes, alignment, std::nothrow);
  void* memory = allocator_.allocate(allocator_.context, bytes, static_cast<uint64_t>(alignment));
  if (reinterpret_cast<uintptr_t>(memory) % static_cast<uint64_t>(alignment) == 0) return memory;
  allocator_.release(allocator_.context, memory, bytes);  // not what was asked for
  return nullptr;
}

void AlignedBuffer::release() const {
  if (data_ == nullptr) return;
  if (allocator_.allocate == nullptr) return ::operator delete(data_, alignment);
  allocator_.release(allocator_.context, data_, capacity_);
}

Status AlignedBuffer::reserve(uint64_t bytes, const char* purpose) {
  if (bytes <= capacity_) return {};
  void* fresh = bytes <= machine_memory_bytes() ? allocate(round_up_to_alignment(bytes)) : nullptr;
  if (fresh == nullptr) {
    return {StatusCode::out_of_memory,
            "not enough memory: " + std::to_string(bytes) + " bytes are needed for " + purpose};
  }
  release();
  data_ = static_cast<std::byte*>(fresh);
  capacity_ = round_up_to_alignment(bytes);
  return {};
}

}  // namespace moru
