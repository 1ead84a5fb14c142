#include "compiler/passes/simplify.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

TEST_CASE("share_common: equal nodes become one, also when only their equal inputs make them equal") {
  check_pass(share_common, R"(entry f {
    %0 = input "x": f32[batch, 6]
    %1: f32[batch, 6] = tanh(%0)
    %2: f32[batch, 6] = tanh(%0)
    %3: f32[batch, 2], %4: f32[batch, 4] = split(%1) {axis=1, sizes=(2, 4)}
    %5: f32[batch, 2], %6: f32[batch, 4] = split(%2) {axis=1, sizes=(2, 4)}
    %7: f32[batch, 4] = mul(%4, %6)
    result "a" = %7
    result "b" = %5
  })",
             R"(entry f {
    %0 = input "x": f32[batch, 6]
    %1: f32[batch, 6] = tanh(%0)
    %2: f32[batch, 2], %3: f32[batch, 4] = split(%1) {axis=1, sizes=(2, 4)}
    %4: f32[batch, 4] = mul(%3, %3)
    result "a" = %4
    result "b" = %2
  })");
}

TEST_CASE("share_common: other attributes, another order of inputs, loops and random numbers stay apart") {
  const std::string text = R"(entry f {
    %0 = input "x": f32[batch, 6]
    %1 = input "seed": i64[]
    %2 = input "step": i64[]
    %3: f32[batch] = reduce_sum(%0) {axes=(1), keep_dims=false}
    %4: f32[6] = reduce_sum(%0) {axes=(0), keep_dims=false}
    %5: f32[batch, 6] = exp(%0)
    %6: f32[batch, 6] = sub(%0, %5)
    %7: f32[batch, 6] = sub(%5, %0)
    %8: f32[6] = random_uniform(%1, %2) {shape=[6], stream=3}
    %9: f32[6] = random_uniform(%1, %2) {shape=[6], stream=3}
    %10: f32[6] = add(%8, %9)
    result "a" = %3
    result "b" = %4
    result "c" = %6
    result "d" = %7
    result "e" = %10
  })";
  Graph graph = parse_graph(text);
  verify_graph(graph, "parsing");
  check_pass(share_common, text, text);
}
