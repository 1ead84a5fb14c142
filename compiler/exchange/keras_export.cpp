// export_keras_json: a Model in the words of Keras 3.
#include <algorithm>
#include <map>

#include "compiler/exchange/json_text.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/exchange/keras_operation.h"
#include "compiler/exchange/keras_values.h"
#include "compiler/model/functional.h"
#include "compiler/model/infer_model.h"
#include "compiler/ops/recurrent_cells.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

// What Keras 3 does not have, one line each: all of it is reported at once.
using Problems = std::vector<std::string>;

void add_problem(Problems& problems, const std::string& layer, const std::string& class_name, const std::string& what) {
  problems.push_back("layer '" + layer + "' (" + class_name + "): " + what);
}

// Attributes of Moru's own, and those that only exist to be refused or ignored on import.
bool is_keras_attribute(const AttributeSpec& spec) {
  return !spec.internal && !spec.of_call && !spec.doc.starts_with("unsupported") && !spec.doc.starts_with("only") &&
         !spec.doc.starts_with("ignored");
}

// Every policy in the config, as Keras has it where a model was made under a global policy.
void set_dtype_policy(Json& config, DTypePolicy policy) {
  if (config.is_object() && config.value("class_name", Json()) == "DTypePolicy") config["config"]["name"] = dtype_policy_name(policy);
  if (config.is_structured())
    for (Json& part : config) set_dtype_policy(part, policy);
}

Json dtype_policy() {
  Json config = Json::object();
  config["name"] = "float32";
  return keras_object("keras", "DTypePolicy", std::move(config));
}

Json export_model(const Model& model, bool trainable, Problems& problems);

Json export_inner_layer(const Attributes& nested, const std::string& name, bool trainable, const std::string& node,
                        Problems& problems);

// The cell of an RNN: what is given of its arguments, or its cells.
Json export_cell(const Attributes& cell, const std::string& node, Problems& problems) {
  const std::string& class_name = cell.string("class");
  Json config = Json::object();
  if (class_name == "StackedRNNCells") {
    config["cells"] = Json::array();
    for (size_t i = 0; cell.has("cell_" + std::to_string(i)); ++i)
      config["cells"].push_back(export_cell(cell.nested("cell_" + std::to_string(i)), node, problems));
    return keras_object("keras.layers", class_name, std::move(config));
  }
  const Cell* known = find_cell(class_name);
  if (known == nullptr) {
    add_problem(problems, node, class_name, "is no cell of Keras");
    return config;
  }
  for (const AttributeSpec& spec : get_op(known->op).attributes) {
    const AttributeValue* given = cell.find(spec.name);
    if (given == nullptr || !is_keras_attribute(spec)) continue;
    try {
      config[std::string(spec.name)] = export_value(*given, spec);
    } catch (const KerasValueError& error) {
      add_problem(problems, node, class_name, "its attribute '" + std::string(spec.name) + "' " + error.what);
    }
  }
  return keras_object("keras.layers", class_name, std::move(config));
}

Json export_layer_config(const std::string& name, const std::string& class_name, const Attributes& attributes,
                         bool trainable, const std::string& node, Problems& problems) {
  const Op* op = find_layer(class_name);
  if (op == nullptr) {
    add_problem(problems, node, class_name, "is no layer of Keras");
    return Json::object();
  }
  Json config = Json::object();
  config["name"] = name;
  if (op->takes_trainable) config["trainable"] = trainable;
  config["dtype"] = dtype_policy();
  for (const AttributeSpec& spec : op->attributes) {
    if (!is_keras_attribute(spec)) continue;
    const std::string key(spec.name);
    const AttributeValue* given = attributes.find(spec.name);
    if (given == nullptr && attributes.has("class")) continue;  // of a layer inside a wrapper: what is given says enough
    const AttributeValue& value = given == nullptr ? spec.default_value : *given;
    if (spec.recent && value == spec.default_value) continue;
    if (spec.name == "cell") {
      config[key] = export_cell(attributes.nested("cell"), node, problems);
      continue;
    }
    if (spec.type == AttributeType::nested) {
      if (const auto* nested = std::get_if<AttributeValue::Nested>(&value.value); nested != nullptr && *nested) {
        const std::string prefix = class_name != "Bidirectional" ? "" : key == "layer" ? "forward_" : "backward_";
        config[key] =
            export_inner_layer(**nested, prefix + default_layer_name((*nested)->string("class")), trainable, node, problems);
      }
      continue;
    }
    try {
      config[key] = export_value(value, spec);
    } catch (const KerasValueError& error) {
      add_problem(problems, node, class_name, "its attribute '" + key + "' " + error.what);
    }
  }
  if (class_name == "Bidirectional" && config.value("merge_mode", Json()) == "none") config["merge_mode"] = nullptr;
  return config;
}

