// LLVM's machine of a target. Internal to compiler/codegen.
#pragma once

#include <llvm/IR/Module.h>
#include <llvm/Support/CodeGen.h>
#include <llvm/Target/TargetMachine.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "compiler/codegen/target.h"

namespace moru {

/// `optimization` 0 .. 3. Code is position independent; floating-point operations are never fused.
std::unique_ptr<llvm::TargetMachine> make_target_machine(const Target& target, int optimization);

/// An empty module for that machine.
std::unique_ptr<llvm::Module> make_llvm_module(const char* name, llvm::LLVMContext& context,
                                               const llvm::TargetMachine& machine, const Target& target);

/// A function's attributes that say which machine it is for.
void set_machine(llvm::Function& function, const Target& target);

/// The module as an object or as assembly.
std::vector<uint8_t> generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType type);

}  // namespace moru
