#include "runtime/training/monitor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

using namespace moru;

namespace {

struct Outcome {
  bool stopped = false;
  int64_t last_epoch = -1;
  int64_t best_epoch = -1;
};

Outcome watch(EarlyStoppingRule& rule, const std::vector<double>& values) {
  Outcome outcome;
  for (size_t epoch = 0; epoch < values.size() && !outcome.stopped; ++epoch) {
    outcome.last_epoch = static_cast<int64_t>(epoch);
    outcome.stopped = rule.judge(outcome.last_epoch, values[epoch]).stop;
  }
  outcome.best_epoch = rule.best_epoch;
  return outcome;
}

EarlyStoppingRecipe with_patience(int64_t patience) {
  EarlyStoppingRecipe options;
  options.patience = patience;
  return options;
}

EarlyStoppingRecipe with_min_delta(double min_delta) {
  EarlyStoppingRecipe options = with_patience(1);
  options.min_delta = min_delta;
  return options;
}

EarlyStoppingRecipe with_monitor(const char* monitor, MonitorMode mode = MonitorMode::automatic) {
  EarlyStoppingRecipe options = with_patience(1);
  options.monitor = monitor;
  options.mode = mode;
  return options;
}

Outcome watch(const EarlyStoppingRecipe& options, const std::vector<double>& values) {
  EarlyStoppingRule rule(options);
  return watch(rule, values);
}

std::filesystem::path shared_folder() {
  if (const char* folder = std::getenv("MORU_SHARED")) return folder;
  return std::filesystem::path(MORU_SOURCE_DIR) / ".." / "shared";
}

}  // namespace

TEST_CASE("early stopping: every recorded Keras run stops at the epoch and keeps the best epoch that Keras did") {
  const std::filesystem::path cases = shared_folder() / "oracles/keras/train";
  if (!std::filesystem::exists(cases)) {
    std::cout << "skipped: no Keras oracles at " << cases << "\n";
    return;
  }
  int judged = 0;
  for (const auto& folder : std::filesystem::directory_iterator(cases)) {
    if (!folder.path().filename().string().starts_with("es_")) continue;
    CAPTURE(folder.path().string());
    std::ifstream file(folder.path() / "case.json");
    const auto recorded = nlohmann::json::parse(file);
    const auto& arguments = recorded["fit"]["early_stopping"];
    EarlyStoppingRecipe options;
    options.monitor = arguments["monitor"];
    options.patience = arguments["patience"];
    options.min_delta = arguments.value("min_delta", 0.0);
    if (arguments.contains("baseline")) options.baseline = arguments["baseline"].get<double>();
    options.restore_best_weights = arguments.value("restore_best_weights", false);
    const auto values = recorded["expected"]["history"][options.monitor].get<std::vector<double>>();
    EarlyStoppingRule rule(options);
    const Outcome outcome = watch(rule, values);
    const auto& expected = recorded["expected"]["early_stopping"];
    CHECK(outcome.stopped == expected["stopped"].get<bool>());
    CHECK(outcome.last_epoch == expected["stopped_epoch_index"].get<int64_t>());
    CHECK(outcome.best_epoch == expected["best_epoch_index"].get<int64_t>());
    CHECK(values.size() == static_cast<size_t>(outcome.last_epoch + 1));
    ++judged;
  }
  CHECK(judged >= 3);
}

TEST_CASE("early stopping: patience counts the epochs since the last improvement") {
  const Outcome outcome = watch(with_patience(2), {3, 2, 2.5, 1.9, 2.0, 2.0, 1.0});
  CHECK(outcome.stopped);
  CHECK(outcome.last_epoch == 5);
  CHECK(outcome.best_epoch == 3);
}

TEST_CASE("early stopping: an improvement of no more than min_delta is none") {
  CHECK(watch(with_min_delta(0.1), {1.0, 0.95}).stopped);
  CHECK(watch(with_min_delta(-0.1), {1.0, 0.95}).stopped);
  CHECK_FALSE(watch(with_min_delta(0.01), {1.0, 0.95}).stopped);
}

TEST_CASE("early stopping: the mode follows the metric's name unless it is given") {
  CHECK_FALSE(watch(with_monitor("val_accuracy"), {0.1, 0.2, 0.3}).stopped);
  CHECK(watch(with_monitor("val_loss"), {0.1, 0.2}).stopped);
  CHECK(watch(with_monitor("val_accuracy", MonitorMode::min), {0.1, 0.2}).stopped);
  CHECK(larger_is_better("val_out_r2"));
  CHECK(larger_is_better("sparse_categorical_accuracy"));
  CHECK(larger_is_better("sparse_top_k_categorical_accuracy"));
  CHECK(larger_is_better("acc"));
  CHECK_FALSE(larger_is_better("val_loss"));
  CHECK_FALSE(larger_is_better("mean_absolute_error"));
  CHECK_FALSE(larger_is_better("vacc"));
}

TEST_CASE("early stopping: the metric's name may be written as its class") {
  for (const char* name : {"AUC", "val_AUC", "F1Score", "out_MeanIoU", "val_R2Score", "SparseCategoricalAccuracy", "precision_at_recall"})
    CHECK(larger_is_better(name));
  for (const char* name : {"loss", "val_MeanSquaredError", "false_positives", "spauc"}) CHECK_FALSE(larger_is_better(name));
}

TEST_CASE("early stopping: a baseline that is never beaten stops after patience, and improvements do not reset the wait") {
  EarlyStoppingRecipe options = with_patience(3);
  options.baseline = 0.5;
  const Outcome outcome = watch(options, {1.0, 0.9, 0.8, 0.85});
  CHECK(outcome.stopped);
  CHECK(outcome.last_epoch == 3);
  CHECK(outcome.best_epoch == 2);
}

TEST_CASE("early stopping: epochs before start_from_epoch are not looked at") {
  EarlyStoppingRecipe options = with_patience(1);
  options.start_from_epoch = 3;
  const Outcome outcome = watch(options, {0.1, 0.1, 0.1, 5.0, 6.0});
  CHECK(outcome.stopped);
  CHECK(outcome.last_epoch == 4);
  CHECK(outcome.best_epoch == 3);
}

TEST_CASE("early stopping: training never stops at epoch 0, and NaN never improves") {
  CHECK_FALSE(watch(with_patience(0), {std::nan("")}).stopped);
  const Outcome outcome = watch(with_patience(2), {1.0, std::nan(""), std::nan("")});
  CHECK(outcome.stopped);
  CHECK(outcome.best_epoch == 0);
}
