// A run that is killed again and again ends with the same bits as one that never was: SIGKILL at random instants, in
// the middle of steps and of writes, and signals that a run may answer. Dropout, early stopping's best weights and
// checkpoints in the middle of epochs are all part of it.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>

#include "tests/tools/moru_process.h"

using namespace moru::test;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// A recurrent model with dropout on windows of a made-up series.
struct RecurrentProject : SmallProject {
  RecurrentProject() {
    write_file(directory / "model.json",
               model_json(input_layer("6, 3") +
                          R"(, {"class_name": "LSTM", "config": {"name": "memory", "units": 8, "activation": "tanh",
      "recurrent_activation": "sigmoid"}},
      {"class_name": "Dropout", "config": {"name": "noise", "rate": 0.3}},
      {"class_name": "Dense", "config": {"name": "y", "units": 1}})"));
    write_file(directory / "data.csv", data(500));
    write_file(directory / "recipe.json", R"({"model": "model.json", "data": {"csv": "data.csv",
      "features": [{"columns": ["a", "b", "c"], "scaler": "standard"}],
      "target": {"column": "y", "scaler": "standard"}, "window": {"length": 6, "horizon": 1, "stride": 1},
      "split": {"train": 0.7, "validation": 0.15, "test": 0.15}},
      "fit": {"optimizer": {"name": "adam", "learning_rate": 0.003}, "loss": "mse", "metrics": ["mae"],
        "seed": 5, "batch_size": 16, "checkpoint_every_steps": 3, "epochs": 8,
        "callbacks": {"early_stopping": {"patience": 1000, "restore_best_weights": true},
                      "model_checkpoint": {"save_best_only": true}}}})");
  }
};

/// Starts a binary; its output goes to `log`.
pid_t start(const std::vector<std::string>& arguments, const std::string& cache, const std::string& log) {
  std::vector<std::string> words = arguments;
  words[0] = std::string(MORU_BINARY_DIR) + "/bin/" + words[0];
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  // Signals wait until the child has put down the handlers of this test program.
  sigset_t all, before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGTERM, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    const int to = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ::dup2(to, 1);
    ::dup2(to, 2);
    ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return child;
}

/// Waits for a child; its exit code, or 1000 + the signal that ended it.
int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// The step of the newest checkpoint in a run directory, or 0.
int64_t newest_step(const std::string& run) {
  int64_t newest = 0;
  std::error_code ignored;
  for (const auto& item : std::filesystem::directory_iterator(run + "/checkpoints", ignored)) {
    const std::string name = item.path().filename().string();
    if (name.starts_with("ckpt-") && name.ends_with(".moruckpt"))
      newest = std::max<int64_t>(newest, std::strtoll(name.c_str() + 5, nullptr, 10));
  }
  return newest;
}

