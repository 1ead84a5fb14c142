#include "compiler/passes/lower.h"

#include <doctest/doctest.h>

#include "compiler/ops/op.h"
#include "compiler/support/error.h"
#include "tests/e2e/whole_models.h"

using namespace moru;
using namespace moru::test;

namespace {

/// Lowers one entry given as text and compares it with the references at several sizes.
LoweredModule check_text(const std::string& text, const Slots& state = {}) {
  Module module = parse_module(text);
  verify_module(module, "parsing");
  LoweredModule lowered(std::move(module));
  for (int64_t batch : {1, 2, 16, 21})
    for (int64_t time : {1, 5}) {
      const Symbols symbols = {{"batch", batch}, {"time", time}};
      Slots slots = random_slots(lowered.module, symbols, static_cast<uint64_t>(batch * 100 + time));
      for (const auto& [name, tensor] : state) slots[name] = tensor;
      check_entry(lowered, "f", slots, symbols);
    }
  return lowered;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("lower: bias and activation join the contraction they follow") {
  const LoweredModule lowered = check_text(R"(module {
    slot input "x": f32[batch, 7]
    slot parameter "w": f32[7, 33]
    slot parameter "b": f32[33]
    slot output "y": f32[batch, 33]
    entry f {
      %0 = input "x": f32[batch, 7]
      %1 = input "w": f32[7, 33]
      %2 = input "b": f32[33]
      %3: f32[batch, 33] = contract(%0, %1) {spec="ab,bc->ac"}
      %4: f32[batch, 33] = add(%3, %2)
      %5: f32[batch, 33] = relu(%4)
      result "y" = %5
    }
  })");
  const Kernel& kernel = lowered.kernels.kernels[0];
  CHECK(count(kernel_text(kernel), "contract ") == 1);
  CHECK(kernel.body.size() == 1);
  CHECK(lowered.plans[0].places.empty());
}

TEST_CASE("lower: state is replaced after everything that reads it") {
  // a and b change places, c is read by the new d and replaced, d is reduced.
  check_text(R"(module {
    slot parameter "a": f32[6]
    slot parameter "b": f32[6]
    slot parameter "c": f32[6, 6]
    slot parameter "d": f32[6]
    slot output "y": f32[6]
    entry f {
      %0 = input "a": f32[6]
      %1 = input "b": f32[6]
      %2 = input "c": f32[6, 6]
      %3 = input "d": f32[6]
      %4: f32[6] = contract(%3, %2) {spec="a,ab->b"}
      %5: f32[6, 6] = mul(%2, %3)
      %6: f32[6, 6] = transpose(%5) {permutation=(1, 0)}
      %7: f32[6] = add(%0, %1)
      result "b" = %0
      result "a" = %1
      result "c" = %6
      result "d" = %4
      result "y" = %7
    }
  })");
}

TEST_CASE("lower: state replaced elementwise is written in place, without an arena") {
  const LoweredModule lowered = check_text(R"(module {
    slot parameter "w": f32[33]
    slot parameter "m": f32[33]
    slot input "g": f32[33]
    entry f {
      %0 = input "w": f32[33]
      %1 = input "m": f32[33]
      %2 = input "g": f32[33]
      %3: f32[] = fill() {dtype="f32", shape=[], value=0.9}
      %4: f32[33] = mul(%1, %3)
      %5: f32[33] = add(%4, %2)
      %6: f32[33] = sub(%0, %5)
      result "w" = %6
      result "m" = %5
    }
  })");
  CHECK(lowered.plans[0].places.empty());
}

TEST_CASE("lower: views of views, of slots and of computed values, as results and as operands") {
  check_text(R"(module {
    slot input "x": f32[batch, 4, 6]
    slot output "a": f32[6, batch, 4]
    slot output "b": f32[batch, 8, 3]
    slot output "c": f32[batch, 2, 6]
    slot output "d": f32[batch, 3]
    slot output "e": f32[batch, 4, 6]
    entry f {
      %0 = input "x": f32[batch, 4, 6]
      %1: f32[6, batch, 4] = transpose(%0) {permutation=(2, 0, 1)}
      %2: f32[batch, 4, 6] = exp(%0)
      %3: f32[batch, 8, 3] = reshape(%2) {shape=[batch, 8, 3]}
      %4: f32[batch, 2, 6] = slice(%2) {axis=1, begin=[1], size=[2]}
      %5: f32[batch, 2, 6] = reverse(%4) {axis=2}
      %6: f32[batch, 8, 1], %7: f32[batch, 8, 2] = split(%3) {axis=2, sizes=(1, 2)}
      %8: f32[batch, 8] = reshape(%6) {shape=[batch, 8]}
      %9: f32[batch, 3] = slice(%8) {axis=1, begin=[4], size=[3]}
      %10: f32[batch, 4, 6] = transpose(%1) {permutation=(1, 2, 0)}
      %11: f32[batch, 4, 6] = add(%10, %2)
      result "a" = %1
      result "b" = %3
      result "c" = %5
      result "d" = %9
      result "e" = %11
    }
  })");
}

