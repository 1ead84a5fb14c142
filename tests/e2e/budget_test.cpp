// What compiling and training may cost: seconds of compilation, an epoch beside its bare steps, and allocations in a
// step. Times are asserted in optimised builds only, and always on the fastest of several tries: a busy machine makes
// things slower, never faster.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "compiler/codegen/emit.h"
#include "compiler/model/layers.h"
#include "runtime/aligned_buffer.h"
#include "runtime/training/fit.h"
#include "tests/e2e/workload_session.h"
#include "tests/support/clock.h"
#include "tests/support/count_allocations.h"

using namespace moru;
using namespace moru::test;

namespace {

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool times_count = true;
#else
constexpr bool times_count = false;
#endif

/// T3 with another number of time steps.
Model lstm_model(int64_t steps) {
  using namespace layers;
  return sequential({input({steps, 11}, "x"), lstm(64, {.return_sequences = true}),
                     lstm(32, {.return_sequences = true}), flatten(), dense(32, {.activation = "relu"}), dense(1)},
                    "t3");
}

/// From a model in memory to callable code, with nothing kept from before.
double compile_seconds(Model& model) {
  TrainingSpec training = bench::find_workload("T3")->training;
  CompileOptions options;
  options.pipeline.training = &training;
  const double begin = now();
  const CompiledModel compiled = compile(model, options);
  const std::unique_ptr<JitCode> code = jit_compile(compiled.lowered.kernels, compiled.target);
  const bool callable = code->find_entry("train_step") != nullptr;
  const double seconds = now() - begin;
  REQUIRE(callable);
  CHECK(!code->from_cache());
  return seconds;
}

/// The executable regions of this process: new code would add one.
size_t executable_regions() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find(" r-xp ") != std::string::npos;
  return count;
}

Dataset random_dataset(const Program& program, int64_t samples) {
  const std::vector<SavedTensor> tensors = random_batch(program, samples, 3);
  std::vector<Dataset::Array> inputs, targets;
  for (const SavedTensor& tensor : tensors) {
    const bool is_input = program.slots()[*program.find_slot(tensor.name)].kind == SlotKind::input;
    (is_input ? inputs : targets).push_back({is_input ? tensor.name : "", tensor.dtype, tensor.shape, tensor.bytes});
  }
  Result<Dataset> dataset = Dataset::from_arrays(inputs, targets);
  REQUIRE_MESSAGE(dataset.ok(), dataset.status().message());
  return *dataset;
}

}  // namespace

TEST_CASE("budget: an LSTM training program compiles in half a second, for 1000 time steps as for 24") {
  Model few = lstm_model(24), many = lstm_model(1000);
  initialize_parameters(few, 1);
  initialize_parameters(many, 1);
  double fastest_few = 1e9, fastest_many = 1e9;
  // Turn by turn, so that a busy moment meets both.
  for (int i = 0; i < 20; ++i) {
    fastest_few = std::min(fastest_few, compile_seconds(few));
    fastest_many = std::min(fastest_many, compile_seconds(many));
    if (i >= 2 && fastest_few < 0.4 && std::abs(fastest_many - fastest_few) < 0.05 * fastest_few) break;
  }
  std::printf("compile: %.3f s for 24 time steps, %.3f s for 1000\n", fastest_few, fastest_many);
  if (!times_count) return;
  CHECK(fastest_few <= 0.5);
  CHECK(std::abs(fastest_many - fastest_few) <= 0.1 * fastest_few + 0.015);
}

