#include "compiler/passes/drop_dead.h"

#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

TEST_CASE("drop_dead: nodes nobody reads go, and with them the entry's inputs that only they read") {
  check_pass(drop_dead, R"(entry f {
    %0 = input "x": f32[batch, 3]
    %1 = input "y": f32[batch, 3]
    %2: f32[batch, 3] = tanh(%0)
    %3: f32[batch, 3] = exp(%1)
    %4: f32[batch, 3] = add(%3, %0)
    result "out" = %2
  })",
             R"(entry f {
    %0 = input "x": f32[batch, 3]
    %1: f32[batch, 3] = tanh(%0)
    result "out" = %1
  })");
}

TEST_CASE("drop_dead: of unread inputs those stay that alone tell a size: of a value, or of an attribute") {
  check_pass(drop_dead, R"(entry f {
    %0 = input "x": f32[batch, 3]
    %1 = input "y": f32[batch, time]
    %2 = input "z": f32[time, length]
    %3 = input "k": f32[3]
    %4: f32[time, 3] = fill() {dtype="f32", shape=[time, 3], value=2.0}
    %5: f32[time, 3] = add(%4, %3)
    result "out" = %5
  })",
             R"(entry f {
    %0 = input "y": f32[batch, time]
    %1 = input "k": f32[3]
    %2: f32[time, 3] = fill() {dtype="f32", shape=[time, 3], value=2.0}
    %3: f32[time, 3] = add(%2, %1)
    result "out" = %3
  })");
}

TEST_CASE("drop_dead: a carry that only feeds itself, unread stacks, sequences and invariants leave the scan") {
  check_pass(drop_dead, R"(entry f {
    %0 = input "h": f32[batch]
    %1 = input "s": f32[batch]
    %2 = input "x": f32[time, batch]
    %3 = input "z": f32[batch, time]
    %4 = input "w": f32[]
    %5 = input "v": f32[]
    %6: f32[batch], %7: f32[batch], %8: f32[time, batch], %9: f32[batch, time] = scan(%0, %1, %2, %3, %4, %5) {axes=(0, 1), carries=2, output_axes=(0, 1), reverse=false, sequences=2, trip=none} body {
      %0 = input: f32[batch]
      %1 = input: f32[batch]
      %2 = input: f32[batch]
      %3 = input: f32[batch]
      %4 = input: f32[]
      %5 = input: f32[]
      %6: f32[batch] = mul(%0, %4)
      %7: f32[batch] = add(%6, %2)
      %8: f32[batch] = add(%1, %3)
      %9: f32[batch] = mul(%8, %5)
      %10: f32[batch] = tanh(%7)
      result %7
      result %9
      result %10
      result %9
    }
    result "out" = %8
  })",
             R"(entry f {
    %0 = input "h": f32[batch]
    %1 = input "x": f32[time, batch]
    %2 = input "w": f32[]
    %3: f32[batch], %4: f32[time, batch] = scan(%0, %1, %2) {axes=(0), carries=1, output_axes=(0), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[batch]
      %1 = input: f32[batch]
      %2 = input: f32[]
      %3: f32[batch] = mul(%0, %2)
      %4: f32[batch] = add(%3, %1)
      %5: f32[batch] = tanh(%4)
      result %4
      result %5
    }
    result "out" = %4
  })");
}

TEST_CASE("drop_dead: carries that read each other live as long as one of them is read") {
  check_pass(drop_dead, R"(entry f {
    %0 = input "a": f32[]
    %1 = input "b": f32[]
    %2 = input "x": f32[time]
    %3: f32[], %4: f32[] = scan(%0, %1, %2) {axes=(0), carries=2, output_axes=(), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[]
      %1 = input: f32[]
      %2 = input: f32[]
      %3: f32[] = mul(%1, %2)
      result %3
      result %0
    }
    result "out" = %4
  })",
             R"(entry f {
    %0 = input "a": f32[]
    %1 = input "b": f32[]
    %2 = input "x": f32[time]
    %3: f32[], %4: f32[] = scan(%0, %1, %2) {axes=(0), carries=2, output_axes=(), reverse=true, sequences=1, trip=none} body {
      %0 = input: f32[]
      %1 = input: f32[]
      %2 = input: f32[]
      %3: f32[] = mul(%1, %2)
      result %3
      result %0
    }
    result "out" = %4
  })");
}

TEST_CASE("drop_dead: a sequence nobody reads stays where it alone tells how often a loop runs") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "h": f32[]
    %1 = input "x": f32[time]
    %2: f32[] = scan(%0, %1) {axes=(0), carries=1, output_axes=(), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[]
      %1 = input: f32[]
      %2: f32[] = tanh(%0)
      result %2
    }
    result "out" = %2
  })");
  const Graph before = graph;
  drop_dead(graph);
  verify_graph(graph, "drop_dead");
  check_same_values(before, graph);
  CHECK(graph.inputs.size() == 2);
}

TEST_CASE("drop_dead: a loop inside a loop loses what the outer one stops reading") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "h": f32[]
    %1 = input "x": f32[time]
    %2: f32[], %3: f32[time, 3] = scan(%0, %1) {axes=(0), carries=1, output_axes=(0), reverse=false, sequences=1, trip=none} body {
      %0 = input: f32[]
      %1 = input: f32[]
      %2: f32[], %3: f32[3] = scan(%0, %1) {axes=(), carries=1, output_axes=(0), reverse=false, sequences=0, trip=[3]} body {
        %0 = input: f32[]
        %1 = input: f32[]
        %2: f32[] = mul(%0, %1)
        %3: f32[] = exp(%2)
        result %2
        result %3
      }
      result %2
      result %3
    }
    result "out" = %2
  })");
  const Graph before = graph;
  drop_dead(graph);
  verify_graph(graph, "drop_dead");
  check_same_values(before, graph);
  REQUIRE(graph.nodes.size() == 1);
  CHECK(graph.nodes[0].outputs.size() == 1);
  const Graph& body = graph.nodes[0].bodies[0];
  REQUIRE(body.nodes.size() == 1);
  CHECK(body.nodes[0].outputs.size() == 1);
  CHECK(body.nodes[0].bodies[0].nodes.size() == 1);
}
