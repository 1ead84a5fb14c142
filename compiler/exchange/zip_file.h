// Zip archives as files in memory, read and written through libzip.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace moru {

bool is_zip(std::span<const std::byte> bytes);

/// A file of an archive: in its place there, where it is stored as it is, else unpacked.
struct ZippedFile {
  std::span<const std::byte> bytes;
  std::vector<std::byte> unpacked;

  ZippedFile() = default;
  ZippedFile(ZippedFile&&) = default;
  ZippedFile& operator=(ZippedFile&&) = default;
};

/// The files of an archive by name; `bytes` must outlive them. The bytes may be hostile: sizes are bounded before memory
/// is taken, by the size of the archive too, and names that lead out of it are refused. Throws CompileError; `source`
/// names the file in it.
std::map<std::string, ZippedFile> read_zip(std::span<const std::byte> bytes, const std::string& source);

/// An archive of these files, stored without compression (as Keras does), with a fixed date.
std::vector<std::byte> write_zip(const std::vector<std::pair<std::string, std::span<const std::byte>>>& files);

}  // namespace moru
