// check_recipe: every rule a recipe must keep, in the order of its parts.
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "runtime/data/keras_names.h"
#include "runtime/data/recipe.h"
#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

constexpr int64_t most_rows = int64_t{1} << 40;

Status wrong(const std::string& where, const std::string& what, const std::string& hint) {
  return data_error(where + ": " + what + "\n  hint: " + hint);
}

Status check_range(const std::string& where, double value, double low, double high, bool high_included) {
  if (value >= low && (high_included ? value <= high : value < high)) return {};
  return wrong(where, number_text(value) + " is out of range",
               "it must be at least " + number_text(low) + (high_included ? " and at most " : " and below ") +
                   number_text(high));
}

Status check_positive(const std::string& where, double value) {
  if (std::isfinite(value) && value > 0) return {};
  return wrong(where, number_text(value) + " is out of range", "it must be above 0");
}

Status check_at_least(const std::string& where, int64_t value, int64_t least) {
  if (value >= least && value < most_rows) return {};
  return wrong(where, std::to_string(value) + " is out of range",
               "it must be at least " + std::to_string(least) + (value >= most_rows ? ", and not astronomical" : ""));
}

std::string group_place(const char* kind, const std::string& name) {
  return name.empty() ? std::string("the ") + kind : std::string(kind) + " '" + name + "'";
}

Status check_column(const std::string& group, const ColumnRecipe& column, DType type) {
  const std::string where = group + ", column '" + column.column + "'";
  if (column.column.empty())
    return wrong(group, "a column has no name", "give \"column\" the name in the file's header");
  if (column.encoder == EncoderKind::cyclic && !(std::isfinite(column.period) && column.period > 0)) {
    return wrong(where, "a cyclic encoder needs a period above 0", "set \"period\", such as 24 for hours of the day");
  }
  if (column.encoder == EncoderKind::date_parts) {
    if (column.parts.empty()) {
      return wrong(where, "a date_parts encoder needs parts",
                   "set \"parts\", such as [\"month\", \"weekday\", \"hour\"]");
    }
    for (const DatePart part : column.parts) {
      if (column.cyclic_parts && date_part_period(part) == 0) {
        return wrong(where, "the year has no period", "leave \"year\" out of the parts or set \"cyclic\": false");
      }
    }
  }
  const bool has_tokens = column.encoder == EncoderKind::string_lookup || column.encoder == EncoderKind::hashing;
  if (has_tokens) {
    const int64_t mask = column.mask_token ? 1 : 0;
    if (column.oov_indices < 0) return wrong(where, "num_oov_indices is negative", "set 1, or more, or 0 to refuse unknown texts");
    if (column.encoder == EncoderKind::hashing && column.bins <= mask)
      return wrong(where, "hashing needs num_bins, more than the mask takes", "set \"num_bins\", such as 100");
    if (!column.salt.empty() && column.salt.size() != 2) return wrong(where, "a salt is two numbers", "set \"salt\": [1, 2]");
    if (column.max_tokens != 0 && column.max_tokens <= mask + column.oov_indices)
      return wrong(where, "max_tokens leaves no room for a vocabulary", "set more than num_oov_indices and the mask take");
    if (column.missing && column.missing->policy == MissingPolicy::fill && column.missing->fill != FillKind::previous)
      return wrong(where, "tokens have no mean, and no value to fill in", "name the missing text in \"mask_token\", or drop such rows");
  }
  std::set<std::string> seen;
  for (const std::string& category : column.categories) {
    if (!seen.insert(category).second)
      return wrong(where, "category '" + category + "' is listed twice", "list each once");
  }
  if (is_integer(type)) {
    const bool makes_fractions = column.encoder == EncoderKind::cyclic || column.cyclic_parts;
    if (makes_fractions || column.scaler != ScalerKind::none) {
      return wrong(where,
                   std::string(makes_fractions ? "a cyclic encoder" : "a scaler") + " does not give whole numbers",
                   std::string("leave \"dtype\" at f32") + (makes_fractions ? "" : ", or remove the scaler"));
    }
  }
  const bool is_number = column.encoder == EncoderKind::numeric || column.encoder == EncoderKind::cyclic;
  if (is_number && column.missing && column.missing->policy == MissingPolicy::fill && column.missing->fill == FillKind::constant &&
      !std::isfinite(column.missing->constant)) {
    return wrong(where, "the fill value is not a finite number", "set \"value\" to a number");
  }
  return {};
}

