#include "compiler/compile.h"

#include <algorithm>
#include <cstdio>

#include "compiler/io/program_io.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

void package(const Model& model, const CompileOptions& options, CompiledModel& out) {
  out.hash = hash_program(out.lowered.module, out.lowered.kernels, out.target.text());
  WeightsSection weights = make_weights_section(model);
  out.program = write_program({.module = &out.lowered.module,
                               .kernels = &out.lowered.kernels,
                               .plans = &out.lowered.plans,
                               .weights = &weights.places,
                               .outputs = model.output_names,
                               .target = out.target.text(),
                               .hash = out.hash,
                               .source = model.source,
                               .seed = options.seed});
}

// In the order of what they cost in time.
constexpr struct {
  int64_t rows;
  bool segments;
} reductions[] = {{32, false}, {16, false}, {8, false}, {32, true}, {16, true}, {8, true},
                  {4, false},  {4, true},   {2, true},  {1, true},  {1, false}};

std::vector<MemorySchedule> list_schedules(const MemoryBudget& budget) {
  std::vector<MemorySchedule> list = {{}};
  const int64_t partitions = std::min<int64_t>(budget.threads, MemorySchedule{}.partitions);
  for (const auto& [rows, segments] : reductions) list.push_back({rows, partitions, segments});
  return list;
}

int64_t arena_bytes(const Lowered& lowered, const MemoryBudget& budget) {
  int64_t most = 0;
  for (const MemoryPlan& plan : lowered.plans)
    most = std::max(most, plan.total_bytes.evaluate([&](std::string_view symbol) {
      return symbol == "workers" ? budget.threads : budget.batch;
    }));
  return most;
}

std::string bytes_text(int64_t bytes) {
  char text[40];
  if (bytes >= 1 << 20)
    std::snprintf(text, sizeof text, "%.2f MiB", static_cast<double>(bytes) / (1 << 20));
  else
    std::snprintf(text, sizeof text, "%.1f KiB", static_cast<double>(bytes) / (1 << 10));
  return text;
}

Lowered run_within_budget(Model& model, PipelineOptions options, const MemoryBudget& budget) {
  int64_t least = INT64_MAX;
  for (const MemorySchedule& schedule : list_schedules(budget)) {
    options.schedule = schedule;
    Lowered lowered = run_pipeline(model, options);
    const int64_t bytes = arena_bytes(lowered, budget);
    if (bytes <= budget.bytes) return lowered;
    least = std::min(least, bytes);
  }
  throw CompileError({.stage = "plan_memory",
                      .what = "intermediate results take at least " + bytes_text(least) + " at batch " +
                              std::to_string(budget.batch) + " with " + std::to_string(budget.threads) +
                              (budget.threads == 1 ? " thread" : " threads") + ", more than the budget of " +
                              bytes_text(budget.bytes),
                      .hint = "give --memory-budget " + std::to_string((least + 1023) / 1024) + "K, a smaller batch or fewer threads"});
}

}  // namespace

CompiledModel compile(Model& model, const CompileOptions& options) {
  CompiledModel out;
  out.target = options.target;
  PipelineOptions pipeline = options.pipeline;
  pipeline.l2_bytes = options.target.l2_bytes;
  out.lowered = options.memory_budget.bytes > 0 ? run_within_budget(model, pipeline, options.memory_budget)
                                                : run_pipeline(model, pipeline);
  out.lowered.times.run("package", [&] { package(model, options, out); });
  return out;
}

}  // namespace moru
