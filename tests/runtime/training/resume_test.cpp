#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

#include "runtime/training/fit.h"
#include "tests/runtime/temporary_directory.h"
#include "tests/runtime/training/linear_program.h"

using namespace moru;
using moru::test::TemporaryDirectory;
using namespace moru::testing;

namespace {

// The run that everything below interrupts: noise from the random state, momentum, early stopping that puts back its best
// weights, a learning rate that changes, 6 epochs of 8 batches, the last of them short.
const Dataset& train_data() {
  static const Dataset data = make_linear_data(59);
  return data;
}
const Dataset& validation_data() {
  static const Dataset data = make_linear_data(21, 2);
  return data;
}

struct Trained {
  std::vector<std::byte> bytes;
  FitResult result;
};

struct RunOptions {
  std::string folder = {};
  bool resume = false;
  int64_t epochs = 6;
  int64_t every_steps = 0;
  int64_t signal_at_step = -1;
  int64_t patience = 3;
};

Result<Trained> run(const RunOptions& wanted) {
  const auto session = make_linear_session({.noise = true});
  FitOptions options;
  options.epochs = wanted.epochs;
  options.batch_size = 8;
  options.seed = 77;
  options.progress = ProgressStyle::quiet;
  options.checkpoint_directory = wanted.folder;
  options.checkpoint_every_steps = wanted.every_steps;
  options.resume = wanted.resume;
  options.stop_on_signal = wanted.signal_at_step >= 0;
  EarlyStoppingRecipe stopping;
  stopping.patience = wanted.patience;
  stopping.restore_best_weights = true;
  std::vector<Callback> callbacks = {early_stopping(stopping), learning_rate_schedule([](int64_t, double rate) {
                                       return rate * 0.9;
                                     })};
  Callback signals;
  signals.name = "signals";
  signals.on_step_end = [&](TrainingState& state) {
    if (state.step == wanted.signal_at_step) ::raise(SIGINT);
    return Status();
  };
  callbacks.push_back(signals);
  Result<FitResult> result = fit(*session, train_data(), &validation_data(), options, callbacks);
  if (!result.ok()) return result.status();
  return Trained{saved_bytes(*session), *std::move(result)};
}

Trained require_run(const RunOptions& wanted) {
  Result<Trained> trained = run(wanted);
  if (!trained.ok()) FAIL(trained.status().message());
  return std::move(trained).value();
}

void check_same(const Trained& a, const Trained& b) {
  CHECK(a.bytes == b.bytes);
  CHECK(a.result.epochs == b.result.epochs);
  CHECK(a.result.steps == b.result.steps);
  CHECK(a.result.stopped_early == b.result.stopped_early);
  REQUIRE(a.result.history.series.size() == b.result.history.series.size());
  for (size_t i = 0; i < a.result.history.series.size(); ++i) {
    CHECK(a.result.history.series[i].name == b.result.history.series[i].name);
    CHECK(a.result.history.series[i].values == b.result.history.series[i].values);
  }
}

std::vector<std::string> checkpoint_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(folder)) files.push_back(file.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("resume: a run interrupted after any step ends with the bits of one that was not") {
  const Trained whole = require_run({});
  for (int64_t step = 1; step < 6 * 8; ++step) {
    CAPTURE(step);
    const TemporaryDirectory folder;
    const Trained part = require_run({.folder = folder.path(), .signal_at_step = step});
    if (part.result.interrupted_by == 0) continue;  // it had stopped early before
    CHECK(part.result.interrupted_by == SIGINT);
    CHECK(part.result.steps == step);
    const Trained rest = require_run({.folder = folder.path(), .resume = true});
    CHECK(rest.result.resumed);
    check_same(rest, whole);
  }
}

TEST_CASE("resume: a run killed with SIGKILL at many random instants ends with the bits of one never killed") {
  const Trained whole = require_run({.epochs = 12, .patience = 12});
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  int kills = 0;
  for (int round = 0; round < 8; ++round) {
    const TemporaryDirectory folder;
    // Ever longer lives, so that a loaded machine gets there too.
    double longest_us = 8000;
    for (bool finished = false; !finished; longest_us *= 1.15) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        train_step_sleep_us = 100;
        const Result<Trained> trained =
            run({.folder = folder.path(), .resume = true, .epochs = 12, .every_steps = 1 + round * 2, .patience = 12});
        ::_exit(trained.ok() ? 0 : 3);
      }
      ::usleep(std::uniform_int_distribution<useconds_t>(500, static_cast<useconds_t>(longest_us))(random));
      ::kill(child, SIGKILL);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      finished = WIFEXITED(status);
      if (finished) CHECK(WEXITSTATUS(status) == 0);
      if (!finished) ++kills;
    }
    const Trained rest = require_run({.folder = folder.path(), .resume = true, .epochs = 12, .patience = 12});
    CHECK(rest.result.was_finished);
    check_same(rest, whole);
  }
  MESSAGE("killed " << kills << " times");
  CHECK(kills > 20);
}

