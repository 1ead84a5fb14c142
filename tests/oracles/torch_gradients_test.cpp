// Values and gradients of layers and losses against those that record_torch_gradients.py recorded from PyTorch: by the
// reference interpreter in f64, and as native code in f32.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "compiler/passes/choose_layouts.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/expand.h"
#include "compiler/passes/hoist_scan.h"
#include "compiler/passes/simplify.h"
#include "compiler/passes/sink_scan.h"
#include "compiler/support/error.h"
#include "tests/support/lowered_run.h"

using namespace moru;
using namespace moru::test;
using nlohmann::json;

namespace {

constexpr double f64_tolerance = 1e-9, f32_tolerance = 1e-5;

json recorded() {
  std::ifstream file(std::string(MORU_SOURCE_DIR) + "/tests/oracles/torch_gradients.json");
  REQUIRE_MESSAGE(file.good(), "tests/oracles/torch_gradients.json is missing; record_torch_gradients.py writes it");
  return json::parse(file);
}

HostTensor tensor_of(const json& value) {
  return {value["dtype"] == "i32" ? DType::i32 : DType::f32, value["shape"].get<std::vector<int64_t>>(),
          value["values"].get<std::vector<double>>()};
}

Type type_of(const HostTensor& tensor) { return {tensor.dtype, Shape(tensor.shape.begin(), tensor.shape.end())}; }

// output, then the gradients of sum(output * weight) with respect to the float inputs, as results of one graph.
struct Recording {
  Graph layer;     // the op alone
  Graph gradient;  // expanded, differentiated
  std::vector<HostTensor> inputs;
  std::vector<std::vector<double>> wanted;  // as the results of `gradient`
};

Recording recording_of(const json& from) {
  Recording r;
  Builder b(r.layer, "recorded");
  std::vector<Value> inputs;
  std::vector<ValueId> differentiated;
  r.wanted.push_back(from["output"]["values"].get<std::vector<double>>());
  for (size_t i = 0; i < from["inputs"].size(); ++i) {
    if (from["inputs"][i].is_null()) {
      inputs.push_back({});
      continue;
    }
    r.inputs.push_back(tensor_of(from["inputs"][i]));
    inputs.push_back(b.input(type_of(r.inputs.back())));
    if (from["gradients"][i].is_null()) continue;
    differentiated.push_back(inputs.back().id);
    r.wanted.push_back(from["gradients"][i].get<std::vector<double>>());
  }
  const Value output = b.call_all(from["op"].get<std::string>(), inputs, Attributes::parse(from["attributes"].get<std::string>()))[0];
  b.result(output);

  Graph weighed = r.layer;
  Builder w(weighed, "recorded");
  const Value weight = w.input(output.type());
  std::vector<int64_t> axes;
  for (size_t axis = 0; axis < output.rank(); ++axis) axes.push_back(static_cast<int64_t>(axis));
  const Value product = w.value(output.id) * weight;
  w.result(axes.empty() ? product : w.reduce("reduce_sum", product, axes));
  r.inputs.push_back({DType::f32, from["output"]["shape"].get<std::vector<int64_t>>(), from["weight"].get<std::vector<double>>()});

  // Values keep their numbers only outside of expand, so that inputs are found again by their places.
  std::vector<size_t> places;
  for (ValueId id : differentiated)
    for (size_t i = 0; i < weighed.inputs.size(); ++i)
      if (weighed.inputs[i].value == id) places.push_back(i);
  r.gradient = expand(weighed);
  std::vector<ValueId> wanted;
  for (size_t place : places) wanted.push_back(r.gradient.inputs[place].value);
  const ValueId loss = r.gradient.results[1].value;
  const std::vector<ValueId> gradients = append_gradients(r.gradient, loss, wanted);
  r.gradient.results.resize(1);
  for (ValueId gradient : gradients) r.gradient.add_result(gradient);
  r.gradient = expand(r.gradient);
  verify_graph(r.gradient, "append_gradients");
  return r;
}

// Where they differ by more than tolerance * (1 + |wanted|), or "".
std::string difference(const std::vector<double>& got, const std::vector<double>& wanted, double tolerance) {
  if (got.size() != wanted.size()) return std::to_string(got.size()) + " values instead of " + std::to_string(wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::fabs(got[i] - wanted[i]) <= tolerance * (1.0 + std::fabs(wanted[i]))) continue;
    char text[120];
    std::snprintf(text, sizeof text, "[%zu] is %.12g, PyTorch says %.12g", i, got[i], wanted[i]);
    return text;
  }
  return "";
}

