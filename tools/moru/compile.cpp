// moru compile: a model as native code ahead of time, with everything it needs inside.
#include "compiler/compile.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "compiler/codegen/link.h"
#include "compiler/codegen/standalone_object.h"
#include "compiler/ops/names.h"
#include "runtime/atomic_file.h"
#include "runtime/data/prepare.h"
#include "tools/moru/advice.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/native_program.h"
#include "tools/moru/recipe_model.h"
#include "tools/moru/standalone_files.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, output, recipe, prefix;
  std::vector<std::string> entries;
  std::optional<uint64_t> seed;
  std::optional<int64_t> batch;
  bool standalone = false;
  bool json = false;
  CompileFlags flags;
};

/// Looks at the recipe's data where they are at hand: widths are checked, and what was learned of the columns travels
/// along. Where the file is elsewhere, what is trained on later is checked then.
void fit_recipe(ModelSource& source) {
  Recipe& recipe = *source.recipe;
  std::error_code ignored;
  if (recipe.fitted || (recipe.data.source == SourceKind::csv && !std::filesystem::exists(recipe.data.path, ignored)))
    return;
  PreparedData prepared = need(prepare_training(recipe));
  check_training(source, prepared.train);
  warn_of_doubts(source, prepared.train, ProgressStyle::lines);
  recipe = std::move(prepared.recipe);
}

/// True if the entries asked for train. Throws Failure for names that are none.
bool wants_training(const Options& options, const ModelSource& source) {
  static const std::vector<std::string> known = {"predict", "train_step", "evaluate", "reset_metrics",
                                                 "metric_results"};
  bool training = options.entries.empty() && source.recipe.has_value();
  for (const std::string& entry : options.entries) {
    if (std::find(known.begin(), known.end(), entry) == known.end())
      fail("there is no entry '" + entry + "'\n  hint: " + near_names_hint(entry, known));
    if (entry == "predict") continue;
    if (!source.recipe)
      fail("the entry '" + entry + "' needs a loss and an optimizer\n  hint: give a recipe with --recipe R.json");
    training = true;
  }
  return training;
}

/// For text, only what was asked for; a library always has all entries, since they rely on each other.
KernelModule selected(const KernelModule& kernels, const std::vector<std::string>& entries) {
  KernelModule out = kernels;
  if (!entries.empty())
    std::erase_if(out.kernels, [&](const Kernel& kernel) {
      return std::find(entries.begin(), entries.end(), kernel.entry) == entries.end();
    });
  return out;
}

std::string c_identifier(const std::string& text) {
  std::string name;
  for (const char c : text) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ? "m_" + name : name;
}

/// The prefix of symbols: as asked for, or made of the file's name where models may be linked into one program.
void choose_prefix(const Options& options, const std::string& ending, EmitOptions& emit) {
  if (!options.prefix.empty()) {
    emit.prefix = c_identifier(options.prefix);
  } else if (ending != ".so") {
    emit.prefix = c_identifier(std::filesystem::path(options.output).stem().string()) + "_";
  }
}

std::string beside(const std::string& output, const char* ending) {
  return std::filesystem::path(output).replace_extension(ending).string();
}

/// Writes the library and its header; returns the header's path.
std::string write_library(const Options& options, const std::string& ending, const CompiledModel& compiled,
                          const Model& model, std::span<const std::byte> recipe, EmitOptions emit, StageTimes& times) {
  choose_prefix(options, ending, emit);
  const ObjectCode code = emit_objects(compiled.lowered.kernels, compiled.target, emit);
  times.append(code.times);
  std::vector<std::byte> file;
  times.run("package", [&] { file = need(make_moru_file(model, compiled, recipe)); });
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(file.data()), file.size());
  const auto write = ending == ".so" ? write_shared_object : write_static_object;
  times.run("link", [&] { write(options.output, code, bytes, compiled.hash); });
  const std::string header = beside(options.output, ".h");
  need(write_file_atomically(header, c_header(code.prefix, code.entries, model.name)));
  return header;
}

/// What was written beside the output, and what is known of it.
struct Written {
  std::string companion;  // a C header or a script
  std::vector<std::pair<const char*, int64_t>> numbers;
};

