// Writes JSON: what a run directory holds and what `--json` prints. There is no JSON reader in the runtime.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moru {

/// Builds one JSON document in order of the calls, indented by two spaces; arrays of numbers stay on one line.
/// Numbers are written so that reading them back gives the same bits; NaN and infinities, which JSON lacks, as null.
/// Text is taken as UTF-8; a byte that is not part of valid UTF-8 becomes U+FFFD.
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  JsonWriter& text(std::string_view value);
  JsonWriter& number(double value);
  JsonWriter& number(float value);
  JsonWriter& integer(int64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  /// A value that is JSON already.
  JsonWriter& raw(std::string_view json);
  JsonWriter& numbers(std::span<const double> values);
  JsonWriter& numbers(std::span<const float> values);
  JsonWriter& integers(std::span<const int64_t> values);

  /// The document, ending in a newline.
  std::string finish();

 private:
  template <typename T, typename Text>
  JsonWriter& write_line(std::span<const T> values, Text text);
  void separate();
  void indent();

  struct Level {
    bool array;
    bool empty;
  };
  std::string out_;
  std::vector<Level> levels_;
  bool after_key_ = false;
};

/// `text` as a JSON string with its quotes.
std::string json_quoted(std::string_view text);

/// The shortest decimal that reads back as the same bits; "null" for NaN and infinities.
std::string json_number(double value);

/// The shortest decimal that reads back as the same float; empty for NaN, as an empty cell of a CSV.
std::string float_text(float value);

}  // namespace moru