std::string place(size_t result) { return result == 0 ? "output" : "gradient " + std::to_string(result - 1); }

std::vector<HostTensor> run_natively(const Recording& r) {
  Module module;
  Graph graph = r.gradient;
  graph.name = "run";
  Slots slots;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    graph.inputs[i].slot = "in" + std::to_string(i);
    module.slots.push_back({.name = graph.inputs[i].slot, .kind = SlotKind::input, .type = graph.type(graph.inputs[i].value)});
    slots[graph.inputs[i].slot] = r.inputs[i];
  }
  for (size_t i = 0; i < graph.results.size(); ++i) {
    graph.results[i].slot = "out" + std::to_string(i);
    module.slots.push_back({.name = graph.results[i].slot, .kind = SlotKind::output, .type = graph.type(graph.results[i].value)});
  }
  for (auto pass : {fold_constants, simplify, share_common, hoist_scan, sink_scan, drop_dead, choose_layouts, simplify,
                    share_common, drop_dead})
    pass(graph);
  module.entries.push_back(std::move(graph));
  const LoweredModule lowered(std::move(module), {32});
  const Symbols symbols = {{"workers", 1}};
  KernelMemoryOf memory(lowered.module, lowered.kernels.kernels[0], lowered.plans[0], slots, symbols, Placement::planned);
  memory.run(lowered.codes[0]->find_entry("run"), lowered.kernels, run_in_turn, nullptr);
  CHECK(memory.overrun() == "");
  std::vector<HostTensor> results;
  for (size_t i = 0; i < r.wanted.size(); ++i) results.push_back(memory.slot("out" + std::to_string(i)));
  return results;
}

template <typename Check>
void for_each_recording(Check check) {
  const json all = recorded();
  REQUIRE(all["cases"].size() >= 60);
  for (const json& one : all["cases"]) {
    const std::string name = one["name"];
    CAPTURE(name);
    try {
      check(recording_of(one), name);
    } catch (const std::exception& error) {
      FAIL_CHECK(name << ": " << std::string(error.what()));
    }
  }
}

}  // namespace

TEST_CASE("oracles: references and gradients agree with PyTorch in f64 to 1e-9") {
  for_each_recording([](const Recording& r, const std::string& name) {
    const InterpretOptions in_f64{.numbers = Numbers::all_f64};
    const std::span<const HostTensor> inputs(r.inputs);
    const HostTensor reference = interpret_graph(r.layer, inputs.first(inputs.size() - 1), in_f64)[0];
    const std::string of_reference = difference(reference.data, r.wanted[0], f64_tolerance);
    CHECK_MESSAGE(of_reference.empty(), name << ": reference" << of_reference);
    const std::vector<HostTensor> results = interpret_graph(r.gradient, inputs, in_f64);
    for (size_t i = 0; i < r.wanted.size(); ++i) {
      const std::string what = difference(results[i].data, r.wanted[i], f64_tolerance);
      CHECK_MESSAGE(what.empty(), name << ": " << place(i) << what);
    }
  });
}

TEST_CASE("oracles: native code agrees with PyTorch in f32 to 1e-5") {
  for_each_recording([](const Recording& r, const std::string& name) {
    const std::vector<HostTensor> results = run_natively(r);
    for (size_t i = 0; i < r.wanted.size(); ++i) {
      const std::string what = difference(results[i].data, r.wanted[i], f32_tolerance);
      CHECK_MESSAGE(what.empty(), name << ": " << place(i) << what);
    }
  });
}
