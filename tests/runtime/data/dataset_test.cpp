#include "runtime/data/dataset.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

using namespace moru;

namespace {
std::atomic<int64_t> allocations{0};
}

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

template <typename T>
Dataset::Array array(const char* name, DType dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  return {name, dtype, std::move(shape), std::as_bytes(std::span(values))};
}

}  // namespace

TEST_CASE("dataset: arrays in memory become samples, gathered in any order without an allocation") {
  const std::vector<float> x = {0, 1, 10, 11, 20, 21};
  const std::vector<int64_t> y = {100, 101, 102};
  const std::vector<float> w = {1, 2, 3};
  const Dataset::Array inputs[] = {array("x", DType::f32, {3, 2}, x)};
  const Dataset::Array targets[] = {array("y", DType::i64, {3}, y)};
  const Result<Dataset> data = Dataset::from_arrays(inputs, targets, w);
  REQUIRE(data.ok());
  CHECK(data->size() == 3);
  CHECK(data->inputs()[0].sample_shape == std::vector<int64_t>{2});
  CHECK(data->targets()[0].sample_shape.empty());
  CHECK(data->find_input("") == 0);
  float xs[4], ws[2];
  int64_t ys[2];
  void* input_addresses[] = {xs};
  void* target_addresses[] = {ys};
  const int64_t order[] = {2, 0};
  const int64_t before = allocations;
  data->gather(order, input_addresses, target_addresses, ws);
  CHECK(allocations == before);
  CHECK(xs[0] == 20);
  CHECK(xs[3] == 1);
  CHECK(ys[0] == 102);
  CHECK(ws[0] == 3);
  CHECK(ws[1] == 1);
  const Dataset tail = data->slice(1, 2);
  CHECK(tail.size() == 2);
  tail.gather_range(0, 1, input_addresses, {});
  CHECK(xs[0] == 10);
  CHECK(tail.fingerprint() != data->fingerprint());
  CHECK(Dataset::from_arrays(inputs, targets, w)->fingerprint() == data->fingerprint());
  CHECK(data->target_label(2) == "2");
}

TEST_CASE("dataset: arrays that disagree are refused") {
  const std::vector<float> x(6), w(2);
  const std::vector<int64_t> y(2);
  const Dataset::Array inputs[] = {array("x", DType::f32, {3, 2}, x)};
  const Dataset::Array targets[] = {array("y", DType::i64, {2}, y)};
  CHECK(Dataset::from_arrays(inputs, targets).status().message() ==
        "array 'y' has 2 samples and the first array has 3\n  hint: all arrays of a data set need the same first axis");
  CHECK(Dataset::from_arrays(inputs, {}, w).status().message() == "sample weights: 2 for 3 samples");
  const Dataset::Array wrong[] = {array("x", DType::f32, {4, 2}, x)};
  CHECK(Dataset::from_arrays(wrong, {}).status().message() == "array 'x': 24 bytes do not fill its shape");
  const Dataset::Array huge[] = {array("x", DType::f32, {int64_t{1} << 40, int64_t{1} << 40}, x)};
  CHECK(Dataset::from_arrays(huge, {}).status().message() == "array 'x': impossible shape");
}

TEST_CASE("dataset: a sample that would read outside its rows is refused") {
  for (const int64_t anchor :
       {int64_t{-1}, int64_t{1}, int64_t{9}, int64_t{10}, std::numeric_limits<int64_t>::max() - 5}) {
    Dataset::Parts parts;
    DatasetArray window;
    window.name = "x";
    window.sample_shape = {3, 1};
    window.first_row = -2;
    window.row_bytes = 4;
    window.sample_bytes = 12;
    window.base = std::make_shared<const RowBytes>(std::vector<std::byte>(40));
    parts.inputs = {window};
    parts.anchors = {5, anchor};
    parts.row_count = 10;
    const Result<Dataset> made = Dataset::make(std::move(parts));
    CHECK(made.ok() == (anchor == 9));
  }
}