template <typename Group>
Status check_group(const char* kind, const Group& group, const DataRecipe& data, bool only_one) {
  const std::string where = group_place(kind, group.name);
  if (group.name.empty() && !only_one) {
    return wrong(where, "has no name", std::string("where there are several, name each as the model does"));
  }
  if (group.type != DType::f32 && group.type != DType::i32 && group.type != DType::i64) {
    return wrong(where, "element type " + std::string(dtype_name(group.type)) + " is not supported here",
                 "use f32, i32 or i64");
  }
  if (data.source == SourceKind::npy) {
    if (!group.columns.empty()) return wrong(where, "an array has no columns", "give the path of its .npy file only");
    if (is_integer(group.type) && group.scaler != ScalerKind::none) {
      return wrong(where, "a scaler does not give whole numbers", "leave \"dtype\" at f32, or remove the scaler");
    }
    return {};
  }
  if (group.columns.empty()) return wrong(where, "names no column", "list at least one column of the file");
  for (const ColumnRecipe& column : group.columns) MORU_RETURN_IF_ERROR(check_column(where, column, group.type));
  return {};
}

template <typename Group>
Status check_names(const char* kind, const std::vector<Group>& groups) {
  std::set<std::string> seen;
  for (const Group& group : groups) {
    if (!seen.insert(group.name).second) {
      return wrong(group_place(kind, group.name), "is described twice", "describe each once");
    }
  }
  return {};
}

/// A target's own column may be an input only where the input's rows lie before the target's row.
Status check_no_future(const DataRecipe& data) {
  for (const InputRecipe& input : data.inputs) {
    if (input.rows != InputRows::row && !data.windowed) {
      return wrong(group_place("input", input.name), "reads a window and the data has none",
                   "add \"window\": {\"length\": ..., \"horizon\": ...} to \"data\"");
    }
    const bool sees_target_row = input.rows == InputRows::target_row || !data.windowed || data.window.horizon == 0;
    if (!sees_target_row) continue;
    for (const ColumnRecipe& column : input.columns) {
      for (const TargetRecipe& target : data.targets) {
        for (const ColumnRecipe& answer : target.columns) {
          if (answer.column != column.column) continue;
          return wrong(group_place("input", input.name) + ", column '" + column.column + "'",
                       "is the target, read from the very row that is to be predicted",
                       data.windowed ? "set \"horizon\" to 1 or more, or take the column out of this input"
                                     : "take the column out of the inputs");
        }
      }
    }
  }
  return {};
}

Status check_split(const DataRecipe& data) {
  const SplitRecipe& split = data.split;
  if (split.kind == SplitKind::column) {
    if (split.column.empty())
      return wrong("data.split", "names no column", "set \"column\" to the one that tells the parts apart");
    if (split.train_values.empty()) {
      return wrong("data.split", "no value of '" + split.column + "' stands for training",
                   "list at least one under \"train\"");
    }
    std::set<std::string> seen;
    for (const auto* values : {&split.train_values, &split.validation_values, &split.test_values}) {
      for (const std::string& value : *values) {
        if (!seen.insert(value).second)
          return wrong("data.split", "'" + value + "' stands in two parts", "list each value once");
      }
    }
    return {};
  }
  MORU_RETURN_IF_ERROR(check_range("data.split.train", split.train, 0, 1, true));
  MORU_RETURN_IF_ERROR(check_range("data.split.validation", split.validation, 0, 1, true));
  MORU_RETURN_IF_ERROR(check_range("data.split.test", split.test, 0, 1, true));
  MORU_RETURN_IF_ERROR(check_range("data.split.skip", split.skip, 0, 1, true));
  if (split.train == 0)
    return wrong("data.split.train", "nothing is left to train on", "give it a fraction above 0, such as 0.7");
  const double sum = split.skip + split.train + split.validation + split.test;
  if (sum > 1 + 1e-9) {
    return wrong(
        "data.split",
        std::string(split.skip > 0 ? "skip, " : "") + "train, validation and test add up to " + number_text(sum),
        "they must not exceed 1");
  }
  if (split.kind == SplitKind::random && data.windowed && (data.window.length > 1 || data.window.horizon > 0)) {
    return wrong("data.split", "a random split of windows lets training see the rows that the test asks for",
                 "set \"kind\" to \"chronological\"");
  }
  return {};
}

