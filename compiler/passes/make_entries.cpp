#include "compiler/passes/make_entries.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/ir/append_graph.h"
#include "compiler/ir/builder.h"
#include "compiler/model/infer_model.h"
#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"
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

// One entry's graph while it is built: reads each slot once.
class EntryBuilder {
 public:
  EntryBuilder(Module& module, std::string name, bool training)
      : module_(module), training_(training), builder_(graph_) {
    graph_.name = std::move(name);
  }

  Builder& builder() { return builder_; }
  bool training() const { return training_; }

  Value read(const std::string& slot) {
    auto found = read_.find(slot);
    if (found != read_.end()) return builder_.value(found->second);
    const Slot* s = module_.find_slot(slot);
    if (!s) throw InternalError("no slot '" + slot + "'");
    Value value = builder_.input(s->type, slot, slot);
    read_[slot] = value.id;
    return value;
  }
  void write(const std::string& slot, Value value) { builder_.result(value, slot); }
  /// A new value for a slot that is read and written: later reads see it.
  void replace(const std::string& slot, Value value) {
    const Slot* s = module_.find_slot(slot);
    if (s->kind == SlotKind::parameter && s->trainable && replaced_.count(slot))
      throw CompileError({.stage = "make_entries",
                          .node = builder_.origin(),
                          .what = "training changes the weight '" + slot + "' in every call of its layer, so that there can be one call only",
                          .hint = "call it once, on the inputs joined along the batch"});
    replaced_[slot] = read_[slot] = value.id;
  }
  Graph take() {
    for (const auto& [slot, value] : replaced_) builder_.result(builder_.value(value), slot);
    return std::move(graph_);
  }

  std::vector<Value> regularization;  // activity penalties, already divided by the batch

 private:
  Module& module_;
  bool training_;
  Graph graph_;
  Builder builder_;
  std::map<std::string, ValueId> read_;
  std::map<std::string, ValueId> replaced_;
};

void add_slot(Module& module, Slot slot) {
  if (module.find_slot(slot.name))
    throw CompileError({.stage = "make_entries",
                        .what = "the name '" + slot.name + "' is used twice, by two inputs, outputs or layers",
                        .hint = "rename one of the layers"});
  module.slots.push_back(std::move(slot));
}

// The penalty of a regularizer {class="L1L2", l1=, l2=} on a weight or an output; no value if there is none.
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

std::string parameter_slot(const std::string& prefix, const Layer& layer, const std::string& parameter) {
  return prefix + layer.name + "/" + parameter;
}

