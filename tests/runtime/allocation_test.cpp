#include <doctest/doctest.h>

#include "tests/runtime/small_program.h"
#include "tests/support/count_allocations.h"

using namespace moru;
using namespace moru::test;

namespace {

/// Allocations of ten epochs, each with a short last batch, after one that was not counted.
int64_t allocations_when_warm(int threads, size_t misalignment) {
  auto session = *Session::create(*load_small(), {.threads = threads});
  Floats x(ramp(32 * features), misalignment);
  Floats y_true(ramp(32 * outputs), misalignment);
  int64_t begin = 0;
  bool ok = true;
  for (int epoch = 0; epoch < 11; ++epoch) {
    if (epoch == 1) begin = allocations.load();
    for (int64_t batch : {32, 32, 32, 17}) {
      const int64_t x_shape[] = {batch, features};
      const int64_t y_shape[] = {batch, outputs};
      ok = ok && session->bind(slot_x, x.data(), x_shape).ok();
      ok = ok && session->bind(slot_y_true, y_true.data(), y_shape).ok();
      ok = ok && session->run(entry_train_step).ok();
    }
    ok = ok && session->run(entry_predict).ok();
    const float rate = 0.001F;
    ok = ok && session->assign(slot_learning_rate, &rate, sizeof(rate)).ok();
    ok = ok && session->view(slot_loss).data != nullptr;
  }
  int64_t count = allocations.load() - begin;
  REQUIRE(ok);
  return count;
}

}  // namespace

TEST_CASE("session: nothing is allocated after the first run with the largest size, short last batch included") {
  int64_t before = allocations.load();
  { std::vector<int> probe(10); }
  CHECK(allocations.load() > before);  // the counter counts

  CHECK(allocations_when_warm(1, 0) == 0);
  CHECK(allocations_when_warm(2, 0) == 0);
  CHECK(allocations_when_warm(1, 4) == 0);
}
