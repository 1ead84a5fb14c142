#include "compiler/exchange/keras_weights.h"

#include <algorithm>
#include <set>

#include "compiler/exchange/keras_weight_order.h"
#include "compiler/exchange/refusal.h"
#include "compiler/model/functional.h"
#include "compiler/model/initializers.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

using exchange::refuse;

const char* const other_model_hint = "these are the weights of another model, or the model was changed since";

void set_values(Parameter& parameter, const Layer& layer, const Hdf5Dataset& dataset, const std::string& where) {
  if (dataset.shape != parameter.shape)
    throw CompileError({.stage = "import",
                        .node = layer.name,
                        .op = layer.class_name,
                        .what = "its weight '" + parameter.name + "' is " + shape_text(parameter.shape) +
                                " but in the file it is " + shape_text(dataset.shape),
                        .detail = "it stands in " + where,
                        .hint = other_model_hint});
  if (dataset.integer)
    parameter.data.assign(dataset.integers.begin(), dataset.integers.end());
  else
    parameter.data = dataset.floats();
}

bool has_weights(const Layer& layer) {
  if (!layer.parameters.empty() && has_keras_weights(layer)) return true;
  return layer.submodel != nullptr &&
         std::any_of(layer.submodel->layers.begin(), layer.submodel->layers.end(), has_weights);
}

// Real numbers only: seeds of random layers are integers.
bool holds_reals(const Hdf5Group& group) {
  const auto real = [](const auto& entry) { return !entry.second.integer; };
  const auto inner = [](const auto& entry) { return holds_reals(*entry.second); };
  return std::any_of(group.datasets.begin(), group.datasets.end(), real) ||
         std::any_of(group.groups.begin(), group.groups.end(), inner);
}

std::string numbered(const std::string& name, int64_t number) {
  return number == 0 ? name : name + "_" + std::to_string(number);
}

