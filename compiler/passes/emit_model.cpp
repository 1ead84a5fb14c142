#include "compiler/passes/emit_model.h"

#include <algorithm>
#include <set>

#include "compiler/ir/append_graph.h"
#include "compiler/model/infer_model.h"
#include "compiler/ops/layer.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

bool is_model_class(const Layer& layer) { return layer.submodel && layer.class_name != "TimeDistributed"; }

// A stream of random numbers of its own for each call of a layer: FNV-1a of the node's path, kept positive.
int64_t stream_of(const std::string& path) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return static_cast<int64_t>(hash >> 33);
}

// The layer's constraint of a parameter: "kernel_constraint" of "kernel", "recurrent_constraint" of "recurrent_kernel",
// that of the layer inside for a wrapper's "forward/kernel".
AttributeValue constraint_of(const Attributes& attributes, std::string name) {
  if (attributes.has("layer"))
    if (const auto* inner = std::get_if<AttributeValue::Nested>(&attributes.find("layer")->value); inner && *inner)
      return constraint_of(**inner, std::move(name));
  if (attributes.has("cell")) {  // "cell/kernel", "cells/1/kernel"
    const bool stacked = name.starts_with("cells/");
    const Attributes& cell = attributes.nested("cell");
    return constraint_of(stacked ? cell.nested("cell_" + name.substr(6, name.find('/', 6) - 6)) : cell, name.substr(name.rfind('/') + 1));
  }
  if (size_t slash = name.rfind('/'); slash != std::string::npos) name = name.substr(slash + 1);
  std::vector<std::string> stems = {name};
  if (name.ends_with("_kernel")) stems.push_back(name.substr(0, name.size() - std::string_view("_kernel").size()));
  if (name == "kernel") stems.push_back("depthwise");
  for (const std::string& stem : stems)
    if (attributes.has(stem + "_constraint")) return *attributes.find(stem + "_constraint");
  return {};
}

/// The layer's attributes in one mode: those that are internal say whether this is training, and the layer left as it is.
Attributes in_mode(const Op& op, Attributes attributes, bool training, bool frozen = false) {
  for (const AttributeSpec& spec : op.attributes) {
    if (spec.internal && spec.name == "training") attributes.set("training", training);
    if (spec.internal && spec.name == "frozen") attributes.set("frozen", frozen);
  }
  return attributes;
}

// The states that the layer of this call keeps between calls; see Op::states.
std::vector<ParameterSpec> kept_states(const Op& op, const Layer& layer, const ModelNode& node, const Type& x) {
  if (!op.states) return {};
  const bool present[] = {true};
  return op.states({{&x, 1}, present, layer.attributes, {}, node.name});
}

// The nodes of a layer that is drawn as a graph of ops.
std::vector<MaskedValue> emit_body(EntryBuilder& entry, const Layer& layer, const ModelNode& node,
                                   const std::vector<Value>& tensors, const std::string& prefix, BodyPlace& place) {
  Builder& b = entry.builder();
  std::vector<Type> types;
  for (const Value& tensor : tensors) types.push_back(tensor.type());
  const Graph body = body_for(layer, prefix + node.name, types);
  b.set_origin(prefix + node.name);
  std::vector<Value> inputs = tensors;
  for (size_t i = tensors.size(); i < body.inputs.size(); ++i)
    inputs.push_back(entry.read(parameter_slot(prefix, layer, layer.parameters.at(i - tensors.size()).name)));
  place.first = entry.node_count();
  std::vector<MaskedValue> outputs;
  for (const Value& output : append_graph(b, body, inputs)) outputs.push_back({output});
  place.behind = entry.node_count();
  for (const Value& input : inputs) place.inputs.push_back(input.id);
  for (const MaskedValue& output : outputs) place.outputs.push_back(output.value.id);
  return outputs;
}

// Layers that merge any number of tensors cannot have an input for the mask of each: the masks stand behind the tensors,
// and the attribute `masked` says whose they are.
void append_masks(const Op& op, const std::vector<Value>& masks, std::vector<Value>& inputs, Attributes& attributes) {
  if (std::ranges::none_of(op.attributes, [](const AttributeSpec& s) { return s.internal && s.name == "masked"; })) return;
  std::vector<int64_t> masked;
  for (size_t i = 0; i < masks.size(); ++i) {
    if (!masks[i]) continue;
    masked.push_back(static_cast<int64_t>(i));
    inputs.push_back(masks[i]);
  }
  if (!masked.empty()) attributes.set("masked", masked);
}

