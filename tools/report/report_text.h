// How numbers, spans and names are written on a report's page and in its JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace moru {

/// As std::snprintf, of at most 600 characters.
[[gnu::format(printf, 1, 2)]] std::string format(const char* text, ...);

/// The number of that name; NaN where there is none.
double number_of(const nlohmann::ordered_json& json, const std::string& key);
/// A list's numbers; NaN for what is none.
std::vector<double> numbers_of(const nlohmann::ordered_json& list);

/// Six digits: more than anyone sees, and half the bytes. Null where the value is not finite.
nlohmann::ordered_json rounded(double value);
nlohmann::ordered_json rounded_list(std::span<const double> values);

/// "2 hours", "1 day", "5 rows": so many rows, `spacing` seconds apart where that is not 0.
std::string span_text(int64_t rows, int64_t spacing);
/// "2.5 s", "3 min 07 s", "1 h 20 min"
std::string time_text(double seconds);

/// "last_day" as "last day".
std::string readable(std::string name);

/// "Rented Bike Count", and the unit in brackets at a column's end: "Temperature (C)".
struct Label {
  std::string text, unit;
};
Label label_of(const std::string& name);

}  // namespace moru
