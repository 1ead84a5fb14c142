#include "runtime/cpu_target.h"

#if defined(__aarch64__)
#include <sys/prctl.h>
#endif

namespace moru {
namespace {

[[maybe_unused]] bool is_of_another_family(std::string_view target, std::string_view own) {
  for (const std::string_view family : {"x86-64", "aarch64", "riscv64", "wasm"})
    if (target.starts_with(family)) return family != own;
  return false;
}

}  // namespace

bool processor_supports(std::string_view target) {
  target = target.substr(0, target.find_first_of("+, "));
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The levels of the x86-64 psABI, by the features that set them apart.
  bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt");
  bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
            __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
  if (target == "x86-64-v2") return v2;
  if (target == "x86-64-v3") return v3;
  if (target == "x86-64-v4") return v4;
  if (target == "x86-64-v4-bf16") return v4 && __builtin_cpu_supports("avx512bf16");
  return !is_of_another_family(target, "x86-64");
#elif defined(__aarch64__)
  if (target == "aarch64-sve256") {
    const int length = ::prctl(PR_SVE_GET_VL);  // bytes; below 0 where the processor has no SVE
    return length >= 0 && (length & PR_SVE_VL_LEN_MASK) == 32;
  }
  return !is_of_another_family(target, "aarch64");
#elif defined(__riscv) && __riscv_xlen == 64
  return !is_of_another_family(target, "riscv64");
#else
  return true;
#endif
}

ChosenEntries choose_entries(const moru_kernel_library& library, bool (*supports)(std::string_view)) {
  ChosenEntries chosen = {{}, library.entries};
  if (library.abi_version < MORU_KERNEL_ABI_VERSION_VARIANTS || library.variants == nullptr) return chosen;
  for (uint64_t i = 0; i < library.variant_count; ++i)
    if (supports(library.variants[i].target)) chosen = {library.variants[i].target, library.variants[i].entries};
  return chosen;
}

}  // namespace moru
