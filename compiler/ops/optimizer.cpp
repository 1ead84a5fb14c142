// Optimizer updates, with Keras 3's formulas. `x_update` maps a parameter, its gradient, the step (1 on the first), the
// learning rate and its states to the new parameter and states; `parameters` lists the states with their initial values.
// Clipping acts on all gradients together and is added by passes/add_update.
#include "compiler/ops/optimizer.h"

#include <algorithm>
#include <regex>

#include "compiler/ops/layer.h"

namespace moru {

AttributeSpec optimizer_real(std::string_view name, double value, double least, std::optional<double> most) {
  return {.name = name, .type = AttributeType::real, .default_value = value, .least = least, .most = most};
}
AttributeSpec optimizer_flag(std::string_view name, bool value) {
  return {.name = name, .type = AttributeType::boolean, .default_value = value};
}

namespace {

AttributeSpec real(std::string_view name, double value, double least = 0.0, std::optional<double> most = {}) {
  return optimizer_real(name, value, least, most);
}
AttributeSpec flag(std::string_view name) { return optimizer_flag(name); }

std::vector<AttributeSpec> optimizer_attributes(const Optimizer& optimizer) {
  using T = AttributeType;
  std::vector<AttributeSpec> attributes = {real("learning_rate", optimizer.learning_rate)};
  attributes.insert(attributes.end(), optimizer.attributes.begin(), optimizer.attributes.end());
  AttributeSpec weight_decay{.name = "weight_decay", .type = T::real, .optional = true, .least = 0,
                             .doc = "takes learning_rate * weight_decay * parameter off before the update"};
  if (optimizer.weight_decay) weight_decay.default_value = *optimizer.weight_decay;
  attributes.push_back(weight_decay);
  std::vector<AttributeSpec> common = {
      {.name = "clipnorm", .type = T::real, .optional = true, .least = 0, .doc = "each gradient's norm is at most this"},
      {.name = "clipvalue", .type = T::real, .optional = true, .least = 0, .doc = "each element's size is at most this"},
      {.name = "global_clipnorm", .type = T::real, .optional = true, .least = 0, .doc = "the norm of all gradients together"},
      {.name = "use_ema", .type = T::boolean, .default_value = false,
       .doc = "keep a moving average of every parameter, and take it when training ends"},
      {.name = "ema_momentum", .type = T::real, .default_value = 0.99, .least = 0, .most = 1},
      {.name = "ema_overwrite_frequency", .type = T::integer, .optional = true, .least = 1,
       .doc = "also take the average every so many updates"},
      {.name = "loss_scale_factor", .type = T::real, .optional = true, .least = 0,
       .doc = "without effect: gradients are f32, in which scaling the loss and unscaling them cancel"},
      {.name = "gradient_accumulation_steps", .type = T::integer, .optional = true, .least = 2,
       .doc = "update with the mean gradient of so many steps"},
  };
  attributes.insert(attributes.end(), common.begin(), common.end());
  return attributes;
}

std::vector<ParameterSpec> state_specs(const Optimizer& optimizer, const OpContext& context) {
  std::vector<ParameterSpec> specs;
  for (const State& state : optimizer.states(context.attributes, context.inputs[0].shape))
    specs.push_back({.name = state.name,
                     .shape = state.shape.value_or(context.inputs[0].shape),
                     .initializer = Attributes{{"class", "Constant"}, {"value", state.initial}},
                     .regularizer = {},
                     .trainable = false,
                     .dtype = context.inputs[0].dtype});
  return specs;
}

std::vector<Type> infer_update(const Optimizer& optimizer, const OpContext& context) {
  const Op& op = get_op(optimizer.name);
  const Type& parameter = context.inputs[0];
  if (!is_float(parameter.dtype)) fail(context, op, "cannot train a parameter " + type_text(parameter));
  if (context.inputs[1] != parameter)
    fail(context, op, "needs a gradient " + type_text(parameter) + " but got " + type_text(context.inputs[1]));
  for (size_t i : {2, 3})
    if (!context.inputs[i].shape.empty())
      fail(context, op, std::string(op.inputs[i].name) + " must be a scalar but is " + shape_text(context.inputs[i].shape));
  std::vector<ParameterSpec> states = state_specs(optimizer, context);
  if (context.inputs.size() != 4 + states.size())
    fail(context, op, "needs " + std::to_string(states.size()) + " states but got " + std::to_string(context.inputs.size() - 4));
  std::vector<Type> outputs = {parameter};
  for (size_t i = 0; i < states.size(); ++i) {
    if (context.inputs[4 + i].shape != states[i].shape)
      fail(context, op, "its state '" + states[i].name + "' must be " + shape_text(states[i].shape) + " but is " +
                            shape_text(context.inputs[4 + i].shape));
    outputs.push_back({parameter.dtype, states[i].shape});
  }
  return outputs;
}

Values expand_update(const Optimizer& optimizer, Builder& b, std::span<const Value> inputs, const Attributes& a) {
  DType dtype = inputs[0].type().dtype;
  Value parameter = inputs[0], learning_rate = b.cast(inputs[3], dtype);
  if (a.has("weight_decay") && a.real("weight_decay") != 0.0)
    parameter = parameter - parameter * (learning_rate * a.real("weight_decay"));
  return optimizer.expand({b, parameter, inputs[1], b.cast(inputs[2], dtype), learning_rate, inputs.subspan(4), a});
}

std::vector<HostTensor> update_reference(const Optimizer& optimizer, std::span<const HostTensor> inputs, const Attributes& a) {
  double learning_rate = inputs[3].data[0];
  double decay = a.has("weight_decay") ? learning_rate * a.real("weight_decay") : 0.0;
  if (optimizer.tensors_reference) {
    HostTensor decayed = inputs[0];
    for (double& w : decayed.data) w *= 1.0 - decay;
    return optimizer.tensors_reference({decayed, inputs[1], inputs[2].data[0], learning_rate, inputs.subspan(4), a});
  }
  std::vector<HostTensor> outputs = {inputs[0]};
  outputs.insert(outputs.end(), inputs.begin() + 4, inputs.end());
  for (size_t i = 0; i < inputs[0].data.size(); ++i) {
    UpdateElement element{inputs[0].data[i] * (1.0 - decay), inputs[1].data[i], inputs[2].data[0], learning_rate, {}, a};
    for (const HostTensor& state : inputs.subspan(4)) element.states.push_back(state.data[state.shape.empty() ? 0 : i]);
    Numbers updated = optimizer.reference(element);
    for (size_t k = 0; k < updated.size(); ++k) outputs[k].data[outputs[k].shape.empty() ? 0 : i] = updated[k];
  }
  return outputs;
}

// Examples: without weight decay at step 1, with it at a later step, for each of the optimizer's own variants; parameters
// of one, two and three axes where their shape matters.
std::vector<Example> update_examples(const Optimizer& optimizer) {
  std::vector<Example> examples;
  std::vector<std::vector<int64_t>> shapes = {{3, 7}};
  if (optimizer.tensors_reference) shapes = {{3, 7}, {5}, {5, 2}, {2, 3, 4}};
  for (const Attributes& variant : optimizer.examples)
    for (const std::vector<int64_t>& shape : shapes)
    for (int64_t step : {1, 7}) {
      Attributes attributes = variant;
      if (step == 7) attributes.set("weight_decay", 0.01);
      Example example{.inputs = {{shape},
                                 {shape},
                                 {.shape = {}, .dtype = DType::i64, .values = {static_cast<double>(step)}},
                                 {.shape = {}, .values = {0.01}}},
                      .attributes = attributes,
                      .differentiable = false};
      Attributes checked = attributes;
      for (const AttributeSpec& spec : optimizer_attributes(optimizer))
        if (!checked.has(spec.name) && !spec.default_value.is_none()) checked.set(std::string(spec.name), spec.default_value);
      Shape parameter(shape.begin(), shape.end());
      for (const State& state : optimizer.states(checked, parameter)) {
        Example::Tensor tensor{.shape = {}, .low = 0.25, .high = 0.75};
        for (const Dim& extent : state.shape.value_or(parameter)) tensor.shape.push_back(extent.constant());
        example.inputs.push_back(std::move(tensor));
      }
      examples.push_back(std::move(example));
    }
  return examples;
}

// ---- SGD ----

std::vector<State> sgd_states(const Attributes& a, const Shape&) {
  return a.real("momentum") != 0.0 ? std::vector<State>{{"momentum"}} : std::vector<State>{};
}

Values sgd(const Update& u) {
  double momentum = u.a.real("momentum");
  Value move = u.gradient * u.learning_rate;
  if (momentum == 0.0) return {u.parameter - move};
  Value velocity = u.states[0] * momentum - move;
  return {u.parameter + (u.a.boolean("nesterov") ? velocity * momentum - move : velocity), velocity};
}

Numbers sgd_element(const UpdateElement& e) {
  double momentum = e.a.real("momentum"), move = e.learning_rate * e.gradient;
  if (momentum == 0.0) return {e.parameter - move};
  double velocity = momentum * e.states[0] - move;
  return {e.parameter + (e.a.boolean("nesterov") ? momentum * velocity - move : velocity), velocity};
}

// ---- RMSprop: states velocity, then momentum, then average_gradient, where they exist ----

std::vector<State> rmsprop_states(const Attributes& a, const Shape&) {
  std::vector<State> states = {{"velocity"}};
  if (a.real("momentum") > 0.0) states.push_back({"momentum"});
  if (a.boolean("centered")) states.push_back({"average_gradient"});
  return states;
}

Values rmsprop(const Update& u) {
  double rho = u.a.real("rho"), momentum = u.a.real("momentum"), epsilon = u.a.real("epsilon");
  Values states = {rho * u.states[0] + (1.0 - rho) * u.call("square", u.gradient)};
  Value denominator = states[0], average;
  if (u.a.boolean("centered")) {
    average = rho * u.states.back() + (1.0 - rho) * u.gradient;
    denominator = denominator - u.call("square", average);
  }
  Value increment = u.learning_rate * u.gradient / u.call("sqrt", denominator + epsilon);
  if (momentum > 0.0) {
    increment = momentum * u.states[1] + increment;
    states.push_back(increment);
  }
  if (average) states.push_back(average);
  states.insert(states.begin(), u.parameter - increment);
  return states;
}

Numbers rmsprop_element(const UpdateElement& e) {
  double rho = e.a.real("rho"), g = e.gradient;
  double velocity = rho * e.states[0] + (1.0 - rho) * g * g;
  Numbers updated = {0.0, velocity};
  double average = e.a.boolean("centered") ? rho * e.states.back() + (1.0 - rho) * g : 0.0;
  double increment = e.learning_rate * g / std::sqrt(velocity - average * average + e.a.real("epsilon"));
  if (e.a.real("momentum") > 0.0) {
    increment += e.a.real("momentum") * e.states[1];
    updated.push_back(increment);
  }
  if (e.a.boolean("centered")) updated.push_back(average);
  updated[0] = e.parameter - increment;
  return updated;
}

// ---- Adam (Kingma and Ba 2014; epsilon as in the formula before their section 2.1), AdamW ----

std::vector<State> adam_states(const Attributes& a, const Shape&) {
  std::vector<State> states = {{"momentum"}, {"velocity"}};
  if (a.boolean("amsgrad")) states.push_back({"velocity_hat"});
  return states;
}

Values adam(const Update& u) { return adam_update(u, u.a.real("beta_1"), u.a.real("beta_2")); }

Numbers adam_element(const UpdateElement& e) { return adam_update(e, e.a.real("beta_1"), e.a.real("beta_2")); }

}  // namespace

Values adam_update(const Update& u, double beta_1, double beta_2) {
  Value alpha = u.learning_rate * u.call("sqrt", u.one_minus_power(beta_2)) / u.one_minus_power(beta_1);
  Value m = u.average(u.states[0], u.gradient, beta_1);
  Value v = u.average(u.states[1], u.call("square", u.gradient), beta_2);
  Values updated = {Value{}, m, v};
  if (u.a.has("amsgrad") && u.a.boolean("amsgrad")) {
    v = u.maximum(u.states[2], v);
    updated.push_back(v);
  }
  updated[0] = u.parameter - m * alpha / (u.call("sqrt", v) + u.a.real("epsilon"));
  return updated;
}

Numbers adam_update(const UpdateElement& e, double beta_1, double beta_2) {
  double g = e.gradient;
  double m = beta_1 * e.states[0] + (1.0 - beta_1) * g, v = beta_2 * e.states[1] + (1.0 - beta_2) * g * g;
  Numbers updated = {0.0, m, v};
  if (e.a.has("amsgrad") && e.a.boolean("amsgrad")) updated.push_back(v = std::max(e.states[2], v));
  double alpha = e.learning_rate * std::sqrt(1.0 - std::pow(beta_2, e.step)) / (1.0 - std::pow(beta_1, e.step));
  updated[0] = e.parameter - alpha * m / (std::sqrt(v) + e.a.real("epsilon"));
  return updated;
}

namespace {

// ---- Adamax ----

std::vector<State> adamax_states(const Attributes&, const Shape&) { return {{"momentum"}, {"norm"}}; }

Values adamax(const Update& u) {
  Value m = u.average(u.states[0], u.gradient, u.a.real("beta_1"));
  Value norm = u.maximum(u.states[1] * u.a.real("beta_2"), u.call("abs", u.gradient));
  Value scale = u.one_minus_power(u.a.real("beta_1"));
  return {u.parameter - u.learning_rate * m / (scale * (norm + u.a.real("epsilon"))), m, norm};
}

Numbers adamax_element(const UpdateElement& e) {
  double beta_1 = e.a.real("beta_1");
  double m = beta_1 * e.states[0] + (1.0 - beta_1) * e.gradient;
  double norm = std::max(e.a.real("beta_2") * e.states[1], std::fabs(e.gradient));
  return {e.parameter - e.learning_rate / (1.0 - std::pow(beta_1, e.step)) * m / (norm + e.a.real("epsilon")), m, norm};
}

// ---- Nadam (Dozat 2015): Adam whose momentum looks one step ahead; u_product is the product of the momenta so far ----

constexpr double nadam_decay = 0.96;

std::vector<State> nadam_states(const Attributes&, const Shape&) { return {{"momentum"}, {"velocity"}, {"u_product", 1.0, Shape{}}}; }

Values nadam(const Update& u) {
  double beta_1 = u.a.real("beta_1"), beta_2 = u.a.real("beta_2");
  Value decay = u.call("exp", u.step * std::log(nadam_decay));
  Value now = beta_1 * (1.0 - 0.5 * decay), next = beta_1 * (1.0 - 0.5 * nadam_decay * decay);
  Value product = u.states[2] * now, next_product = product * next;
  Value m = u.average(u.states[0], u.gradient, beta_1);
  Value v = u.average(u.states[1], u.call("square", u.gradient), beta_2);
  Value m_hat = next * m / (1.0 - next_product) + (1.0 - now) * u.gradient / (1.0 - product);
  Value v_hat = v / u.one_minus_power(beta_2);
  return {u.parameter - m_hat * u.learning_rate / (u.call("sqrt", v_hat) + u.a.real("epsilon")), m, v, product};
}

Numbers nadam_element(const UpdateElement& e) {
  double beta_1 = e.a.real("beta_1"), beta_2 = e.a.real("beta_2"), g = e.gradient;
  double now = beta_1 * (1.0 - 0.5 * std::pow(nadam_decay, e.step)), next = beta_1 * (1.0 - 0.5 * std::pow(nadam_decay, e.step + 1));
  double product = e.states[2] * now;
  double m = beta_1 * e.states[0] + (1.0 - beta_1) * g, v = beta_2 * e.states[1] + (1.0 - beta_2) * g * g;
  double m_hat = next * m / (1.0 - product * next) + (1.0 - now) * g / (1.0 - product);
  double v_hat = v / (1.0 - std::pow(beta_2, e.step));
  return {e.parameter - e.learning_rate * m_hat / (std::sqrt(v_hat) + e.a.real("epsilon")), m, v, product};
}

// ---- Adagrad (Duchi et al. 2011) ----

std::vector<State> adagrad_states(const Attributes& a, const Shape&) { return {{"accumulator", a.real("initial_accumulator_value")}}; }

Values adagrad(const Update& u) {
  Value accumulator = u.states[0] + u.call("square", u.gradient);
  return {u.parameter - u.learning_rate * u.gradient / u.call("sqrt", accumulator + u.a.real("epsilon")), accumulator};
}

Numbers adagrad_element(const UpdateElement& e) {
  double accumulator = e.states[0] + e.gradient * e.gradient;
  return {e.parameter - e.learning_rate * e.gradient / std::sqrt(accumulator + e.a.real("epsilon")), accumulator};
}

// ---- Adadelta (Zeiler 2012) ----

std::vector<State> adadelta_states(const Attributes&, const Shape&) { return {{"accumulated_grad"}, {"accumulated_delta_var"}}; }

Values adadelta(const Update& u) {
  double rho = u.a.real("rho"), epsilon = u.a.real("epsilon");
  auto rms = [&](Value x) { return u.call("sqrt", x + epsilon); };
  Value gradients = rho * u.states[0] + (1.0 - rho) * u.call("square", u.gradient);
  Value delta = -(rms(u.states[1]) * u.gradient / rms(gradients));
  Value deltas = rho * u.states[1] + (1.0 - rho) * u.call("square", delta);
  return {u.parameter + u.learning_rate * delta, gradients, deltas};
}

Numbers adadelta_element(const UpdateElement& e) {
  double rho = e.a.real("rho"), epsilon = e.a.real("epsilon");
  double gradients = rho * e.states[0] + (1.0 - rho) * e.gradient * e.gradient;
  double delta = std::sqrt(e.states[1] + epsilon) / std::sqrt(gradients + epsilon) * e.gradient;
  return {e.parameter - e.learning_rate * delta, gradients, rho * e.states[1] + (1.0 - rho) * delta * delta};
}

// ---- Ftrl (McMahan et al. 2013) with the shrinkage and beta of TensorFlow's ----

std::vector<State> ftrl_states(const Attributes& a, const Shape&) {
  return {{"accumulator", a.real("initial_accumulator_value")}, {"linear"}};
}

Values ftrl(const Update& u) {
  auto raised = [&](Value x) {
    double exponent = -u.a.real("learning_rate_power");
    return exponent == 0.5 ? u.call("sqrt", x) : u.b.call("power", {x, u.number(exponent)});
  };
  double l1 = u.a.real("l1_regularization_strength");
  Value l2 = u.number(u.a.real("l2_regularization_strength"));
  if (u.a.real("beta") != 0.0) l2 = l2 + (0.5 * u.a.real("beta")) / u.learning_rate;
  Value accumulator = u.states[0] + u.call("square", u.gradient), power = raised(accumulator);
  Value shrunk = u.gradient;
  if (double shrinkage = u.a.real("l2_shrinkage_regularization_strength"); shrinkage != 0.0)
    shrunk = shrunk + u.parameter * (2.0 * shrinkage);
  Value linear = u.states[1] + shrunk - (power - raised(u.states[0])) / u.learning_rate * u.parameter;
  Value clipped = u.minimum(u.maximum(linear, u.number(-l1)), u.number(l1));
  return {(clipped - linear) / (power / u.learning_rate + l2 * 2.0), accumulator, linear};
}

Numbers ftrl_element(const UpdateElement& e) {
  double exponent = -e.a.real("learning_rate_power"), l1 = e.a.real("l1_regularization_strength");
  double l2 = e.a.real("l2_regularization_strength") + e.a.real("beta") / (2.0 * e.learning_rate);
  double accumulator = e.states[0] + e.gradient * e.gradient;
  double shrunk = e.gradient + 2.0 * e.a.real("l2_shrinkage_regularization_strength") * e.parameter;
  double linear = e.states[1] + shrunk -
                  (std::pow(accumulator, exponent) - std::pow(e.states[0], exponent)) / e.learning_rate * e.parameter;
  double quadratic = std::pow(accumulator, exponent) / e.learning_rate + 2.0 * l2;
  return {(std::clamp(linear, -l1, l1) - linear) / quadratic, accumulator, linear};
}

// ---- Lion (Chen et al. 2023) ----

std::vector<State> lion_states(const Attributes&, const Shape&) { return {{"momentum"}}; }

Values lion(const Update& u) {
  double beta_1 = u.a.real("beta_1"), beta_2 = u.a.real("beta_2");
  Value direction = u.call("sign", u.states[0] * beta_1 + u.gradient * (1.0 - beta_1));
  return {u.parameter - u.learning_rate * direction, u.states[0] * beta_2 + u.gradient * (1.0 - beta_2)};
}

Numbers lion_element(const UpdateElement& e) {
  double beta_1 = e.a.real("beta_1"), beta_2 = e.a.real("beta_2");
  double mixed = beta_1 * e.states[0] + (1.0 - beta_1) * e.gradient;
  double direction = mixed > 0.0 ? 1.0 : mixed < 0.0 ? -1.0 : 0.0;
  return {e.parameter - e.learning_rate * direction, beta_2 * e.states[0] + (1.0 - beta_2) * e.gradient};
}

Op optimizer_op(Optimizer optimizer) {
  return {
      .name = optimizer.name,
      .family = OpFamily::optimizer,
      .doc = optimizer.doc,
      .inputs = {{"parameter"}, {"gradient"}, {"step"}, {"learning_rate"}, {.name = "states", .optional = true, .variadic = true}},
      .attributes = optimizer_attributes(optimizer),
      .infer = [optimizer](const OpContext& context) { return infer_update(optimizer, context); },
      .parameters = [optimizer](const OpContext& context) { return state_specs(optimizer, context); },
      .reference = [optimizer](std::span<const HostTensor> inputs, const Attributes& a) { return update_reference(optimizer, inputs, a); },
      .expand = [optimizer](Builder& b, std::span<const Value> inputs, const Attributes& a) { return expand_update(optimizer, b, inputs, a); },
      .differentiable = false,
      .examples = update_examples(optimizer),
  };
}

}  // namespace

Attributes attributes_for_parameter(const Op& optimizer, Attributes attributes, std::string_view path, size_t rank) {
  if (optimizer.name != "muon_update") return attributes;
  std::string lower(path);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  bool adamw = rank != 2;
  adamw |= attributes.boolean("exclude_embeddings") && lower.find("embedding") != std::string::npos;
  if (attributes.has("exclude_layers"))
    for (const std::string& pattern : attributes.strings("exclude_layers"))
      adamw |= std::regex_search(std::string(path), std::regex(pattern));
  attributes.set("use_adamw", adamw);
  if (adamw) attributes.set("weight_decay", attributes.real("adam_weight_decay"));
  return attributes;
}

std::vector<ParameterSpec> optimizer_states(const Op& optimizer, const Type& parameter, const Attributes& attributes,
                                            std::string_view path) {
  const bool present[] = {true};
  return optimizer.parameters({{&parameter, 1}, present, attributes, {}, path});
}

std::string optimizer_prefix(const Op& optimizer) {
  return std::string(optimizer.name.substr(0, optimizer.name.find("_update")));
}

std::vector<Op> optimizer_ops() {
  auto beta = [](std::string_view name, double value) { return real(name, value, 0.0, 1.0); };
  std::vector<AttributeSpec> adam_attributes = {beta("beta_1", 0.9), beta("beta_2", 0.999), real("epsilon", 1e-7), flag("amsgrad")};
  std::vector<AttributeSpec> moments = {beta("beta_1", 0.9), beta("beta_2", 0.999), real("epsilon", 1e-7)};
  std::vector<Op> ops;
  ops.push_back(optimizer_op({"sgd_update",
                              "w' = w - lr g;   with momentum v' = momentum v - lr g, w' = w + v', or w + momentum v' - lr g "
                              "(nesterov).   State: momentum (v)",
                              0.01,
                              {real("momentum", 0.0, 0.0, 1.0), flag("nesterov")},
                              sgd_states,
                              sgd,
                              sgd_element,
                              {{}, {{"momentum", 0.9}}, {{"momentum", 0.8}, {"nesterov", true}}}}));
  ops.push_back(optimizer_op({"rmsprop_update",
                              "v' = rho v + (1-rho) g^2;   w' = w - lr g / sqrt(v' + epsilon); centered: v' - a'^2 instead of v', "
                              "a' = rho a + (1-rho) g; momentum: m' = momentum m + the increment.   States: velocity (v), momentum (m), "
                              "average_gradient (a)",
                              0.001,
                              {beta("rho", 0.9), real("momentum", 0.0, 0.0, 1.0), real("epsilon", 1e-7), flag("centered")},
                              rmsprop_states,
                              rmsprop,
                              rmsprop_element,
                              {{}, {{"momentum", 0.7}, {"rho", 0.85}}, {{"rho", 0.5}, {"epsilon", 1.0}, {"centered", true}},
                               {{"rho", 0.5}, {"epsilon", 1.0}, {"centered", true}, {"momentum", 0.5}}}}));
  for (std::string_view name : {"adam_update", "adamw_update"})
    ops.push_back(optimizer_op({name,
                                "m' = m + (g - m)(1-beta_1);   v' = v + (g^2 - v)(1-beta_2);   w' = w - lr sqrt(1-beta_2^t) / "
                                "(1-beta_1^t) m' / (sqrt(v') + epsilon); amsgrad: the largest v' so far.   States: momentum (m), velocity "
                                "(v), velocity_hat",
                                0.001,
                                adam_attributes,
                                adam_states,
                                adam,
                                adam_element,
                                {{}, {{"amsgrad", true}}, {{"beta_1", 0.0}, {"beta_2", 0.9}, {"epsilon", 0.01}}},
                                nullptr,
                                name == "adamw_update" ? std::optional(0.004) : std::nullopt}));
  ops.push_back(optimizer_op({"adamax_update",
                              "m' = m + (g - m)(1-beta_1);   u' = max(beta_2 u, |g|);   w' = w - lr / (1-beta_1^t) m' / (u' + epsilon).   "
                              "States: momentum (m), norm (u)",
                              0.001, moments, adamax_states, adamax, adamax_element, {{}}}));
  ops.push_back(optimizer_op({"nadam_update",
                              "Adam with Nesterov momentum: mu_t = beta_1 (1 - 0.96^t / 2), p' = p mu_t;   w' = w - lr (mu_t+1 m' / "
                              "(1 - p' mu_t+1) + (1 - mu_t) g / (1 - p')) / (sqrt(v' / (1-beta_2^t)) + epsilon).   States: momentum (m), "
                              "velocity (v), u_product (p, one number)",
                              0.001, moments, nadam_states, nadam, nadam_element, {{}}}));
  ops.push_back(optimizer_op({"adagrad_update",
                              "a' = a + g^2;   w' = w - lr g / sqrt(a' + epsilon).   State: accumulator (a)", 0.001,
                              {real("initial_accumulator_value", 0.1), real("epsilon", 1e-7)}, adagrad_states, adagrad,
                              adagrad_element, {{}}}));
  ops.push_back(optimizer_op({"adadelta_update",
                              "a' = rho a + (1-rho) g^2;   d = -sqrt(b + epsilon) / sqrt(a' + epsilon) g;   b' = rho b + (1-rho) d^2;   "
                              "w' = w + lr d.   States: accumulated_grad (a), accumulated_delta_var (b)",
                              0.001, {beta("rho", 0.95), real("epsilon", 1e-7)}, adadelta_states, adadelta, adadelta_element, {{}}}));
  ops.push_back(optimizer_op(
      {"ftrl_update",
       "a' = a + g^2, p = -learning_rate_power;   z' = z + g + 2 shrinkage w - (a'^p - a^p) / lr w;   w' = (clip(z', -l1, l1) - z') / "
       "(a'^p / lr + 2 l2 + beta / lr).   States: accumulator (a), linear (z)",
       0.001,
       {{.name = "learning_rate_power", .type = AttributeType::real, .default_value = -0.5, .most = 0},
        real("initial_accumulator_value", 0.1), real("l1_regularization_strength", 0.0), real("l2_regularization_strength", 0.0),
        real("l2_shrinkage_regularization_strength", 0.0), real("beta", 0.0)},
       ftrl_states,
       ftrl,
       ftrl_element,
       {{}, {{"learning_rate_power", -0.8}, {"l1_regularization_strength", 0.5}, {"beta", 0.1}},
        {{"l2_regularization_strength", 0.3}, {"l2_shrinkage_regularization_strength", 0.2}}}}));
  ops.push_back(optimizer_op({"lion_update",
                              "w' = w - lr sign(beta_1 m + (1-beta_1) g);   m' = beta_2 m + (1-beta_2) g.   State: momentum (m)",
                              0.001, {beta("beta_1", 0.9), beta("beta_2", 0.99)}, lion_states, lion, lion_element, {{}, {{"beta_1", 0.5}}}}));
  for (Optimizer& optimizer : whole_tensor_optimizers()) ops.push_back(optimizer_op(std::move(optimizer)));
  return ops;
}

}  // namespace moru
