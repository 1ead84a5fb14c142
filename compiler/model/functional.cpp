#include "compiler/model/functional.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "compiler/model/infer_model.h"
#include "compiler/ops/names.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

[[noreturn]] void refuse(const std::string& node, const std::string& class_name, std::string what,
                         std::string hint = {}) {
  throw CompileError({.stage = "author",
                      .node = node,
                      .op = class_name,
                      .what = std::move(what),
                      .detail = {},
                      .hint = std::move(hint)});
}

std::string layer_class_hint(std::string_view class_name) {
  std::vector<std::string> classes, snake_names;
  for (const Op& op : all_ops()) {
    if (op.class_name.empty()) continue;
    classes.emplace_back(op.class_name);
    snake_names.push_back(snake_case(op.class_name));
  }
  const std::vector<std::string> near = near_names(class_name, snake_names);
  if (near.empty()) return near_names_hint(class_name, classes);
  const auto found = std::find(snake_names.begin(), snake_names.end(), near.front());
  return "did you mean '" + classes[static_cast<size_t>(found - snake_names.begin())] + "'?";
}

// Keras' output names are the layers'; where a layer gives two outputs the later ones are numbered.
std::vector<std::string> make_output_names(const Model& model) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const TensorRef& ref : model.outputs) {
    const std::string& base = model.layers[model.nodes[ref.node].layer].name;
    std::string name = base;
    for (int i = 1; !taken.insert(name).second; ++i) name = base + "_" + std::to_string(i);
    names.push_back(name);
  }
  return names;
}

void check_parameter_paths(Model& model) {
  std::set<std::string> paths;
  for (const ParameterPath& path : all_parameters(model)) {
    if (!paths.insert(path.path).second) {
      refuse(path.layer->name, path.layer->class_name, "two weights have the path '" + path.path + "'",
             "rename one of the layers");
    }
  }
}

}  // namespace

std::string default_layer_name(std::string_view class_name) {
  // Keras' rule: a word begins at an upper case letter that is followed by a lower case one or follows one, so that
  // "Conv2D" is conv2d and "LeakyReLU" leaky_re_lu.
  const auto byte = [&](size_t i) { return i < class_name.size() ? static_cast<unsigned char>(class_name[i]) : 0; };
  const auto upper = [&](size_t i) { return std::isupper(byte(i)) != 0; };
  const auto lower = [&](size_t i) { return std::islower(byte(i)) != 0; };
  std::string name;
  for (size_t i = 0; i < class_name.size(); ++i) {
    if (i > 0 && upper(i) && (lower(i + 1) || lower(i - 1))) name += '_';
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(class_name[i])));
  }
  return name;
}

const Type& Tensor::type() const {
  check_internal(builder != nullptr, "a Tensor that belongs to no model was used");
  return builder->drawn().type(ref);
}

std::vector<Tensor> LayerCall::call_all(std::span<const Tensor> inputs, const Keywords& keywords) const {
  return builder_->call_layer(layer_, inputs, keywords);
}

std::string open_extent_name(int number) { return number == 1 ? "time" : "time_" + std::to_string(number); }

ModelBuilder::ModelBuilder(std::string name) { model_.name = std::move(name); }

std::string ModelBuilder::unique_name(std::string_view class_name) const {
  const std::string base = default_layer_name(class_name);
  std::set<std::string_view> taken;
  for (const Layer& layer : model_.layers) taken.insert(layer.name);
  std::string name = base;
  for (int i = 1; taken.count(name) != 0; ++i) name = base + "_" + std::to_string(i);
  return name;
}

Tensor ModelBuilder::input(std::string name, Shape shape, DType dtype, const Dim& batch) {
  Type type{dtype, {batch}};
  for (const Dim& dim : shape) {
    if (dim.is_constant() && dim.constant() < 0) {
      type.shape.push_back(Dim::symbol(open_extent_name(++open_extents_)));
    } else if (dim.is_constant(0)) {
      refuse(name, "InputLayer", "its shape " + shape_text(shape) + " has an extent of 0");
    } else {
      type.shape.push_back(dim);
    }
  }
  LayerSpec spec{.class_name = "InputLayer", .attributes = input_layer_attributes(type), .name = std::move(name)};
  return call_layer(add(std::move(spec)).index(), {}, {}).front();
}