// The op's inputs: tensors in their places, then random state and masks, then the parameters by name.
std::vector<MaskedValue> emit_layer(EntryBuilder& entry, const Layer& layer, const ModelNode& node,
                                    const std::vector<Value>& tensors, const CallMasks<Value>& masks, const Scope& scope) {
  Builder& b = entry.builder();
  const std::string& prefix = scope.prefix;
  const Op* op = find_layer(layer.class_name);
  if (!op)
    throw CompileError(
        {.stage = "make_entries", .node = layer.name, .op = layer.class_name, .what = "this layer is not supported"});
  Attributes attributes = in_mode(*op, layer.attributes, entry.training(), !(scope.trainable && layer.trainable));
  std::vector<std::string> names;
  std::vector<Value> parameters;
  if (tensors.size() == 1)
    for (const ParameterSpec& state : kept_states(*op, layer, node, tensors[0].type())) {
      names.push_back(state.name);
      parameters.push_back(entry.read(parameter_slot(prefix, layer, state.name)));
    }
  for (const Parameter& parameter : layer.parameters) {
    names.push_back(parameter.name);
    parameters.push_back(entry.read(parameter_slot(prefix, layer, parameter.name)));
  }
  std::vector<Value> inputs = placed_inputs<Value>(*op, tensors, names, parameters, [&](std::string_view name) {
    if (name != "seed" && name != "step") return masks.find(*op, name);
    return entry.training() ? entry.read(std::string(name)) : Value{};
  });
  // A call that goes without masks says so by keyword.
  if (masks.keywords.empty()) append_masks(*op, masks.of_tensors, inputs, attributes);
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  if (attributes.has("layer") && attributes.nested("layer").has("activity_regularizer"))
    throw CompileError({.stage = "make_entries",
                        .node = node.name,
                        .op = layer.class_name,
                        .what = "an activity_regularizer of the layer inside is not supported",
                        .hint = "regularize the kernel, or put the activity_regularizer on the layer behind"});
  b.set_origin(prefix + node.name);
  bool has_stream = std::any_of(op->attributes.begin(), op->attributes.end(),
                                [](const AttributeSpec& s) { return s.name == "stream"; });
  if (has_stream) attributes.set("stream", stream_of(prefix + node.name));
  std::vector<Value> outputs = b.call_all(op->name, inputs, attributes);
  if (op->replaces) {
    const std::vector<std::string> replaced = op->replaces(attributes);
    const size_t visible = outputs.size() - replaced.size();
    for (size_t i = 0; i < replaced.size(); ++i)
      entry.replace(parameter_slot(prefix, layer, replaced[i]), outputs[visible + i]);
    outputs.resize(visible);
  }
  AttributeValue regularizer;
  if (attributes.has("activity_regularizer")) regularizer = *attributes.find("activity_regularizer");
  if (op->name == "activity_regularization")  // nothing but a regularizer
    regularizer = Attributes{{"class", "L1L2"}, {"l1", attributes.real("l1")}, {"l2", attributes.real("l2")}};
  if (Value sum = penalty(b, outputs[0], regularizer))
    entry.regularization.push_back(sum / b.dim_value(outputs[0].dim(0)));
  std::vector<MaskedValue> masked;
  for (const Value& output : outputs) masked.push_back({output});
  if (op->mask) {
    const std::vector<Value> of_outputs = op->mask({b, attributes, tensors, masks.seen(*op)});
    for (size_t i = 0; i < of_outputs.size() && i < masked.size(); ++i) masked[i].mask = of_outputs[i];
  }
  return masked;
}

// Every step goes through the model as if it were one more row of the batch. A mask of the steps goes past the model, what
// it says of the axes behind them through it.
std::vector<MaskedValue> emit_time_distributed_model(EntryBuilder& entry, const Layer& layer, MaskedValue sequence,
                                                     const Scope& scope) {
  Builder& b = entry.builder();
  const Dim batch = sequence.value.dim(0), time = sequence.value.dim(1);
  const auto as_rows = [&](Value x) {
    Shape step(x.shape().begin() + 1, x.shape().end());
    step[0] = batch * time;
    return b.reshape(x, step);
  };
  MaskedValue rows{as_rows(sequence.value)};
  if (sequence.mask && sequence.mask.rank() > 2) rows.mask = as_rows(sequence.mask);
  NodeValues inner = emit_model(entry, *layer.submodel, {&rows, 1}, scope.inside(layer, layer.name + "/layer/"));
  std::vector<MaskedValue> outputs;
  for (const TensorRef& ref : layer.submodel->outputs) {
    Value output = inner[ref.node].at(ref.output).value;
    Shape unfolded = output.shape();
    unfolded[0] = batch;
    unfolded.insert(unfolded.begin() + 1, time);
    b.set_origin(scope.prefix + layer.name);
    outputs.push_back({b.reshape(output, unfolded)});
  }
  outputs[0].mask = sequence.mask;
  return outputs;
}

}  // namespace

void add_slot(Module& module, Slot slot) {
  if (module.find_slot(slot.name))
    throw CompileError({.stage = "make_entries",
                        .what = "the name '" + slot.name + "' is used twice, by two inputs, outputs or layers",
                        .hint = "rename one of the layers"});
  module.slots.push_back(std::move(slot));
}

