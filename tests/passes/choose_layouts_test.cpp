#include "compiler/passes/choose_layouts.h"

#include "compiler/passes/drop_dead.h"
#include "compiler/passes/simplify.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

void choose_and_drop(Graph& graph) {
  choose_layouts(graph);
  simplify(graph);
  drop_dead(graph);
}

}  // namespace

TEST_CASE("choose_layouts: the operand that holds the result's last axis is packed where that lies outside") {
  check_pass(choose_and_drop, R"(entry f {
    %0 = input "dy": f32[batch, 3]
    %1 = input "w": f32[4, 3]
    %2: f32[batch, 4] = contract(%0, %1) {spec="ab,cb->ac"}
    result "dx" = %2
  })",
             R"(entry f {
    %0 = input "dy": f32[batch, 3]
    %1 = input "w": f32[4, 3]
    %2: f32[3, 4] = pack(%1) {permutation=(1, 0)}
    %3: f32[batch, 4] = contract(%0, %2) {spec="ab,bc->ac"}
    result "dx" = %3
  })");
}

TEST_CASE("choose_layouts: contractions whose columns lie innermost stay, and so do folds of vectors") {
  const std::string text = R"(entry f {
    %0 = input "x": f32[batch, 3]
    %1 = input "w": f32[3, 4]
    %2 = input "v": f32[3]
    %3: f32[batch, 4] = contract(%0, %1) {spec="ab,bc->ac"}
    %4: f32[3, 4] = contract(%0, %3) {spec="ab,ac->bc"}
    %5: f32[batch] = contract(%0, %2) {spec="ab,b->a"}
    result "y" = %3
    result "dw" = %4
    result "z" = %5
  })";
  check_pass(choose_and_drop, text, text);
}

TEST_CASE("choose_layouts: an invariant of a loop is packed once, in front of it") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "h": f32[batch, 3]
    %1 = input "w": f32[3, 3]
    %2: f32[batch, 3] = scan(%0, %1) {axes=(), carries=1, output_axes=(), reverse=false, sequences=0, trip=[4]} body {
      %0 = input: f32[batch, 3]
      %1 = input: f32[3, 3]
      %2: f32[batch, 3] = contract(%0, %1) {spec="ab,cb->ac"}
      %3: f32[batch, 3] = tanh(%2)
      result %3
    }
    result "out" = %2
  })");
  const Graph before = graph;
  choose_layouts(graph);
  drop_dead(graph);
  verify_graph(graph, "choose_layouts");
  check_same_values(before, graph);
  REQUIRE(graph.nodes.size() == 2);
  CHECK(graph.nodes[0].op->name == "pack");
  REQUIRE(graph.nodes[1].op->name == "scan");
  for (const Node& node : graph.nodes[1].bodies[0].nodes) CHECK(node.op->name != "pack");
}

TEST_CASE("choose_layouts: Flatten in front of a contraction is absorbed, both on the way forward and back") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "x": f32[batch, 4, 6]
    %1 = input "w": f32[24, 5]
    %2: f32[batch, 4, 6] = tanh(%0)
    %3: f32[batch, 24] = reshape(%2) {shape=[batch, 24]}
    %4: f32[batch, 5] = contract(%3, %1) {spec="ab,bc->ac"}
    %5: f32[24, 5] = contract(%3, %4) {spec="ab,ac->bc"}
    %6: f32[batch, 24] = contract(%4, %1) {spec="ab,cb->ac"}
    %7: f32[batch, 4, 6] = reshape(%6) {shape=[batch, 4, 6]}
    result "y" = %4
    result "dw" = %5
    result "dx" = %7
  })");
  const Graph before = graph;
  choose_and_drop(graph);
  verify_graph(graph, "choose_layouts");
  check_same_values(before, graph);
  for (const Node& node : graph.nodes) {
    if (node.op->name != "tanh") continue;
    for (const Node& reader : graph.nodes)
      if (reader.inputs[0] == node.outputs[0]) CHECK_MESSAGE(reader.op->name == "contract", "the sequence is reshaped");
  }
}

TEST_CASE("choose_layouts: reshapes that cut through axes, or spread units, are left alone") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "x": f32[batch, 4, 6]
    %1 = input "w": f32[8, 5]
    %2 = input "v": f32[24, 5]
    %3: f32[batch, 4, 6] = tanh(%0)
    %4: f32[batch, 3, 8] = reshape(%3) {shape=[batch, 3, 8]}
    %5: f32[batch, 3, 5] = contract(%4, %1) {spec="abc,cd->abd"}
    %6: f32[1, batch, 24] = reshape(%3) {shape=[1, batch, 24]}
    %7: f32[1, batch, 5] = contract(%6, %2) {spec="abc,cd->abd"}
    result "y" = %5
    result "z" = %7
  })");
  const Graph before = graph;
  choose_and_drop(graph);
  verify_graph(graph, "choose_layouts");
  check_same_values(before, graph);
}
