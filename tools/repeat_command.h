// The command line that was parsed, as a shell takes it once more.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace moru {

/// The word as it is where the shell leaves it alone, else in single quotes.
inline std::string shell_quoted(const std::string& word) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=+@%^";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// " word --option value --flag": what was given of the command's own options, in the order in which they are declared,
/// without the one that is called `without`.
inline std::string repeat_arguments(const CLI::App& command, const std::string& without = {}) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    const bool is_named = option->nonpositional();
    if (option->count() == 0 || (is_named && !without.empty() && option->check_name(without))) continue;
    const std::string name = is_named ? " " + option->get_name() : std::string();
    if (option->get_items_expected_max() == 0) {
      text += name;
      continue;
    }
    for (const std::string& value : option->results()) text += name + " " + shell_quoted(value);
  }
  return text;
}

}  // namespace moru
