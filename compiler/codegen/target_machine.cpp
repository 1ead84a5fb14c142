#include "compiler/codegen/target_machine.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <mutex>

#include "compiler/support/error.h"

namespace moru {

namespace {

#define MORU_INITIALIZE(family)         \
  LLVMInitialize##family##TargetInfo(); \
  LLVMInitialize##family##Target();     \
  LLVMInitialize##family##TargetMC();   \
  LLVMInitialize##family##AsmPrinter()

void initialize_families() {
  MORU_INITIALIZE(X86);
  MORU_INITIALIZE(AArch64);
  MORU_INITIALIZE(RISCV);
  MORU_INITIALIZE(WebAssembly);
}
#undef MORU_INITIALIZE

// Loop strength reduction takes a third of LLVM's time and finds nothing: the emitter walks through operands by
// pointers where an index would have to be multiplied. LLVM lets it be left out by this option only, which is the
// process's.
void leave_out_strength_reduction() {
  auto& options = llvm::cl::getRegisteredOptions();
  const auto option = options.find("disable-lsr");
  if (option != options.end() && option->second->getNumOccurrences() == 0)
    option->second->addOccurrence(0, "disable-lsr", "true");
}

}  // namespace

std::unique_ptr<llvm::TargetMachine> make_target_machine(const Target& target, int optimization) {
  static std::once_flag once;
  std::call_once(once, [] {
    initialize_families();
    leave_out_strength_reduction();
  });
  std::string error;
  const llvm::Target* machine = llvm::TargetRegistry::lookupTarget(target.triple, error);
  if (!machine) {
    throw CompileError(
        {.stage = "emit", .what = "the installed LLVM cannot generate code for " + target.level, .detail = error});
  }
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  constexpr llvm::CodeGenOptLevel levels[] = {llvm::CodeGenOptLevel::None, llvm::CodeGenOptLevel::Less,
                                              llvm::CodeGenOptLevel::Default, llvm::CodeGenOptLevel::Aggressive};
  options.MCOptions.ABIName = target.abi;
  // What is position independent in WebAssembly is for its own kind of shared library.
  const llvm::Reloc::Model relocation = target.is_wasm() ? llvm::Reloc::Static : llvm::Reloc::PIC_;
  return std::unique_ptr<llvm::TargetMachine>(
      machine->createTargetMachine(target.triple, target.processor, target.features, options, relocation,
                                   llvm::CodeModel::Small, levels[std::clamp(optimization, 0, 3)]));
}

std::unique_ptr<llvm::Module> make_llvm_module(const char* name, llvm::LLVMContext& context,
                                               const llvm::TargetMachine& machine, const Target& target) {
  auto module = std::make_unique<llvm::Module>(name, context);
  module->setTargetTriple(target.triple);
  module->setDataLayout(machine.createDataLayout());
  if (!target.is_wasm()) module->setPICLevel(llvm::PICLevel::BigPIC);
  if (!target.abi.empty())
    module->addModuleFlag(llvm::Module::Error, "target-abi", llvm::MDString::get(context, target.abi));
  return module;
}

void set_machine(llvm::Function& function, const Target& target) {
  function.addFnAttr("target-cpu", target.processor);
  if (!target.features.empty()) function.addFnAttr("target-features", target.features);
  if (!target.tune.empty()) function.addFnAttr("tune-cpu", target.tune);
  if (target.level.starts_with("aarch64-sve")) {
    // Registers have so many bits exactly; LLVM counts them in 128.
    const auto length = static_cast<unsigned>(target.vector_bytes / 16);
    function.addFnAttr(llvm::Attribute::getWithVScaleRangeArgs(function.getContext(), length, length));
  }
}

std::vector<uint8_t> generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type, /*DisableVerify=*/true)) {
    throw InternalError("LLVM cannot emit this kind of file for the target");
  }
  passes.run(module);
  return {bytes.begin(), bytes.end()};
}

}  // namespace moru
