#include "compiler/codegen/profile.h"

#include <doctest/doctest.h>

#include "tests/codegen/kernel_run.h"
#include "tests/codegen/random_kernels.h"

using namespace moru;
using namespace moru::test;

namespace {

KernelModule tiled_module() {
  KernelModule module;
  module.symbols = {"batch", "workers"};
  module.kernels = {parse_kernel(R"(kernel "step" {
    buffer "x": f32[8*batch]
    buffer "w": f32[64]
    buffer "y": f32[8*batch]
    buffer "s": f32[4]
    "s"[0] = 1
    "s"[1] = 2
    transpose (8, 8) from "x"[0] stride (8) to "w"[0] stride (8)
    parallel c: ceil(batch, 8) {
      for t: 3 {
        contract f32 rows (i: 8) columns (j: 8) depth (k: 8) a "x"[64*c + 8*i + k] b "w"[8*k + j] { "y"[64*c + 8*i + j] = acc }
        for r: 8 {
          vector i: 8 {
            "y"[64*c + 8*r + i] = (load "y"[64*c + 8*r + i] * 0.5)
          }
        }
      }
    }
    reduce add i: 8*batch into "s"[2] { load "y"[i] }
    "s"[3] = 3
  })")};
  return module;
}

}  // namespace

TEST_CASE("profile: what becomes one function is one region, and loops around several are entered") {
  const KernelModule module = tiled_module();
  const ProfilePlan plan = plan_profile(module);
  REQUIRE(plan.regions.size() == 6);
  CHECK(plan.regions[0].statements.size() == 2);  // two scalar stores
  CHECK(std::holds_alternative<Transpose>(plan.regions[1].statements[0].node));
  CHECK(std::holds_alternative<Contraction>(plan.regions[2].statements[0].node));
  REQUIRE(plan.regions[2].loops.size() == 2);
  CHECK(plan.regions[2].loops[0]->var == "c");
  CHECK(plan.regions[2].loops[1]->var == "t");
  CHECK(std::holds_alternative<For>(plan.regions[3].statements[0].node));
  CHECK(plan.regions[3].loops.size() == 2);
  CHECK(std::holds_alternative<Reduce>(plan.regions[4].statements[0].node));
  CHECK(plan.regions[5].statements.size() == 1);
}

TEST_CASE("profile: a profiled build gives the same bits and counts every run of every region") {
  const KernelModule module = tiled_module();
  EmitOptions options;
  options.profile_workers = 3;
  const auto code = jit_compile(module, Target::host(), options);
  const ProfileTable table = code->profile();
  REQUIRE(table.regions == 6);
  REQUIRE(table.workers == 3);
  const auto sum = [&](size_t region) {
    ProfileCell all;
    for (size_t worker = 0; worker < 3; ++worker) {
      all.ticks += table.cell(worker, region).ticks;
      all.runs += table.cell(worker, region).runs;
    }
    return all;
  };
  const Expectation expectation(module, module.kernels[0], {{"batch", 40}, {"workers", 3}}, 1);
  CHECK(expectation.compare(*code) == "");
  const uint64_t runs[] = {1, 1, 15, 15, 1, 1, 1};
  for (size_t region = 0; region < 7; ++region) {
    CAPTURE(region);
    CHECK(sum(region).runs == runs[region]);
  }
  CHECK(sum(2).ticks > 0);
  const uint64_t started = *table.started;
  CHECK(started > 0);
  CHECK(expectation.compare(*code) == "");
  for (size_t region = 0; region < 7; ++region) CHECK(sum(region).runs == 2 * runs[region]);
  CHECK(*table.started > started);
}

TEST_CASE("profile: more work takes more ticks") {
  const KernelModule module{{"n", "workers"},
                            {parse_kernel(R"(kernel "step" {
    buffer "x": f32[4096]
    buffer "y": f32[4096]
    for r: 8 {
      vector i: 4096 {
        "y"[i] = sqrt((load "x"[i] / 3))
      }
    }
    for r: 800 {
      vector i: 4096 {
        "y"[i] = sqrt((load "x"[i] / 3))
      }
    }
  })")},
                            0};
  EmitOptions options;
  options.profile_workers = 1;
  const auto code = jit_compile(module, Target::host(), options);
  const Expectation expectation(module, module.kernels[0], {{"n", 1}, {"workers", 1}}, 1);
  CHECK(expectation.compare(*code) == "");
  const ProfileTable table = code->profile();
  CHECK(table.cell(0, 1).ticks > 5 * table.cell(0, 0).ticks);
}

TEST_CASE("profile: random kernels keep their bits") {
  Random random(11);
  KernelModule module;
  module.symbols = {"n", "batch", "time", "workers"};
  for (int i = 0; i < 16; ++i)
    module.kernels.push_back(KernelMaker("entry_" + std::to_string(i), random.bits(), false).make());
  EmitOptions options;
  options.profile_workers = 2;  // fewer than run: the rest count as the last one
  const auto code = jit_compile(module, Target::host(), options);
  for (const Kernel& kernel : module.kernels) {
    const Expectation expectation(module, kernel, KernelMaker::random_symbols(random), 11);
    const std::string different = expectation.compare(*code);
    CHECK_MESSAGE(different.empty(), different << "\n" << expectation.text());
  }
}

TEST_CASE("profile: without it code reads no counter, with it every target has one") {
  const KernelModule module = tiled_module();
  EmitOptions options;
  CHECK(emit_assembly(module, Target::parse("x86-64-v3"), options).find("rdtsc") == std::string::npos);
  options.profile_workers = 1;
  CHECK(emit_assembly(module, Target::parse("x86-64-v3"), options).find("rdtsc") != std::string::npos);
  CHECK(emit_assembly(module, Target::parse("aarch64"), options).find("CNTVCT_EL0") != std::string::npos);
}
