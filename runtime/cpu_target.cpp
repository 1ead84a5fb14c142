#include "runtime/cpu_target.h"

namespace moru {

bool processor_supports(std::string_view target) {
  target = target.substr(0, target.find_first_of("+, "));
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (target == "x86-64-v2") return __builtin_cpu_supports("x86-64-v2") != 0;
  if (target == "x86-64-v3") return __builtin_cpu_supports("x86-64-v3") != 0;
  if (target == "x86-64-v4") return __builtin_cpu_supports("x86-64-v4") != 0;
  return !target.starts_with("aarch64") && !target.starts_with("wasm");
#elif defined(__aarch64__)
  return !target.starts_with("x86") && !target.starts_with("wasm");
#else
  return true;
#endif
}

}  // namespace moru
