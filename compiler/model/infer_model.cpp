#include "compiler/model/infer_model.h"

#include <algorithm>
#include <map>
#include <memory>

#include "compiler/ir/substitute_symbol.h"
#include "compiler/model/initializers.h"
#include "compiler/ops/layer.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

[[noreturn]] void refuse(const std::string& node, const Layer& layer, std::string what, std::string hint = {}) {
  throw CompileError({.stage = "infer_shapes",
                      .node = node,
                      .op = layer.class_name,
                      .what = std::move(what),
                      .detail = {},
                      .hint = std::move(hint)});
}

// Adds to a refusal where the layer's inputs come from.
[[noreturn]] void rethrow_with_sources(const CompileError& error, const std::string& node, std::span<const Type> inputs,
                                       std::span<const InputSource> sources) {
  CompileError::Parts parts = error.parts();
  const bool about_attributes = parts.what.starts_with("attribute ");
  if (parts.node != node || !parts.detail.empty() || sources.size() != inputs.size() || about_attributes) throw error;
  if (sources.size() == 1) {
    parts.detail = "the input is " + sources[0].text;
  } else {
    constexpr size_t most = 8;
    for (size_t i = 0; i < std::min(sources.size(), most); ++i) {
      if (i > 0) parts.detail += '\n';
      parts.detail += "input " + std::to_string(i + 1) + ", " + shape_text(inputs[i].shape) + ", is " + sources[i].text;
    }
    if (sources.size() > most) parts.detail += "\n...";
  }
  const bool lacks_time =
      !sources.empty() && inputs[0].shape.size() == 2 && parts.what.starts_with("needs a sequence [batch, time");
  if (lacks_time && !sources[0].last_step_of.empty()) {
    parts.hint = "set return_sequences=true on '" + sources[0].last_step_of + "'";
  } else if (lacks_time && !sources[0].model_input.empty()) {
    parts.hint = "give the input '" + sources[0].model_input + "' a time axis, or add one with Reshape";
  }
  throw CompileError(std::move(parts));
}

// OpContext wants a span of bool, which vector<bool> cannot give.
struct Presence {
  std::unique_ptr<bool[]> flags;
  size_t size;
  explicit Presence(size_t count, bool value = true) : flags(std::make_unique<bool[]>(count)), size(count) {
    std::fill_n(flags.get(), count, value);
  }
  std::span<const bool> span() const { return {flags.get(), size}; }
};

// What a layer may be given by keyword: its mask inputs.
void check_keywords(const Op& op, std::string_view class_name, const std::string& node,
                    const CallMasks<std::optional<Type>>& masks) {
  for (const auto& [name, tensor] : masks.keywords) {
    std::string known;
    bool found = false;
    for (const InputSpec& spec : op.inputs) {
      if (!is_supplied(spec.name) || spec.name == "seed" || spec.name == "step") continue;
      found |= spec.name == name;
      known += (known.empty() ? "" : ", ") + std::string(spec.name);
    }
    if (found || !tensor) continue;
    throw CompileError({.stage = "infer_shapes",
                        .node = node,
                        .op = std::string(class_name),
                        .what = "takes no tensor '" + name + "'",
                        .detail = {},
                        .hint = known.empty() ? "layers of this class use no masks" : "it takes " + known});
  }
}

// The rule of a layer is a function on graphs; here it is applied to one that is thrown away.
MaskTypes infer_masks(const Op& op, const Attributes& attributes, const std::string& node, std::span<const Type> inputs,
                      const CallMasks<std::optional<Type>>& masks) {
  MaskTypes result;
  if (!op.mask) return result;
  Graph scratch;
  Builder builder(scratch, node);
  std::vector<Value> tensors, given;
  for (const Type& type : inputs) tensors.push_back(builder.input(type));
  for (const std::optional<Type>& mask : masks.seen(op)) given.push_back(mask ? builder.input(*mask) : Value{});
  given.resize(tensors.size());
  for (const Value& mask : op.mask({builder, attributes, tensors, given}))
    result.push_back(mask ? std::optional(mask.type()) : std::nullopt);
  return result;
}

