// The same bits of everything that training changes: from run to run, at any number of threads, from the JIT, from a
// shared object and from interpreted kernels, at every vector width. Short last batches are among the steps.
#include <doctest/doctest.h>

#include <algorithm>

#include "compiler/codegen/link.h"
#include "tests/e2e/workload_session.h"
#include "tests/runtime/temporary_directory.h"
#include "tools/moru/interpreted_program.h"

using namespace moru;
using namespace moru::test;

namespace {

// Several tiles of the batch; the last one is a tile cut short. Then small batches, which one tile holds.
const std::vector<int64_t> sizes = {256, 256, 77, 32, 5, 1};

std::vector<SavedTensor> state_after(const std::shared_ptr<const Program>& program, int threads,
                                     const std::vector<int64_t>& batches = sizes) {
  const std::unique_ptr<Session> session = open_session(program, threads);
  train_steps(*session, batches);
  return state_of(*session);
}

bool has_trained(const std::vector<SavedTensor>& before, const std::vector<SavedTensor>& after) {
  const std::string changed = differences(before, after);
  return changed.find("kernel") != std::string::npos;
}

/// Writes the compiled program as a shared object and opens it.
std::shared_ptr<const Program> ahead_of_time(const WorkloadRun& run, const CompiledModel& compiled,
                                             const std::string& path) {
  const ObjectCode code = emit_objects(compiled.lowered.kernels, compiled.target);
  const Result<std::vector<std::byte>> file = make_moru_file(run.model, compiled);
  REQUIRE(file.ok());
  write_shared_object(path, code, {reinterpret_cast<const uint8_t*>(file->data()), file->size()}, compiled.hash);
  Result<std::shared_ptr<const Program>> program = Program::open_shared_object(path);
  REQUIRE_MESSAGE(program.ok(), program.status().message());
  return *program;
}

/// Feeds both the same batches and compares all that a checkpoint holds. An interpreted program keeps the size of the
/// batch that it saw first, so each size is a run of its own.
void check_interpreted(const std::string& name, int64_t batch, size_t steps) {
  CAPTURE(name);
  CAPTURE(batch);
  WorkloadRun run(name);
  CompiledModel compiled;
  const std::shared_ptr<const Program> program = run.native({}, &compiled);
  const std::unique_ptr<Session> session = open_session(program);
  const std::vector<SavedTensor> before = state_of(*session);
  cli::InterpretedProgram interpreted(compiled.lowered, run.model);
  for (size_t step = 0; step < steps; ++step) {
    const std::vector<SavedTensor> samples = random_batch(*program, batch, 100 + step);
    for (const SavedTensor& tensor : samples) interpreted.set(tensor);
    interpreted.run("train_step");
  }
  train_steps(*session, std::vector<int64_t>(steps, batch));
  const std::vector<SavedTensor> native = state_of(*session);
  CHECK(has_trained(before, native));
  size_t compared = 0;
  for (const SavedTensor& tensor : native) {
    if (tensor.name.find("kernel") == std::string::npos && tensor.name.find("bias") == std::string::npos) continue;
    CHECK_MESSAGE(interpreted.get(tensor.name).bytes == tensor.bytes, tensor.name);
    ++compared;
  }
  CHECK(compared >= 6);  // kernels and biases, and the optimizer's moments of them
}

}  // namespace

TEST_CASE("bits: two runs, one and two threads, JIT and shared object train to the same bits") {
  for (const char* name : {"T1", "T3", "T5"}) {
    CAPTURE(name);
    WorkloadRun run(name);
    CompiledModel compiled;
    const std::shared_ptr<const Program> jit = run.native({}, &compiled);
    const std::vector<SavedTensor> once = state_after(jit, 1);
    CHECK(has_trained(state_of(*open_session(jit)), once));
    CHECK(differences(state_after(jit, 1), once) == "");
    CHECK(differences(state_after(jit, 2), once) == "");
    CHECK(differences(state_after(jit, 3), once) == "");

    WorkloadRun again(name);  // compiled a second time, from the model on
    CHECK(differences(state_after(again.native(), 1), once) == "");

    const TemporaryDirectory directory;
    const std::shared_ptr<const Program> shared = ahead_of_time(run, compiled, directory / "model.so");
    CHECK(shared->hash() == jit->hash());
    CHECK(differences(state_after(shared, 1), once) == "");
    CHECK(differences(state_after(shared, 2), once) == "");

    // The comparison can fail: one step with other samples is another state.
    std::vector<int64_t> other = sizes;
    other.back() = 2;
    CHECK(differences(state_after(jit, 1, other), once) != "");
  }
}

TEST_CASE("bits: every vector width trains to the same bits") {
  for (const char* name : {"T1", "T3", "T5"}) {
    CAPTURE(name);
    std::vector<SavedTensor> first;
    for (int bytes : {16, 32, 64}) {
      CAPTURE(bytes);
      WorkloadRun run(name);
      EmitOptions emit;
      emit.vector_bytes = bytes;
      const std::vector<SavedTensor> state = state_after(run.native(emit), 1, {64, 19, 1});
      if (first.empty()) first = state;
      CHECK(differences(state, first) == "");
    }
  }
}

TEST_CASE("bits: interpreted kernels train to the bits of native code") {
  check_interpreted("T1", 32, 3);
  check_interpreted("T1", 7, 3);
  check_interpreted("T4", 5, 2);
}
