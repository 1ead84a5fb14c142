// moru backtest: how a recipe would have done in the past, several times over: walk-forward evaluation.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "runtime/atomic_file.h"
#include "runtime/data/baseline.h"
#include "runtime/training/json_writer.h"
#include "runtime/training/predictions_table.h"
#include "runtime/training/train_from_recipe.h"
#include "tools/moru/advice.h"
#include "tools/moru/commands.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/model_source.h"
#include "tools/moru/recipe_model.h"
#include "tools/moru/ridge.h"

namespace moru::cli {
namespace {

struct Options {
  std::string recipe, directory = "backtest", origin = "expanding";
  std::vector<int64_t> horizons;
  int64_t folds = 5;
  double first = 0.5;
  int threads = 1;
  RecipeChanges changes;
  bool quiet = false, json = false;
  CompileFlags flags;
};

/// One forecaster's errors in one fold.
struct FoldErrors {
  double mae = NAN, mse = NAN;
  int64_t samples = 0;
};

/// A forecaster over all folds: "model", "ridge", "persistence", ...
struct Series {
  std::string name;
  std::vector<FoldErrors> folds;  // by fold; samples is 0 where it has none

  FoldErrors together() const {
    FoldErrors sum{0, 0, 0};
    for (const FoldErrors& fold : folds) {
      if (fold.samples == 0) continue;
      sum.mae += fold.mae * static_cast<double>(fold.samples);
      sum.mse += fold.mse * static_cast<double>(fold.samples);
      sum.samples += fold.samples;
    }
    if (sum.samples == 0) return {};
    sum.mae /= static_cast<double>(sum.samples);
    sum.mse /= static_cast<double>(sum.samples);
    return sum;
  }
  /// Of the folds' mean absolute errors, around their mean.
  double deviation() const {
    double sum = 0, squares = 0, count = 0;
    for (const FoldErrors& fold : folds) {
      if (fold.samples == 0) continue;
      sum += fold.mae;
      squares += fold.mae * fold.mae;
      count += 1;
    }
    if (count < 2) return NAN;
    return std::sqrt(std::max(0.0, (squares - sum * sum / count) / (count - 1)));
  }
};

struct FoldSpan {
  int64_t epochs = 0, train = 0, test = 0;
  std::string from, to;  // of the test part
  double seconds = 0;
};

/// One output at one horizon.
struct Outcome {
  int64_t horizon = 0;
  std::string output;  // empty where there is only one
  std::vector<Series> series;
  std::vector<FoldSpan> folds;

