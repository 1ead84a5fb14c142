// One line that tells a reader which statement of a kernel is meant.
#pragma once

#include <string>

#include "compiler/ir/kernels.h"

namespace moru {

/// kernel 'predict': "y"[64*i + j] = ... (from 'dense_1')
std::string statement_label(const Kernel& kernel, const Statement& statement);

}  // namespace moru
