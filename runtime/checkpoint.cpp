#include "runtime/checkpoint.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "runtime/atomic_file.h"
#include "runtime/checksum.h"
#include "runtime/version.h"

namespace moru {
namespace {

constexpr std::string_view file_prefix = "ckpt-";
constexpr std::string_view file_suffix = ".moruckpt";

struct CheckpointName {
  int64_t step = 0;
  std::string path;
};

/// The checkpoints of a directory by name, newest first. Temporary files and everything else are left out.
std::vector<CheckpointName> list_checkpoints(const std::string& directory) {
  std::vector<CheckpointName> names;
  DIR* open = ::opendir(directory.c_str());
  if (open == nullptr) return names;
  while (const dirent* item = ::readdir(open)) {
    std::string_view name = item->d_name;
    if (!name.starts_with(file_prefix) || !name.ends_with(file_suffix)) continue;
    std::string_view digits = name.substr(file_prefix.size());
    if (digits.size() <= file_suffix.size()) continue;
    digits.remove_suffix(file_suffix.size());
    CheckpointName found;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), found.step);
    if (error != std::errc() || end != digits.data() + digits.size()) continue;
    found.path = directory + "/" + std::string(name);
    names.push_back(std::move(found));
  }
  ::closedir(open);
  std::sort(names.begin(), names.end(),
            [](const CheckpointName& a, const CheckpointName& b) { return a.step > b.step; });
  return names;
}

/// What a killed process left half written. Only this process may be writing to its run directory.
void remove_temporary_files(const std::string& directory) {
  DIR* open = ::opendir(directory.c_str());
  if (open == nullptr) return;
  while (const dirent* item = ::readdir(open)) {
    std::string_view name = item->d_name;
    if (name.starts_with(file_prefix) && name.find(std::string(file_suffix) + ".tmp-") != std::string_view::npos) {
      ::unlink((directory + "/" + std::string(name)).c_str());
    }
  }
  ::closedir(open);
}

Status check_fits(const Session& session, uint32_t slot, const SavedTensor& tensor) {
  const ProgramSlot& description = session.program().slots()[slot];
  TensorView present = session.view(slot);
  if (!is_saved(description.kind)) {
    return {StatusCode::program_mismatch, "slot '" + tensor.name + "' is of kind " +
                                              std::string(slot_kind_name(description.kind)) +
                                              " and cannot be restored"};
  }
  if (tensor.dtype == present.dtype &&
      std::equal(tensor.shape.begin(), tensor.shape.end(), present.shape.begin(), present.shape.end()) &&
      tensor.bytes.size() == present.bytes()) {
    return {};
  }
  return {StatusCode::program_mismatch, "slot '" + tensor.name + "' was saved as " +
                                            std::string(dtype_name(tensor.dtype)) + sizes_text(tensor.shape) +
                                            " but the program has " + std::string(dtype_name(present.dtype)) +
                                            sizes_text(present.shape)};
}

}  // namespace

bool is_checkpoint_path(std::string_view path) { return path.ends_with(file_suffix); }

SavedTensor capture_slot(const Session& session, uint32_t slot) {
  TensorView view = session.view(slot);
  SavedTensor tensor;
  tensor.name = session.program().slots()[slot].name;
  tensor.dtype = view.dtype;
  tensor.shape.assign(view.shape.begin(), view.shape.end());
  const std::byte* bytes = static_cast<const std::byte*>(view.data);
  if (bytes != nullptr) tensor.bytes.assign(bytes, bytes + view.bytes());
  return tensor;
}

std::vector<SavedTensor> capture_slots(const Session& session, SlotKind kind) {
  std::vector<SavedTensor> tensors;
  for (uint32_t slot = 0; slot < session.program().slots().size(); ++slot) {
    if (session.program().slots()[slot].kind == kind) tensors.push_back(capture_slot(session, slot));
  }
  return tensors;
}

Status assign_tensors(Session& session, std::span<const SavedTensor> tensors) {
  std::vector<uint32_t> slots;
  for (const SavedTensor& tensor : tensors) {
    std::optional<uint32_t> slot = session.program().find_slot(tensor.name);
    if (!slot) return {StatusCode::not_found, "the program has no slot '" + tensor.name + "'"};
    MORU_RETURN_IF_ERROR(check_fits(session, *slot, tensor));
    slots.push_back(*slot);
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    MORU_RETURN_IF_ERROR(session.assign(slots[i], tensors[i].bytes.data(), tensors[i].bytes.size()));
  }
  return {};
}

void capture_session(const Session& session, Checkpoint& checkpoint) {
  checkpoint.program_hash = session.program().hash();
  checkpoint.moru_version = moru_version_text;
  checkpoint.slots.clear();
  for (uint32_t slot = 0; slot < session.program().slots().size(); ++slot) {
    if (is_saved(session.program().slots()[slot].kind)) checkpoint.slots.push_back(capture_slot(session, slot));
  }
}

