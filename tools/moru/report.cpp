// moru report: a run directory as a page to look at.
#include "tools/moru/report.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "compiler/model/summary.h"
#include "runtime/atomic_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/profiled_entry.h"
#include "tools/report/memory_facts.h"
#include "tools/report/model_drawing.h"
#include "tools/report/report_data.h"
#include "tools/report/report_page.h"

namespace moru::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string run_directory, output;
  double seconds = 1;
};

ProgramFacts program_facts(const RunFiles& run, double seconds) {
  ProgramFacts facts;
  const std::string path = (std::filesystem::path(run.directory) / "model.moru").string();
  ModelSource source = open_model(path);
  const PreparedModel prepared = prepare_model(source, true);
  facts.summary = Json::parse(summary_json(source.model));
  const Result<std::string> svg = draw_svg(dot_text(draw_model(source.model)));
  if (svg) {
    facts.graph_svg = *svg;
  } else {
    facts.graph_missing = svg.status().message();
  }
  if (seconds <= 0 || !prepared.trains) return facts;
  const int64_t batch = source.recipe ? source.recipe->fit.batch_size : 32;
  const int threads = run.metrics.value("threads", 1);
  const ProfiledEntry profiled = profile_entry(source, {}, prepared, "train_step", {.default_batch = batch}, threads, seconds);
  facts.memory = memory_json(profiled.compiled.lowered, profiled.symbols);
  facts.memory["batch"] = batch;
  JsonWriter writer;
  writer.begin_object();
  writer.key("entry").text("train_step");
  writer.key("batch").integer(batch);
  writer.key("threads").integer(threads);
  writer.key("target").text(profiled.compiled.target.text());
  write_kernel_profile(writer, profiled.kernels);
  writer.end_object();
  facts.profile = Json::parse(writer.finish());
  return facts;
}

int run(const Options& options) {
  const std::string output =
      options.output.empty() ? (std::filesystem::path(options.run_directory) / "report.html").string() : options.output;
  write_report(options.run_directory, output, options.seconds);
  std::printf("%s\n", output.c_str());
  return 0;
}

}  // namespace

void write_report(const std::string& run_directory, const std::string& output, double profile_seconds) {
  const RunFiles run = need(read_run_files(run_directory));
  need(write_file_atomically(output, report_page(report_data(run, program_facts(run, profile_seconds)))));
}

void add_report(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("report", "Make a page of a finished training run: curves, errors, model, speed");
  command->footer(
      "Examples: moru report runs/bikes\n"
      "          moru report runs/bikes -o report.html --seconds 0\n"
      "The page is one file that needs no network. Graphviz' program dot draws the model, if it is installed.");
  command->add_option("RUN_DIR", options->run_directory, "What moru train left in its --run-dir")->required();
  command->add_option("-o,--output", options->output, "The page (default: RUN_DIR/report.html)")
      ->check(CLI::Validator(ending_check(".html"), ""))
      ->type_name("FILE.html");
  command
      ->add_option("--seconds", options->seconds,
                   "How long to measure a training step's kernels; 0 leaves speed and memory out (default: 1)")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("S");
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
