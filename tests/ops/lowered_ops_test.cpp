// What every op's examples lower to: interpreted kernels against references, native code against interpreted kernels,
// bit for bit; and the same for their gradients. The graphs go through the passes that change what is lowered.
#include <doctest/doctest.h>

#include "compiler/passes/choose_layouts.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/expand.h"
#include "compiler/passes/narrow_products.h"
#include "compiler/passes/hoist_scan.h"
#include "compiler/passes/simplify.h"
#include "compiler/passes/sink_scan.h"
#include "tests/ops/op_case.h"
#include "tests/support/lowered_run.h"

using namespace moru;
using namespace moru::test;

namespace {

// The case as a module: its inputs and outputs are slots.
Module module_of(const OpCase& c, bool gradients) {
  Module module;
  Graph graph = c.graph;
  graph.name = "run";
  if (gradients) {
    Builder b(graph);
    Value loss;
    for (const GraphResult& result : c.graph.results) {
      if (!is_float(graph.type(result.value).dtype)) continue;
      std::vector<int64_t> axes;
      for (size_t axis = 0; axis < graph.type(result.value).shape.size(); ++axis)
        axes.push_back(static_cast<int64_t>(axis));
      // Weights that differ from element to element, so that no gradient is constant.
      Value weight = b.input(graph.type(result.value));
      Value part = b.cast(b.reduce("reduce_sum", b.value(result.value) * weight, axes), DType::f64);
      loss = loss ? loss + part : part;
    }
    graph.results.clear();
    graph.add_result(loss.id);
    graph = expand(graph);
    std::vector<ValueId> wanted;
    for (size_t i = 0; i < c.inputs.size(); ++i)
      if (is_float(c.inputs[i].dtype)) wanted.push_back(graph.inputs[i].value);
    for (ValueId gradient : append_gradients(graph, graph.results[0].value, wanted)) graph.add_result(gradient);
  }
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    graph.inputs[i].slot = "in" + std::to_string(i);
    module.slots.push_back(
        {.name = graph.inputs[i].slot, .kind = SlotKind::input, .type = graph.type(graph.inputs[i].value)});
  }
  for (size_t i = 0; i < graph.results.size(); ++i) {
    graph.results[i].slot = "out" + std::to_string(i);
    module.slots.push_back(
        {.name = graph.results[i].slot, .kind = SlotKind::output, .type = graph.type(graph.results[i].value)});
  }
  module.entries.push_back(expand(graph));
  narrow_products(module.entries.back());
  return module;
}

void optimize(Module& module) {
  for (Graph& graph : module.entries) {
    for (auto pass : {fold_constants, simplify, share_common, hoist_scan, sink_scan, drop_dead, choose_layouts,
                      simplify, share_common, drop_dead}) {
      pass(graph);
      verify_graph(graph, "a pass");
    }
  }
}

void check_case(const OpCase& c, bool gradients, bool optimized) {
  Module module = module_of(c, gradients);
  if (optimized) optimize(module);
  Slots slots;
  for (size_t i = 0; i < c.inputs.size(); ++i) slots["in" + std::to_string(i)] = c.inputs[i];
  std::mt19937_64 random(seed_of(*c.op, 5000));
  for (const Slot& slot : module.slots) {
    if (slot.kind != SlotKind::input || slots.count(slot.name)) continue;
    std::vector<int64_t> shape;
    for (const Dim& dim : slot.type.shape) shape.push_back(dim.constant());
    slots[slot.name] = random_tensor(slot.type.dtype, shape, random, 0.3, 1.7);
  }
  check_entry(LoweredModule(module), "run", slots, {}, gradients ? 2e-5 : 5e-6);
}

template <typename Check>
void for_each_case(Check check) {
  const char* only = std::getenv("MORU_TEST_OP");  // to reproduce one
  for (const Op& op : all_ops()) {
    if (only && op.name != only) continue;
    for (size_t i = 0; i < op.examples.size(); ++i) {
      CAPTURE(op.name);
      CAPTURE(i);
      try {
        check(make_case(op, i));
      } catch (const std::exception& error) {
        FAIL_CHECK(op.name << ", example " << i << ": " << std::string(error.what()));
      }
    }
  }
}

bool has_gradient(const OpCase& c) {
  bool output = std::any_of(c.graph.results.begin(), c.graph.results.end(),
                            [&](const GraphResult& r) { return is_float(c.graph.type(r.value).dtype); });
  bool input = std::any_of(c.inputs.begin(), c.inputs.end(), [](const HostTensor& t) { return is_float(t.dtype); });
  return c.op->differentiable && c.example->differentiable && output && input;
}

}  // namespace

TEST_CASE(
    "lower: every example of every op gives what its reference says, natively with the same bits as interpreted") {
  for_each_case([](const OpCase& c) {
    check_case(c, false, false);
    check_case(c, false, true);
  });
}

TEST_CASE("lower: the gradients of every example of every op, too") {
  for_each_case([](const OpCase& c) {
    if (has_gradient(c)) check_case(c, true, true);
  });
}
