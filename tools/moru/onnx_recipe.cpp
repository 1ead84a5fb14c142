#include "tools/moru/onnx_recipe.h"

#include <span>

#include "runtime/data/recipe_text.h"
#include "tools/moru/commands.h"
#include "tools/recipe/recipe_json.h"

namespace moru::cli {
namespace {

constexpr const char *json_key = "moru.recipe", *bytes_key = "moru.recipe.base64";
constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? static_cast<uint32_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k <= bytes.size() ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
  std::vector<std::byte> bytes;
  if (text.size() % 4 != 0) return std::nullopt;
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    size_t padding = 0;
    for (size_t k = 0; k < 4; ++k) {
      const size_t digit = digits.find(text[i + k]);
      padding += text[i + k] == '=';
      if (digit == std::string_view::npos && (text[i + k] != '=' || i + 4 != text.size())) return std::nullopt;
      group = group << 6 | (digit == std::string_view::npos ? 0u : static_cast<uint32_t>(digit));
    }
    if (padding > 2) return std::nullopt;
    for (size_t k = 0; k < 3 - padding; ++k) bytes.push_back(static_cast<std::byte>(group >> (16 - 8 * k) & 255));
  }
  return bytes;
}

}  // namespace

OnnxMetadata recipe_metadata(const Recipe& recipe) {
  return {{json_key, recipe_to_json(recipe)}, {bytes_key, to_base64(write_recipe(recipe))}};
}

std::optional<Recipe> find_metadata_recipe(const OnnxMetadata& metadata, const std::string& source) {
  if (const auto found = metadata.find(bytes_key); found != metadata.end()) {
    const auto bytes = from_base64(found->second);
    if (!bytes) fail("'" + source + "' is damaged: its metadata '" + bytes_key + "' is no base64");
    Recipe recipe = need(read_recipe(*bytes));
    recipe.file = source;
    return recipe;
  }
  if (const auto found = metadata.find(json_key); found != metadata.end())
    return need(parse_recipe_json(found->second, source + " (" + json_key + ")"));
  return std::nullopt;
}

}  // namespace moru::cli
