#include "runtime/data/gaps.h"

#include <doctest/doctest.h>

using namespace moru;

namespace {

constexpr int64_t hour = 3600, day = 24 * hour;

std::vector<int64_t> hours(int64_t count, int64_t gap_behind = -1, int64_t missing = 0) {
  std::vector<int64_t> seconds;
  for (int64_t row = 0; row < count; ++row) seconds.push_back((row + (gap_behind >= 0 && row > gap_behind ? missing : 0)) * hour);
  return seconds;
}

std::string said(std::vector<int64_t> seconds, int64_t fitted = -1, bool windowed = true) {
  Recipe recipe;
  recipe.data.windowed = windowed;
  if (fitted >= 0) recipe.fitted.emplace().row_seconds = fitted;
  const RowTimes times{std::move(seconds)};
  return describe_gaps(recipe, &times);
}

}  // namespace

TEST_CASE("gaps: a step is usual where nearly all rows keep it") {
  CHECK(usual_step(hours(2)) == hour);
  CHECK(usual_step(hours(24, 10, 5)) == hour);
  CHECK(usual_step(hours(10, 5, 5)) == 0);
  CHECK(usual_step({}) == 0);
  CHECK(usual_step(std::vector<int64_t>{7}) == 0);
  CHECK(usual_step(std::vector<int64_t>(40, 7)) == 0);
  std::vector<int64_t> trading;
  for (int64_t week = 0; week < 20; ++week)
    for (int64_t weekday = 0; weekday < 5; ++weekday) trading.push_back((week * 7 + weekday) * day);
  CHECK(usual_step(trading) == 0);
}

TEST_CASE("gaps: what is missing is said once, with how much and where") {
  CHECK(said(hours(100)).empty());
  CHECK(said(hours(100, 27, 31)) == "rows are missing for 31 hours behind 1970-01-02 03:00:00: windows run over the gap");
  CHECK(said(hours(100, 27, 1)) == "rows are missing for 1 hour behind 1970-01-02 03:00:00: windows run over the gap");
  std::vector<int64_t> twice = hours(100, 27, 31);
  for (size_t row = 50; row < twice.size(); ++row) twice[row] += 2 * hour;
  CHECK(said(twice) == "rows are missing in 2 places, first for 31 hours behind 1970-01-02 03:00:00: windows run over the gaps");
  CHECK(said(hours(100, 27, 31), -1, false).empty());
  Recipe recipe;
  recipe.data.windowed = true;
  CHECK(describe_gaps(recipe, nullptr).empty());
}

TEST_CASE("gaps: a few new rows are held against the step of the training") {
  CHECK(said(hours(6, 3, 2)).empty());
  CHECK(said(hours(6, 3, 2), hour) == "rows are missing for 2 hours behind 1970-01-01 03:00:00: windows run over the gap");
  CHECK(said(hours(6), hour).empty());
  CHECK(said(hours(6), day) == "rows are 1 hour apart, but those of the training were 1 day apart");
}