TEST_CASE("budget: an epoch of fit takes at most 1.3 times its steps alone") {
  WorkloadRun run("T1");
  run.training.metrics = {{{"mean_absolute_error", {}}}};
  const std::shared_ptr<const Program> program = run.native();
  constexpr int64_t batch = 32, steps = 400, samples = batch * (steps - 1) + 17;
  const Dataset data = random_dataset(*program, samples);

  // The steps of an epoch on batches that are bound already, the short last one included.
  const std::unique_ptr<Session> bare = open_session(program);
  const std::vector<SavedTensor> full = random_batch(*program, batch, 1), last = random_batch(*program, 17, 2);
  const uint32_t step = *program->find_entry("train_step");
  double steps_alone = 1e9, epoch = 1e9;
  const auto time_steps = [&] {
    for (int i = 0; i < 10; ++i) {
      bind_batch(*bare, full);
      const double begin = now();
      bool ok = true;
      for (int64_t s = 0; s < steps - 1; ++s) ok = bare->run(step).ok() && ok;
      double seconds = now() - begin;
      bind_batch(*bare, last);
      const double begin_last = now();
      ok = bare->run(step).ok() && ok;
      seconds += now() - begin_last;
      REQUIRE(ok);
      steps_alone = std::min(steps_alone, seconds);
    }
  };

  const std::unique_ptr<Session> session = open_session(program);
  const auto time_epochs = [&] {
    double before = 0;
    std::vector<Callback> callbacks;
    EarlyStoppingRecipe patient;
    patient.monitor = "loss";
    patient.patience = 1000;
    callbacks.push_back(early_stopping(patient));
    callbacks.push_back(stop_on_nan());
    Callback clock;
    clock.name = "clock";
    clock.on_epoch_end = [&](TrainingState&) {
      const double time = now();
      if (before > 0) epoch = std::min(epoch, time - before);
      before = time;
      return Status();
    };
    callbacks.push_back(clock);
    FitOptions options;
    options.epochs = 10;
    options.batch_size = batch;
    options.progress = ProgressStyle::quiet;
    const Result<FitResult> result = fit(*session, data, nullptr, options, callbacks);
    REQUIRE_MESSAGE(result.ok(), result.status().message());
    CHECK(result->steps == 10 * steps);
  };
  // Turn by turn, so that a busy moment meets both; on a busy machine it takes more turns until each has had a quiet one.
  for (int i = 0; i < 60; ++i) {
    time_steps();
    time_epochs();
    if (i >= 2 && epoch <= 1.2 * steps_alone) break;
  }
  std::printf("epoch: %.3f ms, its steps alone %.3f ms: %.3f times\n", epoch * 1e3, steps_alone * 1e3,
              epoch / steps_alone);
  if (!times_count) return;
  CHECK(epoch <= 1.3 * steps_alone);
}

TEST_CASE("budget: steps of a compiled LSTM allocate nothing and compile nothing, short last batch included") {
  WorkloadRun run("T3");
  const std::shared_ptr<const Program> program = run.native();
  const int64_t at_first = allocations.load();
  { std::vector<int> probe(10); }
  REQUIRE(allocations.load() > at_first);  // the counter counts

  const std::vector<SavedTensor> full = random_batch(*program, 32, 1), last = random_batch(*program, 17, 2);
  const std::vector<SavedTensor>* const steps[] = {&full, &full, &full, &last};
  const uint32_t step = *program->find_entry("train_step");
  // What is not aligned to 64 bytes is copied by the session.
  for (size_t misalignment : {0, 4}) {
    std::vector<AlignedBuffer> memory;
    std::vector<std::vector<const void*>> addresses;
    for (const std::vector<SavedTensor>* batch : {&full, &last}) {
      addresses.emplace_back();
      for (const SavedTensor& tensor : *batch) {
        memory.emplace_back();
        REQUIRE(memory.back().reserve(tensor.bytes.size() + misalignment, "samples").ok());
        std::memcpy(memory.back().data() + misalignment, tensor.bytes.data(), tensor.bytes.size());
        addresses.back().push_back(memory.back().data() + misalignment);
      }
    }
    for (int threads : {1, 2}) {
      CAPTURE(threads);
      CAPTURE(misalignment);
      const std::unique_ptr<Session> session = open_session(program, threads);
      bool ok = true;
      const auto run_batch = [&](const std::vector<SavedTensor>& batch) {
        const std::vector<const void*>& data = addresses[&batch == &last];
        for (size_t i = 0; i < batch.size(); ++i)
          ok = ok && session->bind(*program->find_slot(batch[i].name), data[i], batch[i].shape).ok();
        ok = ok && session->run(step).ok();
      };
      const size_t regions = executable_regions();
      run_batch(full);
      const int64_t before = allocations.load();
      for (int epoch = 0; epoch < 3; ++epoch)
        for (const std::vector<SavedTensor>* batch : steps) run_batch(*batch);
      const int64_t after = allocations.load();
      REQUIRE(ok);
      CHECK(after == before);
      CHECK(executable_regions() == regions);
    }
  }
}

TEST_CASE("budget: epochs of fit allocate nothing from step to step") {
  WorkloadRun run("T3");
  const std::shared_ptr<const Program> program = run.native();
  const Dataset data = random_dataset(*program, 32 * 3 + 9);
  const std::unique_ptr<Session> session = open_session(program);
  int64_t at_last_step = 0, allocated = 0, compared = 0;
  Callback counter;
  counter.name = "counter";
  counter.on_step_end = [&](TrainingState& state) {
    const int64_t count = allocations.load();
    if (state.step > 1 && state.batch > 1) {  // what an epoch's end does is not a step's
      allocated += count - at_last_step;
      ++compared;
    }
    at_last_step = count;
    return Status();
  };
  std::vector<Callback> callbacks = {counter};
  FitOptions options;
  options.epochs = 3;
  options.progress = ProgressStyle::quiet;
  const Result<FitResult> result = fit(*session, data, nullptr, options, callbacks);
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  CHECK(compared == 9);
  CHECK(allocated == 0);
}
