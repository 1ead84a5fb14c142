// Compiled objects on disk, so that a program that was compiled before does not start LLVM.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moru {

/// Files `<directory>/<key>.objects`, written to a temporary name and renamed, with a checksum: a damaged or foreign
/// file is a miss, never an error. A directory that cannot be written is no error either.
class ObjectCache {
 public:
  explicit ObjectCache(std::string directory) : directory_(std::move(directory)) {}

  bool is_enabled() const { return !directory_.empty(); }
  /// A name for what `parts` say, this version of Moru and the installed LLVM.
  std::string key(const std::vector<std::string>& parts) const;
  bool find(const std::string& key, std::vector<std::vector<uint8_t>>& objects) const;
  void keep(const std::string& key, const std::vector<std::vector<uint8_t>>& objects) const;

 private:
  std::string directory_;
};

}  // namespace moru
