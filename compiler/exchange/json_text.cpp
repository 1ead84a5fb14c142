#include "compiler/exchange/json_text.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/exchange/refusal.h"

namespace moru {
namespace {

constexpr int max_depth = 200;

using exchange::refuse;

std::string place_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(before.size() - begin + 1);
}

// nlohmann's text after "syntax error while parsing value - ": what was found and what was expected.
std::string reason_of(std::string_view message) {
  const size_t dash = message.rfind(" - ");
  return std::string(dash == std::string_view::npos ? message : message.substr(dash + 3));
}

// What JSON has no number for, and a text of the same length that stands for it while nlohmann's parser or printer runs, so that
// places in messages stay right.
struct Word {
  std::string_view word, text;
  double value;
};
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Word words[] = {{"-Infinity", "\"\\u0002 \"", -infinity}, {"Infinity", "\"\\u0001\"", infinity}, {"NaN", "\"\x7f\"", std::numeric_limits<double>::quiet_NaN()}};

// The end of the string that begins at text[at], behind its quotation mark.
size_t end_of_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at)
    if (text[at] == '\\') ++at;
  return std::min(at + 1, text.size());
}

std::string without_words(std::string_view text) {
  std::string plain(text);
  for (size_t at = 0; at < plain.size();) {
    if (plain[at] == '"') {
      at = end_of_string(plain, at);
      continue;
    }
    const auto found = std::ranges::find_if(words, [&](const Word& word) { return text.substr(at, word.word.size()) == word.word; });
    if (found == std::end(words)) {
      ++at;
      continue;
    }
    plain.replace(at, found->word.size(), found->text);
    at += found->word.size();
  }
  return plain;
}

// Calls `change` for every value that holds no others.
template <typename Change>
void for_each_leaf(Json& value, const Change& change) {
  if (!value.is_structured()) return change(value);
  for (Json& inner : value) for_each_leaf(inner, change);
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source) {
  if (text.empty()) refuse(source, "is empty");
  if (text.substr(0, 4) == "\x89HDF") refuse(source, "is an HDF5 file, not JSON");
  if (text.substr(0, 2) == "PK") refuse(source, "is a zip archive, not JSON");
  if (text.substr(0, 24) == "version https://git-lfs.") {
    refuse(source, "is a Git LFS pointer, not the file itself", "fetch it with 'git lfs pull'");
  }
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > max_depth) refuse(source, "nests deeper than " + std::to_string(max_depth) + " levels");
    return true;
  };
  try {
    const std::string plain = without_words(text);
    Json json = Json::parse(plain, limit_depth);
    if (plain != text)
      for_each_leaf(json, [](Json& leaf) {
        for (const Word& word : words)
          if (leaf.is_string() && leaf == Json::parse(word.text)) leaf = word.value;
      });
    return json;
  } catch (const Json::parse_error& error) {
    const size_t offset = error.byte == 0 ? 0 : error.byte - 1;
    refuse(source, "is not valid JSON at " + place_of(text, offset) + ": " + reason_of(error.what()));
  } catch (const Json::exception& error) {
    refuse(source, std::string("is not valid JSON: ") + error.what());
  }
}

std::string print_json(const Json& value) {
  bool plain = true;
  Json printed = value;
  for_each_leaf(printed, [&](Json& leaf) {
    if (!leaf.is_number_float() || std::isfinite(leaf.get<double>())) return;
    const double number = leaf.get<double>();
    leaf = Json::parse((std::isnan(number) ? words[2] : number > 0 ? words[1] : words[0]).text);
    plain = false;
  });
  std::string text = printed.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (plain) return text;
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text[at] == '"' ? end_of_string(text, at) : at + 1;
    const std::string_view part = std::string_view(text).substr(at, end - at);
    const auto found = std::ranges::find(words, part, &Word::text);
    result += found == std::end(words) ? part : found->word;
    at = end;
  }
  return result;
}

std::string json_text(const Json& value) {
  std::string text = print_json(value);
  if (text.size() <= 60) return text;
  size_t end = 57;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

}  // namespace moru
