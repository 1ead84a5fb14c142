#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/Support/MemoryBuffer.h>

#include "compiler/codegen/emit.h"
#include "compiler/codegen/target_machine.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

template <class T>
T checked(llvm::Expected<T> result, const char* doing) {
  if (result) return std::move(*result);
  throw InternalError(std::string(doing) + ": " + llvm::toString(result.takeError()));
}

void check(llvm::Error error, const char* doing) {
  if (error) throw InternalError(std::string(doing) + ": " + llvm::toString(std::move(error)));
}

class LinkedCode : public JitCode {
 public:
  explicit LinkedCode(const ObjectCode& code) : names_(code.entries), from_cache_(code.from_cache), times_(code.times) {
    times_.run("link", [&] { link(code); });
  }

  const moru_kernel_library* library() const override { return &library_; }
  bool from_cache() const override { return from_cache_; }
  const StageTimes& times() const override { return times_; }
  ProfileTable profile() const override { return profile_; }

 private:
  void link(const ObjectCode& code) {
    make_target_machine(code.target, 0);  // registers the target
    llvm::orc::JITTargetMachineBuilder machine{llvm::Triple(code.target.triple)};
    machine.setCPU(code.target.is_x86() ? code.target.level : "generic");
    jit_ = checked(llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(machine).create(), "starting the JIT");
    for (const std::vector<uint8_t>& object : code.objects) {
      const llvm::StringRef bytes(reinterpret_cast<const char*>(object.data()), object.size());
      check(jit_->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(bytes)), "loading an object");
    }
    for (const std::string& name : names_) {
      const auto address = checked(jit_->lookup(entry_symbol(code.prefix, name)), "linking an entry");
      entries_.push_back({name.c_str(), address.toPtr<moru_entry_function>()});
    }
    if (code.profile_workers > 0) {
      const auto table = checked(jit_->lookup(code.prefix + "profile"), "finding the profile");
      auto* words = table.toPtr<uint64_t*>();
      profile_ = {words, reinterpret_cast<ProfileCell*>(words + 8), code.profile_regions,
                  static_cast<size_t>(code.profile_workers)};
    }
    library_.abi_version = MORU_KERNEL_ABI_VERSION;
    library_.entry_count = static_cast<uint32_t>(entries_.size());
    library_.entries = entries_.data();
  }

  std::vector<std::string> names_;
  bool from_cache_;
  StageTimes times_;
  std::unique_ptr<llvm::orc::LLJIT> jit_;
  std::vector<moru_kernel_entry> entries_;
  moru_kernel_library library_ = {};
  ProfileTable profile_;
};

}  // namespace

moru_entry_function JitCode::find_entry(std::string_view name) const {
  const moru_kernel_library* table = library();
  for (uint32_t i = 0; i < table->entry_count; ++i) {
    if (table->entries[i].name == name) return table->entries[i].function;
  }
  return nullptr;
}

std::unique_ptr<JitCode> jit_load(const ObjectCode& code) { return std::make_unique<LinkedCode>(code); }

std::unique_ptr<JitCode> jit_compile(const KernelModule& module, const Target& target, const EmitOptions& options) {
  return jit_load(emit_objects(module, target, options));
}

}  // namespace moru
