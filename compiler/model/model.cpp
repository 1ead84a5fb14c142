#include "compiler/model/model.h"

#include "compiler/model/model_text.h"

namespace moru {

std::optional<DTypePolicy> find_dtype_policy(std::string_view name) {
  for (DTypePolicy policy : {DTypePolicy::float32, DTypePolicy::mixed_bfloat16})
    if (dtype_policy_name(policy) == name) return policy;
  return std::nullopt;
}
namespace {

void collect_parameters(Model& model, const std::string& prefix, bool trainable, std::vector<ParameterPath>& paths) {
  for (Layer& layer : model.layers) {
    const bool layer_trainable = trainable && layer.trainable;
    for (Parameter& parameter : layer.parameters) {
      paths.push_back({.path = prefix + layer.name + "/" + parameter.name,
                       .parameter = &parameter,
                       .layer = &layer,
                       .trainable = layer_trainable && parameter.trainable});
    }
    if (layer.submodel != nullptr) {
      const std::string inner = layer.class_name == "TimeDistributed" ? layer.name + "/layer/" : layer.name + "/";
      collect_parameters(*layer.submodel, prefix + inner, layer_trainable, paths);
    }
  }
}

void print_ref(std::string& out, const Model& model, TensorRef ref) {
  out += model.nodes[ref.node].name;
  if (ref.output > 0 || model.nodes[ref.node].outputs.size() > 1) out += "." + std::to_string(ref.output);
}

std::string value_text(const AttributeValue& value) {
  const std::string text = Attributes{{"v", value}}.text();
  return text.substr(3, text.size() - 4);
}

void print_model(std::string& out, const Model& model, const std::string& indent) {
  out += (model.sequential ? "sequential \"" : "model \"") + model.name + "\" {\n";
  const std::string inner = indent + "  ";
  for (const Layer& layer : model.layers) {
    out += inner + "layer " + layer.name + ": " + layer.class_name + " " + layer.attributes.text();
    if (!layer.trainable) out += " frozen";
    out += '\n';
    for (const Parameter& parameter : layer.parameters) {
      const Shape shape(parameter.shape.begin(), parameter.shape.end());
      out += inner + "  weight " + parameter.name + " " + shape_text(shape) + (parameter.trainable ? "" : " frozen") +
             " initializer=" + value_text(parameter.initializer) + " regularizer=" + value_text(parameter.regularizer) +
             (parameter.has_values() ? " with data" : "") + '\n';
    }
    if (layer.body != nullptr) out += inner + "  " + graph_text(*layer.body);
    if (layer.submodel != nullptr) {
      out += inner + "  ";
      print_model(out, *layer.submodel, inner + "  ");
    }
  }
  for (const ModelNode& node : model.nodes) {
    out += inner + "call " + node.name + " = " + model.layers[node.layer].name + "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (i > 0) out += ", ";
      print_ref(out, model, node.inputs[i]);
    }
    for (const KeywordTensor& keyword : node.keywords) {
      out += ", " + keyword.name + "=";
      if (keyword.tensor) print_ref(out, model, *keyword.tensor);
      else out += "none";
    }
    out += ")";
    for (size_t i = 0; i < node.outputs.size(); ++i) out += (i == 0 ? " : " : ", ") + type_text(node.outputs[i]);
    out += '\n';
  }
  out += inner + "inputs";
  for (const TensorRef& ref : model.inputs) {
    out += ' ';
    print_ref(out, model, ref);
  }
  out += '\n' + inner + "outputs";
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    out += " " + model.output_names[i] + "=";
    print_ref(out, model, model.outputs[i]);
  }
  out += '\n' + indent + "}\n";
}

}  // namespace

std::vector<std::string> Model::input_names() const {
  std::vector<std::string> names;
  for (const TensorRef& ref : inputs) names.push_back(layers[nodes[ref.node].layer].name);
  return names;
}

std::optional<Type> Model::mask(TensorRef ref) const {
  const std::vector<std::optional<Type>>& masks = nodes[ref.node].masks;
  return ref.output < masks.size() ? masks[ref.output] : std::nullopt;
}

Narrow stored_as(const Model& model, TensorRef ref) {
  const AttributeValue* value = model.layers[model.nodes[ref.node].layer].attributes.find("stored_as");
  const auto* names = value == nullptr ? nullptr : std::get_if<std::vector<std::string>>(&value->value);
  return names != nullptr && ref.output < names->size() ? find_narrow((*names)[ref.output]).value_or(Narrow::none) : Narrow::none;
}

std::vector<ParameterPath> all_parameters(Model& model) {
  std::vector<ParameterPath> paths;
  collect_parameters(model, "", true, paths);
  return paths;
}

std::string model_text(const Model& model) {
  std::string out;
  print_model(out, model, "");
  return out;
}

}  // namespace moru
