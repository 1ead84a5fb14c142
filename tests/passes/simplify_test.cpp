#include "compiler/passes/simplify.h"

#include "compiler/passes/drop_dead.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

void simplify_and_drop(Graph& graph) {
  simplify(graph);
  drop_dead(graph);
}

}  // namespace

TEST_CASE("simplify: neutral elements, double negation and casts to the same type go") {
  check_pass(simplify_and_drop, R"(entry f {
    %0 = input "x": f32[batch, 3]
    %1: f32[] = fill() {dtype="f32", shape=[], value=1.0}
    %2: f32[] = fill() {dtype="f32", shape=[], value=0.0}
    %3: f32[batch, 3] = mul(%0, %1)
    %4: f32[batch, 3] = mul(%1, %3)
    %5: f32[batch, 3] = add(%4, %2)
    %6: f32[batch, 3] = sub(%5, %2)
    %7: f32[batch, 3] = div(%6, %1)
    %8: f32[batch, 3] = neg(%7)
    %9: f32[batch, 3] = neg(%8)
    %10: f32[batch, 3] = cast(%9) {dtype="f32"}
    %11: f32[batch, 3] = tanh(%10)
    result "out" = %11
  })",
             R"(entry f {
    %0 = input "x": f32[batch, 3]
    %1: f32[batch, 3] = tanh(%0)
    result "out" = %1
  })");
}

TEST_CASE("simplify: what looks neutral but broadcasts or is on the other side stays") {
  const std::string text = R"(entry f {
    %0 = input "x": f32[3]
    %1: f32[] = fill() {dtype="f32", shape=[], value=1.0}
    %2: f32[] = fill() {dtype="f32", shape=[], value=0.0}
    %3: f32[2, 3] = fill() {dtype="f32", shape=[2, 3], value=1.0}
    %4: f32[2, 3] = mul(%3, %0)
    %5: f32[3] = sub(%2, %0)
    %6: f32[3] = div(%1, %0)
    result "a" = %4
    result "b" = %5
    result "c" = %6
  })";
  check_pass(simplify_and_drop, text, text);
}

TEST_CASE("simplify: reshapes and transposes in a row become one, or none") {
  check_pass(simplify_and_drop, R"(entry f {
    %0 = input "x": f32[batch, 4, 6]
    %1: f32[batch, 24] = reshape(%0) {shape=[batch, 24]}
    %2: f32[batch, 6, 4] = reshape(%1) {shape=[batch, 6, 4]}
    %3: f32[batch, 24] = reshape(%0) {shape=[batch, 24]}
    %4: f32[batch, 4, 6] = reshape(%3) {shape=[batch, 4, 6]}
    %5: f32[batch, 4, 6] = exp(%4)
    %6: f32[6, batch, 4] = transpose(%0) {permutation=(2, 0, 1)}
    %7: f32[4, 6, batch] = transpose(%6) {permutation=(2, 0, 1)}
    %8: f32[batch, 6, 4] = transpose(%6) {permutation=(1, 0, 2)}
    %9: f32[batch, 4, 6] = transpose(%6) {permutation=(1, 2, 0)}
    %10: f32[batch, 4, 6] = tanh(%9)
    result "a" = %2
    result "b" = %5
    result "c" = %7
    result "d" = %8
    result "e" = %10
  })",
             R"(entry f {
    %0 = input "x": f32[batch, 4, 6]
    %1: f32[batch, 6, 4] = reshape(%0) {shape=[batch, 6, 4]}
    %2: f32[batch, 4, 6] = exp(%0)
    %3: f32[4, 6, batch] = transpose(%0) {permutation=(1, 2, 0)}
    %4: f32[batch, 6, 4] = transpose(%0) {permutation=(0, 2, 1)}
    %5: f32[batch, 4, 6] = tanh(%0)
    result "a" = %1
    result "b" = %2
    result "c" = %3
    result "d" = %4
    result "e" = %5
  })");
}

TEST_CASE("simplify: splitting and joining again is nothing, but not where parts go missing or change places") {
  check_pass(simplify_and_drop, R"(entry f {
    %0 = input "x": f32[batch, 6]
    %1: f32[batch, 2], %2: f32[batch, 4] = split(%0) {axis=1, sizes=(2, 4)}
    %3: f32[batch, 6] = concat(%1, %2) {axis=1}
    %4: f32[batch, 6] = concat(%2, %1) {axis=1}
    %5: f32[batch, 2], %6: f32[batch, 4] = split(%3) {axis=1, sizes=(2, 4)}
    %7: f32[batch, 4], %8: f32[batch, 2] = split(%4) {axis=1, sizes=(4, 2)}
    %9: f32[batch, 2] = mul(%5, %8)
    %10: f32[batch, 2], %11: f32[batch, 4] = split(%4) {axis=1, sizes=(2, 4)}
    result "a" = %9
    result "b" = %4
    result "c" = %11
  })",
             R"(entry f {
    %0 = input "x": f32[batch, 6]
    %1: f32[batch, 2], %2: f32[batch, 4] = split(%0) {axis=1, sizes=(2, 4)}
    %3: f32[batch, 6] = concat(%2, %1) {axis=1}
    %4: f32[batch, 2], %5: f32[batch, 4] = split(%0) {axis=1, sizes=(2, 4)}
    %6: f32[batch, 2] = mul(%4, %1)
    %7: f32[batch, 2], %8: f32[batch, 4] = split(%3) {axis=1, sizes=(2, 4)}
    result "a" = %6
    result "b" = %3
    result "c" = %8
  })");
}

TEST_CASE("simplify: bodies are simplified too") {
  check_pass(simplify_and_drop, R"(entry f {
    %0 = input "h": f32[]
    %1: f32[] = scan(%0) {axes=(), carries=1, output_axes=(), reverse=false, sequences=0, trip=[4]} body {
      %0 = input: f32[]
      %1: f32[] = fill() {dtype="f32", shape=[], value=1.0}
      %2: f32[] = tanh(%0)
      %3: f32[] = mul(%2, %1)
      result %3
    }
    result "out" = %1
  })",
             R"(entry f {
    %0 = input "h": f32[]
    %1: f32[] = scan(%0) {axes=(), carries=1, output_axes=(), reverse=false, sequences=0, trip=[4]} body {
      %0 = input: f32[]
      %1: f32[] = tanh(%0)
      result %1
    }
    result "out" = %1
  })");
}