LayerTypes infer_op_layer(const Op& op, const Attributes& attributes, const std::string& node,
                          std::span<const Type> inputs, const CallMasks<std::optional<Type>>& masks) {
  check_keywords(op, op.class_name, node, masks);
  const bool supplied = std::ranges::any_of(op.inputs, [](const InputSpec& spec) { return is_supplied(spec.name); });
  if (!op.parameters && !supplied)
    return {.outputs = infer_node(op, inputs, Presence(inputs.size()).span(), attributes, {}, node),
            .parameters = {},
            .masks = infer_masks(op, attributes, node, inputs, masks)};
  if (inputs.empty()) {
    throw CompileError({.stage = "infer_shapes",
                        .node = node,
                        .op = std::string(op.class_name),
                        .what = "takes an input but got none",
                        .detail = {},
                        .hint = {}});
  }
  // Which of the op's inputs are parameters depends on the attributes and on the first tensor, which infer has to
  // accept before parameters may look at it; their shapes may depend on all tensors.
  const Presence first(1);
  const OpContext probe{inputs.first(1), first.span(), attributes, {}, node};
  op.infer(probe);
  LayerTypes result;
  if (op.parameters) result.parameters = op.parameters(probe);

  // What a stateful layer keeps fills the inputs of its names, unless the call gives tensors for them.
  std::vector<ParameterSpec> filled;
  if (op.states && inputs.size() == 1) filled = op.states(probe);
  filled.insert(filled.end(), result.parameters.begin(), result.parameters.end());
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : filled) names.push_back(parameter.name);
  const std::vector<InputPlace> places = place_inputs(op, inputs.size(), names);
  const auto placed = std::ranges::count(places, InputKind::tensor, &InputPlace::kind);
  if (static_cast<size_t>(placed) < inputs.size()) {
    throw CompileError({.stage = "infer_shapes",
                        .node = node,
                        .op = std::string(op.class_name),
                        .what = "takes " + std::string(placed == 1 ? "1 input" : "at most " + std::to_string(placed) + " inputs") +
                                " but got " + std::to_string(inputs.size()),
                        .detail = {},
                        .hint = {}});
  }
  std::vector<Type> all(places.size());
  Presence present(places.size(), false);
  for (size_t i = 0; i < places.size(); ++i) {
    const InputPlace& place = places[i];
    present.flags[i] = place.kind == InputKind::tensor;
    if (place.kind == InputKind::tensor) all[i] = inputs[place.index];
    if (place.kind != InputKind::supplied) continue;
    if (const std::optional<Type> mask = masks.find(op, op.inputs[place.index].name)) {
      present.flags[i] = true;
      all[i] = *mask;
    }
  }
  if (op.parameters && inputs.size() > 1) {
    result.parameters = op.parameters(OpContext{all, present.span(), attributes, {}, node});
    std::copy(result.parameters.begin(), result.parameters.end(), filled.end() - std::ssize(result.parameters));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].kind != InputKind::parameter) continue;
    const ParameterSpec& parameter = filled[places[i].index];
    present.flags[i] = true;
    all[i] = {parameter.dtype, parameter.shape};
  }
  result.outputs = infer_node(op, all, present.span(), attributes, {}, node);
  if (op.replaces) result.outputs.resize(result.outputs.size() - op.replaces(attributes).size());
  result.masks = infer_masks(op, attributes, node, inputs, masks);
  return result;
}

void check_layer_parameters(const Layer& layer, const std::string& node, const std::vector<ParameterSpec>& needed) {
  if (layer.parameters.empty() && !needed.empty()) refuse(node, layer, "has no weights yet");
  if (layer.parameters.size() != needed.size()) {
    refuse(node, layer,
           "has " + std::to_string(layer.parameters.size()) + " weights but needs " + std::to_string(needed.size()));
  }
  for (size_t i = 0; i < needed.size(); ++i) {
    const Parameter& parameter = layer.parameters[i];
    if (parameter.name != needed[i].name) {
      refuse(node, layer, "has the weight '" + parameter.name + "' where '" + needed[i].name + "' belongs");
    }
    const Shape shape(parameter.shape.begin(), parameter.shape.end());
    if (parameter.dtype != needed[i].dtype) {
      refuse(node, layer,
             "its weight '" + parameter.name + "' holds " + std::string(dtype_name(parameter.dtype)) +
                 " but must hold " + std::string(dtype_name(needed[i].dtype)));
    }
    if (shape != needed[i].shape) {
      refuse(node, layer,
             "its weight '" + parameter.name + "' is " + shape_text(shape) + " but this input needs " +
                 shape_text(needed[i].shape),
             "a layer that is called more than once needs inputs with the same number of features; use one layer for "
             "each");
    }
  }
}

