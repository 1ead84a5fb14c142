// Dates and times in cells. Times are seconds since 1970-01-01 00:00 of the data's own clock: no time zones, no leap
// seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/data/recipe.h"

namespace moru {

/// Reads a time by a format of %Y (4 digits), %y (2 digits, 1969 to 2068), %m %d %H %M %S (1 or 2 digits), %b (English
/// month name, three letters) and literal characters. The whole text must fit and be a time that exists.
std::optional<int64_t> parse_time(std::string_view text, std::string_view format);

/// Whether parse_time knows every directive in the format, and the format has a year, month and day.
bool is_time_format(std::string_view format);

/// The format that reads every one of the cells; empty where there is none. Where 03/04/2024 leaves open which is the
/// day, the order under which the times never go back is taken, day first if that leaves it open too.
std::string find_time_format(std::span<const std::string_view> cells);

/// "2018-11-30 23:00:00".
std::string format_time(int64_t seconds);

/// How long that is: "2 hours", "1 day", "31 hours", "90 minutes", "1 second".
std::string span_text(int64_t seconds);

/// year as it is, month 1..12, day 1..31, weekday 0 (Monday) .. 6, day_of_year 1..366, hour 0..23, minute 0..59.
int64_t date_part(int64_t seconds, DatePart part);

/// The natural period of a part, for its cyclic encoding: 12, 31, 7, 366, 24, 60; 0 for the year, which has none.
double date_part_period(DatePart part);

std::string_view date_part_name(DatePart part);

}  // namespace moru
