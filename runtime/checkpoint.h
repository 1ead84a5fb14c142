// A training run at one instant, enough to go on with the same bits: parameters, optimizer, layer and metric state,
// controls, position, history, callbacks. In memory it is the struct below; on disk a file that is written atomically
// and checked when read. The layout stands byte by byte in schema/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/moru_file.h"
#include "runtime/session.h"
#include "runtime/status.h"

namespace moru {

/// A named tensor with its own memory.
struct SavedTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

struct SavedNumber {
  std::string name;
  double value = 0.0;
  int64_t integer = 0;
};

/// One value per completed epoch.
struct SavedSeries {
  std::string name;
  std::vector<double> values;
};

/// What a callback keeps between epochs: numbers by its own names, and tensors (the best weights so far).
struct SavedCallback {
  std::string name;
  std::vector<SavedNumber> numbers;
  std::vector<SavedTensor> slots;
};

struct Checkpoint {
  uint64_t program_hash = 0;
  std::string moru_version;
  int64_t epoch = 0;  // epochs completed
  int64_t batch = 0;  // steps completed in the current epoch
  int64_t step = 0;   // steps completed in all
  int64_t seed = 0;
  std::vector<SavedSeries> history;
  std::vector<SavedTensor> slots;
  std::vector<SavedCallback> callbacks;
  std::string data_fingerprint;
  double seconds = 0.0;
  bool finished = false;
};

/// A copy of one slot.
SavedTensor capture_slot(const Session& session, uint32_t slot);
/// Copies of all slots of one kind, in slot order; for best weights, SlotKind::parameter.
std::vector<SavedTensor> capture_slots(const Session& session, SlotKind kind);
/// Writes tensors back by name. Every name, dtype and shape is checked before the first is written.
Status assign_tensors(Session& session, std::span<const SavedTensor> tensors);

/// Fills program_hash, moru_version and slots (all saved kinds); the rest belongs to the training loop.
void capture_session(const Session& session, Checkpoint& checkpoint);

struct RestoreOptions {
  bool allow_other_program = false;  // restore what fits by name; the continued run is then not bit-equal
};
/// Puts the slots of a checkpoint back. Refuses the checkpoint of another program unless allowed; otherwise every saved
/// slot must be present. Where another program is allowed, `note` (if given) says what was left out. The session is
/// unchanged on failure.
Status restore_session(const Checkpoint& checkpoint, Session& session, RestoreOptions options = {},
                       std::string* note = nullptr);

/// Whether `path` ends like that of a checkpoint.
bool is_checkpoint_path(std::string_view path);

Status write_checkpoint(const std::string& path, const Checkpoint& checkpoint);
Result<Checkpoint> read_checkpoint(const std::string& path);
Result<Checkpoint> read_checkpoint(std::span<const std::byte> bytes, const std::string& name);

/// Writes `directory`/ckpt-<step>.moruckpt (the directory is made if absent), reads it back to know that it is good,
/// then removes all but the `keep` newest. Returns the path.
Result<std::string> save_checkpoint(const std::string& directory, const Checkpoint& checkpoint, int keep = 2);

struct FoundCheckpoint {
  std::string path;
  Checkpoint checkpoint;
};
/// The newest checkpoint in `directory` that reads without error; nothing if there is none or no directory. `note` (if
/// given) gets a line for each damaged one that was skipped.
Result<std::optional<FoundCheckpoint>> find_latest_good(const std::string& directory, std::string* note = nullptr);

/// Writes the program's `.moru` with the session's parameters and state in place of the initial ones, and with `others` as
/// write_with_sections does.
Status save_moru(const Session& session, const std::string& path, std::vector<MoruSection> others = {});

}  // namespace moru
