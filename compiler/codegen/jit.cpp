#include <optional>

#include "compiler/codegen/emit.h"
#include "compiler/codegen/loaded_objects.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

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
    check_internal(code.variants.empty(), "code for this process has one level");
    loaded_.emplace(code.objects);
    for (const std::string& name : names_) {
      void* address = loaded_->find(entry_symbol(code.prefix, name));
      entries_.push_back({name.c_str(), reinterpret_cast<moru_entry_function>(address)});
    }
    if (code.profile_workers > 0) {
      auto* words = static_cast<uint64_t*>(loaded_->find(code.prefix + "profile"));
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
  std::optional<LoadedObjects> loaded_;
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
