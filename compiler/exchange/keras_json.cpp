#include "compiler/exchange/keras_json.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <queue>
#include <set>

#include "compiler/exchange/equal_sizes.h"
#include "compiler/exchange/keras_config.h"
#include "compiler/exchange/refusal.h"
#include "compiler/model/functional.h"
#include "compiler/model/infer_model.h"
#include "compiler/ops/names.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

using exchange::refuse;

void check_problems(const KerasConfig& config, const std::string& source) {
  if (config.problems.empty()) return;
  CompileError::Parts parts{.stage = "import", .node = {}, .op = {}, .what = {}, .detail = {}, .hint = {}};
  const size_t count = config.problems.size();
  parts.what = source + ": " +
               (count == 1 ? "one thing in this model is" : std::to_string(count) + " things in this model are") +
               " not supported:";
  for (const KerasProblem& problem : config.problems) {
    if (!parts.detail.empty()) parts.detail += '\n';
    parts.detail += "layer '" + problem.layer + "' (" + problem.class_name + "): " + problem.what;
    if (problem.what.find("Python code") != std::string::npos) {
      parts.hint = "replace Python code by layers such as Rescaling or Reshape, or apply it to the data beforehand";
    }
  }
  throw CompileError(std::move(parts));
}

// Open axes of a model are different symbols, since an encoder and a decoder may see different lengths; but models that
// merge two open sequences need them equal, which their config cannot say.
class ModelConnector {
 public:
  ModelConnector(const std::string& source, EqualSizes& sizes) : source_(source), sizes_(sizes) {}

  /// `input` is the type a Sequential without an input of its own is called with.
  Model connect(const KerasModelConfig& config, const Type* input) {
    return config.sequential ? connect_sequential(config, input) : connect_functional(config);
  }

 private:
  const std::string& source_;
  EqualSizes& sizes_;

  // `open_extents` counts those of the model.
  Shape input_shape(const Attributes& attributes, int& open_extents) {
    const Shape& shape = attributes.shape("shape");
    Shape without_batch(shape.begin() + 1, shape.end());
    for (Dim& dim : without_batch)
      if (dim.is_constant(open_extent)) dim = sizes_.size_of(open_extent_name(++open_extents));
    return without_batch;
  }

  static bool waits_for_input(const KerasModelConfig& config) { return config.sequential && !config.input; }

  LayerSpec make_spec(const KerasLayerConfig& layer) {
    LayerSpec spec{.class_name = layer.class_name,
                   .attributes = layer.attributes,
                   .name = layer.name,
                   .trainable = layer.trainable};
    if (layer.submodel == nullptr) return spec;
    spec.submodel = std::make_shared<Model>();
    if (!waits_for_input(*layer.submodel)) *spec.submodel = connect(*layer.submodel, nullptr);
    return spec;
  }

  // A Sequential that does not say its input takes it from its first call.
  void connect_waiting(const KerasLayerConfig& layer, const std::shared_ptr<Model>& submodel,
                       std::span<const Tensor> inputs) {
    if (layer.submodel == nullptr || !waits_for_input(*layer.submodel) || !submodel->nodes.empty()) return;
    if (inputs.size() != 1) {
      throw CompileError({.stage = "import",
                          .node = layer.name,
                          .op = layer.class_name,
                          .what = "takes 1 input but got " + std::to_string(inputs.size()),
                          .detail = {},
                          .hint = {}});
    }
    Type type = inputs[0].type();
    const bool per_step = layer.class_name == "TimeDistributed";
    if (per_step && type.shape.size() > 1) type.shape.erase(type.shape.begin() + 1);
    *submodel = connect(*layer.submodel, &type);
  }

