#include "compiler/passes/plan_memory.h"

#include <doctest/doctest.h>

#include "compiler/pipeline.h"
#include "tests/bench/workloads.h"
#include "tests/e2e/whole_models.h"

using namespace moru;
using namespace moru::test;

namespace {

const BufferPlace& place_of(const Kernel& kernel, const MemoryPlan& plan, const std::string& name) {
  for (const BufferPlace& place : plan.places)
    if (kernel.buffers[place.buffer].name == name) return place;
  FAIL("no place for " << name);
  return plan.places[0];
}

// Whether two buffers' places overlap, at one value of the symbols.
bool overlap(const Kernel& kernel, const MemoryPlan& plan, const std::string& a, const std::string& b, const Symbols& symbols) {
  const BufferPlace &x = place_of(kernel, plan, a), &y = place_of(kernel, plan, b);
  const int64_t x_begin = value_of(x.offset, symbols), y_begin = value_of(y.offset, symbols);
  return x_begin < y_begin + value_of(y.bytes, symbols) && y_begin < x_begin + value_of(x.bytes, symbols);
}

std::string store(const std::string& to, const std::string& from) {
  return "for i: batch {\n \"" + to + "\"[i] = load \"" + from + "\"[i]\n }\n";
}

}  // namespace

TEST_CASE("plan_memory: buffers whose lives follow each other share memory, others do not; unused ones go") {
  Kernel kernel = parse_kernel(R"(kernel "run" {
    buffer "x": f32[batch] slot 0
    buffer "a": f32[batch]
    buffer "unused": f32[batch]
    buffer "b": f32[batch]
    buffer "c": f32[batch]
    buffer "y": f32[batch] slot 1
    )" + store("a", "x") + store("b", "a") +
                               store("c", "b") + store("y", "c") + "}");
  const MemoryPlan plan = plan_memory(kernel);
  verify_kernel(kernel, "plan_memory");
  REQUIRE(plan.places.size() == 3);
  for (int64_t batch : {1, 7, 16, 1000}) {
    const Symbols symbols = {{"batch", batch}};
    CHECK(overlap(kernel, plan, "a", "c", symbols));
    CHECK(!overlap(kernel, plan, "a", "b", symbols));
    CHECK(!overlap(kernel, plan, "b", "c", symbols));
    const int64_t a = value_of(place_of(kernel, plan, "a").offset, symbols),
                  b = value_of(place_of(kernel, plan, "b").offset, symbols);
    const int64_t total = value_of(plan.total_bytes, symbols);
    CHECK(a % 64 == 0);
    CHECK(b % 64 == 0);
    CHECK(std::abs(a - b) >= 4 * batch);
    CHECK(std::max(a, b) + 4 * batch <= total);
  }
  CHECK(plan.text(kernel).find("lower bound") != std::string::npos);
}

TEST_CASE("plan_memory: what a loop reads from outside lives through the loop, and what it leaves behind too") {
  Kernel kernel = parse_kernel(R"(kernel "run" {
    buffer "x": f32[batch] slot 0
    buffer "before": f32[batch]
    buffer "inside": f32[batch]
    buffer "later": f32[batch]
    buffer "behind": f32[batch]
    buffer "y": f32[batch] slot 1
    )" + store("before", "x") + "for t: 3 {\n" +
                               store("inside", "before") + store("later", "inside") + store("behind", "later") + "}\n" +
                               store("y", "behind") + "}");
  const MemoryPlan plan = plan_memory(kernel);
  for (int64_t batch : {1, 1000}) {
    const Symbols symbols = {{"batch", batch}};
    CHECK(!overlap(kernel, plan, "before", "behind", symbols));
    for (const char* name : {"inside", "later"}) {
      CHECK(!overlap(kernel, plan, name, "before", symbols));
      CHECK(!overlap(kernel, plan, name, "behind", symbols));
    }
  }
}

