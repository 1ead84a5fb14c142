#include "compiler/passes/plan_memory.h"

#include <doctest/doctest.h>

#include "compiler/pipeline.h"
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
  CHECK(place_of(kernel, plan, "a").bin == place_of(kernel, plan, "c").bin);
  CHECK(place_of(kernel, plan, "a").bin != place_of(kernel, plan, "b").bin);
  for (int64_t batch : {1, 7, 16, 1000}) {
    const Symbols symbols = {{"batch", batch}};
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
  const size_t before = place_of(kernel, plan, "before").bin, behind = place_of(kernel, plan, "behind").bin;
  CHECK(before != behind);
  for (const char* name : {"inside", "later"}) {
    CHECK(place_of(kernel, plan, name).bin != before);
    CHECK(place_of(kernel, plan, name).bin != behind);
  }
}

TEST_CASE("plan_memory: in a parallel loop only buffers of equal size share, since workers are at different places") {
  auto text = [](const std::string& last) {
    return R"(kernel "run" {
      buffer "x": f32[64] slot 0
      buffer "a": f32[64*workers]
      buffer "b": f32[64*workers]
      buffer "c": f32[)" +
           last + R"(*workers]
      buffer "y": f32[256] slot 1
      parallel p: 4 {
        for i: 64 {
          "a"[i + 64*worker] = load "x"[i]
        }
        for i: 64 {
          "b"[i + 64*worker] = load "a"[i + 64*worker]
        }
        for i: 64 {
          "c"[i + )" +
           last + R"(*worker] = load "b"[i + 64*worker]
        }
        for i: 64 {
          "y"[i + 64*p] = load "c"[i + )" +
           last + R"(*worker]
        }
      }
    })";
  };
  std::string equal = text("64"), larger = text("128");
  Kernel kernel = parse_kernel(equal);
  MemoryPlan plan = plan_memory(kernel);
  CHECK(place_of(kernel, plan, "a").bin == place_of(kernel, plan, "c").bin);
  kernel = parse_kernel(larger);
  plan = plan_memory(kernel);
  CHECK(place_of(kernel, plan, "a").bin != place_of(kernel, plan, "c").bin);
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
      const Symbols symbols = {{"batch", 32}, {"time", 16}, {"workers", 2}, {"worker", 0}};
      const int64_t total = value_of(lowered.plans[k].total_bytes, symbols),
                    least = value_of(lowered.plans[k].lower_bound_bytes, symbols);
      CHECK(total >= least);
      CHECK_MESSAGE(total <= 2 * least + 4096,
                    lowered.kernels.kernels[k].entry << ": " << total << " bytes, lower bound " << least);
    }
  }
}
