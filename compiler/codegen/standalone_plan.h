// A model that needs no runtime: what of a program goes into such a library, and where everything lies.
//
// The caller gives one piece of memory, the arena: first what the library keeps between calls (parameters that are
// trained, state), then what one call needs. What never changes lies in the library itself, packed weights among it.
// The library's code is made from this plan (standalone_object.h), and so are its C header and its script for
// JavaScript (tools/moru/standalone_files.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ir/kernels.h"
#include "compiler/model/model.h"
#include "compiler/pipeline.h"

namespace moru {

/// What functions of such a library return: the numbers of enum moru_status in moru.h.
struct StandaloneCode {
  const char* name;
  int32_t value;
  const char* about;
};
constexpr StandaloneCode standalone_ok = {"OK", 0, "done"};
constexpr StandaloneCode standalone_bad_argument = {
    "INVALID_ARGUMENT", 100,
    "an arena that is not 64-byte aligned, a size below 1 or of 2^31 or one that the model cannot take, or an input that is null"};
constexpr StandaloneCode standalone_out_of_range = {"OUT_OF_RANGE", 103,
                                                    "an integer that indexes a table lies outside it"};
constexpr StandaloneCode standalone_wrong_state = {"WRONG_STATE", 105, "the arena was not initialized"};
constexpr StandaloneCode standalone_out_of_memory = {"OUT_OF_MEMORY", 400, "the arena is too small"};
constexpr StandaloneCode standalone_codes[] = {standalone_ok, standalone_bad_argument, standalone_out_of_range,
                                               standalone_wrong_state, standalone_out_of_memory};

// The arena begins with two words: the program's hash once it is initialized, and whether derived slots are up to date.
constexpr uint64_t standalone_hash_at = 0, standalone_prepared_at = 8;

struct StandaloneSlot {
  enum class Place : uint8_t { argument, library, arena };
  std::string name;
  SlotKind kind = SlotKind::input;
  Type type;
  Place place = Place::argument;
  uint64_t offset = 0;      // in StandalonePlan::data, or in the arena
  uint64_t bytes = 0;       // of what is kept
  int64_t index_limit = 0;  // integer inputs; 0: unchecked
};

/// How a slot in the arena begins: `bytes` from the library's data, or one pattern of eight bytes over and over. Slots
/// without one begin with zeros.
struct StandaloneInitial {
  uint64_t arena_offset = 0;
  uint64_t bytes = 0;
  std::optional<uint64_t> data_offset;
  uint64_t pattern = 0;
};

/// One function of the library.
struct StandaloneEntry {
  std::string name;                     // "predict"
  std::vector<std::string> symbols;     // its sizes: "batch"
  std::vector<size_t> inputs, outputs;  // slots
  size_t kernel = 0;                    // in StandalonePlan::kernels, as those that follow
  size_t sizes_kernel = 0;              // writes, as i64: see sizes()
  std::optional<size_t> check_kernel;   // writes for every input how many of its integers lie outside their range
  size_t arena_buffers = 0;
  std::vector<Dim> not_negative;  // what must not be: find_size_requirements
  Dim scratch_bytes;                // of the arena, behind the state
  bool reads_derived = false;       // needs `prepare` first
  bool changes_parameters = false;  // so that `prepare` is needed again

  /// Inputs, then outputs.
  std::vector<size_t> arguments() const;
};

/// What a sizes kernel writes: offsets of arena buffers, offsets of arguments' copies, bytes of arguments, the bytes that the
/// entry needs behind the state, and what must not be negative.
struct StandaloneSizes {
  size_t buffers, copies, bytes, total, not_negative, end;  // where each begins
  explicit StandaloneSizes(const StandaloneEntry& entry);
  size_t count() const { return end; }
};

struct StandalonePlan {
  std::string prefix;
  uint64_t hash = 0;
  KernelModule kernels;
  std::vector<StandaloneSlot> slots;  // in the order of the kernels' slot buffers
  std::vector<StandaloneEntry> entries;
  std::optional<StandaloneEntry> prepare;  // where derived slots lie in the arena
  std::vector<uint8_t> data;               // 64-byte aligned pieces
  std::vector<StandaloneInitial> initial;
  uint64_t state_bytes = 0;   // 0: nothing is kept, and there is no init

  std::vector<std::string> symbols() const;  // of any entry
  Dim arena_bytes() const;
};

/// Plans a library with `entries` of a compiled model (all but `prepare` if empty; `prepare` is added where it is
/// needed). Weights are the model's. Where nothing trains, derived slots are computed here and now, by the kernel
/// interpreter.
StandalonePlan plan_standalone(const Lowered& lowered, const Model& model, uint64_t hash, const std::string& prefix,
                               const std::vector<std::string>& entries);

}  // namespace moru
