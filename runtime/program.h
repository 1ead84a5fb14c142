// A compiled program: the slots and entries it declares, its initial weights and its native code. Immutable once
// loaded; any number of sessions and threads may share one. Loading checks everything that the runtime later relies on
// and never runs code that came with a model file; only open_shared_object loads code, because the caller asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dim_expression.h"
#include "runtime/moru_file.h"
#include "runtime/status.h"
#include "runtime/tensor_view.h"
#include "schema/kernel_abi.h"

namespace moru {

struct ProgramSlot {
  std::string name;
  SlotKind kind = SlotKind::input;
  DType dtype = DType::f32;
  std::vector<DimExpression> shape;  // constant unless the kind is input, target, sample_weight or output
  bool trainable = false;
  bool has_data = false;
  uint64_t data_offset = 0;  // in the weights section
  uint64_t data_bytes = 0;
  int64_t index_limit = 0;  // 0: unchecked
  double initial = 0.0;
};

struct ProgramArenaBuffer {
  std::string name;
  DimExpression bytes;
  DimExpression offset;
};

/// The entry runs at no sizes at which the expression is negative; `what` says what would go wrong.
struct ProgramSizeRequirement {
  DimExpression not_negative;
  std::string what;
};

struct ProgramEntry {
  std::string name;
  std::vector<uint32_t> inputs;   // slots
  std::vector<uint32_t> outputs;  // slots of kind output
  std::vector<ProgramArenaBuffer> arena;
  DimExpression arena_bytes;
  std::vector<ProgramSizeRequirement> size_requirements;
  moru_entry_function function = nullptr;  // null where there is no native code
};

/// What belongs to one model output.
struct ProgramOutput {
  std::string name;
  uint32_t prediction = 0;
  std::optional<uint32_t> target;
  std::optional<uint32_t> sample_weight;
};

struct ProgramProvenance {
  std::string moru_version;
  std::string source;
  std::string data_fingerprint;
  int64_t seed = 0;
};

class Program {
 public:
  /// The program in `file`, with the native code of `library` (from a JIT or linked in) or with none.
  static Result<std::shared_ptr<const Program>> load(std::shared_ptr<const MoruFile> file,
                                                     const moru_kernel_library* library = nullptr,
                                                     std::shared_ptr<const void> keep_alive = {});
  /// The same from the bytes of the program and weights sections, which `keep_alive` keeps valid.
  static Result<std::shared_ptr<const Program>> load(std::span<const std::byte> program,
                                                     std::span<const std::byte> weights,
                                                     const moru_kernel_library* library = nullptr,
                                                     std::shared_ptr<const void> keep_alive = {});
  /// A library that carries its own `.moru` file, as compiled artifacts do.
  static Result<std::shared_ptr<const Program>> from_library(const moru_kernel_library* library,
                                                             std::shared_ptr<const void> keep_alive = {});
  /// Loads the shared object at `path`, which runs its code, and the program it carries.
  static Result<std::shared_ptr<const Program>> open_shared_object(const std::string& path);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  uint64_t hash() const;
  const std::string& target() const;  // "x86-64-v4", or "x86-64-v2+x86-64-v4"
  const std::string& level() const;   // of these, what the native code that was chosen is for; empty without native code
  const ProgramProvenance& provenance() const;
  bool has_native_code() const;

  std::span<const std::string> symbols() const;
  std::span<const ProgramSlot> slots() const;
  std::span<const ProgramEntry> entries() const;
  std::span<const ProgramOutput> outputs() const;
  std::optional<uint32_t> workers_symbol() const;  // index of the symbol "workers"

  std::optional<uint32_t> find_slot(std::string_view name) const;
  std::optional<uint32_t> find_entry(std::string_view name) const;

  /// The initial data of a slot; empty where it has none.
  std::span<const std::byte> slot_data(uint32_t slot) const;
  /// "f32[batch, 24, 11]"
  std::string slot_type_text(uint32_t slot) const;

  /// The whole weights section.
  std::span<const std::byte> weights() const;
  /// The file it was loaded from; null if it was loaded from bare sections.
  const std::shared_ptr<const MoruFile>& file() const;

 private:
  struct Impl;
  explicit Program(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moru
