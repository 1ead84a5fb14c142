#include "compiler/exchange/refusal.h"

#include <utility>

#include "compiler/support/error.h"

namespace moru::exchange {

void refuse(std::string_view source, const std::string& what, std::string hint, std::string detail) {
  throw CompileError({.stage = "import",
                      .what = std::string(source) + ": " + what,
                      .detail = std::move(detail),
                      .hint = std::move(hint)});
}

void refuse_file(std::string what, std::string hint) {
  throw CompileError({.stage = "import", .what = std::move(what), .hint = std::move(hint)});
}

}  // namespace moru::exchange
