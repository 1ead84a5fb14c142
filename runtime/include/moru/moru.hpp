// The C API in C++: handles that free themselves and errors that are thrown. Header only.
//
//     moru::api::Program program = moru::api::Program::open("model.so");
//     moru::api::Session session(program);
//     session.bind("x", x.data(), {32, 24, 11});
//     session.run("predict");
//     std::span<const float> y = session.view<float>("y");
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "moru/moru.h"

namespace moru::api {

/// What a function of the C API said, and its enum moru_status.
class Error : public std::runtime_error {
 public:
  Error(int32_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int32_t code() const { return code_; }

 private:
  int32_t code_;
};

inline void check(int32_t code) {
  if (code != MORU_OK) throw Error(code, moru_last_error());
}

template <typename T>
constexpr int32_t dtype_of() {
  if constexpr (std::is_same_v<T, float>) return MORU_F32;
  else if constexpr (std::is_same_v<T, double>) return MORU_F64;
  else if constexpr (std::is_same_v<T, int32_t>) return MORU_I32;
  else if constexpr (std::is_same_v<T, int64_t>) return MORU_I64;
  else {
    static_assert(std::is_same_v<T, bool>, "tensors hold float, double, int32_t, int64_t or bool");
    return MORU_BOOL;
  }
}

/// A compiled model. May be used by any number of threads.
class Program {
 public:
  /// Opens a shared object made by `moru compile`, which runs code of that file.
  static Program open(const std::string& path) {
    moru_program* handle = nullptr;
    check(moru_program_open(path.c_str(), &handle));
    return Program(handle);
  }
  /// A model that is linked in, by the function that its header declares.
  static Program linked(const moru_kernel_library* library) {
    moru_program* handle = nullptr;
    check(moru_program_from_library(library, &handle));
    return Program(handle);
  }
  Program(Program&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Program& operator=(Program&& other) noexcept { return std::swap(handle_, other.handle_), *this; }
  ~Program() { moru_program_free(handle_); }

  const moru_program* handle() const { return handle_; }
  int32_t slot(const std::string& name) const { return found(moru_program_find_slot(handle_, name.c_str()), "slot", name); }
  int32_t entry(const std::string& name) const { return found(moru_program_find_entry(handle_, name.c_str()), "entry", name); }
  moru_slot_info info(int32_t slot) const {
    moru_slot_info info;
    check(moru_program_slot_info(handle_, slot, &info));
    return info;
  }

 private:
  explicit Program(moru_program* handle) : handle_(handle) {}
  static int32_t found(int32_t index, const char* what, const std::string& name) {
    if (index < 0) throw Error(MORU_NOT_FOUND, std::string("the program has no ") + what + " '" + name + "'");
    return index;
  }
  moru_program* handle_;
};

/// One user of a program, with parameters of its own. Used by one thread at a time; must not outlive `program`.
class Session {
 public:
  explicit Session(const Program& program, int32_t threads = 1) : program_(&program) {
    check(moru_session_create(program.handle(), threads, &handle_));
  }
  Session(const Program& program, const moru_session_options& options) : program_(&program) {
    check(moru_session_create_with(program.handle(), &options, &handle_));
  }
  Session(Session&& other) noexcept : program_(other.program_), handle_(std::exchange(other.handle_, nullptr)) {}
  Session& operator=(Session&& other) noexcept {
    std::swap(program_, other.program_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Session() { moru_session_free(handle_); }

  moru_session* handle() const { return handle_; }

  /// The memory stays the caller's, and is read by every run until another is bound.
  template <typename T>
  void bind(const std::string& slot, const T* data, const std::vector<int64_t>& shape) {
    const int32_t index = typed<T>(slot);
    check(moru_session_bind(handle_, index, data, shape.data(), static_cast<int32_t>(shape.size())));
  }
  void run(const std::string& entry) { run(program_->entry(entry)); }
  void run(int32_t entry) { check(moru_session_run(handle_, entry)); }

  /// What a slot holds; valid until the next run or bind.
  template <typename T>
  std::span<const T> view(const std::string& slot) const {
    moru_tensor tensor;
    check(moru_session_view(handle_, typed<T>(slot), &tensor));
    size_t count = 1;
    for (int32_t axis = 0; axis < tensor.rank; ++axis) count *= static_cast<size_t>(tensor.shape[axis]);
    return {static_cast<const T*>(tensor.data), count};
  }
  /// Overwrites a parameter, state or control, such as "learning_rate".
  template <typename T>
  void assign(const std::string& slot, std::span<const T> values) {
    check(moru_session_assign(handle_, typed<T>(slot), values.data(), values.size_bytes()));
  }
  void save_checkpoint(const std::string& path) const { check(moru_session_save_checkpoint(handle_, path.c_str())); }
  void load_checkpoint(const std::string& path) { check(moru_session_load_checkpoint(handle_, path.c_str(), 0)); }
  void save_model(const std::string& path) const { check(moru_session_save_model(handle_, path.c_str())); }

 private:
  template <typename T>
  int32_t typed(const std::string& name) const {
    const int32_t slot = program_->slot(name);
    if (program_->info(slot).dtype != dtype_of<T>())
      throw Error(MORU_INVALID_ARGUMENT, "slot '" + name + "' holds elements of another type");
    return slot;
  }
  const Program* program_;
  moru_session* handle_ = nullptr;
};

}  // namespace moru::api