  Model connect_sequential(const KerasModelConfig& config, const Type* input) {
    ModelBuilder builder(config.name);
    Tensor tensor;
    int open_extents = 0;
    const std::string name = config.input_name.empty() ? "input_layer" : config.input_name;
    if (config.input) {
      const Type type = input_layer_type_of(*config.input);
      tensor = builder.input(name, input_shape(*config.input, open_extents), type.dtype, type.shape.at(0));
    } else if (input != nullptr) {
      tensor = builder.input(name, Shape(input->shape.begin() + 1, input->shape.end()), input->dtype, input->shape.at(0));
    } else {
      refuse(source_, "the Sequential '" + config.name + "' does not say the shape of its input",
             "build the model before saving it, or give its first layer an input_shape");
    }
    for (const KerasLayerConfig& layer : config.layers) {
      LayerSpec spec = make_spec(layer);
      const std::shared_ptr<Model> submodel = spec.submodel;
      const LayerCall call = builder.add(std::move(spec));
      connect_waiting(layer, submodel, {&tensor, 1});
      Keywords masks;
      if (!layer.masks.empty())
        for (const KerasMask& mask : layer.masks[0]) masks.emplace_back(mask.name, Tensor{});
      const std::vector<Tensor> outputs = call.call_all({tensor}, masks);
      if (outputs.size() != 1) {
        throw CompileError(
            {.stage = "import",
             .node = layer.name,
             .op = layer.class_name,
             .what = "has " + std::to_string(outputs.size()) + " outputs, but a Sequential is a stack of one tensor",
             .detail = {},
             .hint = {}});
      }
      tensor = outputs.front();
    }
    Model model = builder.build({tensor});
    model.sequential = true;
    return model;
  }

  static Type input_layer_type_of(const Attributes& attributes) {
    return input_layer_type(Layer{.name = {}, .class_name = "InputLayer", .attributes = attributes});
  }

  Model connect_functional(const KerasModelConfig& config) {
    ModelBuilder builder(config.name);
    int open_extents = 0;
    std::map<std::string, size_t> index;
    std::vector<std::vector<std::vector<Tensor>>> tensors(config.layers.size());  // [layer][call][output]
    std::vector<uint32_t> builder_layer(config.layers.size(), 0);
    std::vector<std::shared_ptr<Model>> submodels(config.layers.size());
    for (size_t i = 0; i < config.layers.size(); ++i) {
      const KerasLayerConfig& layer = config.layers[i];
      index[layer.name] = i;
      if (layer.class_name == "InputLayer") {
        const Type type = input_layer_type_of(layer.attributes);
        tensors[i] = {{builder.input(layer.name, input_shape(layer.attributes, open_extents), type.dtype, type.shape.at(0))}};
      } else if (layer.operation) {
        tensors[i].resize(layer.calls.size());
      } else {
        LayerSpec spec = make_spec(layer);
        submodels[i] = spec.submodel;
        builder_layer[i] = builder.add(std::move(spec)).index();
        tensors[i].resize(layer.calls.size());
      }
    }
    const auto find = [&](const KerasTensor& ref) -> Tensor {
      const size_t layer = index.at(ref.layer);
      const std::vector<Tensor>& outputs = tensors[layer].at(static_cast<size_t>(ref.call));
      if (ref.tensor < 0 || static_cast<size_t>(ref.tensor) >= outputs.size()) {
        refuse(source_, "output " + std::to_string(ref.tensor) + " of the layer '" + ref.layer +
                            "' is used, but it has " + std::to_string(outputs.size()) +
                            (outputs.size() == 1 ? " output" : " outputs"));
      }
      return outputs[static_cast<size_t>(ref.tensor)];
    };
    for (const auto& [layer, call] : sort_calls(config, index)) {
      if (config.layers[layer].class_name == "InputLayer") continue;
      std::vector<Tensor> inputs;
      for (const KerasTensor& ref : config.layers[layer].calls[call]) inputs.push_back(find(ref));
      if (config.layers[layer].operation) {
        tensors[layer][call] = connect_operation(builder, config.layers[layer], call, inputs);
        continue;
      }
      connect_waiting(config.layers[layer], submodels[layer], inputs);
      Keywords masks;
      for (const KerasMask& mask : config.layers[layer].masks[call])
        masks.emplace_back(mask.name, mask.tensor ? find(*mask.tensor) : Tensor{});
      tensors[layer][call] = LayerCall(builder, builder_layer[layer]).call_all(inputs, masks);
    }
    std::vector<Tensor> inputs, outputs;
    for (const KerasTensor& ref : config.inputs) inputs.push_back(find(ref));
    for (const KerasTensor& ref : config.outputs) outputs.push_back(find(ref));
    if (inputs.empty()) refuse(source_, "the model '" + config.name + "' has no inputs");
    Model model = builder.build(outputs, inputs);
    sort_layers(model, index);
    return model;
  }

