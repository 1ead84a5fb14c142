#include "compiler/passes/order_updates.h"

#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

TEST_CASE("order_updates: a weight's gradient waits until the layer below has got its own") {
  check_pass(order_updates, R"(entry step {
    %0 = input "x": f32[batch, 6]
    %1 = input "dy": f32[batch, 4]
    %2 = input "w": f32[6, 4]
    %3: f32[6, 4] = contract(%0, %1) {spec="ab,ac->bc"}
    %4: f32[6, 4] = sub(%2, %3)
    %5: f32[batch, 6] = contract(%1, %2) {spec="ac,bc->ab"}
    result "dx" = %5
    result "w" = %4
  })",
             R"(entry step {
    %0 = input "x": f32[batch, 6]
    %1 = input "dy": f32[batch, 4]
    %2 = input "w": f32[6, 4]
    %3: f32[batch, 6] = contract(%1, %2) {spec="ac,bc->ab"}
    %4: f32[6, 4] = contract(%0, %1) {spec="ab,ac->bc"}
    %5: f32[6, 4] = sub(%2, %4)
    result "dx" = %3
    result "w" = %5
  })");
}

TEST_CASE("order_updates: states that are computed from each other keep their order") {
  const std::string text = R"(entry step {
    %0 = input "a": f32[6]
    %1 = input "b": f32[6]
    %2: f32[6] = add(%0, %1)
    %3: f32[6] = sub(%0, %1)
    result "a" = %2
    result "b" = %3
  })";
  check_pass(order_updates, text, text);
}

TEST_CASE("order_updates: a graph without state is left as it is") {
  const std::string text = R"(entry predict {
    %0 = input "x": f32[batch, 6]
    %1: f32[batch, 6] = exp(%0)
    %2: f32[batch, 6] = neg(%0)
    result "y" = %2
    result "z" = %1
  })";
  check_pass(order_updates, text, text);
}
