#include "runtime/data/recipe_text.h"

#include <algorithm>

#include "runtime/checksum.h"
#include "runtime/data/keras_names.h"
#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"
#include "runtime/training/json_writer.h"

namespace moru {
namespace {

// The names of choices.

std::string_view encoding_name(TextEncoding encoding) {
  switch (encoding) {
    case TextEncoding::automatic:
      return "auto";
    case TextEncoding::utf8:
      return "utf-8";
    case TextEncoding::latin1:
      return "latin-1";
    case TextEncoding::cp949:
      return "cp949";
  }
  return "?";
}

std::string_view fill_name(FillKind fill) {
  switch (fill) {
    case FillKind::mean:
      return "mean";
    case FillKind::median:
      return "median";
    case FillKind::constant:
      return "constant";
    case FillKind::previous:
      return "previous";
  }
  return "?";
}

std::string_view encoder_name(EncoderKind encoder) {
  switch (encoder) {
    case EncoderKind::numeric:
      return "numeric";
    case EncoderKind::one_hot:
      return "one_hot";
    case EncoderKind::ordinal:
      return "ordinal";
    case EncoderKind::cyclic:
      return "cyclic";
    case EncoderKind::date_parts:
      return "date_parts";
    case EncoderKind::string_lookup:
      return "string_lookup";
    case EncoderKind::hashing:
      return "hashing";
  }
  return "?";
}

std::string_view scaler_name(ScalerKind scaler) {
  switch (scaler) {
    case ScalerKind::none:
      return "none";
    case ScalerKind::standard:
      return "standard";
    case ScalerKind::minmax:
      return "minmax";
  }
  return "?";
}

std::string_view split_name(SplitKind kind) {
  switch (kind) {
    case SplitKind::chronological:
      return "chronological";
    case SplitKind::random:
      return "random";
    case SplitKind::column:
      return "column";
  }
  return "?";
}

std::string_view input_rows_name(InputRows rows) {
  switch (rows) {
    case InputRows::row:
      return "row";
    case InputRows::window:
      return "window";
    case InputRows::target_row:
      return "target_row";
  }
  return "?";
}

std::string_view monitor_mode_name(MonitorMode mode) {
  switch (mode) {
    case MonitorMode::automatic:
      return "auto";
    case MonitorMode::min:
      return "min";
    case MonitorMode::max:
      return "max";
  }
  return "?";
}

class RecipePrinter {
 public:
  std::string print(const Recipe& recipe) {
    json_.begin_object();
    if (!recipe.name.empty()) text("name", recipe.name);
    if (!recipe.model.empty()) text("model", recipe.model);
    if (!recipe.dtype_policy.empty()) text("dtype_policy", recipe.dtype_policy);
    json_.key("data").begin_object();
    print_data(recipe.data);
    json_.end_object();
    json_.key("fit").begin_object();
    print_fit(recipe.fit);
    json_.end_object();
    if (recipe.fitted) print_fitted(*recipe.fitted);
    json_.end_object();
    return json_.finish();
  }

 private:
  void text(std::string_view key, std::string_view value) { json_.key(key).text(value); }
  void number(std::string_view key, double value) { json_.key(key).number(value); }
  void integer(std::string_view key, int64_t value) { json_.key(key).integer(value); }
  void boolean(std::string_view key, bool value) { json_.key(key).boolean(value); }
  void texts(std::string_view key, const std::vector<std::string>& values) {
    json_.key(key).begin_array();
    for (const std::string& value : values) json_.text(value);
    json_.end_array();
  }

  void print_missing(const MissingRecipe& missing, bool is_category) {
    json_.key("missing");
    if (missing.policy != MissingPolicy::fill) {
      json_.text(missing.policy == MissingPolicy::drop ? "drop" : "error");
      return;
    }
    json_.begin_object();
    text("fill", fill_name(missing.fill));
    if (missing.fill == FillKind::constant) {
      if (is_category || !(missing.text.empty() || missing.text == number_text(missing.constant)))
        text("value", missing.text);
      else
        number("value", missing.constant);
    }
    json_.end_object();
  }