  // Operations are drawn where they are called, other layers before; the file's order is one that Keras reads in.
  static void sort_layers(Model& model, const std::map<std::string, size_t>& index) {
    const auto place = [&](const Layer& layer) {  // of "add:2", the second call of an operation, that of "add"
      auto found = index.find(layer.name);
      if (found == index.end()) found = index.find(layer.name.substr(0, layer.name.rfind(':')));
      return found == index.end() ? index.size() : found->second;
    };
    std::vector<uint32_t> order(model.layers.size()), moved(model.layers.size());
    std::iota(order.begin(), order.end(), uint32_t{0});
    std::ranges::stable_sort(order, {}, [&](uint32_t layer) { return place(model.layers[layer]); });
    std::vector<Layer> layers;
    for (uint32_t i = 0; i < order.size(); ++i) {
      moved[order[i]] = i;
      layers.push_back(std::move(model.layers[order[i]]));
    }
    model.layers = std::move(layers);
    for (ModelNode& node : model.nodes) node.layer = moved[node.layer];
  }

  // An operation is drawn for the types that it is called with; its second call is a layer of its own.
  static std::vector<Tensor> connect_operation(ModelBuilder& builder, const KerasLayerConfig& layer, size_t call,
                                               const std::vector<Tensor>& inputs) {
    const std::string name = call == 0 ? layer.name : layer.name + ":" + std::to_string(call + 1);
    std::vector<Type> types;
    for (const Tensor& tensor : inputs) types.push_back(tensor.type());
    Graph body = keras_operation_graph(layer.operations[call], types, name);
    return builder
        .add({.class_name = layer.class_name,
              .attributes = {{operation_attribute, layer.operations[call].text()}},
              .name = name,
              .body = std::make_shared<const Graph>(std::move(body))})
        .call_all(inputs);
  }

  // Calls in an order in which every tensor is made before it is used, otherwise as they stand in the file.
  std::vector<std::pair<size_t, size_t>> sort_calls(const KerasModelConfig& config,
                                                    const std::map<std::string, size_t>& index) const {
    std::vector<size_t> first(config.layers.size() + 1, 0);
    for (size_t i = 0; i < config.layers.size(); ++i) first[i + 1] = first[i] + config.layers[i].calls.size();
    const size_t count = first.back();
    std::vector<std::pair<size_t, size_t>> calls(count);
    std::vector<std::vector<size_t>> users(count);
    std::vector<size_t> missing(count, 0);
    for (size_t i = 0; i < config.layers.size(); ++i) {
      for (size_t k = 0; k < config.layers[i].calls.size(); ++k) {
        const size_t id = first[i] + k;
        calls[id] = {i, k};
        const auto wait_for = [&](size_t other) {
          users[other].push_back(id);
          ++missing[id];
        };
        if (k > 0) wait_for(id - 1);  // so that calls keep their numbers
        for (const KerasTensor& ref : config.layers[i].calls[k]) {
          wait_for(first[index.at(ref.layer)] + static_cast<size_t>(ref.call));
        }
        for (const KerasMask& mask : config.layers[i].masks[k]) {
          if (mask.tensor) wait_for(first[index.at(mask.tensor->layer)] + static_cast<size_t>(mask.tensor->call));
        }
      }
    }
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
    for (size_t id = 0; id < count; ++id) {
      if (missing[id] == 0) ready.push(id);
    }
    std::vector<std::pair<size_t, size_t>> order;
    while (!ready.empty()) {
      const size_t id = ready.top();
      ready.pop();
      order.push_back(calls[id]);
      for (size_t user : users[id]) {
        if (--missing[user] == 0) ready.push(user);
      }
    }
    if (order.size() == count) return order;
    std::vector<std::string> waiting;
    for (size_t id = 0; id < count; ++id) {
      const std::string& name = config.layers[calls[id].first].name;
      if (missing[id] > 0 && (waiting.empty() || waiting.back() != name)) waiting.push_back(name);
    }
    refuse(source_, "the layers " + quoted_list(waiting, 8) + " wait for each other's outputs (a cycle)");
  }
};

}  // namespace

