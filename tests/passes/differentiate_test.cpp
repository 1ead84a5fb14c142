#include "compiler/passes/differentiate.h"

#include "compiler/interpret/gradient_check.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/expand.h"
#include "compiler/passes/hoist_scan.h"
#include "compiler/passes/make_entries.h"
#include "compiler/passes/simplify.h"
#include "compiler/passes/sink_scan.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

const InterpretOptions in_f64{.numbers = Numbers::all_f64};

// Gradients of the graph's only result, a scalar, with respect to all its float inputs against central differences.
void check_gradients(const Graph& forward, const std::vector<HostTensor>& inputs, double tolerance) {
  for (const InputProbes& input : probe_gradients(forward, inputs, {.samples = 7})) {
    CHECK_MESSAGE(input.largest_gradient != 0.0, "the gradient of '" << input.name << "' is zero everywhere");
    for (const GradientProbe& probe : input.probes)
      if (!(std::fabs(probe.gradient - probe.difference()) <= tolerance * (1.0 + std::fabs(probe.difference()))))
        FAIL_CHECK("gradient of '" << input.name << "' element " << probe.element << " is " << probe.gradient
                                   << ", central differences say " << probe.difference());
  }
}

std::vector<HostTensor> inputs_of(const Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<HostTensor> inputs;
  for (const GraphInput& input : graph.inputs) {
    std::vector<int64_t> shape;
    for (const Dim& dim : graph.type(input.value).shape) shape.push_back(size_of(dim));
    const bool integer = is_integer(graph.type(input.value).dtype);
    inputs.push_back(random_tensor(graph.type(input.value).dtype, shape, random, integer ? 0 : -1, integer ? 3 : 1));
  }
  return inputs;
}

void check_text(const std::string& text, double tolerance = 1e-7) {
  const Graph graph = parse_graph(text);
  verify_graph(graph, "parsing");
  check_gradients(graph, inputs_of(graph, 11), tolerance);
}

}  // namespace

TEST_CASE("differentiate: whole models' gradients agree with central differences in f64 and none is all zero") {
  for (const WholeModel& whole : whole_models()) {
    CAPTURE(whole.name);
    Model model = whole.make();
    TrainingSpec training = training_of(whole);
    Module module = make_entries(model, &training);
    const Symbols symbols = {{"batch", 3}, {"time", 4}};
    Slots slots = random_slots(module, symbols, 21);
    // The loss as a function of the parameters.
    Graph graph = *module.find_entry("train_step");
    std::erase_if(graph.results, [](const GraphResult& r) { return r.slot != "loss"; });
    drop_dead(graph);
    std::vector<HostTensor> inputs;
    for (const GraphInput& input : graph.inputs)  // the seed of dropout is no slot of the caller's
      inputs.push_back(slots.count(input.slot) ? slots.at(input.slot) : make_tensor(graph.type(input.value).dtype, {}));
    try {
      check_gradients(graph, inputs, whole.smooth ? 2e-7 : 1e-5);
    } catch (const std::exception& error) {
      FAIL_CHECK(whole.name << ": " << std::string(error.what()));
    }
  }
}

TEST_CASE("differentiate: hoisting, sinking and simplifying change gradients only by rounding") {
  for (const WholeModel& whole : whole_models()) {
    CAPTURE(whole.name);
    Model model = whole.make();
    TrainingSpec training = training_of(whole);
    PipelineOptions options;
    options.training = &training;
    options.stop_after = "expand_update";
    const Module plain = run_pipeline(model, options).module;
    for (const char* last : {"hoist_scan", "drop_dead_2", "drop_dead_3", "tile_batch"}) {
      CAPTURE(last);
      options.stop_after = last;
      const Module optimized = run_pipeline(model, options).module;
      Slots before = random_slots(plain, {{"batch", 5}, {"time", 4}}, 33);
      before.try_emplace("seed", make_tensor(DType::i64, {}));
      Slots after = before;
      interpret_entry(plain, "train_step", before, in_f64);
      interpret_entry(optimized, "train_step", after, in_f64);
      for (const auto& [name, tensor] : before) CHECK_MESSAGE(far_apart(after.at(name), tensor, 1e-11).empty(), name);
    }
  }
}

TEST_CASE("differentiate: loops with several carries, stacks along other axes, and reversed ones") {
  for (const char* reverse : {"false", "true"})
    check_text(std::string(R"(entry f {
      %0 = input "a": f64[batch, 3]
      %1 = input "b": f64[3]
      %2 = input "x": f64[batch, time, 3]
      %3 = input "w": f64[3, 3]
      %4: f64[batch, 3], %5: f64[3], %6: f64[batch, time, 3], %7: f64[3, time] = scan(%0, %1, %2, %3) {axes=(1), carries=2, output_axes=(1, 1), reverse=)") +
                   reverse + R"(, sequences=1, trip=none} body {
        %0 = input: f64[batch, 3]
        %1 = input: f64[3]
        %2 = input: f64[batch, 3]
        %3 = input: f64[3, 3]
        %4: f64[batch, 3] = contract(%0, %3) {spec="ab,bc->ac"}
        %5: f64[batch, 3] = add(%4, %2)
        %6: f64[batch, 3] = mul(%5, %1)
        %7: f64[batch, 3] = tanh(%6)
        %8: f64[3] = reduce_sum(%7) {axes=(0), keep_dims=false}
        %9: f64[3] = sigmoid(%8)
        result %7
        result %9
        result %5
        result %1
      }
      %8: f64[] = reduce_sum(%4) {axes=(0, 1), keep_dims=false}
      %9: f64[batch, time, 3] = square(%6)
      %10: f64[] = reduce_sum(%9) {axes=(0, 1, 2), keep_dims=false}
      %11: f64[3, time] = tanh(%7)
      %12: f64[] = reduce_sum(%11) {axes=(0, 1), keep_dims=false}
      %13: f64[] = add(%8, %10)
      %14: f64[] = add(%13, %12)
      result "loss" = %14
    })",
               1e-6);
}