/// The layer's attributes in one mode: those that are internal say whether this is training, and the layer left as it is.
Attributes in_mode(const Op& op, Attributes attributes, bool training, bool frozen = false) {
  for (const AttributeSpec& spec : op.attributes) {
    if (spec.internal && spec.name == "training") attributes.set("training", training);
    if (spec.internal && spec.name == "frozen") attributes.set("frozen", frozen);
  }
  return attributes;
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

// A tensor and its mask: no value where there is none.
struct MaskedValue {
  Value value, mask = {};
};
// The states that the layer of this call keeps between calls; see Op::states.
std::vector<ParameterSpec> kept_states(const Op& op, const Layer& layer, const ModelNode& node, const Type& x) {
  if (!op.states) return {};
  const bool present[] = {true};
  return op.states({{&x, 1}, present, layer.attributes, {}, node.name});
}

// A slot for each, and their names, through nested models.
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

using NodeValues = std::vector<std::vector<MaskedValue>>;  // by model node, by output

// What a call of a model sees of where it stands.
struct Scope {
  std::string prefix;     // of names of slots
  bool trainable = true;  // all enclosing models are
  Scope inside(const Layer& layer, const std::string& name) const { return {prefix + name, trainable && layer.trainable}; }
};

NodeValues emit_model(EntryBuilder& entry, const Model& model, std::span<const MaskedValue> inputs, const Scope& scope);

// The nodes of a layer that is drawn as a graph of ops.
std::vector<MaskedValue> emit_body(EntryBuilder& entry, const Layer& layer, const ModelNode& node,
                                   const std::vector<Value>& tensors, const std::string& prefix) {
  Builder& b = entry.builder();
  std::vector<Type> types;
  for (const Value& tensor : tensors) types.push_back(tensor.type());
  const Graph body = body_for(layer, prefix + node.name, types);
  b.set_origin(prefix + node.name);
  std::vector<Value> inputs = tensors;
  for (size_t i = tensors.size(); i < body.inputs.size(); ++i)
    inputs.push_back(entry.read(parameter_slot(prefix, layer, layer.parameters.at(i - tensors.size()).name)));
  std::vector<MaskedValue> outputs;
  for (const Value& output : append_graph(b, body, inputs)) outputs.push_back({output});
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
      values[n] = emit_body(entry, layer, node, tensors, scope.prefix);
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

struct OutputPlan {
  std::string name;
  Type prediction;                 // raw units
  Type network;                    // what the loss sees
  const Layer* inverse = nullptr;  // the Normalization(invert) that makes this output
  TensorRef network_ref;
  bool has_loss = false;
  double weight = 1.0;
  std::string loss_op;
  Attributes loss_attributes;
  Type target;
  struct Metric {
    std::string key;
    std::string op;
    Attributes attributes;
    bool weighted = false;
  };
  std::vector<Metric> metrics;
};

std::vector<OutputPlan> plan_outputs(const Model& model, const TrainingSpec& spec) {
  if (spec.losses.size() != model.outputs.size())
    throw CompileError({.stage = "make_entries",
                        .what = "the model has " + std::to_string(model.outputs.size()) + " outputs but " +
                                std::to_string(spec.losses.size()) + " losses are given",
                        .hint = "give one loss per output, null where an output has none"});
  if (!spec.loss_weights.empty() && spec.loss_weights.size() != model.outputs.size())
    throw CompileError({.stage = "make_entries",
                        .what = "the model has " + std::to_string(model.outputs.size()) + " outputs but " +
                                std::to_string(spec.loss_weights.size()) + " loss weights are given"});
  std::vector<OutputPlan> plans;
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    OutputPlan plan;
    plan.name = model.output_names[i];
    plan.prediction = model.type(model.outputs[i]);
    plan.network_ref = model.outputs[i];
    plan.network = plan.prediction;
    const ModelNode& node = model.nodes[model.outputs[i].node];
    const Layer& layer = model.layers[node.layer];
    if (layer.class_name == "Normalization" && layer.attributes.has("invert") && layer.attributes.boolean("invert")) {
      plan.inverse = &layer;
      plan.network_ref = node.inputs[0];
      plan.network = model.type(plan.network_ref);
    }
    if (!spec.losses[i].op.empty()) {
      plan.has_loss = true;
      plan.loss_op = loss_op_for(spec.losses[i].op);
      plan.loss_attributes = spec.losses[i].attributes;
      plan.weight = spec.loss_weights.empty() ? 1.0 : spec.loss_weights[i];
      plan.target = index_target(plan.loss_op, plan.loss_attributes, plan.network).value_or(plan.prediction);
      if (i < spec.metrics.size())
        for (const OpSpec& metric : spec.metrics[i]) {
          std::string key = metric.key.empty() ? metric.op : metric.key;
          if (model.outputs.size() > 1) key = plan.name + "_" + key;
          plan.metrics.push_back({key, metric_op_for(metric.op, plan.target, plan.prediction), metric.attributes,
                                  metric.weighted});
        }
    }
    plans.push_back(std::move(plan));
  }
  if (std::none_of(plans.begin(), plans.end(), [](const OutputPlan& p) { return p.has_loss; }))
    throw CompileError({.stage = "make_entries",
                        .what = "no output has a loss, so there is nothing to train",
                        .hint = "set fit.loss"});
  return plans;
}

// What an output adds to the loss that is trained on, and what the history shows for it: the same, but the mean where the
// reduction is "none" and training has to take the sum.
struct OutputLoss {
  Value trained, shown;
};

// A mask of steps for the values of a loss, from that of the predictions and the loss' own.
Value loss_mask(const OutputPlan& plan, Value values, Value of_prediction, Value of_loss) {
  if (!of_prediction) return of_loss;
  Builder& b = *values.builder;
  const Shape& shape = values.shape();
  const size_t axes = of_prediction.rank();
  if (axes > shape.size() || !std::equal(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axes), of_prediction.shape().begin()))
    throw CompileError({.stage = "make_entries",
                        .node = plan.name,
                        .what = "the output has a mask " + shape_text(of_prediction.shape()) + ", but " + plan.loss_op +
                                " gives " + shape_text(shape),
                        .hint = "take a loss with one value for each step, or end the mask before the output, for instance "
                                "with return_sequences=false"});
  const Value mask = b.broadcast_to(mask_like(of_prediction, values), shape);
  return of_loss ? b.call("logical_and", {mask, b.cast(of_loss, DType::boolean)}) : mask;
}

