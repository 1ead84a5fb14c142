#include "compiler/passes/hoist_scan.h"

#include "compiler/passes/drop_dead.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

void hoist_and_drop(Graph& graph) {
  hoist_scan(graph);
  drop_dead(graph);
}

}  // namespace

TEST_CASE("hoist_scan: the input projection becomes one contraction over all time steps, and its bias follows") {
  check_pass(hoist_and_drop, R"(entry f {
    %0 = input "h": f32[batch, 6]
    %1 = input "x": f32[batch, time, 7]
    %2 = input "w": f32[7, 6]
    %3 = input "u": f32[6, 6]
    %4 = input "b": f32[6]
    %5: f32[batch, 6] = scan(%0, %1, %2, %3, %4) {axes=(1), carries=1, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[batch, 6]
      %1 = input: f32[batch, 7]
      %2 = input: f32[7, 6]
      %3 = input: f32[6, 6]
      %4 = input: f32[6]
      %5: f32[batch, 6] = contract(%1, %2) {spec="ab,bc->ac"}
      %6: f32[batch, 6] = add(%5, %4)
      %7: f32[batch, 6] = contract(%0, %3) {spec="ab,bc->ac"}
      %8: f32[batch, 6] = add(%6, %7)
      %9: f32[batch, 6] = tanh(%8)
      result %9
    }
    result "out" = %5
  })",
             R"(entry f {
    %0 = input "h": f32[batch, 6]
    %1 = input "x": f32[batch, time, 7]
    %2 = input "w": f32[7, 6]
    %3 = input "u": f32[6, 6]
    %4 = input "b": f32[6]
    %5: f32[time, batch, 6] = contract(%1, %2) {spec="adb,bc->dac"}
    %6: f32[time, batch, 6] = add(%5, %4)
    %7: f32[batch, 6] = scan(%0, %6, %3) {axes=(0), carries=1, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[batch, 6]
      %1 = input: f32[batch, 6]
      %2 = input: f32[6, 6]
      %3: f32[batch, 6] = contract(%0, %2) {spec="ab,bc->ac"}
      %4: f32[batch, 6] = add(%1, %3)
      %5: f32[batch, 6] = tanh(%4)
      result %5
    }
    result "out" = %7
  })");
}

TEST_CASE("hoist_scan: what every step computes alike is computed once, ahead of the loop") {
  check_pass(hoist_and_drop, R"(entry f {
    %0 = input "h": f32[3]
    %1 = input "x": f32[time, 3]
    %2 = input "w": f32[3]
    %3: f32[3] = scan(%0, %1, %2) {axes=(0), carries=1, output_axes=(), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[3]
      %1 = input: f32[3]
      %2 = input: f32[3]
      %3: f32[3] = exp(%2)
      %4: f32[3] = mul(%0, %3)
      %5: f32[3] = add(%4, %1)
      result %5
    }
    result "out" = %3
  })",
             R"(entry f {
    %0 = input "h": f32[3]
    %1 = input "x": f32[time, 3]
    %2 = input "w": f32[3]
    %3: f32[3] = exp(%2)
    %4: f32[3] = scan(%0, %1, %3) {axes=(0), carries=1, output_axes=(), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[3]
      %1 = input: f32[3]
      %2 = input: f32[3]
      %3: f32[3] = mul(%0, %2)
      %4: f32[3] = add(%3, %1)
      result %4
    }
    result "out" = %4
  })");
}

TEST_CASE("hoist_scan: what depends on the carry stays, and so does cheap work on a sequence alone") {
  const std::string text = R"(entry f {
    %0 = input "h": f32[3]
    %1 = input "x": f32[time, 3]
    %2 = input "w": f32[3, 3]
    %3: f32[3] = scan(%0, %1, %2) {axes=(0), carries=1, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[3]
      %1 = input: f32[3]
      %2 = input: f32[3, 3]
      %3: f32[3] = neg(%1)
      %4: f32[3] = contract(%0, %2) {spec="a,ab->b"}
      %5: f32[3] = add(%3, %4)
      result %5
    }
    result "out" = %3
  })";
  check_pass(hoist_and_drop, text, text);
}

TEST_CASE("hoist_scan: a row bias whose shape would mean another axis with time in front does not follow wrongly") {
  // [3] against [3]: with time in front, a second stacked operand of lower rank would broadcast along another axis.
  const std::string text = R"(entry f {
    %0 = input "h": f32[4, 4]
    %1 = input "x": f32[4, 4, 4]
    %2 = input "y": f32[4, 4]
    %3 = input "w": f32[4, 4]
    %4: f32[4, 4] = scan(%0, %1, %2, %3) {axes=(0, 0), carries=1, output_axes=(), reverse=false, sequences=2, trip=none} body {
      %0 = input: f32[4, 4]
      %1 = input: f32[4, 4]
      %2 = input: f32[4]
      %3 = input: f32[4, 4]
      %4: f32[4, 4] = contract(%1, %3) {spec="ab,bc->ac"}
      %5: f32[4, 4] = add(%4, %2)
      %6: f32[4] = contract(%2, %3) {spec="a,ab->b"}
      %7: f32[4, 4] = add(%5, %6)
      %8: f32[4, 4] = add(%7, %0)
      result %8
    }
    result "out" = %4
  })";
  Graph graph = parse_graph(text);
  const Graph before = graph;
  hoist_scan(graph);
  verify_graph(graph, "hoist_scan");
  check_same_values(before, graph);
}

TEST_CASE("hoist_scan: a loop inside a loop gives its work to the outer one, and that to the graph") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "h": f32[3]
    %1 = input "x": f32[time, 3]
    %2 = input "w": f32[3, 3]
    %3: f32[3] = scan(%0, %1, %2) {axes=(0), carries=1, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[3]
      %1 = input: f32[3]
      %2 = input: f32[3, 3]
      %3: f32[3] = scan(%0, %1, %2) {axes=(), carries=1, output_axes=(), reverse=false, sequences=0, trip=[2]} body {
        %0 = input: f32[3]
        %1 = input: f32[3]
        %2 = input: f32[3, 3]
        %3: f32[3] = contract(%1, %2) {spec="a,ab->b"}
        %4: f32[3] = mul(%0, %3)
        result %4
      }
      result %3
    }
    result "out" = %3
  })");
  const Graph before = graph;
  hoist_scan(graph);
  verify_graph(graph, "hoist_scan");
  check_same_values(before, graph);
  REQUIRE(graph.nodes.size() == 2);
  CHECK(graph.nodes[0].op->name == "contract");
}
