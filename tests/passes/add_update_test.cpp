#include "compiler/passes/add_update.h"

#include "compiler/passes/differentiate.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"
#include "compiler/passes/expand.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

#include <cmath>
#include <limits>

using namespace moru;
using namespace moru::test;

namespace {

// loss = 3*a + 4*b over parameters a and b: their gradients are 3 and 4 whatever their values.
Module linear_module(const OpSpec& optimizer) {
  Module module = parse_module(R"(module {
    slot parameter "a": f32[1] trainable
    slot parameter "b": f32[1] trainable
    slot control "step": i64[]
    slot control "learning_rate": f32[] initial 0.5
    slot output "loss": f32[]
    entry train_step {
      %0 = input "a": f32[1]
      %1 = input "b": f32[1]
      %2: f32[] = fill() {dtype="f32", shape=[], value=3.0}
      %3: f32[] = fill() {dtype="f32", shape=[], value=4.0}
      %4: f32[1] = mul(%0, %2)
      %5: f32[1] = mul(%1, %3)
      %6: f32[1] = add(%4, %5)
      %7: f32[] = reduce_sum(%6) {axes=(0), keep_dims=false}
      result "loss" = %7
    }
  })");
  TrainingSpec training;
  training.optimizer = optimizer;
  differentiate(module);
  add_update(module, training);
  verify_module(module, "add_update");
  for (const Slot& slot : module.slots) CHECK_FALSE(slot.name.starts_with("gradient/"));
  return module;
}

Slots after_steps(const Module& module, int steps) {
  Slots slots;
  slots["a"] = slots["b"] = make_tensor(DType::f32, {1}, 10.0);
  for (int i = 0; i < steps; ++i) interpret_entry(module, "train_step", slots, {.numbers = Numbers::all_f64});
  return slots;
}

}  // namespace

TEST_CASE("add_update: plain descent goes down the gradient and counts its steps") {
  Slots slots = after_steps(linear_module({"sgd", {}, {}}), 3);
  CHECK(slots["a"].data[0] == doctest::Approx(10 - 3 * 0.5 * 3));
  CHECK(slots["b"].data[0] == doctest::Approx(10 - 3 * 0.5 * 4));
  CHECK(slots["step"].data[0] == 3);
}

TEST_CASE("add_update: an optimizer's state has slots of its own, that start as it says") {
  const Module module = linear_module({"adam", {}, {}});
  size_t states = 0;
  for (const Slot& slot : module.slots) states += slot.kind == SlotKind::optimizer_state;
  CHECK(states == 4);
  // A constant gradient makes Adam step by the learning rate.
  Slots slots = after_steps(module, 2);
  CHECK(slots["a"].data[0] == doctest::Approx(10 - 2 * 0.5).epsilon(1e-5));
  CHECK(slots["b"].data[0] == doctest::Approx(10 - 2 * 0.5).epsilon(1e-5));
}

TEST_CASE("add_update: gradients are clipped by value, by their own norm or by the norm of all") {
  Slots slots = after_steps(linear_module({"sgd", {{"clipvalue", 3.5}}, {}}), 1);
  CHECK(slots["a"].data[0] == doctest::Approx(10 - 0.5 * 3));
  CHECK(slots["b"].data[0] == doctest::Approx(10 - 0.5 * 3.5));
  slots = after_steps(linear_module({"sgd", {{"clipnorm", 1.0}}, {}}), 1);
  CHECK(slots["a"].data[0] == doctest::Approx(10 - 0.5));
  CHECK(slots["b"].data[0] == doctest::Approx(10 - 0.5));
  slots = after_steps(linear_module({"sgd", {{"global_clipnorm", 1.0}}, {}}), 1);
  CHECK(slots["a"].data[0] == doctest::Approx(10 - 0.5 * 3 / 5));
  CHECK(slots["b"].data[0] == doctest::Approx(10 - 0.5 * 4 / 5));
  slots = after_steps(linear_module({"sgd", {{"global_clipnorm", 100.0}}, {}}), 1);
  CHECK(slots["a"].data[0] == doctest::Approx(10 - 0.5 * 3));
}

namespace {

// The same module, updated as `training` says.
Module updated_module(const TrainingSpec& training, AttributeValue constraint = {}) {
  Module plain = parse_module(R"(module {
    slot parameter "w": f32[2] trainable
    slot input "x": f32[2]
    slot control "step": i64[]
    slot control "learning_rate": f32[] initial 0.5
    slot output "loss": f32[]
    entry train_step {
      %0 = input "w": f32[2]
      %1 = input "x": f32[2]
      %2: f32[2] = mul(%0, %1)
      %3: f32[] = reduce_sum(%2) {axes=(0), keep_dims=false}
      result "loss" = %3
    }
  })");
  plain.slots[0].constraint = std::move(constraint);
  differentiate(plain);
  add_update(plain, training);
  verify_module(plain, "add_update");
  const std::string text = module_text(parse_module(module_text(plain)));  // values numbered in the order of the text
  CHECK(module_text(parse_module(text)) == text);
  CHECK(parse_module(text).slots[0].constraint == plain.slots[0].constraint);
  return plain;
}