TEST_CASE("plan_memory: each worker of a parallel loop has a piece of memory of its own, in which its parts share") {
  Kernel kernel = parse_kernel(R"(kernel "run" {
    buffer "x": f32[64] slot 0
    buffer "a": f32[64*workers]
    buffer "b": f32[64*workers]
    buffer "c": f64[100*workers]
    buffer "shared": f32[256]
    buffer "y": f32[256] slot 1
    parallel p: 4 {
      for i: 64 {
        "a"[i + 64*worker] = load "x"[i]
      }
      for i: 64 {
        "b"[i + 64*worker] = load "a"[i + 64*worker]
      }
      for i: 64 {
        "c"[i + 100*worker] = convert_f64(load "b"[i + 64*worker])
      }
      for i: 64 {
        "shared"[i + 64*p] = convert_f32(load "c"[i + 100*worker])
      }
      for i: 64 {
        "y"[i + 64*p] = load "shared"[i + 64*p]
      }
    }
  })");
  const MemoryPlan plan = plan_memory(kernel);
  verify_kernel(kernel, "plan_memory");
  // a and c share; 832 is 800 in whole cache lines.
  CHECK(kernel_text(kernel).find("\"a\"[i + 272*worker]") != std::string::npos);
  CHECK(kernel_text(kernel).find("\"c\"[i + 136*worker]") != std::string::npos);
  for (int64_t workers : {1, 2, 5}) {
    const Symbols symbols = {{"workers", workers}};
    const int64_t piece = 832 + 256, total = value_of(plan.total_bytes, symbols);
    CHECK(total == workers * piece + 1024);
    const int64_t a = value_of(place_of(kernel, plan, "a").offset, symbols),
                  b = value_of(place_of(kernel, plan, "b").offset, symbols),
                  c = value_of(place_of(kernel, plan, "c").offset, symbols);
    CHECK(a == c);
    CHECK(std::abs(a - b) >= 256);
    // What workers share lives through the whole loop: one may be ahead of the other.
    const int64_t shared = value_of(place_of(kernel, plan, "shared").offset, symbols);
    CHECK((shared == 0 || shared == workers * piece));
    for (const BufferPlace& place : plan.places)
      CHECK(value_of(place.offset, symbols) + value_of(place.bytes, symbols) <= total);
  }
}

TEST_CASE("plan_memory: a size that is a minimum gets at least its bytes") {
  Kernel kernel = parse_kernel(R"(kernel "run" {
    buffer "x": f32[batch] slot 0
    buffer "a": f32[min(batch, 32)]
    buffer "y": f32[batch] slot 1
    for i: min(batch, 32) {
      "a"[i] = load "x"[i]
    }
    for i: min(batch, 32) {
      "y"[i] = load "a"[i]
    }
  })");
  const MemoryPlan plan = plan_memory(kernel);
  for (int64_t batch : {1, 20, 32, 100})
    CHECK(value_of(plan.total_bytes, {{"batch", batch}}) >= 4 * std::min<int64_t>(batch, 32));
}

TEST_CASE("plan_memory: whole models' arenas are no smaller than their lower bound and not much larger") {
  for (const WholeModel& whole : whole_models()) {
    CAPTURE(whole.name);
    Model model = whole.make();
    TrainingSpec training = training_of(whole);
    PipelineOptions options;
    options.training = &training;
    const Lowered lowered = run_pipeline(model, options);
    for (size_t k = 0; k < lowered.plans.size(); ++k) {
      const Symbols symbols = {{"batch", 128}, {"time", 16}, {"workers", 2}, {"worker", 0}};
      const int64_t total = value_of(lowered.plans[k].total_bytes, symbols),
                    least = value_of(lowered.plans[k].lower_bound_bytes, symbols);
      CHECK(total >= least);
      // Sizes that grow with different symbols are placed for all of them, which here leaves gaps at these: up to 61 %.
      const int64_t gaps = std::string_view(whole.name) == "transformer_decoder" ? least * 61 / 100 : least / 10;
      CHECK_MESSAGE(total <= least + gaps + 1024,
                    lowered.kernels.kernels[k].entry << ": " << total << " bytes, lower bound " << least);
    }
  }
}

TEST_CASE("plan_memory: training the benchmarks' workloads takes at most a tenth more than the lower bound") {
  const std::pair<const char*, int64_t> cases[] = {{"T1", 32}, {"T1", 256}, {"T2", 128}, {"T3", 32},
                                                   {"T3", 256}, {"T4", 64}, {"T5", 128}};
  for (const auto& [name, batch] : cases) {
    const std::string workload_name = name;
    CAPTURE(workload_name);
    CAPTURE(batch);
    const bench::Workload& workload = *bench::find_workload(workload_name);
    Model model = workload.model();
    PipelineOptions options;
    options.training = &workload.training;
    const Lowered lowered = run_pipeline(model, options);
    for (size_t k = 0; k < lowered.plans.size(); ++k) {
      for (int64_t workers : {1, 2}) {
        const Symbols symbols = {{"batch", batch}, {"workers", workers}, {"worker", 0}};
        const int64_t total = value_of(lowered.plans[k].total_bytes, symbols),
                      least = value_of(lowered.plans[k].lower_bound_bytes, symbols);
        CHECK_MESSAGE(total <= least + least / 10 + 1024, lowered.kernels.kernels[k].entry
                                                              << " with " << workers << " workers: " << total
                                                              << " bytes, lower bound " << least);
        if (workload_name == "T3" && batch == 256) CHECK(total <= 10'000'000);
      }
    }
  }
}
