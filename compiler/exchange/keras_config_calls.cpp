// Who calls whom in a Keras config: inbound nodes of Keras 2 and 3, keywords, masks, and the counting of calls.
#include <algorithm>
#include <functional>
#include <map>

#include "compiler/exchange/keras_config_reader.h"
#include "compiler/exchange/keras_tf_function.h"
#include "compiler/exchange/keras_values.h"
#include "compiler/ops/layer.h"

namespace moru {

bool ConfigReader::is_keras3_tensor(const Json& json) {
  return json.is_object() && json.contains("class_name") && json["class_name"] == "__keras_tensor__";
}

bool ConfigReader::is_history(const Json& json) {
  return json.is_array() && json.size() >= 3 && json[0].is_string() && json[1].is_number_integer() &&
         json[2].is_number_integer();
}

KerasTensor ConfigReader::read_history(const Json& json, const std::string& path) const {
  if (!is_history(json)) refuse(path, "must be [layer, node, tensor] but is " + json_text(json));
  return {json[0].get<std::string>(), json[1].get<int64_t>(), json[2].get<int64_t>()};
}

std::vector<KerasTensor> ConfigReader::read_tensors(const Json& json, const std::string& path) const {
  if (is_history(json)) return {read_history(json, path)};
  if (!json.is_array() && !json.is_object()) refuse(path, "must be a list but is " + json_text(json));
  std::vector<KerasTensor> tensors;
  for (const Json& element : json) {
    for (KerasTensor& tensor : read_tensors(element, path)) tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void ConfigReader::read_calls(const Json& inbound, KerasLayerConfig& layer, const std::string& path) {
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

void ConfigReader::read_operation_calls(const Json& inbound, KerasLayerConfig& layer, const std::string& path) {
  for (size_t k = 0; k < inbound.size(); ++k) {
    const std::string call_path = path + "[" + std::to_string(k) + "]";
    KerasOperation operation = *layer.operation;
    std::vector<KerasTensor> tensors;
    if (!layer.tf_function.empty()) {
      read_tf_call(inbound[k], layer, call_path, operation, tensors);
      layer.operations.push_back(std::move(operation));
      layer.calls.push_back(std::move(tensors));
      continue;
    }
    operation.args = numbered_tensors(get(inbound[k], "args", call_path), call_path + ".args", tensors);
    if (inbound[k].contains("kwargs"))
      operation.kwargs = numbered_tensors(inbound[k]["kwargs"], call_path + ".kwargs", tensors);
    layer.operations.push_back(std::move(operation));
    layer.calls.push_back(std::move(tensors));
  }
}

// ["layer", 0, 0, {kwargs}], or a list of these where the first argument is one; constants are ["_CONSTANT_VALUE", -1, x].
void ConfigReader::read_tf_call(const Json& inbound, const KerasLayerConfig& layer, const std::string& path,
                                KerasOperation& operation, std::vector<KerasTensor>& tensors) {
  Json kwargs = Json::object();
  const std::function<Json(const Json&, int)> numbered = [&](const Json& json, int depth) -> Json {
    if (depth > max_depth) refuse(path, "lists nest deeper than " + std::to_string(max_depth) + " levels");
    if (is_keras3_tensor(json)) return numbered_tensors(json, path, tensors);
    const bool constant = json.is_array() && json.size() >= 3 && json[0] == "_CONSTANT_VALUE";
    if (constant || is_history(json)) {
      if (json.size() > 3 && json[3].is_object()) kwargs = json[3];
      if (constant) return json[2];
      tensors.push_back(read_history(json, path));
      return Json{{tensor_key, tensors.size() - 1}};
    }
    if (!json.is_structured()) return json;
    Json result = json.is_array() ? Json::array() : Json::object();
    for (const auto& [key, value] : json.items()) {
      Json inner = numbered(value, depth + 1);
      if (json.is_array())
        result.push_back(std::move(inner));
      else
        result[key] = std::move(inner);
    }
    return result;
  };
  Json first;
  if (inbound.is_object() && inbound.contains("args")) {  // as Keras 3 writes calls
    if (inbound["args"].is_array() && !inbound["args"].empty()) first = numbered(inbound["args"][0], 0);
    if (inbound.contains("kwargs")) kwargs = inbound["kwargs"];
  } else {
    first = numbered(inbound, 0);
  }
  const Json given = kwargs;
  kwargs = numbered(given, 0);
  if (!kwargs.is_object()) refuse(path, "keyword arguments must be an object but are " + json_text(kwargs));
  try {
    place_tf_arguments(layer.tf_function, first, kwargs, operation);
  } catch (const KerasValueError& error) {
    problem(layer.name, layer.tf_function, error.what);
  }
}

Json ConfigReader::numbered_tensors(const Json& json, const std::string& path, std::vector<KerasTensor>& tensors) const {
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

const Op* ConfigReader::op_of(const KerasLayerConfig& layer) {
  return layer.submodel == nullptr ? find_layer(layer.class_name) : nullptr;
}

const InputSpec* ConfigReader::find_keyword(const KerasLayerConfig& layer, std::string_view key) {
  const Op* op = op_of(layer);
  if (op == nullptr) return nullptr;
  const auto found = std::find_if(op->inputs.begin(), op->inputs.end(),
                                  [&](const InputSpec& spec) { return spec.keyword && spec.name == key; });
  return found == op->inputs.end() ? nullptr : &*found;
}

std::vector<KerasTensor> ConfigReader::place_keywords(const Call& call, const KerasLayerConfig& layer) {
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

ConfigReader::Call ConfigReader::read_call(const Json& json, const KerasLayerConfig& layer, const std::string& path) {
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

bool ConfigReader::ignores_masks(std::string_view class_name) const {
  if (dialect().major >= 3) return false;
  if (class_name == "Multiply" || class_name == "Maximum" || class_name == "Minimum") return true;
  if (class_name == "Softmax") return dialect().multi_backend_2;
  return class_name == "BatchNormalization" && !dialect().version.starts_with("2.14") && !dialect().version.starts_with("2.15");
}

void ConfigReader::read_mask(const std::string& key, const Json& value, const KerasLayerConfig& layer, const std::string& path, Call& call) {
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

void ConfigReader::read_argument(const Json& argument, const KerasLayerConfig& layer, const std::string& path,
                     std::vector<KerasTensor>& inputs) {
  if (is_keras3_tensor(argument)) {
    inputs.push_back(read_history(get(get(argument, "config", path), "keras_history", path), path));
  } else if (argument.is_array() || (argument.is_object() && !argument.contains("class_name"))) {
    for (const Json& element : argument) read_argument(element, layer, path, inputs);
  } else if (!argument.is_null()) {
    problem(layer.name, layer.class_name, "is called with " + json_text(argument) + ", which is not supported");
  }
}

bool ConfigReader::read_call_attribute(const std::string& key, const Json& value, const KerasLayerConfig& layer, Call& call) {
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

void ConfigReader::read_kwargs(const Json& kwargs, const KerasLayerConfig& layer, const std::string& path, Call& call) {
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

void ConfigReader::resolve_calls(KerasModelConfig& model, const std::string& path) const {
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

std::string ConfigReader::reader_of(const KerasModelConfig& model, const std::string& source) {
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

}  // namespace moru
