#include "runtime/thread_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

using moru::ThreadPool;

namespace {

struct Record {
  std::vector<int64_t>* worker_of;
};

void note_worker(const void* context, int64_t chunk, int64_t worker) {
  (*static_cast<const Record*>(context)->worker_of)[static_cast<size_t>(chunk)] += worker + 1;
}

std::vector<int64_t> workers_of(ThreadPool& pool, int64_t chunks) {
  std::vector<int64_t> worker_of(static_cast<size_t>(chunks), 0);
  Record record{&worker_of};
  pool.parallel_for(chunks, note_worker, &record);
  return worker_of;
}

}  // namespace

TEST_CASE("thread pool: every chunk runs once, in contiguous ranges of equal length") {
  for (int threads : {1, 2, 3, 8}) {
    auto pool = *ThreadPool::create(threads);
    CHECK(pool->size() == threads);
    for (int64_t chunks : {0, 1, 2, 3, 7, 8, 64, 1000}) {
      CAPTURE(threads);
      CAPTURE(chunks);
      std::vector<int64_t> worker_of = workers_of(*pool, chunks);
      CHECK(std::is_sorted(worker_of.begin(), worker_of.end()));
      if (chunks < 2) continue;
      int64_t most = (chunks + threads - 1) / threads;
      for (int64_t worker = 1; worker <= threads; ++worker) {
        int64_t count = std::count(worker_of.begin(), worker_of.end(), worker);
        CHECK(count <= most);
        CHECK(count >= most - 1);
      }
      CHECK(worker_of == workers_of(*pool, chunks));
    }
  }
}

TEST_CASE("thread pool: the results of one loop are seen by the next, thousands of times over") {
  auto pool = *ThreadPool::create(3);
  std::vector<int64_t> values(64, 0);
  auto add_neighbour = [](const void* context, int64_t chunk, int64_t) {
    auto& data = **static_cast<std::vector<int64_t>* const*>(context);
    size_t i = static_cast<size_t>(chunk);
    data[32 + i] = data[31 - i] + 1;
  };
  auto copy_back = [](const void* context, int64_t chunk, int64_t) {
    auto& data = **static_cast<std::vector<int64_t>* const*>(context);
    size_t i = static_cast<size_t>(chunk);
    data[31 - i] = data[32 + i];
  };
  std::vector<int64_t>* pointer = &values;
  for (int round = 0; round < 3000; ++round) {
    pool->parallel_for(32, add_neighbour, &pointer);
    ThreadPool::parallel_for_callback(pool.get(), 32, copy_back, &pointer);
    // Long enough for the workers to park.
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(std::all_of(values.begin(), values.end(), [](int64_t value) { return value == 3000; }));
}

TEST_CASE("thread pool: two threads may use one pool; their loops take turns") {
  auto pool = *ThreadPool::create(2);
  std::vector<std::vector<int64_t>> sums(2, std::vector<int64_t>(100, 0));
  auto use = [&](size_t index) {
    Record record{&sums[index]};
    for (int round = 0; round < 300; ++round) pool->parallel_for(100, note_worker, &record);
  };
  std::thread other(use, 1);
  use(0);
  other.join();
  CHECK(sums[0] == sums[1]);
  CHECK(sums[0].front() == 300);
  CHECK(sums[0].back() == 600);
}

TEST_CASE("thread pool: sizes that make no sense are refused") {
  for (int threads : {0, -1, 1025}) {
    auto pool = ThreadPool::create(threads);
    REQUIRE(!pool.ok());
    CHECK(pool.status().message().find("1 to 1024 threads, not " + std::to_string(threads)) != std::string::npos);
  }
}
