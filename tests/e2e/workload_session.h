// A workload as native code or an interpreted program, fed with made-up samples, for tests of whole training steps.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "compiler/model/initializers.h"
#include "runtime/checkpoint.h"
#include "runtime/session.h"
#include "tests/bench/workloads.h"
#include "tools/moru/native_program.h"

namespace moru::test {

struct WorkloadRun {
  const bench::Workload& workload;
  Model model;
  TrainingSpec training;
  CompileOptions options;

  explicit WorkloadRun(const std::string& name)
      : workload(*bench::find_workload(name)), model(workload.model()), training(workload.training) {
    initialize_parameters(model, 1);
    options.pipeline.training = &training;
  }
  WorkloadRun(const WorkloadRun&) = delete;
  WorkloadRun& operator=(const WorkloadRun&) = delete;

  std::shared_ptr<const Program> native(const EmitOptions& emit = {}, CompiledModel* compiled = nullptr) {
    Result<std::shared_ptr<const Program>> program = make_native_program(model, options, emit, {}, compiled);
    REQUIRE_MESSAGE(program.ok(), program.status().message());
    return *program;
  }
};

inline std::unique_ptr<Session> open_session(const std::shared_ptr<const Program>& program, int threads = 1) {
  Result<std::unique_ptr<Session>> session = Session::create(program, {.threads = threads});
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return *std::move(session);
}

/// One tensor for every input and target, of this batch size; a function of `seed`.
inline std::vector<SavedTensor> random_batch(const Program& program, int64_t batch, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<SavedTensor> tensors;
  for (const ProgramSlot& slot : program.slots()) {
    if (!is_bound_by_caller(slot.kind)) continue;
    SavedTensor tensor{slot.name, slot.dtype, {}, {}};
    int64_t count = 1;
    for (const DimExpression& dim : slot.shape) {
      tensor.shape.push_back(dim.evaluate(std::vector<int64_t>(program.symbols().size(), batch)).value_or(batch));
      count *= tensor.shape.back();
    }
    const auto put = [&](auto value) {
      const auto bytes = std::as_bytes(std::span(&value, 1));
      tensor.bytes.insert(tensor.bytes.end(), bytes.begin(), bytes.end());
    };
    for (int64_t i = 0; i < count; ++i) {
      if (slot.dtype == DType::f32) {
        put(normal(random));
      } else {
        put(static_cast<int32_t>(random() % (slot.index_limit > 0 ? static_cast<uint64_t>(slot.index_limit) : 3)));
      }
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

inline void bind_batch(Session& session, const std::vector<SavedTensor>& batch) {
  for (const SavedTensor& tensor : batch) {
    const Status status = session.bind(*session.program().find_slot(tensor.name), tensor.bytes.data(), tensor.shape);
    REQUIRE_MESSAGE(status.ok(), status.message());
  }
}

inline void run_entry(Session& session, const char* entry) {
  const Status status = session.run(*session.program().find_entry(entry));
  REQUIRE_MESSAGE(status.ok(), status.message());
}

/// Runs one training step per batch size.
inline void train_steps(Session& session, const std::vector<int64_t>& batches) {
  for (size_t step = 0; step < batches.size(); ++step) {
    const std::vector<SavedTensor> batch = random_batch(session.program(), batches[step], 100 + step);
    bind_batch(session, batch);
    run_entry(session, "train_step");
  }
}

/// Parameters and every kind of state: everything that a checkpoint would hold.
inline std::vector<SavedTensor> state_of(const Session& session) {
  Checkpoint checkpoint;
  capture_session(session, checkpoint);
  return std::move(checkpoint.slots);
}

/// The names of the tensors that differ in any bit, or that only one side has; "" where all are equal.
inline std::string differences(const std::vector<SavedTensor>& a, const std::vector<SavedTensor>& b) {
  if (a.size() != b.size()) return "another number of tensors";
  std::string names;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || a[i].dtype != b[i].dtype || a[i].shape != b[i].shape || a[i].bytes != b[i].bytes)
      names += (names.empty() ? "" : ", ") + a[i].name;
  return names;
}

}  // namespace moru::test
