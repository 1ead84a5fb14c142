#include "runtime/training/train_from_recipe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "runtime/atomic_file.h"
#include "runtime/data/gaps.h"
#include "runtime/data/recipe_text.h"
#include "runtime/training/callbacks.h"
#include "runtime/training/evaluate.h"
#include "runtime/training/predict.h"
#include "runtime/training/predictions_json.h"
#include "runtime/training/predictions_table.h"
#include "runtime/training/regression_metrics.h"
#include "runtime/training/tensorboard.h"

namespace moru {
namespace {

Status assign_numbers(Session& session, const std::string& name, const std::vector<double>& values) {
  const Program& program = session.program();
  const std::optional<uint32_t> slot = program.find_slot(name);
  if (!slot) return Status(StatusCode::not_found, "the program has no parameter '" + name + "'");
  const TensorView view = session.view(*slot);
  if (view.element_count() != static_cast<int64_t>(values.size())) {
    return Status(StatusCode::shape_mismatch, "the data have " + std::to_string(values.size()) +
                                                  " columns where the model was compiled for " +
                                                  std::to_string(view.element_count()) + " (parameter '" + name +
                                                  "')\n  hint: compile the model again with this recipe");
  }
  if (view.dtype == DType::f64) return session.assign(*slot, values.data(), values.size() * sizeof(double));
  const std::vector<float> narrow(values.begin(), values.end());
  return session.assign(*slot, narrow.data(), narrow.size() * sizeof(float));
}

Status assign_scaler(Session& session, const FittedGroup& group, const std::string& name) {
  const std::string layer = name + "_scaler";
  if (!session.program().find_slot(layer + "/mean")) {
    if (!group.scaled) return Status();
    return Status(StatusCode::not_found, "the recipe scales '" + name + "', but the program has no layer '" + layer +
                                             "'\n  hint: compile the model with this recipe");
  }
  MORU_RETURN_IF_ERROR(assign_numbers(session, layer + "/mean", group.mean));
  return assign_numbers(session, layer + "/variance", group.variance);
}

/// The name of a model input or output that a recipe with only one may leave out.
std::string only_input(const Program& program) {
  for (const ProgramSlot& slot : program.slots()) {
    if (slot.kind == SlotKind::input) return slot.name;
  }
  return {};
}

/// Learned categories become given ones: the model was compiled for their number.
void keep_categories(Recipe& recipe) {
  if (!recipe.fitted) return;
  const auto keep = [&](std::vector<ColumnRecipe>& columns) {
    for (ColumnRecipe& column : columns) {
      if (column.encoder != EncoderKind::one_hot && column.encoder != EncoderKind::ordinal) continue;
      if (!column.categories.empty()) continue;
      for (const FittedColumn& fitted : recipe.fitted->columns) {
        if (fitted.column == column.column && fitted.encoder == column.encoder) column.categories = fitted.categories;
      }
    }
  };
  for (InputRecipe& input : recipe.data.inputs) keep(input.columns);
  for (TargetRecipe& target : recipe.data.targets) keep(target.columns);
}

/// The epoch, counted from 1, whose weights a user would call best: by early stopping's rule where there is one, else by
/// the validation loss, else by the loss.
int64_t find_best_epoch(const History& history, const EarlyStoppingRule* rule) {
  if (history.epochs() == 0) return 0;
  if (rule != nullptr && rule->has_weights) return rule->best_epoch + 1;
  const std::vector<double>* values = history.find("val_loss");
  if (values == nullptr) values = history.find("loss");
  if (values == nullptr) return static_cast<int64_t>(history.epochs());
  return std::min_element(values->begin(), values->end(),
                          [](double a, double b) { return a < b || (std::isnan(b) && !std::isnan(a)); }) -
         values->begin() + 1;
}

std::vector<TargetBaselines> find_baselines(const Dataset& part, const Dataset& train) {
  std::vector<TargetBaselines> all;
  for (std::size_t target = 0; target < part.targets().size(); ++target)
    all.push_back({part.targets()[target].name, naive_baselines(part, train, target)});
  return all;
}

std::vector<NamedMetrics> baseline_metrics(std::span<const TargetBaselines> targets) {
  std::vector<NamedMetrics> all;
  for (const TargetBaselines& target : targets) {
    for (const Baseline& baseline : target.baselines) {
      all.push_back({baseline.name,
                     {{"mae", baseline.metrics.mae},
                      {"mse", baseline.metrics.mse},
                      {"rmse", baseline.metrics.rmse},
                      {"r2", baseline.metrics.r2},
                      {"samples", static_cast<double>(baseline.samples)}},
                     targets.size() > 1 ? target.output : ""});
    }
  }
  return all;
}

/// The recipe as the run directory keeps it: files by their absolute paths, since its own place is another one.
Recipe with_absolute_paths(Recipe recipe) {
  const auto resolve = [](std::string& path) {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(path, error);
    if (!path.empty() && !error) path = absolute.lexically_normal().string();
  };
  resolve(recipe.model);
  resolve(recipe.initial_weights);
  resolve(recipe.data.path);
  for (InputRecipe& input : recipe.data.inputs) resolve(input.path);
  for (TargetRecipe& target : recipe.data.targets) resolve(target.path);
  if (recipe.data.source == SourceKind::npy) resolve(recipe.data.sample_weight);
  return recipe;
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 32> text{};
  if (gmtime_r(&now, &parts) != nullptr) std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace

Status assign_scalers(Session& session, const Recipe& recipe) {
  if (!recipe.fitted) return Status();
  const Program& program = session.program();
  for (const FittedGroup& group : recipe.fitted->inputs) {
    MORU_RETURN_IF_ERROR(assign_scaler(session, group, group.name.empty() ? only_input(program) : group.name));
  }
  for (const FittedGroup& group : recipe.fitted->targets) {
    const bool unnamed = group.name.empty() && !program.outputs().empty();
    MORU_RETURN_IF_ERROR(assign_scaler(session, group, unnamed ? program.outputs()[0].name : group.name));
  }
  return Status();
}

Result<std::vector<NamedValue>> measure(Session& session, const Recipe& recipe, const Dataset& data,
                                        std::span<const SavedTensor> answers) {
  Result<std::vector<NamedValue>> measured = evaluate(session, data, recipe.fit.batch_size);
  if (!measured) return measured.status();
  std::vector<NamedValue> values = *std::move(measured);
  const auto set = [&](const std::string& name, double value) {
    for (NamedValue& known : values) {
      if (known.name == name) {
        known.value = value;
        return;
      }
    }
    values.push_back({name, value});
  };
  for (const SavedTensor& answer : answers) {
    if (is_classification(recipe, data, answer.name)) continue;
    const std::vector<float> actual = actual_values(data, answer.name);
    const std::vector<float> predicted = as_floats(answer);
    if (actual.empty() || actual.size() != predicted.size()) continue;
    const RegressionMetrics metrics = regression_metrics(actual, predicted);
    const std::string prefix = answers.size() > 1 ? answer.name + "_" : "";
    set(prefix + "mae", metrics.mae);
    set(prefix + "mse", metrics.mse);
    set(prefix + "rmse", metrics.rmse);
    set(prefix + "r2", metrics.r2);
  }
  return values;
}

int64_t count_parameters(const Program& program) {
  int64_t count = 0;
  for (const ProgramSlot& slot : program.slots()) {
    const bool moving = slot.kind == SlotKind::layer_state && slot.has_data;  // statistics that Keras counts too
    if (slot.kind != SlotKind::parameter && !moving) continue;
    int64_t elements = 1;
    for (const DimExpression& dim : slot.shape) elements *= dim.evaluate({}).value_or(0);
    count += elements;
  }
  return count;
}

Result<TrainingReport> train_from_recipe(const TrainingJob& job) {
  Recipe wanted = job.recipe;
  if (!job.data_path.empty()) wanted.data.path = job.data_path;
  if (job.epochs) wanted.fit.epochs = *job.epochs;
  if (job.seed) wanted.fit.seed = *job.seed;
  keep_categories(wanted);

  std::shared_ptr<const PreparedData> prepared = job.data;
  if (!prepared || !job.data_path.empty() || job.epochs || job.seed || wanted.fitted) {
    Result<PreparedData> read = prepare_training(wanted);
    if (!read) return read.status();
    prepared = std::make_shared<const PreparedData>(*std::move(read));
  }
  const PreparedData& data = *prepared;
  const Recipe& recipe = data.recipe;
  if (!job.data) Progress(job.progress, job.progress_stream).warn(describe_gaps(wanted, data.train.times()));

  Result<std::unique_ptr<Session>> created = Session::create(job.program, {.threads = job.threads});
  if (!created) return created.status();
  Session& session = **created;
  if (job.initialise) MORU_RETURN_IF_ERROR(job.initialise(session));
  MORU_RETURN_IF_ERROR(assign_scalers(session, recipe));

  const auto save = [&](const Session& trained, const std::string& path) {
    return save_model(trained, recipe, path, job.training_state ? job.training_state(trained) : std::vector<std::byte>());
  };
  std::vector<Callback> callbacks;
  std::shared_ptr<EarlyStoppingRule> rule;
  if (recipe.fit.early_stopping) {
    rule = std::make_shared<EarlyStoppingRule>(*recipe.fit.early_stopping);
    callbacks.push_back(early_stopping(*recipe.fit.early_stopping, rule));
  }
  if (recipe.fit.model_checkpoint) {
    callbacks.push_back(model_checkpoint(*recipe.fit.model_checkpoint, job.run_directory + "/checkpoints", save));
  }
  if (recipe.fit.reduce_lr_on_plateau) callbacks.push_back(reduce_lr_on_plateau(*recipe.fit.reduce_lr_on_plateau));
  if (recipe.fit.learning_rate_scheduler) {
    callbacks.push_back(learning_rate_schedule([rates = recipe.fit.learning_rate_scheduler->rates](int64_t epoch, double) {
      return rates[std::min(static_cast<std::size_t>(epoch), rates.size() - 1)];
    }));
  }
  if (recipe.fit.csv_logger) {
    const CsvLoggerRecipe& logger = *recipe.fit.csv_logger;
    if (is_run_file(logger.filename))
      return recipe_error(recipe, "fit.callbacks.csv_logger.filename: '" + logger.filename +
                                      "' is the name of another file of the run directory\n"
                                      "  hint: give a name such as \"log.csv\"");
    callbacks.push_back(csv_logger(job.run_directory + "/" + logger.filename, logger.separator, logger.append));
  }
  if (!job.tensorboard_directory.empty()) callbacks.push_back(tensorboard(job.tensorboard_directory));
  callbacks.push_back(stop_on_nan());
  const Dataset* validation = data.validation.size() > 0 ? &data.validation : nullptr;
  MORU_RETURN_IF_ERROR(check_callbacks(*job.program, validation != nullptr, callbacks));

  // Everything that can be wrong has been looked at: only now an earlier run in the directory may go.
  const Result<RunDirectory> run = RunDirectory::create(job.run_directory, job.resume);
  if (!run) return run.status();
  // A resume that is refused leaves the earlier run's recipe as it was.
  const auto write_recipe = [&] {
    return write_file_atomically(run->file("recipe.json"), recipe_to_json(with_absolute_paths(recipe)));
  };
  if (!job.resume) MORU_RETURN_IF_ERROR(write_recipe());

  FitOptions options;
  options.epochs = recipe.fit.epochs;
  options.batch_size = recipe.fit.batch_size;
  options.shuffle = recipe.fit.shuffle;
  options.initial_epoch = recipe.fit.initial_epoch;
  options.steps_per_epoch = recipe.fit.steps_per_epoch;
  options.validation_freq = recipe.fit.validation_freq;
  options.seed = recipe.fit.seed;
  options.class_weight = recipe.fit.class_weight;
  options.progress = job.progress;
  options.progress_stream = job.progress_stream;
  options.checkpoint_directory = run->checkpoints();
  options.checkpoint_every_steps = recipe.fit.checkpoint_every_steps;
  options.resume = job.resume;
  options.allow_other_program = job.allow_other_program;
  options.stop_on_signal = job.stop_on_signal;
  Result<FitResult> fitted = fit(session, data.train, validation, options, callbacks);
  if (!fitted) return fitted.status();
  if (job.resume) MORU_RETURN_IF_ERROR(write_recipe());

  TrainingReport report;
  report.fit = *std::move(fitted);
  MORU_RETURN_IF_ERROR(run->write_history(report.fit.history));
  if (report.fit.interrupted_by != 0) return report;

  MORU_RETURN_IF_ERROR(save(session, run->model()));
  RunMetrics& metrics = report.metrics;
  metrics.seconds = report.fit.seconds;
  metrics.epochs = report.fit.epochs;
  metrics.seconds_per_epoch = metrics.epochs > 0 ? metrics.seconds / static_cast<double>(metrics.epochs) : 0;
  metrics.best_epoch = find_best_epoch(report.fit.history, rule.get());
  metrics.stopped_early = report.fit.stopped_early;
  metrics.program_hash = job.program->hash();
  metrics.target = job.program->target();
  metrics.threads = job.threads;
  metrics.seed = report.fit.seed;
  metrics.parameters = count_parameters(*job.program);
  metrics.finished = now_text();
  metrics.data = recipe.data.source == SourceKind::csv ? recipe.data.path : recipe.data.inputs[0].path;
  metrics.data_fingerprint = recipe.fitted ? recipe.fitted->data_fingerprint : 0;
  const std::pair<const char*, const Dataset*> parts[] = {
      {"train", &data.train}, {"validation", &data.validation}, {"test", &data.test}};
  const Dataset* shown = data.test.size() > 0 ? &data.test : &data.validation;
  for (const auto& [name, part] : parts) {
    if (part->size() == 0) continue;
    metrics.samples.emplace_back(name, part->size());
    const Result<std::vector<SavedTensor>> answers = predict(session, *part);
    if (!answers) return answers.status();
    Result<std::vector<NamedValue>> values = measure(session, recipe, *part, *answers);
    if (!values) return values.status();
    metrics.parts.push_back({name, *std::move(values)});
    if (part != shown) continue;
    const std::vector<TargetBaselines> baselines = find_baselines(*part, data.train);
    MORU_RETURN_IF_ERROR(write_file_atomically(run->file("predictions.json"),
                                               predictions_json(recipe, name, *part, *answers, baselines)));
    if (part != &data.test) continue;
    const Result<std::string> table = predictions_csv(recipe, *part, *answers);
    if (!table) return table.status();
    MORU_RETURN_IF_ERROR(write_file_atomically(run->file("predictions.csv"), *table));
    report.test_samples = part->size();
    metrics.baselines = baseline_metrics(baselines);
  }
  MORU_RETURN_IF_ERROR(write_file_atomically(run->file("metrics.json"), metrics.to_json()));
  return report;
}

}  // namespace moru
