// Recipe to FlatBuffer and back, field by field.
#include "runtime/data/recipe.h"

#include <cstring>

#include "recipe_generated.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

namespace fb = ::moru::schema;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
template <typename T>
using OffsetVector = flatbuffers::Vector<Offset<T>>;

// The enums of both sides hold the same names in the same order; the reader checks ranges.
template <typename To, typename From>
To same_enum(From value) {
  return static_cast<To>(value);
}

// ---- write -----------------------------------------------------------------------------------------------------

class Writer {
 public:
  std::vector<std::byte> write(const Recipe& recipe) {
    const auto name = text(recipe.name);
    const auto model = text(recipe.model);
    const auto data = write_data(recipe.data);
    const auto fit = write_fit(recipe.fit);
    const auto fitted = recipe.fitted ? write_fitted(*recipe.fitted) : Offset<fb::RecipeFitted>();
    fb::FinishRecipeBuffer(builder_, fb::CreateRecipe(builder_, name, model, data, fit, fitted));
    const auto* begin = reinterpret_cast<const std::byte*>(builder_.GetBufferPointer());
    return {begin, begin + builder_.GetSize()};
  }

 private:
  Offset<flatbuffers::String> text(const std::string& value) { return builder_.CreateString(value); }
  Offset<flatbuffers::Vector<Offset<flatbuffers::String>>> texts(const std::vector<std::string>& values) {
    return builder_.CreateVectorOfStrings(values);
  }
  template <typename T, typename Function>
  auto each(const std::vector<T>& values, Function write_one) {
    std::vector<decltype(write_one(values[0]))> offsets;
    offsets.reserve(values.size());
    for (const T& value : values) offsets.push_back(write_one(value));
    return builder_.CreateVector(offsets);
  }

  Offset<fb::RecipeMissing> write_missing(const MissingRecipe& missing) {
    const auto constant_text = text(missing.text);
    return fb::CreateRecipeMissing(builder_, same_enum<fb::RecipeMissingPolicy>(missing.policy),
                                   same_enum<fb::RecipeFill>(missing.fill), missing.constant, constant_text);
  }
  Offset<fb::RecipeColumn> write_column(const ColumnRecipe& column) {
    const auto name = text(column.column);
    const auto categories = texts(column.categories);
    std::vector<fb::RecipeDatePart> parts;
    for (const DatePart part : column.parts) parts.push_back(same_enum<fb::RecipeDatePart>(part));
    const auto parts_offset = builder_.CreateVector(parts);
    const auto missing = column.missing ? write_missing(*column.missing) : Offset<fb::RecipeMissing>();
    const auto mask = column.mask_token ? builder_.CreateString(*column.mask_token) : Offset<flatbuffers::String>();
    const auto salt = builder_.CreateVector(column.salt);
    return fb::CreateRecipeColumn(builder_, name, same_enum<fb::RecipeEncoder>(column.encoder), categories,
                                  column.period, parts_offset, column.cyclic_parts,
                                  same_enum<fb::RecipeScaler>(column.scaler), missing, mask, column.oov_indices,
                                  column.max_tokens, column.bins, salt);
  }
  template <typename Group>
  Offset<fb::RecipeGroup> write_group(const Group& group, InputRows rows) {
    const auto name = text(group.name);
    const auto columns = each(group.columns, [&](const ColumnRecipe& column) { return write_column(column); });
    const auto path = text(group.path);
    return fb::CreateRecipeGroup(builder_, name, same_enum<fb::RecipeInputRows>(rows), static_cast<uint8_t>(group.type),
                                 columns, path, same_enum<fb::RecipeScaler>(group.scaler));
  }
  Offset<fb::RecipeData> write_data(const DataRecipe& data) {
    const auto path = text(data.path);
    const auto separator = text(data.separator);
    const auto missing = write_missing(data.missing);
    const auto missing_values = texts(data.missing_values);
    const auto inputs = each(data.inputs, [&](const InputRecipe& input) { return write_group(input, input.rows); });
    const auto targets =
        each(data.targets, [&](const TargetRecipe& target) { return write_group(target, InputRows::row); });
    const auto sample_weight = text(data.sample_weight);
    Offset<fb::RecipeTime> time;
    if (!data.time.column.empty()) {
      const auto column = text(data.time.column);
      const auto hour = text(data.time.hour_column);
      const auto format = text(data.time.format);
      time = fb::CreateRecipeTime(builder_, column, hour, format);
    }
    const auto filters = each(data.filters, [&](const RowFilter& filter) {
      const auto column = text(filter.column);
      const auto values = texts(filter.values);
      return fb::CreateRecipeFilter(builder_, column, values, filter.keep);
    });
    Offset<fb::RecipeWindow> window;
    if (data.windowed)
      window = fb::CreateRecipeWindow(builder_, data.window.length, data.window.horizon, data.window.stride);
    const SplitRecipe& split = data.split;
    const auto split_column = text(split.column);
    const auto train_values = texts(split.train_values);
    const auto validation_values = texts(split.validation_values);
    const auto test_values = texts(split.test_values);
    const auto split_offset = fb::CreateRecipeSplit(builder_, same_enum<fb::RecipeSplitKind>(split.kind), split.train,
                                                    split.validation, split.test, split.seed, split_column,
                                                    train_values, validation_values, test_values, split.skip);
    return fb::CreateRecipeData(builder_, same_enum<fb::RecipeSource>(data.source), path, separator,
                                same_enum<fb::RecipeEncoding>(data.encoding), missing, missing_values, inputs, targets,
                                sample_weight, time, filters, window, split_offset,
                                static_cast<uint8_t>(data.numbers.decimal), static_cast<uint8_t>(data.numbers.thousands));
  }