TEST_CASE("resume: checkpoints by steps fall in the middle of an epoch, and the last two are kept") {
  const TemporaryDirectory folder;
  require_run({.folder = folder.path(), .epochs = 1, .every_steps = 3});
  const std::vector<std::string> files = checkpoint_files(folder.path());
  REQUIRE(files.size() == 2);
  CHECK(files[0].ends_with("ckpt-6.moruckpt"));
  CHECK(files[1].ends_with("ckpt-8.moruckpt"));
  const Result<Checkpoint> middle = read_checkpoint(files[0]);
  REQUIRE(middle.ok());
  CHECK(middle->epoch == 0);
  CHECK(middle->batch == 6);
  CHECK_FALSE(middle->finished);
  CHECK(read_checkpoint(files[1])->finished);
}

TEST_CASE("resume: a damaged checkpoint is passed over for the one before it, and the end is the same") {
  const Trained whole = require_run({});
  const TemporaryDirectory folder;
  require_run({.folder = folder.path(), .every_steps = 3, .signal_at_step = 20});
  const std::string newest = checkpoint_files(folder.path()).back();
  CHECK(newest.ends_with("ckpt-20.moruckpt"));
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) / 2);
  const Trained rest = require_run({.folder = folder.path(), .resume = true});
  check_same(rest, whole);
}

TEST_CASE("resume: a finished run asked for more epochs ends as if it had been asked for them at first") {
  const TemporaryDirectory folder;
  const Trained whole = require_run({.epochs = 9, .patience = 9});
  require_run({.folder = folder.path(), .epochs = 5, .patience = 9});
  const Trained longer = require_run({.folder = folder.path(), .resume = true, .epochs = 9, .patience = 9});
  CHECK_FALSE(longer.result.was_finished);
  check_same(longer, whole);
}

TEST_CASE("resume: without a checkpoint training starts from the beginning") {
  const TemporaryDirectory folder;
  const Trained trained = require_run({.folder = folder.path(), .resume = true});
  CHECK_FALSE(trained.result.resumed);
  check_same(trained, require_run({}));
}

TEST_CASE("resume: another batch size, other data and another program are refused, with what to do") {
  const TemporaryDirectory folder;
  require_run({.folder = folder.path(), .epochs = 1});
  FitOptions options;
  options.progress = ProgressStyle::quiet;
  options.checkpoint_directory = folder.path();
  options.resume = true;
  options.batch_size = 16;
  const auto session = make_linear_session({.noise = true});
  const auto message = [&](Session& with, const Dataset& data) {
    return fit(with, data, nullptr, options).status().message();
  };
  CHECK(message(*session, train_data()).find("it was trained with batch_size 8, not 16") != std::string::npos);
  options.batch_size = 8;
  CHECK(message(*session, make_linear_data(59, 5)).find("it was trained on other data") != std::string::npos);
  const auto other = make_linear_session({.noise = true, .hash = 99});
  CHECK(message(*other, train_data()).find("belongs to another program") != std::string::npos);
  options.allow_other_program = true;
  options.epochs = 2;
  CHECK(message(*other, train_data()).empty());
  options.shuffle = false;
  CHECK(message(*session, train_data()).find("it was trained with shuffling") != std::string::npos);
}

TEST_CASE("resume: a folder that cannot be written ends the training with the reason") {
  const TemporaryDirectory folder;
  std::ofstream(folder.path() + "/file") << "in the way";
  const Result<Trained> trained = run({.folder = folder.path() + "/file/checkpoints"});
  CHECK_FALSE(trained.ok());
  CHECK(trained.status().message().find("file/checkpoints") != std::string::npos);
}
