// The layers in a Keras config: classes, arguments, cells and wrappers.
#include <algorithm>
#include <set>

#include "compiler/exchange/keras_config_reader.h"
#include "compiler/exchange/keras_tf_function.h"
#include "compiler/model/functional.h"
#include "compiler/ops/layer.h"
#include "compiler/ops/recurrent_cells.h"

namespace moru {
namespace {

// Keys of every layer's config that are not arguments of the layer's computation.
const std::set<std::string, std::less<>> layer_keys = {"name",
                                                       "trainable",
                                                       "dtype",
                                                       "batch_input_shape",
                                                       "batch_shape",
                                                       "build_config",
                                                       "input_shape",
                                                       "input_dtype",
                                                       "dynamic",
                                                       "autocast",
                                                       "shared_object_id",
                                                       "registered_name",
                                                       "input_length",
                                                       "build_input_shape",
                                                       "query_shape",
                                                       "key_shape",
                                                       "value_shape",
                                                       "implementation",
                                                       "seed",
                                                       "lora_rank",
                                                       "lora_alpha",
                                                       "quantization_config",
                                                       "optional",
                                                       "ragged",
                                                       "sparse",
                                                       "batch_size"};

bool is_unsupported(const AttributeSpec& spec) {
  return spec.doc.starts_with("unsupported") || spec.doc.starts_with("only");
}
bool is_ignored(const AttributeSpec& spec) { return spec.doc.starts_with("ignored"); }

// What a class is registered as that is not Keras' own, though it may be named like one: "Custom>Dense".
std::string custom_name(const Json& layer) {
  const auto name = layer.find("registered_name");
  if (name == layer.end() || !name->is_string()) return {};
  const std::string registered = name->get<std::string>();
  return registered.find('>') == std::string::npos || registered.starts_with("keras") ? std::string() : registered;
}

}  // namespace

std::string ConfigReader::moru_class(const std::string& class_name) {
  return class_name == "GroupQueryAttention" ? "GroupedQueryAttention" : class_name;
}

KerasLayerConfig ConfigReader::read_layer(const Json& json, const std::string& path, int depth) {
  if (depth > max_depth) refuse(path, "layers nest deeper than " + std::to_string(max_depth) + " levels");
  KerasLayerConfig layer;
  layer.class_name = moru_class(get_string(json, "class_name", path));
  const Json& config = get(json, "config", path);
  if (json.contains("name") && json["name"].is_string()) {
    layer.name = json["name"].get<std::string>();
  } else if (config.is_object() && config.contains("name") && config["name"].is_string()) {
    layer.name = config["name"].get<std::string>();
  } else if (config.is_object()) {
    layer.name = default_layer_name(layer.class_name);
  }
  const bool nested =
      layer.class_name == "Sequential" || layer.class_name == "Functional" || layer.class_name == "Model";
  if (nested) {
    layer.submodel = std::make_shared<KerasModelConfig>(read_model(json, path, depth + 1));
    layer.class_name = layer.submodel->sequential ? "Sequential" : "Functional";
    layer.trainable = layer.submodel->trainable;
    if (layer.name.empty()) layer.name = layer.submodel->name;
    return layer;
  }
  if (!config.is_object()) refuse(path + ".config", "must be an object but is " + json_text(config));
  if (const std::string registered = custom_name(json); !registered.empty()) {
    problem(layer.name, layer.class_name, "is a class of its own, registered as '" + registered + "': code, which a compiler cannot read");
    return layer;
  }
  layer.trainable = get_flag(config, "trainable", true);
  if (is_keras_operation(json)) {
    layer.operation = KerasOperation{.module = json["module"].get<std::string>(),
                                     .class_name = layer.class_name,
                                     .config = config,
                                     .args = Json::array(),
                                     .kwargs = Json::object()};
    if (!knows_keras_operation(layer.class_name)) {
      problem(layer.name, layer.class_name, "this operation of keras.ops is not supported");
    }
    return layer;
  }
  if (is_tf_function(json)) {
    layer.tf_function = layer.class_name == "SlicingOpLambda" ? "__operators__.getitem" : get_string(config, "function", path + ".config");
    layer.operation = find_tf_operation(layer.tf_function);
    if (!layer.operation)
      problem(layer.name, layer.class_name, "the TensorFlow function '" + layer.tf_function + "' is not supported");
    else
      layer.class_name = layer.operation->class_name;
    return layer;
  }
  if (layer.class_name == "InputLayer") {
    read_input_layer(layer, config, path);
  } else if (layer.class_name == "Bidirectional" || layer.class_name == "TimeDistributed" ||
             layer.class_name == "SpectralNormalization") {
    read_wrapper(layer, config, path, depth);
  } else if (layer.class_name == "RNN") {
    Json rest = config;
    rest.erase("cell");
    layer.attributes = read_attributes(layer.name, layer.class_name, rest);
    layer.attributes.set("cell", read_cell(layer.name, get(config, "cell", path + ".config"), path + ".config.cell", depth + 1));
  } else {
    layer.attributes = read_attributes(layer.name, layer.class_name, config);
  }
  return layer;
}

void ConfigReader::read_input_layer(KerasLayerConfig& layer, const Json& config, const std::string& path) {
  std::string dtype = "float32";
  if (config.contains("dtype") && !config["dtype"].is_null()) {
    try {
      dtype = import_dtype_name(config["dtype"]);
    } catch (const KerasValueError& error) {
      problem(layer.name, layer.class_name, "attribute 'dtype' " + error.what);
    }
  }
  if (!find_keras_dtype(dtype)) {
    problem(layer.name, layer.class_name, "inputs of dtype '" + dtype + "' are not supported");
  }
  for (const char* flag : {"sparse", "ragged"}) {
    if (get_flag(config, flag, false)) {
      problem(layer.name, layer.class_name, std::string(flag) + " inputs are not supported");
    }
  }
  const char* key = config.contains("batch_shape") ? "batch_shape" : "batch_input_shape";
  layer.attributes = input_attributes(get(config, key, path + ".config"), dtype, path + ".config." + key);
}

void ConfigReader::read_wrapper(KerasLayerConfig& layer, const Json& config, const std::string& path, int depth) {
  const Json& inner_json = get(config, "layer", path + ".config");
  const KerasLayerConfig inner = read_layer(inner_json, path + ".config.layer", depth + 1);
  layer.trainable = layer.trainable && inner.trainable;
  Json rest = config;
  rest.erase("layer");
  rest.erase("backward_layer");
  if (layer.class_name == "Bidirectional" && rest.contains("merge_mode") && rest["merge_mode"].is_null()) {
    rest["merge_mode"] = "none";
  }
  layer.attributes = read_attributes(layer.name, layer.class_name, rest);
  if (inner.submodel != nullptr) {
    if (layer.class_name != "TimeDistributed") {
      problem(layer.name, layer.class_name, "wraps a model, which is not supported");
    }
    layer.submodel = inner.submodel;
    return;
  }
  layer.attributes.set("layer", with_class(inner));
  const auto backward_json = config.find("backward_layer");
  if (layer.class_name != "Bidirectional" || backward_json == config.end() || backward_json->is_null()) return;
  const KerasLayerConfig backward = read_layer(*backward_json, path + ".config.backward_layer", depth + 1);
  // Keras 3 always writes the backward layer; one that only mirrors the forward layer is the default and left out.
  KerasLayerConfig mirrored = inner;
  const AttributeValue* go_backwards = inner.attributes.find("go_backwards");
  const bool* flag = go_backwards == nullptr ? nullptr : std::get_if<bool>(&go_backwards->value);
  mirrored.attributes.set("go_backwards", !(flag != nullptr && *flag));
  if (backward.class_name != mirrored.class_name || !(backward.attributes == mirrored.attributes)) {
    layer.attributes.set("backward_layer", with_class(backward));
  }
}

Attributes ConfigReader::read_cell(const std::string& layer, const Json& json, const std::string& path, int depth) {
  if (depth > max_depth) refuse(path, "cells nest deeper than " + std::to_string(max_depth) + " levels");
  const std::string class_name = get_string(json, "class_name", path);
  const Json& config = get(json, "config", path);
  Attributes cell;
  if (class_name == "StackedRNNCells") {
    const Json& cells = get(config, "cells", path + ".config");
    if (!cells.is_array()) refuse(path + ".config.cells", "must be a list but is " + json_text(cells));
    for (size_t i = 0; i < cells.size(); ++i)
      cell.set("cell_" + std::to_string(i), read_cell(layer, cells[i], path + ".config.cells[" + std::to_string(i) + "]", depth + 1));
  } else if (const Cell* known = find_cell(class_name); known != nullptr && class_name == known->class_name) {
    cell = read_attributes(layer, std::string(get_op(known->op).class_name), config);
  } else {
    problem(layer, "RNN", "runs a cell of the class '" + class_name + "', which is not supported");
  }
  cell.set("class", class_name);
  return cell;
}

Attributes ConfigReader::with_class(const KerasLayerConfig& layer) {
  Attributes nested = layer.attributes;
  nested.set("class", layer.class_name);
  return nested;
}

Attributes ConfigReader::read_attributes(const std::string& name, const std::string& class_name, const Json& config) {
  Attributes attributes;
  const Op* op = find_layer(class_name);
  if (op == nullptr) {
    const std::string_view encoder = class_name == "StringLookup" ? "string_lookup" : class_name == "Hashing" ? "hashing" : "";
    if (!encoder.empty())
      problem(name, class_name, "reads text, which is a recipe's work: begin the model behind this layer, and give the column \"encoder\": \"" +
                                    std::string(encoder) + "\"");
    else
      problem(name, class_name,
              class_name == "Lambda" ? "holds Python code, which a compiler cannot read" : "layers of this class are not supported");
    return attributes;
  }
  check_dtype(name, class_name, config);
  const auto find_spec = [&](std::string_view key) -> const AttributeSpec* {
    for (const AttributeSpec& spec : op->attributes) {
      if (spec.name == key && !spec.internal && !spec.of_call) return &spec;
    }
    return nullptr;
  };
  for (const auto& [key, value] : config.items()) {
    std::string target = key;
    if (key == "alpha" && find_spec("alpha") == nullptr) target = "negative_slope";  // LeakyReLU of Keras 2
    const AttributeSpec* spec = find_spec(target);
    const bool unknown = spec == nullptr && layer_keys.count(key) == 0;
    if ((unknown || (spec != nullptr && is_unsupported(*spec))) && !is_neutral(value)) {
      problem(name, class_name, "attribute '" + key + "' = " + json_text(value) + " is not supported");
    }
    if (spec == nullptr || is_unsupported(*spec) || is_ignored(*spec)) continue;
    try {
      AttributeValue imported = import_value(value, *spec, dialect());
      const bool means_none = spec->optional && !spec->default_value.is_none();
      if (!imported.is_none() || means_none) attributes.set(target, std::move(imported));
    } catch (const KerasValueError& error) {
      problem(name, class_name, "attribute '" + key + "' " + error.what);
    }
  }
  if (dialect().multi_backend_2) {
    if (find_spec("recurrent_activation") != nullptr && !config.contains("recurrent_activation")) {
      attributes.set("recurrent_activation", "hard_sigmoid_keras2");
    }
    if (find_spec("reset_after") != nullptr && !config.contains("reset_after")) attributes.set("reset_after", false);
  }
  return attributes;
}

void ConfigReader::check_dtype(const std::string& name, const std::string& class_name, const Json& config) {
  const auto dtype = config.find("dtype");
  if (dtype == config.end() || dtype->is_null()) return;
  try {
    const std::string dtype_text = import_dtype_name(*dtype);
    // What a layer that makes categories of numbers yields, not what it computes in.
    const bool indices = (dtype_text == "int64" || dtype_text == "int32") && config.contains("output_mode");
    if (const std::optional<DTypePolicy> policy = find_dtype_policy(dtype_text)) {
      if (*policy != DTypePolicy::float32) result_.dtype_policy = *policy;
    } else if (!indices) {
      problem(name, class_name, "computing in '" + dtype_text + "' is not supported, only in 'float32' and 'mixed_bfloat16'");
    }
  } catch (const KerasValueError& error) {
    problem(name, class_name, "attribute 'dtype' " + error.what);
  }
}

}  // namespace moru
