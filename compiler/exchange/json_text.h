// JSON text for the importers: parsed with a limit on nesting, and errors that say the line.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace moru {

using Json = nlohmann::ordered_json;  // keeps the order of keys, which some configs mean

/// Throws CompileError with line and column for text that is not JSON, or that nests deeper than any model.
Json parse_json(std::string_view text, std::string_view source);

/// A value as short text for messages: at most 60 characters.
std::string json_text(const Json& value);

}  // namespace moru
