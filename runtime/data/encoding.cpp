// Text encodings of CSV files: detection, and conversion to UTF-8.
#include <iconv.h>

#include <cerrno>
#include <cstring>

#include "runtime/data/csv.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

constexpr std::string_view utf8_mark = "\xEF\xBB\xBF";

unsigned byte_at(std::string_view text, std::size_t i) { return static_cast<unsigned char>(text[i]); }

/// Bytes of the well-formed UTF-8 character at `i` (Unicode 15, table 3-7), 0 where there is none.
std::size_t utf8_length(std::string_view text, std::size_t i) {
  const unsigned first = byte_at(text, i);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned low = 0x80, high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF)
    length = 2;
  else if (first >= 0xE0 && first <= 0xEF)
    length = 3;
  else if (first >= 0xF0 && first <= 0xF4)
    length = 4;
  else
    return 0;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  if (i + length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k) {
    const unsigned next = byte_at(text, i + k);
    if (next < low || next > high) return 0;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

/// The first byte that is not UTF-8, or npos.
std::size_t find_bad_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    // Eight plain bytes at a time: nearly every file is ASCII throughout.
    uint64_t word = 0;
    if (i + 8 <= text.size()) {
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080u) == 0) {
        i += 8;
        continue;
      }
    }
    const std::size_t length = utf8_length(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

int64_t line_of(std::string_view text, std::size_t position) {
  int64_t line = 1;
  for (std::size_t i = 0; i < position; ++i) line += text[i] == '\n';
  return line;
}

std::string latin1_to_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 16);
  for (const char c : bytes) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return out;
}

Result<std::string> cp949_to_utf8(std::string_view bytes, const std::string& name) {
  const iconv_t converter = iconv_open("UTF-8", "CP949");
  if (converter == reinterpret_cast<iconv_t>(-1)) {
    return data_error(name +
                      ": is in CP949, and this machine's C library cannot convert that (its gconv modules are "
                      "not installed)\n  hint: install them, or save the file as UTF-8");
  }
  std::string out(bytes.size() * 2 + 16, '\0');  // two bytes of CP949 become at most three of UTF-8
  char* from = const_cast<char*>(bytes.data());  // iconv does not write here
  std::size_t from_left = bytes.size();
  char* to = out.data();
  std::size_t to_left = out.size();
  const std::size_t result = iconv(converter, &from, &from_left, &to, &to_left);
  const int why = errno;
  iconv_close(converter);
  if (result == static_cast<std::size_t>(-1)) {
    const auto position = static_cast<std::size_t>(from - bytes.data());
    return data_error(name + ", line " + std::to_string(line_of(bytes, position)) + ": byte " +
                      hex_byte(bytes[position]) +
                      (why == EINVAL ? " begins a CP949 character that the file cuts off" : " is not CP949") +
                      "\n  hint: set \"encoding\" to \"auto\", \"utf-8\" or \"latin-1\"");
  }
  out.resize(out.size() - to_left);
  return out;
}

/// Whether all bytes above 127 pair up as CP949 (lead 81..FE, trail 41..5A, 61..7A, 81..FE), most of them as KS X 1001.
bool looks_like_cp949(std::string_view bytes) {
  std::size_t pairs = 0, standard_pairs = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned lead = byte_at(bytes, i);
    if (lead < 0x80) continue;
    if (lead == 0x80 || lead == 0xFF || i + 1 == bytes.size()) return false;
    const unsigned trail = byte_at(bytes, ++i);
    const bool valid =
        (trail >= 0x41 && trail <= 0x5A) || (trail >= 0x61 && trail <= 0x7A) || (trail >= 0x81 && trail <= 0xFE);
    if (!valid) return false;
    ++pairs;
    standard_pairs += lead >= 0xA1 && trail >= 0xA1;
  }
  return pairs > 0 && standard_pairs * 2 >= pairs;
}

}  // namespace

TextEncoding detect_encoding(std::string_view bytes) {
  if (find_bad_utf8(bytes) == std::string_view::npos) return TextEncoding::utf8;
  return looks_like_cp949(bytes) ? TextEncoding::cp949 : TextEncoding::latin1;
}

Result<TextBytes> inspect_text(std::string_view bytes, TextEncoding encoding, const std::string& name) {
  const auto begins_with = [&](std::string_view mark) { return bytes.substr(0, mark.size()) == mark; };
  if (begins_with("\xFF\xFE") || begins_with("\xFE\xFF")) {
    return data_error(name + ": is UTF-16, which is not supported\n  hint: save it as \"CSV UTF-8\"");
  }
  if (begins_with("PK\x03\x04")) {
    return data_error(name + ": is a zip archive or a spreadsheet (.xlsx), not CSV text\n  hint: export it as CSV");
  }
  if (const std::size_t zero = bytes.find('\0'); zero != std::string::npos) {
    return data_error(name + ", line " + std::to_string(line_of(bytes, zero)) +
                      ": holds a zero byte, so it is not CSV text\n  hint: give a text file, or arrays as .npy");
  }
  if (begins_with(utf8_mark)) {
    if (encoding == TextEncoding::latin1 || encoding == TextEncoding::cp949) encoding = TextEncoding::utf8;
    bytes.remove_prefix(utf8_mark.size());
  }
  if (encoding == TextEncoding::automatic) return TextBytes{bytes, detect_encoding(bytes)};
  if (encoding != TextEncoding::utf8) return TextBytes{bytes, encoding};
  if (const std::size_t bad = find_bad_utf8(bytes); bad != std::string_view::npos) {
    return data_error(name + ", line " + std::to_string(line_of(bytes, bad)) + ": byte " + hex_byte(bytes[bad]) +
                      " is not UTF-8\n  hint: set \"encoding\" to \"auto\", \"latin-1\" or \"cp949\"");
  }
  return TextBytes{bytes, encoding};
}

Result<std::string> decode_text(const TextBytes& text, const std::string& name) {
  if (text.encoding == TextEncoding::latin1) return latin1_to_utf8(text.bytes);
  if (text.encoding == TextEncoding::cp949) return cp949_to_utf8(text.bytes, name);
  return std::string(text.bytes);
}

}  // namespace moru
