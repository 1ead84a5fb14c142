// The `.moru` container: a header, a table of sections, sections. What the sections mean is for others; here they are
// bytes with a kind. The layout stands byte by byte in schema/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/status.h"

namespace moru {

enum class SectionKind : uint32_t {
  model = 1,     // a FlatBuffer of model.fbs
  program = 2,   // a FlatBuffer of program.fbs
  recipe = 3,    // a FlatBuffer of recipe.fbs
  weights = 4,   // raw tensors, each 64-byte aligned, found by the offsets in model and program
  code = 5,      // the bytes of a shared object
  training = 6,  // a FlatBuffer of training.fbs and its tensors: what Keras was training with, kept but not read here
};

/// One section to write: its bytes are the pieces, one behind the other.
struct MoruSection {
  SectionKind kind = SectionKind::model;
  std::vector<std::span<const std::byte>> pieces;
};

/// An open file: immutable, may be shared between threads. Spans it hands out live as long as it does. A file that was
/// replaced by write_moru_file while open keeps its old contents; overwriting one in place while open is not supported.
class MoruFile {
 public:
  /// Maps the file at `path` and checks header, table and the checksum of every section.
  static Result<std::shared_ptr<const MoruFile>> open(const std::string& path);
  /// The same over memory, which must stay valid while the MoruFile lives; `keep_alive` is held for as long. Sections
  /// are 64-byte aligned in memory only if `bytes` is.
  static Result<std::shared_ptr<const MoruFile>> from_memory(std::span<const std::byte> bytes,
                                                             std::shared_ptr<const void> keep_alive = {});
  MoruFile(const MoruFile&) = delete;
  MoruFile& operator=(const MoruFile&) = delete;

  bool has(SectionKind kind) const;
  /// The bytes of a section; empty where the file has none of that kind.
  std::span<const std::byte> section(SectionKind kind) const;
  /// Every section in file order, those of kinds unknown to this version included.
  std::vector<MoruSection> sections() const;

 private:
  struct Entry {
    SectionKind kind;
    std::span<const std::byte> bytes;
  };
  MoruFile() = default;
  Status parse(std::span<const std::byte> bytes, const std::string& name);

  std::shared_ptr<const void> keep_alive_;
  std::vector<Entry> entries_;
};

/// Writes a `.moru` file atomically (see atomic_file.h). At most one section of a kind.
Status write_moru_file(const std::string& path, std::span<const MoruSection> sections);
/// The same bytes in memory, to be embedded in a shared object.
Result<std::vector<std::byte>> make_moru_bytes(std::span<const MoruSection> sections);

/// Writes `source` to `path` with these sections replaced or added, or left out where they have no pieces; nothing else
/// changes. `path` may be the file that `source` was opened from.
Status write_with_sections(const MoruFile& source, const std::string& path, std::vector<MoruSection> changed);

}  // namespace moru
