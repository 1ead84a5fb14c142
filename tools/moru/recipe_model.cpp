#include "tools/moru/recipe_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compiler/model/infer_model.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"
#include "runtime/data/keras_names.h"
#include "tools/recipe/op_arguments.h"

namespace moru {
namespace {

constexpr std::string_view scaler_suffix = "_scaler";

[[noreturn]] void refuse(std::string what, std::string detail, std::string hint) {
  throw CompileError(
      {.stage = "recipe", .what = std::move(what), .detail = std::move(detail), .hint = std::move(hint)});
}

/// The position of `name` among the model's, an empty name meaning the only one. Throws where there is none.
size_t position_of(const std::string& name, const std::vector<std::string>& names, const char* what) {
  if (name.empty() && names.size() == 1) return 0;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  if (name.empty())
    refuse("the recipe does not say which " + std::string(what) + " of the model it means", {},
           "name one of " + quoted_list(names));
  refuse("the recipe has an " + std::string(what) + " '" + name + "', which the model lacks", {},
         "the model's " + std::string(what) + "s are " + quoted_list(names));
}

void merge(Attributes& attributes, const Attributes& more) {
  for (const auto& [name, value] : more.entries()) attributes.set(name, value);
}

// What an optimizer's arguments say beside its own: {"learning_rate": {"name": schedule, ...}, "loss_scale": {...}}.
void take_arguments(const OptimizerRecipe& recipe, TrainingSpec& spec) {
  if (recipe.arguments.empty()) return;
  nlohmann::ordered_json arguments = nlohmann::ordered_json::parse(recipe.arguments);
  if (const auto rate = arguments.find("learning_rate"); rate != arguments.end()) {
    nlohmann::ordered_json schedule = *rate;
    spec.schedule.op = schedule_op_for(schedule.at("name").get<std::string>());
    schedule.erase("name");
    spec.schedule.attributes = parse_arguments(get_op(spec.schedule.op), schedule.dump(), "learning rate schedule");
    arguments.erase("learning_rate");
  }
  if (const auto scale = arguments.find("loss_scale"); scale != arguments.end()) {
    spec.loss_scale = LossScale{scale->at("initial_scale").get<double>(), scale->at("dynamic_growth_steps").get<int64_t>()};
    arguments.erase("loss_scale");
  }
  const Op& op = get_op(optimizer_op_for(recipe.name));
  merge(spec.optimizer.attributes, parse_arguments(op, arguments.dump(), "optimizer " + recipe.name));
}

OpSpec optimizer_spec(const OptimizerRecipe& recipe) {
  OpSpec spec{.op = recipe.name, .attributes = {{"learning_rate", recipe.learning_rate}}};
  const auto set = [&](const char* name, AttributeValue value) {
    if (optimizer_has(recipe.name, name)) spec.attributes.set(name, std::move(value));
  };
  set("momentum", recipe.momentum);
  set("nesterov", recipe.nesterov);
  set("rho", recipe.rho);
  set("centered", recipe.centered);
  set("beta_1", recipe.beta_1);
  set("beta_2", recipe.beta_2);
  set("epsilon", recipe.epsilon);
  set("amsgrad", recipe.amsgrad);
  set("initial_accumulator_value", recipe.initial_accumulator_value);
  if (recipe.weight_decay > 0 || recipe.name == "adamw" || recipe.name == "muon") spec.attributes.set("weight_decay", recipe.weight_decay);
  if (recipe.clipnorm) spec.attributes.set("clipnorm", *recipe.clipnorm);
  if (recipe.global_clipnorm) spec.attributes.set("global_clipnorm", *recipe.global_clipnorm);
  if (recipe.clipvalue) spec.attributes.set("clipvalue", *recipe.clipvalue);
  return spec;
}

template <typename Group>
bool has_scaler(const Group& group) {
  return group.scaler != ScalerKind::none ||
         std::any_of(group.columns.begin(), group.columns.end(),
                     [](const ColumnRecipe& c) { return c.scaler != ScalerKind::none; });
}

Layer* find_model_layer(Model& model, const std::string& name) {
  for (Layer& layer : model.layers)
    if (layer.name == name) return &layer;
  return nullptr;
}

/// Adds the layer and its call right behind node `after` and its layer; the numbers of later ones move up by one.
TensorRef insert_scaler(Model& model, const std::string& name, TensorRef from, uint32_t after, bool invert) {
  const Type type = model.type(from);
  Layer layer{.name = name, .class_name = "Normalization"};
  layer.attributes = {{"invert", invert}};
  // Without an axis of features there is one mean and one variance.
  layer.attributes.set("axis", type.shape.size() < 2 ? AttributeValue() : AttributeValue(std::vector<int64_t>{-1}));
  layer.attributes = check_attributes(get_op("normalization"), layer.attributes, name);
  layer.trainable = false;
  LayerTypes inferred = infer_layer(layer, name, std::span<const Type>(&type, 1));
  layer.parameters = make_parameters(inferred.parameters, layer);
  for (Parameter& parameter : layer.parameters) {
    size_t elements = 1;
    for (int64_t extent : parameter.shape) elements *= static_cast<size_t>(extent);
    parameter.data.assign(elements, parameter.name == "variance" ? 1.0f : 0.0f);
  }
  // Layers stand in the order of their calls, by which a Sequential model is written.
  const uint32_t layer_place = model.nodes[after].layer + 1;
  for (ModelNode& other : model.nodes)
    if (other.layer >= layer_place) ++other.layer;
  model.layers.insert(model.layers.begin() + layer_place, std::move(layer));
  ModelNode node{.layer = layer_place, .inputs = {from}, .outputs = inferred.outputs, .name = name};
  const uint32_t place = after + 1;
  const auto move_up = [&](TensorRef& ref) {
    if (ref.node >= place) ++ref.node;
  };
  for (ModelNode& other : model.nodes) {
    for (TensorRef& ref : other.inputs) move_up(ref);
    for (KeywordTensor& keyword : other.keywords)
      if (keyword.tensor) move_up(*keyword.tensor);
  }
  for (TensorRef& ref : model.inputs) move_up(ref);
  for (TensorRef& ref : model.outputs) move_up(ref);
  model.nodes.insert(model.nodes.begin() + place, std::move(node));
  return {place, 0};
}

/// True if the scaler is there already: as a layer, or as the operators that an exported one became.
bool has_scaler_layer(Model& model, const std::string& name, bool training) {
  const Layer* layer = find_model_layer(model, name);
  if (!layer) return false;
  if (layer->body && training)
    refuse("the scaler '" + name + "' has become plain operators, by which a loss cannot be scaled", {},
           "train and evaluate the .moru that this file was made from; it predicts as it is");
  if (layer->class_name != "Normalization" && !layer->body)
    refuse(
        "the recipe's scaler needs the layer name '" + name + "', which a " + layer->class_name + " of the model has",
        {}, "rename that layer");
  return true;
}

std::string sample_text(const Type& type) { return shape_text(Shape(type.shape.begin() + 1, type.shape.end())); }

bool fits(const Shape& wanted, const std::vector<int64_t>& sizes) {
  if (wanted.size() != sizes.size()) return false;
  for (size_t i = 0; i < sizes.size(); ++i)
    if (wanted[i].is_constant() && wanted[i].constant() != sizes[i]) return false;
  return true;
}

std::string columns_text(const DatasetArray& array) {
  if (array.features.empty()) return {};
  std::string text =
      "its " + std::to_string(array.features.size()) + (array.features.size() == 1 ? " column is " : " columns are ");
  constexpr size_t most = 24;
  for (size_t i = 0; i < std::min(array.features.size(), most); ++i) text += (i == 0 ? "" : ", ") + array.features[i];
  return text + (array.features.size() > most ? ", ..." : "");
}

}  // namespace

Shape without_trailing_ones(Shape shape) {
  while (!shape.empty() && shape.back().is_constant(1)) shape.pop_back();
  return shape;
}

TrainingSpec make_training_spec(const Recipe& recipe, const Model& model) {
  TrainingSpec spec;
  spec.optimizer = optimizer_spec(recipe.fit.optimizer);
  take_arguments(recipe.fit.optimizer, spec);
  const size_t outputs = model.outputs.size();
  spec.losses.resize(outputs);
  spec.metrics.resize(outputs);
  spec.loss_weights.assign(outputs, 1.0);
  for (const LossRecipe& loss : recipe.fit.losses) {
    const size_t output = position_of(loss.output, model.output_names, "output");
    OpSpec& to = spec.losses[output];
    to.op = loss.name;
    if (loss.from_logits) to.attributes.set("from_logits", true);
    if (loss.label_smoothing != 0) to.attributes.set("label_smoothing", loss.label_smoothing);
    if (loss.name == "huber") to.attributes.set("delta", loss.delta);
    merge(to.attributes, parse_arguments(get_op(loss_op_for(loss.name)), loss.arguments, "loss " + loss.name));
    spec.loss_weights[output] = loss.weight;
  }
  for (const MetricRecipe& metric : recipe.fit.metrics) {
    OpSpec to{.op = metric.name, .attributes = {}, .key = metric.label.empty() ? metric.name : metric.label,
              .weighted = metric.weighted};
    if (metric.from_logits) to.attributes.set("from_logits", true);
    if (metric.name == "binary_accuracy" && metric.threshold != 0.5) to.attributes.set("threshold", metric.threshold);
    merge(to.attributes, parse_arguments(get_op(metric_op_for(metric.name, {}, {})), metric.arguments, "metric " + metric.name));
    spec.metrics[position_of(metric.output, model.output_names, "output")].push_back(std::move(to));
  }
  spec.sample_weight = !recipe.fit.class_weight.empty() || !recipe.data.sample_weight.empty();
  return spec;
}

void freeze_layers(Model& model, const Recipe& recipe) {
  for (const std::string& path : recipe.fit.frozen) {
    Model* inside = &model;
    Layer* layer = nullptr;
    for (size_t begin = 0; begin <= path.size() && inside;) {
      const size_t end = std::min(path.find('/', begin), path.size());
      layer = find_model_layer(*inside, path.substr(begin, end - begin));
      inside = layer && layer->submodel ? layer->submodel.get() : nullptr;
      begin = end + 1;
      if (!layer || (begin <= path.size() && !inside)) {
        layer = nullptr;
        break;
      }
    }
    if (!layer) {
      std::vector<std::string> names;
      for (const Layer& one : model.layers) names.push_back(one.name);
      refuse("the recipe freezes the layer '" + path + "', which the model lacks", {}, near_names_hint(path, names));
    }
    layer->trainable = false;
  }
}

void attach_scalers(Model& model, const Recipe& recipe, bool training) {
  const std::vector<std::string> inputs = model.input_names();
  for (const InputRecipe& input : recipe.data.inputs) {
    const size_t position = position_of(input.name, inputs, "input");
    const std::string name = inputs[position] + std::string(scaler_suffix);
    if (!has_scaler(input) || has_scaler_layer(model, name, training)) continue;
    const TensorRef raw = model.inputs[position];
    const TensorRef scaled = insert_scaler(model, name, raw, raw.node, false);
    for (uint32_t i = 0; i < model.nodes.size(); ++i) {
      if (i == scaled.node) continue;
      for (TensorRef& ref : model.nodes[i].inputs)
        if (ref == raw) ref = scaled;
    }
  }
  for (const TargetRecipe& target : recipe.data.targets) {
    const size_t position = position_of(target.name, model.output_names, "output");
    const std::string name = model.output_names[position] + std::string(scaler_suffix);
    if (!has_scaler(target) || has_scaler_layer(model, name, training)) continue;
    const auto last = static_cast<uint32_t>(model.nodes.size() - 1);
    model.outputs[position] = insert_scaler(model, name, model.outputs[position], last, true);
  }
}

void name_scaled_outputs(Model& model) {
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    const Layer& layer = model.layers[model.nodes[model.outputs[i].node].layer];
    const bool inverse = layer.class_name == "Normalization" && layer.attributes.boolean("invert");
    if (!inverse || !layer.name.ends_with(scaler_suffix) || model.output_names[i] != layer.name) continue;
    model.output_names[i].resize(layer.name.size() - scaler_suffix.size());
  }
}

