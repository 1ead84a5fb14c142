#include "tools/report/report_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "runtime/data/time_text.h"

namespace moru {

using Json = nlohmann::ordered_json;

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

std::string format(const char* text, ...) {
  std::array<char, 600> out;
  std::va_list values;
  va_start(values, text);
  std::vsnprintf(out.data(), out.size(), text, values);
  va_end(values);
  return out.data();
}

double number_of(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : nan;
}

std::vector<double> numbers_of(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list) values.push_back(value.is_number() ? value.get<double>() : nan);
  return values;
}

Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return std::strtod(text.data(), nullptr);
}

Json rounded_list(std::span<const double> values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(rounded(value));
  return list;
}

std::string span_text(int64_t rows, int64_t spacing) {
  if (spacing > 0) return span_text(rows * spacing);
  return std::to_string(rows) + (rows == 1 ? " row" : " rows");
}

std::string time_text(double seconds) {
  if (seconds < 60) return format("%.3g s", seconds);
  if (seconds < 3600) return format("%.0f min %02.0f s", std::floor(seconds / 60), std::fmod(seconds, 60));
  return format("%.0f h %02.0f min", std::floor(seconds / 3600), std::fmod(seconds / 60, 60));
}

std::string readable(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

Label label_of(const std::string& name) {
  const std::size_t open = name.rfind('(');
  if (open == std::string::npos || open == 0 || !name.ends_with(')')) return {name, ""};
  std::string text = name.substr(0, open);
  while (text.ends_with(' ')) text.pop_back();
  return {text, name.substr(open + 1, name.size() - open - 2)};
}

}  // namespace moru