Status check_data(const DataRecipe& data) {
  if (data.inputs.empty()) return wrong("data", "has no input", "list \"features\", or \"inputs\" by name");
  if (data.targets.empty())
    return wrong("data", "has no target", "name the \"target\" column, or \"targets\" by output");
  MORU_RETURN_IF_ERROR(check_names("input", data.inputs));
  MORU_RETURN_IF_ERROR(check_names("target", data.targets));
  for (const InputRecipe& input : data.inputs)
    MORU_RETURN_IF_ERROR(check_group("input", input, data, data.inputs.size() == 1));
  for (const TargetRecipe& target : data.targets) {
    MORU_RETURN_IF_ERROR(check_group("target", target, data, data.targets.size() == 1));
  }
  if (data.separator.size() > 1) {
    return wrong("data.separator", "'" + data.separator + "' is not one character",
                 "use \",\", \";\", \"\\t\" or \"auto\"");
  }
  if (data.separator == "\"" || data.separator == "\n" || data.separator == "\r") {
    return wrong("data.separator", "a quote or a line end cannot separate cells",
                 "use \",\", \";\", \"\\t\" or \"auto\"");
  }
  const auto is_part_of_numbers = [](char mark) { return std::string_view("0123456789+-eE\"\n\r").find(mark) != std::string_view::npos; };
  if (data.numbers.decimal == '\0' || is_part_of_numbers(data.numbers.decimal))
    return wrong("data.decimal", "that character cannot be a decimal mark", "use \".\" or \",\"");
  if (is_part_of_numbers(data.numbers.thousands) || data.numbers.thousands == data.numbers.decimal)
    return wrong("data.thousands", "that character cannot stand between thousands", "use another one than the decimal mark, such as " +
                                                                                      std::string(data.numbers.decimal == ',' ? "\".\"" : "\",\""));
  if (data.windowed) {
    MORU_RETURN_IF_ERROR(check_at_least("data.window.length", data.window.length, 1));
    MORU_RETURN_IF_ERROR(check_at_least("data.window.horizon", data.window.horizon, 0));
    MORU_RETURN_IF_ERROR(check_at_least("data.window.stride", data.window.stride, 1));
  }
  if (data.time.column.empty() && !data.time.hour_column.empty()) {
    return wrong("data.time", "has an hour column and no date column", "set \"column\" to the date column");
  }
  if (!data.time.format.empty() && !is_time_format(data.time.format)) {
    return wrong("data.time.format", "'" + data.time.format + "' is not a date format",
                 "use %Y %m %d %H %M %S, such as \"%d/%m/%Y\"; it must hold year, month and day");
  }
  MORU_RETURN_IF_ERROR(check_no_future(data));
  return check_split(data);
}

Status check_optimizer(const OptimizerRecipe& optimizer) {
  const std::span<const std::string> names = optimizer_names();
  if (std::find(names.begin(), names.end(), optimizer.name) == names.end()) {
    return wrong("fit.optimizer", "'" + optimizer.name + "' is not known",
                 suggest_name(optimizer.name, names, "optimizers"));
  }
  const std::string at = "fit.optimizer.";
  MORU_RETURN_IF_ERROR(check_positive(at + "learning_rate", optimizer.learning_rate));
  MORU_RETURN_IF_ERROR(check_range(at + "momentum", optimizer.momentum, 0, 1, true));
  MORU_RETURN_IF_ERROR(check_range(at + "rho", optimizer.rho, 0, 1, false));
  MORU_RETURN_IF_ERROR(check_range(at + "beta_1", optimizer.beta_1, 0, 1, false));
  MORU_RETURN_IF_ERROR(check_range(at + "beta_2", optimizer.beta_2, 0, 1, false));
  MORU_RETURN_IF_ERROR(check_positive(at + "epsilon", optimizer.epsilon));
  MORU_RETURN_IF_ERROR(
      check_range(at + "initial_accumulator_value", optimizer.initial_accumulator_value, 0, 1e30, true));
  MORU_RETURN_IF_ERROR(check_range(at + "weight_decay", optimizer.weight_decay, 0, 1e30, true));
  if (optimizer.nesterov && optimizer.momentum == 0) {
    return wrong(at + "nesterov", "has no effect without momentum", "set \"momentum\", such as 0.9");
  }
  int clips = 0;
  for (const auto& [name, value] :
       {std::pair{"clipnorm", optimizer.clipnorm}, std::pair{"global_clipnorm", optimizer.global_clipnorm},
        std::pair{"clipvalue", optimizer.clipvalue}}) {
    if (!value) continue;
    ++clips;
    MORU_RETURN_IF_ERROR(check_positive(at + name, *value));
  }
  if (clips > 1)
    return wrong("fit.optimizer", "clips gradients in more than one way",
                 "keep one of clipnorm, global_clipnorm, clipvalue");
  return {};
}