void check_data(const Model& model, const Dataset& data, const Recipe& recipe, const std::string& model_name,
                const std::string& recipe_name) {
  const std::vector<std::string> inputs = model.input_names();
  for (const InputRecipe& input : recipe.data.inputs) position_of(input.name, inputs, "input");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type& type = model.type(model.inputs[i]);
    const int found = data.find_input(inputs[i]);
    if (found < 0)
      refuse("the input '" + inputs[i] + "' of " + model_name + " gets no data from " + recipe_name, {},
             "describe it in \"data\", beside the other inputs");
    const DatasetArray& array = data.inputs()[static_cast<size_t>(found)];
    if (!fits(Shape(type.shape.begin() + 1, type.shape.end()), array.sample_shape))
      refuse("the input '" + inputs[i] + "' of " + model_name + " takes " + sample_text(type) + " per sample, but " +
                 recipe_name + " gives it " + shape_text(array.sample_shape),
             columns_text(array), "change the shape of the model's input, or the recipe's columns and window");
    if (is_integer(type.dtype) && is_float(array.dtype))
      refuse("the input '" + inputs[i] + "' of " + model_name + " takes " + std::string(dtype_name(type.dtype)) +
                 ", but " + recipe_name + " gives it " + std::string(dtype_name(array.dtype)),
             {}, "set \"dtype\": \"" + std::string(dtype_name(type.dtype)) + "\" for it in the recipe");
  }
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    const LossRecipe* loss = find_loss(recipe.fit, model.output_names[i]);
    const int found = data.find_target(model.output_names[i]);
    if (!loss || found < 0) continue;
    Shape wanted(model.type(model.outputs[i]).shape.begin() + 1, model.type(model.outputs[i]).shape.end());
    const bool labels = loss->name.find("sparse_categorical") != std::string::npos;
    if (labels && !wanted.empty()) wanted.pop_back();
    const DatasetArray& array = data.targets()[static_cast<size_t>(found)];
    const Shape given(array.sample_shape.begin(), array.sample_shape.end());
    if (without_trailing_ones(wanted) == without_trailing_ones(given) || fits(wanted, array.sample_shape)) continue;
    refuse("the output '" + model.output_names[i] + "' of " + model_name + " is " +
               sample_text(model.type(model.outputs[i])) + " per sample" +
               (labels ? ", which with " + loss->name + " needs a label" : "") + ", but the target in " + recipe_name +
               " is " + shape_text(array.sample_shape),
           columns_text(array), "give the last layer as many units as the target has columns, or change the target");
  }
}

void set_statistics(Model& model, const Recipe& recipe) {
  if (!recipe.fitted) return;
  const auto set = [&](const FittedGroup& group, const std::vector<std::string>& names) {
    Layer* layer = find_model_layer(model, (group.name.empty() && !names.empty() ? names[0] : group.name) + std::string(scaler_suffix));
    if (!layer || layer->class_name != "Normalization") return;
    for (Parameter& parameter : layer->parameters) {
      const std::vector<double>& values = parameter.name == "variance" ? group.variance : group.mean;
      if (parameter.data.size() == values.size()) std::copy(values.begin(), values.end(), parameter.data.begin());
    }
  };
  for (const FittedGroup& group : recipe.fitted->inputs) set(group, model.input_names());
  for (const FittedGroup& group : recipe.fitted->targets) set(group, model.output_names);
}

}  // namespace moru
