// A file's bytes, mapped read-only.
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
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

  /// Has the system begin to read these of the file's bytes, which are wanted soon. Does not wait.
  void prefetch(std::span<const std::byte> part) const noexcept;

 private:
  MappedFile() = default;
  std::span<const std::byte> bytes_;
};

}  // namespace moru
