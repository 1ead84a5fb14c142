#include "runtime/data/time_text.h"

#include <array>
#include <cstdio>
#include <utility>

#include "runtime/data/wording.h"

namespace moru {
namespace {

constexpr int64_t seconds_per_day = 86400;
constexpr std::array<std::string_view, 12> month_names = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};

// In order of preference; day first stands before month first.
constexpr std::array<std::string_view, 14> dates = {"%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y. %m. %d", "%Y. %m. %d.",
                                                    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y",   "%m-%d-%Y",
                                                    "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d %b %Y"};
constexpr std::array<std::string_view, 7> clocks = {"",       " %H:%M:%S",  " %H:%M", "T%H:%M:%S",
                                                    "T%H:%M", "T%H:%M:%SZ", " %H"};

/// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", days_from_civil).
int64_t days_from_civil(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

struct Civil {
  int64_t year, month, day;
};

/// The inverse (civil_from_days of the same source).
Civil civil_from_days(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  const int64_t month = shifted + (shifted < 10 ? 3 : -9);
  return {year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1};
}

int64_t days_in_month(int64_t year, int64_t month) {
  constexpr std::array<int64_t, 12> days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[static_cast<std::size_t>(month - 1)];
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/// Takes at least `least` and at most `most` digits.
bool take_number(std::string_view text, std::size_t& at, std::size_t least, std::size_t most, int64_t& value) {
  const std::size_t begin = at;
  value = 0;
  while (at < text.size() && at - begin < most && text[at] >= '0' && text[at] <= '9')
    value = value * 10 + (text[at++] - '0');
  return at - begin >= least;
}

bool take_month_name(std::string_view text, std::size_t& at, int64_t& month) {
  if (text.size() - at < 3) return false;
  for (std::size_t m = 0; m < month_names.size(); ++m) {
    bool same = true;
    for (std::size_t k = 0; k < 3; ++k) same = same && (text[at + k] | 0x20) == month_names[m][k];
    if (same) {
      at += 3;
      month = static_cast<int64_t>(m) + 1;
      return true;
    }
  }
  return false;
}

bool never_goes_back(std::span<const std::string_view> cells, std::string_view format) {
  std::optional<int64_t> before;
  for (const std::string_view cell : cells) {
    const std::optional<int64_t> now = parse_time(cell, format);
    if (before && now && *now < *before) return false;
    before = now;
  }
  return true;
}

}  // namespace

std::optional<int64_t> parse_time(std::string_view text, std::string_view format) {
  int64_t year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      if (at == text.size() || text[at] != format[i]) return std::nullopt;
      ++at;
      continue;
    }
    bool fits = false;
    switch (format[++i]) {
      case 'Y':
        fits = take_number(text, at, 4, 4, year);
        break;
      case 'y':
        fits = take_number(text, at, 2, 2, year);
        year += year < 69 ? 2000 : 1900;
        break;
      case 'm':
        fits = take_number(text, at, 1, 2, month);
        break;
      case 'd':
        fits = take_number(text, at, 1, 2, day);
        break;
      case 'H':
        fits = take_number(text, at, 1, 2, hour);
        break;
      case 'M':
        fits = take_number(text, at, 1, 2, minute);
        break;
      case 'S':
        fits = take_number(text, at, 1, 2, second);
        break;
      case 'b':
        fits = take_month_name(text, at, month);
        break;
      case '%':
        fits = at < text.size() && text[at] == '%';
        ++at;
        break;
      default:
        break;
    }
    if (!fits) return std::nullopt;
  }
  if (at != text.size() || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return std::nullopt;
  if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return days_from_civil(year, month, day) * seconds_per_day + hour * 3600 + minute * 60 + second;
}

bool is_time_format(std::string_view format) {
  bool year = false, month = false, day = false;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') continue;
    if (++i == format.size()) return false;
    const char directive = format[i];
    if (std::string_view("YymdHMSb%").find(directive) == std::string_view::npos) return false;
    year = year || directive == 'Y' || directive == 'y';
    month = month || directive == 'm' || directive == 'b';
    day = day || directive == 'd';
  }
  return year && month && day;
}

std::string find_time_format(std::span<const std::string_view> cells) {
  if (cells.empty()) return {};
  std::vector<std::string> fitting;
  const auto try_format = [&](std::string format) {
    for (const std::string_view cell : cells) {
      if (!parse_time(cell, format)) return;
    }
    fitting.push_back(std::move(format));
  };
  for (const std::string_view date : dates) {
    for (const std::string_view clock : clocks) try_format(std::string(date) + std::string(clock));
  }
  // Digits alone are a date only at their full length, or any number would do.
  if (fitting.empty() && cells[0].size() == 8) try_format("%Y%m%d");
  if (fitting.size() < 2) return fitting.empty() ? std::string() : fitting[0];
  for (const std::string& format : fitting) {
    if (never_goes_back(cells, format)) return format;
  }
  return fitting[0];
}

std::string format_time(int64_t seconds) {
  const int64_t days = floor_div(seconds, seconds_per_day);
  const int64_t rest = seconds - days * seconds_per_day;
  const Civil date = civil_from_days(days);
  char text[64];
  std::snprintf(text, sizeof text, "%04lld-%02lld-%02lld %02lld:%02lld:%02lld", static_cast<long long>(date.year),
                static_cast<long long>(date.month), static_cast<long long>(date.day),
                static_cast<long long>(rest / 3600), static_cast<long long>(rest / 60 % 60),
                static_cast<long long>(rest % 60));
  return text;
}

std::string span_text(int64_t seconds) {
  constexpr int64_t minute = 60, hour = 60 * minute, day = 24 * hour;
  const auto [unit, name] = seconds >= 2 * day || seconds == day ? std::pair(day, "day")
                            : seconds >= hour                    ? std::pair(hour, "hour")
                            : seconds >= minute                  ? std::pair(minute, "minute")
                                                                 : std::pair(int64_t{1}, "second");
  return number_text(static_cast<double>(seconds) / static_cast<double>(unit), 4) + " " + name + (seconds == unit ? "" : "s");
}

int64_t date_part(int64_t seconds, DatePart part) {
  const int64_t days = floor_div(seconds, seconds_per_day);
  const int64_t rest = seconds - days * seconds_per_day;
  const Civil date = civil_from_days(days);
  switch (part) {
    case DatePart::year:
      return date.year;
    case DatePart::month:
      return date.month;
    case DatePart::day:
      return date.day;
    case DatePart::weekday:
      return ((days + 3) % 7 + 7) % 7;  // 1970-01-01 was a Thursday
    case DatePart::day_of_year:
      return days - days_from_civil(date.year, 1, 1) + 1;
    case DatePart::hour:
      return rest / 3600;
    case DatePart::minute:
      return rest / 60 % 60;
  }
  return 0;
}

double date_part_period(DatePart part) {
  switch (part) {
    case DatePart::year:
      return 0;
    case DatePart::month:
      return 12;
    case DatePart::day:
      return 31;
    case DatePart::weekday:
      return 7;
    case DatePart::day_of_year:
      return 366;
    case DatePart::hour:
      return 24;
    case DatePart::minute:
      return 60;
  }
  return 0;
}

std::string_view date_part_name(DatePart part) {
  switch (part) {
    case DatePart::year:
      return "year";
    case DatePart::month:
      return "month";
    case DatePart::day:
      return "day";
    case DatePart::weekday:
      return "weekday";
    case DatePart::day_of_year:
      return "day_of_year";
    case DatePart::hour:
      return "hour";
    case DatePart::minute:
      return "minute";
  }
  return "?";
}

}  // namespace moru
