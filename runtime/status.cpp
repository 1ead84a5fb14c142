#include "runtime/status.h"

#include <span>

#include "runtime/tensor_view.h"

namespace moru {

std::string_view status_code_name(StatusCode code) {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid_argument";
    case StatusCode::not_found: return "not_found";
    case StatusCode::shape_mismatch: return "shape_mismatch";
    case StatusCode::out_of_range: return "out_of_range";
    case StatusCode::not_bound: return "not_bound";
    case StatusCode::wrong_state: return "wrong_state";
    case StatusCode::io_error: return "io_error";
    case StatusCode::file_not_found: return "file_not_found";
    case StatusCode::permission_denied: return "permission_denied";
    case StatusCode::no_space: return "no_space";
    case StatusCode::corrupt: return "corrupt";
    case StatusCode::unsupported_version: return "unsupported_version";
    case StatusCode::program_mismatch: return "program_mismatch";
    case StatusCode::wrong_format: return "wrong_format";
    case StatusCode::out_of_memory: return "out_of_memory";
    case StatusCode::size_overflow: return "size_overflow";
    case StatusCode::thread_error: return "thread_error";
    case StatusCode::no_native_code: return "no_native_code";
    case StatusCode::kernel_failed: return "kernel_failed";
  }
  return "?";
}

std::string sizes_text(std::span<const int64_t> sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(sizes[i]);
  }
  return text + "]";
}

}  // namespace moru