LayerCall ModelBuilder::add(LayerSpec spec) {
  if (spec.name.empty()) spec.name = unique_name(spec.class_name);
  for (const Layer& layer : model_.layers) {
    if (layer.name == spec.name) {
      refuse(spec.name, spec.class_name, "the name is already taken by another layer (" + layer.class_name + ")",
             "give each layer a name of its own, or call the same layer again");
    }
  }
  Layer layer{.name = spec.name,
              .class_name = spec.class_name,
              .attributes = std::move(spec.attributes),
              .parameters = std::move(spec.parameters),
              .trainable = spec.trainable,
              .submodel = std::move(spec.submodel),
              .body = std::move(spec.body)};
  if (layer.submodel == nullptr && layer.body == nullptr && layer.class_name != "InputLayer") {
    const Op* op = find_layer(layer.class_name);
    if (op == nullptr) {
      refuse(layer.name, layer.class_name, "there is no layer of this class", layer_class_hint(layer.class_name));
    }
    layer.attributes = check_attributes(*op, std::move(layer.attributes), layer.name);
  }
  model_.layers.push_back(std::move(layer));
  calls_.push_back(0);
  return {*this, static_cast<uint32_t>(model_.layers.size() - 1)};
}

LayerCall ModelBuilder::layer(std::string class_name, Attributes attributes, std::string name) {
  return add({.class_name = std::move(class_name), .attributes = std::move(attributes), .name = std::move(name)});
}

LayerCall ModelBuilder::nested(Model model, std::string name) {
  if (name.empty()) name = model.name;
  auto shared = std::make_shared<Model>(std::move(model));
  return add(
      {.class_name = shared->sequential ? "Sequential" : "Functional", .name = std::move(name), .submodel = shared});
}

std::vector<Tensor> ModelBuilder::call_layer(uint32_t index, std::span<const Tensor> inputs, const Keywords& keywords) {
  Layer& layer = model_.layers[index];
  std::string name = layer.name;
  if (calls_[index] > 0) name += ":" + std::to_string(calls_[index] + 1);
  ModelNode node{.layer = index, .inputs = {}, .outputs = {}, .name = name};
  std::vector<Type> types;
  std::vector<InputSource> sources;
  const auto check_own = [&](const Tensor& tensor) {
    if (tensor.builder == this) return;
    refuse(name, layer.class_name, "is called on a tensor of another model",
           "draw both in one ModelBuilder, or nest one model in the other");
  };
  for (const auto& [keyword, tensor] : keywords) {
    if (tensor.builder != nullptr) check_own(tensor);
    node.keywords.push_back({keyword, tensor.builder != nullptr ? std::optional(tensor.ref) : std::nullopt});
  }
  for (const Tensor& tensor : inputs) {
    check_own(tensor);
    node.inputs.push_back(tensor.ref);
    types.push_back(tensor.type());
    sources.push_back(describe_source(model_, tensor.ref));
  }
  // Without a mask there is nothing to do without.
  if (std::ranges::none_of(node.inputs, [&](TensorRef ref) { return model_.mask(ref).has_value(); }))
    std::erase_if(node.keywords, [](const KeywordTensor& keyword) { return !keyword.tensor; });
  const auto at = [&](TensorRef ref) { return std::pair(model_.type(ref), model_.mask(ref)); };
  LayerTypes inferred = infer_layer(layer, name, types, call_masks(node, at), sources);
  if (calls_[index] == 0) layer.parameters = make_parameters(inferred.parameters, layer);
  ++calls_[index];
  node.outputs = std::move(inferred.outputs);
  node.masks = std::move(inferred.masks);
  model_.nodes.push_back(std::move(node));
  std::vector<Tensor> outputs;
  const auto node_index = static_cast<uint32_t>(model_.nodes.size() - 1);
  for (uint32_t i = 0; i < model_.nodes.back().outputs.size(); ++i) outputs.push_back({this, {node_index, i}});
  return outputs;
}

