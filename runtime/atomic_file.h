// Writes a file so that its path holds either the old contents or all of the new, whatever happens in between: to a
// temporary file beside it, fsync, rename, fsync of the directory. An AtomicFile that is destroyed before commit()
// removes its temporary file. A symbolic link keeps pointing where it does, and what is no regular file (/dev/stdout, a pipe) is
// written to as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "runtime/status.h"

namespace moru {

class AtomicFile {
 public:
  /// Creates the temporary file, `path`.tmp-<process>-<number>.
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  /// Appends.
  Status write(std::span<const std::byte> bytes);
  uint64_t position() const { return position_; }

  /// Flushes and renames. The file exists under its name, on disk, when this returns ok.
  Status commit();

 private:
  AtomicFile() = default;
  void abandon();

  int descriptor_ = -1;
  uint64_t position_ = 0;
  std::string path_;
  std::string target_;     // `path_`, or the file that it points to
  std::string temporary_;  // empty once it is gone
};

/// An error where `output` is one of the files `inputs`, by whatever path: it would be lost. Empty names are left out.
Status check_output(const std::string& output, std::span<const std::string> inputs);

/// Adds `contents` to the end of a file that is there, all of it or nothing, without waiting for the disk.
Status append_to_file(const std::string& path, std::string_view contents);

/// The whole of a small text or binary file in one call.
Status write_file_atomically(const std::string& path, std::string_view contents);

/// The status for a failed system call on `path`: "cannot <doing> '<path>': <reason>".
Status file_error(const char* doing, const std::string& path, int error_number);

}  // namespace moru
