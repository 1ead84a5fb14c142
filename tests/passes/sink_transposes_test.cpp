#include "compiler/passes/drop_dead.h"
#include "compiler/passes/simplify.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

void sink_and_drop(Graph& graph) {
  sink_transposes(graph);
  drop_dead(graph);
}

}  // namespace

TEST_CASE("sink_transposes: through a bias, an activation, a reduction and a pad to the inverse, where both go") {
  check_pass(sink_and_drop, R"(entry f {
    %0 = input "x": f32[2, 5, 3]
    %1 = input "bias": f32[3, 1]
    %2: f32[2, 5, 3] = tanh(%0)
    %3: f32[2, 3, 5] = transpose(%2) {permutation=(0, 2, 1)}
    %4: f32[2, 3, 5] = add(%3, %1)
    %5: f32[2, 3, 5] = tanh(%4)
    %6: f32[2, 3, 7] = pad(%5) {after=[1], axis=2, before=[1], value=0.0}
    %7: f32[2, 7, 3] = transpose(%6) {permutation=(0, 2, 1)}
    %8: f32[2, 3] = reduce_sum(%5) {axes=(2), keep_dims=false}
    result "y" = %7
    result "s" = %8
  })",
             R"(entry f {
    %0 = input "x": f32[2, 5, 3]
    %1 = input "bias": f32[3, 1]
    %2: f32[2, 5, 3] = tanh(%0)
    %3: f32[1, 3, 1] = reshape(%1) {shape=[1, 3, 1]}
    %4: f32[1, 1, 3] = transpose(%3) {permutation=(0, 2, 1)}
    %5: f32[2, 5, 3] = add(%2, %4)
    %6: f32[2, 5, 3] = tanh(%5)
    %7: f32[2, 7, 3] = pad(%6) {after=[1], axis=1, before=[1], value=0.0}
    %8: f32[2, 3] = reduce_sum(%6) {axes=(1), keep_dims=false}
    result "y" = %7
    result "s" = %8
  })");
}

TEST_CASE("sink_transposes: what is left of the axes is transposed, and operands with the same transpose share it") {
  check_pass(sink_and_drop, R"(entry f {
    %0 = input "x": f32[2, 3, 4]
    %1 = input "z": f32[2, 3, 4]
    %2: f32[2, 3, 4] = tanh(%0)
    %3: f32[2, 3, 4] = tanh(%1)
    %4: f32[4, 3, 2] = transpose(%2) {permutation=(2, 1, 0)}
    %5: f32[4, 3, 2] = transpose(%3) {permutation=(2, 1, 0)}
    %6: f32[4, 3, 2] = mul(%4, %5)
    %7: f32[4, 2] = reduce_max(%6) {axes=(1), first=true, keep_dims=false}
    result "y" = %7
  })",
             R"(entry f {
    %0 = input "x": f32[2, 3, 4]
    %1 = input "z": f32[2, 3, 4]
    %2: f32[2, 3, 4] = tanh(%0)
    %3: f32[2, 3, 4] = tanh(%1)
    %4: f32[2, 3, 4] = mul(%2, %3)
    %5: f32[2, 4] = reduce_max(%4) {axes=(1), first=true, keep_dims=false}
    %6: f32[4, 2] = transpose(%5) {permutation=(1, 0)}
    result "y" = %6
  })");
}

TEST_CASE("sink_transposes: transposed inputs, operands that disagree and ties in another order stay") {
  const std::string text = R"(entry f {
    %0 = input "x": f32[2, 3]
    %1 = input "z": f32[3, 2]
    %2: f32[3, 2] = transpose(%0) {permutation=(1, 0)}
    %3: f32[3, 2] = tanh(%2)
    %4: f32[2, 3] = tanh(%0)
    %5: f32[3, 2] = transpose(%4) {permutation=(1, 0)}
    %6: f32[3, 2] = add(%5, %1)
    %7: f32[] = reduce_max(%5) {axes=(0, 1), first=true, keep_dims=false}
    result "a" = %3
    result "b" = %6
    result "c" = %7
  })";
  check_pass(sink_and_drop, text, text);
}
