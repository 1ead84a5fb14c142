#include "compiler/codegen/target.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include <llvm/ADT/StringRef.h>
#include <llvm/TargetParser/Host.h>

#include "compiler/support/error.h"

namespace moru {

namespace {

struct Level {
  const char* name;
  const char* triple;
  const char* processor;
  const char* features;
  const char* abi;
  int pointer_bytes;
  int vector_bytes;
  int vector_registers;
  bool has_fma;
  bool has_masks;
  bool has_bf16;
  const char* about;
};

constexpr const char* linux_x86 = "x86_64-unknown-linux-gnu";
constexpr const char* linux_arm = "aarch64-unknown-linux-gnu";

constexpr Level known_levels[] = {
    // name, triple, processor, features, abi,
    //     bytes of pointers and vectors, vector registers, fma, masks, bf16, what is said of it
    {"x86-64-v4-bf16", linux_x86, "x86-64-v4", "+avx512bf16", "",
         8, 64, 32, true, true, true, "AVX-512 with bfloat16"},
    {"x86-64-v4", linux_x86, "x86-64-v4", "", "",
         8, 64, 32, true, true, false, "AVX-512"},
    {"x86-64-v3", linux_x86, "x86-64-v3", "", "",
         8, 32, 16, true, false, false, "AVX2 and FMA"},
    {"x86-64-v2", linux_x86, "x86-64-v2", "", "",
         8, 16, 16, false, false, false, "SSE 4.2; fma is computed, not an instruction"},
    {"aarch64-sve256", linux_arm, "generic", "+sve", "",
         8, 32, 32, true, true, false, "SVE with vectors of 256 bits, such as Neoverse V1's"},
    {"aarch64", linux_arm, "generic", "", "",
         8, 16, 32, true, false, false, "NEON"},
    // Vectors of four are four scalars: eight of them are all registers.
    {"riscv64", "riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c", "lp64d",
         8, 16, 8, true, false, false, "RV64GC, scalar"},
    {"wasm32-simd", "wasm32-unknown-unknown", "generic", "+simd128,+sign-ext,+nontrapping-fptoint,+mutable-globals", "",
         4, 16, 16, false, false, false, "WebAssembly with 128-bit SIMD; fma is computed, not an instruction"},
};

Target make_target(const Level& level) {
  Target target;
  target.level = level.name;
  target.triple = level.triple;
  target.processor = level.processor;
  target.features = level.features;
  target.abi = level.abi;
  target.pointer_bytes = level.pointer_bytes;
  target.vector_bytes = level.vector_bytes;
  target.vector_registers = level.vector_registers;
  target.has_fma = level.has_fma;
  target.has_masks = level.has_masks;
  target.has_bf16 = level.has_bf16;
  return target;
}

const Level* find_level(std::string_view name) {
  const auto* found = std::find_if(std::begin(known_levels), std::end(known_levels), [&](const Level& level) { return name == level.name; });
  return found == std::end(known_levels) ? nullptr : found;
}

/// The levels that "x86-64-v2+x86-64-v4" names, the least first; none where one is not known. Throws CompileError where they
/// cannot be in one artifact.
std::vector<const Level*> find_levels(std::string_view names) {
  std::vector<const Level*> found;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find('+', begin), names.size());
    found.push_back(find_level(names.substr(begin, end - begin)));
    if (found.back() == nullptr) return {};
    begin = end + 1;
  }
  std::sort(found.begin(), found.end(), std::greater<>());  // the table begins with the best of a family
  for (size_t i = 1; i < found.size(); ++i) {
    const std::string least = found[0]->name, name = found[i]->name;
    const bool is_twice = found[i] == found[i - 1];
    if (!is_twice && std::string_view(found[i]->triple) == found[0]->triple) continue;
    throw CompileError({.stage = "target", .what = is_twice ? "'" + name + "' is named twice" : "'" + least + "' and '" + name + "' cannot be in one artifact",
                        .hint = "join levels of one family, such as x86-64-v2+x86-64-v3+x86-64-v4"});
  }
  return found;
}

std::string host_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
  if (__builtin_cpu_supports("x86-64-v2")) return "x86-64-v2";
  throw CompileError({.stage = "target", .what = "this processor is older than x86-64-v2 (SSE 4.2)"});