OutputLoss emit_loss(EntryBuilder& entry, const OutputPlan& plan, const TrainingSpec& spec, Value y_true, MaskedValue y_pred) {
  Builder& b = entry.builder();
  const std::vector<Value> losses = b.call_all(plan.loss_op, std::vector<Value>{y_true, y_pred.value}, plan.loss_attributes);
  Value weight = spec.sample_weight ? entry.read(plan.name + "/sample_weight") : Value{};
  if (weight && losses[0].rank() > 0 && losses[0].dim(0) != weight.dim(0))
    throw CompileError({.stage = "make_entries",
                        .node = plan.name,
                        .what = "sample and class weights need a loss for each sample, but " + plan.loss_op + " gives " +
                                shape_text(losses[0].shape()),
                        .hint = "leave the batch out of the loss' 'axis', or leave the weights out"});
  const Value mask = loss_mask(plan, losses[0], y_pred.mask, losses.size() > 1 ? losses[1] : Value{});
  const std::string reduction =
      plan.loss_attributes.has("reduction") ? plan.loss_attributes.string("reduction") : "sum_over_batch_size";
  const Value trained = reduce_loss(losses[0], weight, mask, reduction);
  return {trained, reduction == "none" ? reduce_loss(losses[0], weight, mask, "mean") : trained};
}

// Adds the states of one metric at its first use, and the accumulation to an entry.
void accumulate(Module& module, EntryBuilder& entry, const std::string& key, std::span<const Value> increments) {
  for (size_t i = 0; i < increments.size(); ++i) {
    std::string slot = "metric/" + key + "/" + std::to_string(i);
    if (!module.find_slot(slot))
      add_slot(module, {.name = slot, .kind = SlotKind::metric_state, .type = increments[i].type()});
    entry.write(slot, entry.read(slot) + increments[i]);
  }
}

// Weighted mean over an epoch of a batch mean: sum of value * batch, sum of batch.
void accumulate_mean(Module& module, EntryBuilder& entry, const std::string& key, Value batch_mean, const Dim& batch) {
  Builder& b = entry.builder();
  Value count = b.dim_value(batch, DType::f64);
  accumulate(module, entry, key, std::vector<Value>{b.cast(batch_mean, DType::f64) * count, count});
}

struct MetricKey {
  std::string key;
  std::string result_op;
  Attributes attributes;
  size_t states;
};

