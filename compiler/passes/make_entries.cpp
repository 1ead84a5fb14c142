#include "compiler/passes/make_entries.h"

#include <algorithm>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"
#include "compiler/ops/names.h"
#include "compiler/ops/op.h"
#include "compiler/passes/emit_model.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

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

Module make_entries(Model& model, const TrainingSpec* training, std::vector<BodyPlace>* places) {
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
  predict.places = places;
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
