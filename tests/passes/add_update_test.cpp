#include "compiler/passes/add_update.h"

#include "compiler/passes/differentiate.h"
#include "compiler/passes/expand.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

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
