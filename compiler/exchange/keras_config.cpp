#include "compiler/exchange/keras_config.h"

#include <algorithm>
#include <set>

#include "compiler/exchange/keras_config_reader.h"
#include "compiler/model/functional.h"
#include "compiler/model/infer_model.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

// True where anything in the config is written as only Keras 3 does.
bool looks_like_keras3(const Json& json, int depth = 0) {
  if (depth > 200) return false;
  if (json.is_object()) {
    if (json.contains("batch_shape") || (json.contains("args") && json.contains("kwargs"))) return true;
    if (json.contains("class_name") && json["class_name"] == "DTypePolicy") return true;
  }
  if (json.is_structured()) {
    for (const Json& element : json) {
      if (looks_like_keras3(element, depth + 1)) return true;
    }
  }
  return false;
}

bool has_stateful_layers(const Json& json, int depth = 0) {
  if (depth > 200 || !json.is_structured()) return false;
  if (json.is_object() && json.contains("stateful") && json["stateful"] == true) return true;
  return std::any_of(json.begin(), json.end(), [&](const Json& element) { return has_stateful_layers(element, depth + 1); });
}

KerasDialect find_dialect(const Json& root, std::string version) {
  KerasDialect dialect;
  if (version.empty() && root.is_object() && root.contains("keras_version") && root["keras_version"].is_string()) {
    version = root["keras_version"].get<std::string>();
  }
  dialect.version = version;
  if (version.empty()) {
    dialect.major = looks_like_keras3(root) ? 3 : 2;
    return dialect;
  }
  dialect.major = version[0] == '3' ? 3 : version[0] == '1' ? 1 : 2;
  // Keras 2.0 to 2.3 were the multi-backend ones; tf.keras of that time called itself 2.2.4-tf and so on.
  const bool early = version.size() > 2 && version.compare(0, 2, "2.") == 0 && version[2] >= '0' && version[2] <= '3' &&
                     (version.size() == 3 || version[3] == '.');
  dialect.multi_backend_2 = early && version.find("-tf") == std::string::npos;
  return dialect;
}

}  // namespace

void ConfigReader::refuse(const std::string& path, const std::string& what, std::string hint) const {
  throw CompileError({.stage = "import",
                      .node = {},
                      .op = {},
                      .what = source_ + ": " + (path.empty() ? "" : path + ": ") + what,
                      .detail = {},
                      .hint = std::move(hint)});
}

const Json& ConfigReader::get(const Json& object, const char* key, const std::string& path) const {
  if (!object.is_object()) refuse(path, "must be an object but is " + json_text(object));
  const auto found = object.find(key);
  if (found == object.end()) refuse(path, "the key '" + std::string(key) + "' is missing");
  return *found;
}

std::string ConfigReader::get_string(const Json& object, const char* key, const std::string& path) const {
  const Json& value = get(object, key, path);
  if (!value.is_string()) refuse(path + "." + key, "must be a string but is " + json_text(value));
  return value.get<std::string>();
}

bool ConfigReader::get_flag(const Json& object, const char* key, bool fallback) const {
  const auto found = object.find(key);
  return found == object.end() || !found->is_boolean() ? fallback : found->get<bool>();
}

void ConfigReader::problem(const std::string& layer, const std::string& class_name, std::string what) {
  result_.problems.push_back({layer, class_name, std::move(what)});
}

KerasModelConfig ConfigReader::read_model(const Json& object, const std::string& path, int depth) {
  if (depth > max_depth) refuse(path, "models nest deeper than " + std::to_string(max_depth) + " levels");
  const std::string class_name = get_string(object, "class_name", path);
  const Json& config = get(object, "config", path);
  if (class_name == "Sequential") return read_sequential(config, path + ".config", depth);
  if (!config.is_object() || !config.contains("layers")) {
    refuse(path, "a model of class '" + class_name + "' cannot be read from JSON",
           "only Sequential and Functional models carry their structure; a subclassed model is Python code");
  }
  if (!config.contains("input_layers") && !config.contains("output_layers")) {
    return read_sequential(config, path + ".config", depth);
  }
  return read_functional(config, path + ".config", depth);
}

KerasModelConfig ConfigReader::read_functional(const Json& config, const std::string& path, int depth) {
  KerasModelConfig model;
  model.name = config.contains("name") ? get_string(config, "name", path) : "functional";
  model.trainable = get_flag(config, "trainable", true);
  const Json& layers = get(config, "layers", path);
  if (!layers.is_array()) refuse(path + ".layers", "must be a list but is " + json_text(layers));
  std::set<std::string> names;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string layer_path = path + ".layers[" + std::to_string(i) + "]";
    KerasLayerConfig layer = read_layer(layers[i], layer_path, depth);
    if (!names.insert(layer.name).second) refuse(layer_path, "a second layer is named '" + layer.name + "'");
    const auto inbound = layers[i].find("inbound_nodes");
    if (inbound != layers[i].end()) {
      if (!inbound->is_array()) refuse(layer_path + ".inbound_nodes", "must be a list but is " + json_text(*inbound));
      read_calls(*inbound, layer, layer_path + ".inbound_nodes");
    }
    model.layers.push_back(std::move(layer));
  }
  model.inputs = read_tensors(get(config, "input_layers", path), path + ".input_layers");
  model.outputs = read_tensors(get(config, "output_layers", path), path + ".output_layers");
  if (model.outputs.empty()) refuse(path + ".output_layers", "the model has no outputs");
  resolve_calls(model, path);
  return model;
}

