#include "runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace moru {
namespace {

// Some 0.3 ms: bridges the gap between two parallel loops of a training step, and the wait for a thread whose share takes
// longer, where waking up would take a tenth of a small step; leaves the processor to others when nothing is running.
constexpr int spin_rounds = 32000;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

// Workers wait for `generation` to change: first spinning, then parked on a condition variable. Who is about to park
// announces it in `parked` and looks at `generation` once more; who changes `generation` looks at `parked` afterwards.
// Both use sequentially consistent order, so at least one of them sees the other. The join works the same way around
// `pending` and `caller_parked`.
struct ThreadPool::Impl {
  explicit Impl(int thread_count)
      : threads(thread_count),
        spin(static_cast<unsigned>(thread_count) <= std::thread::hardware_concurrency() ? spin_rounds : 0) {}

  ~Impl() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      generation.fetch_add(1);
      work_ready.notify_all();
    }
    for (std::thread& thread : workers) thread.join();
  }

  void run_range(int64_t worker) const {
    int64_t share = chunk_count / threads;
    int64_t rest = chunk_count % threads;
    int64_t begin = share * worker + std::min(worker, rest);
    int64_t end = begin + share + (worker < rest ? 1 : 0);
    for (int64_t chunk = begin; chunk < end; ++chunk) body(context, chunk, worker);
  }

  void work(int64_t worker) {
    uint64_t seen = 0;
    for (;;) {
      for (int round = 0; round < spin && generation.load(std::memory_order_acquire) == seen; ++round) pause();
      if (generation.load() == seen) {
        std::unique_lock lock(mutex);
        parked.fetch_add(1);
        work_ready.wait(lock, [&] { return generation.load() != seen; });
        parked.fetch_sub(1);
      }
      ++seen;
      if (stopping.load()) return;
      run_range(worker);
      if (pending.fetch_sub(1) == 1 && caller_parked.load()) {
        std::lock_guard lock(mutex);
        work_done.notify_one();
      }
    }
  }

  void run(int64_t count, moru_chunk_body function, const void* function_context) {
    std::lock_guard turn(one_loop_at_a_time);
    chunk_count = count;
    body = function;
    context = function_context;
    pending.store(threads - 1);
    generation.fetch_add(1);
    if (parked.load() != 0) {
      std::lock_guard lock(mutex);
      work_ready.notify_all();
    }
    run_range(0);
    for (int round = 0; round < spin && pending.load(std::memory_order_acquire) != 0; ++round) pause();
    if (pending.load() != 0) {
      std::unique_lock lock(mutex);
      caller_parked.store(true);
      work_done.wait(lock, [&] { return pending.load() == 0; });
      caller_parked.store(false);
    }
  }

  const int threads;
  const int spin;
  std::mutex one_loop_at_a_time;

  // The loop that runs; written before `generation` is raised, read after.
  int64_t chunk_count = 0;
  moru_chunk_body body = nullptr;
  const void* context = nullptr;

  alignas(64) std::atomic<uint64_t> generation{0};
  alignas(64) std::atomic<int> pending{0};
  alignas(64) std::atomic<int> parked{0};
  std::atomic<bool> caller_parked{false};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable work_done;
  std::vector<std::thread> workers;
};

ThreadPool::ThreadPool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ThreadPool::~ThreadPool() = default;

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(int threads) {
  if (threads < 1 || threads > most_threads) {
    return Status(StatusCode::invalid_argument, "a thread pool has 1 to " + std::to_string(most_threads) + " threads, not " +
                                                    std::to_string(threads));
  }
  auto impl = std::make_unique<Impl>(threads);
  impl->workers.reserve(static_cast<size_t>(threads - 1));
  for (int worker = 1; worker < threads; ++worker) {
    try {
      impl->workers.emplace_back([pool = impl.get(), worker] { pool->work(worker); });
    } catch (const std::system_error& error) {
      return Status(StatusCode::thread_error, "cannot start thread " + std::to_string(worker + 1) + " of " +
                                                  std::to_string(threads) + ": " + error.what());
    }
  }
  return std::unique_ptr<ThreadPool>(new ThreadPool(std::move(impl)));
}

int ThreadPool::size() const { return impl_->threads; }

void ThreadPool::parallel_for(int64_t chunk_count, moru_chunk_body body, const void* context) {
  if (chunk_count <= 0) return;
  if (chunk_count == 1 || impl_->threads == 1) {
    for (int64_t chunk = 0; chunk < chunk_count; ++chunk) body(context, chunk, 0);
    return;
  }
  impl_->run(chunk_count, body, context);
}

void ThreadPool::parallel_for_callback(void* pool, int64_t chunk_count, moru_chunk_body body, const void* context) {
  static_cast<ThreadPool*>(pool)->parallel_for(chunk_count, body, context);
}

}  // namespace moru
