// The arguments of losses, metrics, optimizers and schedules as a recipe writes them: JSON by the names and types that the
// op's entry in compiler/ops gives them. The recipe carries them as JSON text, which the runtime does not read.
#pragma once

#include <string_view>

#include "compiler/ops/op.h"

namespace moru {

/// Attributes of the JSON object `arguments` (may be empty): every key an attribute of `op`, every value of its type and
/// in its range; `partial`: others that the op needs may be missing. Throws CompileError that names `where`, the argument
/// and the remedy.
Attributes parse_arguments(const Op& op, std::string_view arguments, std::string_view where, bool partial = false);

}  // namespace moru