  static const fb::RecipeNumber* number(const std::optional<double>& value, fb::RecipeNumber& storage) {
    if (!value) return nullptr;
    storage = fb::RecipeNumber(*value);
    return &storage;
  }
  Offset<fb::RecipeOptimizer> write_optimizer(const OptimizerRecipe& optimizer) {
    const auto name = text(optimizer.name), arguments = text(optimizer.arguments);
    fb::RecipeNumber clipnorm, global_clipnorm, clipvalue;
    return fb::CreateRecipeOptimizer(
        builder_, name, optimizer.learning_rate, optimizer.momentum, optimizer.nesterov, optimizer.rho,
        optimizer.centered, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon, optimizer.amsgrad,
        optimizer.initial_accumulator_value, optimizer.weight_decay, number(optimizer.clipnorm, clipnorm),
        number(optimizer.global_clipnorm, global_clipnorm), number(optimizer.clipvalue, clipvalue), arguments);
  }
  Offset<fb::RecipeFit> write_fit(const FitRecipe& fit) {
    const auto optimizer = write_optimizer(fit.optimizer);
    const auto losses = each(fit.losses, [&](const LossRecipe& loss) {
      const auto output = text(loss.output);
      const auto name = text(loss.name), arguments = text(loss.arguments);
      return fb::CreateRecipeLoss(builder_, output, name, loss.weight, loss.from_logits, loss.label_smoothing,
                                  loss.delta, arguments);
    });
    const auto metrics = each(fit.metrics, [&](const MetricRecipe& metric) {
      const auto output = text(metric.output);
      const auto name = text(metric.name);
      const auto label = text(metric.label), arguments = text(metric.arguments);
      return fb::CreateRecipeMetric(builder_, output, name, label, metric.threshold, metric.from_logits, arguments,
                                    metric.weighted);
    });
    std::vector<fb::RecipeClassWeight> weights;
    for (const ClassWeight& weight : fit.class_weight) weights.emplace_back(weight.label, weight.weight);
    const auto class_weight = builder_.CreateVectorOfStructs(weights);
    Offset<fb::RecipeEarlyStopping> stopping;
    if (fit.early_stopping) {
      const EarlyStoppingRecipe& from = *fit.early_stopping;
      const auto monitor = text(from.monitor);
      fb::RecipeNumber baseline;
      stopping = fb::CreateRecipeEarlyStopping(
          builder_, monitor, from.patience, from.min_delta, same_enum<fb::RecipeMonitorMode>(from.mode),
          number(from.baseline, baseline), from.start_from_epoch, from.restore_best_weights);
    }
    Offset<fb::RecipeModelCheckpoint> checkpoint;
    if (fit.model_checkpoint) {
      const ModelCheckpointRecipe& from = *fit.model_checkpoint;
      const auto monitor = text(from.monitor);
      checkpoint = fb::CreateRecipeModelCheckpoint(builder_, monitor, same_enum<fb::RecipeMonitorMode>(from.mode),
                                                   from.save_best_only);
    }
    Offset<fb::RecipeReduceOnPlateau> plateau;
    if (fit.reduce_lr_on_plateau) {
      const ReduceOnPlateauRecipe& from = *fit.reduce_lr_on_plateau;
      const auto monitor = text(from.monitor);
      plateau = fb::CreateRecipeReduceOnPlateau(builder_, monitor, same_enum<fb::RecipeMonitorMode>(from.mode),
                                                from.factor, from.patience, from.min_delta, from.cooldown, from.min_lr);
    }
    Offset<fb::RecipeEpochRates> rates;
    if (fit.learning_rate_scheduler) {
      const auto schedule = text(fit.learning_rate_scheduler->schedule);
      const auto values = builder_.CreateVector(fit.learning_rate_scheduler->rates);
      rates = fb::CreateRecipeEpochRates(builder_, schedule, values);
    }
    Offset<fb::RecipeCsvLogger> logger;
    if (fit.csv_logger) {
      const auto filename = text(fit.csv_logger->filename), separator = text(fit.csv_logger->separator);
      logger = fb::CreateRecipeCsvLogger(builder_, filename, separator, fit.csv_logger->append);
    }
    const auto frozen = texts(fit.frozen);
    return fb::CreateRecipeFit(builder_, optimizer, losses, metrics, fit.epochs, fit.batch_size, fit.shuffle, fit.seed,
                               same_enum<fb::RecipeValidation>(fit.validation), fit.validation_split, class_weight,
                               stopping, checkpoint, fit.checkpoint_every_steps, fit.steps_per_epoch,
                               fit.initial_epoch, fit.validation_freq, plateau, rates, logger, frozen);
  }

