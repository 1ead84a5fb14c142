// moru train: a recipe and a model in, a run directory out.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compiler/ops/names.h"
#include "runtime/training/train_from_recipe.h"
#include "tools/moru/advice.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/report.h"

namespace moru::cli {
namespace {

struct Options {
  std::string recipe, run_directory = "run", tensorboard;
  bool resume = false, allow_other_program = false, quiet = false, json = false, report = false;
  int threads = 1;
  RecipeChanges changes;
  CompileFlags flags;
};

/// What gives the session the state of the optimizer that Keras left; nothing where there is none for this recipe.
std::function<Status(Session&)> continued_training(ModelSource& source, const Recipe& recipe) {
  if (source.training.variables.empty()) return {};
  const std::string before = optimizer_of(source.training), now = optimizer_op_for(recipe.fit.optimizer.name);
  const std::vector<NamedTensor> slots = before == now ? optimizer_slots(source.training, source.model) : std::vector<NamedTensor>();
  if (slots.empty()) {
    std::fprintf(stderr, "note: '%s' holds the state of an optimizer that does not fit the recipe's (%s), which begins anew\n",
                 source.path.c_str(), recipe.fit.optimizer.name.c_str());
    return {};
  }
  return [slots](Session& session) -> Status {
    for (const NamedTensor& tensor : slots) {
      const std::optional<uint32_t> slot = session.program().find_slot(tensor.name);
      if (!slot) continue;  // of a weight that the recipe freezes
      MORU_RETURN_IF_ERROR(session.assign(*slot, tensor.bytes.data(), tensor.bytes.size()));
    }
    return {};
  };
}

int run(const Options& options) {
  ModelSource source = open_training(options.recipe, options.changes);
  const Recipe& recipe = *source.recipe;
  const ProgressStyle style =
      options.quiet ? ProgressStyle::quiet : options.json ? ProgressStyle::events : ProgressStyle::automatic;
  if (!source.program) {
    // Before compiling: a width that differs is the most common mistake, and the model is not to blame for it.
    const PreparedData prepared = need(prepare_training(recipe));
    check_training(source, prepared.train, style);
  }
  const PreparedModel prepared_model = prepare_model(source, true);

  TrainingJob job;
  CompileFlags flags = options.flags;
  flags.budget_batch = recipe.fit.batch_size;
  flags.threads = options.threads;
  job.program = make_program(source, flags, prepared_model);
  job.recipe = recipe;
  job.run_directory = options.run_directory;
  job.resume = options.resume;
  job.allow_other_program = options.allow_other_program;
  job.threads = options.threads;
  job.progress = style;
  job.tensorboard_directory = options.tensorboard;
  job.stop_on_signal = true;
  if (!source.program && !options.resume) job.initialise = continued_training(source, recipe);
  Result<TrainingReport> trained = train_from_recipe(job);
  if (!trained && trained.status().code() == StatusCode::program_mismatch && !options.allow_other_program)
    fail(trained.status().message() +
         "\n  hint: train into another --run-dir, or ask for it with --allow-other-program");
  const TrainingReport report = need(std::move(trained));
  if (report.fit.interrupted_by != 0) {
    std::string again = "moru train " + options.recipe;
    if (!options.changes.data.empty()) again += " --data " + options.changes.data;
    if (options.changes.seed) again += " --seed " + std::to_string(*options.changes.seed);
    if (options.changes.epochs) again += " --epochs " + std::to_string(*options.changes.epochs);
    std::fprintf(stderr, "interrupted; go on with: %s --run-dir %s --resume\n", again.c_str(),
                 options.run_directory.c_str());
    return 128 + report.fit.interrupted_by;
  }
  std::fputs((options.json ? report.metrics.to_json() : report.metrics.to_text()).c_str(), stdout);
  if (!options.json && !options.quiet) std::printf("written to %s\n", options.run_directory.c_str());
  if (options.report) write_report(options.run_directory, options.run_directory + "/report.html", 1);
  return 0;
}

}  // namespace

void add_train(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train a model by a recipe and leave a run directory");
  command->footer(
      "Examples: moru train recipe.json --run-dir runs/bikes\n"
      "          moru train recipe.json --data SeoulBikeData.csv --seed 3 --quiet --run-dir runs/3\n"
      "A run that was interrupted or killed goes on with --resume and ends with the same bits.");
  command->add_option("RECIPE", options->recipe, "A recipe, or a model that carries one")
      ->required()
      ->type_name("RECIPE.json");
  command->add_option("--run-dir", options->run_directory, "Where checkpoints and results go (default: run)")
      ->type_name("DIR");
  command->add_flag("--resume", options->resume, "Go on from the newest good checkpoint in the run directory");
  command->add_flag("--allow-other-program", options->allow_other_program,
                    "Resume a checkpoint of another program: what fits, and not bit-equal");
  command->add_option("--threads", options->threads, "Threads to use; the result has the same bits with any number")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command->add_flag("--report", options->report, "Also write RUN_DIR/report.html (see moru report)");
  command->add_flag("--quiet", options->quiet, "Show no progress");
  command->add_flag("--json", options->json,
                    "Print metrics.json instead of a table, and progress on stderr as one JSON object per line");
  command
      ->add_option("--tensorboard", options->tensorboard,
                   "Also write TensorBoard's event files: DIR/train, DIR/validation")
      ->type_name("DIR");
  add_recipe_changes(*command, options->changes);
  add_compile_flags(*command, options->flags);
  add_memory_budget(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
