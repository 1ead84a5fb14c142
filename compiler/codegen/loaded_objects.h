// Relocatable objects in this process's memory, ready to be called: what a linker and a loader do, for the little that
// generated code asks of them. LLVM is not needed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace moru {

/// Places the sections of ELF objects (x86-64 or aarch64, as emit_objects makes them) in memory, resolves their symbols
/// among each other and applies their relocations. Then code can be executed but not written, constants only be read.
/// Nothing is imported: an undefined symbol, an unknown relocation and a malformed object are InternalErrors.
class LoadedObjects {
 public:
  explicit LoadedObjects(std::span<const std::vector<uint8_t>> objects);
  ~LoadedObjects();
  LoadedObjects(const LoadedObjects&) = delete;
  LoadedObjects& operator=(const LoadedObjects&) = delete;

  /// The address of a global symbol; throws InternalError if there is none.
  void* find(std::string_view symbol) const;

 private:
  std::unordered_map<std::string, uint64_t> symbols_;
  uint8_t* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace moru
