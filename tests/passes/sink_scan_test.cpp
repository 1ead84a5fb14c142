#include "compiler/passes/sink_scan.h"

#include "compiler/passes/drop_dead.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

void sink_and_drop(Graph& graph) {
  sink_scan(graph);
  drop_dead(graph);
}

}  // namespace

TEST_CASE("sink_scan: a sum of products over time becomes one contraction behind the loop") {
  check_pass(sink_and_drop, R"(entry f {
    %0 = input "h": f32[batch, 3]
    %1 = input "s": f32[2, 3]
    %2 = input "x": f32[batch, time, 2]
    %3 = input "u": f32[3, 3]
    %4: f32[batch, 3], %5: f32[2, 3] = scan(%0, %1, %2, %3) {axes=(1), carries=2, output_axes=(), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[batch, 3]
      %1 = input: f32[2, 3]
      %2 = input: f32[batch, 2]
      %3 = input: f32[3, 3]
      %4: f32[batch, 3] = contract(%0, %3) {spec="ab,bc->ac"}
      %5: f32[batch, 3] = tanh(%4)
      %6: f32[2, 3] = contract(%2, %5) {spec="ab,ac->bc"}
      %7: f32[2, 3] = add(%1, %6)
      result %5
      result %7
    }
    result "h" = %4
    result "s" = %5
  })",
             R"(entry f {
    %0 = input "h": f32[batch, 3]
    %1 = input "s": f32[2, 3]
    %2 = input "x": f32[batch, time, 2]
    %3 = input "u": f32[3, 3]
    %4: f32[batch, 3], %5: f32[time, batch, 3] = scan(%0, %2, %3) {axes=(1), carries=1, output_axes=(0), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[batch, 3]
      %1 = input: f32[batch, 2]
      %2 = input: f32[3, 3]
      %3: f32[batch, 3] = contract(%0, %2) {spec="ab,bc->ac"}
      %4: f32[batch, 3] = tanh(%3)
      result %4
      result %4
    }
    %6: f32[2, 3] = contract(%2, %5) {spec="adb,dac->bc"}
    %7: f32[2, 3] = add(%1, %6)
    result "h" = %4
    result "s" = %7
  })");
}

TEST_CASE("sink_scan: several addends, reduced ones and plain ones, are summed behind the loop") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "h": f32[batch, 3]
    %1 = input "s": f32[3]
    %2 = input "x": f32[time, batch, 3]
    %3: f32[batch, 3], %4: f32[3] = scan(%0, %1, %2) {axes=(0), carries=2, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[batch, 3]
      %1 = input: f32[3]
      %2 = input: f32[batch, 3]
      %3: f32[batch, 3] = mul(%0, %2)
      %4: f32[3] = reduce_sum(%3) {axes=(0), keep_dims=false}
      %5: f32[3] = reduce_sum(%2) {axes=(-2), keep_dims=false}
      %6: f32[3] = exp(%5)
      %7: f32[3] = add(%4, %1)
      %8: f32[3] = add(%6, %7)
      result %3
      result %8
    }
    result "h" = %3
    result "s" = %4
  })");
  const Graph before = graph;
  sink_and_drop(graph);
  verify_graph(graph, "sink_scan");
  check_same_values(before, graph);
  for (const Node& node : graph.nodes)
    if (node.op->name == "scan") CHECK(node.attributes.integer("carries") == 1);
}

TEST_CASE("sink_scan: a stacked contraction nobody else reads is computed for all steps at once") {
  check_pass(sink_and_drop, R"(entry f {
    %0 = input "h": f32[batch, 3]
    %1 = input "w": f32[3, 2]
    %2: f32[batch, 3], %3: f32[batch, 4, 2] = scan(%0, %1) {axes=(), carries=1, output_axes=(1), reverse=false, sequences=0, trip=[4]} body {
      %0 = input: f32[batch, 3]
      %1 = input: f32[3, 2]
      %2: f32[batch, 3] = tanh(%0)
      %3: f32[batch, 2] = contract(%2, %1) {spec="ab,bc->ac"}
      result %2
      result %3
    }
    result "y" = %3
  })",
             R"(entry f {
    %0 = input "h": f32[batch, 3]
    %1 = input "w": f32[3, 2]
    %2: f32[batch, 3], %3: f32[4, batch, 3] = scan(%0) {axes=(), carries=1, output_axes=(0), reverse=false, sequences=0, trip=[4]} body {
      %0 = input: f32[batch, 3]
      %1: f32[batch, 3] = tanh(%0)
      result %1
      result %1
    }
    %4: f32[batch, 4, 2] = contract(%3, %1) {spec="dab,bc->adc"}
    result "y" = %4
  })");
}

TEST_CASE("sink_scan: a carry that the loop reads, or that is not a sum, stays") {
  const std::string text = R"(entry f {
    %0 = input "s": f32[3]
    %1 = input "p": f32[3]
    %2 = input "x": f32[time, 3]
    %3: f32[3], %4: f32[3] = scan(%0, %1, %2) {axes=(0), carries=2, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[3]
      %1 = input: f32[3]
      %2 = input: f32[3]
      %3: f32[3] = add(%0, %2)
      %4: f32[3] = mul(%1, %2)
      %5: f32[3] = tanh(%0)
      %6: f32[3] = add(%4, %5)
      result %3
      result %6
    }
    result "s" = %3
    result "p" = %4
  })";
  check_pass(sink_and_drop, text, text);
}

TEST_CASE("sink_scan: products of invariants alone, and of a value with itself, keep their sums") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "s": f32[3, 3]
    %1 = input "r": f32[3, 3]
    %2 = input "v": f32[3]
    %3 = input "x": f32[time, 3]
    %4: f32[3, 3], %5: f32[3, 3] = scan(%0, %1, %3, %2) {axes=(0), carries=2, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[3, 3]
      %1 = input: f32[3, 3]
      %2 = input: f32[3]
      %3 = input: f32[3]
      %4: f32[3, 3] = contract(%3, %3) {spec="a,b->ab"}
      %5: f32[3, 3] = add(%0, %4)
      %6: f32[3, 3] = contract(%2, %2) {spec="a,b->ab"}
      %7: f32[3, 3] = add(%1, %6)
      result %5
      result %7
    }
    result "s" = %4
    result "r" = %5
  })");
  const Graph before = graph;
  sink_and_drop(graph);
  verify_graph(graph, "sink_scan");
  check_same_values(before, graph);
}

TEST_CASE("sink_scan: an addend that is the carry's own partner twice is added twice") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "s": f32[3]
    %1 = input "h": f32[3]
    %2: f32[3], %3: f32[3] = scan(%0, %1) {axes=(), carries=2, output_axes=(), reverse=false, sequences=0, trip=[5]} body {
      %0 = input: f32[3]
      %1 = input: f32[3]
      %2: f32[3] = tanh(%1)
      %3: f32[3] = add(%2, %2)
      %4: f32[3] = add(%0, %3)
      result %4
      result %2
    }
    result "s" = %2
    result "h" = %3
  })");
  const Graph before = graph;
  sink_and_drop(graph);
  verify_graph(graph, "sink_scan");
  check_same_values(before, graph);
}
