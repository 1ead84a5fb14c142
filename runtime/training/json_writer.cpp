#include "runtime/training/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace moru {
namespace {

/// Length in bytes of the well-formed UTF-8 sequence at `text[at]`, or 0 (Unicode 15, table 3-7).
size_t utf8_length(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto continues = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(at);
  if (first < 0x80u) return 1;
  if (first >= 0xC2u && first <= 0xDFu) return continues(at + 1) ? 2 : 0;
  const unsigned second = byte(at + 1);
  if (first >= 0xE0u && first <= 0xEFu) {
    if (first == 0xE0u && second < 0xA0u) return 0;
    if (first == 0xEDu && second > 0x9Fu) return 0;
    return continues(at + 1) && continues(at + 2) ? 3 : 0;
  }
  if (first >= 0xF0u && first <= 0xF4u) {
    if (first == 0xF0u && second < 0x90u) return 0;
    if (first == 0xF4u && second > 0x8Fu) return 0;
    return continues(at + 1) && continues(at + 2) && continues(at + 3) ? 4 : 0;
  }
  return 0;
}

template <typename Number>
std::string shortest(Number value) {
  if (!std::isfinite(value)) return "null";
  // Many readers take "-0" for the integer zero.
  if (value == 0) return std::signbit(value) ? "-0.0" : "0";
  std::array<char, 40> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return std::string(digits.data(), end.ptr);
}

}  // namespace

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
      continue;
    }
    const char c = text[i];
    if (length > 1) {
      out.append(text.substr(i, length));
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20u || c == 0x7F) {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape.data();
    } else {
      out += c;
    }
    i += length;
  }
  out += '"';
  return out;
}

std::string json_number(double value) { return shortest(value); }

std::string float_text(float value) {
  if (std::isnan(value)) return "";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return shortest(value);
}

void JsonWriter::indent() {
  out_ += '\n';
  out_.append(2 * levels_.size(), ' ');
}

void JsonWriter::separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (levels_.empty()) return;
  if (!levels_.back().empty) out_ += ',';
  levels_.back().empty = false;
  indent();
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  levels_.push_back({.array = false, .empty = true});
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  const bool empty = levels_.back().empty;
  levels_.pop_back();
  if (!empty) indent();
  out_ += '}';
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  levels_.push_back({.array = true, .empty = true});
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  const bool empty = levels_.back().empty;
  levels_.pop_back();
  if (!empty) indent();
  out_ += ']';
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  out_ += json_quoted(name);
  out_ += ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  out_ += json_quoted(value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  separate();
  out_ += shortest(value);
  return *this;
}

JsonWriter& JsonWriter::number(float value) {
  separate();
  out_ += shortest(value);
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t value) {
  separate();
  out_ += std::to_string(value);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::null() {
  separate();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

template <typename T, typename Text>
JsonWriter& JsonWriter::write_line(std::span<const T> values, Text text) {
  separate();
  out_ += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i != 0) out_ += ", ";
    out_ += text(values[i]);
  }
  out_ += ']';
  return *this;
}

JsonWriter& JsonWriter::numbers(std::span<const double> values) {
  return write_line(values, [](double value) { return shortest(value); });
}

JsonWriter& JsonWriter::numbers(std::span<const float> values) {
  return write_line(values, [](float value) { return shortest(value); });
}

JsonWriter& JsonWriter::integers(std::span<const int64_t> values) {
  return write_line(values, [](int64_t value) { return std::to_string(value); });
}

std::string JsonWriter::finish() {
  out_ += '\n';
  return std::move(out_);
}

}  // namespace moru