bool has_ended(pid_t child) {
  siginfo_t information = {};
  return ::waitid(P_PID, static_cast<id_t>(child), &information, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         information.si_pid == child;
}

/// Runs `command` with --run-dir `run`, sending `signal` at a random instant within `longest` seconds of each start,
/// until it is done. The instants come from the printed seed; where they fall in the run depends on the machine. After
/// `budget` seconds it is left alone. The first three signals wait for a new checkpoint and come soon after it, so that a
/// machine that takes long to start a program, and little to finish it, has runs to resume too.
void run_with_signals(std::vector<std::string> command, const std::string& run, const std::string& cache, int signal,
                      double longest, double budget) {
  const char* chosen = std::getenv("MORU_TEST_SEED");
  const uint64_t seed = chosen ? std::strtoull(chosen, nullptr, 10) : std::random_device()();
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> instants(0.0, longest);
  command.insert(command.end(), {"--quiet", "--run-dir", run});
  const Clock::time_point begin = Clock::now();
  int ended = 0, resumed = 0, code = -1;
  while (true) {
    const int64_t step = newest_step(run);
    if (step > 0) ++resumed;
    const pid_t child = start(command, cache, run + ".log");
    if (ended == 0) command.push_back("--resume");
    if (ended < 3) {
      while (newest_step(run) <= step && !has_ended(child)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (ended < 3 || seconds_since(begin) < budget) {
      std::this_thread::sleep_for(std::chrono::duration<double>(instants(random) * (ended < 3 ? 0.05 : 1.0)));
      ::kill(child, signal);
    }
    code = wait_for(child);
    const bool was_ended = code == 1000 + signal || code == 128 + signal;
    if (!was_ended) break;
    ++ended;
  }
  std::printf("%s: signal %d came %d times within %.2f s each, %d starts found a checkpoint (MORU_TEST_SEED=%llu)\n",
              command[0].c_str(), signal, ended, longest, resumed, static_cast<unsigned long long>(seed));
  CAPTURE(seed);
  REQUIRE_MESSAGE(code == 0, read_file(run + ".log"));
  CHECK(ended >= 3);  // else this test shows nothing
  CHECK(resumed >= 2);
}

/// All that a run leaves behind and that does not measure time is the same, byte by byte.
void check_same_run(const std::string& run, const std::string& expected) {
  for (const char* name :
       {"model.moru", "history.json", "history.csv", "predictions.csv", "recipe.json", "checkpoints/best.moru"}) {
    const std::string bytes = read_file(expected + "/" + name);
    CHECK_MESSAGE(!bytes.empty(), name);
    CHECK_MESSAGE(read_file(run + "/" + name) == bytes, name);
  }
  // Nothing half written stays behind; a kill between a checkpoint and the removal of an old one leaves one more.
  int64_t checkpoints = 0;
  for (const auto& item : std::filesystem::recursive_directory_iterator(run)) {
    const std::string name = std::filesystem::relative(item.path(), run).string();
    if (name.ends_with(".moruckpt")) {
      ++checkpoints;
    } else {
      CHECK_MESSAGE(std::filesystem::exists(expected + "/" + name), name);
    }
  }
  CHECK(checkpoints >= 1);
  CHECK(checkpoints <= 3);
}

/// Trains once undisturbed; how long that took.
double train_undisturbed(std::vector<std::string> command, const std::string& run, const std::string& cache) {
  command.insert(command.end(), {"--quiet", "--run-dir", run});
  const Clock::time_point begin = Clock::now();
  const int code = wait_for(start(command, cache, run + ".log"));
  REQUIRE_MESSAGE(code == 0, read_file(run + ".log"));
  return seconds_since(begin);
}

/// The command with as many epochs as take about a second: flushing checkpoints is quick here and slow there.
std::vector<std::string> about_a_second(std::vector<std::string> command, const std::string& run,
                                        const std::string& cache) {
  command.insert(command.end(), {"--epochs", "4"});
  train_undisturbed(command, run, cache);  // fills the cache of compiled objects
  const double epoch = train_undisturbed(command, run, cache) / 4;
  command.back() = std::to_string(std::clamp(static_cast<int>(1.0 / epoch), 8, 200));
  return command;
}

}  // namespace

TEST_CASE("resume: moru-run, killed at random instants and resumed, ends with the bits of an undisturbed run") {
  const RecurrentProject project;
  const Outcome compiled = project.moru({"compile", project / "recipe.json", "-o", project / "model.so"});
  REQUIRE_MESSAGE(compiled.code == 0, compiled.err);
  const std::vector<std::string> command =
      about_a_second({"moru-run", project / "model.so", "train"}, project / "trial", project.cache);
  const double seconds = train_undisturbed(command, project / "whole", project.cache);
  run_with_signals(command, project / "killed", project.cache, SIGKILL, seconds / 5, 6);
  check_same_run(project / "killed", project / "whole");
}

TEST_CASE("resume: moru train, killed at random instants and resumed, ends with the bits of an undisturbed run") {
  const RecurrentProject project;
  const std::vector<std::string> command =
      about_a_second({"moru", "train", project / "recipe.json"}, project / "trial", project.cache);
  const double seconds = train_undisturbed(command, project / "whole", project.cache);
  run_with_signals(command, project / "killed", project.cache, SIGKILL, seconds / 5, 6);
  check_same_run(project / "killed", project / "whole");
}

TEST_CASE("resume: a run that is asked to stop saves where it stands and goes on with the same bits") {
  const RecurrentProject project;
  const Outcome compiled = project.moru({"compile", project / "recipe.json", "-o", project / "model.so"});
  REQUIRE_MESSAGE(compiled.code == 0, compiled.err);
  const std::vector<std::string> command =
      about_a_second({"moru-run", project / "model.so", "train"}, project / "trial", project.cache);
  const double seconds = train_undisturbed(command, project / "whole", project.cache);
  run_with_signals(command, project / "stopped", project.cache, SIGTERM, seconds / 5, 3);
  check_same_run(project / "stopped", project / "whole");
}

TEST_CASE("resume: another number of threads goes on with the same bits") {
  const RecurrentProject project;
  const std::vector<std::string> command = {"moru", "train", project / "recipe.json"};
  const double seconds = train_undisturbed(command, project / "whole", project.cache);
  // One thread until it is killed, about half way; the rest by two.
  const pid_t child = start({"moru", "train", project / "recipe.json", "--quiet", "--run-dir", project / "mixed"},
                            project.cache, project / "log");
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 2));
  ::kill(child, SIGKILL);
  wait_for(child);
  const Outcome rest = project.moru(
      {"train", project / "recipe.json", "--quiet", "--run-dir", project / "mixed", "--threads", "2", "--resume"});
  REQUIRE_MESSAGE(rest.code == 0, rest.err);
  check_same_run(project / "mixed", project / "whole");
}
