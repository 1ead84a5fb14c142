// Runs the real binaries as a user would, and keeps what they said.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/runtime/temporary_directory.h"

namespace moru::test {

struct Outcome {
  int code = -1;  // the exit code; 1000 + signal where one ended it
  std::string out, err;
};

struct ProcessOptions {
  std::string input = {};      // for standard input
  rlim_t most_file_bytes = 0;  // a limit on the size of files: what a full disk looks like; 0 is none
  bool as_nobody = false;      // give up root, so that permissions count
  std::string binary = "moru";
  std::string interrupt_when = {};  // SIGINT as soon as this folder holds a file
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
}

/// Runs MORU_BINARY_DIR/bin/<binary> with these arguments. The cache of compiled objects lives in `cache`.
inline Outcome run_moru(const std::vector<std::string>& arguments, const std::string& cache,
                        const ProcessOptions& options = {}) {
  const TemporaryDirectory streams;
  write_file(streams / "in", options.input);
  std::vector<std::string> words = {std::string(MORU_BINARY_DIR) + "/bin/" + options.binary};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::string in = streams / "in", out = streams / "out", err = streams / "err";
  const pid_t child = ::fork();
  if (child == 0) {
    const int from = ::open(in.c_str(), O_RDONLY), to = ::open(out.c_str(), O_WRONLY | O_CREAT, 0666),
              errors = ::open(err.c_str(), O_WRONLY | O_CREAT, 0666);
    ::dup2(from, 0);
    ::dup2(to, 1);
    ::dup2(errors, 2);
    ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
    if (options.most_file_bytes != 0) {
      const rlimit limit = {options.most_file_bytes, options.most_file_bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (options.as_nobody && ::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(126);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  int status = 0;
  pid_t ended = 0;
  while (!options.interrupt_when.empty() && ended == 0) {
    std::error_code ignored;
    if (std::filesystem::is_directory(options.interrupt_when, ignored) && !std::filesystem::is_empty(options.interrupt_when, ignored)) {
      ::kill(child, SIGINT);
      break;
    }
    ::usleep(1000);
    ended = ::waitpid(child, &status, WNOHANG);
  }
  if (ended == 0) ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read_file(out), read_file(err)};
}

/// Requires that it did what it was asked to.
inline void succeeds(const Outcome& outcome) {
  CAPTURE(outcome.out);
  CAPTURE(outcome.err);
  REQUIRE(outcome.code == 0);
}

/// A small regression with a model, a recipe and data: three numeric columns, one output `y`.
struct SmallProject {
  TemporaryDirectory directory;
  std::string cache = directory / "cache";

  static std::string model_json(const std::string& layers) {
    return R"({"class_name": "Sequential", "config": {"name": "small", "layers": [)" + layers + "]}}";
  }
  static std::string input_layer(const std::string& shape) {
    return R"({"class_name": "InputLayer", "config": {"batch_input_shape": [null, )" + shape +
           R"(], "dtype": "float32", "name": "x"}})";
  }
  static std::string small_model() {
    return model_json(input_layer("3") +
                      R"(, {"class_name": "Dense", "config": {"name": "hidden", "units": 8, "activation": "tanh"}},
      {"class_name": "Dense", "config": {"name": "y", "units": 1}})");
  }
  static std::string recipe(
      const std::string& model = "model.json", const std::string& data = "data.csv",
      const std::string& features = R"({"columns": ["a", "b", "c"], "scaler": "standard"})",
      const std::string& fit =
          R"("optimizer": {"name": "adam", "learning_rate": 0.01}, "loss": "mse", "metrics": ["mae"],
             "epochs": 3, "batch_size": 16)") {
    return "{\"model\": \"" + model + "\", // the model\n \"data\": {\"csv\": \"" + data + "\", \"features\": [" +
           features +
           "], \"target\": {\"column\": \"y\", \"scaler\": \"standard\"},\n \"split\": {\"train\": 0.7, "
           "\"validation\": 0.15, \"test\": 0.15}},\n \"fit\": {" +
           fit + "}}\n";
  }
  static std::string data(int rows = 120) {
    std::string text = "a,b,c,y\n";
    for (int i = 0; i < rows; ++i) {
      const double a = (i * 37 % 101) / 10.0, b = (i * 53 % 97) / 5.0, c = (i * 29 % 89) * 3.0;
      text += std::to_string(a) + "," + std::to_string(b) + "," + std::to_string(c) + "," +
              std::to_string(3 * a - b + 0.1 * c + 50) + "\n";
    }
    return text;
  }

  SmallProject() {
    write_file(directory / "model.json", small_model());
    write_file(directory / "data.csv", data());
    write_file(directory / "recipe.json", recipe());
  }
  std::string operator/(const std::string& name) const { return directory / name; }
  Outcome moru(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) const {
    return run_moru(arguments, cache, options);
  }
};

}  // namespace moru::test
