// Text as it may stand in HTML and XML, in elements and in attributes.
#pragma once

#include <string>
#include <string_view>

namespace moru {

/// Escapes & < > and ", and leaves out control characters, which XML forbids, but for tabs and line breaks.
inline std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

}  // namespace moru
