#include "tools/recipe/json_reader.h"

#include <algorithm>
#include <cmath>

#include "runtime/data/wording.h"

namespace moru::recipe_json {
namespace {

std::string join(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }

std::string shown(const Json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "a list";
  return quote_cell(json.dump());
}

}  // namespace

void Value::fail(const std::string& what, const std::string& hint) const {
  throw Fault{(path_.empty() ? "the recipe" : path_) + ": " + what + "\n  hint: " + hint};
}

void Value::fail_type(const char* expected) const {
  fail(std::string("needs ") + expected + " and is " + shown(*json_), std::string("write ") + expected);
}

void Value::fail_choice(const std::string& given, const std::vector<std::string>& known) const {
  const std::string nearest = find_nearest(given, known);
  fail("'" + given + "' is not known",
       (nearest.empty() ? "" : "did you mean '" + nearest + "'? ") + std::string("it is one of: ") + list_names(known));
}

std::string Value::text() const {
  if (!json_->is_string()) fail_type("a text");
  return json_->get<std::string>();
}

double Value::number() const {
  if (!json_->is_number()) fail_type("a number");
  return json_->get<double>();
}

int64_t Value::integer() const {
  if (json_->is_number_unsigned()) {
    const auto value = json_->get<uint64_t>();
    if (value <= static_cast<uint64_t>(INT64_MAX)) return static_cast<int64_t>(value);
  } else if (json_->is_number_integer()) {
    return json_->get<int64_t>();
  } else if (json_->is_number_float()) {
    const double value = json_->get<double>();
    if (value == std::trunc(value) && std::abs(value) < 9e15) return static_cast<int64_t>(value);
  }
  fail_type("a whole number");
}

uint64_t Value::seed() const {
  const int64_t value = integer();
  if (value < 0) fail(std::to_string(value) + " is out of range", "seeds are whole numbers from 0 up");
  return static_cast<uint64_t>(value);
}

bool Value::boolean() const {
  if (!json_->is_boolean()) fail_type("true or false");
  return json_->get<bool>();
}

std::vector<Value> Value::elements(const char* what) const {
  if (!json_->is_array()) fail_type(what);
  std::vector<Value> values;
  for (std::size_t i = 0; i < json_->size(); ++i)
    values.emplace_back((*json_)[i], path_ + "[" + std::to_string(i) + "]");
  return values;
}

std::vector<std::string> Value::texts() const {
  const auto one = [](const Value& value) {
    if (value.json().is_string()) return value.text();
    if (!value.json().is_number() && !value.json().is_boolean()) value.fail_type("a text");
    return value.json().dump();
  };
  if (!json_->is_array()) return {one(*this)};
  std::vector<std::string> out;
  for (const Value& value : elements("a list of texts")) out.push_back(one(value));
  return out;
}

std::vector<std::pair<std::string, Value>> Value::members(const char* what) const {
  if (!json_->is_object()) fail_type(what);
  std::vector<std::pair<std::string, Value>> out;
  for (const auto& [key, member] : json_->items()) out.emplace_back(key, Value(member, join(path_, key)));
  return out;
}

Object::Object(Value value, const char* what) : value_(std::move(value)) {
  if (!value_.is_object())
    value_.fail(std::string("needs ") + what + " and is " + shown(value_.json()), std::string("write ") + what);
}

std::optional<Value> Object::find(const char* key) {
  asked_.emplace_back(key);
  const auto found = value_.json().find(key);
  if (found == value_.json().end()) return std::nullopt;
  return Value(*found, path_of(key));
}

bool Object::has_read(const char* key) const { return std::find(asked_.begin(), asked_.end(), key) != asked_.end(); }

Value Object::need(const char* key, const char* hint) {
  std::optional<Value> found = find(key);
  if (found) return *found;
  value_.fail(std::string("\"") + key + "\" is missing", hint);
}

std::string Object::path_of(const char* key) const { return join(value_.path(), key); }

void Object::read(const char* key, std::string& to) {
  if (const auto value = find(key)) to = value->text();
}
void Object::read(const char* key, double& to) {
  if (const auto value = find(key)) to = value->number();
}
void Object::read(const char* key, int64_t& to) {
  if (const auto value = find(key)) to = value->integer();
}
void Object::read(const char* key, bool& to) {
  if (const auto value = find(key)) to = value->boolean();
}
void Object::read(const char* key, std::optional<double>& to) {
  const auto value = find(key);
  if (value && !value->json().is_null()) to = value->number();
}

void Object::close() const {
  for (const auto& [key, member] : value_.json().items()) {
    if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) continue;
    value_.fail("\"" + key + "\" is not known here", suggest_name(key, asked_, "keys"));
  }
}

Json parse(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw Fault{"the key \"" + parsed.get<std::string>() +
                  "\" is given twice in one object\n  hint: keep one of them"};
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch, true, true);
  } catch (const Json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error while ..."
    std::string what = error.what();
    if (const std::size_t at = what.find("parse error"); at != std::string::npos) what = what.substr(at);
    if (const std::size_t bracket = what.find("parse error] "); bracket != std::string::npos)
      what = what.substr(bracket + 13);
    throw Fault{"is not JSON: " + what + "\n  hint: look for a missing comma, quote or bracket before that place"};
  }
}

}  // namespace moru::recipe_json
