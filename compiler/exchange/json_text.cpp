#include "compiler/exchange/json_text.h"

#include <algorithm>

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
    return Json::parse(text.begin(), text.end(), limit_depth);
  } catch (const Json::parse_error& error) {
    const size_t offset = error.byte == 0 ? 0 : error.byte - 1;
    refuse(source, "is not valid JSON at " + place_of(text, offset) + ": " + reason_of(error.what()));
  } catch (const Json::exception& error) {
    refuse(source, std::string("is not valid JSON: ") + error.what());
  }
}

std::string json_text(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= 60) return text;
  size_t end = 57;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

}  // namespace moru