/// Writes a library or WebAssembly module that needs no runtime, and what goes beside it.
Written write_standalone(const Options& options, const std::string& ending, const CompiledModel& compiled,
                         const Model& model, int64_t batch, EmitOptions emit, StageTimes& times) {
  choose_prefix(options, ending, emit);
  StandalonePlan plan;
  times.run("plan_standalone", [&] { plan = plan_standalone(compiled.lowered, model, compiled.hash, emit.prefix, options.entries); });
  const ObjectCode code = emit_objects(plan.kernels, compiled.target, emit);
  times.append(code.times);
  const bool is_module = ending == ".wasm";
  times.run("link", [&] {
    const std::vector<uint8_t> functions = standalone_object(plan, compiled.target);
    if (is_module)
      write_wasm_module(options.output, code, functions, standalone_functions(plan));
    else
      write_static_library(options.output, code, functions);
  });
  const std::string companion = beside(options.output, is_module ? ".mjs" : ".h");
  const std::string file = std::filesystem::path(options.output).filename().string();
  need(write_file_atomically(companion, is_module ? standalone_script(plan, model.name, file)
                                                  : standalone_header(plan, compiled.target, model.name, batch)));
  const int64_t arena = plan.arena_bytes().evaluate([&](std::string_view) { return batch; });
  return {companion,
          {{"weights_bytes", static_cast<int64_t>(plan.data.size())},
           {"state_bytes", static_cast<int64_t>(plan.state_bytes)},
           {"batch", batch},
           {"arena_bytes", arena}}};
}

/// What ending, target and --standalone have to do with each other. Throws Failure where they do not fit.
void settle(Options& options) {
  const std::string ending = ending_of(options.output);
  const bool is_text = ending == ".ll" || ending == ".s";
  if (ending == ".wasm" && options.flags.target == "host") options.flags.target = "wasm32-simd";
  const Target target = Target::parse(options.flags.target);
  const bool is_wasm = target.is_wasm();
  if (ending != ".so" && ending != ".o") target.check_one_level();
  if (ending == ".wasm" && !is_wasm) fail("a .wasm file is for the target wasm32-simd, not " + options.flags.target);
  if (ending == ".a" && !options.standalone)
    fail("a .a file holds a model that needs no runtime\n  hint: say so with --standalone, or write a .o for use with the runtime");
  if (options.standalone && ending != ".a" && ending != ".wasm")
    fail("--standalone writes a static library, so the output must end in .a (or .wasm), not " + ending);
  if (is_wasm && !is_text && ending != ".a" && ending != ".wasm")
    fail("the runtime does not run WebAssembly\n  hint: write a .wasm, or a .a with --standalone");
}

int run(Options options) {
  const auto begin = std::chrono::steady_clock::now();
  settle(options);
  StageTimes times;
  const std::string ending = ending_of(options.output);
  ModelSource source;
  times.run("import", [&] { source = open_model(options.model, options.seed, options.recipe); });
  const bool training = wants_training(options, source);
  if (source.recipe && options.seed) source.recipe->fit.seed = *options.seed;
  std::vector<std::byte> recipe_bytes;
  PreparedModel prepared;
  times.run("recipe", [&] {
    if (source.recipe) {
      fit_recipe(source);
      Recipe carried = *source.recipe;
      carried.model.clear();
      recipe_bytes = write_recipe(carried);
    }
    prepared = prepare_model(source, training);
    if (source.recipe) set_statistics(source.model, *source.recipe);
  });

  CompileFlags flags = options.flags;
  if (source.recipe) flags.budget_batch = source.recipe->fit.batch_size;
  const CompiledModel compiled = compile(
      source.model,
      make_compile_options(flags, source.model, prepared.trains ? &prepared.training : nullptr,
                           static_cast<int64_t>(options.seed.value_or(source.recipe ? source.recipe->fit.seed : 0))));
  times.append(compiled.lowered.times);
  const EmitOptions emit = make_emit_options(options.flags);
  Written written;
  if (options.standalone || ending == ".wasm") {
    const int64_t batch = options.batch.value_or(source.recipe ? source.recipe->fit.batch_size : 1);
    written = write_standalone(options, ending, compiled, source.model, batch, emit, times);
  } else if (ending == ".ll" || ending == ".s") {
    const KernelModule kernels = selected(compiled.lowered.kernels, options.entries);
    std::string text;
    times.run("emit_text", [&] {
      text = ending == ".ll" ? emit_llvm_ir(kernels, compiled.target, emit)
                             : emit_assembly(kernels, compiled.target, emit);
    });
    need(write_file_atomically(options.output, text));
  } else {
    written.companion = write_library(options, ending, compiled, source.model, recipe_bytes, emit, times);
  }
  const double total_us =
      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
  if (!options.json) {
    report_times(options.flags, times, total_us);
    return 0;
  }
  JsonWriter json;
  json.begin_object();
  json.key("model").text(source.path);
  json.key("output").text(options.output);
  if (!written.companion.empty()) json.key(ending == ".wasm" ? "script" : "header").text(written.companion);
  for (const auto& [name, number] : written.numbers) json.key(name).integer(number);
  json.key("target").text(compiled.target.text());
  json.key("entries").begin_array();
  for (const Kernel& kernel : compiled.lowered.kernels.kernels) json.text(kernel.entry);
  json.end_array();
  write_times(json, options.flags, times, total_us);
  json.end_object();
  std::fputs(json.finish().c_str(), stdout);
  return 0;
}