// TimeDistributed over a model: every step goes through the model as if it were one more row of the batch. A mask of the
// steps goes past the model; what it says of the axes behind them goes through it.
MaskedTypes infer_time_distributed_model(const Layer& layer, const std::string& node, std::span<const Type> inputs,
                                         const MaskTypes& masks) {
  if (inputs.size() != 1) refuse(node, layer, "takes 1 input but got " + std::to_string(inputs.size()));
  const Shape& shape = inputs[0].shape;
  if (shape.size() < 3) {
    refuse(node, layer, "needs a sequence [batch, time, ...] but got " + shape_text(shape));
  }
  Type step = inputs[0];
  step.shape.erase(step.shape.begin() + 1);
  MaskedTypes row{{step}};
  const std::optional<Type> mask = masks.empty() ? std::nullopt : masks[0];
  if (mask && mask->shape.size() > 2) {
    row.masks = {mask};
    row.masks[0]->shape.erase(row.masks[0]->shape.begin() + 1);
  }
  std::vector<Type> outputs = infer_model(*layer.submodel, node, row).types;
  for (Type& output : outputs) output.shape.insert(output.shape.begin() + 1, shape[1]);
  return {outputs, {mask}};
}

// The types that a nested model was drawn with must hold at each call; symbols in them take any extent.
void check_model_inputs(const Model& model, const std::string& node, std::span<const Type> inputs) {
  const Layer self{.name = model.name, .class_name = model.sequential ? "Sequential" : "Functional"};
  if (inputs.size() != model.inputs.size()) {
    refuse(node, self,
           "takes " + std::to_string(model.inputs.size()) + (model.inputs.size() == 1 ? " input" : " inputs") +
               " but got " + std::to_string(inputs.size()));
  }
  std::map<std::string, Dim> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type declared = input_layer_type(model.layers[model.nodes[model.inputs[i].node].layer]);
    bool fits = declared.shape.size() == inputs[i].shape.size();
    for (size_t axis = 0; fits && axis < declared.shape.size(); ++axis) {
      const Dim& wanted = declared.shape[axis];
      const Dim& given = inputs[i].shape[axis];
      if (const auto symbol = wanted.as_symbol()) {
        fits = symbols.emplace(*symbol, given).first->second == given;
      } else {
        fits = wanted == given;
      }
    }
    if (!fits) {
      refuse(node, self,
             "its input '" + model.layers[model.nodes[model.inputs[i].node].layer].name + "' is " +
                 shape_text(declared.shape) + " but got " + shape_text(inputs[i].shape));
    }
  }
}

bool returns_last_step(const Layer& layer) {
  const Attributes* attributes = &layer.attributes;
  if (const AttributeValue* inner = attributes->find("layer");
      inner != nullptr && layer.class_name == "Bidirectional") {
    if (const auto* nested = std::get_if<AttributeValue::Nested>(&inner->value); nested != nullptr && *nested) {
      attributes = nested->get();
    }
  }
  const AttributeValue* sequences = attributes->find("return_sequences");
  if (sequences == nullptr) return false;
  const bool* flag = std::get_if<bool>(&sequences->value);
  return flag != nullptr && !*flag;
}

LayerTypes infer_body(const Layer& layer, const std::string& node, std::span<const Type> inputs) {
  const Graph body = body_for(layer, node, inputs);
  LayerTypes result;
  for (size_t i = inputs.size(); i < body.inputs.size(); ++i) {
    const Parameter& parameter = layer.parameters[i - inputs.size()];
    const Type& wanted = body.type(body.inputs[i].value);
    result.parameters.push_back({.name = parameter.name,
                                 .shape = wanted.shape,
                                 .initializer = parameter.initializer,
                                 .regularizer = parameter.regularizer,
                                 .trainable = parameter.trainable,
                                 .dtype = wanted.dtype});
  }
  for (const GraphResult& output : body.results) result.outputs.push_back(body.type(output.value));
  check_layer_parameters(layer, node, result.parameters);
  return result;
}

}  // namespace