  Offset<fb::RecipeFitted> write_fitted(const Fitted& fitted) {
    const auto columns = each(fitted.columns, [&](const FittedColumn& column) {
      const auto name = text(column.column);
      const auto categories = texts(column.categories);
      const auto format = text(column.time_format);
      const auto fill_text = text(column.fill_text);
      return fb::CreateRecipeFittedColumn(builder_, name, same_enum<fb::RecipeEncoder>(column.encoder), categories,
                                          format, column.has_fill, column.fill, fill_text);
    });
    const auto write_group_numbers = [&](const FittedGroup& group) {
      const auto name = text(group.name);
      const auto features = texts(group.features);
      const auto mean = builder_.CreateVector(group.mean);
      const auto variance = builder_.CreateVector(group.variance);
      return fb::CreateRecipeFittedGroup(builder_, name, features, mean, variance, group.scaled);
    };
    const auto inputs = each(fitted.inputs, write_group_numbers);
    const auto targets = each(fitted.targets, write_group_numbers);
    const auto separator = text(fitted.separator);
    const auto time_format = text(fitted.time_format);
    return fb::CreateRecipeFitted(builder_, columns, inputs, targets, separator,
                                  same_enum<fb::RecipeEncoding>(fitted.encoding), time_format, fitted.training_rows,
                                  fitted.data_fingerprint, fitted.row_seconds);
  }

  FlatBufferBuilder builder_;
};

// ---- read ------------------------------------------------------------------------------------------------------

/// Reads a verified buffer. An enum value from a later version (or an enemy) sets `unknown_` and reads as the first.
class Reader {
 public:
  Recipe read(const fb::Recipe& from) {
    Recipe recipe;
    recipe.name = text(from.name());
    recipe.model = text(from.model());
    recipe.data = read_data(*from.data());
    recipe.fit = read_fit(*from.fit());
    if (from.fitted() != nullptr) recipe.fitted = read_fitted(*from.fitted());
    return recipe;
  }
  bool unknown() const { return unknown_; }

 private:
  static std::string text(const flatbuffers::String* from) { return from != nullptr ? from->str() : std::string(); }
  static std::vector<std::string> texts(const flatbuffers::Vector<Offset<flatbuffers::String>>* from) {
    std::vector<std::string> out;
    if (from == nullptr) return out;
    for (const flatbuffers::String* one : *from) out.push_back(one->str());
    return out;
  }
  template <typename To, typename From>
  To enum_of(From value, From last) {
    if (value > last) unknown_ = true;
    return value > last ? To{} : static_cast<To>(value);
  }
  template <typename To, typename T, typename Function>
  std::vector<To> each(const OffsetVector<T>* from, Function read_one) {
    std::vector<To> out;
    if (from == nullptr) return out;
    for (const T* one : *from) out.push_back(read_one(*one));
    return out;
  }