  Series& find(const std::string& name, size_t fold_count) {
    for (Series& one : series)
      if (one.name == name) return one;
    series.push_back({name, std::vector<FoldErrors>(fold_count)});
    return series.back();
  }
};

/// The recipe of one fold: its test part is the fold's share of the rows behind `first`; what lies before is training
/// and validation, in the proportion that the recipe has. A sliding origin forgets as many rows as it has moved on.
Recipe fold_recipe(const Recipe& recipe, const Options& options, int64_t fold, int64_t horizon) {
  Recipe out = recipe;
  SplitRecipe& split = out.data.split;
  const double share = (1 - options.first) / static_cast<double>(options.folds);
  const double begin = options.first + share * static_cast<double>(fold);
  const double validation = split.validation / (split.train + split.validation);
  split.skip = options.origin == "sliding" ? begin - options.first : 0;
  const double past = begin - split.skip;
  split.validation = past * validation;
  split.train = past - split.validation;
  // The last fold takes in the last row, however the fractions round.
  split.test = fold + 1 == options.folds ? 1 - split.skip - split.train - split.validation : share;
  out.data.window.horizon = horizon;
  return out;
}

FoldErrors errors_of(const std::vector<NamedValue>& values, const std::string& prefix, int64_t samples) {
  FoldErrors errors;
  errors.samples = samples;
  for (const NamedValue& value : values) {
    if (value.name == prefix + "mae") errors.mae = value.value;
    if (value.name == prefix + "mse") errors.mse = value.value;
    if (value.name == "samples") errors.samples = static_cast<int64_t>(value.value);
  }
  if (!std::isfinite(errors.mae) || !std::isfinite(errors.mse)) errors.samples = 0;
  return errors;
}

void check_recipe_fits(const Recipe& recipe, const Options& options) {
  if (recipe.data.split.kind != SplitKind::chronological)
    fail(
        "a backtest walks forward in time, but the recipe's split is not chronological\n  hint: set \"kind\" of "
        "\"split\" to "
        "\"chronological\"");
  for (const int64_t horizon : options.horizons) {
    if (!recipe.data.windowed)
      fail("--horizons needs a recipe with a \"window\"\n  hint: leave --horizons out, or add a window");
    if (horizon < 1 || horizon > 1'000'000)
      fail("a horizon is a number of rows from 1 to 1000000, not " + std::to_string(horizon));
  }
}

void run_fold(const Options& options, const Recipe& recipe, const std::shared_ptr<const Program>& program, int64_t fold,
              std::span<Outcome> outcomes) {
  const int64_t horizon = outcomes[0].horizon;
  TrainingJob job;
  job.program = program;
  job.recipe = fold_recipe(recipe, options, fold, horizon);
  job.run_directory = options.directory + "/horizon-" + std::to_string(horizon) + "/fold-" + std::to_string(fold + 1);
  job.threads = options.threads;
  job.progress = ProgressStyle::quiet;
  job.stop_on_signal = true;
  job.data = std::make_shared<const PreparedData>(need(prepare_training(job.recipe)));
  const PreparedData& data = *job.data;
  const TrainingReport report = need(train_from_recipe(job));
  if (report.fit.interrupted_by != 0) fail("interrupted; the folds that were finished are in " + options.directory);

  const auto count = static_cast<size_t>(options.folds);
  const auto at = static_cast<size_t>(fold);
  const std::vector<NamedValue>* measured = nullptr;
  for (const NamedMetrics& part : report.metrics.parts)
    if (part.name == "test") measured = &part.values;
  if (measured == nullptr) fail("fold " + std::to_string(fold + 1) + " has no test part");
  for (size_t k = 0; k < outcomes.size(); ++k) {
    Outcome& outcome = outcomes[k];
    const std::string prefix = outcome.output.empty() ? "" : outcome.output + "_";
    outcome.folds.push_back({report.fit.epochs, data.train.size(), data.test.size(), data.test.target_label(0),
                             data.test.target_label(data.test.size() - 1), report.fit.seconds});
    outcome.find("model", count).folds[at] = errors_of(*measured, prefix, data.test.size());
    if (const auto ridge = ridge_forecast(data.train, data.validation, data.test, k)) {
      const RegressionMetrics metrics =
          regression_metrics(actual_values(data.test, data.test.targets()[k].name), ridge->predicted);
      outcome.find("ridge", count).folds[at] = {metrics.mae, metrics.mse, data.test.size()};
    }
    for (const NamedMetrics& baseline : report.metrics.baselines)
      if (baseline.output == outcome.output)
        outcome.find(baseline.name, count).folds[at] = errors_of(baseline.values, "", data.test.size());
  }
}

std::string text_of(const Outcome& outcome, const Options& options) {
  std::string text;
  char line[300];
  const auto print = [&](const char* format, auto... values) {
    std::snprintf(line, sizeof line, format, values...);
    text += line;
  };
  print("\n%s%shorizon %lld, %lld folds, %s origin\n", outcome.output.c_str(), outcome.output.empty() ? "" : ", ",
        static_cast<long long>(outcome.horizon), static_cast<long long>(options.folds), options.origin.c_str());
  for (size_t k = 0; k < outcome.folds.size(); ++k) {
    const FoldSpan& fold = outcome.folds[k];
    print("  fold %zu: trained on %lld samples, tested on %lld: %s to %s\n", k + 1, static_cast<long long>(fold.train),
          static_cast<long long>(fold.test), fold.from.c_str(), fold.to.c_str());
  }
  double least = INFINITY;
  for (const Series& one : outcome.series)
    if (const FoldErrors all = one.together(); all.mae < least) least = all.mae;
  const double own = outcome.series.front().together().mae;
  print("\n%-22s %10s %10s %10s %9s  %s\n", "", "mae", "+- folds", "rmse", "vs model", "mae by fold");
  for (const Series& one : outcome.series) {
    const FoldErrors all = one.together();
    print("%-22s %10.5g %10.3g %10.5g ", (one.name + (all.mae == least ? " *" : "")).c_str(), all.mae, one.deviation(),
          std::sqrt(all.mse));
    if (&one == &outcome.series.front()) {
      print("%9s ", "");
    } else {
      print("%+8.1f%% ", 100 * (all.mae / own - 1));
    }
    for (const FoldErrors& fold : one.folds) fold.samples > 0 ? print(" %.4g", fold.mae) : print(" -");
    text += "\n";
  }
  return text;
}

std::string json_of(std::span<const Outcome> outcomes, const Options& options) {
  JsonWriter json;
  json.begin_object();
  json.key("recipe").text(options.recipe);
  json.key("origin").text(options.origin);
  json.key("first").number(options.first);
  json.key("results").begin_array();
  for (const Outcome& outcome : outcomes) {
    json.begin_object();
    json.key("horizon").integer(outcome.horizon);
    if (!outcome.output.empty()) json.key("output").text(outcome.output);
    json.key("folds").begin_array();
    for (const FoldSpan& fold : outcome.folds) {
      json.begin_object();
      json.key("from").text(fold.from);
      json.key("to").text(fold.to);
      json.key("train_samples").integer(fold.train);
      json.key("test_samples").integer(fold.test);
      json.key("epochs").integer(fold.epochs);
      json.key("seconds").number(fold.seconds);
      json.end_object();
    }
    json.end_array();
    json.key("forecasts").begin_object();
    for (const Series& one : outcome.series) {
      const FoldErrors all = one.together();
      json.key(one.name).begin_object();
      json.key("mae").number(all.mae);
      json.key("rmse").number(std::sqrt(all.mse));
      json.key("samples").integer(all.samples);
      json.key("mae_deviation").number(one.deviation());
      std::vector<double> maes, rmses;
      for (const FoldErrors& fold : one.folds) {
        maes.push_back(fold.samples > 0 ? fold.mae : NAN);
        rmses.push_back(fold.samples > 0 ? std::sqrt(fold.mse) : NAN);
      }
      json.key("fold_mae").numbers(maes);
      json.key("fold_rmse").numbers(rmses);
      json.end_object();
    }
    json.end_object();
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.finish();
}

int run(const Options& options) {
  ModelSource source = open_training(options.recipe, options.changes);
  const Recipe& recipe = *source.recipe;
  check_recipe_fits(recipe, options);
  std::vector<int64_t> horizons = options.horizons;
  if (horizons.empty()) horizons.push_back(recipe.data.windowed ? recipe.data.window.horizon : 0);

  const PreparedData first = need(prepare_training(fold_recipe(recipe, options, 0, horizons.front())));
  if (!source.program) {
    check_training(source, first.train);
    warn_of_doubts(source, first.train, ProgressStyle::quiet);
  }
  const PreparedModel prepared = prepare_model(source, true);
  CompileFlags flags = options.flags;
  flags.budget_batch = recipe.fit.batch_size;
  flags.threads = options.threads;
  // The sizes of a fold are bound when it runs: one program serves all.
  const std::shared_ptr<const Program> program = make_program(source, flags, prepared);

  std::vector<Outcome> outcomes;
  for (const int64_t horizon : horizons) {
    std::vector<Outcome> here;
    for (const DatasetArray& target : first.train.targets())
      here.push_back({horizon, first.train.targets().size() > 1 ? target.name : "", {}, {}});
    for (int64_t fold = 0; fold < options.folds; ++fold) {
      if (!options.quiet && !options.json)
        std::fprintf(stderr, "horizon %lld, fold %lld of %lld\n", static_cast<long long>(horizon),
                     static_cast<long long>(fold + 1), static_cast<long long>(options.folds));
      run_fold(options, recipe, program, fold, here);
    }
    outcomes.insert(outcomes.end(), here.begin(), here.end());
  }
  std::string text;
  for (const Outcome& outcome : outcomes) text += text_of(outcome, options);
  const std::string json = json_of(outcomes, options);
  need(write_file_atomically(options.directory + "/backtest.json", json));
  need(write_file_atomically(options.directory + "/backtest.txt", text));
  std::fputs((options.json ? json : text).c_str(), stdout);
  return 0;
}

}  // namespace

void add_backtest(CLI::App& app, Job& job) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("backtest", "Train and test a recipe at several points in the past, beside simpler forecasts");
  command->footer(
      "Examples: moru backtest recipe.json --folds 5\n"
      "          moru backtest recipe.json --horizons 1,6,24 --origin sliding --run-dir runs/backtest\n"
      "The rows behind the first --first of them are cut into --folds test parts, one behind the other. Before each, "
      "the model\n"
      "is trained anew on what lies before it: on everything (an expanding origin), or on as many rows as the first "
      "fold\n"
      "has (a sliding one). It is compared with naive forecasts and with a ridge regression on the same inputs.\n"
      "Each fold leaves a run directory of its own (moru report shows it); backtest.json and backtest.txt hold the "
      "result.");
  command->add_option("RECIPE", options->recipe, "A recipe with a chronological split, or a model that carries one")
      ->required()
      ->type_name("RECIPE.json");
  command->add_option("--run-dir", options->directory, "Where folds and results go (default: backtest)")
      ->type_name("DIR");
  command->add_option("--folds", options->folds, "Test parts (default: 5)")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->type_name("N");
  command->add_option("--first", options->first, "Share of the rows before the first test part (default: 0.5)")
      ->check(CLI::Range(0.01, 0.99))
      ->type_name("F");
  command
      ->add_option("--horizons", options->horizons, "Rows from the newest input to the target (default: the recipe's)")
      ->delimiter(',')
      ->type_name("N,N");
  command
      ->add_option("--origin", options->origin,
                   "expanding: train on everything before; sliding: on the newest part of it")
      ->check(CLI::IsMember(std::set<std::string>{"expanding", "sliding"}))
      ->type_name("KIND");
  command->add_option("--threads", options->threads, "Threads to use")->check(CLI::Range(1, 1024))->type_name("N");
  command->add_flag("--quiet", options->quiet, "Show no progress, only warnings");
  command->add_flag("--json", options->json, "Print backtest.json instead of tables");
  add_recipe_changes(*command, options->changes);
  add_compile_flags(*command, options->flags);
  command->callback([options, &job] { job = [options] { return run(*options); }; });
}

}  // namespace moru::cli
