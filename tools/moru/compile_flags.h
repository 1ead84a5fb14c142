// The flags that several subcommands share because they compile: target, passes to leave out, dumps, times, cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/compile.h"
#include "compiler/model/training.h"
#include "runtime/program.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/model_source.h"

namespace CLI {
class App;
}

namespace moru::cli {

struct CompileFlags {
  std::string target = "host";
  std::vector<std::string> disable;
  std::string dump_directory;
  bool time = false;
  bool no_cache = false;
  std::string dtype_policy;   // as it was given; empty: the model's own
  std::string memory_budget;  // as it was given
  int64_t budget_batch = 32;  // what it is to hold for: the subcommand knows
  int threads = 1;
};

/// Adds --disable, --dump-dir, --time and --no-cache to a subcommand.
void add_compile_flags(CLI::App& command, CompileFlags& flags);

/// Adds --memory-budget, for subcommands that compile a training step.
void add_memory_budget(CLI::App& command, CompileFlags& flags);

/// Adds --data, --seed and --epochs, for subcommands that train.
void add_recipe_changes(CLI::App& command, RecipeChanges& changes);

/// Gives the model the dtype policy that was asked for. Throws Failure for a pass that does not exist or cannot be left
/// out, CompileError for a target.
CompileOptions make_compile_options(const CompileFlags& flags, Model& model, const TrainingSpec* training, int64_t seed = 0);
EmitOptions make_emit_options(const CompileFlags& flags);

/// $XDG_CACHE_HOME/moru, or ~/.cache/moru; empty where neither is known.
std::string cache_directory();

/// With --time: a table on stderr, one line per stage and what is left of `total_microseconds`.
void report_times(const CompileFlags& flags, const StageTimes& times, double total_microseconds);
/// The same as keys "stages" and "total_ms" of the object that is being written; nothing without --time.
void write_times(JsonWriter& json, const CompileFlags& flags, const StageTimes& times, double total_microseconds);

/// What training, bench and the like work on: a model with its recipe's scalers, and the specification for training.
struct PreparedModel {
  TrainingSpec training;
  bool trains = false;
};
/// Attaches the recipe's scalers, and if `training` asks for it makes the specification.
PreparedModel prepare_model(ModelSource& source, bool training);

/// The program with native code: a shared object's own, or compiled in memory. `flags` say how.
std::shared_ptr<const Program> make_program(ModelSource& source, const CompileFlags& flags,
                                            const PreparedModel& prepared);

/// The same with a profile of its kernels (EmitOptions::profile_workers). Throws Failure for a shared object.
struct ProfiledProgram {
  std::shared_ptr<const Program> program;
  CompiledModel compiled;
  const JitCode* code = nullptr;
};
ProfiledProgram make_profiled_program(ModelSource& source, const CompileFlags& flags, const PreparedModel& prepared,
                                      int workers);

}  // namespace moru::cli
