#include "runtime/training/train_from_recipe.h"

#include <cstdio>

#include "tools/moru-run/commands.h"

namespace moru::run {

int run_train(const CommonOptions& common, const TrainOptions& options) {
  const Result<Model> model = open_model(common);
  if (!model) return fail(model.status());
  const Result<Recipe> recipe = require_recipe(common, *model);
  if (!recipe) return fail(recipe.status());

  TrainingJob job;
  job.program = model->program;
  job.recipe = *recipe;
  job.data_path = options.data;
  job.run_directory = options.run_directory;
  job.resume = options.resume;
  job.allow_other_program = options.allow_other_program;
  job.epochs = options.epochs;
  job.seed = options.seed;
  job.threads = common.threads;
  job.progress = options.quiet ? ProgressStyle::quiet : common.json ? ProgressStyle::events : ProgressStyle::automatic;
  job.tensorboard_directory = options.tensorboard;
  job.stop_on_signal = true;
  if (!common.weights.empty()) {
    job.initialise = [&](Session& session) -> Status {
      const Result<std::unique_ptr<Session>> trained = open_session(common, *model);
      if (!trained) return trained.status();
      MORU_RETURN_IF_ERROR(assign_tensors(session, capture_slots(**trained, SlotKind::parameter)));
      return assign_tensors(session, capture_slots(**trained, SlotKind::layer_state));
    };
  }
  const Result<TrainingReport> report = train_from_recipe(job);
  if (!report) return fail(report.status());
  if (report->fit.interrupted_by != 0) {
    std::fprintf(stderr, "interrupted; go on with: %s\n", options.again.c_str());
    return 128 + report->fit.interrupted_by;
  }
  std::fputs((common.json ? report->metrics.to_json() : report->metrics.to_text()).c_str(), stdout);
  if (!common.json && !options.quiet) std::printf("written to %s\n", options.run_directory.c_str());
  return 0;
}

}  // namespace moru::run
