// "fit" of a recipe: optimizer, losses, metrics, epochs, callbacks.
#include <algorithm>

#include "runtime/data/encode.h"
#include "runtime/data/keras_names.h"
#include "runtime/data/wording.h"
#include "tools/recipe/recipe_sections.h"

namespace moru::recipe_json {
namespace {

OptimizerRecipe read_optimizer(const Value& value) {
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
  read("learning_rate", optimizer.learning_rate);
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
  object.close();
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
  if (loss.name.find("crossentropy") != std::string::npos) {
    object.read("from_logits", loss.from_logits);
    object.read("label_smoothing", loss.label_smoothing);
  }
  if (loss.name == "huber") object.read("delta", loss.delta);
  object.close();
  return loss;
}

std::vector<std::string> output_names(const DataRecipe& data) {
  std::vector<std::string> names;
  for (const TargetRecipe& target : data.targets) names.push_back(target.name);
  return names;
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
      const auto found = std::find(outputs.begin(), outputs.end(), name);
      if (found == outputs.end())
        member.fail("there is no target '" + name + "'", suggest_name(name, outputs, "targets"));
      const auto position = static_cast<std::size_t>(found - outputs.begin());
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
                         const FitRecipe& fit) {
  MetricRecipe metric;
  metric.output = default_output;
  std::string given;
  if (value.is_text()) {
    given = value.text();
  } else {
    Object object(value, "a metric's name or an object with \"name\"");
    given = object.need("name", "name the metric, such as \"mean_absolute_error\"").text();
    object.read("output", metric.output);
    object.read("label", metric.label);
    object.read("threshold", metric.threshold);
    object.read("from_logits", metric.from_logits);
    object.close();
  }
  const std::optional<std::string> found = find_metric_name(given);
  if (!found) value.fail("'" + given + "' is not a metric", suggest_name(given, metric_names(), "metrics"));
  const std::vector<std::string> outputs = output_names(data);
  const auto output = std::find(outputs.begin(), outputs.end(), metric.output);
  if (output == outputs.end()) {
    value.fail(metric.output.empty() ? "does not say of which output" : "there is no target '" + metric.output + "'",
               "write \"metrics\" by output: {\"" + outputs[0] + "\": [\"" + given + "\"]}");
  }
  const auto position = static_cast<std::size_t>(output - outputs.begin());
  metric.name = *found != "accuracy"
                    ? *found
                    : resolve_accuracy(fit.losses[position].name, data.targets[position].columns.size());
  if (metric.label.empty()) metric.label = given;
  return metric;
}

std::vector<MetricRecipe> read_metrics(const Value& value, const DataRecipe& data, const FitRecipe& fit) {
  std::vector<MetricRecipe> metrics;
  const auto read_all = [&](const Value& list, const std::string& output) {
    if (!list.is_array()) {
      metrics.push_back(read_metric(list, output, data, fit));
      return;
    }
    for (const Value& one : list.elements("a list of metrics")) metrics.push_back(read_metric(one, output, data, fit));
  };
  const bool by_output = value.is_object() && !value.json().contains("name");
  if (!by_output) {
    read_all(value, data.targets.size() == 1 ? data.targets[0].name : std::string());
    return metrics;
  }
  for (const auto& [output, member] : value.members("metrics by output")) read_all(member, output);
  return metrics;
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

void read_callbacks(const Value& value, FitRecipe& fit) {
  Object callbacks(value, "an object with \"early_stopping\" or \"model_checkpoint\"");
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
  callbacks.close();
}

}  // namespace

FitRecipe read_fit(const Value& value, const DataRecipe& data) {
  Object object(value, "an object with \"optimizer\", \"loss\" and \"epochs\"");
  FitRecipe fit;
  if (const auto optimizer = object.find("optimizer")) fit.optimizer = read_optimizer(*optimizer);
  fit.losses = read_losses(object.need("loss", "name the loss, such as \"mean_squared_error\""), data);
  if (const auto weights = object.find("loss_weights")) {
    for_each_output(*weights, data, false, "loss weights",
                    [&](const Value& one, std::size_t i) { fit.losses[i].weight = one.number(); });
  }
  if (const auto metrics = object.find("metrics")) fit.metrics = read_metrics(*metrics, data, fit);
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
  if (const auto weights = object.find("class_weight")) fit.class_weight = read_class_weight(*weights, data);
  if (const auto callbacks = object.find("callbacks")) read_callbacks(*callbacks, fit);
  object.read("checkpoint_every_steps", fit.checkpoint_every_steps);
  object.close();
  return fit;
}

}  // namespace moru::recipe_json
