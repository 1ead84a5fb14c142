#include "compiler/codegen/emit.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <thread>

#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/object_cache.h"
#include "compiler/codegen/target_machine.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

// Part of a program, compiled on its own: LLVM's contexts are what threads cannot share.
struct Part {
  std::vector<size_t> functions;
  bool has_entries = false;
};

// Loops, tiles and vectors are already what they should be; what is left is scalar tidying.
void optimize(llvm::Module& module, llvm::TargetMachine& machine, int optimization) {
  if (optimization == 0) return;
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager calls;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(calls);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, calls, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  if (optimization >= 3) passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
  for (llvm::Function& function : module) {
    if (!function.isDeclaration()) passes.run(function, functions);
  }
}

std::unique_ptr<llvm::Module> emit_unoptimized(llvm::LLVMContext& context, llvm::TargetMachine& machine,
                                               const KernelModule& kernels, const Outline& outline, const Part& part,
                                               const Target& target, const EmitOptions& options) {
  auto module = make_llvm_module("moru", context, machine, target);
  const int vector_bytes = options.vector_bytes != 0 ? options.vector_bytes : target.vector_bytes;
  check_internal(vector_bytes == 16 || vector_bytes == 32 || vector_bytes == 64, "vectors have 16, 32 or 64 bytes");
  Emitter emitter(*module, target, vector_bytes / 4);
  std::vector<std::string> names;
  for (size_t i = 0; i < outline.functions.size(); ++i) names.push_back(options.prefix + "kernel_" + std::to_string(i));
  for (const size_t i : part.functions) emitter.emit_function(kernels, outline.functions[i], names[i]);
  if (part.has_entries) {
    ProfilePlan plan;
    if (options.profile_workers > 0) {
      plan = plan_profile(kernels);
      emitter.set_profile(plan, options.prefix + "profile", static_cast<size_t>(options.profile_workers));
    }
    for (const Kernel& kernel : kernels.kernels) {
      emitter.emit_entry(kernels, kernel, outline, names, entry_symbol(options.prefix, kernel.entry));
    }
  }
  std::string complaint;
  llvm::raw_string_ostream stream(complaint);
  if (llvm::verifyModule(*module, &stream)) throw InternalError("the emitted module is not valid: " + complaint);
  return module;
}

std::unique_ptr<llvm::Module> emit_part(llvm::LLVMContext& context, llvm::TargetMachine& machine,
                                        const KernelModule& kernels, const Outline& outline, const Part& part,
                                        const Target& target, const EmitOptions& options, StageTimes& times) {
  std::unique_ptr<llvm::Module> module;
  times.run("emit", [&] { module = emit_unoptimized(context, machine, kernels, outline, part, target, options); });
  times.run("llvm_optimize", [&] { optimize(*module, machine, options.optimization); });
  return module;
}

// Slots that no entry uses still stand before the arena, so the count cannot be guessed from below.
void check_module(const KernelModule& module) {
  for (const Kernel& kernel : module.kernels) {
    for (const Buffer& buffer : kernel.buffers) {
      check_internal(buffer.slot < module.slot_count, "a buffer's slot is not among the module's slots");
    }
  }
}

void check_prefix(const std::string& prefix) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_allowed = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  if (!prefix.empty() && is_letter(prefix[0]) && std::all_of(prefix.begin(), prefix.end(), is_allowed)) return;
  throw CompileError({.stage = "emit", .what = "'" + prefix + "' cannot be the prefix of C names",
                      .hint = "use letters, digits and '_', beginning with a letter"});
}

std::vector<Part> make_parts(const Outline& outline, int threads) {
  const size_t count = static_cast<size_t>(std::clamp(threads, 1, std::max(1, static_cast<int>(outline.functions.size() / 8))));
  std::vector<Part> parts(count);
  parts[0].has_entries = true;
  // The longest text first, each to the part with the least so far.
  std::vector<size_t> order(outline.functions.size()), load(count);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto weight = [&](size_t i) {
    const bool tiles = std::holds_alternative<Contraction>(outline.functions[i].statement.node);
    return outline.functions[i].key.size() + (tiles ? 2000u : 200u);
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weight(a) > weight(b); });
  for (const size_t i : order) {
    const auto lightest = static_cast<size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    parts[lightest].functions.push_back(i);
    load[lightest] += weight(i);
  }
  for (Part& part : parts) std::sort(part.functions.begin(), part.functions.end());
  return parts;
}

