// "fit" of a recipe: optimizer, losses, metrics, epochs, callbacks.
#include <algorithm>
#include <set>

#include "compiler/ops/names.h"
#include "compiler/support/error.h"
#include "runtime/data/encode.h"
#include "runtime/data/keras_names.h"
#include "runtime/data/wording.h"
#include "tools/recipe/op_arguments.h"
#include "tools/recipe/recipe_sections.h"

namespace moru::recipe_json {
namespace {

// Runs `body`, and makes a fault at `value` of what the compiler complains about.
template <typename Body>
decltype(auto) checked(const Value& value, std::string_view op, Body body) {
  try {
    return body();
  } catch (const CompileError& error) {
    value.fail(error.parts().what,
               error.parts().hint.empty() ? "`moru ops " + std::string(op) + "` says what it takes" : error.parts().hint);
  }
}

// The arguments of `op` that the object gives and nobody has read yet, as JSON; "" for none.
std::string read_arguments(Object& object, const Op& op, std::initializer_list<std::string_view> without = {}) {
  Json arguments = Json::object();
  for (const AttributeSpec& spec : op.attributes) {
    const std::string name(spec.name);
    if (std::find(without.begin(), without.end(), spec.name) != without.end() || object.has_read(name.c_str())) continue;
    if (const auto given = object.find(name.c_str()); given && !given->json().is_null()) {
      checked(*given, op.name, [&] { return parse_arguments(op, Json{{name, given->json()}}.dump(), {}, true); });
      arguments[name] = given->json();
    }
  }
  return arguments.empty() ? std::string() : arguments.dump();
}

// A learning rate schedule {"name": "CosineDecay", ...}: the JSON of its name and arguments.
Json read_schedule(const Value& value) {
  Object object(value, "a schedule's \"name\" and its arguments");
  const Value name = object.need("name", "name the schedule, such as \"CosineDecay\"");
  const Op& op = checked(name, "", [&]() -> const Op& { return get_op(schedule_op_for(name.text())); });
  const std::string arguments = read_arguments(object, op);
  object.close();
  checked(value, op.name, [&] { return parse_arguments(op, arguments, {}); });
  Json schedule = {{"name", name.text()}};
  if (!arguments.empty()) schedule.update(Json::parse(arguments));
  return schedule;
}

// Keras' LossScaleOptimizer is an optimizer around another one.
OptimizerRecipe read_loss_scale(const Value& value);

OptimizerRecipe read_optimizer(const Value& value) {
  if (value.is_object() && value.json().contains("inner_optimizer")) return read_loss_scale(value);
  const auto make = [](const Value& name) {
    std::optional<OptimizerRecipe> optimizer = make_optimizer_recipe(name.text());
    if (!optimizer)
      name.fail("'" + name.text() + "' is not an optimizer",
                suggest_name(name.text(), optimizer_names(), "optimizers"));
    return *optimizer;
  };
  if (value.is_text()) return make(value);
  Object object(value, "an optimizer's name or an object with \"name\"");
  OptimizerRecipe optimizer = make(object.need("name", "name the optimizer, such as \"adam\""));
  // Only the hyperparameters that this optimizer has are asked for; close() names the others.
  const auto read = [&](const char* name, auto& to) {
    if (optimizer_has(optimizer.name, name)) object.read(name, to);
  };
  Json arguments = Json::object();
  if (const auto rate = object.find("learning_rate"); rate && rate->is_object())
    arguments["learning_rate"] = read_schedule(*rate);
  else if (rate)
    optimizer.learning_rate = rate->number();
  read("momentum", optimizer.momentum);
  read("nesterov", optimizer.nesterov);
  read("rho", optimizer.rho);
  read("centered", optimizer.centered);
  read("beta_1", optimizer.beta_1);
  read("beta_2", optimizer.beta_2);
  read("epsilon", optimizer.epsilon);
  read("amsgrad", optimizer.amsgrad);
  read("initial_accumulator_value", optimizer.initial_accumulator_value);
  read("weight_decay", optimizer.weight_decay);
  read("clipnorm", optimizer.clipnorm);
  read("global_clipnorm", optimizer.global_clipnorm);
  read("clipvalue", optimizer.clipvalue);
  const std::string others = read_arguments(object, get_op(optimizer_op_for(optimizer.name)), {"use_adamw"});
  if (!others.empty()) arguments.update(Json::parse(others));
  object.close();
  if (!arguments.empty()) optimizer.arguments = arguments.dump();
  return optimizer;
}

OptimizerRecipe read_loss_scale(const Value& value) {
  Object object(value, "a LossScaleOptimizer with \"inner_optimizer\"");
  if (const Value name = object.need("name", "it is \"LossScaleOptimizer\""); name.text() != "LossScaleOptimizer")
    name.fail("'" + name.text() + "' takes no inner_optimizer", "name it \"LossScaleOptimizer\"");
  OptimizerRecipe optimizer = read_optimizer(object.need("inner_optimizer", "give the optimizer whose loss is scaled"));
  Json scale = {{"initial_scale", 32768.0}, {"dynamic_growth_steps", 2000}};
  if (const auto given = object.find("initial_scale")) {
    if (given->number() <= 0) given->fail("must be above 0", "leave it out for 32768");
    scale["initial_scale"] = given->number();
  }
  if (const auto given = object.find("dynamic_growth_steps")) {
    if (given->integer() < 1) given->fail("must be at least 1", "leave it out for 2000");
    scale["dynamic_growth_steps"] = given->integer();
  }
  object.close();
  Json arguments = optimizer.arguments.empty() ? Json::object() : Json::parse(optimizer.arguments);
  arguments["loss_scale"] = scale;
  optimizer.arguments = arguments.dump();
  return optimizer;
}

LossRecipe read_loss(const Value& value, const std::string& output) {
  LossRecipe loss;
  loss.output = output;
  const auto take_name = [&](const Value& name) {
    const std::optional<std::string> found = find_loss_name(name.text());
    if (!found) name.fail("'" + name.text() + "' is not a loss", suggest_name(name.text(), loss_names(), "losses"));
    loss.name = *found;
  };
  if (value.is_text()) {
    take_name(value);
    return loss;
  }
  Object object(value, "a loss' name or an object with \"name\"");
  take_name(object.need("name", "name the loss, such as \"mean_squared_error\""));
  const Op& op = get_op(loss_op_for(loss.name));
  const auto has = [&](std::string_view name) {
    return std::any_of(op.attributes.begin(), op.attributes.end(), [&](const AttributeSpec& s) { return s.name == name; });
  };
  if (has("from_logits")) object.read("from_logits", loss.from_logits);
  if (has("label_smoothing")) object.read("label_smoothing", loss.label_smoothing);
  if (has("delta")) object.read("delta", loss.delta);
  loss.arguments = read_arguments(object, op);
  object.close();
  return loss;
}

std::vector<std::string> output_names(const DataRecipe& data) {
  std::vector<std::string> names;
  for (const TargetRecipe& target : data.targets) names.push_back(target.name);
  return names;
}

/// The target of this output; the only one also goes by the name of its column.
std::optional<std::size_t> find_target(const DataRecipe& data, const std::string& output) {
  for (std::size_t i = 0; i < data.targets.size(); ++i)
    if (data.targets[i].name == output) return i;
  const bool is_column = data.targets.size() == 1 && data.targets[0].columns.size() == 1 && data.targets[0].columns[0].column == output;
  return is_column ? std::optional<std::size_t>(0) : std::nullopt;
}

std::size_t need_target(const Value& value, const std::string& output, const DataRecipe& data) {
  if (const std::optional<std::size_t> found = find_target(data, output)) return *found;
  if (output.empty()) value.fail("does not say of which output", "write it by output: {\"" + data.targets[0].name + "\": ...}");
  value.fail("there is no target '" + output + "'",
             data.targets[0].name.empty() ? "\"target\" is a single one; for several outputs write \"targets\": {\"" + output + "\": ..., ...}"
                                          : suggest_name(output, output_names(data), "targets"));
}

// Keras takes losses and metrics by output even where there is only one. Where "target" left that one without a name, it
// gets the name that all of them give it.
void name_target(const Value& fit, DataRecipe& data) {
  if (data.targets.size() != 1 || !data.targets[0].name.empty() || !fit.is_object()) return;
  std::set<std::string> names;
  for (const char* key : {"loss", "loss_weights", "metrics", "weighted_metrics"}) {
    const auto given = fit.json().find(key);
    if (given == fit.json().end() || !given->is_object() || given->contains("name")) continue;
    for (const auto& [name, ignored] : given->items()) names.insert(name);
  }
  if (data.targets[0].columns.size() == 1) names.erase(data.targets[0].columns[0].column);
  if (names.size() == 1) data.targets[0].name = *names.begin();
}

/// Something given once per output: by name, as a list in the order of the targets, or alone where there is one.
template <typename Use>
void for_each_output(const Value& value, const DataRecipe& data, bool object_is_single, const char* what, Use use) {
  const std::vector<std::string> outputs = output_names(data);
  if (value.is_array()) {
    const std::vector<Value> values = value.elements("a list");
    if (values.size() != outputs.size()) {
      value.fail(std::to_string(values.size()) + " " + what + " for " + std::to_string(outputs.size()) + " targets",
                 "give one per target, in their order");
    }
    for (std::size_t i = 0; i < values.size(); ++i) use(values[i], i);
    return;
  }
  if (value.is_object() && !object_is_single) {
    std::vector<bool> given(outputs.size(), false);
    for (const auto& [name, member] : value.members("an object by output")) {
      const std::size_t position = need_target(member, name, data);
      given[position] = true;
      use(member, position);
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!given[i]) value.fail("says nothing about the target '" + outputs[i] + "'", "give every target one");
    }
    return;
  }
  if (outputs.size() != 1)
    value.fail("is one for " + std::to_string(outputs.size()) + " targets",
               "give one per target: {\"" + outputs[0] + "\": ..., ...}");
  use(value, 0);
}

std::vector<LossRecipe> read_losses(const Value& value, const DataRecipe& data) {
  std::vector<LossRecipe> losses(data.targets.size());
  const bool single = value.is_object() && value.json().contains("name");
  for_each_output(value, data, single, "losses",
                  [&](const Value& one, std::size_t i) { losses[i] = read_loss(one, data.targets[i].name); });
  return losses;
}

MetricRecipe read_metric(const Value& value, const std::string& default_output, const DataRecipe& data,
                         const FitRecipe& fit, bool weighted) {
  MetricRecipe metric;
  metric.output = default_output;
  metric.weighted = weighted;
  std::optional<Object> object;
  std::string given;
  if (value.is_text()) {
    given = value.text();
  } else {
    object.emplace(value, "a metric's name or an object with \"name\"");
    given = object->need("name", "name the metric, such as \"mean_absolute_error\"").text();
    object->read("output", metric.output);
    object->read("label", metric.label);
  }
  const std::optional<std::string> found = find_metric_name(given);
  if (!found) value.fail("'" + given + "' is not a metric", suggest_name(given, metric_names(), "metrics"));
  const std::size_t position = need_target(value, metric.output, data);
  metric.output = data.targets[position].name;
  metric.name = *found != "accuracy"
                    ? *found
                    : resolve_accuracy(fit.losses[position].name, data.targets[position].columns.size());
  if (object) {
    if (metric.name == "binary_accuracy") object->read("threshold", metric.threshold);
    const Op& op = get_op(metric_op_for(metric.name, {}, {}));
    if (std::any_of(op.attributes.begin(), op.attributes.end(), [](const AttributeSpec& s) { return s.name == "from_logits"; }))
      object->read("from_logits", metric.from_logits);
    metric.arguments = read_arguments(*object, op);
    object->close();
  }
  if (metric.label.empty()) metric.label = given;
  return metric;
}

std::vector<MetricRecipe> read_metrics(const Value& value, const DataRecipe& data, const FitRecipe& fit,
                                       bool weighted) {
  std::vector<MetricRecipe> metrics;
  const auto read_all = [&](const Value& list, const std::string& output) {
    if (!list.is_array()) {
      metrics.push_back(read_metric(list, output, data, fit, weighted));
      return;
    }
    for (const Value& one : list.elements("a list of metrics"))
      metrics.push_back(read_metric(one, output, data, fit, weighted));
  };
  const bool by_output = value.is_object() && !value.json().contains("name");
  if (!by_output) {
    read_all(value, data.targets.size() == 1 ? data.targets[0].name : std::string());
    return metrics;
  }
  for (const auto& [output, member] : value.members("metrics by output")) read_all(member, output);
  return metrics;
}

/// Of several metrics of one name, Keras calls the second name_1, and a weighted one weighted_name.
void tell_apart(std::vector<MetricRecipe>& metrics) {
  std::set<std::pair<std::string, std::string>> taken;
  for (MetricRecipe& metric : metrics) {
    std::string label = metric.label;
    if (metric.weighted && taken.count({metric.output, label})) label = "weighted_" + label;
    metric.label = label;
    for (int i = 1; !taken.emplace(metric.output, metric.label).second; ++i) metric.label = label + "_" + std::to_string(i);
  }
}

std::vector<ClassWeight> read_class_weight(const Value& value, const DataRecipe& data) {
  std::vector<ClassWeight> weights;
  const bool one_column = data.targets.size() == 1 && data.targets[0].columns.size() == 1;
  const std::vector<std::string> categories =
      one_column ? data.targets[0].columns[0].categories : std::vector<std::string>();
  for (const auto& [name, member] : value.members("an object of weights by class, such as {\"0\": 1, \"1\": 2}")) {
    ClassWeight weight;
    weight.weight = member.number();
    const auto category = std::find(categories.begin(), categories.end(), name);
    const std::optional<double> label = parse_number(name);
    if (category != categories.end()) {
      weight.label = category - categories.begin();
    } else if (label && *label >= 0 && *label < 1e9 && *label == static_cast<double>(static_cast<int64_t>(*label))) {
      weight.label = static_cast<int64_t>(*label);
    } else {
      member.fail("'" + name + "' is not a class",
                  categories.empty() ? "classes are 0, 1, 2, ..., or the target's categories if the recipe lists them"
                                     : suggest_name(name, categories, "categories"));
    }
    weights.push_back(weight);
  }
  return weights;
}

MonitorMode read_mode(const Value& value) {
  return value.choice<MonitorMode>(
      {{"auto", MonitorMode::automatic}, {"min", MonitorMode::min}, {"max", MonitorMode::max}});
}

// The rates of all epochs, by a schedule whose step is the epoch.
EpochRatesRecipe read_rates(const Value& value, const FitRecipe& fit) {
  if (fit.optimizer.arguments.find("\"learning_rate\"") != std::string::npos)
    value.fail("the optimizer's learning rate has a schedule already", "keep one of the two");
  const Json schedule = read_schedule(value);
  Json arguments = schedule;
  arguments.erase("name");
  const Op& op = get_op(schedule_op_for(schedule["name"].get<std::string>()));
  const Attributes attributes = check_attributes(op, parse_arguments(op, arguments.dump(), {}), {});
  EpochRatesRecipe rates{schedule.dump(), {}};
  for (int64_t epoch = 0; epoch < fit.epochs; ++epoch) {
    const HostTensor step = make_tensor(DType::i64, {}, static_cast<double>(epoch));
    rates.rates.push_back(op.reference({&step, 1}, attributes).at(0).data.at(0));
  }
  return rates;
}

void read_callbacks(const Value& value, FitRecipe& fit) {
  Object callbacks(value, "an object with \"early_stopping\", \"model_checkpoint\" or another callback");
  // Without validation data, Keras' default monitor "val_loss" would never be measured.
  const std::string monitored = fit.validation == ValidationFrom::none ? "loss" : "val_loss";
  if (const auto given = callbacks.find("early_stopping")) {
    Object object(*given, "an object with \"monitor\" and \"patience\"");
    EarlyStoppingRecipe stopping;
    stopping.monitor = monitored;
    object.read("monitor", stopping.monitor);
    object.read("patience", stopping.patience);
    object.read("min_delta", stopping.min_delta);
    if (const auto mode = object.find("mode")) stopping.mode = read_mode(*mode);
    object.read("baseline", stopping.baseline);
    object.read("start_from_epoch", stopping.start_from_epoch);
    object.read("restore_best_weights", stopping.restore_best_weights);
    object.close();
    fit.early_stopping = stopping;
  }
  if (const auto given = callbacks.find("model_checkpoint")) {
    Object object(*given, "an object with \"monitor\" and \"save_best_only\"");
    ModelCheckpointRecipe checkpoint;
    checkpoint.monitor = monitored;
    object.read("monitor", checkpoint.monitor);
    if (const auto mode = object.find("mode")) checkpoint.mode = read_mode(*mode);
    object.read("save_best_only", checkpoint.save_best_only);
    object.close();
    fit.model_checkpoint = checkpoint;
  }
  if (const auto given = callbacks.find("reduce_lr_on_plateau")) {
    Object object(*given, "an object with \"monitor\" and \"factor\"");
    ReduceOnPlateauRecipe plateau;
    plateau.monitor = monitored;
    object.read("monitor", plateau.monitor);
    object.read("factor", plateau.factor);
    object.read("patience", plateau.patience);
    if (const auto mode = object.find("mode")) plateau.mode = read_mode(*mode);
    object.read("min_delta", plateau.min_delta);
    object.read("cooldown", plateau.cooldown);
    object.read("min_lr", plateau.min_lr);
    object.close();
    fit.reduce_lr_on_plateau = plateau;
  }
  if (const auto given = callbacks.find("learning_rate_scheduler")) fit.learning_rate_scheduler = read_rates(*given, fit);
  if (const auto given = callbacks.find("csv_logger")) {
    Object object(*given, "an object with \"filename\"");
    CsvLoggerRecipe logger;
    object.read("filename", logger.filename);
    object.read("separator", logger.separator);
    object.read("append", logger.append);
    object.close();
    fit.csv_logger = logger;
  }
  // A run always stops at a loss that is not finite, and always leaves checkpoints to resume from.
  if (const auto given = callbacks.find("terminate_on_nan"); given && !given->boolean())
    given->fail("a run stops at a loss that is not finite", "leave it out");
  if (const auto given = callbacks.find("backup_and_restore")) {
    Object object(*given, "an object, perhaps with \"save_freq\"");
    if (const auto frequency = object.find("save_freq"); frequency && !(frequency->is_text() && frequency->text() == "epoch"))
      fit.checkpoint_every_steps = frequency->integer();
    object.close();
  }
  callbacks.close();
}

}  // namespace

