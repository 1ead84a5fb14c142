#include "runtime/data/wording.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

namespace moru {
namespace {

/// Damerau's edit distance in its restricted form (optimal string alignment), case ignored.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  };
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0u : 1u)});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

}  // namespace

Status data_error(std::string message, StatusCode code) { return Status(code, std::move(message)); }

std::string find_nearest(std::string_view name, std::span<const std::string> names) {
  std::size_t best = std::max<std::size_t>(2, name.size() / 3) + 1;
  std::string nearest;
  for (const std::string& other : names) {
    if (name.size() > 100 || other.size() > 100) continue;
    const std::size_t distance = edit_distance(name, other);
    if (distance < best && distance < std::max(name.size(), other.size())) {
      best = distance;
      nearest = other;
    }
  }
  return nearest;
}

std::string list_names(std::span<const std::string> names, std::size_t limit) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < limit; ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > limit) text += ", and " + std::to_string(names.size() - limit) + " more";
  return text;
}

std::string suggest_name(std::string_view name, std::span<const std::string> names, std::string_view what) {
  const std::string nearest = find_nearest(name, names);
  if (!nearest.empty()) return "did you mean '" + nearest + "'?";
  return "the " + std::string(what) + " are: " + list_names(names);
}

std::string quote_cell(std::string_view cell) {
  if (cell.size() <= 40) return "'" + std::string(cell) + "'";
  std::size_t end = 40;
  while (end > 0 && (static_cast<unsigned char>(cell[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return "'" + std::string(cell.substr(0, end)) + "...'";
}

std::string hex_byte(char byte) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02X", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  return text;
}

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

std::string number_text(double value, int digits) {
  if (std::isnan(value)) return "nan";
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

}  // namespace moru
