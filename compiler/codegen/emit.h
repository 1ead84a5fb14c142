// From kernels to native code: in memory, as objects to be linked, as LLVM's text or as assembly.
// All of them hold the same code; `link.h` makes files from objects.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compiler/codegen/profile.h"
#include "compiler/codegen/target.h"
#include "compiler/ir/kernels.h"
#include "compiler/support/stage_times.h"
#include "schema/kernel_abi.h"

namespace moru {

struct EmitOptions {
  int vector_bytes = 0;         // 16, 32 or 64; 0: what the target prefers. Every width gives the same bits.
  int threads = 2;              // compiling in parallel; the result does not depend on it
  int optimization = 2;         // 0 .. 3: effort of LLVM's passes and code generator
  std::string cache_directory;  // objects are kept there, keyed by kernels, target, options and versions; empty: nowhere
  std::string prefix = "moru_"; // of every symbol: models that are linked into one program need different ones
  int profile_workers = 0;      // entries count the time of their statements, on so many workers; 0: they do not
};

/// The same entries for a better level of the target, under another prefix.
struct ObjectVariant {
  std::string level;
  std::string prefix;
};

/// Relocatable objects (ELF or WebAssembly) that together define every entry, `<prefix>entry_<name>`, hidden, and import
/// nothing.
struct ObjectCode {
  Target target;
  std::string prefix;
  std::vector<ObjectVariant> variants;         // in rising order; none where the target has one level
  std::vector<std::string> entries;            // names in the order of the module's kernels
  std::vector<std::vector<uint8_t>> objects;
  bool from_cache = false;
  int profile_workers = 0;
  size_t profile_regions = 0;
  StageTimes times;  // outline, cache, llvm_start, emit, llvm_optimize, llvm_codegen
};

/// Throws CompileError where the target lacks what the kernels need (f64 fma without fma instructions).
ObjectCode emit_objects(const KernelModule& module, const Target& target, const EmitOptions& options = {});

/// The symbol of an entry in an object: the prefix, "entry_" and the name with what C does not allow replaced by '_'.
std::string entry_symbol(const std::string& prefix, const std::string& entry);

std::string emit_llvm_ir(const KernelModule& module, const Target& target, const EmitOptions& options = {});
std::string emit_assembly(const KernelModule& module, const Target& target, const EmitOptions& options = {});

/// Native code in this process. The entries live as long as this does.
class JitCode {
 public:
  virtual ~JitCode() = default;
  /// program_hash is 0 and there is no file: the caller knows both.
  virtual const moru_kernel_library* library() const = 0;
  virtual bool from_cache() const = 0;
  /// The objects', and "link".
  virtual const StageTimes& times() const = 0;
  /// The table of a build with EmitOptions::profile_workers; regions are numbered as plan_profile does.
  virtual ProfileTable profile() const = 0;

  moru_entry_function find_entry(std::string_view name) const;  // null if there is none
};

/// Compiles for a target that this processor can run.
std::unique_ptr<JitCode> jit_compile(const KernelModule& module, const Target& target, const EmitOptions& options = {});

/// Loads objects that were compiled for a target that this processor can run.
std::unique_ptr<JitCode> jit_load(const ObjectCode& code);

}  // namespace moru