  MissingRecipe read_missing(const fb::RecipeMissing* from) {
    MissingRecipe missing;
    if (from == nullptr) return missing;
    missing.policy = enum_of<MissingPolicy>(from->policy(), fb::RecipeMissingPolicy::MAX);
    missing.fill = enum_of<FillKind>(from->fill(), fb::RecipeFill::MAX);
    missing.constant = from->constant();
    missing.text = text(from->text());
    return missing;
  }
  ColumnRecipe read_column(const fb::RecipeColumn& from) {
    ColumnRecipe column;
    column.column = text(from.column());
    column.encoder = enum_of<EncoderKind>(from.encoder(), fb::RecipeEncoder::MAX);
    column.categories = texts(from.categories());
    column.period = from.period();
    if (from.parts() != nullptr) {
      for (flatbuffers::uoffset_t i = 0; i < from.parts()->size(); ++i) {
        column.parts.push_back(enum_of<DatePart>(from.parts()->Get(i), fb::RecipeDatePart::MAX));
      }
    }
    column.cyclic_parts = from.cyclic_parts();
    column.scaler = enum_of<ScalerKind>(from.scaler(), fb::RecipeScaler::MAX);
    if (from.missing() != nullptr) column.missing = read_missing(from.missing());
    if (from.mask_token() != nullptr) column.mask_token = text(from.mask_token());
    column.oov_indices = from.oov_indices();
    column.max_tokens = from.max_tokens();
    column.bins = from.bins();
    if (from.salt() != nullptr) {
      column.salt.resize(from.salt()->size());
      std::memcpy(column.salt.data(), from.salt()->Data(), column.salt.size() * sizeof(uint64_t));
    }
    return column;
  }
  template <typename Group>
  Group read_group(const fb::RecipeGroup& from) {
    Group group;
    group.name = text(from.name());
    if (!is_exchanged(from.type()))
      unknown_ = true;
    else
      group.type = static_cast<DType>(from.type());
    group.columns =
        each<ColumnRecipe>(from.columns(), [&](const fb::RecipeColumn& column) { return read_column(column); });
    group.path = text(from.path());
    group.scaler = enum_of<ScalerKind>(from.scaler(), fb::RecipeScaler::MAX);
    return group;
  }
  DataRecipe read_data(const fb::RecipeData& from) {
    DataRecipe data;
    data.source = enum_of<SourceKind>(from.source(), fb::RecipeSource::MAX);
    data.path = text(from.path());
    data.separator = text(from.separator());
    data.numbers = {static_cast<char>(from.decimal()), static_cast<char>(from.thousands())};
    data.encoding = enum_of<TextEncoding>(from.encoding(), fb::RecipeEncoding::MAX);
    data.missing = read_missing(from.missing());
    data.missing_values = texts(from.missing_values());
    data.inputs = each<InputRecipe>(from.inputs(), [&](const fb::RecipeGroup& group) {
      InputRecipe input = read_group<InputRecipe>(group);
      input.rows = enum_of<InputRows>(group.rows(), fb::RecipeInputRows::MAX);
      return input;
    });
    data.targets = each<TargetRecipe>(from.targets(),
                                      [&](const fb::RecipeGroup& group) { return read_group<TargetRecipe>(group); });
    data.sample_weight = text(from.sample_weight());
    if (from.time() != nullptr) {
      data.time = {text(from.time()->column()), text(from.time()->hour_column()), text(from.time()->format())};
    }
    data.filters = each<RowFilter>(from.filters(), [&](const fb::RecipeFilter& filter) {
      return RowFilter{text(filter.column()), texts(filter.values()), filter.keep()};
    });
    data.windowed = from.window() != nullptr;
    if (data.windowed) data.window = {from.window()->length(), from.window()->horizon(), from.window()->stride()};
    if (from.split() != nullptr) {
      const fb::RecipeSplit& split = *from.split();
      data.split.kind = enum_of<SplitKind>(split.kind(), fb::RecipeSplitKind::MAX);
      data.split.train = split.train();
      data.split.validation = split.validation();
      data.split.test = split.test();
      data.split.skip = split.skip();
      data.split.seed = split.seed();
      data.split.column = text(split.column());
      data.split.train_values = texts(split.train_values());
      data.split.validation_values = texts(split.validation_values());
      data.split.test_values = texts(split.test_values());
    }
    return data;
  }

