// moru explain: what the compiler did to a model, and where its time goes, in words and numbers.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/moru/arrays.h"
#include "tools/moru/commands.h"
#include "tools/moru/profiled_entry.h"
#include "tools/report/explanation.h"

namespace moru::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model, recipe, entry;
  OpenSizes sizes = {.default_batch = 32};  // or the recipe's
  int threads = 1;
  double seconds = 0.5;
  bool json = false;
  CompileFlags flags;
};

Json time_json(const ProfiledEntry& profiled) {
  JsonWriter writer;
  writer.begin_object();
  write_kernel_profile(writer, profiled.kernels);
  writer.end_object();
  return Json::parse(writer.finish());
}

std::string time_text(const ProfiledEntry& profiled) {
  const KernelProfile& profile = profiled.kernels;
  char line[300];
  std::string text;
  const auto print = [&](const char* format, auto... values) {
    std::snprintf(line, sizeof line, format, values...);
    text += line;
  };
  double bound = 0, compute = 0;
  for (const KernelTime& kernel : profile.kernels) {
    bound += kernel.bound.microseconds;
    if (kernel.bound.by == "compute") compute += kernel.microseconds;
  }
  if (!(profile.kernels_us > 0)) return "time         A step is too short for the processor's counter.\n";
  print(
      "time         A step takes %.1f us in kernels; at the roofline of this machine it would take %.1f us (%.0f %%).\n"
      "             %.0f %% of the time is in kernels that arithmetic limits, the rest in those that memory limits.\n",
      profile.kernels_us, bound, 100 * bound / profile.kernels_us, 100 * compute / profile.kernels_us);
  size_t shown = 0;
  for (const KernelTime& kernel : profile.kernels) {
    if (++shown > 8) break;
    print("             - %4.1f %%  %s: %s", 100 * kernel.microseconds / profile.kernels_us, kernel.origin.c_str(),
          kernel.what.c_str());
    if (kernel.is_measurable)
      print(" (%.0f GFLOP/s, %.0f %% of the roofline)", kernel.gigaflops_per_second(), kernel.roofline_percent());
    text += "\n";
  }
  return text;
}

int run(const Options& options) {
  ModelSource source = open_drawn_model(options.model, options.recipe);
  if (source.program) fail("'" + options.model + "' is compiled already\n  hint: give the model it was compiled from");
  const PreparedModel prepared = prepare_model(source, true);
  const std::string entry = !options.entry.empty() ? options.entry : prepared.trains ? "train_step" : "predict";
  OpenSizes sizes = options.sizes;
  if (source.recipe) sizes.default_batch = source.recipe->fit.batch_size;
  int64_t batch = sizes.wanted_batch();
  if (!source.model.inputs.empty())
    if (const Shape& shape = source.model.type(source.model.inputs[0]).shape; !shape.empty() && shape[0].is_constant()) batch = shape[0].constant();

  std::vector<Snapshot> snapshots;
  bool in_graphs = true;
  CompileOptions compile_options = make_compile_options(options.flags, source.model, prepared.trains ? &prepared.training : nullptr);
  compile_options.pipeline.dump = [&](std::string_view pass, const std::string& text) {
    if (pass == "lower") in_graphs = false;
    if (in_graphs) snapshots.push_back({std::string(pass), text});
  };
  Model model = source.model;
  const Lowered lowered = run_pipeline(model, compile_options.pipeline);
  if (lowered.module.find_entry(entry) == nullptr)
    fail("there is no entry '" + entry +
         "'\n  hint: 'predict' is always there; a recipe adds 'train_step' and 'evaluate'");
  std::optional<ProfiledEntry> profiled;
  if (options.seconds > 0) {
    initialize(source);
    profiled = profile_entry(source, options.flags, prepared, entry, sizes, options.threads, options.seconds);
  }
  std::map<std::string, int64_t, std::less<>> symbols = {{"workers", options.threads}};
  for (const std::string& symbol : lowered.kernels.symbols) symbols.emplace(symbol, batch);
  if (profiled) symbols = profiled->symbols;
  const std::vector<Fact> facts = explain_program(snapshots, lowered, entry, symbols);

  if (options.json) {
    Json json = {{"model", source.path}, {"entry", entry}, {"batch", batch}, {"facts", Json::array()}};
    for (const Fact& fact : facts)
      json["facts"].push_back(
          {{"topic", fact.topic}, {"sentence", fact.sentence}, {"details", fact.details}, {"numbers", fact.numbers}});
    if (profiled) json["time"] = time_json(*profiled);
    std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
  }
  std::printf("'%s' of %s, in batches of %lld\n\n", entry.c_str(), source.path.c_str(), static_cast<long long>(batch));
  for (const Fact& fact : facts) {
    std::printf("%-12s %s\n", fact.topic.c_str(), fact.sentence.c_str());
    for (const std::string& detail : fact.details) std::printf("%-12s - %s\n", "", detail.c_str());
  }
  if (profiled) std::fputs(time_text(*profiled).c_str(), stdout);
  return 0;
}

}  // namespace

void add_explain(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "explain", "Say what was fused, moved, shared and reused in a model's program, and where time goes");
  command->footer(
      "Examples: moru explain recipe.json\n"
      "          moru explain model.json --entry predict --batch 1 --seconds 0\n"
      "Numbers come from comparing the program behind each pass (moru passes); moru view draws the same stages.");
  command->add_option("MODEL", options->model, "A .moru, Keras or ONNX file, or a recipe")->required();
  command->add_option("--recipe", options->recipe, "A recipe, which adds training")->type_name("R.json");
  command
      ->add_option("--entry", options->entry, "The entry to explain (default: train_step with a recipe, else predict)")
      ->type_name("NAME");
  add_open_sizes(*command, options->sizes, "Samples per step (default: the recipe's, or 32)");
  command->add_option("--threads", options->threads, "Threads to use")->check(CLI::Range(1, 1024))->type_name("N");
  command->add_option("--seconds", options->seconds, "How long to measure; 0: not at all (default: 0.5)")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("S");
  command->add_flag("--json", options->json, "Print it as JSON");
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
