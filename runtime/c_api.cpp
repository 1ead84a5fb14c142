// The C API over Program and Session. No exception leaves it.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <type_traits>

#include "moru/moru.h"
#include "runtime/checkpoint.h"
#include "runtime/program.h"
#include "runtime/session.h"
#include "runtime/version.h"

struct moru_program {
  std::shared_ptr<const moru::Program> program;
};

struct moru_session {
  std::unique_ptr<moru::Session> session;
};

namespace {

using moru::Status;
using moru::StatusCode;

static_assert(static_cast<int>(StatusCode::kernel_failed) == MORU_KERNEL_FAILED);
static_assert(static_cast<int>(StatusCode::corrupt) == MORU_CORRUPT);
static_assert(static_cast<int>(moru::SlotKind::derived) == MORU_DERIVED);
static_assert(static_cast<int>(moru::DType::boolean) == MORU_BOOL);
static_assert(static_cast<int>(moru::LogLevel::warning) == MORU_LOG_WARNING);
static_assert(std::is_same_v<moru_chunk, moru_chunk_body>);

std::string& last_error() {
  thread_local std::string message;
  return message;
}

int32_t failed(int32_t code, const char* message) {
  try {
    last_error() = message;
  } catch (...) {
    last_error().clear();  // not even room for the message
  }
  return code;
}

/// Runs `body`, which returns a Status, and turns what it says or throws into a code and a message.
template <typename Body>
int32_t guarded(Body&& body) {
  try {
    Status status = body();
    if (status.ok()) return MORU_OK;
    return failed(static_cast<int32_t>(status.code()), status.message().c_str());
  } catch (const std::bad_alloc&) {
    return failed(MORU_OUT_OF_MEMORY, "not enough memory");
  } catch (const std::exception& error) {
    return failed(MORU_INTERNAL, error.what());
  }
}

Status null_argument(const char* name) {
  return {StatusCode::invalid_argument, std::string("the argument '") + name + "' is null"};
}

Status check_slot(const moru::Program& program, int32_t slot) {
  if (slot >= 0 && static_cast<size_t>(slot) < program.slots().size()) return {};
  return {StatusCode::not_found, "there is no slot " + std::to_string(slot)};
}

Status check_entry(const moru::Program& program, int32_t entry) {
  if (entry >= 0 && static_cast<size_t>(entry) < program.entries().size()) return {};
  return {StatusCode::not_found, "there is no entry " + std::to_string(entry)};
}

template <typename Load>
int32_t make_program(moru_program** program, Load&& load) {
  if (program != nullptr) *program = nullptr;
  return guarded([&]() -> Status {
    if (program == nullptr) return null_argument("program");
    moru::Result<std::shared_ptr<const moru::Program>> loaded = load();
    if (!loaded.ok()) return loaded.status();
    *program = new moru_program{*std::move(loaded)};
    return {};
  });
}

int32_t make_session(const moru_program* program, const moru::SessionOptions& options, moru_session** session) {
  if (session != nullptr) *session = nullptr;
  return guarded([&]() -> Status {
    if (program == nullptr) return null_argument("program");
    if (session == nullptr) return null_argument("session");
    moru::Result<std::unique_ptr<moru::Session>> made = moru::Session::create(program->program, options);
    if (!made.ok()) return made.status();
    *session = new moru_session{*std::move(made)};
    return {};
  });
}

}  // namespace

const char* moru_version(void) { return moru::moru_version_text; }
int32_t moru_abi_version(void) { return MORU_ABI_VERSION; }
const char* moru_last_error(void) { return last_error().c_str(); }

int32_t moru_program_open(const char* path, moru_program** program) {
  return make_program(program, [&]() -> moru::Result<std::shared_ptr<const moru::Program>> {
    if (path == nullptr) return null_argument("path");
    return moru::Program::open_shared_object(path);
  });
}

int32_t moru_program_from_library(const moru_kernel_library* library, moru_program** program) {
  return make_program(program, [&] { return moru::Program::from_library(library); });
}