Json export_inner_layer(const Attributes& nested, const std::string& name, bool trainable, const std::string& node,
                        Problems& problems) {
  const std::string& class_name = nested.string("class");
  return keras_object("keras.layers", class_name,
                      export_layer_config(name, class_name, nested, trainable, node, problems));
}

KerasOperation operation_of(const Layer& layer) {
  return KerasOperation::parse(layer.attributes.string(operation_attribute), layer.class_name);
}

// An operation's arguments with tensors in the place of their numbers.
Json with_tensors(const Json& json, const Json& tensors) {
  if (json.is_object() && json.size() == 1 && json.contains(tensor_key)) return tensors.at(json[tensor_key].get<size_t>());
  if (!json.is_structured()) return json;
  Json result = json;
  for (Json& element : result) element = with_tensors(element, tensors);
  return result;
}

Json export_layer(const Layer& layer, Problems& problems) {
  if (layer.class_name == "InputLayer") {
    const Type type = input_layer_type(layer);
    Json config = Json::object();
    config["batch_shape"] = export_shape(type.shape);
    config["dtype"] = numpy_name(type.dtype);
    config["sparse"] = false;
    config["ragged"] = false;
    config["name"] = layer.name;
    return keras_object("keras.layers", "InputLayer", std::move(config));
  }
  if (layer.body != nullptr) {
    if (!layer.attributes.has(operation_attribute)) {
      add_problem(problems, layer.name, layer.class_name, "is an operator of an imported model");
      return Json::object();
    }
    const KerasOperation operation = operation_of(layer);
    Json object = keras_object(operation.module.c_str(), layer.class_name, operation.config);
    object["registered_name"] = layer.class_name;
    return object;
  }
  if (layer.submodel != nullptr && layer.class_name != "TimeDistributed") {
    Json object = export_model(*layer.submodel, layer.trainable, problems);
    object["config"]["name"] = layer.name;
    return object;
  }
  if (layer.submodel != nullptr) {
    Json config = Json::object();
    config["name"] = layer.name;
    config["trainable"] = layer.trainable;
    config["dtype"] = dtype_policy();
    config["layer"] = export_model(*layer.submodel, true, problems);
    return keras_object("keras.layers", layer.class_name, std::move(config));
  }
  // The one layer that Keras exports under another name than its class has.
  const bool renamed = layer.class_name == "GroupedQueryAttention";
  return keras_object("keras.layers", renamed ? "GroupQueryAttention" : layer.class_name,
                      export_layer_config(layer.name, layer.class_name, layer.attributes, layer.trainable, layer.name, problems));
}

// Which call of its layer each node is.
std::vector<int64_t> call_numbers(const Model& model) {
  std::map<uint32_t, int64_t> calls;
  std::vector<int64_t> numbers;
  for (const ModelNode& node : model.nodes) numbers.push_back(calls[node.layer]++);
  return numbers;
}

Json export_tensor(const Model& model, TensorRef ref, const std::vector<int64_t>& calls) {
  Json tensor = Json::object();
  tensor["class_name"] = "__keras_tensor__";
  const Type& type = model.type(ref);
  tensor["config"]["shape"] = export_shape(type.shape);
  tensor["config"]["dtype"] = numpy_name(type.dtype);
  tensor["config"]["keras_history"] =
      Json::array({model.layers[model.nodes[ref.node].layer].name, calls[ref.node], ref.output});
  return tensor;
}

// Masks that are no arguments of their own in Keras are one, a list in the order of the inputs: mask=[query_mask, value_mask].
void list_masks(const Op& op, Json& kwargs) {
  Json masks = Json::array();
  bool given = false;
  for (const InputSpec& input : op.inputs) {
    const std::string name(input.name);
    if (input.keyword || !name.ends_with("_mask")) continue;
    masks.push_back(kwargs.value(name, Json()));
    given = kwargs.erase(name) > 0 || given;
  }
  if (given) kwargs["mask"] = std::move(masks);
}

