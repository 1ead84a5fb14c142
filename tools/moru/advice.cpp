#include "tools/moru/advice.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "compiler/support/error.h"
#include "runtime/data/gaps.h"
#include "runtime/data/wording.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/recipe_model.h"

namespace moru::cli {
namespace {

/// An output with what stands around it.
struct Output {
  std::string name;
  const Layer* layer = nullptr;
  std::string activation;  // "softmax", "linear", ...; empty where it is not known
  Type type;
  const LossRecipe* loss = nullptr;
  const DatasetArray* target = nullptr;
  int target_index = -1;
  ScalerKind scaler = ScalerKind::none;
};

bool is_one_of(const std::string& name, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool is_sparse(const std::string& loss) { return loss.find("sparse_categorical") != std::string::npos; }
bool is_categorical(const std::string& loss) { return is_one_of(loss, {"categorical_crossentropy", "categorical_focal_crossentropy"}); }
bool is_binary(const std::string& loss) { return is_one_of(loss, {"binary_crossentropy", "binary_focal_crossentropy"}); }
bool is_regression(const std::string& loss) {
  return is_one_of(loss, {"mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "huber",
                          "log_cosh"});
}

/// The activation that a layer ends with.
std::string activation_of(const Layer& layer) {
  static constexpr std::pair<std::string_view, std::string_view> layers[] = {
      {"Softmax", "softmax"}, {"ReLU", "relu"}, {"LeakyReLU", "leaky_relu"}, {"ELU", "elu"}};
  for (const auto& [class_name, activation] : layers)
    if (layer.class_name == class_name) return std::string(activation);
  const bool has_one = is_one_of(layer.class_name, {"Activation", "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"});
  const AttributeValue* value = has_one ? layer.attributes.find("activation") : nullptr;
  if (!value) return {};
  const auto* name = std::get_if<std::string>(&value->value);
  return name ? *name : value->is_none() ? "linear" : "";
}

std::vector<Output> list_outputs(const Model& model, const Recipe& recipe, const Dataset& data) {
  std::vector<Output> list;
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    Output output{.name = model.output_names[i], .activation = {}, .type = model.type(model.outputs[i])};
    TensorRef ref = model.outputs[i];
    // A model that was trained before has its scaler behind the layer that is meant.
    const auto layer_at = [&](TensorRef at) { return &model.layers[model.nodes[at.node].layer]; };
    while (is_one_of(layer_at(ref)->class_name, {"Normalization", "Reshape", "Flatten", "Identity"}) &&
           model.nodes[ref.node].inputs.size() == 1)
      ref = model.nodes[ref.node].inputs[0];
    output.layer = layer_at(ref);
    output.activation = activation_of(*output.layer);
    output.loss = find_loss(recipe.fit, output.name);
    output.target_index = data.find_target(output.name);
    if (output.target_index >= 0) output.target = &data.targets()[static_cast<size_t>(output.target_index)];
    if (const TargetRecipe* target = find_target(recipe.data, output.name)) {
      output.scaler = target->scaler;
      for (const ColumnRecipe& column : target->columns)
        if (column.scaler != ScalerKind::none) output.scaler = column.scaler;
    }
    list.push_back(std::move(output));
  }
  return list;
}

/// How many units the last axis has; 0 where that is open.
int64_t units_of(const Output& output) {
  if (output.type.shape.size() < 2 || !output.type.shape.back().is_constant()) return 0;
  return output.type.shape.back().constant();
}

std::string layer_text(const Output& output) {
  return "layer '" + output.layer->name + "' (" + output.layer->class_name + ")";
}

[[noreturn]] void refuse(const Output& output, std::string what, std::string hint) {
  throw CompileError({.stage = "recipe", .node = output.layer->name, .op = output.layer->class_name, .what = std::move(what), .hint = std::move(hint)});
}

/// The nearest layer before an output that returns every step of a sequence; null if there is none.
const Layer* find_sequence_layer(const Model& model, TensorRef ref) {
  for (size_t steps = 0; steps < model.nodes.size(); ++steps) {
    const ModelNode& node = model.nodes[ref.node];
    const Layer& layer = model.layers[node.layer];
    const AttributeValue* value = layer.attributes.find("return_sequences");
    if (!value && layer.class_name == "Bidirectional" && layer.attributes.has("layer"))
      value = layer.attributes.nested("layer").find("return_sequences");
    if (value && *value == AttributeValue(true)) return &layer;
    if (node.inputs.size() != 1) return nullptr;
    ref = node.inputs[0];
  }
  return nullptr;
}

/// Least and largest of a target's training values.
struct Range {
  double least = INFINITY, most = -INFINITY;
  bool whole = true, any = false;  // whole: all values are integers
};

template <typename T>
void widen(Range& range, const std::byte* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    T element;
    std::memcpy(&element, bytes + i * sizeof element, sizeof element);
    const double value = static_cast<double>(element);
    if (!std::isfinite(value)) continue;
    range.any = true;
    range.whole &= value == std::floor(value);
    range.least = std::min(range.least, value);
    range.most = std::max(range.most, value);
  }
}

Range range_of(const Dataset& data, int target) {
  const DatasetArray& array = data.targets()[static_cast<size_t>(target)];
  Range range;
  constexpr int64_t chunk = 1024;
  std::vector<std::byte> bytes(static_cast<size_t>(chunk) * array.sample_bytes);
  std::vector<void*> targets(data.targets().size(), nullptr), inputs(data.inputs().size(), nullptr);
  targets[static_cast<size_t>(target)] = bytes.data();
  for (int64_t first = 0; first < data.size(); first += chunk) {
    const int64_t rows = std::min(chunk, data.size() - first);
    data.gather_range(first, rows, inputs, targets);
    const size_t count = static_cast<size_t>(rows) * array.sample_bytes / static_cast<size_t>(dtype_bytes(array.dtype));
    switch (array.dtype) {
      case DType::f32:
        widen<float>(range, bytes.data(), count);
        break;
      case DType::f64:
        widen<double>(range, bytes.data(), count);
        break;
      case DType::i32:
        widen<int32_t>(range, bytes.data(), count);
        break;
      case DType::i64:
        widen<int64_t>(range, bytes.data(), count);
        break;
      case DType::boolean:
        widen<uint8_t>(range, bytes.data(), count);
        break;
      case DType::bf16:  // no slot holds it
        break;
    }
  }
  return range;
}

/// What an activation cannot yield of the values that the loss compares with.
void doubt_values(const Output& output, const Dataset& data, std::vector<std::string>& doubts) {
  if (!output.loss || !output.target || data.size() == 0) return;
  Range range = range_of(data, output.target_index);
  if (!range.any || !(range.least < range.most)) return;
  const std::string loss = output.loss->name;
  std::string seen = "the target has values from " + number_text(range.least, 6) + " to " + number_text(range.most, 6);
  if (output.scaler != ScalerKind::none) {
    const bool standard = output.scaler == ScalerKind::standard;
    seen = standard ? "the target is scaled to mean 0 and deviation 1" : "the target is scaled to values from 0 to 1";
    range.least = standard ? -1 : 0;  // some are beyond that
    range.most = 1;
  }
  const auto reaches = [&](double least, double most, const std::string& what, const std::string& remedy) {
    if (range.least >= least && range.most <= most) return;
    doubts.push_back(layer_text(output) + " ends with " + output.activation + ", which yields " + what + ", but " + seen + ": " + remedy);
  };
  const std::string linear = "an output of numbers is linear, as a rule";
  if (is_regression(loss)) {
    if (output.activation == "relu" || output.activation == "softplus" || output.activation == "exponential")
      reaches(0, INFINITY, "nothing below 0", linear);
    if (output.activation == "sigmoid" || output.activation == "hard_sigmoid" || output.activation == "softmax")
      reaches(0, 1, "values from 0 to 1", linear);
    if (output.activation == "tanh") reaches(-1, 1, "values from -1 to 1", linear);
  }
  if (output.scaler != ScalerKind::none) {
    if (is_binary(loss) || is_categorical(loss) || is_sparse(loss) || loss == "poisson")
      doubts.push_back("output '" + output.name + "': " + loss + " compares with " +
                       (loss == "poisson" ? "counts" : "classes") + ", but " + seen + ": remove the target's scaler");
    return;
  }
  if ((is_binary(loss) || is_categorical(loss)) && (range.least < 0 || range.most > 1))
    doubts.push_back("output '" + output.name + "': " + loss + " compares with values from 0 to 1, but " + seen +
                     (range.whole && !is_binary(loss) ? ": class numbers take sparse_categorical_crossentropy" : ""));
  if (loss == "poisson" && range.least < 0)
    doubts.push_back("output '" + output.name + "': poisson compares with counts, but " + seen);
}

/// A loss beside the activation before it.
void doubt_activation(const Output& output, std::vector<std::string>& doubts) {
  if (!output.loss || output.activation.empty()) return;
  const std::string& loss = output.loss->name;
  const int64_t units = units_of(output);
  const bool logits = output.loss->from_logits;
  const bool is_class_loss = is_binary(loss) || is_categorical(loss) || is_sparse(loss);
  if (!is_class_loss) return;
  if (logits && is_one_of(output.activation, {"softmax", "sigmoid", "hard_sigmoid"})) {
    doubts.push_back(layer_text(output) + " ends with " + output.activation + ", but " + loss +
                     " has from_logits, which applies it once more: remove one of them");
    return;
  }
  if (logits) return;
  if (is_binary(loss) && output.activation == "softmax" && units > 1) {
    doubts.push_back(layer_text(output) + " ends with softmax over " + std::to_string(units) + " classes, but " + loss +
                     " judges each alone: use categorical_crossentropy, or sigmoid for labels that go together");
  } else if ((is_categorical(loss) || is_sparse(loss)) && output.activation == "sigmoid" && units > 1) {
    doubts.push_back(layer_text(output) + " ends with sigmoid, but " + loss + " wants the probabilities of " + std::to_string(units) +
                     " classes: use softmax, or binary_crossentropy for labels that go together");
  } else if (is_one_of(output.activation, {"linear", "relu", "tanh", "leaky_relu", "elu", "gelu", "silu", "swish", "softplus"})) {
    doubts.push_back(layer_text(output) + " ends with " + output.activation + ", but " + loss +
                     " wants probabilities: use " + (is_binary(loss) ? "sigmoid" : "softmax") +
                     ", or a linear output with from_logits");
  }
}

bool judges_classes(const std::string& metric) {
  return metric.ends_with("iou") || is_one_of(metric, {"auc", "precision", "recall", "f1_score", "fbeta_score", "true_positives",
                                                       "false_positives", "true_negatives", "false_negatives",
                                                       "sensitivity_at_specificity", "specificity_at_sensitivity",
                                                       "precision_at_recall", "recall_at_precision"});
}

void doubt_metrics(const Model& model, const Recipe& recipe, const std::vector<Output>& outputs, std::vector<std::string>& doubts) {
  for (const MetricRecipe& metric : recipe.fit.metrics)
    for (const Output& output : outputs) {
      if (!(metric.output == output.name || (metric.output.empty() && model.outputs.size() == 1))) continue;
      if (!output.loss || !is_regression(output.loss->name) || !output.target || output.target->is_category) continue;
      const bool is_accuracy = metric.name.find("accuracy") != std::string::npos;
      if (!is_accuracy && !judges_classes(metric.name)) continue;
      if (is_one_of(output.activation, {"sigmoid", "softmax"})) continue;  // classes, by another loss than usual
      doubts.push_back("metric '" + (metric.label.empty() ? metric.name : metric.label) + "' " +
                       (is_accuracy ? "counts equal classes" : "judges probabilities of classes") + ", but '" + output.name +
                       "' is trained with " + output.loss->name + " on numbers: use mae, rmse or r2_score");
    }
}

void doubt_class_weight(const Recipe& recipe, const std::vector<Output>& outputs, std::vector<std::string>& doubts) {
  if (recipe.fit.class_weight.empty()) return;
  for (const Output& output : outputs) {
    if (!output.loss || !is_regression(output.loss->name) || !output.target || output.target->is_category) continue;
    if (is_one_of(output.activation, {"sigmoid", "softmax"})) continue;
    doubts.push_back("class_weight takes the target for class numbers, but '" + output.name + "' is trained with " + output.loss->name +
                     " on numbers: leave it out, or give samples their weights in a column, by sample_weight");
  }
}

/// Which nodes reach one of these tensors.
std::vector<bool> reaching(const Model& model, const std::vector<TensorRef>& from) {
  std::vector<bool> reached(model.nodes.size(), false);
  for (TensorRef ref : from) reached[ref.node] = true;
  for (size_t n = model.nodes.size(); n-- > 0;) {
    if (!reached[n]) continue;
    for (TensorRef ref : model.nodes[n].inputs) reached[ref.node] = true;
    for (const KeywordTensor& keyword : model.nodes[n].keywords)
      if (keyword.tensor) reached[keyword.tensor->node] = true;
  }
  return reached;
}

void doubt_graph(const Model& model, const std::vector<Output>& outputs, std::vector<std::string>& doubts) {
  const std::vector<bool> used = reaching(model, model.outputs);
  for (TensorRef input : model.inputs)
    if (!used[input.node])
      doubts.push_back("input '" + model.nodes[input.node].name + "' reaches no output: nothing depends on it");
  std::vector<TensorRef> trained;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].loss) trained.push_back(model.outputs[i]);
  if (!trained.empty()) {
    const std::vector<bool> reaches_loss = reaching(model, trained);
    std::set<uint32_t> with_loss, without;
    for (uint32_t n = 0; n < model.nodes.size(); ++n) (reaches_loss[n] ? with_loss : without).insert(model.nodes[n].layer);
    for (uint32_t layer : without) {
      const Layer& one = model.layers[layer];
      const bool learns = one.trainable && (one.submodel || std::any_of(one.parameters.begin(), one.parameters.end(),
                                                                         [](const Parameter& p) { return p.trainable; }));
      if (!with_loss.count(layer) && learns)
        doubts.push_back("layer '" + one.name + "' (" + one.class_name + ") has no way to a loss: its weights stay as they are");
    }
  }
  std::vector<size_t> readers(model.nodes.size(), 0);
  for (const ModelNode& node : model.nodes)
    for (TensorRef ref : node.inputs) ++readers[ref.node];
  for (TensorRef ref : model.outputs) ++readers[ref.node];
  for (const ModelNode& node : model.nodes) {
    const Layer& second = model.layers[node.layer];
    if (second.class_name != "Dense" || node.inputs.size() != 1 || readers[node.inputs[0].node] != 1) continue;
    const ModelNode& before = model.nodes[node.inputs[0].node];
    const Layer& first = model.layers[before.layer];
    if (first.class_name != "Dense" || activation_of(first) != "linear" || before.inputs.empty()) continue;
    // A narrow layer between two wide ones is a factor of few columns, which some want.
    const Dim& in = model.type(before.inputs[0]).shape.back();
    const int64_t middle = first.attributes.integer("units"), out = second.attributes.integer("units");
    if (!in.is_constant() || middle < std::min(in.constant(), out)) continue;
    doubts.push_back("layers '" + first.name + "' and '" + second.name +
                     "' (Dense) are one linear layer together: give '" + first.name + "' an activation, or leave it out");
  }
}

}  // namespace

