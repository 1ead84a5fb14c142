#include "compiler/exchange/keras_config.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/model/functional.h"
#include "compiler/model/infer_model.h"
#include "compiler/ops/layer.h"
#include "compiler/ops/recurrent_cells.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

constexpr int max_depth = 32;  // of models and wrappers in each other

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

// A value that changes nothing, whatever its key means.
bool is_neutral(const Json& value) {
  return value.is_null() || value == false || (value.is_number() && value == 0) || value == "channels_last" ||
         (value.is_array() && value.empty());
}

class ConfigReader {
 public:
  ConfigReader(KerasConfig& result, const std::string& source, bool fixed_batch = false)
      : result_(result), source_(source), fixed_batch_(fixed_batch) {}

  [[noreturn]] void refuse(const std::string& path, const std::string& what, std::string hint = {}) const {
    throw CompileError({.stage = "import",
                        .node = {},
                        .op = {},
                        .what = source_ + ": " + (path.empty() ? "" : path + ": ") + what,
                        .detail = {},
                        .hint = std::move(hint)});
  }

  const Json& get(const Json& object, const char* key, const std::string& path) const {
    if (!object.is_object()) refuse(path, "must be an object but is " + json_text(object));
    const auto found = object.find(key);
    if (found == object.end()) refuse(path, "the key '" + std::string(key) + "' is missing");
    return *found;
  }
  std::string get_string(const Json& object, const char* key, const std::string& path) const {
    const Json& value = get(object, key, path);
    if (!value.is_string()) refuse(path + "." + key, "must be a string but is " + json_text(value));
    return value.get<std::string>();
  }
  bool get_flag(const Json& object, const char* key, bool fallback) const {
    const auto found = object.find(key);
    return found == object.end() || !found->is_boolean() ? fallback : found->get<bool>();
  }

  void problem(const std::string& layer, const std::string& class_name, std::string what) {
    result_.problems.push_back({layer, class_name, std::move(what)});
  }

