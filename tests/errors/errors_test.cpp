// What users are told about wrong input, word by word (wrong_*.cpp). Nothing crashes, and nothing is left half written.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <regex>

#include "runtime/data/npy.h"
#include "tests/errors/wrong.h"

namespace fs = std::filesystem;

namespace moru::test {
namespace {

/// Program hashes and the sizes of files depend on the processor and on the version.
std::string without_accidents(const std::string& text) {
  const std::string hashless = std::regex_replace(text, std::regex("[0-9a-f]{16}"), "#");
  return std::regex_replace(hashless, std::regex("[0-9]+ bytes but has [0-9]+"), "# bytes but has #");
}

/// All files but those of the cache.
std::vector<std::string> list_files(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& item : fs::recursive_directory_iterator(directory))
    if (!item.path().string().starts_with(directory + "/cache")) names.push_back(item.path().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string with_flipped_bit(std::string bytes, size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  return bytes;
}

/// The small project with the files of a table beside it, and what moru itself writes, whole and damaged.
struct WrongProject : SmallProject {
  std::string checkpoint;

  explicit WrongProject(const std::vector<Wrong>& table) {
    for (const Wrong& wrong : table)
      for (const auto& [name, text] : wrong.files) write_file(directory / name, text);
    write_arrays();
    write_models();
    write_checkpoints();
    write_folders();
  }

 private:
  void write_arrays() {
    const std::vector<float> six = {1, 2, 3, 4, 5, 6};
    const auto array = [&](const char* name, std::vector<int64_t> shape) {
      REQUIRE(write_npy(directory / name, DType::f32, shape, std::as_bytes(std::span(six))).ok());
    };
    array("x.npy", {2, 3});
    array("x32.npy", {3, 2});
    array("x6.npy", {6});
    write_file(directory / "cut.npy", read_file(directory / "x.npy").substr(0, 140));
  }
  void write_models() {
    REQUIRE(moru({"import", directory / "model.json", "-o", directory / "model.moru"}).code == 0);
    const std::string bytes = read_file(directory / "model.moru");
    write_file(directory / "cut.moru", bytes.substr(0, bytes.size() / 2));
    write_file(directory / "header.moru", bytes.substr(0, 20));
    write_file(directory / "flip_weights.moru", with_flipped_bit(bytes, bytes.size() - 70));
    write_file(directory / "flip_magic.moru", with_flipped_bit(bytes, 0));
  }
  void write_checkpoints() {
    const Outcome trained = moru({"train", directory / "recipe.json", "--run-dir", directory / "run", "--quiet"});
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    for (const auto& item : fs::directory_iterator(directory / "run/checkpoints")) checkpoint = item.path().string();
    const std::string saved = read_file(checkpoint);
    write_file(directory / "cut.moruckpt", saved.substr(0, saved.size() - 100));
    write_file(directory / "flip.moruckpt", with_flipped_bit(saved, saved.size() / 2));
  }
  void write_folders() {
    fs::create_directory(directory / "nothing_here");
    fs::create_directory(directory / "locked");
    fs::permissions(directory / "locked",
                    fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
    // Whoever gives up root must still be able to read.
    fs::permissions(directory.path(), fs::perms::all);
  }
};

}  // namespace

TEST_CASE("every wrong input gets its message, its exit code, and leaves nothing behind") {
  std::vector<Wrong> table;
  for (const auto& rows : {wrong_flags, wrong_models, damaged_models, wrong_recipes, wrong_tables, wrong_arrays, wrong_names,
                           wrong_checkpoints, wrong_places})
    for (const Wrong& row : rows()) table.push_back(row);
  const WrongProject project(table);
  const bool print = std::getenv("MORU_PRINT_ERRORS") != nullptr;  // for writing this table
  for (const Wrong& wrong : table) {
    const std::string what = wrong.what;
    CAPTURE(what);
    std::vector<std::string> arguments;
    for (const std::string& argument : wrong.arguments)
      arguments.push_back(replace_all(argument, "@", project.directory.path()));
    const std::vector<std::string> before = list_files(project.directory.path());
    const Outcome outcome = project.moru(arguments, wrong.options);
    const std::string message = without_accidents(replace_all(outcome.err, project.directory.path(), "@"));
    if (print) {
      std::cout << "### " << wrong.what << " -> " << outcome.code << "\n" << message;
      continue;
    }
    if (wrong.options.as_nobody && outcome.code == 127) {
      std::cout << "skipped: " << wrong.what << " (the user nobody cannot run the binary)\n";
      continue;
    }
    CHECK(outcome.code == wrong.code);
    CHECK(message == wrong.message);
    CHECK(outcome.out.empty());
    CHECK(list_files(project.directory.path()) == before);
  }
}

TEST_CASE("a disk that fills up while training ends the run with a message, and no half file") {
  const SmallProject project;
  const Outcome outcome =
      project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "--quiet", "--no-cache"},
                   {.most_file_bytes = 2500});
  CHECK(outcome.code == 1);
  CHECK(outcome.err.starts_with("error: cannot write '" + (project / "run/checkpoints/")));
  CHECK(outcome.err.ends_with("': File too large\n"));
  for (const std::string& name : list_files(project.directory.path())) {
    CHECK(name.find(".tmp-") == std::string::npos);
    CHECK_FALSE(name.ends_with(".moru"));
    CHECK_FALSE(name.ends_with(".moruckpt"));
  }
}

TEST_CASE("output that cannot be written is an error") {
  const SmallProject project;
  const Outcome outcome = project.moru({"dump", project / "model.json"}, {.most_file_bytes = 100});
  CHECK(outcome.code == 1);
}

TEST_CASE("models and checkpoints that were cut or bent anywhere are refused, never followed") {
  const WrongProject project({});
  uint64_t state = 20250301;  // the positions below; print it to repeat a failure
  const auto random = [&](size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % below;
  };
  struct File {
    std::string path, name;
    std::vector<std::string> arguments;
  };
  const std::vector<File> files = {
      {project / "run/model.moru",
       "bent.moru",
       {"predict", project / "bent.moru", "--data", project / "data.csv", "-o", project / "p.csv"}},
      {project.checkpoint, "bent.moruckpt", {"checkpoint", project / "bent.moruckpt"}}};
  for (const File& file : files) {
    const std::string whole = read_file(file.path);
    write_file(project / file.name, whole);
    const Outcome good = project.moru(file.arguments);
    CAPTURE(good.err);
    REQUIRE(good.code == 0);
    const std::string answer = read_file(project / "p.csv");
    for (int i = 0; i < 60; ++i) {
      const size_t at = random(whole.size());
      const bool cut = i % 3 == 0;
      CAPTURE(file.name);
      CAPTURE(at);
      CAPTURE(cut);
      write_file(project / file.name, cut ? whole.substr(0, at) : with_flipped_bit(whole, at));
      const Outcome outcome = project.moru(file.arguments);
      CAPTURE(outcome.err);
      // A bit between sections means nothing; then the answer is the same.
      CHECK((outcome.code == 1 || (outcome.code == 0 && !cut && outcome.out == good.out)));
      CHECK(outcome.err.find("bug in Moru") == std::string::npos);
      CHECK(read_file(project / "p.csv") == answer);
    }
  }
}

}  // namespace moru::test