TEST_CASE("lower: loops over a symbolic time keep carries, stacks of carries and other stacks apart") {
  for (const char* reverse : {"false", "true"})
    check_text(std::string(R"(module {
      slot input "x": f32[batch, time, 3]
      slot input "h": f32[batch, 3]
      slot input "g": f32[batch, 3]
      slot parameter "u": f32[3, 3]
      slot output "last": f32[batch, 3]
      slot output "other": f32[batch, 3]
      slot output "before": f32[time, batch, 3]
      slot output "after": f32[batch, time, 3]
      slot output "inside": f32[batch, 3, time]
      entry f {
        %0 = input "h": f32[batch, 3]
        %1 = input "g": f32[batch, 3]
        %2 = input "x": f32[batch, time, 3]
        %3 = input "u": f32[3, 3]
        %4: f32[batch, 3], %5: f32[batch, 3], %6: f32[time, batch, 3], %7: f32[batch, time, 3], %8: f32[batch, 3, time] = scan(%0, %1, %2, %3) {axes=(1), carries=2, output_axes=(0, 1, 2), reverse=)") +
               reverse + R"(, sequences=1, trip=none} body {
          %0 = input: f32[batch, 3]
          %1 = input: f32[batch, 3]
          %2 = input: f32[batch, 3]
          %3 = input: f32[3, 3]
          %4: f32[batch, 3] = contract(%0, %3) {spec="ab,bc->ac"}
          %5: f32[batch, 3] = add(%4, %2)
          %6: f32[batch, 3] = tanh(%5)
          result %6
          result %0
          result %1
          result %6
          result %5
        }
        result "last" = %4
        result "other" = %5
        result "before" = %6
        result "after" = %7
        result "inside" = %8
      }
    })");
}

TEST_CASE("lower: one value may be several results, and an input may be one") {
  check_text(R"(module {
    slot input "x": f32[batch, 3]
    slot output "a": f32[batch, 3]
    slot output "b": f32[batch, 3]
    slot output "c": f32[batch, 3]
    entry f {
      %0 = input "x": f32[batch, 3]
      %1: f32[batch, 3] = tanh(%0)
      result "a" = %1
      result "b" = %1
      result "c" = %0
    }
  })");
}

TEST_CASE("lower: softmax over a single class, sums of sums and reductions read in their own loop") {
  check_text(R"(module {
    slot input "x": f32[batch, 1]
    slot input "z": f32[batch, 5]
    slot output "a": f32[batch, 1]
    slot output "b": f32[]
    slot output "c": f32[batch, 5]
    entry f {
      %0 = input "x": f32[batch, 1]
      %1 = input "z": f32[batch, 5]
      %2: f32[batch, 1] = reduce_max(%0) {axes=(1), keep_dims=true}
      %3: f32[batch, 1] = sub(%0, %2)
      %4: f32[batch, 1] = exp(%3)
      %5: f32[batch, 1] = reduce_sum(%4) {axes=(-1), keep_dims=true}
      %6: f32[batch, 1] = div(%4, %5)
      %7: f32[batch] = reduce_sum(%1) {axes=(1), keep_dims=false}
      %8: f32[] = reduce_max(%7) {axes=(0), keep_dims=false}
      %9: f32[batch, 1] = reduce_min(%1) {axes=(1), keep_dims=true}
      %10: f32[batch, 5] = sub(%1, %9)
      result "a" = %6
      result "b" = %8
      result "c" = %10
    }
  })");
}

TEST_CASE("lower: an op that fails behind a contraction leaves nothing destroyed twice") {
  Op broken = get_op("exp");
  broken.lower = [](std::span<const Expr>, const Attributes&) -> Expr { throw InternalError("a planted failure"); };
  Module module = parse_module(R"(module {
    slot input "x": f32[batch, 7]
    slot parameter "w": f32[7, 33]
    slot output "y": f32[batch, 33]
    entry f {
      %0 = input "x": f32[batch, 7]
      %1 = input "w": f32[7, 33]
      %2: f32[batch, 33] = contract(%0, %1) {spec="ab,bc->ac"}
      %3: f32[batch, 33] = exp(%2)
      result "y" = %3
    }
  })");
  for (Node& node : module.entries[0].nodes)
    if (node.op->name == "exp") node.op = &broken;
  for (int again = 0; again < 3; ++again) CHECK_THROWS_WITH_AS(lower(module), doctest::Contains("a planted failure"), InternalError);
}
