#include "compiler/support/stage_times.h"

#include <doctest/doctest.h>

using namespace moru;

TEST_CASE("stage times: a stage that runs again is added to, in the order of the first runs") {
  StageTimes times;
  times.add("emit", 2, 2);
  times.add("link", 3, 3);
  times.add("emit", 5, 5);
  REQUIRE(times.list().size() == 2);
  CHECK(times.list()[0].name == "emit");
  CHECK(times.list()[0].microseconds == 7);
  CHECK(times.total_microseconds() == 10);
  bool ran = false;
  times.run("work", [&] { ran = true; });
  CHECK(ran);
  CHECK(times.list()[2].microseconds >= 0);
}

TEST_CASE("stage times: threads side by side share out what the clock says") {
  std::vector<StageTimes> threads(2);
  threads[0].add("emit", 10, 10);
  threads[0].add("codegen", 30, 30);
  threads[1].add("emit", 20, 20);
  threads[1].add("codegen", 20, 20);
  StageTimes times;
  times.add("outline", 1, 1);
  times.add_parallel(threads, 40);
  REQUIRE(times.list().size() == 3);
  CHECK(times.list()[1].microseconds == doctest::Approx(15));
  CHECK(times.list()[1].thread_microseconds == doctest::Approx(30));
  CHECK(times.list()[2].microseconds == doctest::Approx(25));
  CHECK(times.list()[2].thread_microseconds == doctest::Approx(50));
  CHECK(times.total_microseconds() == doctest::Approx(41));
  times.append(times);
  CHECK(times.total_microseconds() == doctest::Approx(82));
}