Model ModelBuilder::build(std::span<const Tensor> outputs, std::span<const Tensor> inputs) const {
  if (outputs.empty()) refuse(model_.name, "Functional", "a model needs at least one output");
  std::vector<bool> needed(model_.nodes.size(), false);
  for (const Tensor& output : outputs) {
    if (output.builder != this) refuse(model_.name, "Functional", "an output is a tensor of another model");
    needed[output.ref.node] = true;
  }
  for (size_t i = model_.nodes.size(); i-- > 0;) {
    if (!needed[i]) continue;
    for (const TensorRef& ref : model_.nodes[i].inputs) needed[ref.node] = true;
    for (const KeywordTensor& keyword : model_.nodes[i].keywords)
      if (keyword.tensor) needed[keyword.tensor->node] = true;
  }
  std::vector<uint32_t> input_nodes;
  if (inputs.empty()) {
    for (uint32_t i = 0; i < model_.nodes.size(); ++i) {
      if (model_.layers[model_.nodes[i].layer].class_name == "InputLayer") input_nodes.push_back(i);
    }
  } else {
    for (const Tensor& input : inputs) {
      if (input.builder != this) refuse(model_.name, "Functional", "an input is a tensor of another model");
      const Layer& layer = model_.layers[model_.nodes[input.ref.node].layer];
      if (layer.class_name != "InputLayer") {
        refuse(layer.name, layer.class_name, "is given as an input of the model but is not an InputLayer");
      }
      input_nodes.push_back(input.ref.node);
    }
  }
  std::vector<bool> given(model_.nodes.size(), false);
  for (uint32_t i : input_nodes) {
    const Layer& layer = model_.layers[model_.nodes[i].layer];
    if (given[i]) refuse(layer.name, layer.class_name, "is given twice as an input of the model");
    given[i] = true;
    needed[i] = true;
  }
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    const Layer& layer = model_.layers[model_.nodes[i].layer];
    if (needed[i] && !given[i] && layer.class_name == "InputLayer") {
      refuse(layer.name, layer.class_name, "an output needs this input, but it is not among the model's inputs",
             "add it to the inputs of the model");
    }
  }

  Model model{.name = model_.name};
  std::vector<uint32_t> new_layer(model_.layers.size(), UINT32_MAX), new_node(model_.nodes.size(), UINT32_MAX);
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    if (needed[i]) new_layer[model_.nodes[i].layer] = 0;
  }
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    if (new_layer[i] == UINT32_MAX) continue;
    new_layer[i] = static_cast<uint32_t>(model.layers.size());
    model.layers.push_back(model_.layers[i]);
  }
  for (size_t i = 0; i < model_.nodes.size(); ++i) {
    if (!needed[i]) continue;
    new_node[i] = static_cast<uint32_t>(model.nodes.size());
    ModelNode node = model_.nodes[i];
    node.layer = new_layer[node.layer];
    for (TensorRef& ref : node.inputs) ref.node = new_node[ref.node];
    for (KeywordTensor& keyword : node.keywords)
      if (keyword.tensor) keyword.tensor->node = new_node[keyword.tensor->node];
    model.nodes.push_back(std::move(node));
  }
  for (uint32_t i : input_nodes) model.inputs.push_back({new_node[i], 0});
  for (const Tensor& output : outputs) model.outputs.push_back({new_node[output.ref.node], output.ref.output});
  model.output_names = make_output_names(model);
  check_parameter_paths(model);
  return model;
}

Model sequential(std::vector<LayerSpec> stack, std::string name) {
  if (stack.empty() || stack.front().class_name != "InputLayer") {
    refuse(name, "Sequential", "does not say what its input is", "begin it with layers::input(shape)");
  }
  LayerSpec first = std::move(stack.front());
  stack.erase(stack.begin());
  const Layer input{.name = first.name, .class_name = "InputLayer", .attributes = std::move(first.attributes)};
  const Type type = input_layer_type(input);
  if (!first.name.empty()) stack.insert(stack.begin(), {.class_name = "InputLayer", .name = first.name});
  return sequential(std::move(stack), std::move(name), type);
}

Model sequential(std::vector<LayerSpec> stack, std::string name, const Type& input) {
  ModelBuilder builder(std::move(name));
  std::string input_name = "input_layer";
  if (!stack.empty() && stack.front().class_name == "InputLayer") {
    if (!stack.front().name.empty()) input_name = stack.front().name;
    stack.erase(stack.begin());
  }
  if (stack.empty()) refuse(builder.drawn().name, "Sequential", "has no layers");
  Tensor tensor =
      builder.input(input_name, Shape(input.shape.begin() + 1, input.shape.end()), input.dtype, input.shape.at(0));
  for (LayerSpec& spec : stack) {
    const std::vector<Tensor> outputs = builder.add(std::move(spec)).call_all({tensor});
    if (outputs.size() != 1) {
      const Layer& layer = builder.drawn().layers.back();
      refuse(layer.name, layer.class_name,
             "has " + std::to_string(outputs.size()) + " outputs, but a Sequential is a stack of one tensor",
             "leave return_state at false, or use the Functional API");
    }
    tensor = outputs.front();
  }
  Model model = builder.build({tensor});
  model.sequential = true;
  return model;
}

}  // namespace moru
