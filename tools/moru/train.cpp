// moru train: a recipe and a model in, a run directory out.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "compiler/io/training_io.h"
#include "runtime/atomic_file.h"
#include "runtime/training/train_from_recipe.h"
#include "tools/moru/advice.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_format.h"
#include "tools/moru/model_source.h"
#include "tools/moru/report.h"
#include "tools/moru/training_state.h"
#include "tools/repeat_command.h"

namespace moru::cli {
namespace {

struct Options {
  std::string recipe, run_directory = "run", output, tensorboard;
  std::string again;  // the command that resumes
  bool resume = false, allow_other_program = false, quiet = false, json = false, report = false;
  int threads = 1;
  RecipeChanges changes;
  CompileFlags flags;
};

int run(const Options& options) {
  const ModelFormat* format = options.output.empty() ? nullptr : &model_format(options.output);
  ModelSource source = open_training(options.recipe, options.changes);
  const Recipe& recipe = *source.recipe;
  need(check_output(options.output, std::array{options.recipe, recipe.data.path, recipe.model, recipe.initial_weights}));
  const ProgressStyle style =
      options.quiet ? ProgressStyle::quiet : options.json ? ProgressStyle::events : ProgressStyle::automatic;
  std::shared_ptr<const PreparedData> data;
  if (!source.program) {
    // Before compiling: a width that differs is the most common mistake, and the model is not to blame for it.
    data = std::make_shared<const PreparedData>(need(prepare_training(recipe)));
    check_training(source, data->train);
    warn_of_doubts(source, data->train, style);
  }
  const PreparedModel prepared_model = prepare_model(source, true);

  TrainingJob job;
  CompileFlags flags = options.flags;
  flags.budget_batch = recipe.fit.batch_size;
  flags.threads = options.threads;
  job.program = make_program(source, flags, prepared_model);
  job.recipe = recipe;
  job.data = std::move(data);
  job.run_directory = options.run_directory;
  job.resume = options.resume;
  job.allow_other_program = options.allow_other_program;
  job.threads = options.threads;
  job.progress = style;
  job.tensorboard_directory = options.tensorboard;
  job.stop_on_signal = true;
  if (!source.program && !options.resume) job.initialise = continued_training(source);
  if (!source.program)
    job.training_state = [&](const Session& session) {
      Checkpoint state;
      capture_session(session, state);
      return write_training(saved_training(prepared_model.training, source.model, state.slots));
    };
  Result<TrainingReport> trained = train_from_recipe(job);
  if (!trained && trained.status().code() == StatusCode::program_mismatch && !options.allow_other_program)
    fail(trained.status().message() +
         "\n  hint: train into another --run-dir, or ask for it with --allow-other-program");
  const TrainingReport report = need(std::move(trained));
  if (report.fit.interrupted_by != 0) {
    std::fprintf(stderr, "interrupted; go on with: %s\n", options.again.c_str());
    return 128 + report.fit.interrupted_by;
  }
  std::fputs((options.json ? report.metrics.to_json() : report.metrics.to_text()).c_str(), stdout);
  if (format != nullptr) {
    const ModelSource result = open_model(options.run_directory + "/model.moru");
    const std::vector<std::byte> bytes = format->write(result, {}, options.output);
    need(write_file_atomically(options.output, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  }
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
      "          moru train recipe.json -o bikes.keras\n"
      "A run that was interrupted or killed goes on with --resume and ends with the same bits.");
  command->add_option("RECIPE", options->recipe, "A recipe, or a model that carries one")
      ->required()
      ->type_name("RECIPE.json");
  command->add_option("--run-dir", options->run_directory, "Where checkpoints and results go (default: run)")
      ->type_name("DIR");
  command->add_option("-o,--output", options->output,
                      "Also write the trained model here, as the kind of file that its ending says (see moru convert)")
      ->type_name("FILE");
  command->add_flag("--resume", options->resume, "Go on from the newest good checkpoint in the run directory");
  command->add_flag("--allow-other-program", options->allow_other_program,
                    "Resume a checkpoint of another program: what fits, and not bit-equal");
  command->add_option("--threads", options->threads, "Threads to use; the result has the same bits with any number")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command->add_flag("--report", options->report, "Also write RUN_DIR/report.html (see moru report)");
  command->add_flag("--quiet", options->quiet, "Show no progress, only warnings");
  command->add_flag("--json", options->json,
                    "Print metrics.json instead of a table, and progress on stderr as one JSON object per line");
  command
      ->add_option("--tensorboard", options->tensorboard,
                   "Also write TensorBoard's event files: DIR/train, DIR/validation")
      ->type_name("DIR");
  add_recipe_changes(*command, options->changes);
  add_compile_flags(*command, options->flags);
  add_memory_budget(*command, options->flags);
  command->callback([options, command, &job] {
    options->again = "moru train" + repeat_arguments(*command, "--resume") + " --resume";
    job = [options] { return run(*options); };
  });
}

}  // namespace moru::cli
