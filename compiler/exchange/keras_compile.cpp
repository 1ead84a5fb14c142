#include "compiler/exchange/keras_compile.h"

#include <algorithm>
#include <cctype>

#include "compiler/exchange/keras_values.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"

namespace moru {
namespace {

struct ClassName {
  std::string_view name, keras;
};
// Where it is not the op's name in camel case.
const ClassName class_names[] = {
    {"adamw", "AdamW"},
    {"rmsprop", "RMSprop"},
    {"sgd", "SGD"},
    {"auc", "AUC"},
    {"binary_iou", "BinaryIoU"},
    {"ctc", "CTC"},
    {"fbeta_score", "FBetaScore"},
    {"iou", "IoU"},
    {"kl_divergence", "KLDivergence"},
    {"mean_iou", "MeanIoU"},
    {"one_hot_iou", "OneHotIoU"},
    {"one_hot_mean_iou", "OneHotMeanIoU"},
    {"metric_accuracy_binary", "BinaryAccuracy"},
    {"metric_accuracy_categorical", "CategoricalAccuracy"},
    {"metric_accuracy_sparse_categorical", "SparseCategoricalAccuracy"},
    {"metric_log_cosh", "LogCoshError"},
    {"metric_mae", "MeanAbsoluteError"},
    {"metric_mse", "MeanSquaredError"},
    {"metric_r2", "R2Score"},
    {"metric_rmse", "RootMeanSquaredError"},
};

std::string class_name_of(std::string_view name) {
  constexpr std::string_view metric = "metric_";
  for (const ClassName& known : class_names)
    if (known.name == name) return std::string(known.keras);
  if (name.starts_with(metric)) return class_name_of(name.substr(metric.size()));
  std::string text;
  bool first = true;
  for (const char c : name) {
    if (c != '_') text += first ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    first = c == '_';
  }
  return text;
}

// The arguments of an op, defaults included.
void add_arguments(Json& config, const Op& op, const Attributes& given) {
  const Attributes all = check_attributes(op, given, op.name);
  for (const AttributeSpec& spec : op.attributes) {
    if (spec.internal) continue;
    const AttributeValue* value = all.find(spec.name);
    config[std::string(spec.name)] = value == nullptr ? Json() : export_value(*value, spec);
  }
}

Json export_optimizer(const TrainingSpec& training) {
  const Op& op = get_op(optimizer_op_for(training.optimizer.op));
  const std::string name(op.name.substr(0, op.name.find("_update")));
  Json config = Json::object();
  config["name"] = name;
  add_arguments(config, op, training.optimizer.attributes);
  if (!training.schedule.op.empty()) {
    const Op& schedule = get_op(schedule_op_for(training.schedule.op));
    Json arguments = Json::object();
    add_arguments(arguments, schedule, training.schedule.attributes);
    config["learning_rate"] =
        keras_object("keras.optimizers.schedules", class_name_of(schedule.name), std::move(arguments));
  }
  Json optimizer = keras_object("keras.optimizers", class_name_of(name), std::move(config));
  if (!training.loss_scale) return optimizer;
  Json scaling = Json::object();
  scaling["name"] = "loss_scale_optimizer";
  scaling["inner_optimizer"] = std::move(optimizer);
  scaling["initial_scale"] = training.loss_scale->initial_scale;
  scaling["dynamic_growth_steps"] = training.loss_scale->dynamic_growth_steps;
  return keras_object("keras.optimizers", "LossScaleOptimizer", std::move(scaling));
}

Json export_loss(const OpSpec& loss) {
  if (loss.op.empty()) return nullptr;
  const Op& op = get_op(loss_op_for(loss.op));
  if (loss.attributes.entries().empty()) return std::string(op.name);
  Json config = Json::object();
  config["name"] = std::string(op.name);
  for (const AttributeSpec& spec : op.attributes)
    if (const AttributeValue* value = loss.attributes.find(spec.name)) config[std::string(spec.name)] = export_value(*value, spec);
  return keras_object("keras.losses", class_name_of(op.name), std::move(config));
}

// Losses that Keras does not count among its metrics.
bool is_keras_metric(std::string_view op) {
  constexpr std::string_view none[] = {"metric_mean", "metric_huber", "metric_binary_focal_crossentropy",
                                       "metric_categorical_focal_crossentropy",
                                       "metric_categorical_generalized_cross_entropy", "metric_dice", "metric_tversky",
                                       "metric_circle", "metric_ctc"};
  return std::find(std::begin(none), std::end(none), op) == std::end(none);
}

// The metrics of each output whose `weighted` is as asked; null where there are none.
Json export_metrics(const TrainingSpec& training, bool weighted) {
  Json outputs = Json::array();
  bool any = false;
  for (const std::vector<OpSpec>& metrics : training.metrics) {
    Json list = Json::array();
    for (const OpSpec& metric : metrics) {
      if (metric.weighted != weighted) continue;
      const bool by_shapes = metric.op == "accuracy" || metric.op == "acc";
      const std::string op_name = by_shapes ? std::string() : metric_op_for(metric.op, {}, {});
      if (!by_shapes && !is_keras_metric(op_name)) continue;
      any = true;
      if (by_shapes) {
        list.push_back(metric.op);
        continue;
      }
      Json config = Json::object();
      config["name"] = metric.key.empty() ? snake_case(metric.op) : metric.key;
      for (const AttributeSpec& spec : get_op(op_name).attributes)
        if (const AttributeValue* value = metric.attributes.find(spec.name))
          config[std::string(spec.name)] = export_value(*value, spec);
      list.push_back(keras_object("keras.metrics", class_name_of(op_name), std::move(config)));
    }
    outputs.push_back(std::move(list));
  }
  if (!any) return nullptr;
  return outputs.size() == 1 ? outputs[0] : outputs;
}

}  // namespace

std::string export_compile_config(const TrainingSpec& training) {
  Json losses = Json::array();
  for (const OpSpec& loss : training.losses) losses.push_back(export_loss(loss));
  const bool weighted = std::any_of(training.loss_weights.begin(), training.loss_weights.end(),
                                    [](double weight) { return weight != 1.0; });
  Json config = Json::object();
  config["optimizer"] = export_optimizer(training);
  config["loss"] = losses.size() == 1 ? losses[0] : losses;
  config["loss_weights"] = weighted ? Json(training.loss_weights) : Json();
  config["metrics"] = export_metrics(training, false);
  config["weighted_metrics"] = export_metrics(training, true);
  config["run_eagerly"] = false;
  config["steps_per_execution"] = 1;
  config["jit_compile"] = false;
  return print_json(config);
}

}  // namespace moru
