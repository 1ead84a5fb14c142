#include "runtime/cpu_target.h"

namespace moru {

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
  return !target.starts_with("aarch64") && !target.starts_with("wasm");
#elif defined(__aarch64__)
  return !target.starts_with("x86") && !target.starts_with("wasm");
#else
  return true;
#endif
}

}  // namespace moru