Status check_monitor(const std::string& where, const std::string& monitor, const FitRecipe& fit) {
  if (monitor.empty()) return wrong(where + ".monitor", "is empty", "name a loss or metric, such as \"val_loss\"");
  if (monitor.rfind("val_", 0) == 0 && fit.validation == ValidationFrom::none) {
    return wrong(
        where + ".monitor", "'" + monitor + "' needs validation data and there is none",
        "give \"data.split\" a validation part, set \"fit.validation_split\", or monitor '" + monitor.substr(4) + "'");
  }
  return {};
}

Status check_fit(const FitRecipe& fit, const DataRecipe& data) {
  MORU_RETURN_IF_ERROR(check_optimizer(fit.optimizer));
  if (fit.losses.size() != data.targets.size()) {
    return wrong("fit.loss",
                 std::to_string(fit.losses.size()) + " losses for " + std::to_string(data.targets.size()) + " targets",
                 "give one loss per target");
  }
  for (std::size_t i = 0; i < fit.losses.size(); ++i) {
    const LossRecipe& loss = fit.losses[i];
    const std::string where = loss.output.empty() ? "fit.loss" : "fit.loss, output '" + loss.output + "'";
    if (loss.output != data.targets[i].name) {
      return wrong(where, "is not the target in its place, '" + data.targets[i].name + "'",
                   "keep losses in the order of the targets");
    }
    if (loss.name.empty()) return wrong(where, "has no name", "name a loss, such as \"mean_squared_error\"");
    MORU_RETURN_IF_ERROR(check_range(where + ", label_smoothing", loss.label_smoothing, 0, 1, true));
    MORU_RETURN_IF_ERROR(check_positive(where + ", delta", loss.delta));
    if (!std::isfinite(loss.weight))
      return wrong(where, "its weight is not a finite number", "set \"loss_weights\" to numbers");
  }
  std::set<std::pair<std::string, std::string>> labels_by_output;
  for (const MetricRecipe& metric : fit.metrics) {
    const bool known = std::any_of(data.targets.begin(), data.targets.end(),
                                   [&](const TargetRecipe& target) { return target.name == metric.output; });
    if (metric.name.empty())
      return wrong("fit.metrics", "a metric has no name", "name a metric, such as \"mean_absolute_error\"");
    if (!known)
      return wrong("fit.metrics", "there is no output '" + metric.output + "'", "name an output of \"targets\"");
    const std::string& label = metric.label.empty() ? metric.name : metric.label;
    if (label == "loss") return wrong("fit.metrics", "'loss' is what the loss itself is called", "give the metric another \"label\"");
    if (!labels_by_output.emplace(metric.output, label).second)
      return wrong("fit.metrics", "two are called '" + label + "'", "give one of them another \"label\"");
  }
  MORU_RETURN_IF_ERROR(check_at_least("fit.epochs", fit.epochs, 1));
  MORU_RETURN_IF_ERROR(check_at_least("fit.batch_size", fit.batch_size, 1));
  MORU_RETURN_IF_ERROR(check_at_least("fit.checkpoint_every_steps", fit.checkpoint_every_steps, 0));
  MORU_RETURN_IF_ERROR(check_at_least("fit.steps_per_epoch", fit.steps_per_epoch, 0));
  MORU_RETURN_IF_ERROR(check_at_least("fit.initial_epoch", fit.initial_epoch, 0));
  MORU_RETURN_IF_ERROR(check_at_least("fit.validation_freq", fit.validation_freq, 1));
  if (fit.initial_epoch >= fit.epochs)
    return wrong("fit.initial_epoch", "leaves no epoch of " + std::to_string(fit.epochs),
                 "\"epochs\" counts from 0, so give more of them");
  if (fit.validation == ValidationFrom::last_of_training) {
    if (!(fit.validation_split > 0 && fit.validation_split < 1)) {
      return wrong("fit.validation_split", number_text(fit.validation_split) + " is out of range",
                   "it must lie between 0 and 1");
    }
  } else if (fit.validation == ValidationFrom::data_split) {
    const bool has =
        data.split.kind == SplitKind::column ? !data.split.validation_values.empty() : data.split.validation > 0;
    if (!has)
      return wrong("fit", "validates on a part that data.split does not have", "give \"data.split\" a validation part");
  }
  if (!fit.class_weight.empty() && data.targets.size() != 1) {
    return wrong("fit.class_weight", "needs a model with one output", "use sample weights instead");
  }
  std::set<int64_t> labels;
  for (const ClassWeight& weight : fit.class_weight) {
    const std::string where = "fit.class_weight, class " + std::to_string(weight.label);
    if (weight.label < 0) return wrong(where, "classes count from 0", "use 0, 1, 2, ...");
    if (!labels.insert(weight.label).second) return wrong(where, "is given twice", "give each class one weight");
    MORU_RETURN_IF_ERROR(check_range(where, weight.weight, 0, 1e30, true));
  }
  if (fit.early_stopping) {
    MORU_RETURN_IF_ERROR(check_monitor("fit.callbacks.early_stopping", fit.early_stopping->monitor, fit));
    MORU_RETURN_IF_ERROR(check_at_least("fit.callbacks.early_stopping.patience", fit.early_stopping->patience, 0));
    MORU_RETURN_IF_ERROR(
        check_at_least("fit.callbacks.early_stopping.start_from_epoch", fit.early_stopping->start_from_epoch, 0));
    if (!std::isfinite(fit.early_stopping->min_delta)) {
      return wrong("fit.callbacks.early_stopping.min_delta", "is not a finite number", "set it to a number such as 0.0001");
    }
  }
  if (fit.reduce_lr_on_plateau) {
    const ReduceOnPlateauRecipe& plateau = *fit.reduce_lr_on_plateau;
    const std::string at = "fit.callbacks.reduce_lr_on_plateau";
    MORU_RETURN_IF_ERROR(check_monitor(at, plateau.monitor, fit));
    MORU_RETURN_IF_ERROR(check_range(at + ".factor", plateau.factor, 0, 1, false));
    MORU_RETURN_IF_ERROR(check_at_least(at + ".patience", plateau.patience, 0));
    MORU_RETURN_IF_ERROR(check_at_least(at + ".cooldown", plateau.cooldown, 0));
    MORU_RETURN_IF_ERROR(check_range(at + ".min_lr", plateau.min_lr, 0, 1e30, true));
    MORU_RETURN_IF_ERROR(check_range(at + ".min_delta", plateau.min_delta, -1e30, 1e30, true));
  }
  if (fit.learning_rate_scheduler) {
    if (fit.learning_rate_scheduler->rates.empty())
      return wrong("fit.callbacks.learning_rate_scheduler", "has no rates", "read the recipe again from its JSON");
    for (const double rate : fit.learning_rate_scheduler->rates)
      MORU_RETURN_IF_ERROR(check_range("fit.callbacks.learning_rate_scheduler", rate, 0, 1e30, true));
  }
  if (fit.csv_logger && (fit.csv_logger->filename.empty() || fit.csv_logger->filename.find('/') != std::string::npos))
    return wrong("fit.callbacks.csv_logger.filename", "'" + fit.csv_logger->filename + "' is not a file of the run directory",
                 "give a name such as \"log.csv\"");
  if (fit.model_checkpoint)
    MORU_RETURN_IF_ERROR(check_monitor("fit.callbacks.model_checkpoint", fit.model_checkpoint->monitor, fit));
  return {};
}

