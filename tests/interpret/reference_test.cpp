#include "compiler/interpret/reference.h"

#include <doctest/doctest.h>

#include <cmath>

#include "compiler/ir/builder.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

const Dim batch = Dim::symbol("batch");

HostTensor tensor(std::vector<int64_t> shape, std::vector<double> data, DType dtype = DType::f32) {
  return {dtype, std::move(shape), std::move(data)};
}

// y = x * 0.1 + count of rows
Graph small_graph() {
  Graph graph;
  graph.name = "small";
  Builder b(graph);
  const Value x = b.input({DType::f32, {batch, 2}}, "x");
  const Value scaled = x * 0.1;
  b.result(scaled + b.dim_value(batch), "y");
  return graph;
}

}  // namespace

TEST_CASE("interpret_graph: every result is rounded to its declared type, or kept in f64 when asked") {
  const HostTensor x = tensor({1, 2}, {3.0, 7.0});
  const HostTensor declared = interpret_graph(small_graph(), {&x, 1})[0];
  CHECK(declared.data[0] == static_cast<double>(3.0f * 0.1f + 1.0f));
  const HostTensor exact = interpret_graph(small_graph(), {&x, 1}, {.numbers = Numbers::all_f64})[0];
  CHECK(exact.data[0] == 3.0 * 0.1 + 1.0);
  CHECK(exact.data[0] != declared.data[0]);
}

TEST_CASE("interpret_graph: i32 arithmetic wraps") {
  Graph graph;
  Builder b(graph);
  const Value x = b.input({DType::i32, {2}});
  b.result(x * x);
  const HostTensor input = tensor({2}, {65537, 2147483647}, DType::i32);
  CHECK(interpret_graph(graph, {&input, 1})[0].data == std::vector<double>{131073, 1});
}

TEST_CASE("interpret_graph: symbols are bound by the inputs' shapes, also through expressions") {
  for (int64_t rows : {1, 3, 7}) {
    const HostTensor x = make_tensor(DType::f32, {rows, 2});
    CHECK(interpret_graph(small_graph(), {&x, 1})[0].data[1] == static_cast<double>(rows));
  }
  Graph graph;
  Builder b(graph);
  const Value x = b.input({DType::f32, {batch * 24 + 1}}, "x");
  b.result(b.slice(x, 0, batch, 2));
  HostTensor input = make_tensor(DType::f32, {73});
  for (size_t i = 0; i < 73; ++i) input.data[i] = static_cast<double>(i);
  CHECK(interpret_graph(graph, {&input, 1})[0].data == std::vector<double>{3, 4});
  input = make_tensor(DType::f32, {74});
  CHECK_THROWS_WITH_AS(interpret_graph(graph, {&input, 1}), doctest::Contains("batch"), CompileError);
}

TEST_CASE("interpret_graph: inputs that do not fit are refused by name with both types") {
  const Graph graph = small_graph();
  CHECK_THROWS_WITH_AS(interpret_graph(graph, {}), doctest::Contains("takes 1 inputs but got 0"), CompileError);
  HostTensor x = make_tensor(DType::f32, {3, 4});
  CHECK_THROWS_WITH_AS(interpret_graph(graph, {&x, 1}),
                       doctest::Contains("input 'x' must be f32[batch, 2] but got f32[3, 4]"), CompileError);
  x = make_tensor(DType::i32, {3, 2});
  CHECK_THROWS_WITH_AS(interpret_graph(graph, {&x, 1}), doctest::Contains("but got i32[3, 2]"), CompileError);

  Graph sum;
  Builder b(sum);
  const Value left = b.input({DType::f32, {batch}}, "left");
  b.result(left + b.input({DType::f32, {batch}}, "right"));
  const HostTensor pair[] = {make_tensor(DType::f32, {3}), make_tensor(DType::f32, {4})};
  CHECK_THROWS_WITH_AS(interpret_graph(sum, pair), doctest::Contains("input 'right'"), CompileError);
}

