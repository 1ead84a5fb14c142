// What is wrong, row by row: the command, its exit code and its message. `@` stands for the directory of the small project.
#pragma once

#include <string>
#include <vector>

#include "tests/tools/moru_process.h"

namespace moru::test {

inline std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// A file that is wrong.
struct WrongFile {
  std::string name, text;
};

struct Wrong {
  const char* what;
  std::vector<std::string> arguments;
  int code;
  std::string message;
  ProcessOptions options = {};
  std::vector<WrongFile> files = {};  // that the small project gets for it
};

inline Wrong with(std::vector<WrongFile> files, Wrong row) {
  row.files = std::move(files);
  return row;
}

inline std::string model_of(const std::string& layers, const std::string& input = "3") {
  return SmallProject::model_json(SmallProject::input_layer(input) + ", " + layers);
}
inline std::string recipe_with(const std::string& from, const std::string& to) {
  return replace_all(SmallProject::recipe(), from, to);
}

// One file each: wrong_<what>.cpp.
std::vector<Wrong> wrong_flags();
std::vector<Wrong> wrong_models();
std::vector<Wrong> damaged_models();
std::vector<Wrong> wrong_recipes();
std::vector<Wrong> wrong_tables();
std::vector<Wrong> wrong_arrays();
std::vector<Wrong> wrong_names();
std::vector<Wrong> wrong_checkpoints();
std::vector<Wrong> wrong_places();

}  // namespace moru::test
