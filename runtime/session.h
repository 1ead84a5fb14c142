// A session runs one program's entries on its own parameters, state and arena. This header is the runtime's inner C++
// interface; applications use the C API in include/moru/moru.h.
//
// A session is used by one thread at a time; any number of sessions may share one Program. After the first run with the
// largest sizes, running allocates nothing, except once where an input that is not 64-byte aligned is bound for the first
// time: it is copied.
//
// Derived slots (packed or cast weights) are read by predict and evaluate only. Before such an entry, and any other but
// train_step and init, the session runs the entry `prepare` if parameters or state changed since it last did.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/program.h"
#include "runtime/session_host.h"
#include "runtime/status.h"
#include "runtime/tensor_view.h"
#include "runtime/thread_pool.h"

namespace moru {

class Session;

struct SessionOptions {
  int threads = 1;             // own pool of this size; ignored when `pool` or `workers.run` is given
  ThreadPool* pool = nullptr;  // not owned
  WorkerPool workers = {};
  Allocator allocator = {};
  Logger logger = {};
  /// Predict with another session's parameters: nothing may then be assigned to parameters or layer state, and
  /// train_step and init are refused. The other session must not train while this one runs; it may be destroyed first.
  const Session* share_parameters_of = nullptr;
};

class Session {
 public:
  /// Makes a session over `program` with its initial weights. Fails if the program has no native code for this machine.
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Program> program, SessionOptions options = {});
  ~Session();

  const Program& program() const;

  /// Binds caller memory to a slot of kind input, target or sample_weight. The memory must stay alive and, for
  /// inputs, unchanged until the run returns. Sizes are checked against the slot's shape when an entry runs; symbols
  /// (batch, time) take their values from the bound inputs. Addresses that are not 64-byte aligned are copied.
  Status bind(uint32_t slot, const void* data, std::span<const int64_t> shape);
  /// Binds caller memory of `bytes` (at least the output's size) to a slot of kind output; null gives it back to the
  /// session. Written in place if 64-byte aligned and a multiple of 64 bytes long, else copied to.
  Status bind_output(uint32_t slot, void* data, uint64_t bytes);

  /// Runs one entry. Errors name the slot and both shapes. Never throws.
  Status run(uint32_t entry);

  /// The contents of a slot after a run or, for parameters and state, at any time. Shape is that of the last run;
  /// `data` is null before the first. An output that the caller bound is seen where the caller bound it.
  TensorView view(uint32_t slot) const;
  /// Overwrites a parameter, state or control slot; derived slots are recomputed before the next run that reads them.
  Status assign(uint32_t slot, const void* data, uint64_t bytes);

  /// Bytes held: parameters and state, and the arena.
  uint64_t parameter_bytes() const;
  uint64_t arena_bytes() const;

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moru
