#include "tools/moru/kernel_profile.h"

#include <doctest/doctest.h>

#include <cmath>

#include "compiler/model/initializers.h"
#include "compiler/model/layers.h"
#include "runtime/aligned_buffer.h"
#include "tools/moru/native_program.h"

using namespace moru;

TEST_CASE("roofline: the bound is the longer of arithmetic and traffic, at the level that holds the working set") {
  Roofline roofline;
  roofline.gigaflops = 200;
  roofline.levels = {{"L1", 1000, 400}, {"L2", 10000, 100}, {"memory", 100000, 10}};
  Work work;
  work.lane_operations = 1e6;  // 10 us at 100 operations per ns
  work.bytes_read = work.bytes_written = 500;
  work.working_set = 1000;
  CHECK(attainable(roofline, work).by == "compute");
  CHECK(attainable(roofline, work).microseconds == doctest::Approx(10));
  work.bytes_read = 6e6;
  work.bytes_written = 2e6;
  CHECK(attainable(roofline, work).by == "L1");
  CHECK(attainable(roofline, work).microseconds == doctest::Approx(20));
  work.working_set = 1001;
  CHECK(attainable(roofline, work).by == "L2");
  CHECK(attainable(roofline, work).microseconds == doctest::Approx(80));
  work.working_set = 1e9;
  CHECK(attainable(roofline, work).by == "memory");
  CHECK(attainable(roofline, work).microseconds == doctest::Approx(800));
}

TEST_CASE("roofline: what is measured can be true") {
  const Roofline roofline = measure_roofline(Target::host());
  CHECK(roofline.gigaflops > 1);
  REQUIRE(roofline.levels.size() >= 3);
  CHECK(roofline.levels.front().name == "L1");
  CHECK(roofline.levels.back().name == "memory");
  for (const MemoryLevel& level : roofline.levels) {
    CHECK(level.gigabytes_per_second > 0.5);
    // A core does not read more than 256 bytes a cycle at 8 GHz: else the kernel does not read what it should.
    CHECK(level.gigabytes_per_second < 2048);
  }
  CHECK(roofline.levels.front().gigabytes_per_second > roofline.levels.back().gigabytes_per_second);
}

TEST_CASE("profile_kernels: a training step's kernels are named by layers, and together take what the step takes") {
  using namespace layers;
  Model model = sequential({input({64}, "x"), dense(256, {.activation = "relu"}), dense(1)}, "m");
  initialize_parameters(model, 1);
  TrainingSpec training{
      .optimizer = {"sgd", {}}, .losses = {{"mean_squared_error", {}}}, .loss_weights = {}, .metrics = {}};
  CompileOptions options;
  options.pipeline.training = &training;
  EmitOptions emit;
  emit.profile_workers = 1;
  CompiledModel compiled;
  const JitCode* code = nullptr;
  auto program = make_native_program(model, options, emit, {}, &compiled, &code);
  REQUIRE(program.ok());
  auto session = Session::create(*program);
  REQUIRE(session.ok());
  constexpr int64_t batch = 256;
  AlignedBuffer x, y;
  REQUIRE(x.reserve(batch * 64 * 4, "a test").ok());
  REQUIRE(y.reserve(batch * 4, "a test").ok());
  std::fill(x.data(), x.data() + x.capacity(), std::byte{0});
  std::fill(y.data(), y.data() + y.capacity(), std::byte{0});
  const int64_t x_shape[] = {batch, 64}, y_shape[] = {batch, 1};
  const ProgramOutput& output = (*program)->outputs()[0];
  REQUIRE((*session)->bind(*(*program)->find_slot("x"), x.data(), x_shape).ok());
  REQUIRE((*session)->bind(*output.target, y.data(), y_shape).ok());
  const uint32_t entry = *(*program)->find_entry("train_step");
  Roofline roofline;
  roofline.gigaflops = 100;
  roofline.levels = {{"memory", INT64_MAX, 10}};
  const KernelProfile profile = profile_kernels(
      compiled.lowered.kernels, "train_step", {{"batch", batch}, {"workers", 1}}, code->profile(),
      [&] { REQUIRE((*session)->run(entry).ok()); }, 0.2, roofline);
  REQUIRE(!profile.kernels.empty());
  double sum = 0, flops = 0;
  bool forward = false;
  for (size_t k = 0; k < profile.kernels.size(); ++k) {
    const KernelTime& kernel = profile.kernels[k];
    sum += kernel.microseconds;
    flops += kernel.work.flops;
    if (k > 0) CHECK(kernel.microseconds <= profile.kernels[k - 1].microseconds);
    CHECK(kernel.work.runs >= 1);
    CHECK(!kernel.what.empty());
    CHECK(!kernel.writes.empty());
    if (kernel.is_measurable) CHECK(kernel.roofline_percent() > 0);
    if (!kernel.is_measurable) CHECK(std::isnan(kernel.roofline_percent()));
    forward = forward || (kernel.origin.find("dense") != std::string::npos && kernel.work.flops > 2 * 64 * 256 * 32);
  }
  CHECK(forward);
  CHECK(sum == doctest::Approx(profile.kernels_us));
  // Forward and the gradient of the weights: 2 * 256 * (64 * 256) each.
  CHECK(flops > 2 * 2.0 * 256 * 64 * 256);
  CHECK(flops < 3 * 2.0 * 256 * 64 * 256);
  // Medians of parts against the median of the whole: far apart only if time is lost or counted twice.
  CHECK(profile.kernels_us < 1.5 * profile.step_us);
  CHECK(profile.kernels_us > 0.5 * profile.step_us);
  const std::string text = kernel_profile_text(profile, profile.step_us, 1);
  CHECK(text.find("dense") != std::string::npos);
  CHECK(text.find("us in all kernels") != std::string::npos);
}