/// k of "dense_k", 0 of "dense"; nothing for other names.
std::optional<int64_t> number_in(const std::string& name, const std::string& base) {
  if (name == base) return 0;
  if (!name.starts_with(base + "_") || name.size() > base.size() + 10) return std::nullopt;
  const std::string digits = name.substr(base.size() + 1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::stoll(digits);
}

// The inner layer of a wrapper's parameter: "forward" of "forward/kernel".
std::string group_prefix(const Parameter& parameter) {
  const size_t slash = parameter.name.rfind('/');
  return slash == std::string::npos ? std::string() : parameter.name.substr(0, slash);
}

// In an attention layer Keras' groups are named by the attributes that hold the projections, in others by the layers.
bool is_projection(const std::string& class_name) {
  return class_name == "MultiHeadAttention" || class_name == "GroupedQueryAttention";
}
std::string projection_group(const std::string& prefix) {
  return (prefix == "attention_output" ? "output" : prefix) + "_dense";
}

// In Keras SpectralNormalization has the kernel of the layer inside as a weight of its own too, before vector_u.
bool repeats_kernel(const Layer& layer) { return layer.class_name == "SpectralNormalization"; }

// Where Keras 3 has the weights of an RNN's cell: in "cell"; those of a stacked one, "cells/1" of Moru, by its class, which is
// numbered from the second on.
std::string cell_group(const Attributes& layer, const std::string& prefix) {
  constexpr std::string_view cells = "cells/";
  if (!prefix.starts_with(cells)) return prefix;
  const Attributes& stack = layer.nested("cell");
  const auto class_of = [&](int64_t i) { return stack.nested("cell_" + std::to_string(i)).string("class"); };
  const int64_t index = std::stoll(prefix.substr(cells.size()));
  int64_t before = 0;
  for (int64_t i = 0; i < index; ++i) before += class_of(i) == class_of(index);
  return "cell/cells/" + default_layer_name(class_of(index)) + (before > 0 ? "_" + std::to_string(before) : "");
}

std::string joined(const std::string& front, const std::string& back) { return front + (front.empty() || back.empty() ? "" : "/") + back; }

// The group of a weight in Keras 3, given Moru's prefix of its name: "forward_layer/cell" for "forward" of a Bidirectional
// around an LSTM.
std::string keras3_group(const std::string& class_name, const Attributes& attributes, const std::string& prefix) {
  const size_t slash = prefix.find('/');
  const std::string first = prefix.substr(0, slash), rest = slash == std::string::npos ? "" : prefix.substr(slash + 1);
  const auto inside = [&](const std::string& group, const Attributes& inner) {
    return joined(group, keras3_group(inner.string("class"), inner, rest));
  };
  if (class_name == "Bidirectional") {
    const bool has_own = first == "backward" && attributes.has("backward_layer");
    return inside(first + "_layer", attributes.nested(has_own ? "backward_layer" : "layer"));
  }
  if (first == "layer" && attributes.find("layer")) return inside(first, attributes.nested("layer"));
  if (class_name == "RNN") return cell_group(attributes, prefix);
  return has_cell(class_name) ? joined(prefix, "cell") : prefix;
}
std::string keras3_group(const Layer& layer, const std::string& prefix) { return keras3_group(layer.class_name, layer.attributes, prefix); }

/// How versions of Keras may call the group of an inner layer.
std::vector<std::string> group_names(const Layer& layer, const std::string& prefix) {
  if (prefix.empty()) return {keras3_group(layer, prefix)};
  return {keras3_group(layer, prefix), prefix, prefix + "_layer", projection_group(prefix), "_" + projection_group(prefix)};
}

const Hdf5Group* find_inner_group(const Hdf5Group& group, const std::string& path) {
  const Hdf5Group* found = &group;
  for (size_t begin = 0; found != nullptr && begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    found = found->find_group(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return found;
}

// --- Keras 3 ---

class Keras3Reader {
 public:
  explicit Keras3Reader(const std::string& source) : source_(source) {}

  void read_model(Model& model, const Hdf5Group& group, const std::string& path) const {
    const Hdf5Group* container = group.find_group("layers");
    std::string inner_path = path + "layers/";
    if (container == nullptr) {  // tf.keras 2.12
      container = group.find_group("_layer_checkpoint_dependencies");
      inner_path = path + "_layer_checkpoint_dependencies/";
    }
    std::map<std::string, std::vector<Layer*>> by_class;  // with weights
    std::map<const Layer*, int64_t> number;
    std::map<std::string, int64_t> counts;
    for (Layer& layer : model.layers) {
      if (layer.body != nullptr) continue;  // Keras does not count operations among the layers
      const std::string base = default_layer_name(layer.class_name);
      number[&layer] = counts[base]++;
      if (has_weights(layer)) by_class[base].push_back(&layer);
    }
    if (container == nullptr) {
      if (!by_class.empty()) refuse(source_, "holds no weights for the model '" + model.name + "': no group 'layers'");
      return;
    }
    std::set<std::string> used;
    for (auto& [base, layers] : by_class) {
      std::map<int64_t, std::string> groups;  // those that hold weights
      for (const auto& [name, inner] : container->groups)
        if (const auto k = number_in(name, base); k && holds_reals(*inner)) groups[*k] = name;
      auto next = groups.begin();
      for (Layer* layer : layers) {
        // As many groups as layers: their order is what counts. Some versions number layers twice.
        std::string name = numbered(base, number[layer]);
        if (groups.size() == layers.size()) name = (next++)->second;
        const auto found = container->groups.find(name);
        if (found == container->groups.end())
          refuse(source_,
                 "holds no weights for the layer '" + layer->name + "' (" + layer->class_name + "): there is no '" +
                     inner_path + name + "'",
                 other_model_hint);
        used.insert(name);
        read_layer(*layer, *found->second, inner_path + name);
      }
    }
    for (const auto& [name, inner] : container->groups)
      if (!used.count(name) && holds_reals(*inner))
        refuse(source_, "holds weights in '" + inner_path + name + "' for which the model has no layer",
               other_model_hint);
  }

 private:
  const std::string& source_;

  void read_layer(Layer& layer, const Hdf5Group& group, const std::string& path) const {
    if (layer.submodel != nullptr) {
      const bool wrapped = layer.class_name == "TimeDistributed";
      const Hdf5Group* inner = wrapped ? group.find_group("layer") : &group;
      if (inner == nullptr) refuse(source_, "has no group '" + path + "/layer'", other_model_hint);
      read_model(*layer.submodel, *inner, path + (wrapped ? "/layer/" : "/"));
    }
    if (!has_keras_weights(layer)) return;
    std::map<std::string, size_t> next;  // by group
    if (repeats_kernel(layer) && group.find_dataset("vars/1") != nullptr) next[path] = 1;
    for (Parameter& parameter : layer.parameters) {
      const std::string prefix = group_prefix(parameter);
      const Hdf5Group* owner = &group;
      std::string owner_path = path;
      for (const std::string& name : group_names(layer, prefix))
        if (const Hdf5Group* inner = name.empty() ? nullptr : find_inner_group(group, name)) {
          owner = inner;
          owner_path = path + "/" + name;
          break;
        }
      if (const Hdf5Group* cell = owner->find_group("cell")) {
        owner = cell;
        owner_path += "/cell";
      }
      const std::string name = std::to_string(next[owner_path]++);
      const Hdf5Dataset* dataset = owner->find_dataset("vars/" + name);
      owner_path += "/vars/" + name;
      if (dataset == nullptr)
        refuse(source_,
               "lacks the weight '" + parameter.name + "' of the layer '" + layer.name + "' (" + layer.class_name +
                   "), which would stand in '" + owner_path + "'",
               other_model_hint);
      set_values(parameter, layer, *dataset, "'" + owner_path + "'");
    }
  }
};

void write_dataset(Hdf5Group& group, const std::string& name, const Parameter& parameter) {
  check_internal(!parameter.data.empty(), "a weight without values is written");
  group.datasets[name] = {.shape = parameter.shape, .integer = false, .reals = parameter.data, .integers = {}};
}

// What Keras alone keeps.
Hdf5Dataset zero() { return {.shape = {}, .integer = true, .reals = {}, .integers = {0}}; }

void name_vars(Hdf5Group& group, const std::string& name) {
  group.make_group("vars").attributes["name"] = {.texts = {name}, .scalar = true};
}

void write_keras3_layer(const Layer& layer, Hdf5Group& group) {
  name_vars(group, layer.name);
  if (layer.submodel != nullptr)
    write_keras3_weights(*layer.submodel, layer.class_name == "TimeDistributed" ? group.make_group("layer") : group);
  if (!has_keras_weights(layer)) return;
  std::map<std::string, size_t> next;
  if (repeats_kernel(layer)) write_dataset(group.make_group("vars"), std::to_string(next[""]++), layer.parameters.front());
  for (const Parameter& parameter : layer.parameters) {
    std::string path = keras3_group(layer, group_prefix(parameter));
    // GroupedQueryAttention has no other attributes than private ones.
    if (is_projection(layer.class_name))
      path = (layer.class_name == "GroupedQueryAttention" || path == "gate" ? "_" : "") + projection_group(path);
    Hdf5Group& owner = group.make_group(path);
    write_dataset(owner.make_group("vars"), std::to_string(next[path]++), parameter);
  }
  if (const std::string path = uncounted_weight(layer); !path.empty()) {
    const std::string around = path.substr(0, path.rfind('/') + 1);
    group.make_group(around + "vars").datasets[std::to_string(next[around.substr(0, around.find('/'))]++)] = zero();
  }
}

// --- legacy ---

std::string plain_name(std::string_view name) {
  if (const size_t slash = name.rfind('/'); slash != std::string_view::npos) name = name.substr(slash + 1);
  return std::string(name.substr(0, name.find(':')));
}

/// How well a weight's name in the file agrees with the weight: its own name, and its layer's among the path.
int agreement(const OrderedWeight& weight, const std::string& name) {
  const std::string own = plain_name(weight.name), given = plain_name(name);
  int score = given == own || number_in(given, own) ? 1 : 0;
  const std::string around = "/" + name;
  return score + (around.find("/" + weight.layer->name + "/") != std::string::npos ? 1 : 0);
}

class LegacyReader {
 public:
  LegacyReader(const Hdf5Group& group, const std::string& source) : group_(group), source_(source) {}

  void read(Model& model) const {
    std::vector<std::string> names;  // of the file's layers with weights
    for (const std::string& name : read_split_texts(group_, "layer_names"))
      if (!weight_names(name).empty()) names.push_back(name);
    std::vector<Layer*> layers;
    for (Layer& layer : model.layers)
      if (has_weights(layer)) layers.push_back(&layer);
    std::map<std::string, Layer*> by_name;
    for (Layer* layer : layers) by_name[layer->name] = layer;
    const bool named = std::all_of(names.begin(), names.end(), [&](const std::string& n) { return by_name.count(n); });
    if (names.size() != layers.size()) {
      for (const Layer* layer : layers)
        if (named && std::find(names.begin(), names.end(), layer->name) == names.end())
          refuse(source_, "holds no weights for the layer '" + layer->name + "' (" + layer->class_name + ")",
                 other_model_hint);
      refuse(source_,
             "holds the weights of " + std::to_string(names.size()) + " layers, but the model has " +
                 std::to_string(layers.size()) + " with weights",
             other_model_hint);
    }
    // Keras goes by order; names tell the same unless the model was named anew.
    for (size_t i = 0; i < layers.size(); ++i) read_layer(named ? *by_name[names[i]] : *layers[i], names[i]);
  }

 private:
  const Hdf5Group& group_;
  const std::string& source_;

  std::vector<std::string> weight_names(const std::string& layer) const {
    const auto group = group_.groups.find(layer);
    if (group != group_.groups.end()) return read_split_texts(*group->second, "weight_names");
    const Hdf5Group* inner = group_.find_group(layer);
    if (inner == nullptr) refuse(source_, "names the layer '" + layer + "' but has no group of that name");
    return read_split_texts(*inner, "weight_names");
  }

  void read_layer(Layer& layer, const std::string& name) const {
    const std::vector<std::string> names = weight_names(name);
    std::vector<const Hdf5Dataset*> datasets;
    for (const std::string& weight : names) {
      datasets.push_back(group_.find_dataset(name + "/" + weight));
      if (datasets.back() == nullptr)
        refuse(source_, "names the weight '" + weight + "' of the layer '" + name + "' but does not hold it");
    }
    std::vector<OrderedWeight> best;
    int best_score = -1;
    std::vector<std::vector<OrderedWeight>> orders = possible_weight_orders(layer);
    const size_t usual = orders.front().size();
    std::erase_if(orders, [&](const std::vector<OrderedWeight>& order) { return order.size() != datasets.size(); });
    if (orders.empty())
      refuse(source_,
             "holds " + std::to_string(datasets.size()) + " weights for the layer '" + layer.name + "' (" +
                 layer.class_name + "), which has " + std::to_string(usual),
             other_model_hint);
    for (std::vector<OrderedWeight>& order : orders) {
      int score = 0;
      bool fits = true;
      for (size_t i = 0; i < order.size(); ++i) {
        fits = fits && datasets[i]->shape == (order[i].parameter ? order[i].parameter->shape : std::vector<int64_t>());
        score += agreement(order[i], names[i]);
      }
      if (best.empty() || (fits && score > best_score)) best = std::move(order);
      if (fits) best_score = std::max(best_score, score);
    }
    for (size_t i = 0; i < best.size(); ++i)
      if (best[i].parameter) set_values(*best[i].parameter, *best[i].layer, *datasets[i], "'" + name + "/" + names[i] + "'");
  }
};

}  // namespace

std::vector<std::string> read_split_texts(const Hdf5Group& group, const std::string& name) {
  std::vector<std::string> texts;
  const auto add = [&](const std::string& key) {
    const auto found = group.attributes.find(key);
    if (found == group.attributes.end()) return false;
    texts.insert(texts.end(), found->second.texts.begin(), found->second.texts.end());
    return true;
  };
  if (add(name)) return texts;
  for (size_t i = 0; add(name + std::to_string(i));) ++i;
  return texts;
}

void write_split_texts(Hdf5Group& group, const std::string& name, const std::vector<std::string>& texts) {
  constexpr size_t most_bytes = 64512;  // what Keras splits by: an attribute's header lies in one block of 64 KiB
  size_t width = 1;
  for (const std::string& text : texts) width = std::max(width, text.size());
  const size_t per_part = std::max<size_t>(1, most_bytes / width);
  if (texts.size() <= per_part) {
    group.attributes[name] = {.texts = texts, .scalar = false};
    return;
  }
  for (size_t i = 0, part = 0; i < texts.size(); i += per_part, ++part)
    group.attributes[name + std::to_string(part)] = {
        .texts = {texts.begin() + static_cast<std::ptrdiff_t>(i),
                  texts.begin() + static_cast<std::ptrdiff_t>(std::min(i + per_part, texts.size()))},
        .scalar = false};
}

KerasLayout find_keras_layout(const Hdf5Group& group) {
  if (group.attributes.count("layer_names") || group.attributes.count("layer_names0")) return KerasLayout::legacy;
  if (group.groups.count("layers") || group.groups.count("_layer_checkpoint_dependencies")) return KerasLayout::keras3;
  return KerasLayout::none;
}

void read_keras_weights(Model& model, const Hdf5Group& group, const std::string& source) {
  for (const ParameterPath& path : all_parameters(model))
    if (!has_keras_weights(*path.layer)) path.parameter->data = initial_values(path.parameter->initializer, path.parameter->shape, 0, path.path);
  switch (find_keras_layout(group)) {
    case KerasLayout::keras3:
      return Keras3Reader(source).read_model(model, group, "");
    case KerasLayout::legacy:
      return LegacyReader(group, source).read(model);
    case KerasLayout::none:
      if (all_parameters(model).empty()) return;
      refuse(source, "holds no weights of a Keras model",
             "weights come as .weights.h5 of Keras 3, or as what save_weights() of Keras 2 writes");
  }
}

void write_keras3_weights(const Model& model, Hdf5Group& group) {
  std::map<std::string, int64_t> counts;
  for (const Layer& layer : model.layers) {
    // A Sequential does not count its input among its layers.
    if ((model.sequential && layer.class_name == "InputLayer") || layer.body != nullptr) continue;
    const std::string base = default_layer_name(layer.class_name);
    write_keras3_layer(layer, group.make_group("layers/" + numbered(base, counts[base]++)));
  }
  group.make_group("vars");
}

void write_legacy_weights(const Model& model, Hdf5Group& group) {
  std::vector<std::string> layer_names;
  for (const Layer& layer : model.layers) {
    if ((model.sequential && layer.class_name == "InputLayer") || layer.body != nullptr) continue;
    layer_names.push_back(layer.name);
    // A name may hold a slash; the group then lies deeper, where Keras looks for it too.
    Hdf5Group& own = group.make_group(layer.name);
    std::vector<std::string> names;
    for (const OrderedWeight& weight : weight_order(const_cast<Layer&>(layer))) {
      names.push_back(keras_path(weight));
      const size_t slash = names.back().rfind('/');
      Hdf5Group& around = own.make_group(names.back().substr(0, slash));
      const std::string name = names.back().substr(slash + 1);
      if (weight.parameter)
        write_dataset(around, name, *weight.parameter);
      else
        around.datasets[name] = zero();
    }
    write_split_texts(own, "weight_names", names);
  }
  write_split_texts(group, "layer_names", layer_names);
  write_split_texts(group.make_group("top_level_model_weights"), "weight_names", {});
}

}  // namespace moru