KerasModelConfig ConfigReader::read_sequential(const Json& config, const std::string& path, int depth) {
  KerasModelConfig model;
  model.sequential = true;
  model.name = config.is_object() && config.contains("name") ? get_string(config, "name", path) : "sequential";
  if (config.is_object()) model.trainable = get_flag(config, "trainable", true);
  // Before Keras 2.2.3 the config was the bare list.
  const Json& layers = config.is_array() ? config : get(config, "layers", path);
  if (!layers.is_array()) refuse(path + ".layers", "must be a list but is " + json_text(layers));
  std::set<std::string> names;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string layer_path = path + ".layers[" + std::to_string(i) + "]";
    KerasLayerConfig layer = read_layer(layers[i], layer_path, depth);
    if (layer.class_name == "InputLayer") {
      if (i != 0) refuse(layer_path, "an InputLayer must come first in a Sequential");
      model.input = layer.attributes;
      model.input_name = layer.name;
      continue;
    }
    if (!names.insert(layer.name).second) refuse(layer_path, "a second layer is named '" + layer.name + "'");
    if (ignores_masks(layer.class_name)) layer.masks = {std::vector<KerasMask>{{.name = "mask"}}};
    if (model.layers.empty() && !model.input) {
      model.input = first_layer_input(layers[i], layer, layer_path);
      model.input_name = layer.name + "_input";
    }
    model.layers.push_back(std::move(layer));
  }
  if (!model.input && config.is_object() && config.contains("build_input_shape") &&
      config["build_input_shape"].is_array()) {
    model.input = input_attributes(config["build_input_shape"], "float32", path + ".build_input_shape");
  }
  if (model.layers.empty()) refuse(path, "the Sequential '" + model.name + "' has no layers");
  return model;
}

std::optional<Attributes> ConfigReader::first_layer_input(const Json& json, const KerasLayerConfig& layer,
                                              const std::string& path) {
  if (layer.submodel != nullptr && layer.submodel->sequential) return layer.submodel->input;
  if (layer.submodel != nullptr && layer.submodel->inputs.size() == 1) {
    for (const KerasLayerConfig& inner : layer.submodel->layers) {
      if (inner.name == layer.submodel->inputs[0].layer) return inner.attributes;
    }
  }
  const auto config = json.find("config");
  if (config == json.end() || !config->is_object()) return std::nullopt;
  for (const char* key : {"batch_input_shape", "batch_shape"}) {
    const auto shape = config->find(key);
    if (shape != config->end() && !shape->is_null()) {
      return input_attributes(*shape, "float32", path + ".config." + key);
    }
  }
  return std::nullopt;
}

Attributes ConfigReader::input_attributes(const Json& shape_json, const std::string& dtype_name, const std::string& path) {
  // Keras writes several shapes where a layer has several inputs; a Sequential's first layer has one.
  if (!shape_json.is_array() || shape_json.empty()) refuse(path, "must be a shape but is " + json_text(shape_json));
  Shape shape;
  for (size_t i = 0; i < shape_json.size(); ++i) {
    const Json& extent = shape_json[i];
    if (i == 0 && (extent.is_null() || !fixed_batch_)) {
      shape.push_back(Dim::symbol("batch"));
    } else if (extent.is_null()) {
      shape.push_back(open_extent);
    } else if (extent.is_number_integer() && extent.get<int64_t>() > 0 &&
               extent.get<int64_t>() < (int64_t{1} << 40)) {
      shape.push_back(extent.get<int64_t>());
    } else {
      refuse(path, "must be a shape but is " + json_text(shape_json));
    }
  }
  const auto dtype = find_keras_dtype(dtype_name);
  return input_layer_attributes({dtype.value_or(DType::f32), std::move(shape)});
}

KerasConfig read_keras_config(const Json& root, const std::string& source, const std::string& keras_version) {
  const Json* model = &root;
  // What other tools wrap around the config.
  for (const char* key : {"modelTopology", "model_config"}) {
    if (model->is_object() && !model->contains("class_name") && model->contains(key)) model = &(*model)[key];
  }
  KerasConfig result;
  result.dialect = find_dialect(*model, keras_version);
  const ConfigReader reader(result, source);
  if (!model->is_object()) {
    reader.refuse({}, "is not a Keras model: expected an object but got " + json_text(*model));
  }
  if (!model->contains("class_name")) {
    reader.refuse({}, "is not a Keras model: the key 'class_name' is missing", "give it the output of model.to_json()");
  }
  if (result.dialect.major == 1) {
    reader.refuse({}, "was written by Keras " + result.dialect.version + ", which is not supported",
                  "load and save it with Keras 2 first");
  }
  result.model = ConfigReader(result, source, has_stateful_layers(*model)).read_model(*model, "model", 0);
  return result;
}

}  // namespace moru
