// LLVM's machine of a target. Internal to compiler/codegen.
#pragma once

#include <memory>

#include <llvm/Target/TargetMachine.h>

#include "compiler/codegen/target.h"

namespace moru {

/// `optimization` 0 .. 3. Code is position independent; floating-point operations are never fused.
std::unique_ptr<llvm::TargetMachine> make_target_machine(const Target& target, int optimization);

}  // namespace moru
