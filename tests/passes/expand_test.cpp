#include "compiler/passes/expand.h"

#include <doctest/doctest.h>

#include <functional>

#include "compiler/interpret/reference.h"
#include "compiler/ir/builder.h"

using namespace moru;

namespace {

std::vector<std::string> op_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.emplace_back(node.op->name);
  return names;
}

}  // namespace

TEST_CASE("expand: a composite becomes primitives that carry its origin, name and slots") {
  Graph graph;
  graph.name = "predict";
  Builder b(graph, "probabilities");
  const Value x = b.input({DType::f32, {Dim::symbol("batch"), 5}}, "x");
  const Value y = b.call("log_softmax", {x});
  graph.names[y.id] = "y";
  b.set_origin("twice");
  b.result(y * 2.0, "out");

  const Graph expanded = expand(graph);
  verify_graph(expanded, "expand");
  CHECK(op_names(expanded) == std::vector<std::string>{"reduce_max", "stop_gradient", "sub", "exp", "reduce_sum", "log",
                                                       "sub", "fill", "mul"});
  for (size_t n = 0; n < 7; ++n) CHECK(expanded.nodes[n].origin == "probabilities");
  CHECK(expanded.nodes[8].origin == "twice");
  CHECK(expanded.names[expanded.nodes[6].outputs[0]] == "y");
  CHECK(expanded.inputs[0].slot == "x");
  CHECK(expanded.results[0].slot == "out");

  HostTensor input = make_tensor(DType::f32, {2, 5});
  for (size_t i = 0; i < 10; ++i) input.data[i] = static_cast<double>(i * i % 7);
  const InterpretOptions in_f64{.numbers = Numbers::all_f64};
  const HostTensor before = interpret_graph(graph, {&input, 1}, in_f64)[0];
  const HostTensor after = interpret_graph(expanded, {&input, 1}, in_f64)[0];
  for (size_t i = 0; i < before.data.size(); ++i)
    CHECK(after.data[i] == doctest::Approx(before.data[i]).epsilon(1e-12));
}

TEST_CASE("expand: composites inside a scan's body are expanded too") {
  Graph body;
  Builder inside(body);
  const Value carry = inside.input({DType::f32, {3}});
  inside.result(inside.call("softmax", {carry}));
  Graph graph;
  Builder b(graph);
  const Value start = b.input({DType::f32, {3}});
  b.result(b.call_all("scan", std::span<const Value>(&start, 1), {{"carries", 1}, {"trip", Shape{4}}}, {body})[0]);
  const Graph expanded = expand(graph);
  verify_graph(expanded, "expand");
  REQUIRE(expanded.nodes.size() == 1);
  CHECK(op_names(expanded.nodes[0].bodies[0]) ==
        std::vector<std::string>{"reduce_max", "stop_gradient", "sub", "exp", "reduce_sum", "div"});
}

TEST_CASE("expand: a graph of primitives stays as it is") {
  Graph graph;
  Builder b(graph);
  const Value x = b.input({DType::f32, {4}}, "x");
  b.result(b.call("tanh", {x}), "y");
  CHECK(graph_text(expand(graph)) == graph_text(graph));
}

TEST_CASE("expand: the precision goes to what layers multiply, in loops too, and not to losses") {
  const Dim batch = Dim::symbol("batch");
  Graph body;
  Builder inside(body);
  const Value carry = inside.input({DType::f32, {batch, 3}}), kernel = inside.input({DType::f32, {3, 3}});
  inside.result(inside.contract(carry, kernel, "ab,bc->ac"));
  Graph graph;
  Builder b(graph);
  const Value x = b.input({DType::f32, {batch, 3}}), w = b.input({DType::f32, {3, 3}}), labels = b.input({DType::i32, {batch, 1}});
  const Value y = b.call("dense", {x, w}, {{"units", int64_t{3}}, {"use_bias", false}});
  const Value start[] = {y, w};
  const Value last = b.call_all("scan", start, {{"carries", 1}, {"trip", Shape{4}}}, {body})[0];
  for (Value part : b.call_all("circle", std::vector<Value>{labels, last})) b.result(part);

  const Graph plain = expand(graph), mixed = expand(graph, {.precision = "bf16"});
  verify_graph(mixed, "expand");
  size_t narrow = 0, wide = 0;
  const std::function<void(const Graph&, bool)> count = [&](const Graph& in, bool expects_none) {
    for (const Node& node : in.nodes) {
      for (const Graph& part : node.bodies) count(part, expects_none);
      if (node.op->name != "contract") continue;
      ++(node.attributes.has("precision") ? narrow : wide);
      if (expects_none) CHECK_FALSE(node.attributes.has("precision"));
    }
  };
  count(plain, true);
  CHECK(wide == 3);
  wide = 0;
  count(mixed, false);
  CHECK(narrow == 2);
  CHECK(wide == 1);
}