  static std::optional<double> number(const fb::RecipeNumber* from) {
    return from != nullptr ? std::optional<double>(from->value()) : std::nullopt;
  }
  static OptimizerRecipe read_optimizer(const fb::RecipeOptimizer& from) {
    OptimizerRecipe optimizer;
    optimizer.name = text(from.name());
    optimizer.learning_rate = from.learning_rate();
    optimizer.momentum = from.momentum();
    optimizer.nesterov = from.nesterov();
    optimizer.rho = from.rho();
    optimizer.centered = from.centered();
    optimizer.beta_1 = from.beta_1();
    optimizer.beta_2 = from.beta_2();
    optimizer.epsilon = from.epsilon();
    optimizer.amsgrad = from.amsgrad();
    optimizer.initial_accumulator_value = from.initial_accumulator_value();
    optimizer.weight_decay = from.weight_decay();
    optimizer.clipnorm = number(from.clipnorm());
    optimizer.global_clipnorm = number(from.global_clipnorm());
    optimizer.clipvalue = number(from.clipvalue());
    optimizer.arguments = text(from.arguments());
    return optimizer;
  }
  FitRecipe read_fit(const fb::RecipeFit& from) {
    FitRecipe fit;
    fit.optimizer = read_optimizer(*from.optimizer());
    fit.losses = each<LossRecipe>(from.losses(), [&](const fb::RecipeLoss& loss) {
      return LossRecipe{text(loss.output()), text(loss.name()),      loss.weight(),
                        loss.from_logits(),  loss.label_smoothing(), loss.delta(), text(loss.arguments())};
    });
    fit.metrics = each<MetricRecipe>(from.metrics(), [&](const fb::RecipeMetric& metric) {
      return MetricRecipe{text(metric.output()), text(metric.name()), text(metric.label()), metric.threshold(),
                          metric.from_logits(), text(metric.arguments()), metric.weighted()};
    });
    fit.epochs = from.epochs();
    fit.batch_size = from.batch_size();
    fit.shuffle = from.shuffle();
    fit.seed = from.seed();
    fit.validation = enum_of<ValidationFrom>(from.validation(), fb::RecipeValidation::MAX);
    fit.validation_split = from.validation_split();
    if (from.class_weight() != nullptr) {
      std::vector<fb::RecipeClassWeight> weights(from.class_weight()->size());
      if (!weights.empty())
        std::memcpy(weights.data(), from.class_weight()->Data(), weights.size() * sizeof weights[0]);
      for (const fb::RecipeClassWeight& weight : weights) fit.class_weight.push_back({weight.label(), weight.weight()});
    }
    if (const fb::RecipeEarlyStopping* stopping = from.early_stopping()) {
      fit.early_stopping = EarlyStoppingRecipe{
          text(stopping->monitor()),       stopping->patience(),
          stopping->min_delta(),           enum_of<MonitorMode>(stopping->mode(), fb::RecipeMonitorMode::MAX),
          number(stopping->baseline()),    stopping->start_from_epoch(),
          stopping->restore_best_weights()};
    }
    if (const fb::RecipeModelCheckpoint* checkpoint = from.model_checkpoint()) {
      fit.model_checkpoint = ModelCheckpointRecipe{text(checkpoint->monitor()),
                                                   enum_of<MonitorMode>(checkpoint->mode(), fb::RecipeMonitorMode::MAX),
                                                   checkpoint->save_best_only()};
    }
    fit.checkpoint_every_steps = from.checkpoint_every_steps();
    fit.steps_per_epoch = from.steps_per_epoch();
    fit.initial_epoch = from.initial_epoch();
    fit.validation_freq = from.validation_freq();
    if (const fb::RecipeReduceOnPlateau* plateau = from.reduce_lr_on_plateau()) {
      fit.reduce_lr_on_plateau = ReduceOnPlateauRecipe{
          text(plateau->monitor()), enum_of<MonitorMode>(plateau->mode(), fb::RecipeMonitorMode::MAX),
          plateau->factor(),        plateau->patience(),
          plateau->min_delta(),     plateau->cooldown(),
          plateau->min_lr()};
    }
    if (const fb::RecipeEpochRates* rates = from.learning_rate_scheduler())
      fit.learning_rate_scheduler = EpochRatesRecipe{text(rates->schedule()), numbers(rates->rates())};
    if (const fb::RecipeCsvLogger* logger = from.csv_logger())
      fit.csv_logger = CsvLoggerRecipe{text(logger->filename()), text(logger->separator()), logger->append()};
    fit.frozen = texts(from.frozen());
    return fit;
  }