  void print_column(const ColumnRecipe& column) {
    json_.begin_object();
    text("column", column.column);
    text("encoder", encoder_name(column.encoder));
    const bool is_lookup = column.encoder == EncoderKind::string_lookup;
    if (!column.categories.empty()) texts(is_lookup ? "vocabulary" : "categories", column.categories);
    if (column.mask_token) text(is_lookup ? "mask_token" : "mask_value", *column.mask_token);
    if (is_lookup) integer("num_oov_indices", column.oov_indices);
    if (column.max_tokens > 0) integer("max_tokens", column.max_tokens);
    if (column.encoder == EncoderKind::hashing) integer("num_bins", column.bins);
    if (!column.salt.empty()) {
      json_.key("salt").begin_array();
      for (const uint64_t word : column.salt) json_.text(std::to_string(word));
      json_.end_array();
    }
    if (column.encoder == EncoderKind::cyclic) number("period", column.period);
    if (column.encoder == EncoderKind::date_parts) {
      json_.key("parts").begin_array();
      for (const DatePart part : column.parts) json_.text(date_part_name(part));
      json_.end_array();
      boolean("cyclic", column.cyclic_parts);
    }
    text("scaler", scaler_name(column.scaler));
    const bool is_category = column.encoder == EncoderKind::one_hot || column.encoder == EncoderKind::ordinal;
    if (column.missing) print_missing(*column.missing, is_category);
    json_.end_object();
  }

  template <typename Group>
  void print_group(const Group& group, SourceKind source, const InputRows* rows) {
    json_.begin_object();
    if (!group.name.empty()) text("name", group.name);
    if (rows != nullptr) text("rows", input_rows_name(*rows));
    text("dtype", dtype_name(group.type));
    if (source == SourceKind::npy) {
      text("npy", group.path);
      text("scaler", scaler_name(group.scaler));
    } else {
      json_.key("columns").begin_array();
      for (const ColumnRecipe& column : group.columns) print_column(column);
      json_.end_array();
    }
    json_.end_object();
  }

  void print_data(const DataRecipe& data) {
    if (data.source == SourceKind::csv) {
      text("csv", data.path);
      text("separator", data.separator.empty() ? "auto" : data.separator);
      if (data.numbers.decimal != '.') text("decimal", std::string(1, data.numbers.decimal));
      if (data.numbers.thousands != '\0') text("thousands", std::string(1, data.numbers.thousands));
      text("encoding", encoding_name(data.encoding));
      print_missing(data.missing, false);
      texts("missing_values", data.missing_values);
    }
    json_.key("inputs").begin_array();
    for (const InputRecipe& input : data.inputs) print_group(input, data.source, &input.rows);
    json_.end_array();
    json_.key("targets").begin_array();
    for (const TargetRecipe& target : data.targets) print_group(target, data.source, nullptr);
    json_.end_array();
    if (!data.sample_weight.empty()) text("sample_weight", data.sample_weight);
    if (!data.time.column.empty()) {
      json_.key("time").begin_object();
      text("column", data.time.column);
      if (!data.time.hour_column.empty()) text("hour", data.time.hour_column);
      if (!data.time.format.empty()) text("format", data.time.format);
      json_.end_object();
    }
    if (!data.filters.empty()) {
      json_.key("filters").begin_array();
      for (const RowFilter& filter : data.filters) {
        json_.begin_object();
        text("column", filter.column);
        texts(filter.keep ? "keep" : "drop", filter.values);
        json_.end_object();
      }
      json_.end_array();
    }
    if (data.windowed) {
      json_.key("window").begin_object();
      integer("length", data.window.length);
      integer("horizon", data.window.horizon);
      integer("stride", data.window.stride);
      json_.end_object();
    }
    print_split(data.split);
  }

  void print_split(const SplitRecipe& split) {
    json_.key("split").begin_object();
    text("kind", split_name(split.kind));
    if (split.kind == SplitKind::column) {
      text("column", split.column);
      texts("train", split.train_values);
      texts("validation", split.validation_values);
      texts("test", split.test_values);
    } else {
      if (split.skip > 0) number("skip", split.skip);
      number("train", split.train);
      number("validation", split.validation);
      number("test", split.test);
      if (split.kind == SplitKind::random) integer("seed", static_cast<int64_t>(split.seed));
    }
    json_.end_object();
  }

