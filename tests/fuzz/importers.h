// Every reader of files that may be hostile, with files to begin from: what the fuzzers and the mutation test go over.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace moru::test {

using Bytes = std::vector<std::byte>;

struct Importer {
  std::string_view name;  // "keras", "onnx", ...
  /// Reads the bytes as a file of this kind. CompileError is how files are refused, and caught here; everything else
  /// that is thrown is a fault of the reader.
  void (*read)(std::span<const std::byte> bytes);
  std::vector<Bytes> (*seeds)();
};
std::span<const Importer> importers();
const Importer& get_importer(std::string_view name);

}  // namespace moru::test