std::string emit_text(const KernelModule& module, const Target& target, const EmitOptions& options, bool assembly) {
  check_module(module);
  target.check_one_level();
  const Outline outline = outline_functions(module);
  const auto machine = make_target_machine(target, options.optimization);
  llvm::LLVMContext context;
  StageTimes times;
  const auto emitted = emit_part(context, *machine, module, outline, make_parts(outline, 1)[0], target, options, times);
  if (assembly) {
    const std::vector<uint8_t> bytes = generate(*emitted, *machine, llvm::CodeGenFileType::AssemblyFile);
    return {bytes.begin(), bytes.end()};
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  emitted->print(stream, nullptr);
  return text;
}

}  // namespace

std::string entry_symbol(const std::string& prefix, const std::string& entry) {
  std::string symbol = prefix + "entry_" + entry;
  for (char& c : symbol) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!ok) c = '_';
  }
  return symbol;
}

namespace {

/// `target` has one level.
ObjectCode emit_level(const KernelModule& module, const Target& target, const EmitOptions& options) {
  ObjectCode code{target, options.prefix, {}, {}, {}, false, options.profile_workers, 0, {}};
  for (const Kernel& kernel : module.kernels) code.entries.push_back(kernel.entry);
  Outline outline;
  code.times.run("outline", [&] { outline = outline_functions(module); });
  if (options.profile_workers > 0) code.profile_regions = plan_profile(module).regions.size();
  const ObjectCache cache(options.profile_workers > 0 ? std::string() : options.cache_directory);
  std::string key;
  if (cache.is_enabled()) {
    code.times.run("cache", [&] {
      key = cache.key({module_key(module, outline), target.text(), options.prefix, std::to_string(options.vector_bytes),
                       std::to_string(options.optimization)});
      code.from_cache = cache.find(key, code.objects);
    });
    if (code.from_cache) return code;
  }
  const std::vector<Part> parts = make_parts(outline, options.threads);
  code.objects.resize(parts.size());
  std::vector<std::exception_ptr> failures(parts.size());
  // Registers the targets before threads look them up.
  code.times.run("llvm_start", [&] { make_target_machine(target, 0); });
  std::vector<StageTimes> thread_times(parts.size());
  const auto compile = [&](size_t i) {
    try {
      const auto machine = make_target_machine(target, options.optimization);
      llvm::LLVMContext context;
      StageTimes& times = thread_times[i];
      const auto emitted = emit_part(context, *machine, module, outline, parts[i], target, options, times);
      times.run("llvm_codegen", [&] {
        code.objects[i] = generate(*emitted, *machine, llvm::CodeGenFileType::ObjectFile);
      });
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (size_t i = 1; i < parts.size(); ++i) threads.emplace_back(compile, i);
  compile(0);
  for (std::thread& thread : threads) thread.join();
  code.times.add_parallel(
      thread_times, std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  if (cache.is_enabled()) code.times.run("cache", [&] { cache.keep(key, code.objects); });
  return code;
}

}  // namespace

ObjectCode emit_objects(const KernelModule& module, const Target& target, const EmitOptions& options) {
  check_module(module);
  check_prefix(options.prefix);
  const std::vector<Target> levels = target.levels();
  ObjectCode code = emit_level(module, levels[0], options);
  code.target = target;
  for (size_t i = 1; i < levels.size(); ++i) {
    EmitOptions better = options;
    better.prefix = entry_symbol(options.prefix, levels[i].level) + "_";
    ObjectCode more = emit_level(module, levels[i], better);
    code.variants.push_back({levels[i].level, better.prefix});
    std::move(more.objects.begin(), more.objects.end(), std::back_inserter(code.objects));
    code.from_cache = code.from_cache && more.from_cache;
    code.times.append(more.times);
  }
  return code;
}

std::string emit_llvm_ir(const KernelModule& module, const Target& target, const EmitOptions& options) {
  return emit_text(module, target, options, false);
}

std::string emit_assembly(const KernelModule& module, const Target& target, const EmitOptions& options) {
  return emit_text(module, target, options, true);
}

}  // namespace moru
