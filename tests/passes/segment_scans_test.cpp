// Checkpointed back-propagation through time: the same gradients from less memory.
#include "compiler/passes/segment_scans.h"

#include "compiler/compile.h"
#include "compiler/pipeline.h"
#include "compiler/support/error.h"
#include "tests/bench/workloads.h"
#include "tests/e2e/whole_models.h"
#include "tests/passes/pass_case.h"

using namespace moru;
using namespace moru::test;

namespace {

std::vector<WholeModel> recurrent_models() {
  using namespace layers;
  std::vector<WholeModel> list;
  list.push_back({"lstm_dropout",
                  [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(lstm(8, {.return_sequences = true}), m.input("x", {24, 3}));
                    h = m.call(dropout(0.25), h);
                    h = m.call(lstm(6), h);
                    return m.build({m.call(dense(2, {.name = "out"}), h)});
                  },
                  {"mean_squared_error"}});
  list.push_back({"bidirectional_gru",
                  [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(bidirectional(gru(5, {.return_sequences = true})), m.input("x", {20, 4}));
                    return m.build({m.call(dense(3, {.name = "out"}), m.call(flatten(), h))});
                  },
                  {"mean_squared_error"}});
  list.push_back({"simple_rnn",
                  [] {
                    ModelBuilder m("m");
                    return m.build({m.call(dense(1, {.name = "out"}), m.call(simple_rnn(7), m.input("x", {9, 2})))});
                  },
                  {"mean_squared_error"}});
  return list;
}

int count_segments(const Graph& graph) {
  int count = 0;
  for (const Node& node : graph.nodes) count += node.op->name == "scan" && node.attributes.boolean("recompute");
  return count;
}

}  // namespace

TEST_CASE("segment_scans: a loop over time becomes a loop over segments of about the root of its length, forward and back") {
  const Module module = training_module(recurrent_models()[0], {.stop_after = "drop_dead_3", .schedule = {.segments_scans = true}});
  const Graph& step = *module.find_entry("train_step");
  CHECK(count_segments(step) == 4);
  for (const Node& node : step.nodes)
    if (node.op->name == "scan") CHECK(graph_text(node.bodies[0]).find("scan(") != std::string::npos);
  CHECK(count_segments(*module.find_entry("predict")) == 2);
  WholeModel prime{"prime", [] {
                     ModelBuilder m("m");
                     return m.build({m.call(layers::dense(1, {.name = "out"}), m.call(layers::lstm(4), m.input("x", {7, 2})))});
                   }};
  CHECK(count_segments(*training_module(prime, {.stop_after = "drop_dead_3", .schedule = {.segments_scans = true}}).find_entry("train_step")) == 0);
}

TEST_CASE("segment_scans: the step's results are those without segments, whole and in chunks of the batch") {
  for (const WholeModel& whole : recurrent_models()) {
    CAPTURE(whole.name);
    const Module plain = training_module(whole, {.stop_after = "drop_dead_3"});
    for (const MemorySchedule& schedule : {MemorySchedule{0, 4, true}, MemorySchedule{4, 1, true}, MemorySchedule{4, 4, true}}) {
      CAPTURE(schedule.tile_rows);
      const Module segmented = training_module(whole, {.stop_after = "tile_batch", .schedule = schedule});
      const bool is_tiled = graph_text(*segmented.find_entry("train_step")).find("tile(") != std::string::npos;
      CHECK(is_tiled == (schedule.tile_rows > 0));
      for (int64_t batch : {1, 4, 11}) {
        Slots before = random_slots(plain, {{"batch", batch}}, 5);
        before["seed"] = make_tensor(DType::i64, {}, 77);
        Slots after = before;
        const InterpretOptions in_f64{.numbers = Numbers::all_f64};
        interpret_entry(plain, "train_step", before, in_f64);
        interpret_entry(segmented, "train_step", after, in_f64);
        for (const auto& [name, tensor] : before) {
          const std::string apart = far_apart(after.at(name), tensor, 1e-11);
          CHECK_MESSAGE(apart.empty(), whole.name << " " << name << apart);
        }
      }
      const LoweredModule lowered(segmented, {32});
      for (int64_t batch : {3, 11}) {
        Slots slots = random_slots(lowered.module, {{"batch", batch}}, 5);
        slots["seed"] = make_tensor(DType::i64, {}, 77);
        check_entry(lowered, "train_step", slots, {{"batch", batch}}, 3e-5);
      }
    }
  }
}

TEST_CASE("memory budget: it is kept, at less and less speed, and the least is said where it cannot be") {
  const bench::Workload& workload = *bench::find_workload("T3");
  const auto bytes_with = [&](int64_t budget, int64_t threads) {
    Model model = workload.model();
    CompileOptions options;
    options.pipeline.training = &workload.training;
    options.memory_budget = {budget, 256, threads};
    const CompiledModel compiled = compile(model, options);
    int64_t most = 0;
    for (const MemoryPlan& plan : compiled.lowered.plans)
      most = std::max(most, value_of(plan.total_bytes, {{"batch", 256}, {"workers", threads}}));
    return most;
  };
  const int64_t usual = bytes_with(0, 1);
  CHECK(bytes_with(usual, 1) == usual);
  for (int64_t threads : {1, 2})
    for (int64_t budget : {usual * threads / 2, usual * threads / 3, usual * threads / 4}) {
      CAPTURE(budget);
      CAPTURE(threads);
      CHECK(bytes_with(budget, threads) <= budget);
    }
  try {
    bytes_with(100000, 1);
    FAIL("100 kB are not enough");
  } catch (const CompileError& error) {
    const std::string message = error.what();
    CHECK(message.find("at least") != std::string::npos);
    const size_t hint = message.find("--memory-budget ");
    REQUIRE(hint != std::string::npos);
    const int64_t least = std::atoll(message.c_str() + hint + 16) * 1024;
    CHECK(bytes_with(least, 1) <= least);
  }
}

TEST_CASE("memory budget: a long sequence takes about the root of its length") {
  const auto bytes_with = [&](int64_t steps, const MemorySchedule& schedule) {
    ModelBuilder m("long");
    Model model = m.build({m.call(layers::dense(1, {.name = "out"}), m.call(layers::gru(8), m.input("x", {steps, 4})))});
    TrainingSpec training{.optimizer = {"adam", {}}, .losses = {{"mean_squared_error", {}}}, .loss_weights = {}, .metrics = {}};
    PipelineOptions options;
    options.training = &training;
    options.schedule = schedule;
    const Lowered lowered = run_pipeline(model, options);
    int64_t most = 0;
    for (const MemoryPlan& plan : lowered.plans)
      most = std::max(most, value_of(plan.total_bytes, {{"batch", 32}, {"workers", 1}}));
    return most;
  };
  const int64_t whole = bytes_with(1024, {32, 1, false}), segments = bytes_with(1024, {32, 1, true});
  MESSAGE("1024 steps: " << whole << " bytes, in segments " << segments);
  CHECK(segments * 5 < whole);
}
