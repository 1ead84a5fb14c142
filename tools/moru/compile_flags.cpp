#include "tools/moru/compile_flags.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/native_program.h"
#include "tools/moru/recipe_model.h"

namespace moru::cli {
namespace {

// Without these there is no program; everything else only makes it better.
constexpr std::string_view required_passes[] = {"make_entries",  "expand", "differentiate", "add_update",
                                                "expand_update", "narrow_products", "lower",  "plan_memory"};

void check_pass(const std::string& name) {
  std::vector<std::string> names;
  for (const PassDescription& pass : describe_passes()) names.emplace_back(pass.name);
  if (std::find(names.begin(), names.end(), name) == names.end())
    fail("there is no pass '" + name + "'\n  hint: " + name_hint(name, names, "moru passes lists them"));
  if (std::find(std::begin(required_passes), std::end(required_passes), name) != std::end(required_passes))
    fail("the pass '" + name + "' cannot be left out: there is no program without it");
}

}  // namespace

void add_compile_flags(CLI::App& command, CompileFlags& flags) {
  command.add_option("--disable", flags.disable, "Leave out this pass; may be given several times")
      ->type_name("PASS")
      ->delimiter(',');
  command
      .add_option("--dtype-policy", flags.dtype_policy,
                  "float32, or mixed_bfloat16: layers multiply numbers rounded to bfloat16 and add up in float32; weights "
                  "stay float32")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(dtype_policy_names), std::end(dtype_policy_names))))
      ->type_name("POLICY");
  command.add_option("--dump-dir", flags.dump_directory, "Write the program after each pass that changed it, as text")
      ->type_name("DIR");
  command.add_flag("--time", flags.time, "Say on stderr how long each stage took, from import to link");
  command.add_flag("--no-cache", flags.no_cache, "Neither use nor keep compiled objects in the cache");
}

void add_memory_budget(CLI::App& command, CompileFlags& flags) {
  command
      .add_option("--memory-budget", flags.memory_budget,
                  "Bytes for intermediate results, such as 64M: smaller chunks of the batch, then segments of time that are "
                  "computed again")
      ->type_name("SIZE");
}

namespace {

int64_t parse_bytes(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  const int shift = unit.empty() || unit == "B" ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
  const double bytes = shift < 0 ? 0 : std::ldexp(number, shift);
  if (end == text.c_str() || !(bytes >= 1) || bytes > 1e18)
    fail("--memory-budget takes a number of bytes, such as 500000, 64M or 1.5G, not '" + text + "'");
  return static_cast<int64_t>(bytes);
}

}  // namespace

std::string cache_directory() {
  if (const char* given = std::getenv("XDG_CACHE_HOME"); given != nullptr && given[0] == '/')
    return std::string(given) + "/moru";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::string(home) + "/.cache/moru";
  return {};
}

void add_recipe_changes(CLI::App& command, RecipeChanges& changes) {
  command.add_option("--data", changes.data, "The CSV to use instead of the recipe's")->type_name("F.csv");
  command.add_option("--seed", changes.seed, "Seed of weights, shuffling and dropout, instead of the recipe's")
      ->type_name("S");
  command.add_option("--epochs", changes.epochs, "Epochs at most, instead of the recipe's")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000000}))
      ->type_name("N");
}

CompileOptions make_compile_options(const CompileFlags& flags, Model& model, const TrainingSpec* training, int64_t seed) {
  CompileOptions options;
  if (const std::optional<DTypePolicy> policy = find_dtype_policy(flags.dtype_policy)) model.dtype_policy = *policy;
  const bool is_mixed = model.dtype_policy == DTypePolicy::mixed_bfloat16;
  options.target = is_mixed && flags.target == "host" ? Target::host_for_bf16() : Target::parse(flags.target);
  options.pipeline.training = training;
  options.seed = seed;
  if (!flags.memory_budget.empty())
    options.memory_budget = {parse_bytes(flags.memory_budget), flags.budget_batch, flags.threads};
  for (const std::string& name : flags.disable) {
    check_pass(name);
    options.pipeline.disable.insert(name);
  }
  if (!flags.dump_directory.empty()) {
    std::error_code error;
    std::filesystem::create_directories(flags.dump_directory, error);
    if (error) need(file_error("make", flags.dump_directory, error.value()));
    options.pipeline.dump = [directory = flags.dump_directory, number = 0](std::string_view pass,
                                                                           const std::string& text) mutable {
      char prefix[16];
      std::snprintf(prefix, sizeof prefix, "%02d_", number++);
      need(write_file_atomically(directory + "/" + prefix + std::string(pass) + ".txt", text));
    };
  }
  return options;
}