template <typename Group>
Status check_fitted_groups(const char* kind, const std::vector<FittedGroup>& fitted, const std::vector<Group>& groups) {
  if (fitted.size() != groups.size())
    return wrong("fitted", "describes another number of groups than the data", "train again");
  for (std::size_t i = 0; i < fitted.size(); ++i) {
    const FittedGroup& one = fitted[i];
    bool sound = one.name == groups[i].name && one.mean.size() == one.variance.size() &&
                 (one.features.empty() || one.features.size() == one.mean.size());
    for (std::size_t k = 0; sound && k < one.mean.size(); ++k) {
      sound = std::isfinite(one.mean[k]) && std::isfinite(one.variance[k]) && one.variance[k] > 0;
    }
    if (!sound) return wrong("fitted, " + group_place(kind, one.name), "its statistics are not usable", "train again");
  }
  return {};
}

}  // namespace

Status recipe_error(const Recipe& recipe, const std::string& what, StatusCode code) {
  return data_error((recipe.file.empty() ? "recipe" : recipe.file) + ": " + what, code);
}

Status check_recipe(const Recipe& recipe) {
  const auto check = [&]() -> Status {
    MORU_RETURN_IF_ERROR(check_data(recipe.data));
    MORU_RETURN_IF_ERROR(check_fit(recipe.fit, recipe.data));
    if (!recipe.fitted) return {};
    MORU_RETURN_IF_ERROR(check_fitted_groups("input", recipe.fitted->inputs, recipe.data.inputs));
    return check_fitted_groups("target", recipe.fitted->targets, recipe.data.targets);
  };
  const Status status = check();
  return status.ok() ? status : recipe_error(recipe, status.message());
}

}  // namespace moru
