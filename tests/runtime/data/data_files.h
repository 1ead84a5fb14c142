// Where data tests find and put their files.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "tests/runtime/temporary_directory.h"

namespace moru::test {

/// The path of a real data file, or "" with a loud message where it is not on this machine.
inline std::string shared_data(const std::string& name) {
  const char* given = std::getenv("MORU_SHARED");
  const std::filesystem::path folder = given != nullptr ? given : std::string(MORU_SOURCE_DIR) + "/../shared";
  const std::filesystem::path path = folder / "data" / name;
  if (std::filesystem::exists(path)) return path.string();
  std::printf("skipped: %s is not there; set MORU_SHARED\n", path.c_str());
  return {};
}

/// Writes a small file and returns its path.
inline std::string write_text(const TemporaryDirectory& directory, const std::string& name, std::string_view text) {
  write_bytes(directory / name, std::as_bytes(std::span(text)));
  return directory / name;
}

}  // namespace moru::test
