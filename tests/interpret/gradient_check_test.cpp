#include "compiler/interpret/gradient_check.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "compiler/interpret/reference.h"

using namespace moru;

namespace {

HostTensor tensor(std::vector<int64_t> shape, std::vector<double> data) {
  HostTensor out = make_tensor(DType::f64, std::move(shape));
  out.data = std::move(data);
  return out;
}

const GradientProbe& worst(const InputProbes& input) {
  const GradientProbe* found = &input.probes.front();
  for (const GradientProbe& probe : input.probes)
    if (relative_error(input, probe) > relative_error(input, *found)) found = &probe;
  return *found;
}

/// The sum of `op` over x: f64[4].
Graph sum_of(const std::string& op) {
  return parse_graph("entry f {\n  %0 = input \"x\": f64[4]\n  %1: f64[4] = " + op +
                     "(%0)\n  %2: f64[] = reduce_sum(%1) {axes=(0), keep_dims=false}\n  result \"loss\" = %2\n}");
}

}  // namespace

TEST_CASE("gradient_check: a right gradient agrees, and a wrong one of an op is found, with its element") {
  const HostTensor x = tensor({4}, {0.3, -1.2, 0.8, 2.0});
  Graph graph = sum_of("tanh");
  const std::vector<InputProbes> right = probe_gradients(graph, {x}, {.tolerance = 1e-6});
  REQUIRE(right.size() == 1);
  REQUIRE(right[0].probes.size() == 4);
  for (const GradientProbe& probe : right[0].probes) CHECK(relative_error(right[0], probe) < 1e-8);

  // As tanh, but its gradient is that of x above 1.5.
  Op wrong = get_op("tanh");
  wrong.gradient = [right_gradient = wrong.gradient](const GradientContext& c) {
    Builder& b = c.builder;
    const Value high = b.call("greater", {c.inputs[0], b.fill(1.5, c.inputs[0].shape(), DType::f64)});
    return std::vector<Value>{b.call("select", {high, c.output_gradients[0], right_gradient(c)[0]})};
  };
  graph.nodes[0].op = &wrong;
  const std::vector<InputProbes> found = probe_gradients(graph, {x}, {.tolerance = 1e-6});
  CHECK(worst(found[0]).element == 3);
  CHECK(worst(found[0]).gradient == 1.0);
  CHECK(worst(found[0]).difference() == doctest::Approx(1 - std::tanh(2.0) * std::tanh(2.0)).epsilon(1e-6));
  CHECK(relative_error(found[0], worst(found[0])) > 0.9);
  CHECK(!is_kink(found[0], worst(found[0]), 1e-6));
  CHECK(relative_error(found[0], found[0].probes[0]) < 1e-8);
}

TEST_CASE("gradient_check: a kink at an element is told from a wrong gradient, and one beside it does no harm") {
  // At 0 itself; within the first step of 0, but not within the last.
  const std::vector<InputProbes> probes =
      probe_gradients(sum_of("relu"), {tensor({4}, {0.0, 4e-6, 1.0, -1.0})}, {.tolerance = 1e-5});
  const std::vector<GradientProbe>& at = probes[0].probes;
  CHECK(is_kink(probes[0], at[0], 1e-5));
  CHECK(at[0].below == doctest::Approx(0));
  CHECK(at[0].above == doctest::Approx(1));
  for (size_t i = 1; i < 4; ++i) {
    CHECK(relative_error(probes[0], at[i]) < 1e-5);
    CHECK(!is_kink(probes[0], at[i], 1e-5));
  }
  // A gradient that is neither side's is wrong even at a kink.
  Graph graph = sum_of("relu");
  Op wrong = get_op("relu");
  wrong.gradient = [](const GradientContext& c) { return std::vector<Value>{c.output_gradients[0] * 3.0}; };
  graph.nodes[0].op = &wrong;
  const std::vector<InputProbes> found = probe_gradients(graph, {tensor({4}, {0.0, 1.0, 2.0, 3.0})}, {.tolerance = 1e-5});
  for (const GradientProbe& probe : found[0].probes) CHECK(!is_kink(found[0], probe, 1e-5));
  CHECK(relative_error(found[0], found[0].probes[0]) > 0.5);
}

TEST_CASE("gradient_check: the element of the largest gradient is among those that are moved, which a seed chooses") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "x": f64[100]
    %1: f64[100] = square(%0)
    %2: f64[] = reduce_sum(%1) {axes=(0), keep_dims=false}
    result "loss" = %2
  })");
  HostTensor x = make_tensor(DType::f64, {100}, 0.1);
  x.data[77] = -5;
  const auto elements = [&](uint64_t seed) {
    std::vector<size_t> list;
    const std::vector<InputProbes> inputs = probe_gradients(graph, {x}, {.samples = 4, .seed = seed});
    for (const GradientProbe& probe : inputs[0].probes) list.push_back(probe.element);
    return list;
  };
  CHECK(elements(1) == elements(1));
  CHECK(elements(1) != elements(2));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const std::vector<size_t> list = elements(seed);
    CHECK(list.size() == 4);
    CHECK(std::find(list.begin(), list.end(), 77u) != list.end());
  }
}

TEST_CASE("gradient_check: a gradient that is no number is as wrong as can be") {
  Graph graph = sum_of("sqrt");
  const std::vector<InputProbes> probes = probe_gradients(graph, {tensor({4}, {0.0, 1.0, 4.0, 9.0})}, {.tolerance = 1e-5});
  CHECK(std::isinf(relative_error(probes[0], probes[0].probes[0])));
  CHECK(relative_error(probes[0], probes[0].probes[1]) < 1e-6);
}