std::string check_output(const std::string& path) {
  const std::string ending = ending_of(path);
  for (const char* known : {".so", ".o", ".a", ".wasm", ".ll", ".s"})
    if (ending == known) return {};
  return "'" + path + "': the ending says what to write; it must be .so, .o, .a, .wasm, .ll or .s";
}

// ------------------------------------------------------------------------------------------------------- --list-targets

void print_targets() {
  const std::string host = Target::host().level;
  for (const auto& [target, about] : list_targets())
    std::printf("%-16s%-27s%4d-bit vectors  %s%s\n", target.level.c_str(), target.triple.c_str(), target.vector_bytes * 8,
                std::string(about).c_str(), target.level == host ? "  <- this machine" : "");
  std::puts("Levels of one family may be joined, as x86-64-v2+x86-64-v3+x86-64-v4: a .so or .o then has code for each, and\n"
            "what the processor does best is taken when it is loaded.");
}

}  // namespace

void add_compile(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("compile", "Compile a model to native code ahead of time");
  command->footer(
      "Examples: moru compile model.moru -o model.so\n"
      "          moru compile model.json --recipe recipe.json -o bikes.so    # for moru-run bikes.so train\n"
      "          moru compile model.moru -o model.o --target x86-64-v3\n"
      "          moru compile model.moru -o model.so --target x86-64-v2+x86-64-v3+x86-64-v4    # the best is chosen at load\n"
      "          moru compile model.moru --standalone -o model.a --target aarch64    # with model.h, and nothing else\n"
      "          moru compile recipe.json -o bikes.wasm --entry predict,train_step   # with bikes.mjs, for JavaScript\n"
      "          moru compile recipe.json -o bikes.so --no-cache --time --json    # where the time goes\n"
      "A .so or .o comes with a C header beside it, and carries model, weights and recipe.");
  command->add_option("MODEL", options->model, "A .moru or Keras JSON file, or a recipe")->required();
  command
      ->add_option("-o,--output", options->output, "What to write, by its ending: .so, .o, .a, .wasm, .ll (LLVM) or .s (assembly)")
      ->required()
      ->check(CLI::Validator(check_output, "OUT.{so,o,a,wasm,ll,s}"));
  command->add_option("--target", options->flags.target, "The machine to compile for, of --list-targets, or several levels joined by + (default: host)")
      ->type_name("T");
  command
      ->add_flag_callback(
          "--list-targets",
          [] {
            print_targets();
            throw CLI::Success();
          },
          "List the machines that code can be compiled for")
      ->trigger_on_parse();
  command
      ->add_option("--entry", options->entries,
                   "predict alone leaves training out; for .a and .wasm what goes in, for .ll and .s what is printed")
      ->delimiter(',')
      ->type_name("E,F");
  command->add_option("--recipe", options->recipe, "Embed this recipe and what training needs")->type_name("R.json");
  command->add_option("--seed", options->seed, "Seed of weights that the model lacks, and of training")->type_name("S");
  command->add_option("--prefix", options->prefix, "Of every symbol (default: moru_ for .so, else the file's name)")
      ->type_name("P");
  command->add_flag("--standalone", options->standalone,
                    "Into a .a: model, weights and all they need as a C library without heap, threads or files");
  command->add_option("--batch", options->batch, "With --standalone: the batch for which the header gives the arena's size (default: "
                                                 "the recipe's, else 1)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->type_name("N");
  command->add_flag("--json", options->json, "Say what was written, and with --time the stages, as JSON");
  add_compile_flags(*command, options->flags);
  add_memory_budget(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
