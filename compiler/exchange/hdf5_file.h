// HDF5 files as a tree in memory, read and written through the HDF5 library: groups, attributes of text and numbers,
// dense datasets of numbers. The only header that knows the library's name; what Keras means by the tree is in
// keras_weights.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moru {

/// A dense dataset. Reals of any width are held as f32, integers and booleans as i64.
struct Hdf5Dataset {
  std::vector<int64_t> shape;
  bool integer = false;
  std::vector<float> reals;
  std::vector<int64_t> integers;
  std::span<const std::byte> stored = {};  // instead of `reals`: f32 as they lie in the file that was read

  std::vector<float> floats() const;
};

/// A scalar attribute is a list of one. Numbers are not kept: Keras' meaning is all in texts.
struct Hdf5Attribute {
  std::vector<std::string> texts;
  bool scalar = false;  // for writing; reading does not depend on it
};

struct Hdf5Group {
  std::map<std::string, Hdf5Attribute, std::less<>> attributes;
  std::map<std::string, std::unique_ptr<Hdf5Group>, std::less<>> groups;
  std::map<std::string, Hdf5Dataset, std::less<>> datasets;

  /// By a path of names joined by '/'. Null where there is none.
  const Hdf5Group* find_group(std::string_view path) const;
  const Hdf5Dataset* find_dataset(std::string_view path) const;
  /// The one text of an attribute; empty where there is none.
  std::string text(std::string_view attribute) const;

  /// Makes what is missing on the way.
  Hdf5Group& make_group(std::string_view path);
};

bool is_hdf5(std::span<const std::byte> bytes);

/// Reads all of a file. Names that hold a backslash, as Keras wrote on Windows, are paths. The bytes may be hostile:
/// links out of the file, groups within themselves, and sizes that the file cannot hold are refused before memory is
/// taken for them, and the library runs in a child process (hdf5_isolation.h). The bytes must outlive the tree, whose
/// datasets point into them where they can. Throws CompileError; `source` names the file in it.
std::unique_ptr<Hdf5Group> read_hdf5(std::span<const std::byte> bytes, const std::string& source);
/// The same in this process, without limits on time and memory: for fuzzing.
std::unique_ptr<Hdf5Group> read_hdf5_here(std::span<const std::byte> bytes, const std::string& source);

/// The bytes of a file with this content.
std::vector<std::byte> write_hdf5(const Hdf5Group& root);

}  // namespace moru
