#include "compiler/support/error.h"

namespace moru {

namespace {
std::string message(const CompileError::Parts& parts) {
  std::string text;
  if (!parts.node.empty()) {
    text = "'" + parts.node + "'";
    if (!parts.op.empty()) text += " (" + parts.op + ")";
    text = "layer " + text + ": ";
  } else if (!parts.op.empty()) {
    text = parts.op + ": ";
  }
  text += parts.what;
  if (!parts.detail.empty()) {
    text += "\n  ";
    for (char c : parts.detail) {
      text += c;
      if (c == '\n') text += "  ";
    }
  }
  if (!parts.hint.empty()) text += "\n  hint: " + parts.hint;
  return text;
}
}  // namespace

CompileError::CompileError(Parts parts) : std::runtime_error(message(parts)), parts_(std::move(parts)) {}

void check_internal(bool condition, const char* what) {
  if (!condition) throw InternalError(what);
}

}  // namespace moru