  // The verifier does not check where the elements of a vector are aligned, so they are copied as bytes.
  static std::vector<double> numbers(const flatbuffers::Vector<double>* from) {
    std::vector<double> out(from != nullptr ? from->size() : 0);
    if (!out.empty()) std::memcpy(out.data(), from->Data(), out.size() * sizeof(double));
    return out;
  }
  Fitted read_fitted(const fb::RecipeFitted& from) {
    Fitted fitted;
    fitted.columns = each<FittedColumn>(from.columns(), [&](const fb::RecipeFittedColumn& column) {
      return FittedColumn{text(column.column()),      enum_of<EncoderKind>(column.encoder(), fb::RecipeEncoder::MAX),
                          texts(column.categories()), text(column.time_format()),
                          column.has_fill(),          column.fill(),
                          text(column.fill_text())};
    });
    const auto group = [&](const fb::RecipeFittedGroup& one) {
      return FittedGroup{text(one.name()), texts(one.features()), numbers(one.mean()), numbers(one.variance()),
                         one.scaled()};
    };
    fitted.inputs = each<FittedGroup>(from.inputs(), group);
    fitted.targets = each<FittedGroup>(from.targets(), group);
    fitted.separator = text(from.separator());
    fitted.encoding = enum_of<TextEncoding>(from.encoding(), fb::RecipeEncoding::MAX);
    fitted.time_format = text(from.time_format());
    fitted.training_rows = from.training_rows();
    fitted.row_seconds = from.row_seconds();
    fitted.data_fingerprint = from.data_fingerprint();
    return fitted;
  }

  bool unknown_ = false;
};

}  // namespace

const TargetRecipe* find_target(const DataRecipe& data, std::string_view output) {
  for (const TargetRecipe& target : data.targets)
    if (target.name == output || (target.name.empty() && data.targets.size() == 1)) return &target;
  return nullptr;
}

const LossRecipe* find_loss(const FitRecipe& fit, std::string_view output) {
  for (const LossRecipe& loss : fit.losses)
    if (loss.output == output || (loss.output.empty() && fit.losses.size() == 1)) return &loss;
  return nullptr;
}

std::vector<std::byte> write_recipe(const Recipe& recipe) { return Writer().write(recipe); }

Result<Recipe> read_recipe(std::span<const std::byte> bytes) {
  // A recipe inside a larger file need not lie where doubles may be read.
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(double) != 0) {
    const std::vector<std::byte> aligned(bytes.begin(), bytes.end());
    return read_recipe(aligned);
  }
  const auto* begin = reinterpret_cast<const uint8_t*>(bytes.data());
  constexpr std::size_t smallest = 8;  // root offset and file identifier
  if (bytes.size() < smallest || !fb::RecipeBufferHasIdentifier(begin)) {
    return data_error("these bytes are not a recipe (no \"MORR\" in front)", StatusCode::wrong_format);
  }
  flatbuffers::Verifier verifier(begin, bytes.size());
  if (!fb::VerifyRecipeBuffer(verifier)) return data_error("the recipe is damaged", StatusCode::corrupt);
  Reader reader;
  Recipe recipe = reader.read(*fb::GetRecipe(begin));
  if (reader.unknown()) {
    return data_error(
        "the recipe uses a choice that this version does not know\n  hint: it was written by a later version, or "
        "is damaged",
        StatusCode::unsupported_version);
  }
  MORU_RETURN_IF_ERROR(check_recipe(recipe));
  return recipe;
}

}  // namespace moru