Graph body_for(const Layer& layer, const std::string& node, std::span<const Type> inputs) {
  Graph body = *layer.body;
  if (body.inputs.size() != inputs.size() + layer.parameters.size())
    refuse(node, layer,
           "takes " + std::to_string(body.inputs.size() - std::min(body.inputs.size(), layer.parameters.size())) +
               " inputs but got " + std::to_string(inputs.size()));
  std::map<std::string, Dim> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type& wanted = body.type(body.inputs[i].value);
    bool fits = wanted.dtype == inputs[i].dtype && wanted.shape.size() == inputs[i].shape.size();
    for (size_t axis = 0; fits && axis < wanted.shape.size(); ++axis) {
      const Dim &drawn = wanted.shape[axis], &given = inputs[i].shape[axis];
      const auto symbol = drawn.as_symbol();
      fits = symbol ? symbols.emplace(*symbol, given).first->second == given : drawn == given;
    }
    if (!fits)
      refuse(node, layer,
             "needs " + type_text(wanted) + " as input " + std::to_string(i + 1) + " but got " + type_text(inputs[i]));
  }
  std::erase_if(symbols, [](const auto& entry) { return entry.second == Dim::symbol(entry.first); });
  // By way of other names, since what takes a symbol's place may contain one that is still to be replaced.
  const auto between = [](const std::string& symbol) { return symbol + "_drawn"; };
  for (const auto& [symbol, given] : symbols) substitute_symbol(body, symbol, Dim::symbol(between(symbol)));
  for (const auto& [symbol, given] : symbols) substitute_symbol(body, between(symbol), given);
  return body;
}

bool is_model_class(std::string_view class_name) { return class_name == "Functional" || class_name == "Sequential"; }

Type input_layer_type(const Layer& layer) {
  const auto dtype = find_dtype(layer.attributes.string("dtype"));
  check_internal(dtype.has_value(), "an InputLayer has an unknown dtype");
  return {*dtype, layer.attributes.shape("shape")};
}

Attributes input_layer_attributes(const Type& type) {
  return {{"dtype", std::string(dtype_name(type.dtype))}, {"shape", type.shape}};
}

InputSource describe_source(const Model& model, TensorRef ref) {
  const ModelNode& node = model.nodes[ref.node];
  const Layer& layer = model.layers[node.layer];
  if (layer.class_name == "InputLayer") {
    return {.text = "the model's input '" + layer.name + "'", .last_step_of = {}, .model_input = layer.name};
  }
  InputSource source;
  source.text = node.outputs.size() > 1 ? "output " + std::to_string(ref.output + 1) + " of '" + node.name + "'"
                                        : "the output of '" + node.name + "'";
  if (ref.output == 0 && returns_last_step(layer)) {
    source.text += ", which returns only its last step";
    source.last_step_of = layer.name;
  }
  return source;
}

LayerTypes infer_layer(const Layer& layer, const std::string& node, std::span<const Type> inputs,
                       const CallMasks<std::optional<Type>>& masks, std::span<const InputSource> sources) {
  try {
    if (layer.class_name == "InputLayer") {
      if (!inputs.empty()) refuse(node, layer, "is an input and cannot be called on a tensor");
      return {.outputs = {input_layer_type(layer)}, .parameters = {}};
    }
    if (layer.submodel != nullptr) {
      // A model takes a mask as a layer of one tensor does.
      const Op& wrapper = get_op("time_distributed");
      check_keywords(wrapper, layer.class_name, node, masks);
      const MaskTypes seen = masks.seen(wrapper);
      MaskedTypes result = layer.class_name == "TimeDistributed"
                               ? infer_time_distributed_model(layer, node, inputs, seen)
                               : infer_model(*layer.submodel, node, {{inputs.begin(), inputs.end()}, seen});
      return {std::move(result.types), {}, std::move(result.masks)};
    }
    if (layer.body != nullptr) return infer_body(layer, node, inputs);
    const Op* op = find_layer(layer.class_name);
    if (op == nullptr) refuse(node, layer, "there is no layer of this class");
    LayerTypes result = infer_op_layer(*op, layer.attributes, node, inputs, masks);
    if (!layer.parameters.empty()) check_layer_parameters(layer, node, result.parameters);
    return result;
  } catch (const CompileError& error) {
    rethrow_with_sources(error, node, inputs, sources);
  }
}

