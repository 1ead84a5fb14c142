// A pass on a graph given as text: what it makes of it, as text, and that the values stay the same.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "compiler/interpret/reference.h"
#include "compiler/ir/graph.h"

namespace moru::test {

/// The text with its values numbered in the order of their definition.
inline std::string renumbered(const std::string& text) { return graph_text(parse_graph(text)); }

inline int64_t size_of(const Dim& dim) {
  return dim.evaluate([](std::string_view name) -> int64_t { return name == "batch" ? 5 : name == "time" ? 4 : 3; });
}

/// Results of a graph on random inputs, the same for inputs of the same slot; symbols are batch=5, time=4, others 3.
inline std::vector<HostTensor> values_of(const Graph& graph) {
  std::vector<HostTensor> inputs;
  InterpretOptions options{.numbers = Numbers::all_f64};
  options.symbols = {{"batch", 5}, {"time", 4}};
  for (const GraphInput& input : graph.inputs) {
    std::seed_seq seed(input.slot.begin(), input.slot.end());
    std::mt19937_64 random(seed);
    const Type& type = graph.type(input.value);
    std::vector<int64_t> shape;
    for (const Dim& dim : type.shape) shape.push_back(size_of(dim));
    HostTensor tensor = make_tensor(type.dtype, shape);
    for (double& value : tensor.data)
      value = is_float(type.dtype) ? static_cast<double>(random() >> 11) * 0x1p-52 - 1.0
                                   : static_cast<double>(random() % 3);
    inputs.push_back(std::move(tensor));
  }
  return interpret_graph(graph, inputs, options);
}

inline void check_same_values(const Graph& before, const Graph& after, double tolerance = 1e-12) {
  const std::vector<HostTensor> wanted = values_of(before), got = values_of(after);
  REQUIRE(wanted.size() == got.size());
  for (size_t k = 0; k < wanted.size(); ++k) {
    CAPTURE(k);
    REQUIRE(wanted[k].shape == got[k].shape);
    bool any = false;
    for (size_t i = 0; i < wanted[k].data.size(); ++i) {
      any |= wanted[k].data[i] != 0.0;
      if (std::fabs(wanted[k].data[i] - got[k].data[i]) <= tolerance * (1.0 + std::fabs(wanted[k].data[i]))) continue;
      FAIL_CHECK("result " << k << " element " << i << " is " << got[k].data[i] << " after the pass, "
                           << wanted[k].data[i] << " before");
      break;
    }
    CHECK_MESSAGE(any, "a result that is zero everywhere shows nothing");
  }
}

/// Runs the pass and checks text, invariants and values. Returns the graph after it.
inline Graph check_pass(void (*pass)(Graph&), const std::string& before, const std::string& after) {
  const Graph from = parse_graph(before);
  verify_graph(from, "parsing");
  Graph to = from;
  pass(to);
  verify_graph(to, "the pass");
  CHECK(renumbered(graph_text(to)) == renumbered(after));
  check_same_values(from, to);
  Graph again = to;  // a pass has nothing left to do on what it made
  pass(again);
  verify_graph(again, "the pass, twice");
  CHECK(renumbered(graph_text(again)) == renumbered(graph_text(to)));
  return to;
}

}  // namespace moru::test
