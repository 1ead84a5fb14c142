// Reads JSON values with the path that leads to them, so that every complaint says where. Inside tools/recipe only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moru::recipe_json {

using Json = nlohmann::ordered_json;

/// A fault of the recipe; caught where the recipe's file is known.
struct Fault {
  std::string message;
};

/// A JSON value and its path from the root, such as "data.features[2]".
class Value {
 public:
  Value(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {}

  const Json& json() const { return *json_; }
  const std::string& path() const { return path_; }
  bool is_text() const { return json_->is_string(); }
  bool is_object() const { return json_->is_object(); }
  bool is_array() const { return json_->is_array(); }

  [[noreturn]] void fail(const std::string& what, const std::string& hint) const;

  std::string text() const;
  double number() const;
  int64_t integer() const;
  uint64_t seed() const;  // an integer from 0 up
  bool boolean() const;
  /// The elements of an array; `what` says in messages what they are.
  std::vector<Value> elements(const char* what) const;
  /// A list of texts; one text stands for a list of one. Numbers and booleans read as they are written.
  std::vector<std::string> texts() const;
  /// The members of an object whose keys are the user's own.
  std::vector<std::pair<std::string, Value>> members(const char* what) const;

  /// One of a fixed set of names.
  template <typename Enum>
  Enum choice(const std::vector<std::pair<const char*, Enum>>& names) const {
    std::vector<std::string> known;
    const std::string given = text();
    for (const auto& [name, value] : names) {
      if (given == name) return value;
      known.emplace_back(name);
    }
    fail_choice(given, known);
  }

 private:
  [[noreturn]] void fail_type(const char* expected) const;
  [[noreturn]] void fail_choice(const std::string& given, const std::vector<std::string>& known) const;

  const Json* json_;
  std::string path_;
};

/// An object whose keys are fixed: every one is asked for once, and close() complains about the rest.
class Object {
 public:
  /// `what` says in messages what the object is for.
  Object(Value value, const char* what);

  std::optional<Value> find(const char* key);
  /// Whether it was asked for already.
  bool has_read(const char* key) const;
  Value need(const char* key, const char* hint);
  std::string path_of(const char* key) const;
  const Value& value() const { return value_; }

  void read(const char* key, std::string& to);
  void read(const char* key, double& to);
  void read(const char* key, int64_t& to);
  void read(const char* key, bool& to);
  void read(const char* key, std::optional<double>& to);  // null = absent

  /// Complains about the first key that nobody asked for.
  void close() const;

 private:
  Value value_;
  std::vector<std::string> asked_;
};

/// Parses text with // and /* */ comments; complains about syntax with line and column, and about a key given twice.
Json parse(std::string_view text);

}  // namespace moru::recipe_json