Status restore_session(const Checkpoint& checkpoint, Session& session, RestoreOptions options, std::string* note) {
  const Program& program = session.program();
  if (checkpoint.program_hash == program.hash()) {
    auto expected = static_cast<size_t>(std::count_if(program.slots().begin(), program.slots().end(),
                                                      [](const ProgramSlot& slot) { return is_saved(slot.kind); }));
    std::vector<std::string_view> names;
    for (const SavedTensor& tensor : checkpoint.slots) names.push_back(tensor.name);
    std::sort(names.begin(), names.end());
    if (std::adjacent_find(names.begin(), names.end()) != names.end() || names.size() != expected) {
      return {StatusCode::corrupt, "the checkpoint does not hold every slot of its program exactly once"};
    }
    return assign_tensors(session, checkpoint.slots);
  }
  if (!options.allow_other_program) {
    return {StatusCode::program_mismatch,
            "the checkpoint belongs to another program (hash " + hash_text(checkpoint.program_hash) + ", here " +
                hash_text(program.hash()) +
                "): the model, the optimizer, the target or the version of Moru differs. Going on with it is possible "
                "if asked for, but the result will not be the same, bit for bit, as without the interruption"};
  }
  std::vector<SavedTensor> fitting;
  std::string left_out;
  for (const SavedTensor& tensor : checkpoint.slots) {
    std::optional<uint32_t> slot = program.find_slot(tensor.name);
    Status fits = slot ? check_fits(session, *slot, tensor)
                       : Status(StatusCode::not_found, "slot '" + tensor.name + "' is not in this program");
    if (fits.ok()) {
      fitting.push_back(tensor);
    } else {
      left_out += fits.message() + "\n";
    }
  }
  if (fitting.empty()) {
    return {StatusCode::program_mismatch, "nothing in the checkpoint fits this program"};
  }
  if (note != nullptr) *note = left_out;
  return assign_tensors(session, fitting);
}

Result<std::string> save_checkpoint(const std::string& directory, const Checkpoint& checkpoint, int keep) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return file_error("create directory", directory, error.value());
  remove_temporary_files(directory);

  std::string path =
      directory + "/" + std::string(file_prefix) + std::to_string(checkpoint.step) + std::string(file_suffix);
  MORU_RETURN_IF_ERROR(write_checkpoint(path, checkpoint));
  Result<Checkpoint> back = read_checkpoint(path);
  if (!back.ok()) return back.status();

  // The new one is good; older ones may go. Those of later steps belong to a run that was abandoned for this one, so
  // that a later resume would take the wrong one.
  int kept = 1;
  for (const CheckpointName& other : list_checkpoints(directory)) {
    if (other.step == checkpoint.step) continue;
    if (other.step > checkpoint.step || ++kept > std::max(keep, 1)) ::unlink(other.path.c_str());
  }
  return path;
}

Result<std::optional<FoundCheckpoint>> find_latest_good(const std::string& directory, std::string* note) {
  if (note != nullptr) note->clear();
  struct stat information = {};
  if (::stat(directory.c_str(), &information) != 0) {
    if (errno == ENOENT) return std::optional<FoundCheckpoint>();
    return file_error("read", directory, errno);
  }
  if (::access(directory.c_str(), R_OK | X_OK) != 0) return file_error("read", directory, errno);
  for (const CheckpointName& name : list_checkpoints(directory)) {
    Result<Checkpoint> checkpoint = read_checkpoint(name.path);
    if (checkpoint.ok()) return std::optional<FoundCheckpoint>(FoundCheckpoint{name.path, *std::move(checkpoint)});
    if (note != nullptr) *note += "skipped: " + checkpoint.status().message() + "\n";
  }
  return std::optional<FoundCheckpoint>();
}

Status save_moru(const Session& session, const std::string& path, std::vector<MoruSection> others) {
  const Program& program = session.program();
  if (program.file() == nullptr) {
    return {StatusCode::wrong_state, "the program was not loaded from a .moru file, so there is none to save it to"};
  }
  // The weights section as it is, but for the slots' places, which are taken from the session.
  std::vector<uint32_t> with_data;
  for (uint32_t slot = 0; slot < program.slots().size(); ++slot) {
    const ProgramSlot& description = program.slots()[slot];
    if (description.has_data && description.data_bytes == 0) continue;
    if (description.has_data) {
      with_data.push_back(slot);
    } else if (description.kind == SlotKind::parameter) {
      return {StatusCode::wrong_state, "parameter '" + description.name + "' has no place in the .moru file"};
    }
  }
  std::sort(with_data.begin(), with_data.end(),
            [&](uint32_t a, uint32_t b) { return program.slots()[a].data_offset < program.slots()[b].data_offset; });
  std::vector<std::span<const std::byte>> pieces;
  uint64_t position = 0;
  for (uint32_t slot : with_data) {
    const ProgramSlot& description = program.slots()[slot];
    TensorView present = session.view(slot);
    pieces.push_back(program.weights().subspan(position, description.data_offset - position));
    pieces.emplace_back(static_cast<const std::byte*>(present.data), description.data_bytes);
    position = description.data_offset + description.data_bytes;
  }
  pieces.push_back(program.weights().subspan(position));
  others.push_back({SectionKind::weights, std::move(pieces)});
  return write_with_sections(*program.file(), path, std::move(others));
}

}  // namespace moru
