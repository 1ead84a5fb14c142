#include "compiler/passes/narrow_products.h"

#include <doctest/doctest.h>

#include "compiler/ops/op.h"
#include "compiler/passes/drop_dead.h"
#include "tests/passes/pass_case.h"

namespace moru {
namespace {

void narrow_and_drop(Graph& graph) {
  narrow_products(graph);
  drop_dead(graph);
}

TEST_CASE("narrow_products: operands are cast once, through views, and sums stay f32") {
  test::check_pass(narrow_and_drop, R"(entry f {
    %0 = input "x": f32[batch, 2, 3]
    %1 = input "w": f32[6, 4]
    %2: f32[batch, 6] = reshape(%0) {shape=[batch, 6]}
    %3: f32[batch, 4] = contract(%2, %1) {precision="bf16", spec="ab,bc->ac"}
    %4: f32[4, 4] = contract(%1, %1) {precision="bf16", spec="ab,ac->bc"}
    %5: f32[4, 4] = contract(%4, %4) {spec="ab,bc->ac"}
    result "y" = %3
    result "z" = %5
  })",
             R"(entry f {
    %0 = input "x": f32[batch, 2, 3]
    %1 = input "w": f32[6, 4]
    %2: bf16[batch, 2, 3] = cast(%0) {dtype="bf16"}
    %3: bf16[batch, 6] = reshape(%2) {shape=[batch, 6]}
    %4: bf16[6, 4] = cast(%1) {dtype="bf16"}
    %5: f32[batch, 4] = contract(%3, %4) {spec="ab,bc->ac"}
    %6: f32[4, 4] = contract(%4, %4) {spec="ab,ac->bc"}
    %7: f32[4, 4] = contract(%6, %6) {spec="ab,bc->ac"}
    result "y" = %5
    result "z" = %7
  })");
}

TEST_CASE("narrow_products: what every step of a scan reads alike is cast before the loop") {
  const Module module = parse_module(R"(module {
    slot input "x": f32[batch, 4]
    slot parameter "w": f32[4, 4]
    slot output "y": f32[batch, 4]
    entry predict {
      %0 = input "x": f32[batch, 4]
      %1 = input "w": f32[4, 4]
      %2: f32[batch, 4] = scan(%0, %1) {axes=(), carries=1, output_axes=(), reverse=false, sequences=0, trip=[3]} body {
        %0 = input: f32[batch, 4]
        %1 = input: f32[4, 4]
        %2: f32[batch, 4] = contract(%0, %1) {precision="bf16", spec="ab,bc->ac"}
        result %2
      }
      result "y" = %2
    }
  })");
  Graph graph = module.entries[0];
  const Graph before = graph;
  narrow_products(graph);
  verify_graph(graph, "narrow_products");
  REQUIRE(graph.nodes.size() == 2);
  CHECK(graph.nodes[0].op->name == "cast");
  CHECK(graph.nodes[1].bodies[0].nodes.size() == 2);  // the carry is cast inside
  test::check_same_values(before, graph, 0.0);
}

}  // namespace
}  // namespace moru