// w after each step, whose gradients are given; `slots` keeps what else there is.
std::vector<std::vector<double>> run_steps(const Module& module, Slots& slots, const std::vector<std::vector<double>>& gradients) {
  slots["w"] = HostTensor{DType::f32, {2}, {1.0, 2.0}};
  std::vector<std::vector<double>> path;
  for (const std::vector<double>& gradient : gradients) {
    slots["x"] = HostTensor{DType::f32, {2}, gradient};
    interpret_entry(module, "train_step", slots, {.numbers = Numbers::all_f64});
    path.push_back(slots["w"].data);
  }
  return path;
}

TrainingSpec sgd(Attributes attributes = {}) {
  TrainingSpec training;
  training.optimizer = {"sgd", std::move(attributes), {}};
  return training;
}

}  // namespace

TEST_CASE("add_update: gradients accumulate and their mean updates at the last of so many steps, states with it") {
  Slots slots;
  const Module module = updated_module(sgd({{"gradient_accumulation_steps", 2}, {"momentum", 0.5}}));
  auto path = run_steps(module, slots, {{1, 0}, {3, 2}, {2, 2}, {4, 0}});
  CHECK(path[0] == std::vector<double>{1, 2});
  CHECK(path[1] == std::vector<double>{0, 1.5});        // mean gradient (2, 1)
  CHECK(path[2] == path[1]);
  CHECK(path[3] == std::vector<double>{-2, 0.75});      // mean (3, 1); velocity (-1, -0.5) / 2 - (1.5, 0.5)
  CHECK(slots["step"].data[0] == 4);
  CHECK(slots["sgd/accumulated_gradient/w"].data == std::vector<double>{0, 0});
}

TEST_CASE("add_update: adam counts updates, not steps, where gradients accumulate") {
  TrainingSpec training;
  training.optimizer = {"adam", {{"gradient_accumulation_steps", 3}}, {}};
  Slots slots;
  auto path = run_steps(updated_module(training), slots, {{1, -1}, {1, -1}, {1, -1}});
  CHECK(path[2][0] == doctest::Approx(1 - 0.5));  // the first step of Adam is the learning rate
  CHECK(path[2][1] == doctest::Approx(2 + 0.5));
}

TEST_CASE("add_update: the moving average follows, overwrites at its frequency, and is what training leaves") {
  Slots slots;
  const Module module = updated_module(sgd({{"use_ema", true}, {"ema_momentum", 0.75}, {"ema_overwrite_frequency", 3}}));
  auto path = run_steps(module, slots, {{2, 0}, {2, 0}, {2, 0}, {2, 0}});
  CHECK(path[0][0] == 0.0);                                   // average 0
  CHECK(path[1][0] == -1.0);                                  // average -0.25
  const double third = 0.75 * -0.25 + 0.25 * -2.0;
  CHECK(path[2][0] == doctest::Approx(third));                // overwritten
  CHECK(path[3][0] == doctest::Approx(third - 1.0));
  interpret_entry(module, "finish_training", slots, {.numbers = Numbers::all_f64});
  CHECK(slots["w"].data[0] == doctest::Approx(0.75 * third + 0.25 * (third - 1.0)));
  CHECK(slots["w"].data[1] == doctest::Approx(2.0));
}

TEST_CASE("add_update: constraints hold behind every update") {
  Slots slots;
  auto path = run_steps(updated_module(sgd(), Attributes{{"class", "NonNeg"}}), slots, {{4, 1}});
  CHECK(path[0] == std::vector<double>{0, 1.5});
  Slots others;
  path = run_steps(updated_module(sgd(), Attributes{{"class", "MaxNorm"}, {"max_value", 1.0}}), others, {{-4, -4}});
  CHECK(path[0][0] * path[0][0] + path[0][1] * path[0][1] == doctest::Approx(1.0));
  CHECK(path[0][0] / path[0][1] == doctest::Approx(3.0 / 4.0));
}

TEST_CASE("add_update: a scaled loss leaves out steps with gradients that are not finite, and halves and doubles its scale") {
  TrainingSpec training = sgd({{"momentum", 0.5}});
  training.loss_scale = LossScale{.initial_scale = 16.0, .dynamic_growth_steps = 2};
  Slots slots;
  const double infinity = std::numeric_limits<double>::infinity();
  const Module module = updated_module(training);
  auto path = run_steps(module, slots, {{2, 0}});
  CHECK(path[0] == std::vector<double>{0, 2});
  path = run_steps(module, slots, {{infinity, 1}, {std::nan(""), 1}, {3e38, 1}});
  for (const std::vector<double>& w : path) CHECK(w == std::vector<double>{1, 2});
  CHECK(slots["step"].data[0] == 1);
  CHECK(slots["sgd/dynamic_scale"].data[0] == 2.0);
  run_steps(module, slots, {{0, 0}, {0, 0}});
  CHECK(slots["sgd/dynamic_scale"].data[0] == 4.0);
  CHECK(slots["sgd/step_counter"].data[0] == 0);
  CHECK(slots["step"].data[0] == 3);
}

