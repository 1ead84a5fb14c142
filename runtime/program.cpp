#include "runtime/program.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "runtime/atomic_file.h"
#include "runtime/cpu_target.h"
#include "runtime/program_reader.h"

namespace moru {
namespace {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using NameIndex = std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>>;

template <typename Named>
NameIndex index_names(const std::vector<Named>& list) {
  NameIndex index;
  for (uint32_t i = 0; i < list.size(); ++i) index.emplace(list[i].name, i);
  return index;
}

std::optional<uint32_t> find(const NameIndex& index, std::string_view name) {
  auto place = index.find(name);
  if (place == index.end()) return std::nullopt;
  return place->second;
}

Status check_library(const moru_kernel_library& library) {
  if (library.abi_version == 0 || library.abi_version > MORU_KERNEL_ABI_VERSION_VARIANTS) {
    return {StatusCode::unsupported_version, "the native code has kernel ABI version " +
                                                 std::to_string(library.abi_version) + "; this runtime has version " +
                                                 std::to_string(MORU_KERNEL_ABI_VERSION_VARIANTS)};
  }
  if (library.entry_count != 0 && library.entries == nullptr) {
    return {StatusCode::corrupt, "the native code lists no entries"};
  }
  return {};
}

}  // namespace

struct Program::Impl {
  // Last to go: code and memory that everything below may point into.
  std::shared_ptr<const void> keep_alive;
  std::shared_ptr<const MoruFile> file;
  std::span<const std::byte> weights;
  ProgramTables tables;
  NameIndex slot_index;
  NameIndex entry_index;
  std::optional<uint32_t> workers_symbol;
  std::string level;  // of the native code
  bool has_native_code = false;
};

Program::Program(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Program::~Program() = default;

Result<std::shared_ptr<const Program>> Program::load(std::span<const std::byte> program,
                                                     std::span<const std::byte> weights,
                                                     const moru_kernel_library* library,
                                                     std::shared_ptr<const void> keep_alive) {
  Result<ProgramTables> tables = read_program(program, weights.size());
  if (!tables.ok()) return tables.status();

  auto impl = std::make_unique<Impl>();
  impl->keep_alive = std::move(keep_alive);
  impl->weights = weights;
  impl->tables = *std::move(tables);
  impl->slot_index = index_names(impl->tables.slots);
  impl->entry_index = index_names(impl->tables.entries);
  for (uint32_t i = 0; i < impl->tables.symbols.size(); ++i) {
    if (impl->tables.symbols[i] == "workers") impl->workers_symbol = i;
  }

  if (library != nullptr) {
    MORU_RETURN_IF_ERROR(check_library(*library));
    if (library->program_hash != impl->tables.hash) {
      return Status(StatusCode::program_mismatch, "the native code was made for another program than the one given");
    }
    const ChosenEntries chosen = choose_entries(*library);
    const std::string& target = impl->tables.target;
    impl->level = chosen.level.empty() ? target.substr(0, target.find_first_of("+,")) : chosen.level;
    for (uint32_t i = 0; i < library->entry_count; ++i) {
      const moru_kernel_entry& entry = chosen.entries[i];
      if (entry.name == nullptr || entry.function == nullptr) continue;
      if (std::optional<uint32_t> index = find(impl->entry_index, entry.name)) {
        impl->tables.entries[*index].function = entry.function;
        impl->has_native_code = true;
      }
    }
  }
  return std::shared_ptr<const Program>(new Program(std::move(impl)));
}

Result<std::shared_ptr<const Program>> Program::load(std::shared_ptr<const MoruFile> file,
                                                     const moru_kernel_library* library,
                                                     std::shared_ptr<const void> keep_alive) {
  if (file == nullptr) return Status(StatusCode::invalid_argument, "no file was given");
  if (!file->has(SectionKind::program)) {
    return Status(StatusCode::not_found,
                  "the .moru file holds a model but no compiled program; compile it first (moru compile)");
  }
  Result<std::shared_ptr<const Program>> program =
      load(file->section(SectionKind::program), file->section(SectionKind::weights), library, std::move(keep_alive));
  if (program.ok()) (*program)->impl_->file = std::move(file);
  return program;
}

Result<std::shared_ptr<const Program>> Program::from_library(const moru_kernel_library* library,
                                                             std::shared_ptr<const void> keep_alive) {
  if (library == nullptr) return Status(StatusCode::invalid_argument, "no library was given");
  MORU_RETURN_IF_ERROR(check_library(*library));
  if (library->file == nullptr || library->file_bytes == 0) {
    return Status(StatusCode::not_found, "the native code does not carry its .moru file");
  }
  Result<std::shared_ptr<const MoruFile>> file = MoruFile::from_memory(
      {reinterpret_cast<const std::byte*>(library->file), static_cast<size_t>(library->file_bytes)}, keep_alive);
  if (!file.ok()) return file.status();
  return load(*std::move(file), library, std::move(keep_alive));
}

Result<std::shared_ptr<const Program>> Program::open_shared_object(const std::string& path) {
  struct stat information = {};
  if (::stat(path.c_str(), &information) != 0) return file_error("open", path, errno);
  // A bare name would make dlopen search the system's directories.
  std::string location = path.find('/') == std::string::npos ? "./" + path : path;
  void* handle = ::dlopen(location.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return Status(StatusCode::wrong_format,
                  "cannot load '" + path + "': " + (reason != nullptr ? reason : "it is not a shared object"));
  }
  std::shared_ptr<const void> keep_alive(handle, [](const void* open) { ::dlclose(const_cast<void*>(open)); });
  auto getter = reinterpret_cast<moru_kernel_library_getter>(::dlsym(handle, MORU_KERNEL_LIBRARY_SYMBOL));
  if (getter == nullptr) {
    return Status(StatusCode::wrong_format, "'" + path + "' is a shared object, but not one compiled by Moru");
  }
  Result<std::shared_ptr<const Program>> program = from_library(getter(), keep_alive);
  if (program.ok()) return program;
  return Status(program.status().code(), "'" + path + "': " + program.status().message());
}

uint64_t Program::hash() const { return impl_->tables.hash; }
const std::string& Program::target() const { return impl_->tables.target; }
const std::string& Program::level() const { return impl_->level; }
const ProgramProvenance& Program::provenance() const { return impl_->tables.provenance; }
bool Program::has_native_code() const { return impl_->has_native_code; }
std::span<const std::string> Program::symbols() const { return impl_->tables.symbols; }
std::span<const ProgramSlot> Program::slots() const { return impl_->tables.slots; }
std::span<const ProgramEntry> Program::entries() const { return impl_->tables.entries; }
std::span<const ProgramOutput> Program::outputs() const { return impl_->tables.outputs; }
std::optional<uint32_t> Program::workers_symbol() const { return impl_->workers_symbol; }
std::optional<uint32_t> Program::find_slot(std::string_view name) const { return find(impl_->slot_index, name); }
std::optional<uint32_t> Program::find_entry(std::string_view name) const { return find(impl_->entry_index, name); }
std::span<const std::byte> Program::weights() const { return impl_->weights; }
const std::shared_ptr<const MoruFile>& Program::file() const { return impl_->file; }

std::span<const std::byte> Program::slot_data(uint32_t slot) const {
  const ProgramSlot& description = impl_->tables.slots[slot];
  if (!description.has_data) return {};
  return impl_->weights.subspan(description.data_offset, description.data_bytes);
}

std::string Program::slot_type_text(uint32_t slot) const {
  const ProgramSlot& description = impl_->tables.slots[slot];
  std::string text(dtype_name(description.dtype));
  text += "[";
  for (size_t axis = 0; axis < description.shape.size(); ++axis) {
    if (axis != 0) text += ", ";
    text += description.shape[axis].text(impl_->tables.symbols);
  }
  return text + "]";
}

}  // namespace moru