Value penalty(Builder& b, Value w, const AttributeValue& regularizer) {
  const auto* nested = std::get_if<AttributeValue::Nested>(&regularizer.value);
  if (!nested || !*nested) return {};
  Attributes attributes = **nested;
  const std::string op = regularizer_op_for(attributes.string("class"));
  attributes.erase("class");
  const bool none = !attributes.entries().empty() &&
                    std::all_of(attributes.entries().begin(), attributes.entries().end(), [](const auto& entry) {
                      const auto* number = std::get_if<double>(&entry.second.value);
                      return number && *number == 0.0;
                    });
  return none ? Value{} : b.call(op, {w}, attributes);
}

std::string parameter_slot(const std::string& prefix, const Layer& layer, const std::string& parameter) {
  return prefix + layer.name + "/" + parameter;
}

void add_parameter_slots(Module& module, Model& model) {
  for (const ParameterPath& path : all_parameters(model)) {
    const Op* op = path.layer->body ? nullptr : find_layer(path.layer->class_name);
    SlotKind kind = SlotKind::parameter;
    if (op && op->replaces)
      for (const std::string& name : op->replaces(in_mode(*op, path.layer->attributes, true)))
        if (name == path.parameter->name && !path.parameter->trainable) kind = SlotKind::layer_state;
    Shape shape(path.parameter->shape.begin(), path.parameter->shape.end());
    add_slot(module, {.name = path.path,
                      .kind = kind,
                      .type = {path.parameter->dtype, shape},
                      .trainable = path.trainable,
                      .constraint = constraint_of(path.layer->attributes, path.parameter->name)});
  }
}

void add_state_slots(Module& module, const Model& model, const std::string& prefix, std::vector<std::string>& states) {
  std::set<uint32_t> seen;
  for (const ModelNode& node : model.nodes) {
    const Layer& layer = model.layers[node.layer];
    if (!seen.insert(node.layer).second || layer.body) continue;
    if (layer.submodel) {
      add_state_slots(module, *layer.submodel, prefix + layer.name + (layer.class_name == "TimeDistributed" ? "/layer/" : "/"), states);
      continue;
    }
    const Op* op = find_layer(layer.class_name);
    if (!op || node.inputs.empty()) continue;
    for (const ParameterSpec& state : kept_states(*op, layer, node, model.type(node.inputs[0]))) {
      states.push_back(parameter_slot(prefix, layer, state.name));
      add_slot(module, {.name = states.back(), .kind = SlotKind::layer_state, .type = {state.dtype, state.shape}});
    }
  }
}

NodeValues emit_model(EntryBuilder& entry, const Model& model, std::span<const MaskedValue> inputs, const Scope& scope) {
  NodeValues values(model.nodes.size());
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    auto& outputs = values[model.inputs[i].node];
    if (outputs.size() <= model.inputs[i].output) outputs.resize(model.inputs[i].output + 1);
    outputs[model.inputs[i].output] = inputs[i];
  }
  for (size_t n = 0; n < model.nodes.size(); ++n) {
    const ModelNode& node = model.nodes[n];
    const Layer& layer = model.layers[node.layer];
    if (!values[n].empty() || layer.class_name == "InputLayer") continue;
    std::vector<Value> tensors;
    CallMasks<Value> masks;
    for (const TensorRef& ref : node.inputs) {
      const MaskedValue& input = values[ref.node].at(ref.output);
      tensors.push_back(input.value);
      masks.of_tensors.push_back(input.mask);
    }
    for (const KeywordTensor& keyword : node.keywords) {
      const auto& tensor = keyword.tensor;
      masks.keywords.emplace_back(keyword.name, tensor ? values[tensor->node].at(tensor->output).value : Value{});
    }
    const auto masked_inputs = [&] {
      std::vector<MaskedValue> masked;
      const std::vector<Value> seen = masks.seen(get_op("time_distributed"));
      for (size_t i = 0; i < tensors.size(); ++i) masked.push_back({tensors[i], seen[i]});
      return masked;
    };
    if (layer.body) {
      BodyPlace place{.node = static_cast<uint32_t>(n), .inputs = {}, .outputs = {}};
      values[n] = emit_body(entry, layer, node, tensors, scope.prefix, place);
      if (entry.places != nullptr && scope.prefix.empty()) entry.places->push_back(std::move(place));
    } else if (layer.submodel && layer.class_name == "TimeDistributed") {
      values[n] = emit_time_distributed_model(entry, layer, masked_inputs().at(0), scope);
    } else if (is_model_class(layer)) {
      NodeValues inner = emit_model(entry, *layer.submodel, masked_inputs(), scope.inside(layer, layer.name + "/"));
      for (const TensorRef& ref : layer.submodel->outputs) values[n].push_back(inner[ref.node].at(ref.output));
    } else {
      values[n] = emit_layer(entry, layer, node, tensors, masks, scope);
    }
  }
  return values;
}

}  // namespace moru