MaskedTypes infer_model(const Model& model, const std::string& node, const MaskedTypes& inputs,
                        std::vector<MaskedTypes>* nodes) {
  check_model_inputs(model, node, inputs.types);
  std::vector<MaskedTypes> types(model.nodes.size());
  const auto mask_at = [](const MaskTypes& masks, size_t i) { return i < masks.size() ? masks[i] : std::nullopt; };
  const auto at = [&](TensorRef ref) {
    const MaskedTypes& of = types[ref.node];
    return std::pair(of.types.at(ref.output), mask_at(of.masks, ref.output));
  };
  for (size_t i = 0; i < inputs.types.size(); ++i)
    types[model.inputs[i].node] = {{inputs.types[i]}, {mask_at(inputs.masks, i)}};
  for (size_t i = 0; i < model.nodes.size(); ++i) {
    const ModelNode& call = model.nodes[i];
    const Layer& layer = model.layers[call.layer];
    if (layer.class_name == "InputLayer") {
      if (types[i].types.empty()) types[i] = {{input_layer_type(layer)}};
      continue;
    }
    std::vector<Type> call_inputs;
    std::vector<InputSource> sources;
    for (const TensorRef& ref : call.inputs) {
      call_inputs.push_back(at(ref).first);
      sources.push_back(describe_source(model, ref));
    }
    try {
      LayerTypes inferred = infer_layer(layer, call.name, call_inputs, call_masks(call, at), sources);
      if (layer.submodel == nullptr) check_layer_parameters(layer, call.name, inferred.parameters);
      types[i] = {std::move(inferred.outputs), std::move(inferred.masks)};
    } catch (const CompileError& error) {
      if (node.empty()) throw;
      CompileError::Parts parts = error.parts();
      parts.detail += (parts.detail.empty() ? "" : "\n") + ("inside the model '" + node + "'");
      throw CompileError(std::move(parts));
    }
  }
  MaskedTypes outputs;
  for (const TensorRef& ref : model.outputs) {
    outputs.types.push_back(at(ref).first);
    outputs.masks.push_back(at(ref).second);
  }
  if (nodes != nullptr) *nodes = std::move(types);
  return outputs;
}

void infer_again(Model& model) {
  for (size_t i = 0; i < model.nodes.size(); ++i) {
    ModelNode& node = model.nodes[i];
    Layer& layer = model.layers[node.layer];
    if (layer.class_name == "InputLayer") continue;
    std::vector<Type> inputs;
    std::vector<InputSource> sources;
    for (const TensorRef& ref : node.inputs) {
      inputs.push_back(model.type(ref));
      sources.push_back(describe_source(model, ref));
    }
    const auto at = [&](TensorRef ref) { return std::pair(model.type(ref), model.mask(ref)); };
    LayerTypes inferred = infer_layer(layer, node.name, inputs, call_masks(node, at), sources);
    if (layer.parameters.empty() && layer.submodel == nullptr && layer.body == nullptr)
      layer.parameters = make_parameters(inferred.parameters, layer);
    node.outputs = std::move(inferred.outputs);
    node.masks = std::move(inferred.masks);
  }
}

std::vector<Parameter> make_parameters(const std::vector<ParameterSpec>& specs, const Layer& layer) {
  std::vector<Parameter> parameters;
  for (const ParameterSpec& spec : specs) {
    if (!spec.initializer.is_none()) check_initializer(spec.initializer, layer.name + "/" + spec.name);
    Parameter parameter{.name = spec.name,
                        .shape = {},
                        .data = {},
                        .initializer = spec.initializer,
                        .regularizer = spec.regularizer,
                        .trainable = spec.trainable};
    int64_t elements = 1;
    for (const Dim& dim : spec.shape) {
      if (!dim.is_constant()) {
        refuse(layer.name, layer,
               "its weight '" + spec.name + "' would be " + shape_text(spec.shape) + ", but weights need a known size",
               "give the inputs a fixed extent on that axis");
      }
      const int64_t extent = dim.constant();
      if (extent != 0 && elements > most_weight_elements / extent)
        refuse(layer.name, layer, "its weight '" + spec.name + "' would be " + shape_text(spec.shape) + ", which no memory holds",
               "give the layer fewer units, or the inputs smaller extents");
      elements *= extent;
      parameter.shape.push_back(extent);
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace moru
