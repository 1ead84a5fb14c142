// What a character of Moru's texts is, whatever the locale of the program around: std::isalnum and its like ask that.
#pragma once

namespace moru {

constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
/// Of a name: a letter, a digit or '_'.
constexpr bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_'; }

}  // namespace moru
