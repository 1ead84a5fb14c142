#include "tools/recipe/op_arguments.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compiler/support/error.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

AttributeValue value_of(const Json& value, AttributeType type) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) {
    if (type == AttributeType::real || type == AttributeType::reals) return value.get<double>();
    if (value.is_number_integer()) return value.get<int64_t>();
    return value.get<double>();
  }
  if (value.is_array()) {
    const auto all = [&](bool (Json::*is)() const noexcept) {
      return std::all_of(value.begin(), value.end(), [&](const Json& one) { return (one.*is)(); });
    };
    if (type == AttributeType::reals && all(&Json::is_number)) return value.get<std::vector<double>>();
    if (type == AttributeType::strings && all(&Json::is_string)) return value.get<std::vector<std::string>>();
    if (type == AttributeType::integers && all(&Json::is_number_integer)) return value.get<std::vector<int64_t>>();
  }
  return Shape{};  // of no type that arguments have, so that the check says what is wanted
}

}  // namespace

Attributes parse_arguments(const Op& op, std::string_view arguments, std::string_view where, bool partial) {
  Attributes attributes;
  if (arguments.empty()) return attributes;
  const Json object = Json::parse(arguments);
  for (const auto& [name, value] : object.items()) {
    if (value.is_null()) continue;
    const auto spec = std::find_if(op.attributes.begin(), op.attributes.end(),
                                   [&](const AttributeSpec& one) { return one.name == name; });
    attributes.set(name, value_of(value, spec == op.attributes.end() ? AttributeType::shape : spec->type));
  }
  if (!partial) {
    check_attributes(op, attributes, where);
    return attributes;
  }
  Op given = op;
  std::erase_if(given.attributes, [&](const AttributeSpec& spec) { return !attributes.has(spec.name); });
  check_attributes(given, attributes, where);
  return attributes;
}

}  // namespace moru
