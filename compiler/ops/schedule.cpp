// Learning rate schedules, with Keras 3's formulas: the step, counted from 0, to the learning rate of that step. The training
// step computes the next step's rate into its slot (passes/add_update), so that it is state like any other.
#include <cmath>
#include <numbers>

#include "compiler/ops/layer.h"

namespace moru {

namespace {

using Number = double (*)(double step, const Attributes&);
using Formula = Value (*)(Value step, const Attributes&);  // step as f32

Value power(Value base, double exponent) {
  return base.builder->call("power", {base, base.builder->constant(exponent, base.type().dtype)});
}
Value power(double base, Value exponent) {
  return exponent.builder->call("power", {exponent.builder->constant(base, exponent.type().dtype), exponent});
}

AttributeSpec number(std::string_view name, std::optional<double> value = {}, std::optional<double> least = 0.0) {
  AttributeSpec spec{.name = name, .type = AttributeType::real, .least = least};
  if (value) spec.default_value = *value;
  return spec;
}
AttributeSpec initial_rate() { return number("initial_learning_rate"); }
AttributeSpec steps(std::string_view name) { return {.name = name, .type = AttributeType::real, .least = 1}; }
AttributeSpec flag(std::string_view name, std::string_view doc) {
  return {.name = name, .type = AttributeType::boolean, .default_value = false, .doc = doc};
}

// cos(pi x) for 0 <= x <= 1: -sin(pi (x - 1/2)), whose Taylor series of nine terms is exact to 1e-12 there.
Value cos_pi(Value x) {
  Value y = x - 0.5, square = y * y;
  double coefficient[9], pi_square = std::numbers::pi * std::numbers::pi;
  coefficient[0] = std::numbers::pi;
  for (int k = 1; k < 9; ++k) coefficient[k] = -coefficient[k - 1] * pi_square / ((2 * k) * (2 * k + 1));
  Value sum = x.builder->constant(coefficient[8], x.type().dtype);
  for (int k = 7; k >= 0; --k) sum = sum * square + coefficient[k];
  return -(y * sum);
}

Op schedule(std::string_view name, std::string_view doc, std::vector<AttributeSpec> attributes, Number reference, Formula formula,
            std::vector<Attributes> variants, void (*check)(const OpContext&, const Op&) = nullptr) {
  std::vector<Example> examples;
  for (const Attributes& variant : variants)
    for (double step : {0.0, 3.0, 10.0, 14.0, 45.0})
      examples.push_back({.inputs = {{.shape = {}, .dtype = DType::i64, .values = {step}}}, .attributes = variant, .differentiable = false});
  return {
      .name = name,
      .family = OpFamily::schedule,
      .doc = doc,
      .inputs = {{"step"}},
      .attributes = std::move(attributes),
      .infer = [name, check](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        if (!context.inputs[0].shape.empty() || !is_integer(context.inputs[0].dtype))
          fail(context, op, "needs the step, an integer, but got " + type_text(context.inputs[0]));
        if (check) check(context, op);
        return {{DType::f32, {}}};
      },
      .reference = [reference](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        return {make_tensor(DType::f32, {}, reference(inputs[0].data[0], a))};
      },
      .expand = [formula](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {formula(b.cast(inputs[0], DType::f32), a)};
      },
      .differentiable = false,
      .examples = std::move(examples),
  };
}

// ---- exponential and inverse time ----

double fraction(double step, const Attributes& a) {
  double p = step / a.real("decay_steps");
  return a.boolean("staircase") ? std::floor(p) : p;
}
Value fraction(Value step, const Attributes& a) {
  Value p = step / a.real("decay_steps");
  return a.boolean("staircase") ? call("floor", p) : p;
}

// ---- polynomial ----

double polynomial(double step, const Attributes& a) {
  double length = a.real("decay_steps"), end = a.real("end_learning_rate");
  if (a.boolean("cycle"))
    length *= step == 0.0 ? 1.0 : std::ceil(step / length);
  else
    step = std::min(step, length);
  return (a.real("initial_learning_rate") - end) * std::pow(1.0 - step / length, a.real("power")) + end;
}

Value polynomial(Value step, const Attributes& a) {
  Builder& b = *step.builder;
  double length = a.real("decay_steps"), end = a.real("end_learning_rate");
  Value p;
  if (a.boolean("cycle")) {
    Value one = b.constant(1.0), cycles = call("ceil", step / length);
    p = step / (length * b.select(b.call("equal", {step, b.constant(0.0)}), one, cycles));
  } else {
    p = at_most(step, length) / length;
  }
  return power(1.0 - p, a.real("power")) * (a.real("initial_learning_rate") - end) + end;
}

// ---- piecewise constant ----

double piecewise(double step, const Attributes& a) {
  const std::vector<double>&boundaries = a.reals("boundaries"), &values = a.reals("values");
  size_t i = 0;
  while (i < boundaries.size() && step > boundaries[i]) ++i;
  return values[i];
}

Value piecewise(Value step, const Attributes& a) {
  Builder& b = *step.builder;
  const std::vector<double>&boundaries = a.reals("boundaries"), &values = a.reals("values");
  Value rate = b.constant(values[0]);
  for (size_t i = 0; i < boundaries.size(); ++i)
    rate = b.select(b.call("greater", {step, b.constant(boundaries[i])}), b.constant(values[i + 1]), rate);
  return rate;
}

void check_piecewise(const OpContext& context, const Op& op) {
  const std::vector<double>&boundaries = context.attributes.reals("boundaries"), &values = context.attributes.reals("values");
  if (values.size() != boundaries.size() + 1)
    fail(context, op, "has " + std::to_string(values.size()) + " values for " + std::to_string(boundaries.size()) + " boundaries",
         "give one value more than boundaries");
  for (size_t i = 1; i < boundaries.size(); ++i)
    if (boundaries[i] <= boundaries[i - 1]) fail(context, op, "needs boundaries that increase");
}

// ---- cosine ----

double cosine(double step, const Attributes& a) {
  double warmup = 0.0, from = a.real("initial_learning_rate"), length = a.real("decay_steps");
  if (a.has("warmup_target")) {
    warmup = a.real("warmup_steps");
    if (step < warmup) return (a.real("warmup_target") - from) * (step / warmup) + from;
    from = a.real("warmup_target");
  }
  double done = std::min(step - warmup, length) / length;
  return from * ((1.0 - a.real("alpha")) * 0.5 * (1.0 + std::cos(std::numbers::pi * done)) + a.real("alpha"));
}

Value cosine(Value step, const Attributes& a) {
  Builder& b = *step.builder;
  double from = a.real("initial_learning_rate"), length = a.real("decay_steps"), alpha = a.real("alpha");
  auto decayed = [&](Value since, double rate) {
    return ((cos_pi(at_most(since, length) / length) + 1.0) * (0.5 * (1.0 - alpha)) + alpha) * rate;
  };
  if (!a.has("warmup_target")) return decayed(step, from);
  double target = a.real("warmup_target"), warmup = a.real("warmup_steps");
  if (warmup == 0.0) return decayed(step, target);
  Value warming = step * ((target - from) / warmup) + from;
  Value since = b.call("maximum", {step - warmup, b.constant(0.0)});
  return b.select(b.call("less", {step, b.constant(warmup)}), warming, decayed(since, target));
}

// ---- cosine with restarts (Loshchilov and Hutter 2017): each period t_mul times as long as the one before ----

double restarts(double step, const Attributes& a) {
  double t_mul = a.real("t_mul"), done = step / a.real("first_decay_steps"), restart;
  if (t_mul == 1.0) {
    restart = std::floor(done);
    done -= restart;
  } else {
    restart = std::floor(std::log(1.0 - done * (1.0 - t_mul)) / std::log(t_mul) + 1e-9);
    done = (done - (1.0 - std::pow(t_mul, restart)) / (1.0 - t_mul)) / std::pow(t_mul, restart);
  }
  double alpha = a.real("alpha"), height = std::pow(a.real("m_mul"), restart);
  return a.real("initial_learning_rate") * ((1.0 - alpha) * 0.5 * height * (1.0 + std::cos(std::numbers::pi * done)) + alpha);
}

Value restarts(Value step, const Attributes& a) {
  double t_mul = a.real("t_mul"), alpha = a.real("alpha");
  Value done = step / a.real("first_decay_steps"), restart;
  if (t_mul == 1.0) {
    restart = call("floor", done);
    done = done - restart;
  } else {
    // The sum of the periods so far is (t_mul^k - 1) / (t_mul - 1). The logarithm of a whole power may round to either side of
    // a whole number; a step that lies on a restart belongs to the new period.
    restart = call("floor", call("log", done * (t_mul - 1.0) + 1.0) * (1.0 / std::log(t_mul)) + 1e-6);
    Value length = power(t_mul, restart);
    done = (done - (length - 1.0) / (t_mul - 1.0)) / length;
    done = at_most(step.builder->call("maximum", {done, step.builder->constant(0.0)}), 1.0);
  }
  Value wave = (cos_pi(done) + 1.0) * power(a.real("m_mul"), restart) * (0.5 * (1.0 - alpha));
  return (wave + alpha) * a.real("initial_learning_rate");
}

void check_restarts(const OpContext& context, const Op& op) {
  if (context.attributes.real("t_mul") < 1.0) fail(context, op, "needs t_mul of at least 1", "periods grow, or keep their length");
  if (context.attributes.real("m_mul") <= 0.0) fail(context, op, "needs m_mul above 0");
}

}  // namespace

std::vector<Op> schedule_ops() {
  Attributes ten = {{"initial_learning_rate", 0.1}, {"decay_steps", 10.0}};
  auto with = [&](std::initializer_list<std::pair<const char*, AttributeValue>> more) {
    Attributes attributes = ten;
    for (const auto& [name, value] : more) attributes.set(name, value);
    return attributes;
  };
  std::vector<Op> ops;
  ops.push_back(schedule(
      "exponential_decay", "rate = initial_learning_rate decay_rate^p, p = step / decay_steps, with staircase its whole part",
      {initial_rate(), steps("decay_steps"), number("decay_rate"), flag("staircase", "in steps instead of smoothly")},
      [](double step, const Attributes& a) { return a.real("initial_learning_rate") * std::pow(a.real("decay_rate"), fraction(step, a)); },
      [](Value step, const Attributes& a) { return power(a.real("decay_rate"), fraction(step, a)) * a.real("initial_learning_rate"); },
      {with({{"decay_rate", 0.9}}), with({{"decay_rate", 0.5}, {"staircase", true}})}));
  ops.push_back(schedule(
      "inverse_time_decay", "rate = initial_learning_rate / (1 + decay_rate p), p = step / decay_steps, with staircase its whole part",
      {initial_rate(), steps("decay_steps"), number("decay_rate"), flag("staircase", "in steps instead of smoothly")},
      [](double step, const Attributes& a) { return a.real("initial_learning_rate") / (1.0 + a.real("decay_rate") * fraction(step, a)); },
      [](Value step, const Attributes& a) { return a.real("initial_learning_rate") / (fraction(step, a) * a.real("decay_rate") + 1.0); },
      {with({{"decay_rate", 0.9}}), with({{"decay_rate", 0.5}, {"staircase", true}})}));
  ops.push_back(schedule(
      "polynomial_decay",
      "rate = (initial_learning_rate - end_learning_rate)(1 - p)^power + end_learning_rate, p = min(step, decay_steps) / "
      "decay_steps; with cycle p = step / (decay_steps ceil(step / decay_steps))",
      {initial_rate(), steps("decay_steps"), number("end_learning_rate", 0.0001), number("power", 1.0),
       flag("cycle", "start again, for ever longer, where the end is reached")},
      polynomial, polynomial, {ten, with({{"power", 2.0}, {"end_learning_rate", 0.01}}), with({{"cycle", true}, {"power", 0.5}})}));
  ops.push_back(schedule(
      "piecewise_constant_decay", "rate = values[i], i = the number of boundaries below step (a step on a boundary still has the value before)",
      {{.name = "boundaries", .type = AttributeType::reals}, {.name = "values", .type = AttributeType::reals}}, piecewise, piecewise,
      {{{"boundaries", std::vector<double>{3, 12}}, {"values", std::vector<double>{1.0, 0.5, 0.1}}}}, check_piecewise));
  ops.push_back(schedule(
      "cosine_decay",
      "rate = r ((1 - alpha)(1 + cos(pi p)) / 2 + alpha), r = initial_learning_rate, p = min(step, decay_steps) / decay_steps; with "
      "warmup_target first straight from initial_learning_rate to it within warmup_steps, then r = warmup_target and step counts "
      "from there (Loshchilov and Hutter 2017)",
      {initial_rate(), steps("decay_steps"), number("alpha", 0.0),
       {.name = "warmup_target", .type = AttributeType::real, .optional = true, .least = 0}, number("warmup_steps", 0.0)},
      cosine, cosine,
      {ten, with({{"alpha", 0.1}}), with({{"alpha", 0.1}, {"warmup_target", 0.3}, {"warmup_steps", 5.0}}), with({{"warmup_target", 0.3}})}));
  ops.push_back(schedule(
      "cosine_decay_restarts",
      "As cosine_decay over first_decay_steps, then again over t_mul times as many steps from m_mul times the height, and so on "
      "(Loshchilov and Hutter 2017)",
      {initial_rate(), steps("first_decay_steps"), number("t_mul", 2.0), number("m_mul", 1.0), number("alpha", 0.0)}, restarts, restarts,
      {{{"initial_learning_rate", 0.1}, {"first_decay_steps", 10.0}},
       {{"initial_learning_rate", 0.1}, {"first_decay_steps", 4.0}, {"t_mul", 1.0}, {"m_mul", 0.5}, {"alpha", 0.1}},
       {{"initial_learning_rate", 0.1}, {"first_decay_steps", 5.0}, {"t_mul", 1.5}, {"m_mul", 0.9}}},
      check_restarts));
  return ops;
}

}  // namespace moru