#elif defined(__aarch64__)
  return "aarch64";
#elif defined(__riscv) && __riscv_xlen == 64
  return "riscv64";
#else
  throw CompileError({.stage = "target", .what = "no code is generated for this kind of processor",
                      .hint = "compile for a named target, or interpret"});
#endif
}

// Anything else in a processor's name would change what the text parses to.
bool is_processor_name(std::string_view name) {
  for (char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!ok) return false;
  }
  return !name.empty();
}

bool parse_kibibytes(std::string_view text, int64_t& bytes) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0 || number > (1 << 24)) return false;
  bytes = number << 10;
  return true;
}

bool parse_detail(std::string_view detail, Target& target) {
  if (detail.starts_with("tune=") && is_processor_name(detail.substr(5))) {
    target.tune = detail.substr(5);
    return true;
  }
  if (detail.starts_with("l1=")) return parse_kibibytes(detail.substr(3), target.l1_bytes);
  if (detail.starts_with("l2=")) return parse_kibibytes(detail.substr(3), target.l2_bytes);
  return false;
}

}  // namespace

Target Target::parse(std::string_view text) {
  if (text == "host") return host();
  const std::string_view name = text.substr(0, text.find(','));
  if (const std::vector<const Level*> named = find_levels(name); !named.empty()) {
    Target target = make_target(*named[0]);
    for (size_t i = 1; i < named.size(); ++i) target.further.emplace_back(named[i]->name);
    bool known = true;
    for (std::string_view rest = text.substr(name.size()); !rest.empty() && known;) {
      rest.remove_prefix(1);
      const std::string_view detail = rest.substr(0, rest.find(','));
      known = parse_detail(detail, target);
      rest.remove_prefix(detail.size());
    }
    if (known) return target;
  }
  std::string known = "known are host";
  for (const Level& level : known_levels) known += std::string(", ") + level.name;
  throw CompileError({.stage = "target", .what = "unknown target '" + std::string(text) + "'", .hint = known});
}

Target Target::host() {
  Target target = parse(host_level());
  const std::string processor = llvm::sys::getHostCPUName().str();
  if (is_processor_name(processor) && processor != "generic") target.tune = processor;
  // 0 and -1 mean that the system does not say.
  if (const long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE); bytes >= 1024) target.l1_bytes = bytes / 1024 * 1024;
  if (const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes >= 1024) target.l2_bytes = bytes / 1024 * 1024;
  return target;
}

Target Target::host_for_bf16() {
  const Target plain = host();
#if defined(__x86_64__)
  if (plain.level == "x86-64-v4" && __builtin_cpu_supports("avx512bf16")) {
    Target target = parse("x86-64-v4-bf16");
    target.tune = plain.tune;
    target.l1_bytes = plain.l1_bytes;
    target.l2_bytes = plain.l2_bytes;
    return target;
  }
#endif
  return plain;
}

std::vector<Target> Target::levels() const {
  std::vector<Target> list = {*this};
  list[0].further.clear();
  for (const std::string& better : further) {
    Target target = parse(better);
    target.tune = tune;
    target.l1_bytes = l1_bytes;
    target.l2_bytes = l2_bytes;
    list.push_back(std::move(target));
  }
  return list;
}

void Target::check_one_level() const {
  if (further.empty()) return;
  throw CompileError({.stage = "target", .what = "only a .so or .o has code for several levels", .hint = "name one of " + text()});
}

std::vector<TargetDescription> list_targets() {
  std::vector<TargetDescription> list;
  for (const Level& level : known_levels) list.push_back({make_target(level), level.about});
  return list;
}

std::string Target::text() const {
  const Target plain = parse(level);
  std::string text = level;
  for (const std::string& better : further) text += "+" + better;
  if (!tune.empty()) text += ",tune=" + tune;
  if (l1_bytes != plain.l1_bytes) text += ",l1=" + std::to_string(l1_bytes >> 10);
  if (l2_bytes != plain.l2_bytes) text += ",l2=" + std::to_string(l2_bytes >> 10);
  return text;
}

}  // namespace moru
