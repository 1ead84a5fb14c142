// How the runtime reports failure: Status (a code and one message for the user) and Result<T> (a value or a Status).
// No exception crosses the runtime's API. The one thing that is not reported this way is a small allocation (a string,
// a vector of names) that fails; allocations whose size comes from a file or a caller are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace moru {

/// Codes by range: 100 what the caller passed, 200 the file system, 300 the contents of a file, 400 resources,
/// 500 native code. Numbers are stable: the C API hands them out.
enum class StatusCode : int32_t {
  ok = 0,

  invalid_argument = 100,
  not_found = 101,  // no slot, entry or section of that name
  shape_mismatch = 102,
  out_of_range = 103,  // an integer input outside its index_limit
  not_bound = 104,
  wrong_state = 105,  // the call is not allowed now, or not on this object

  io_error = 200,
  file_not_found = 201,
  permission_denied = 202,
  no_space = 203,

  corrupt = 300,  // truncated, checksum differs, or inconsistent
  unsupported_version = 301,
  program_mismatch = 302,  // a checkpoint or library of another program
  wrong_format = 303,      // another kind of file altogether

  out_of_memory = 400,
  size_overflow = 401,  // a size does not fit 63 bits
  thread_error = 402,

  no_native_code = 500,
  kernel_failed = 501,  // an entry returned a code other than MORU_KERNEL_OK
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::ok; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

/// A T, or the Status that says why there is none. value() may be called only where ok().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}         // NOLINT: `return value;`
  Result(Status status) : content_(std::in_place_index<1>, std::move(status)) {}  // NOLINT: `return status;`

  bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }
  Status status() const { return ok() ? Status() : *std::get_if<1>(&content_); }

  T& value() & { return *std::get_if<0>(&content_); }
  const T& value() const& { return *std::get_if<0>(&content_); }
  T&& value() && { return std::move(*std::get_if<0>(&content_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return std::get_if<0>(&content_); }
  const T* operator->() const { return std::get_if<0>(&content_); }

 private:
  std::variant<T, Status> content_;
};

/// "no_space", "shape_mismatch", ...
std::string_view status_code_name(StatusCode code);

}  // namespace moru

/// Leaves the enclosing function with the status of `expression` unless it is ok.
#define MORU_RETURN_IF_ERROR(expression)                                                     \
  do {                                                                                       \
    if (::moru::Status moru_status_ = (expression); !moru_status_.ok()) return moru_status_; \
  } while (false)