// Forward pass, losses and metrics, in training or inference mode.
void emit_training(Module& module, EntryBuilder& entry, Model& model, std::vector<OutputPlan>& plans,
                   const TrainingSpec& spec, std::vector<MetricKey>& keys) {
  Builder& b = entry.builder();
  std::vector<MaskedValue> inputs;
  for (const std::string& name : model.input_names()) inputs.push_back({entry.read(name)});
  NodeValues values = emit_model(entry, model, inputs, {});
  std::vector<Value> output_losses(plans.size());
  Value total, shown;
  Dim batch = model.type(model.inputs.at(0)).shape.at(0);
  for (size_t i = 0; i < plans.size(); ++i) {
    OutputPlan& plan = plans[i];
    if (!plan.has_loss) continue;
    b.set_origin(plan.name);
    Value target = entry.read(plan.name + "/target");
    Value y_true = target;
    if (plan.inverse) {
      std::vector<Value> parts = {target};
      for (const Parameter& parameter : plan.inverse->parameters)
        parts.push_back(entry.read(parameter_slot("", *plan.inverse, parameter.name)));
      Attributes attributes = plan.inverse->attributes;
      attributes.set("invert", false);
      y_true = b.call_all("normalization", parts, attributes)[0];
    }
    const MaskedValue y_pred = values[plan.network_ref.node].at(plan.network_ref.output);
    const OutputLoss loss = emit_loss(entry, plan, spec, y_true, y_pred);
    output_losses[i] = loss.shown;
    auto add = [&](Value& sum, Value value) {
      const Value weighted = plan.weight == 1.0 ? value : value * plan.weight;
      sum = sum ? sum + weighted : weighted;
    };
    add(total, loss.trained);
    add(shown, loss.shown);
  }
  for (const ParameterPath& path : all_parameters(model)) {
    b.set_origin(path.layer->name);
    if (path.trainable || path.parameter->trainable)
      if (Value sum = penalty(b, entry.read(path.path), path.parameter->regularizer)) {
        total = total + sum;
        shown = shown + sum;
      }
  }
  for (Value sum : entry.regularization) {
    total = total + sum;
    shown = shown + sum;
  }
  b.set_origin("loss");
  if (entry.training()) entry.write("loss", total);
  accumulate_mean(module, entry, "loss", shown, batch);
  bool first = keys.empty();
  if (first) keys.push_back({"loss", "metric_mean_result", {}, 2});
  for (size_t i = 0; i < plans.size(); ++i)
    if (plans.size() > 1 && plans[i].has_loss) {
      b.set_origin(plans[i].name);
      accumulate_mean(module, entry, plans[i].name + "_loss", output_losses[i], batch);
      if (first) keys.push_back({plans[i].name + "_loss", "metric_mean_result", {}, 2});
    }
  for (size_t i = 0; i < plans.size(); ++i)
    for (OutputPlan::Metric& metric : plans[i].metrics) {
      b.set_origin(plans[i].name);
      const TensorRef& ref = model.outputs[i];
      const MaskedValue& y_pred = values[ref.node].at(ref.output);
      std::vector<Value> parts = {entry.read(plans[i].name + "/target"), y_pred.value};
      if (metric.weighted && spec.sample_weight) parts.push_back(entry.read(plans[i].name + "/sample_weight"));
      const std::vector<InputSpec>& specs = get_op(metric.op).inputs;
      if (y_pred.mask && specs.back().name == "mask") {
        parts.resize(specs.size());
        parts.back() = y_pred.mask;
      }
      std::vector<Value> increments = b.call_all(metric.op, parts, metric.attributes);
      accumulate(module, entry, metric.key, increments);
      if (first) keys.push_back({metric.key, metric.op + "_result", {}, increments.size()});
    }
}

// What the schedule says for the first step; add_update has every step compute the rate of the next.
double first_learning_rate(const OpSpec& schedule) {
  const Op& op = get_op(schedule_op_for(schedule.op));
  const Attributes attributes = check_attributes(op, schedule.attributes, "learning rate schedule " + schedule.op);
  const HostTensor first = make_tensor(DType::i64, {});
  return op.reference({&first, 1}, attributes).at(0).data.at(0);
}

// Inputs that are looked up in a table are checked before a run: a table of n rows takes 0 <= index < n.
void limit_indices(Module& module) {
  const Graph& predict = module.entries.back();
  for (const Node& node : predict.nodes) {
    if (node.op->name != "embedding") continue;
    for (const GraphInput& input : predict.inputs) {
      if (input.value != node.inputs[0] || !is_integer(predict.type(input.value).dtype)) continue;
      const int64_t rows = node.attributes.integer("input_dim");
      for (Slot& slot : module.slots)
        if (slot.name == input.slot) slot.index_limit = slot.index_limit == 0 ? rows : std::min(slot.index_limit, rows);
    }
  }
}

}  // namespace

