// The whole job of `moru train` and of `moru-run X.so train`: load the data, fit the scalers, train, restore the best
// weights, measure, and leave a run directory.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/prepare.h"
#include "runtime/data/recipe.h"
#include "runtime/program.h"
#include "runtime/status.h"
#include "runtime/training/fit.h"
#include "runtime/training/run_directory.h"

namespace moru {

struct TrainingJob {
  std::shared_ptr<const Program> program;
  Recipe recipe;
  // What prepare_training made of this recipe as it stands, if that was done; else the data is read, and gaps in it told.
  std::shared_ptr<const PreparedData> data = {};
  std::string data_path;      // instead of recipe.data.path
  std::string run_directory;
  bool resume = false;
  bool allow_other_program = false;
  std::optional<int64_t> epochs;  // instead of the recipe's
  std::optional<uint64_t> seed;   // likewise; the initial weights are the program's
  int threads = 1;
  ProgressStyle progress = ProgressStyle::automatic;
  std::FILE* progress_stream = stderr;
  std::string tensorboard_directory;  // empty: no event files
  bool stop_on_signal = false;
  std::function<Status(Session&)> initialise = {};  // sets weights before the scalers are fitted; may be empty
  // What the models that are written hold as their section `training`: what training goes on from; may be empty.
  std::function<std::vector<std::byte>(const Session&)> training_state = {};
};

struct TrainingReport {
  FitResult fit;
  RunMetrics metrics;      // empty where interrupted
  int64_t test_samples = 0;
};

/// Trains, and writes the run directory. An interrupted run (fit.interrupted_by) leaves its checkpoint and the history so
/// far, and nothing that looks finished. With `resume` the run goes on from the directory's newest good checkpoint; of a
/// run that had finished, the results are written again.
///
/// Categories that the recipe carries as fitted stay as they are, because the width of the model's inputs follows from
/// them; fill values and scaler statistics are those of the new training part.
Result<TrainingReport> train_from_recipe(const TrainingJob& job);

/// Puts the statistics of recipe.fitted into the parameters `<input>_scaler/mean` and `/variance` (inputs) and
/// `<output>_scaler/…` (targets). A group with a scaler whose layer the program lacks, or a size that differs, is an
/// error; a group without one is skipped where the program has no layer for it.
Status assign_scalers(Session& session, const Recipe& recipe);

/// Losses and metrics of one part in raw units: those of the program's entry `evaluate`, and for every regression output
/// mae, mse, rmse and r2 worked out from its predictions (`<output>_mae`… where there are several).
Result<std::vector<NamedValue>> measure(Session& session, const Recipe& recipe, const Dataset& data,
                                        std::span<const SavedTensor> answers);

/// The trainable and non-trainable parameters of a program, in elements.
int64_t count_parameters(const Program& program);

}  // namespace moru
