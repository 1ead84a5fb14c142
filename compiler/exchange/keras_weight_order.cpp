#include "compiler/exchange/keras_weight_order.h"

#include <algorithm>

#include "compiler/model/functional.h"

namespace moru {
namespace {

using Weights = std::vector<OrderedWeight>;

// Whether a frozen model's layers count as frozen, whatever they say themselves.
struct Rule {
  bool models_freeze = true;
};

std::string inner_prefix(const Layer& layer, const std::string& prefix) {
  return prefix + layer.name + (layer.class_name == "TimeDistributed" ? "/layer/" : "/");
}

void add_uncounted(Layer& layer, const std::string& prefix, Weights& to) {
  if (const std::string name = uncounted_weight(layer); !name.empty()) to.push_back({nullptr, &layer, prefix + layer.name + "/" + name, name});
}

void add_own(Layer& layer, const std::string& prefix, bool trainable, Weights& to) {
  if (!has_keras_weights(layer)) return;
  for (Parameter& parameter : layer.parameters)
    if (parameter.trainable == trainable)
      to.push_back({&parameter, &layer, prefix + layer.name + "/" + parameter.name, parameter.name});
  if (!trainable) add_uncounted(layer, prefix, to);
}

void add_trainable(Layer& layer, const std::string& prefix, Rule rule, Weights& to) {
  if (!layer.trainable && (layer.submodel == nullptr || rule.models_freeze)) return;
  add_own(layer, prefix, true, to);
  if (layer.submodel != nullptr)
    for (Layer& inner : layer.submodel->layers) add_trainable(inner, inner_prefix(layer, prefix), rule, to);
}

void add_all(Layer& layer, const std::string& prefix, Rule rule, Weights& to);

void add_others(Layer& layer, const std::string& prefix, Rule rule, Weights& to) {
  const bool frozen = !layer.trainable && (layer.submodel == nullptr || rule.models_freeze);
  if (frozen) add_own(layer, prefix, true, to);
  add_own(layer, prefix, false, to);
  if (layer.submodel == nullptr) return;
  for (Layer& inner : layer.submodel->layers) {
    if (frozen) add_all(inner, inner_prefix(layer, prefix), rule, to);
    if (!frozen) add_others(inner, inner_prefix(layer, prefix), rule, to);
  }
}

void add_all(Layer& layer, const std::string& prefix, Rule rule, Weights& to) {
  add_trainable(layer, prefix, rule, to);
  add_others(layer, prefix, rule, to);
}

void add_plain(Layer& layer, const std::string& prefix, Weights& to) {
  if (has_keras_weights(layer))
    for (Parameter& parameter : layer.parameters) to.push_back({&parameter, &layer, prefix + layer.name + "/" + parameter.name, parameter.name});
  add_uncounted(layer, prefix, to);
  if (layer.submodel != nullptr)
    for (Layer& inner : layer.submodel->layers) add_plain(inner, inner_prefix(layer, prefix), to);
}

// The layer inside a wrapper that holds it as an attribute.
const Attributes* inner_layer(const Layer& layer) {
  const AttributeValue* attribute = layer.attributes.find("layer");
  const auto* nested = attribute != nullptr ? std::get_if<AttributeValue::Nested>(&attribute->value) : nullptr;
  return nested != nullptr ? nested->get() : nullptr;
}

std::string inner_class(const Layer& layer) {
  const Attributes* inner = inner_layer(layer);
  return inner != nullptr ? inner->string("class") : layer.class_name;
}

bool is_given_statistics(const Layer& layer) {
  const Attributes* inner = inner_layer(layer);
  return inner_class(layer) == "Normalization" && (inner != nullptr ? *inner : layer.attributes).has("mean");
}

}  // namespace

bool has_keras_weights(const Layer& layer) { return !is_given_statistics(layer); }

std::string uncounted_weight(const Layer& layer) {
  if (inner_class(layer) != "Normalization" || is_given_statistics(layer)) return {};
  return inner_layer(layer) != nullptr ? "layer/count" : "count";
}

bool has_cell(std::string_view class_name) {
  return class_name == "LSTM" || class_name == "GRU" || class_name == "SimpleRNN" || class_name.starts_with("ConvLSTM");
}

std::string cell_name(const Layer& layer) {
  const std::string class_name = inner_class(layer);
  if (!has_cell(class_name)) return {};
  return class_name.starts_with("ConvLSTM") ? "conv_lstm_cell" : default_layer_name(class_name) + "_cell";
}

std::string keras_path(const OrderedWeight& weight) {
  std::string own = weight.name;
  const std::string around = weight.path.substr(0, weight.path.size() - own.size());
  std::string inside;
  if (weight.layer->class_name == "Bidirectional") {
    const size_t slash = own.find('/');  // behind "forward" or "backward"
    inside = own.substr(0, slash) + "_" + default_layer_name(inner_class(*weight.layer)) + "/";
    own.erase(0, slash + 1);
  }
  if (const std::string cell = cell_name(*weight.layer); !cell.empty()) inside += cell + "/";
  return around + inside + own;
}

std::vector<OrderedWeight> weight_order(Layer& layer) {
  Weights weights;
  add_all(layer, "", {}, weights);
  return weights;
}

std::vector<std::vector<OrderedWeight>> possible_weight_orders(Layer& layer) {
  std::vector<Weights> orders = {weight_order(layer)};
  if (layer.submodel != nullptr) {
    orders.emplace_back();
    add_all(layer, "", {.models_freeze = false}, orders.back());
    orders.emplace_back();
    add_plain(layer, "", orders.back());
  }
  const auto alone = [](const OrderedWeight& weight) { return weight.parameter == nullptr; };
  if (std::ranges::any_of(orders[0], alone)) {
    std::vector<Weights> without = orders;
    for (Weights& order : without) std::erase_if(order, alone);
    orders.insert(orders.end(), without.begin(), without.end());
  }
  return orders;
}

std::vector<OrderedWeight> trainable_weights(Model& model) {
  Weights weights;
  for (Layer& layer : model.layers) add_trainable(layer, "", {}, weights);
  return weights;
}

}  // namespace moru