Module make_entries(Model& model, const TrainingSpec* training) {
  Module module;
  std::vector<std::string> input_names = model.input_names();
  for (size_t i = 0; i < model.inputs.size(); ++i)
    add_slot(module, {.name = input_names[i], .kind = SlotKind::input, .type = model.type(model.inputs[i])});
  for (size_t i = 0; i < model.outputs.size(); ++i) {
    // An output may carry the name of an input (a model that hands an input through).
    if (module.find_slot(model.output_names[i])) model.output_names[i] += "_output";
    add_slot(module, {.name = model.output_names[i], .kind = SlotKind::output, .type = model.type(model.outputs[i])});
  }
  add_parameter_slots(module, model);
  std::vector<std::string> states;
  add_state_slots(module, model, "", states);

  EntryBuilder predict(module, "predict", false);
  std::vector<MaskedValue> inputs;
  for (const std::string& name : input_names) inputs.push_back({predict.read(name)});
  NodeValues values = emit_model(predict, model, inputs, {});
  for (size_t i = 0; i < model.outputs.size(); ++i)
    predict.write(model.output_names[i], values[model.outputs[i].node].at(model.outputs[i].output).value);
  module.entries.push_back(predict.take());
  limit_indices(module);
  if (!states.empty()) {
    EntryBuilder reset(module, "reset_states", false);
    for (const std::string& state : states) {
      const Type& type = module.find_slot(state)->type;
      reset.write(state, reset.builder().fill(0.0, type.shape, type.dtype));
    }
    module.entries.push_back(reset.take());
  }
  if (!training) return module;

  std::vector<OutputPlan> plans = plan_outputs(model, *training);
  for (OutputPlan& plan : plans) {
    if (!plan.has_loss) continue;
    int64_t limit = class_count(plan.loss_op, plan.loss_attributes, plan.network);
    add_slot(module,
             {.name = plan.name + "/target", .kind = SlotKind::target, .type = plan.target, .index_limit = limit});
    if (training->sample_weight)
      add_slot(module, {.name = plan.name + "/sample_weight",
                        .kind = SlotKind::sample_weight,
                        .type = {DType::f32, {plan.network.shape[0]}},
                        .initial = 1.0});
  }
  // Where it is not given, each optimizer has its own default.
  const Op& optimizer = get_op(optimizer_op_for(training->optimizer.op));
  double learning_rate = check_attributes(optimizer, training->optimizer.attributes, "optimizer").real("learning_rate");
  if (!training->schedule.op.empty()) learning_rate = first_learning_rate(training->schedule);
  add_slot(module, {.name = "step", .kind = SlotKind::control, .type = {DType::i64, {}}});
  add_slot(module, {.name = "seed", .kind = SlotKind::control, .type = {DType::i64, {}}});
  add_slot(module,
           {.name = "learning_rate", .kind = SlotKind::control, .type = {DType::f32, {}}, .initial = learning_rate});
  add_slot(module, {.name = "loss", .kind = SlotKind::output, .type = {DType::f32, {}}});

  std::vector<MetricKey> keys;
  EntryBuilder train(module, "train_step", true);
  emit_training(module, train, model, plans, *training, keys);
  module.entries.push_back(train.take());
  EntryBuilder evaluate(module, "evaluate", false);
  emit_training(module, evaluate, model, plans, *training, keys);
  module.entries.push_back(evaluate.take());

  EntryBuilder reset(module, "reset_metrics", false);
  for (const Slot& slot : module.slots)
    if (slot.kind == SlotKind::metric_state)
      reset.write(slot.name, reset.builder().fill(0.0, slot.type.shape, slot.type.dtype));
  module.entries.push_back(reset.take());

  EntryBuilder results(module, "metric_results", false);
  for (const MetricKey& key : keys) {
    std::vector<Value> counted;
    for (size_t i = 0; i < key.states; ++i)
      counted.push_back(results.read("metric/" + key.key + "/" + std::to_string(i)));
    Value result = results.builder().call_all(key.result_op, counted, key.attributes)[0];
    std::string slot = "metric_results/" + key.key;
    add_slot(module, {.name = slot, .kind = SlotKind::output, .type = result.type()});
    results.write(slot, result);
  }
  module.entries.push_back(results.take());
  return module;
}

}  // namespace moru