TEST_CASE("add_update: a schedule computes the next step's learning rate into its slot") {
  TrainingSpec training = sgd();
  training.schedule = {"ExponentialDecay", {{"initial_learning_rate", 0.5}, {"decay_steps", 1.0}, {"decay_rate", 0.5}}, {}};
  Slots slots;
  auto path = run_steps(updated_module(training), slots, {{1, 0}, {1, 0}});
  CHECK(path[0][0] == doctest::Approx(0.5));
  CHECK(path[1][0] == doctest::Approx(0.25));
  CHECK(slots["learning_rate"].data[0] == doctest::Approx(0.125));
}

TEST_CASE("add_update: spectral normalization divides the kernel, and the optimizer goes on from the quotient") {
  const LayerSpec wrapped = layers::dense(1, {.use_bias = false});
  for (const bool frozen : {false, true}) {
    ModelBuilder m("m");
    LayerSpec spec = layers::spectral_normalization(wrapped, 1, "sn");
    spec.trainable = !frozen;
    // The sum of two outputs, one trainable for sure.
    const Tensor x = m.input("x", {2});
    Model model = m.build({m.call(layers::add("out"), {m.call(spec, x), m.call(layers::dense(1, {.use_bias = false, .name = "other"}), x)})});
    TrainingSpec training;
    training.optimizer = {"sgd", {{"learning_rate", 0.25}}, {}};
    training.losses = {{"mean_squared_error", {}, "mean_squared_error"}};
    Module module = make_entries(model, &training);
    for (Graph& graph : module.entries) graph = expand(graph);
    differentiate(module);
    add_update(module, training);
    verify_module(module, "add_update");
    CHECK(module.find_slot("sn/vector_u")->kind == SlotKind::layer_state);
    CHECK(module.find_slot("sn/layer/kernel")->kind == SlotKind::parameter);
    Slots slots;
    slots["x"] = {DType::f32, {2, 2}, {1, 2, 3, -1}};
    slots["out/target"] = {DType::f32, {2, 1}, {1, -1}};
    slots["sn/layer/kernel"] = {DType::f32, {2, 1}, {3, 4}};  // its singular value is 5
    slots["sn/vector_u"] = {DType::f32, {1, 1}, {-0.02}};
    slots["other/kernel"] = {DType::f32, {2, 1}, {0, 0}};
    interpret_entry(module, "evaluate", slots, {.numbers = Numbers::all_f64});
    CHECK(slots["sn/layer/kernel"].data == std::vector<double>{3, 4});
    interpret_entry(module, "train_step", slots, {.numbers = Numbers::all_f64});
    // y = 0.6 x0 + 0.8 x1 = 2.2, 1.0; the loss is (1.2^2 + 2^2) / 2; its gradient the mean of 2 * error * x.
    CHECK(slots["loss"].data[0] == doctest::Approx((1.44 + 4) / 2));
    const double g0 = 1.2 * 1 + 2 * 3, g1 = 1.2 * 2 - 2 * 1;
    CHECK(slots["other/kernel"].data[0] == doctest::Approx(-0.25 * g0));
    CHECK(slots["sn/layer/kernel"].data[0] == doctest::Approx(0.6 - (frozen ? 0 : 0.25 * g0)));
    CHECK(slots["sn/layer/kernel"].data[1] == doctest::Approx(0.8 - (frozen ? 0 : 0.25 * g1)));
    CHECK(slots["sn/vector_u"].data[0] == doctest::Approx(-1));
  }
}

TEST_CASE("add_update: a spectral normalization that is trained in two calls is refused") {
  ModelBuilder m("m");
  const LayerSpec spec = layers::spectral_normalization(layers::dense(1), 1, "sn");
  const LayerCall normalized = m.layer(spec.class_name, spec.attributes, spec.name);
  const Tensor x = m.input("x", {1});
  Model model = m.build({m.call(layers::add("out"), {normalized(x), normalized(m.call(layers::rescaling(2.0), x))})});
  TrainingSpec training;
  training.optimizer.op = "sgd";
  training.losses = {{"mean_squared_error", {}, "mean_squared_error"}};
  CHECK_NOTHROW(make_entries(model, nullptr));
  CHECK_THROWS_WITH_AS(make_entries(model, &training), doctest::Contains("the weight 'sn/layer/kernel' in every call"), CompileError);
}
