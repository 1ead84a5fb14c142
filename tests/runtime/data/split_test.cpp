#include "runtime/data/split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/data/dataset.h"
#include "runtime/data/scale.h"
#include "runtime/data/time_text.h"

using namespace moru;

TEST_CASE("split: boundaries are whole parts of the rows, and fractions that sum to one leave none over") {
  SplitRecipe split;
  split.train = 0.7;
  split.validation = 0.15;
  split.test = 0.15;
  const Boundaries bounds = split_boundaries(8760, split);
  CHECK(bounds.train_end == 6132);
  CHECK(bounds.validation_end == 7446);
  CHECK(bounds.test_end == 8760);
  CHECK(bounds.train_begin == 0);
  SplitRecipe sliding = split;
  sliding.skip = 0.2;
  sliding.train = 0.5;
  CHECK(split_boundaries(100, sliding).train_begin == 20);
  CHECK(split_boundaries(100, sliding).train_end == 70);
  CHECK(split_boundaries(7, split).train_end == 4);
  CHECK(split_boundaries(7, split).test_end == 7);
  split.test = 0;
  CHECK(split_boundaries(100, split).test_end == 85);
}

TEST_CASE("split: a random split is a function of its seed and takes every kept row once") {
  SplitRecipe split;
  split.kind = SplitKind::random;
  split.train = 0.6;
  split.validation = 0.2;
  split.test = 0.2;
  split.seed = 5;
  std::vector<uint8_t> keep(100, 1);
  keep[3] = 0;
  const std::vector<Part> parts = split_rows(keep, split);
  CHECK(parts == split_rows(keep, split));
  CHECK(std::count(parts.begin(), parts.end(), Part::train) == 59);
  CHECK(std::count(parts.begin(), parts.end(), Part::validation) == 20);
  CHECK(std::count(parts.begin(), parts.end(), Part::test) == 20);
  CHECK(parts[3] == Part::none);
  CHECK_FALSE(std::is_sorted(parts.begin() + 4, parts.end()));
  split.seed = 6;
  CHECK(parts != split_rows(keep, split));
}

TEST_CASE("split: no target crosses a boundary and inputs may, exactly as the nested loops of the reference script") {
  for (const int64_t length : {1, 4, 24}) {
    for (const int64_t horizon : {0, 1, 2, 7}) {
      for (const int64_t stride : {1, 3}) {
        const int64_t count = 100;
        SplitRecipe split;
        split.train = 0.7;
        split.validation = 0.15;
        split.test = 0.15;
        const std::vector<uint8_t> keep(static_cast<std::size_t>(count), 1);
        const std::vector<Part> parts = split_rows(keep, split);
        const int64_t ends[4] = {0, 70, 85, 100};
        for (int p = 0; p < 3; ++p) {
          std::vector<int64_t> expected;
          for (int64_t i = std::max(ends[p], length - 1); i < ends[p + 1]; i += stride) {
            if (i + horizon >= ends[p + 1]) break;
            expected.push_back(i);
          }
          CHECK(find_anchors(parts, static_cast<Part>(p + 1), keep, {length, horizon, stride}) == expected);
        }
      }
    }
  }
}

TEST_CASE("split: a window holds together only where every row is good") {
  const std::vector<uint8_t> good = {1, 1, 0, 1, 1, 1, 1};
  CHECK(find_whole_windows(good, 3) == std::vector<uint8_t>{0, 0, 0, 0, 0, 1, 1});
  CHECK(find_whole_windows(good, 1) == good);
}

TEST_CASE("split: Keras' validation split is evaluated in double") {
  CHECK(training_samples(30, 0.9) == 2);  // 30 * (1 - 0.9) is 2.9999999999999996
  CHECK(training_samples(37, 0.2) == 29);
  CHECK(training_samples(10, 0.5) == 5);
}

static ScalerNumbers scaler_of(ScalerKind kind, const std::vector<double>& values) {
  return fit_scalers({&kind, 1}, [&](const auto& use) {
    for (const double value : values) use(0, value);
  })[0];
}