TEST_CASE("differentiate: a loop inside a loop, with a trip count of its own") {
  check_text(R"(entry f {
    %0 = input "h": f64[3]
    %1 = input "x": f64[time, 3]
    %2 = input "w": f64[3, 3]
    %3: f64[3], %4: f64[time, 2, 3] = scan(%0, %1, %2) {axes=(0), carries=1, output_axes=(0), reverse=false, sequences=1, trip=none} body {
      %0 = input: f64[3]
      %1 = input: f64[3]
      %2 = input: f64[3, 3]
      %3: f64[3], %4: f64[2, 3] = scan(%0, %1, %2) {axes=(), carries=1, output_axes=(0), reverse=true, sequences=0, trip=[2]} body {
        %0 = input: f64[3]
        %1 = input: f64[3]
        %2 = input: f64[3, 3]
        %3: f64[3] = contract(%0, %2) {spec="a,ab->b"}
        %4: f64[3] = add(%3, %1)
        %5: f64[3] = tanh(%4)
        %6: f64[3] = mul(%5, %3)
        result %5
        result %6
      }
      result %3
      result %4
    }
    %5: f64[time, 2, 3] = square(%4)
    %6: f64[] = reduce_sum(%5) {axes=(0, 1, 2), keep_dims=false}
    %7: f64[] = reduce_sum(%3) {axes=(0), keep_dims=false}
    %8: f64[] = add(%6, %7)
    result "loss" = %8
  })");
}

TEST_CASE("differentiate: a value used many times gathers all its gradients, and one that is not used gets zeros") {
  check_text(R"(entry f {
    %0 = input "x": f64[3]
    %1: f64[3] = mul(%0, %0)
    %2: f64[3] = mul(%1, %0)
    %3: f64[3] = add(%2, %1)
    %4: f64[] = reduce_sum(%3) {axes=(0), keep_dims=false}
    result "loss" = %4
  })");
  Graph graph = parse_graph(R"(entry f {
    %0 = input "x": f64[3]
    %1 = input "unused": f64[3]
    %2 = input "integer": i32[3]
    %3: f64[3] = cast(%2) {dtype="f64"}
    %4: f64[3] = mul(%0, %3)
    %5: f64[] = reduce_sum(%4) {axes=(0), keep_dims=false}
    result "loss" = %5
  })");
  const std::vector<ValueId> gradients =
      append_gradients(graph, graph.results[0].value, {graph.inputs[0].value, graph.inputs[1].value});
  for (ValueId g : gradients) graph.add_result(g);
  verify_graph(graph, "append_gradients");
  const std::vector<HostTensor> results = values_of(graph);
  for (double g : results[2].data) CHECK(g == 0.0);
}

TEST_CASE("differentiate: what is not differentiable stops gradients, here and in loops") {
  Graph graph = parse_graph(R"(entry f {
    %0 = input "x": f64[3]
    %1: f64[3] = stop_gradient(%0)
    %2: f64[3] = mul(%1, %0)
    %3: f64[] = reduce_sum(%2) {axes=(0), keep_dims=false}
    result "loss" = %3
  })");
  graph.add_result(append_gradients(graph, graph.results[0].value, {graph.inputs[0].value})[0]);
  verify_graph(graph, "append_gradients");
  HostTensor x = make_tensor(DType::f64, {3});
  x.data = {1.0, -2.0, 3.0};
  CHECK(interpret_graph(graph, {&x, 1})[1].data == x.data);
}

TEST_CASE("differentiate: only train_step gets gradients, one for each trainable parameter it reads") {
  ModelBuilder m("m");
  Tensor h = m.call(layers::dense(3, {.name = "frozen", .trainable = false}), m.input("x", {2}));
  Model model = m.build({m.call(layers::dense(1, {.name = "out"}), h)});
  TrainingSpec training;
  training.optimizer.op = "sgd";
  training.losses = {{"mean_squared_error", {}, "mean_squared_error"}};
  Module module = make_entries(model, &training);
  for (Graph& graph : module.entries) graph = expand(graph);
  differentiate(module);
  verify_module(module, "differentiate");
  std::vector<std::string> gradients;
  for (const Graph& graph : module.entries)
    for (const GraphResult& result : graph.results)
      if (result.slot.starts_with("gradient/")) gradients.push_back(graph.name + ":" + result.slot);
  CHECK(gradients == std::vector<std::string>{"train_step:gradient/out/kernel", "train_step:gradient/out/bias"});
}
