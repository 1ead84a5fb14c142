// State is replaced in place only where nobody still needs what it replaces.
#include <doctest/doctest.h>

#include "tests/support/lowered_run.h"

using namespace moru;
using namespace moru::test;

namespace {

void check_text(const char* text) {
  LoweredModule lowered(parse_module(text), {16, 64});
  verify_module(lowered.module, "test");
  Slots slots;
  double next = 0.25;
  for (const Slot& slot : lowered.module.slots) {
    std::vector<int64_t> shape;
    for (const Dim& dim : slot.type.shape) shape.push_back(dim.constant());
    HostTensor tensor = make_tensor(slot.type.dtype, shape);
    for (double& v : tensor.data) v = next += 0.25;
    slots[slot.name] = tensor;
  }
  check_entry(lowered, "step", slots, {});
}

}  // namespace

TEST_CASE("lower: a fold in the loop that replaces state reads the old values") {
  check_text(R"(module {
    slot parameter "w": f32[7, 5] trainable
    slot output "penalty": f32[]
    entry step {
      %0 = input "w": f32[7, 5]
      %1: f32[7, 5] = square(%0)
      %2: f32[] = reduce_sum(%1) {axes=(0, 1), keep_dims=false}
      %3: f32[7, 5] = sub(%0, %1)
      result "penalty" = %2
      result "w" = %3
    }
  })");
}

TEST_CASE("lower: two states that are computed from each other's old values") {
  check_text(R"(module {
    slot layer_state "a": f32[19]
    slot layer_state "b": f32[19]
    entry step {
      %0 = input "a": f32[19]
      %1 = input "b": f32[19]
      %2: f32[19] = add(%0, %1)
      %3: f32[19] = sub(%0, %1)
      result "a" = %2
      result "b" = %3
    }
  })");
}

TEST_CASE("lower: states that change places") {
  check_text(R"(module {
    slot layer_state "a": f32[19]
    slot layer_state "b": f32[19]
    entry step {
      %0 = input "a": f32[19]
      %1 = input "b": f32[19]
      result "a" = %1
      result "b" = %0
    }
  })");
}

TEST_CASE("lower: state that a contraction reads is replaced behind it") {
  check_text(R"(module {
    slot parameter "w": f32[6, 6] trainable
    slot output "y": f32[6, 6]
    entry step {
      %0 = input "w": f32[6, 6]
      %1: f32[6, 6] = mul(%0, %0)
      %2: f32[6, 6] = contract(%0, %1) {spec="ab,bc->ac"}
      result "w" = %1
      result "y" = %2
    }
  })");
}

TEST_CASE("lower: a contraction may replace state, but not what it reads") {
  check_text(R"(module {
    slot layer_state "h": f32[4, 17]
    slot layer_state "g": f32[4, 17]
    slot parameter "w": f32[17, 17]
    entry step {
      %0 = input "h": f32[4, 17]
      %1 = input "g": f32[4, 17]
      %2 = input "w": f32[17, 17]
      %3: f32[4, 17] = contract(%0, %2) {spec="ab,bc->ac"}
      %4: f32[4, 17] = contract(%3, %2) {spec="ab,bc->ac"}
      %5: f32[4, 17] = add(%4, %1)
      result "h" = %3
      result "g" = %5
    }
  })");
}

TEST_CASE("lower: views of a state that is written in place are read where it lies") {
  check_text(R"(module {
    slot layer_state "a": f32[4, 6]
    slot output "y": f32[6, 4]
    slot output "repeated": f32[8, 6]
    entry step {
      %0 = input "a": f32[4, 6]
      %1: f32[4, 6] = square(%0)
      %2: f32[6, 4] = transpose(%1) {permutation=(1, 0)}
      %4: f32[4, 1, 6] = reshape(%1) {shape=[4, 1, 6]}
      %5: f32[4, 2, 6] = broadcast_to(%4) {shape=[4, 2, 6]}
      %6: f32[8, 6] = reshape(%5) {shape=[8, 6]}
      %7: f32[8, 6] = exp(%6)
      result "a" = %1
      result "y" = %2
      result "repeated" = %7
    }
  })");
}

TEST_CASE("lower: a carry's views in the step that computes it") {
  check_text(R"(module {
    slot input "x": f32[3, 2, 4]
    slot output "last": f32[2, 4]
    slot output "products": f32[3, 4, 1]
    entry step {
      %0 = input "x": f32[3, 2, 4]
      %1: f32[2, 4] = fill() {dtype="f32", shape=[2, 4], value=0.0}
      %2: f32[2, 4], %3: f32[3, 4, 1] = scan(%1, %0) {axes=(0), carries=1, output_axes=(0), recompute=false, reverse=false, sequences=1} body {
        %0 = input: f32[2, 4]
        %1 = input: f32[2, 4]
        %2: f32[2, 4] = add(%0, %1)
        %3: f32[2, 1, 4] = reshape(%2) {shape=[2, 1, 4]}
        %4: f32[2, 2, 4] = broadcast_to(%3) {shape=[2, 2, 4]}
        %5: f32[4, 4] = reshape(%4) {shape=[4, 4]}
        %6: f32[4, 1] = fill() {dtype="f32", shape=[4, 1], value=0.5}
        %7: f32[4, 1] = contract(%5, %6) {spec="ik,kj->ij"}
        result %2
        result %7
      }
      result "last" = %2
      result "products" = %3
    }
  })");
}
