// A fixed set of threads for parallel loops. Chunks are divided into contiguous ranges, one a worker, in an order that
// depends on nothing but the counts; what runs where is therefore the same every time.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/status.h"
#include "schema/kernel_abi.h"

namespace moru {

class ThreadPool {
 public:
  static constexpr int most_threads = 1024;
  /// A pool of `threads` workers, the calling thread among them: threads - 1 are started. 1 <= threads <= most_threads.
  static Result<std::unique_ptr<ThreadPool>> create(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  /// Runs body(context, chunk, worker) once for every chunk in [0, chunk_count); worker 0 is the caller. Allocates
  /// nothing. Calls from several threads take turns; a body must not call it.
  void parallel_for(int64_t chunk_count, moru_chunk_body body, const void* context);

  /// The same for moru_kernel_call: `pool` is a ThreadPool*.
  static void parallel_for_callback(void* pool, int64_t chunk_count, moru_chunk_body body, const void* context);

 private:
  struct Impl;
  explicit ThreadPool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moru