  /// The members of a JSON object that was written by a tool, as members of the object that is open.
  void members(const std::string& object) {
    std::size_t depth = 0, begin = 0;
    bool quoted = false;
    std::string key;
    for (std::size_t i = 0; i < object.size(); ++i) {
      const char c = object[i];
      if (quoted) {
        if (c == '\\') ++i;
        else if (c == '"') quoted = false;
        continue;
      }
      if (c == '"') quoted = true;
      const bool ends = (c == ',' || c == '}') && depth == 1;
      if (c == ':' && depth == 1 && key.empty()) {
        key = object.substr(begin, i - begin);
        begin = i + 1;
      } else if (ends && !key.empty()) {
        const std::string name = key.substr(key.find('"') + 1, key.rfind('"') - key.find('"') - 1);
        json_.key(name).raw(object.substr(begin, i - begin));
        key.clear();
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      if (ends || (c == '{' && depth == 1)) begin = i + 1;
    }
  }

  void print_optimizer(const OptimizerRecipe& optimizer) {
    json_.key("optimizer").begin_object();
    const std::size_t scaled = optimizer.arguments.find("\"loss_scale\":");
    if (scaled != std::string::npos) {
      // The tool puts it last: {..., "loss_scale": {...}}.
      text("name", "LossScaleOptimizer");
      members(optimizer.arguments.substr(optimizer.arguments.find('{', scaled), optimizer.arguments.size() - 1 - optimizer.arguments.find('{', scaled)));
      json_.key("inner_optimizer").begin_object();
    }
    text("name", optimizer.name);
    if (optimizer.arguments.find("\"learning_rate\":") == std::string::npos) number("learning_rate", optimizer.learning_rate);
    const auto has = [&](std::string_view name) { return optimizer_has(optimizer.name, name); };
    if (has("momentum")) number("momentum", optimizer.momentum);
    if (has("nesterov")) boolean("nesterov", optimizer.nesterov);
    if (has("rho")) number("rho", optimizer.rho);
    if (has("centered")) boolean("centered", optimizer.centered);
    if (has("beta_1")) number("beta_1", optimizer.beta_1);
    if (has("beta_2")) number("beta_2", optimizer.beta_2);
    if (has("amsgrad")) boolean("amsgrad", optimizer.amsgrad);
    if (has("initial_accumulator_value")) number("initial_accumulator_value", optimizer.initial_accumulator_value);
    if (has("epsilon")) number("epsilon", optimizer.epsilon);
    number("weight_decay", optimizer.weight_decay);
    if (optimizer.clipnorm) number("clipnorm", *optimizer.clipnorm);
    if (optimizer.global_clipnorm) number("global_clipnorm", *optimizer.global_clipnorm);
    if (optimizer.clipvalue) number("clipvalue", *optimizer.clipvalue);
    std::string arguments = optimizer.arguments;
    if (scaled != std::string::npos) arguments = arguments.substr(0, scaled) + "}";
    if (arguments.ends_with(",}")) arguments = arguments.substr(0, arguments.size() - 2) + "}";
    members(arguments);
    if (scaled != std::string::npos) json_.end_object();
    json_.end_object();
  }

  void print_metrics(const char* key, const FitRecipe& fit, bool weighted) {
    json_.key(key).begin_array();
    for (const MetricRecipe& metric : fit.metrics) {
      if (metric.weighted != weighted) continue;
      json_.begin_object();
      if (!metric.output.empty()) text("output", metric.output);
      text("name", metric.name);
      text("label", metric.label);
      if (metric.name == "binary_accuracy") number("threshold", metric.threshold);
      if (metric.from_logits) boolean("from_logits", metric.from_logits);
      members(metric.arguments);
      json_.end_object();
    }
    json_.end_array();
  }

  void print_fit(const FitRecipe& fit) {
    print_optimizer(fit.optimizer);
    json_.key("loss").begin_array();
    for (const LossRecipe& loss : fit.losses) {
      json_.begin_object();
      text("name", loss.name);
      if (loss.from_logits) boolean("from_logits", loss.from_logits);
      if (loss.label_smoothing != 0) number("label_smoothing", loss.label_smoothing);
      if (loss.name == "huber") number("delta", loss.delta);
      members(loss.arguments);
      json_.end_object();
    }
    json_.end_array();
    json_.key("loss_weights").begin_array();
    for (const LossRecipe& loss : fit.losses) json_.number(loss.weight);
    json_.end_array();
    print_metrics("metrics", fit, false);
    if (std::any_of(fit.metrics.begin(), fit.metrics.end(), [](const MetricRecipe& metric) { return metric.weighted; }))
      print_metrics("weighted_metrics", fit, true);
    integer("epochs", fit.epochs);
    integer("batch_size", fit.batch_size);
    boolean("shuffle", fit.shuffle);
    integer("seed", static_cast<int64_t>(fit.seed));
    if (fit.validation == ValidationFrom::last_of_training) number("validation_split", fit.validation_split);
    if (!fit.class_weight.empty()) {
      json_.key("class_weight").begin_object();
      for (const ClassWeight& weight : fit.class_weight) number(std::to_string(weight.label), weight.weight);
      json_.end_object();
    }
    if (fit.steps_per_epoch > 0) integer("steps_per_epoch", fit.steps_per_epoch);
    if (fit.initial_epoch > 0) integer("initial_epoch", fit.initial_epoch);
    if (fit.validation_freq != 1) integer("validation_freq", fit.validation_freq);
    if (!fit.frozen.empty()) texts("freeze", fit.frozen);
    if (fit.early_stopping || fit.model_checkpoint || fit.reduce_lr_on_plateau || fit.learning_rate_scheduler ||
        fit.csv_logger)
      print_callbacks(fit);
    integer("checkpoint_every_steps", fit.checkpoint_every_steps);
  }

  void print_callbacks(const FitRecipe& fit) {
    json_.key("callbacks").begin_object();
    if (fit.early_stopping) {
      const EarlyStoppingRecipe& stopping = *fit.early_stopping;
      json_.key("early_stopping").begin_object();
      text("monitor", stopping.monitor);
      integer("patience", stopping.patience);
      number("min_delta", stopping.min_delta);
      text("mode", monitor_mode_name(stopping.mode));
      if (stopping.baseline) number("baseline", *stopping.baseline);
      integer("start_from_epoch", stopping.start_from_epoch);
      boolean("restore_best_weights", stopping.restore_best_weights);
      json_.end_object();
    }
    if (fit.model_checkpoint) {
      const ModelCheckpointRecipe& checkpoint = *fit.model_checkpoint;
      json_.key("model_checkpoint").begin_object();
      text("monitor", checkpoint.monitor);
      text("mode", monitor_mode_name(checkpoint.mode));
      boolean("save_best_only", checkpoint.save_best_only);
      json_.end_object();
    }
    if (fit.reduce_lr_on_plateau) {
      const ReduceOnPlateauRecipe& plateau = *fit.reduce_lr_on_plateau;
      json_.key("reduce_lr_on_plateau").begin_object();
      text("monitor", plateau.monitor);
      text("mode", monitor_mode_name(plateau.mode));
      number("factor", plateau.factor);
      integer("patience", plateau.patience);
      number("min_delta", plateau.min_delta);
      integer("cooldown", plateau.cooldown);
      number("min_lr", plateau.min_lr);
      json_.end_object();
    }
    if (fit.learning_rate_scheduler) {
      json_.key("learning_rate_scheduler").begin_object();
      members(fit.learning_rate_scheduler->schedule);
      json_.end_object();
    }
    if (fit.csv_logger) {
      json_.key("csv_logger").begin_object();
      text("filename", fit.csv_logger->filename);
      text("separator", fit.csv_logger->separator);
      boolean("append", fit.csv_logger->append);
      json_.end_object();
    }
    json_.end_object();
  }

  void print_fitted_groups(std::string_view key, const std::vector<FittedGroup>& groups) {
    json_.key(key).begin_array();
    for (const FittedGroup& group : groups) {
      json_.begin_object();
      if (!group.name.empty()) text("name", group.name);
      texts("features", group.features);
      json_.key("mean").numbers(group.mean);
      json_.key("variance").numbers(group.variance);
      json_.end_object();
    }
    json_.end_array();
  }

  void print_fitted(const Fitted& fitted) {
    json_.key("fitted").begin_object();
    print_fitted_groups("inputs", fitted.inputs);
    print_fitted_groups("targets", fitted.targets);
    integer("training_rows", fitted.training_rows);
    if (fitted.row_seconds != 0) integer("row_seconds", fitted.row_seconds);
    text("data_fingerprint", hash_text(fitted.data_fingerprint));
    json_.end_object();
  }

  JsonWriter json_;
};

}  // namespace

std::string recipe_to_json(const Recipe& recipe) { return RecipePrinter().print(recipe); }

}  // namespace moru