int32_t moru_program_load(const char* path, const moru_kernel_library* library, moru_program** program) {
  return make_program(program, [&]() -> moru::Result<std::shared_ptr<const moru::Program>> {
    if (path == nullptr) return null_argument("path");
    moru::Result<std::shared_ptr<const moru::MoruFile>> file = moru::MoruFile::open(path);
    if (!file.ok()) return file.status();
    return moru::Program::load(*std::move(file), library);
  });
}

void moru_program_free(moru_program* program) { delete program; }

uint64_t moru_program_hash(const moru_program* program) { return program == nullptr ? 0 : program->program->hash(); }

int32_t moru_program_slot_count(const moru_program* program) {
  return program == nullptr ? 0 : static_cast<int32_t>(program->program->slots().size());
}

int32_t moru_program_find_slot(const moru_program* program, const char* name) {
  if (program == nullptr || name == nullptr) return -1;
  std::optional<uint32_t> slot = program->program->find_slot(name);
  return slot ? static_cast<int32_t>(*slot) : -1;
}

int32_t moru_program_slot_info(const moru_program* program, int32_t slot, moru_slot_info* info) {
  return guarded([&]() -> Status {
    if (program == nullptr) return null_argument("program");
    if (info == nullptr) return null_argument("info");
    MORU_RETURN_IF_ERROR(check_slot(*program->program, slot));
    const moru::ProgramSlot& description = program->program->slots()[static_cast<size_t>(slot)];
    *info = {};
    info->name = description.name.c_str();
    info->kind = static_cast<int32_t>(description.kind);
    info->dtype = static_cast<int32_t>(description.dtype);
    info->trainable = description.trainable ? 1 : 0;
    info->rank = static_cast<int32_t>(description.shape.size());
    for (size_t axis = 0; axis < description.shape.size(); ++axis) {
      const moru::DimExpression& dim = description.shape[axis];
      info->sizes[axis] = dim.is_constant() ? dim.evaluate({}).value_or(MORU_UNKNOWN_SIZE) : MORU_UNKNOWN_SIZE;
    }
    return {};
  });
}

int32_t moru_program_entry_count(const moru_program* program) {
  return program == nullptr ? 0 : static_cast<int32_t>(program->program->entries().size());
}

int32_t moru_program_find_entry(const moru_program* program, const char* name) {
  if (program == nullptr || name == nullptr) return -1;
  std::optional<uint32_t> entry = program->program->find_entry(name);
  return entry ? static_cast<int32_t>(*entry) : -1;
}

const char* moru_program_entry_name(const moru_program* program, int32_t entry) {
  if (program == nullptr || entry < 0 || static_cast<size_t>(entry) >= program->program->entries().size())
    return nullptr;
  return program->program->entries()[static_cast<size_t>(entry)].name.c_str();
}

int32_t moru_program_entry_slots(const moru_program* program, int32_t entry, int32_t outputs, int32_t* slots,
                                 int32_t capacity) {
  if (program == nullptr || entry < 0 || static_cast<size_t>(entry) >= program->program->entries().size()) return -1;
  const moru::ProgramEntry& description = program->program->entries()[static_cast<size_t>(entry)];
  const std::vector<uint32_t>& list = outputs != 0 ? description.outputs : description.inputs;
  for (size_t i = 0; slots != nullptr && i < list.size() && static_cast<int64_t>(i) < capacity; ++i) {
    slots[i] = static_cast<int32_t>(list[i]);
  }
  return static_cast<int32_t>(list.size());
}

int32_t moru_session_create(const moru_program* program, int32_t threads, moru_session** session) {
  return make_session(program, {.threads = threads}, session);
}