TEST_CASE("interpret_graph: an index outside its table is named") {
  Graph graph;
  Builder b(graph);
  const Value table = b.input({DType::f32, {5, 2}});
  b.result(b.call("gather", {table, b.input({DType::i32, {batch}})}));
  for (double bad : {5.0, -1.0}) {
    const HostTensor inputs[] = {make_tensor(DType::f32, {5, 2}), tensor({2}, {1.0, bad}, DType::i32)};
    const std::string wanted = "index " + std::to_string(static_cast<int>(bad)) + " is outside 0..4";
    CHECK_THROWS_WITH_AS(interpret_graph(graph, inputs), doctest::Contains(wanted.c_str()), CompileError);
  }
}

TEST_CASE("interpret_graph: a value may be an input, be used twice by one node, and be a result twice") {
  Graph graph;
  Builder b(graph);
  const Value x = b.input({DType::f32, {2}});
  const Value square = x * x;
  b.result(square);
  b.result(x);
  b.result(square);
  const Value parts[] = {square, x, square};
  b.result(b.concat(parts, 0));
  const HostTensor input = tensor({2}, {2, 3});
  const std::vector<HostTensor> results = interpret_graph(graph, {&input, 1});
  CHECK(results[0].data == std::vector<double>{4, 9});
  CHECK(results[1].data == std::vector<double>{2, 3});
  CHECK(results[2].data == std::vector<double>{4, 9});
  CHECK(results[3].data == std::vector<double>{4, 9, 2, 3, 4, 9});
}

TEST_CASE("interpret_graph: the observer sees every node's outputs in order") {
  std::vector<std::string> seen;
  const HostTensor x = make_tensor(DType::f32, {1, 2}, 1.0);
  interpret_graph(small_graph(), {&x, 1}, {.observe = [&](const Node& node, std::span<const HostTensor> outputs) {
                    seen.emplace_back(node.op->name);
                    CHECK(outputs.size() == node.outputs.size());
                  }});
  CHECK(seen == std::vector<std::string>{"fill", "mul", "dim_value", "add"});
}

TEST_CASE("interpret_graph: a composite is run by its reference, without being expanded") {
  Graph graph;
  Builder b(graph);
  b.result(b.call("softmax", {b.input({DType::f32, {batch, 3}})}));
  const HostTensor x = tensor({1, 3}, {0.0, std::log(2.0), std::log(5.0)});
  const HostTensor y = interpret_graph(graph, {&x, 1})[0];
  CHECK(y.data[0] == doctest::Approx(0.125));
  CHECK(y.data[2] == doctest::Approx(0.625));
}

TEST_CASE("interpret_entry: reads slots, starts state at its initial value, writes everything at the end") {
  Module module;
  module.slots = {{.name = "x", .kind = SlotKind::input, .type = {DType::f32, {batch}}},
                  {.name = "total", .kind = SlotKind::metric_state, .type = {DType::f32, {}}, .initial = 10.0},
                  {.name = "previous", .kind = SlotKind::metric_state, .type = {DType::f32, {}}, .initial = -1.0},
                  {.name = "step", .kind = SlotKind::control, .type = {DType::i64, {}}}};
  Graph graph;
  graph.name = "evaluate";
  Builder b(graph);
  const Value x = b.input({DType::f32, {batch}}, "x");
  const Value total = b.input({DType::f32, {}}, "total");
  const Value step = b.input({DType::i64, {}}, "step");
  b.result(total + b.reduce("reduce_sum", x, {0}), "total");
  b.result(total, "previous");
  b.result(step + b.constant(1, DType::i64), "step");
  module.entries.push_back(graph);
  verify_module(module, "building");

  std::map<std::string, HostTensor> slots;
  CHECK_THROWS_WITH_AS(interpret_entry(module, "evaluate", slots), doctest::Contains("needs 'x'"), CompileError);
  CHECK_THROWS_WITH_AS(interpret_entry(module, "nothing", slots), doctest::Contains("no entry 'nothing'"),
                       CompileError);
  slots["x"] = tensor({2}, {1, 2});
  interpret_entry(module, "evaluate", slots);
  CHECK(slots["total"].data[0] == 13.0);
  CHECK(slots["previous"].data[0] == 10.0);
  CHECK(slots["step"].data[0] == 1.0);
  slots["x"] = tensor({3}, {1, 1, 1});
  interpret_entry(module, "evaluate", slots);
  CHECK(slots["total"].data[0] == 16.0);
  CHECK(slots["previous"].data[0] == 13.0);
  CHECK(slots["step"].data[0] == 2.0);
}