FitRecipe read_fit(const Value& value, DataRecipe& data) {
  name_target(value, data);
  Object object(value, "an object with \"optimizer\", \"loss\" and \"epochs\"");
  FitRecipe fit;
  if (const auto optimizer = object.find("optimizer")) fit.optimizer = read_optimizer(*optimizer);
  fit.losses = read_losses(object.need("loss", "name the loss, such as \"mean_squared_error\""), data);
  if (const auto weights = object.find("loss_weights")) {
    for_each_output(*weights, data, false, "loss weights",
                    [&](const Value& one, std::size_t i) { fit.losses[i].weight = one.number(); });
  }
  if (const auto metrics = object.find("metrics")) fit.metrics = read_metrics(*metrics, data, fit, false);
  if (const auto metrics = object.find("weighted_metrics"))
    for (MetricRecipe& metric : read_metrics(*metrics, data, fit, true)) fit.metrics.push_back(std::move(metric));
  tell_apart(fit.metrics);
  object.read("epochs", fit.epochs);
  object.read("batch_size", fit.batch_size);
  object.read("shuffle", fit.shuffle);
  if (const auto seed = object.find("seed")) fit.seed = seed->seed();
  const bool has_part =
      data.split.kind == SplitKind::column ? !data.split.validation_values.empty() : data.split.validation > 0;
  fit.validation = has_part ? ValidationFrom::data_split : ValidationFrom::none;
  if (const auto split = object.find("validation_split")) {
    if (has_part) split->fail("\"data.split\" has a validation part already", "keep one of the two");
    fit.validation_split = split->number();
    if (fit.validation_split != 0) fit.validation = ValidationFrom::last_of_training;
  }
  object.read("steps_per_epoch", fit.steps_per_epoch);
  object.read("initial_epoch", fit.initial_epoch);
  object.read("validation_freq", fit.validation_freq);
  if (const auto frozen = object.find("freeze")) fit.frozen = frozen->texts();
  if (const auto weights = object.find("class_weight")) fit.class_weight = read_class_weight(*weights, data);
  object.read("checkpoint_every_steps", fit.checkpoint_every_steps);
  if (const auto callbacks = object.find("callbacks")) read_callbacks(*callbacks, fit);
  object.close();
  return fit;
}

}  // namespace moru::recipe_json