Model import_keras_json(std::string_view text, const std::string& source, const std::string& keras_version) {
  Json root = parse_json(text, source);
  // json.dump(model.to_json()) makes a string of what is JSON text already.
  if (root.is_string()) root = parse_json(root.get<std::string>(), source);
  const KerasConfig config = read_keras_config(root, source, keras_version);
  check_problems(config, source);
  Model model = import_with_equal_sizes([&](EqualSizes& sizes) { return ModelConnector(source, sizes).connect(config.model, nullptr); });
  model.source = source;
  model.dtype_policy = config.dtype_policy;
  model.dialect =
      "keras " + (config.dialect.version.empty() ? std::to_string(config.dialect.major) : config.dialect.version);
  return model;
}

namespace {

// TensorFlow.js leaves depth_multiplier out of the config of separable convolutions. It is the last extent of
// their depthwise kernel, so a weight that differs from the layer's there alone says what the layer's arguments are.
bool take_depth_multiplier(Model& model, std::string_view layer_path, const Parameter& parameter, std::span<const int64_t> shape) {
  const bool differs_last = shape.size() == parameter.shape.size() && !shape.empty() && shape.back() != parameter.shape.back() &&
                            std::equal(shape.begin(), shape.end() - 1, parameter.shape.begin());
  const size_t slash = layer_path.find('/');
  for (Layer& layer : model.layers) {
    if (layer.name != layer_path.substr(0, slash)) continue;
    if (slash != std::string_view::npos) {
      if (layer.submodel == nullptr || !take_depth_multiplier(*layer.submodel, layer_path.substr(slash + 1), parameter, shape)) return false;
    } else {
      const AttributeValue* multiplier = layer.attributes.find("depth_multiplier");
      const bool separable = layer.class_name.starts_with("Separable") && parameter.name == "depthwise_kernel";
      if (!differs_last || !separable || multiplier == nullptr || !(*multiplier == AttributeValue(1))) return false;
      layer.attributes.set("depth_multiplier", shape.back());
      layer.parameters.clear();
    }
    infer_again(model);
    return true;
  }
  return false;
}

}  // namespace

void assign_weight(Model& model, std::string_view layer_path, std::string_view name, std::span<const float> data,
                   std::span<const int64_t> shape) {
  const std::string path = std::string(layer_path) + "/" + std::string(name);
  std::vector<std::string> known;
  for (const ParameterPath& candidate : all_parameters(model)) {
    if (candidate.path != path) {
      known.push_back(candidate.path);
      continue;
    }
    Parameter& parameter = *candidate.parameter;
    if (!std::equal(shape.begin(), shape.end(), parameter.shape.begin(), parameter.shape.end())) {
      if (take_depth_multiplier(model, layer_path, parameter, shape)) return assign_weight(model, layer_path, name, data, shape);
      throw CompileError({.stage = "import",
                          .node = candidate.layer->name,
                          .op = candidate.layer->class_name,
                          .what = "its weight '" + parameter.name + "' is " + shape_text(parameter.shape) +
                                  " but the given one is " + shape_text(shape),
                          .detail = {},
                          .hint = {}});
    }
    int64_t elements = 1;
    for (int64_t extent : shape) elements *= extent;
    check_internal(static_cast<size_t>(elements) == data.size(), "a weight's data do not fill its shape");
    parameter.data.assign(data.begin(), data.end());
    return;
  }
  throw CompileError({.stage = "import",
                      .node = {},
                      .op = {},
                      .what = "the model has no weight '" + path + "'",
                      .detail = {},
                      .hint = known.empty() ? "it has no weights at all" : near_names_hint(path, known)});
}

}  // namespace moru
