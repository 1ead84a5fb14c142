// moru dump: the program at any stage, as text.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiler/codegen/emit.h"
#include "compiler/model/model_text.h"
#include "compiler/pipeline.h"
#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/recipe_model.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, recipe, after, output;
  bool drawn = false, kernels = false, llvm = false, assembly = false, memory = false;
  CompileFlags flags;
};

std::string text_of(const Options& options) {
  ModelSource source = open_drawn_model(options.model, options.recipe);
  const PreparedModel prepared = prepare_model(source, true);
  if (options.drawn) return model_text(source.model);
  CompileOptions compile_options = make_compile_options(options.flags, source.model, prepared.trains ? &prepared.training : nullptr);
  PipelineOptions& pipeline = compile_options.pipeline;

  std::vector<std::string> names;
  for (const PassDescription& pass : describe_passes())
    if (prepared.trains || pass.when == "always") names.emplace_back(pass.name);
  const bool whole = options.kernels || options.llvm || options.assembly || options.memory;
  const std::string& last_graph_pass = *std::prev(std::find(names.begin(), names.end(), "lower"));
  pipeline.stop_after = whole ? "" : options.after.empty() ? last_graph_pass : options.after;
  if (!pipeline.stop_after.empty() && std::find(names.begin(), names.end(), pipeline.stop_after) == names.end())
    fail("there is no pass '" + options.after + "' here" +
         (prepared.trains ? "" : " (without a recipe nothing is trained)") +
         "\n  hint: " + name_hint(options.after, names, "moru passes lists them"));
  Lowered lowered = run_pipeline(source.model, pipeline);
  report_times(options.flags, lowered.times, lowered.times.total_microseconds());
  if (options.llvm) return emit_llvm_ir(lowered.kernels, compile_options.target, make_emit_options(options.flags));
  if (options.assembly) return emit_assembly(lowered.kernels, compile_options.target, make_emit_options(options.flags));
  if (options.memory) {
    std::string text;
    for (size_t i = 0; i < lowered.plans.size(); ++i)
      text += lowered.kernels.kernels[i].entry + ": " + lowered.plans[i].text(lowered.kernels.kernels[i]) + "\n";
    return text;
  }
  const bool is_lowered = options.kernels || (!pipeline.stop_after.empty() && !lowered.kernels.kernels.empty());
  return is_lowered ? kernel_module_text(lowered.kernels) : module_text(lowered.module);
}

int run(const Options& options) {
  const std::string text = text_of(options);
  if (options.output.empty() || options.output == "-") {
    std::fputs(text.c_str(), stdout);
  } else {
    need(write_file_atomically(options.output, text));
  }
  return 0;
}

}  // namespace

void add_dump(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("dump", "Print a model's program at any stage of the compiler");
  command->footer(
      "Examples: moru dump model.json                    # the graphs behind the last graph pass\n"
      "          moru dump model.json --after expand\n"
      "          moru dump recipe.json --kernels          # of training too");
  command->add_option("MODEL", options->model, "A .moru, .so or Keras JSON file, or a recipe")->required();
  command->add_option("--recipe", options->recipe, "A recipe, which adds training")->type_name("R.json");
  CLI::Option_group* stage = command->add_option_group("stage", "What to print");
  stage->add_option("--after", options->after, "The program behind this pass")->type_name("PASS");
  stage->add_flag("--drawn", options->drawn, "The model as it was drawn, scalers of the recipe included");
  stage->add_flag("--kernels", options->kernels, "The kernels");
  stage->add_flag("--llvm", options->llvm, "LLVM's intermediate representation");
  stage->add_flag("--asm", options->assembly, "Assembly");
  stage->add_flag("--memory", options->memory, "The plan of the arena, by entry");
  stage->require_option(0, 1);
  command->add_option("--target", options->flags.target, "For --llvm and --asm: what to compile for (default: host)")
      ->type_name("T");
  command->add_option("-o,--output", options->output, "Where the text goes (default: standard output)")
      ->type_name("FILE");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
