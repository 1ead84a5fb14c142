// A file's bytes, mapped.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "runtime/status.h"

namespace moru {

class MappedFile {
 public:
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  /// Bytes that may be written: what is written is this process's own and takes its memory, the file stays as it is.
  static Result<std::shared_ptr<MappedFile>> open_copy(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<std::byte> writable_bytes() { return bytes_; }  // of a copy

 private:
  MappedFile() = default;
  static Result<std::shared_ptr<MappedFile>> map(const std::string& path, int protection);
  std::span<std::byte> bytes_;
};

/// Has the system begin to read these bytes of a mapped file, which are wanted soon. Does not wait.
void prefetch_mapped(std::span<const std::byte> part) noexcept;

}  // namespace moru