TEST_CASE("scale: statistics are those worked out by hand") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> values = {2, 4, 4, 4, nan, 5, 5, 7, 9};
  const ScalerNumbers standard = scaler_of(ScalerKind::standard, values);
  CHECK(standard.mean == 5);
  CHECK(standard.variance == 4);
  const ScalerNumbers minmax = scaler_of(ScalerKind::minmax, values);
  CHECK(minmax.mean == 2);
  CHECK(minmax.variance == 49);
  CHECK(scaler_of(ScalerKind::none, values).variance == 1);
  const std::vector<double> constant(1000, 0.1);
  for (const ScalerKind kind : {ScalerKind::standard, ScalerKind::minmax}) {
    CHECK(scaler_of(kind, constant).mean == 0.1);
    CHECK(scaler_of(kind, constant).variance == 1);
  }
  CHECK(scaler_of(ScalerKind::standard, {}).variance == 1);
  CHECK(median(values) == 4.5);
  CHECK(median(std::vector<double>{3, 1, 2}) == 2);
}

TEST_CASE("time: dates in the ways people write them, and only dates that exist") {
  CHECK(parse_time("1970-01-01", "%Y-%m-%d") == 0);
  CHECK(parse_time("01/12/2017", "%d/%m/%Y") == 1512086400);
  CHECK(parse_time("2017-12-01T05:06:07", "%Y-%m-%dT%H:%M:%S") == 1512086400 + 5 * 3600 + 6 * 60 + 7);
  CHECK(parse_time("29-Feb-2024", "%d-%b-%Y") == 1709164800);
  CHECK_FALSE(parse_time("29/02/2023", "%d/%m/%Y").has_value());
  CHECK_FALSE(parse_time("2017-12-01 ", "%Y-%m-%d").has_value());
  CHECK_FALSE(parse_time("2017-12-01 24:00", "%Y-%m-%d %H:%M").has_value());
  CHECK(format_time(1512086400 + 3599) == "2017-12-01 00:59:59");
  CHECK(format_time(-1) == "1969-12-31 23:59:59");
}

TEST_CASE("time: an ambiguous day and month are settled by all the cells") {
  using Cells = std::vector<std::string_view>;
  CHECK(find_time_format(Cells{"01/12/2017", "13/12/2017"}) == "%d/%m/%Y");
  CHECK(find_time_format(Cells{"12/01/2017", "12/13/2017"}) == "%m/%d/%Y");
  // Both fit; only month first never goes back.
  CHECK(find_time_format(Cells{"01/10/2017", "01/11/2017", "02/01/2017"}) == "%m/%d/%Y");
  CHECK(find_time_format(Cells{"01/02/2017"}) == "%d/%m/%Y");
  CHECK(find_time_format(Cells{"2017-12-01 13:00", "2017-12-01 14:00"}) == "%Y-%m-%d %H:%M");
  CHECK(find_time_format(Cells{"20171201"}) == "%Y%m%d");
  CHECK(find_time_format(Cells{"tomorrow"}).empty());
  CHECK(is_time_format("%d.%m.%y"));
  CHECK_FALSE(is_time_format("%d/%m"));
  CHECK_FALSE(is_time_format("%Y-%m-%d %q"));
}

TEST_CASE("time: parts of a date") {
  const int64_t time = *parse_time("2018-11-30 23:45", "%Y-%m-%d %H:%M");  // a Friday
  CHECK(date_part(time, DatePart::year) == 2018);
  CHECK(date_part(time, DatePart::month) == 11);
  CHECK(date_part(time, DatePart::day) == 30);
  CHECK(date_part(time, DatePart::weekday) == 4);
  CHECK(date_part(time, DatePart::day_of_year) == 334);
  CHECK(date_part(time, DatePart::hour) == 23);
  CHECK(date_part(time, DatePart::minute) == 45);
}