void check_losses(const Model& model, const Recipe& recipe, const Dataset& data) {
  const std::vector<Output> outputs = list_outputs(model, recipe, data);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Output& output = outputs[i];
    if (!output.loss) continue;
    const std::string& loss = output.loss->name;
    const int64_t units = units_of(output);
    if (output.activation == "softmax" && units == 1)
      refuse(output, "ends with softmax over one unit, which is always 1, so that nothing can be learned",
             "use sigmoid with binary_crossentropy for two classes, or one unit for each class");
    if ((is_categorical(loss) || is_sparse(loss)) && units == 1)
      refuse(output, "has one unit, but " + loss + " compares classes, and of one class it is always 0",
             "use binary_crossentropy (with sigmoid) for two classes, or one unit for each class");
    if (!output.target) continue;
    if (is_sparse(loss) && is_float(output.target->dtype))
      refuse(output, "is compared by " + loss + " with class numbers, which are integers, but the target is " + std::string(dtype_name(output.target->dtype)),
             "leave the target's \"dtype\" out, or write \"i32\"");
    Shape wanted(output.type.shape.begin() + 1, output.type.shape.end());
    const Shape given(output.target->sample_shape.begin(), output.target->sample_shape.end());
    // A vector of scores with class numbers for targets.
    if (units > 1 && without_trailing_ones(given).empty() && wanted.size() == 1 && !is_sparse(loss)) {
      if (output.activation == "softmax" || is_categorical(loss))
        refuse(output, "yields " + std::to_string(units) + " scores, which " + loss + " compares with as many numbers, but the target is one number",
               "use sparse_categorical_crossentropy, or give the target \"encoder\": \"one_hot\"");
    }
    // One axis too many.
    if (is_sparse(loss) && !wanted.empty()) wanted.pop_back();
    const Shape kept = without_trailing_ones(wanted), target = without_trailing_ones(given);
    if (kept.size() != target.size() + 1 || wanted.size() < 1 || output.type.shape.size() < 3) continue;
    const std::string axis = output.type.shape[1].text();
    const Layer* sequence = find_sequence_layer(model, model.outputs[i]);
    const std::string what = "yields " + shape_text(Shape(output.type.shape.begin() + 1, output.type.shape.end())) +
                             " per sample, one result for each of " + axis + " steps, but the target is " + shape_text(given) + " per sample";
    if (sequence)
      refuse(output, what, "set return_sequences=false on '" + sequence->name + "', or put a Flatten before '" + output.layer->name + "'");
    refuse(output, what, "put a Flatten or a pooling layer before '" + output.layer->name + "'");
  }
}

std::vector<std::string> find_doubts(const Model& model, const Recipe& recipe, const Dataset& data) {
  std::vector<std::string> doubts;
  const std::vector<Output> outputs = list_outputs(model, recipe, data);
  for (const Output& output : outputs) {
    doubt_activation(output, doubts);
    doubt_values(output, data, doubts);
  }
  doubt_metrics(model, recipe, outputs, doubts);
  doubt_class_weight(recipe, outputs, doubts);
  doubt_graph(model, outputs, doubts);
  if (std::string gaps = describe_gaps(recipe, data.times()); !gaps.empty()) doubts.push_back(std::move(gaps));
  return doubts;
}

void check_training(const ModelSource& source, const Dataset& data) {
  const Recipe& recipe = *source.recipe;
  check_losses(source.model, recipe, data);
  check_data(source.model, data, recipe, file_name(source.path),
             file_name(source.recipe_path.empty() ? source.path : source.recipe_path));
}

void warn_of_doubts(const ModelSource& source, const Dataset& data, ProgressStyle style) {
  Progress progress(style, stderr);
  for (const std::string& warning : find_doubts(source.model, *source.recipe, data)) progress.warn(warning);
}

}  // namespace moru::cli
