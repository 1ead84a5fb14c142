// JSON text for the importers: parsed with a limit on nesting, and errors that say the line.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace moru {

using Json = nlohmann::ordered_json;  // keeps the order of keys, which some configs mean

/// JSON, and NaN, Infinity and -Infinity, which Python writes where a number is none. Throws CompileError with line and column
/// for text that is not JSON, or that nests deeper than any model.
Json parse_json(std::string_view text, std::string_view source);

/// What parse_json reads, on one line; bytes that are no UTF-8 become U+FFFD.
std::string print_json(const Json& value);

/// A value as short text for messages: at most 60 characters.
std::string json_text(const Json& value);

}  // namespace moru