EmitOptions make_emit_options(const CompileFlags& flags) {
  EmitOptions options;
  if (!flags.no_cache) {
    options.cache_directory = cache_directory();
    std::error_code ignored;  // a cache that cannot be written is none
    if (!options.cache_directory.empty()) std::filesystem::create_directories(options.cache_directory, ignored);
  }
  return options;
}

void report_times(const CompileFlags& flags, const StageTimes& times, double total_microseconds) {
  if (!flags.time) return;
  const auto line = [](const std::string& name, double microseconds) {
    std::fprintf(stderr, "%-20s %10.3f ms", name.c_str(), microseconds / 1000);
  };
  for (const StageTime& stage : times.list()) {
    line(stage.name, stage.microseconds);
    // Threads side by side: what they spent together is more than what it took.
    if (stage.thread_microseconds > 1.01 * stage.microseconds)
      std::fprintf(stderr, " (of all threads %.3f ms)", stage.thread_microseconds / 1000);
    std::fputs("\n", stderr);
  }
  line("other", std::max(0.0, total_microseconds - times.total_microseconds()));
  std::fputs("\n", stderr);
  line("total", total_microseconds);
  std::fputs("\n", stderr);
}

void write_times(JsonWriter& json, const CompileFlags& flags, const StageTimes& times, double total_microseconds) {
  if (!flags.time) return;
  json.key("stages").begin_array();
  for (const StageTime& stage : times.list()) {
    json.begin_object();
    json.key("name").text(stage.name);
    json.key("ms").number(stage.microseconds / 1000);
    json.key("thread_ms").number(stage.thread_microseconds / 1000);
    json.end_object();
  }
  json.end_array();
  json.key("total_ms").number(total_microseconds / 1000);
}

PreparedModel prepare_model(ModelSource& source, bool training) {
  PreparedModel prepared;
  if (!source.recipe) return prepared;
  attach_scalers(source.model, *source.recipe, training);
  if (!training) return prepared;
  freeze_layers(source.model, *source.recipe);
  prepared.training = make_training_spec(*source.recipe, source.model);
  prepared.trains = true;
  return prepared;
}

std::shared_ptr<const Program> make_program(ModelSource& source, const CompileFlags& flags,
                                            const PreparedModel& prepared) {
  if (source.program) return source.program;
  const auto begin = std::chrono::steady_clock::now();
  const CompileOptions options =
      make_compile_options(flags, source.model, prepared.trains ? &prepared.training : nullptr,
                           source.recipe ? static_cast<int64_t>(source.recipe->fit.seed) : 0);
  std::vector<std::byte> recipe;
  if (source.recipe) {
    Recipe carried = *source.recipe;
    carried.model.clear();
    recipe = write_recipe(carried);
  }
  StageTimes times;
  std::shared_ptr<const Program> program =
      need(find_or_make_native_program(source.model, options, make_emit_options(flags), recipe, times));
  report_times(flags, times,
               std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  return program;
}

ProfiledProgram make_profiled_program(ModelSource& source, const CompileFlags& flags, const PreparedModel& prepared,
                                      int workers) {
  if (source.program)
    fail("'" + source.path + "' is compiled without a profile\n  hint: give the model it was compiled from");
  CompileFlags silent = flags;
  silent.dump_directory.clear();
  EmitOptions emit = make_emit_options(silent);
  emit.profile_workers = workers;
  ProfiledProgram out;
  const CompileOptions options = make_compile_options(silent, source.model, prepared.trains ? &prepared.training : nullptr);
  out.program = need(make_native_program(source.model, options, emit, {}, &out.compiled, &out.code));
  return out;
}

}  // namespace moru::cli
