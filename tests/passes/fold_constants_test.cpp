#include "compiler/passes/simplify.h"

#include "compiler/passes/drop_dead.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

TEST_CASE("fold_constants: arithmetic on scalar constants becomes a constant, rounded to its type") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "x": f32[batch]
    %1: f32[] = fill() {dtype="f32", shape=[], value=2.0}
    %2: f32[] = fill() {dtype="f32", shape=[], value=3.0}
    %3: f32[] = div(%1, %2)
    %4: f32[] = sqrt(%3)
    %5: f32[batch] = mul(%0, %4)
    result "out" = %5
  })");
  const Graph before = graph;
  fold_constants(graph);
  verify_graph(graph, "fold_constants");
  check_same_values(before, graph, 1e-7);
  REQUIRE(graph.nodes.back().op->name == "mul");
  const ValueId factor = graph.nodes.back().inputs[1];
  bool found = false;
  for (const Node& node : graph.nodes) {
    CHECK((node.op->name == "fill" || node.op->name == "mul"));
    if (node.outputs[0] != factor) continue;
    found = true;
    // Each step rounds, as in the program that is replaced.
    CHECK(node.attributes.real("value") ==
          static_cast<double>(static_cast<float>(std::sqrt(static_cast<double>(2.0f / 3.0f)))));
  }
  CHECK(found);
}

TEST_CASE("fold_constants: integers, tensors and what depends on inputs stay") {
  const std::string text = R"(entry f {
    %0 = input "x": f32[3]
    %1: i64[] = fill() {dtype="i64", shape=[], value=2.0}
    %2: i64[] = add(%1, %1)
    %3: f32[3] = fill() {dtype="f32", shape=[3], value=2.0}
    %4: f32[3] = mul(%3, %3)
    %5: f32[3] = mul(%4, %0)
    result "out" = %5
    result "n" = %2
  })";
  check_pass(fold_constants, text, text);
}

TEST_CASE("fold_constants: bodies are folded too") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "h": f32[]
    %1: f32[] = scan(%0) {axes=(), carries=1, output_axes=(), reverse=false, sequences=0, trip=[4]} body {
      %0 = input: f32[]
      %1: f32[] = fill() {dtype="f32", shape=[], value=0.25}
      %2: f32[] = exp(%1)
      %3: f32[] = mul(%0, %2)
      result %3
    }
    result "out" = %1
  })");
  const Graph before = graph;
  fold_constants(graph);
  verify_graph(graph, "fold_constants");
  check_same_values(before, graph, 1e-6);
  for (const Node& node : graph.nodes[0].bodies[0].nodes) CHECK(node.op->name != "exp");
}

TEST_CASE("fold_constants: small whole powers are products and quotients, others stay powers") {
  const auto fold = [](Graph& graph) {
    fold_constants(graph);
    drop_dead(graph);
  };
  check_pass(fold, R"(entry f {
    %0 = input "x": f32[3]
    %1: f32[] = fill() {dtype="f32", shape=[], value=2.0}
    %2: f32[] = fill() {dtype="f32", shape=[], value=-1.0}
    %3: f32[] = fill() {dtype="f32", shape=[], value=0.5}
    %4: f32[3] = power(%0, %1)
    %5: f32[3] = power(%4, %2)
    %6: f32[3] = power(%4, %3)
    result "a" = %5
    result "b" = %6
  })",
             R"(entry f {
    %0 = input "x": f32[3]
    %1: f32[] = fill() {dtype="f32", shape=[], value=0.5}
    %2: f32[3] = mul(%0, %0)
    %3: f32[] = fill() {dtype="f32", shape=[], value=1.0}
    %4: f32[3] = div(%3, %2)
    %5: f32[3] = power(%2, %1)
    result "a" = %4
    result "b" = %5
  })");
}