  KerasModelConfig read_model(const Json& object, const std::string& path, int depth) {
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

 private:
  KerasConfig& result_;
  const std::string& source_;
  bool fixed_batch_;  // stateful layers keep a state for each row of the batch; otherwise any batch size will do

  const KerasDialect& dialect() const { return result_.dialect; }

  // --- models ---

  KerasModelConfig read_functional(const Json& config, const std::string& path, int depth) {
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

  KerasModelConfig read_sequential(const Json& config, const std::string& path, int depth) {
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

  std::optional<Attributes> first_layer_input(const Json& json, const KerasLayerConfig& layer,
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

  Attributes input_attributes(const Json& shape_json, const std::string& dtype_name, const std::string& path) {
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

  // --- layers ---

  // Keras exports one layer under another name than its class has; weights' files have the latter.
  static std::string moru_class(const std::string& class_name) {
    return class_name == "GroupQueryAttention" ? "GroupedQueryAttention" : class_name;
  }

  KerasLayerConfig read_layer(const Json& json, const std::string& path, int depth) {
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
    if (layer.class_name == "InputLayer") {
      read_input_layer(layer, config, path);
    } else if (layer.class_name == "Bidirectional" || layer.class_name == "TimeDistributed") {
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

  void read_input_layer(KerasLayerConfig& layer, const Json& config, const std::string& path) {
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

  void read_wrapper(KerasLayerConfig& layer, const Json& config, const std::string& path, int depth) {
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
      if (layer.class_name == "Bidirectional") {
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

  // A cell, or several in StackedRNNCells, as the attribute `cell` of RNN has it.
  Attributes read_cell(const std::string& layer, const Json& json, const std::string& path, int depth) {
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

  static Attributes with_class(const KerasLayerConfig& layer) {
    Attributes nested = layer.attributes;
    nested.set("class", layer.class_name);
    return nested;
  }

  Attributes read_attributes(const std::string& name, const std::string& class_name, const Json& config) {
    Attributes attributes;
    const Op* op = find_layer(class_name);
    if (op == nullptr) {
      const bool code = class_name == "Lambda" || class_name == "TFOpLambda" || class_name == "SlicingOpLambda";
      problem(name, class_name,
              code ? "holds Python code, which a compiler cannot read" : "layers of this class are not supported");
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
        if (!imported.is_none()) attributes.set(target, std::move(imported));
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

  void check_dtype(const std::string& name, const std::string& class_name, const Json& config) {
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

  // --- calls ---

  static bool is_keras3_tensor(const Json& json) {
    return json.is_object() && json.contains("class_name") && json["class_name"] == "__keras_tensor__";
  }
  // ["layer", 0, 0] or ["layer", 0, 0, {kwargs}]
  static bool is_history(const Json& json) {
    return json.is_array() && json.size() >= 3 && json[0].is_string() && json[1].is_number_integer() &&
           json[2].is_number_integer();
  }

  KerasTensor read_history(const Json& json, const std::string& path) const {
    if (!is_history(json)) refuse(path, "must be [layer, node, tensor] but is " + json_text(json));
    return {json[0].get<std::string>(), json[1].get<int64_t>(), json[2].get<int64_t>()};
  }

  // input_layers and output_layers: one tensor, a list, or a dict by name.
  std::vector<KerasTensor> read_tensors(const Json& json, const std::string& path) const {
    if (is_history(json)) return {read_history(json, path)};
    if (!json.is_array() && !json.is_object()) refuse(path, "must be a list but is " + json_text(json));
    std::vector<KerasTensor> tensors;
    for (const Json& element : json) {
      for (KerasTensor& tensor : read_tensors(element, path)) tensors.push_back(std::move(tensor));
    }
    return tensors;
  }

  // One call of a layer while it is read.
  struct Call {
    std::vector<KerasTensor> tensors = {};
    std::map<std::string, KerasTensor, std::less<>> keywords = {};  // of inputs that Keras passes by their names
    Attributes arguments = {};                                      // of attributes that belong to the call
    std::vector<KerasMask> masks = {};
  };

  void read_calls(const Json& inbound, KerasLayerConfig& layer, const std::string& path) {
    if (layer.operation) return read_operation_calls(inbound, layer, path);
    Attributes arguments;
    for (size_t k = 0; k < inbound.size(); ++k) {
      Call call = read_call(inbound[k], layer, path + "[" + std::to_string(k) + "]");
      layer.calls.push_back(place_keywords(call, layer));
      layer.masks.push_back(std::move(call.masks));
      if (k == 0) {
        arguments = std::move(call.arguments);
      } else if (!(call.arguments == arguments)) {
        problem(layer.name, layer.class_name,
                "is called with " + arguments.text() + " and with " + call.arguments.text() +
                    "; calls of one layer with different arguments are not supported");
      }
    }
    for (const auto& [name, value] : arguments.entries()) layer.attributes.set(name, value);
  }

  void read_operation_calls(const Json& inbound, KerasLayerConfig& layer, const std::string& path) {
    for (size_t k = 0; k < inbound.size(); ++k) {
      const std::string call_path = path + "[" + std::to_string(k) + "]";
      KerasOperation operation = *layer.operation;
      std::vector<KerasTensor> tensors;
      operation.args = numbered_tensors(get(inbound[k], "args", call_path), call_path + ".args", tensors);
      if (inbound[k].contains("kwargs"))
        operation.kwargs = numbered_tensors(inbound[k]["kwargs"], call_path + ".kwargs", tensors);
      layer.operations.push_back(std::move(operation));
      layer.calls.push_back(std::move(tensors));
    }
  }

  // The arguments with tensors as their numbers among those of the call.
  Json numbered_tensors(const Json& json, const std::string& path, std::vector<KerasTensor>& tensors) const {
    if (is_keras3_tensor(json)) {
      tensors.push_back(read_history(get(get(json, "config", path), "keras_history", path), path));
      return Json{{tensor_key, tensors.size() - 1}};
    }
    if (!json.is_structured()) return json;
    Json result = json.is_array() ? Json::array() : Json::object();
    for (const auto& [key, value] : json.items()) {
      Json inner = numbered_tensors(value, path, tensors);
      if (json.is_array())
        result.push_back(std::move(inner));
      else
        result[key] = std::move(inner);
    }
    return result;
  }

  static const Op* op_of(const KerasLayerConfig& layer) {
    return layer.submodel == nullptr ? find_layer(layer.class_name) : nullptr;
  }

  static const InputSpec* find_keyword(const KerasLayerConfig& layer, std::string_view key) {
    const Op* op = op_of(layer);
    if (op == nullptr) return nullptr;
    const auto found = std::find_if(op->inputs.begin(), op->inputs.end(),
                                    [&](const InputSpec& spec) { return spec.keyword && spec.name == key; });
    return found == op->inputs.end() ? nullptr : &*found;
  }

  // Tensors that were passed by name, in the places of their names behind the others.
  std::vector<KerasTensor> place_keywords(const Call& call, const KerasLayerConfig& layer) {
    std::vector<KerasTensor> tensors = call.tensors;
    size_t left = call.keywords.size();
    const Op* op = op_of(layer);
    for (size_t i = tensors.size(); left > 0 && i < op->inputs.size(); ++i) {
      const InputSpec& spec = op->inputs[i];
      auto found = call.keywords.find(spec.name);
      if (found != call.keywords.end()) --left;
      if (found == call.keywords.end()) found = call.keywords.find(spec.absent_as);
      if (found == call.keywords.end()) {
        const auto other = std::find_if(op->inputs.begin(), op->inputs.end(),
                                        [&](const InputSpec& s) { return s.name == spec.absent_as; });
        const auto at = static_cast<size_t>(other - op->inputs.begin());
        if (at < tensors.size()) {
          tensors.push_back(tensors[at]);
          continue;
        }
        problem(layer.name, layer.class_name, "is called without its input '" + std::string(spec.name) + "'");
        return tensors;
      }
      tensors.push_back(found->second);
    }
    if (left > 0) problem(layer.name, layer.class_name, "is given one of its inputs twice");
    return tensors;
  }

  Call read_call(const Json& json, const KerasLayerConfig& layer, const std::string& path) {
    Call call;
    std::vector<KerasTensor>& inputs = call.tensors;
    if (ignores_masks(layer.class_name)) call.masks.push_back({.name = "mask"});
    if (json.is_object() && json.contains("args")) {
      for (const Json& argument : json["args"]) read_argument(argument, layer, path + ".args", inputs);
      const auto kwargs = json.find("kwargs");
      if (kwargs != json.end()) read_kwargs(*kwargs, layer, path + ".kwargs", call);
      return call;
    }
    // Keras 2: a list of tensors, a single one, or a dict of them; the last element of each holds keyword arguments.
    std::vector<const Json*> tensors;
    if (is_history(json)) {
      tensors.push_back(&json);
    } else if (json.is_array() || json.is_object()) {
      for (const Json& element : json) tensors.push_back(&element);
    } else {
      refuse(path, "must be a list of [layer, node, tensor] but is " + json_text(json));
    }
    std::vector<const Json*> keyword_arguments;
    for (const Json* tensor : tensors) {
      if (is_history(*tensor) && (*tensor)[0] == "_CONSTANT_VALUE") {
        problem(layer.name, layer.class_name, "is called on a constant, which is not supported");
        continue;
      }
      inputs.push_back(read_history(*tensor, path));
      if (tensor->size() > 3) keyword_arguments.push_back(&(*tensor)[3]);
    }
    for (const Json* kwargs : keyword_arguments) read_kwargs(*kwargs, layer, path, call);
    return call;
  }

  // Layers that use masks today and did not in the Keras that wrote the file.
  bool ignores_masks(std::string_view class_name) const {
    if (dialect().major >= 3) return false;
    if (class_name == "Multiply" || class_name == "Maximum" || class_name == "Minimum") return true;
    if (class_name == "Softmax") return dialect().multi_backend_2;
    return class_name == "BatchNormalization" && !dialect().version.starts_with("2.14") && !dialect().version.starts_with("2.15");
  }

  // mask=tensor, or a list with one for each input: [query, value]. Keras 3 writes tensors as objects, Keras 2 as lists.
  void read_mask(const std::string& key, const Json& value, const KerasLayerConfig& layer, const std::string& path, Call& call) {
    std::erase_if(call.masks, [&](const KerasMask& mask) { return mask.name == key; });
    const auto read = [&](const std::string& name, const Json& tensor) {
      if (is_keras3_tensor(tensor)) {
        call.masks.push_back({name, read_history(get(get(tensor, "config", path), "keras_history", path), path)});
      } else if (is_history(tensor)) {
        call.masks.push_back({name, read_history(tensor, path)});
      } else if (!tensor.is_null()) {
        problem(layer.name, layer.class_name,
                "is called with " + name + "=" + json_text(tensor) + ", which is not a tensor of the model");
      }
    };
    const Op* op = op_of(layer);
    if (!value.is_array() || is_history(value)) return read(key, value);
    for (size_t i = 0; i < value.size(); ++i) {
      const bool named = op != nullptr && value.size() > 1 && i < op->inputs.size();
      read(named ? std::string(op->inputs[i].name) + "_mask" : key, value[i]);
    }
  }

  void read_argument(const Json& argument, const KerasLayerConfig& layer, const std::string& path,
                     std::vector<KerasTensor>& inputs) {
    if (is_keras3_tensor(argument)) {
      inputs.push_back(read_history(get(get(argument, "config", path), "keras_history", path), path));
    } else if (argument.is_array() || (argument.is_object() && !argument.contains("class_name"))) {
      for (const Json& element : argument) read_argument(element, layer, path, inputs);
    } else if (!argument.is_null()) {
      problem(layer.name, layer.class_name, "is called with " + json_text(argument) + ", which is not supported");
    }
  }

  // True where the argument is one of an attribute that belongs to the call.
  bool read_call_attribute(const std::string& key, const Json& value, const KerasLayerConfig& layer, Call& call) {
    const Op* op = op_of(layer);
    if (op == nullptr) return false;
    for (const AttributeSpec& spec : op->attributes) {
      if (!spec.of_call || spec.name != key) continue;
      try {
        const AttributeValue imported = import_value(value, spec, dialect());
        if (!imported.is_none() && !(imported == spec.default_value)) call.arguments.set(key, imported);
      } catch (const KerasValueError& error) {
        problem(layer.name, layer.class_name, "is called with the argument '" + key + "', which " + error.what);
      }
      return true;
    }
    return false;
  }

  void read_kwargs(const Json& kwargs, const KerasLayerConfig& layer, const std::string& path, Call& call) {
    std::vector<KerasTensor>& inputs = call.tensors;
    if (!kwargs.is_object()) refuse(path, "keyword arguments must be an object but are " + json_text(kwargs));
    for (const auto& [key, value] : kwargs.items()) {
      if (is_neutral(value) && key != "training") continue;
      if (key == "initial_state" || key == "inputs") {
        std::vector<KerasTensor> tensors;
        if (dialect().major >= 3 || !value.is_array()) {
          read_argument(value, layer, path + "." + key, tensors);
        } else {
          tensors = read_tensors(value, path + "." + key);
        }
        inputs.insert(inputs.end(), tensors.begin(), tensors.end());
        // Keras 3 hands a layer the mask of its input only where that is its one tensor argument.
        const bool given = std::ranges::any_of(call.masks, [](const KerasMask& mask) { return mask.name == "mask"; });
        if (key == "initial_state" && dialect().major >= 3 && !given) call.masks.push_back({.name = "mask"});
      } else if (is_supplied(key) && key.ends_with("mask")) {
        read_mask(key, value, layer, path + "." + key, call);
      } else if (find_keyword(layer, key) != nullptr) {
        const bool keras3 = is_keras3_tensor(value);
        if (!keras3 && !is_history(value)) {
          problem(layer.name, layer.class_name,
                  "is called with " + key + "=" + json_text(value) + ", which is not a tensor of the model");
          continue;
        }
        std::vector<KerasTensor> tensors;
        if (keras3) read_argument(value, layer, path + "." + key, tensors);
        call.keywords.insert_or_assign(key, keras3 ? tensors.at(0) : read_history(value, path + "." + key));
      } else if (read_call_attribute(key, value, layer, call)) {
        continue;
      } else if (key == "training") {
        // Keras 3 records the mode the model was drawn in, and overrides it in fit and predict; Keras 2 records what
        // the user fixed.
        const bool matters = layer.class_name.find("Dropout") != std::string::npos || layer.class_name == "GaussianNoise" ||
                             layer.class_name == "BatchNormalization" || layer.submodel != nullptr;
        if (dialect().major < 3 && !value.is_null() && matters) {
          problem(layer.name, layer.class_name,
                  "is called with training=" + json_text(value) + ", which is not supported");
        }
      } else {
        problem(layer.name, layer.class_name, "is called with the argument '" + key + "', which is not supported");
      }
    }
  }

  // The calls of nested models are counted from 0 or from 1, by Keras version and by where they are referred to: a
  // model's own construction counts as a call in some. The preferred count is dropped where a reference would fall
  // outside.
  void resolve_calls(KerasModelConfig& model, const std::string& path) const {
    std::map<std::string, size_t> index;
    for (size_t i = 0; i < model.layers.size(); ++i) index[model.layers[i].name] = i;
    std::map<std::string, std::vector<KerasTensor*>> inner, outer;
    for (KerasLayerConfig& layer : model.layers) {
      for (std::vector<KerasTensor>& call : layer.calls) {
        for (KerasTensor& tensor : call) inner[tensor.layer].push_back(&tensor);
      }
      for (std::vector<KerasMask>& masks : layer.masks) {
        for (KerasMask& mask : masks) {
          if (mask.tensor) inner[mask.tensor->layer].push_back(&*mask.tensor);
        }
      }
      const bool is_input = layer.class_name == "InputLayer";
      if (is_input && !layer.calls.empty()) refuse(path, "the InputLayer '" + layer.name + "' has inbound nodes");
      if (is_input) layer.calls.emplace_back();
      layer.masks.resize(layer.calls.size());
    }
    for (KerasTensor& tensor : model.outputs) outer[tensor.layer].push_back(&tensor);
    for (KerasTensor& tensor : model.inputs) outer[tensor.layer].push_back(&tensor);
    const auto resolve = [&](const std::string& name, std::vector<KerasTensor*>& tensors, bool outputs) {
      const auto found = index.find(name);
      if (found == index.end()) {
        refuse(path, outputs ? "an input or output of the model names the layer '" + name + "', which does not exist"
                             : "the layer '" + reader_of(model, name) + "' takes its input from the layer '" + name +
                                   "', which does not exist");
      }
      const KerasLayerConfig& layer = model.layers[found->second];
      const auto calls = static_cast<int64_t>(layer.calls.size());
      const bool nested = layer.submodel != nullptr && layer.class_name != "TimeDistributed";
      const auto fits = [&](int64_t base) {
        return std::all_of(tensors.begin(), tensors.end(), [&](const KerasTensor* tensor) {
          return tensor->call - base >= 0 && tensor->call - base < calls;
        });
      };
      const bool from_one = nested && (dialect().major < 3 || (outputs && layer.class_name == "Functional"));
      int64_t base = from_one ? 1 : 0;
      if (!fits(base) && nested && fits(1 - base)) base = 1 - base;
      if (!fits(base)) {
        refuse(path, "call " + std::to_string(tensors.front()->call) + " (counted from 0) of the layer '" + name +
                         "' is used, but it is called " + std::to_string(calls) + (calls == 1 ? " time" : " times"));
      }
      for (KerasTensor* tensor : tensors) tensor->call -= base;
    };
    for (auto& [name, tensors] : inner) resolve(name, tensors, false);
    for (auto& [name, tensors] : outer) resolve(name, tensors, true);
  }

  static std::string reader_of(const KerasModelConfig& model, const std::string& source) {
    for (const KerasLayerConfig& layer : model.layers) {
      for (const auto& call : layer.calls) {
        for (const KerasTensor& tensor : call) {
          if (tensor.layer == source) return layer.name;
        }
      }
      for (const auto& masks : layer.masks) {
        for (const KerasMask& mask : masks) {
          if (mask.tensor && mask.tensor->layer == source) return layer.name;
        }
      }
    }
    return "?";
  }
};

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