Json export_call(const Model& model, const ModelNode& node, const std::vector<int64_t>& calls) {
  const Layer& layer = model.layers[node.layer];
  Json tensors = Json::array();
  for (const TensorRef& ref : node.inputs) tensors.push_back(export_tensor(model, ref, calls));
  Json args = Json::array(), kwargs = Json::object();
  if (layer.body != nullptr) {
    if (!layer.attributes.has(operation_attribute)) return Json::object();  // export_layer says so
    const KerasOperation operation = operation_of(layer);
    Json call = Json::object();
    call["args"] = with_tensors(operation.args, tensors);
    call["kwargs"] = with_tensors(operation.kwargs, tensors);
    return call;
  }
  const Op* op = layer.submodel == nullptr ? find_layer(layer.class_name) : nullptr;
  const bool by_name = op != nullptr && op->inputs.size() > 1 && op->inputs[1].keyword;
  const bool recurrent = op != nullptr && (op->inputs.size() > 1 && op->inputs[1].name.starts_with("initial"));
  if (recurrent || layer.class_name == "Bidirectional" || layer.class_name == "RNN") {
    args.push_back(tensors[0]);
    if (tensors.size() > 1) {
      kwargs["initial_state"] = Json::array();
      for (size_t i = 1; i < tensors.size(); ++i) kwargs["initial_state"].push_back(tensors[i]);
    }
  } else if (by_name) {
    args.push_back(tensors[0]);
    for (size_t i = 1; i < tensors.size(); ++i) kwargs[std::string(op->inputs[i].name)] = tensors[i];
  } else if (tensors.size() == 1 && !(op != nullptr && op->inputs[0].variadic)) {
    args.push_back(tensors[0]);
  } else {
    args.push_back(tensors);
  }
  if (op != nullptr)
    for (const AttributeSpec& spec : op->attributes)
      if (const AttributeValue* given = layer.attributes.find(spec.name); spec.of_call && given)
        if (!(*given == spec.default_value)) kwargs[std::string(spec.name)] = export_value(*given, spec);
  for (const KeywordTensor& keyword : node.keywords)
    if (keyword.tensor) kwargs[keyword.name] = export_tensor(model, *keyword.tensor, calls);
  if (op != nullptr) list_masks(*op, kwargs);
  Json call = Json::object();
  call["args"] = std::move(args);
  call["kwargs"] = std::move(kwargs);
  return call;
}

// Keras draws a model inside a TimeDistributed for the shape of one step, which it takes from here.
void add_build_config(const Model& model, uint32_t layer, Json& json) {
  if (model.layers[layer].class_name != "TimeDistributed") return;
  const auto call = std::ranges::find_if(model.nodes, [&](const ModelNode& node) { return node.layer == layer; });
  if (call == model.nodes.end()) return;
  json["build_config"]["input_shape"] = export_shape(model.type(call->inputs.at(0)).shape);
}

Json export_functional(const Model& model, bool trainable, Problems& problems) {
  const std::vector<int64_t> calls = call_numbers(model);
  Json config = Json::object();
  config["name"] = model.name;
  config["trainable"] = trainable;
  config["layers"] = Json::array();
  for (uint32_t i = 0; i < model.layers.size(); ++i) {
    Json layer = export_layer(model.layers[i], problems);
    add_build_config(model, i, layer);
    layer["name"] = model.layers[i].name;
    layer["inbound_nodes"] = Json::array();
    for (const ModelNode& node : model.nodes) {
      if (node.layer == i && model.layers[i].class_name != "InputLayer") {
        layer["inbound_nodes"].push_back(export_call(model, node, calls));
      }
    }
    config["layers"].push_back(std::move(layer));
  }
  const auto tensors = [&](const std::vector<TensorRef>& refs) {
    Json list = Json::array();
    for (const TensorRef& ref : refs) {
      const Layer& layer = model.layers[model.nodes[ref.node].layer];
      // Keras 3 counts a nested Functional's own construction as its first call here, and only here.
      const int64_t first = layer.class_name == "Functional" ? 1 : 0;
      list.push_back(Json::array({layer.name, calls[ref.node] + first, ref.output}));
    }
    // A list of one would make Keras take and return lists of one array.
    return list.size() == 1 ? list[0] : list;
  };
  config["input_layers"] = tensors(model.inputs);
  config["output_layers"] = tensors(model.outputs);
  Json object = keras_object("keras.src.models.functional", "Functional", std::move(config));
  object["registered_name"] = "Functional";
  return object;
}

Json export_sequential(const Model& model, bool trainable, Problems& problems) {
  Json config = Json::object();
  config["name"] = model.name;
  config["trainable"] = trainable;
  config["dtype"] = dtype_policy();
  config["layers"] = Json::array();
  for (uint32_t i = 0; i < model.layers.size(); ++i) {
    config["layers"].push_back(export_layer(model.layers[i], problems));
    add_build_config(model, i, config["layers"].back());
  }
  config["build_input_shape"] = export_shape(model.type(model.inputs.front()).shape);
  return keras_object("keras", "Sequential", std::move(config));
}

Json export_model(const Model& model, bool trainable, Problems& problems) {
  return model.sequential ? export_sequential(model, trainable, problems)
                          : export_functional(model, trainable, problems);
}

}  // namespace

std::string export_keras_json(const Model& model) {
  Problems problems;
  Json root = export_model(model, true, problems);
  set_dtype_policy(root, model.dtype_policy);
  if (!problems.empty()) {
    std::string detail;
    for (const std::string& problem : problems) detail += (detail.empty() ? "" : "\n") + problem;
    throw CompileError({.stage = "export",
                        .what = "the model '" + model.name + "' cannot be written for Keras:",
                        .detail = std::move(detail),
                        .hint = "write it as .onnx or .moru"});
  }
  return print_json(root);
}

}  // namespace moru
