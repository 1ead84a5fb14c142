// moru view: a model as a drawing, at any stage of the compiler.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiler/pipeline.h"
#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/report/model_drawing.h"
#include "tools/report/program_drawing.h"
#include "tools/report/report_page.h"

namespace moru::cli {
namespace {

struct Options {
  std::string model, recipe, stage = "drawn", entry, output = "model.html";
  CompileFlags flags;
};

const Graph& need_entry(const Module& module, const std::string& name) {
  if (const Graph* graph = module.find_entry(name)) return *graph;
  std::vector<std::string> names;
  for (const Graph& graph : module.entries) names.push_back(graph.name);
  fail("there is no entry '" + name +
       "'\n  hint: " + name_hint(name, names, "'predict' is always there; a recipe adds 'train_step'"));
}

DotGraph draw(const Options& options, ModelSource& source, std::string& caption) {
  if (options.stage == "drawn") {
    caption = "The model as it was drawn: layers, what flows between them (without the batch), and their parameters.";
    return draw_model(source.model);
  }
  const PreparedModel prepared = prepare_model(source, true);
  CompileOptions compile_options = make_compile_options(options.flags, source.model, prepared.trains ? &prepared.training : nullptr);
  std::vector<std::string> names = {"drawn", "kernels"};
  std::string why;
  for (const PassDescription& pass : describe_passes()) {
    if (!prepared.trains && pass.when != "always") continue;
    names.emplace_back(pass.name);
    if (pass.name == options.stage) why = pass.why;
  }
  if (std::find(names.begin(), names.end(), options.stage) == names.end())
    fail("there is no stage '" + options.stage + "' here" +
         (prepared.trains ? "" : " (without a recipe nothing is trained)") +
         "\n  hint: " + name_hint(options.stage, names, "'drawn', 'kernels', or a pass that `moru passes` lists"));
  const bool whole = options.stage == "kernels";
  compile_options.pipeline.stop_after = whole ? "" : options.stage;
  const Lowered lowered = run_pipeline(source.model, compile_options.pipeline);
  const std::string entry = !options.entry.empty() ? options.entry : prepared.trains ? "train_step" : "predict";
  if (lowered.kernels.kernels.empty()) {
    caption = "The graph of '" + entry + "' behind the pass " + options.stage + ": " + why + ".";
    return draw_graph(need_entry(lowered.module, entry));
  }
  caption = "The kernels of '" + entry + "'" + (whole ? "" : " behind the pass " + options.stage) +
            ": each box is one loop nest or contraction with the layers computed in it together; frames are loops "
            "around them.";
  for (const Kernel& kernel : lowered.kernels.kernels)
    if (kernel.entry == entry) return draw_kernel(lowered.kernels, kernel);
  need_entry(lowered.module, entry);
  fail("the entry '" + entry + "' has no kernel");
}

int run(const Options& options) {
  const std::string ending = ending_of(options.output);
  if (ending != ".html" && ending != ".svg" && ending != ".dot")
    fail("cannot draw into '" + options.output + "'\n  hint: give a name that ends in .html, .svg or .dot");
  ModelSource source = open_drawn_model(options.model, options.recipe);
  std::string caption;
  const std::string dot = dot_text(draw(options, source, caption));
  if (ending == ".dot") {
    need(write_file_atomically(options.output, dot));
    return 0;
  }
  std::string svg = need(draw_svg(dot));
  const std::string title = file_name(source.path) + (options.stage == "drawn" ? "" : ", " + options.stage);
  if (ending == ".svg") {
    svg.insert(svg.find('>') + 1, "\n<style>" + graph_css(true) + "</style>");
    need(write_file_atomically(options.output, svg));
  } else {
    need(write_file_atomically(options.output,
                               drawing_page(title, caption + " Drag to move, the wheel or two fingers enlarge.", svg)));
  }
  std::printf("%s\n", options.output.c_str());
  return 0;
}

}  // namespace

void add_view(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("view", "Draw a model: as authored, behind any pass, or as kernels");
  command->footer(
      "Examples: moru view model.json -o model.html\n"
      "          moru view recipe.json --stage hoist_scan --entry train_step -o hoisted.svg\n"
      "          moru view recipe.json --stage kernels --entry predict -o kernels.html\n"
      "The drawing is laid out by Graphviz' program dot (apt-get install graphviz). A .dot file holds its input.");
  command->add_option("MODEL", options->model, "A .moru, .so, Keras or ONNX file, or a recipe")->required();
  command->add_option("--recipe", options->recipe, "A recipe, which adds training")->type_name("R.json");
  command->add_option("--stage", options->stage, "drawn (default), kernels, or a pass: see moru passes")
      ->type_name("STAGE");
  command->add_option("--entry", options->entry, "The entry to draw (default: train_step with a recipe, else predict)")
      ->type_name("NAME");
  command->add_option("-o,--output", options->output, "The drawing (default: model.html)")
      ->type_name("FILE.{html,svg,dot}");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
