// The machine that code is generated for: the one place that knows instruction sets, vector widths and cache sizes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moru {

/// An instruction set level and, if known, the processor whose scheduling and caches the code should suit.
/// Code depends on the level's instructions only, so what `host` compiles runs on every machine of the same level.
struct Target {
  std::string level;        // "x86-64-v4", "aarch64", "wasm32-simd", ...: list_targets() has them all
  std::vector<std::string> further;  // better levels of the same family that code is generated for too, in rising order
  std::string tune;         // a processor name LLVM knows, "znver5"; empty: none in particular
  std::string triple, processor, features;  // what LLVM calls the level's machine
  std::string abi;          // where a triple has several; else empty
  int pointer_bytes = 8;
  int vector_bytes = 16;    // preferred width
  int vector_registers = 16;
  bool has_fma = false;     // otherwise f32 fma is emulated exactly and f64 fma is refused
  bool has_bf16 = false;    // multiplies pairs of bf16 and adds them to f32
  bool has_masks = false;   // masked vector loads and stores cost about what plain ones do
  int64_t l1_bytes = 32 << 10;
  int64_t l2_bytes = 1 << 20;

  /// The level of the processor this runs on, tuned for it, with its cache sizes.
  static Target host();

  /// The level of this processor with instructions for bf16 where it has them: for programs that multiply bf16 only, since
  /// other machines of host()'s level may lack them.
  static Target host_for_bf16();

  /// "host", a level, several levels of one family joined by '+', or these and what else text() prints. Throws CompileError
  /// naming what is known.
  static Target parse(std::string_view text);

  /// "x86-64-v3", "x86-64-v2+x86-64-v4" or "x86-64-v4,tune=znver5,l1=48,l2=1024" (KiB); parses back to an equal target.
  std::string text() const;

  /// One target for each level: `level` first, then the further ones.
  std::vector<Target> levels() const;
  /// Throws CompileError where there are several.
  void check_one_level() const;

  bool is_x86() const { return level.starts_with("x86-64"); }
  bool is_wasm() const { return level.starts_with("wasm"); }
};

/// The levels that code is generated for, the best of each family first, and what is said of them.
struct TargetDescription {
  Target target;
  std::string_view about;
};
std::vector<TargetDescription> list_targets();

}  // namespace moru
