#include "compiler/model/custom_cell.h"

#include "compiler/ops/recurrent_loop.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

[[noreturn]] void refuse(const std::string& name, std::string what, std::string hint = {}) {
  throw CompileError(
      {.stage = "author", .node = name, .op = "CustomRNN", .what = std::move(what), .detail = {}, .hint = std::move(hint)});
}

AttributeValue initializer_attribute(const AttributeValue& given) {
  const auto* name = std::get_if<std::string>(&given.value);
  return name ? AttributeValue(Attributes{{"class", *name}}) : given;
}

}  // namespace

std::vector<Tensor> custom_rnn(ModelBuilder& model, const CustomCell& cell, const Tensor& x, const CustomRnnOptions& options) {
  const Type& type = x.type();
  if (type.shape.size() != 3 || !type.shape[2].is_constant())
    refuse(options.name, "needs a sequence [batch, time, features] but got " + shape_text(type.shape));
  if (!options.initial_states.empty() && options.initial_states.size() != cell.state_sizes.size())
    refuse(options.name, "needs " + std::to_string(cell.state_sizes.size()) + " initial states but got " +
                             std::to_string(options.initial_states.size()));
  if (!options.mask && model.drawn().mask(x.ref))
    refuse(options.name, "its input has a mask, which a cell of one's own does not see by itself",
           "give the mask as the option 'mask', or end it before, for instance with Reshape");

  Graph body;
  body.name = options.name;
  Builder builder(body, options.name);
  std::vector<Tensor> inputs = {x};
  RecurrentLoop loop{.x = builder.input(type), .mask = {}, .states = {}, .invariants = {}, .step = cell.step};
  if (options.mask) {
    const Shape steps = {type.shape[0], type.shape[1]};
    if (options.mask->shape() != steps)
      refuse(options.name, "needs a mask " + shape_text(steps) + " but got " + shape_text(options.mask->shape()));
    inputs.push_back(*options.mask);
    loop.mask = builder.input(options.mask->type());
  }
  for (size_t i = 0; i < cell.state_sizes.size(); ++i) {
    const Shape shape = {type.shape[0], cell.state_sizes[i]};
    if (options.initial_states.empty()) {
      loop.states.push_back(builder.fill(0.0, shape, type.dtype));
      continue;
    }
    const Tensor& initial = options.initial_states[i];
    if (initial.shape() != shape)
      refuse(options.name, "needs an initial state " + shape_text(shape) + " but got " + shape_text(initial.shape()));
    inputs.push_back(initial);
    loop.states.push_back(builder.input(initial.type()));
  }
  LayerSpec layer{.class_name = "CustomRNN", .name = options.name};
  for (const CustomCell::Weight& weight : cell.weights(type.shape[2].constant())) {
    loop.invariants.push_back(builder.input({type.dtype, Shape(weight.shape.begin(), weight.shape.end())}, {}, weight.name));
    layer.parameters.push_back({.name = weight.name,
                                .shape = weight.shape,
                                .initializer = initializer_attribute(weight.initializer),
                                .trainable = weight.trainable});
  }
  loop.step = [&](Builder& step, Value at, std::span<const Value> states, std::span<const Value> weights) {
    auto made = cell.step(step, at, states, weights);
    bool fits = made.second.size() == states.size();
    for (size_t i = 0; fits && i < states.size(); ++i) fits = made.second[i].type() == states[i].type();
    if (!fits) {
      std::string wanted;
      for (const Value& state : states) wanted += (wanted.empty() ? "" : ", ") + type_text(state.type());
      refuse(options.name, "its step must return its states as it got them, " + wanted);
    }
    return made;
  };
  loop.return_sequences = options.return_sequences;
  loop.go_backwards = options.go_backwards;
  loop.zero_output_for_mask = options.zero_output_for_mask;
  const std::vector<Value> run = run_recurrent_loop(builder, loop);
  for (size_t i = 0; i < (options.return_state ? run.size() : 1); ++i) builder.result(run[i]);
  layer.body = std::make_shared<const Graph>(std::move(body));
  return model.add(std::move(layer)).call_all(inputs);
}

}  // namespace moru