int32_t moru_session_create_with(const moru_program* program, const moru_session_options* options, moru_session** session) {
  if (session != nullptr) *session = nullptr;
  if (options == nullptr) return failed(MORU_INVALID_ARGUMENT, "the argument 'options' is null");
  // What a caller of an earlier version did not know of is 0; what a later one knows more must be.
  moru_session_options given = {};
  const uint64_t known = std::min<uint64_t>(options->size, sizeof given);
  if (options->size < offsetof(moru_session_options, workers))
    return failed(MORU_INVALID_ARGUMENT, "'size' of the options is not set; begin with MORU_SESSION_OPTIONS");
  std::memcpy(&given, options, known);
  const auto* bytes = reinterpret_cast<const unsigned char*>(options);
  if (std::any_of(bytes + known, bytes + options->size, [](unsigned char byte) { return byte != 0; }))
    return failed(MORU_UNSUPPORTED_VERSION, "the options ask for what this version of Moru does not know");
  const int threads = given.threads == 0 ? 1 : given.threads;
  return make_session(program,
                      {.threads = threads,
                       .pool = nullptr,
                       .workers = {given.parallel_for, given.pool, given.workers},
                       .allocator = {given.allocate, given.release, given.memory},
                       .logger = {given.log, given.log_context},
                       .share_parameters_of = given.share_parameters_of ? given.share_parameters_of->session.get() : nullptr},
                      session);
}

void moru_session_free(moru_session* session) { delete session; }

int32_t moru_session_bind(moru_session* session, int32_t slot, const void* data, const int64_t* shape, int32_t rank) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    if (rank < 0) return Status(StatusCode::invalid_argument, "the rank is negative");
    if (shape == nullptr && rank > 0) return null_argument("shape");
    MORU_RETURN_IF_ERROR(check_slot(session->session->program(), slot));
    return session->session->bind(static_cast<uint32_t>(slot), data, {shape, static_cast<size_t>(rank)});
  });
}

int32_t moru_session_bind_output(moru_session* session, int32_t slot, void* data, uint64_t bytes) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    MORU_RETURN_IF_ERROR(check_slot(session->session->program(), slot));
    return session->session->bind_output(static_cast<uint32_t>(slot), data, bytes);
  });
}

int32_t moru_session_run(moru_session* session, int32_t entry) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    MORU_RETURN_IF_ERROR(check_entry(session->session->program(), entry));
    return session->session->run(static_cast<uint32_t>(entry));
  });
}

int32_t moru_session_view(const moru_session* session, int32_t slot, moru_tensor* tensor) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    if (tensor == nullptr) return null_argument("tensor");
    MORU_RETURN_IF_ERROR(check_slot(session->session->program(), slot));
    moru::TensorView view = session->session->view(static_cast<uint32_t>(slot));
    *tensor = {view.data, view.shape.data(), static_cast<int32_t>(view.shape.size()), static_cast<int32_t>(view.dtype)};
    if (view.data != nullptr) return {};
    return Status(StatusCode::wrong_state, "slot '" +
                                               session->session->program().slots()[static_cast<size_t>(slot)].name +
                                               "' holds nothing before the first run");
  });
}

int32_t moru_session_assign(moru_session* session, int32_t slot, const void* data, uint64_t bytes) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    MORU_RETURN_IF_ERROR(check_slot(session->session->program(), slot));
    return session->session->assign(static_cast<uint32_t>(slot), data, bytes);
  });
}

int32_t moru_session_save_checkpoint(const moru_session* session, const char* path) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    if (path == nullptr) return null_argument("path");
    moru::Checkpoint checkpoint;
    moru::capture_session(*session->session, checkpoint);
    return moru::write_checkpoint(path, checkpoint);
  });
}

int32_t moru_session_load_checkpoint(moru_session* session, const char* path, int32_t allow_other_program) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    if (path == nullptr) return null_argument("path");
    moru::Result<moru::Checkpoint> checkpoint = moru::read_checkpoint(std::string(path));
    if (!checkpoint.ok()) return checkpoint.status();
    return moru::restore_session(*checkpoint, *session->session, {.allow_other_program = allow_other_program != 0});
  });
}

int32_t moru_session_save_model(const moru_session* session, const char* path) {
  return guarded([&]() -> Status {
    if (session == nullptr) return null_argument("session");
    if (path == nullptr) return null_argument("path");
    return moru::save_moru(*session->session, path);
  });
}
