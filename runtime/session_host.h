// What a session takes from the application that it runs in, where that does not leave it to the session: memory, threads,
// and where messages go.
#pragma once

#include <cstdint>

#include "schema/kernel_abi.h"

namespace moru {

/// Where tensors lie. `allocate` returns `bytes` (a multiple of 64) at a multiple of `alignment`, or null where there is no
/// memory; `release` gets the same number of bytes back. Called by the thread that creates, runs or destroys the session,
/// and never by a run whose sizes are no larger than before.
struct Allocator {
  void* (*allocate)(void* context, uint64_t bytes, uint64_t alignment) = nullptr;  // null: the heap
  void (*release)(void* context, void* memory, uint64_t bytes) = nullptr;
  void* context = nullptr;
};

/// The application's threads. `run` calls body(body_context, chunk, worker) once for every chunk in [0, chunk_count), with
/// worker numbers below `workers` that no two calls have at the same time, and returns when all are done.
struct WorkerPool {
  void (*run)(void* pool, int64_t chunk_count, moru_chunk_body body, const void* body_context) = nullptr;  // null: own threads
  void* pool = nullptr;
  int workers = 1;
};

enum class LogLevel : int32_t { info = 0, warning = 1 };

/// Gets what a user may want to know: the session's sizes, memory that grows, inputs that are copied at every run. Called
/// by the thread that uses the session.
struct Logger {
  void (*write)(void* context, int32_t level, const char* message) = nullptr;  // null: nobody listens
  void* context = nullptr;
};

}  // namespace moru
