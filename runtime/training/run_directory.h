// The folder a training run leaves behind. Every file is written whole or not at all.
//
//   recipe.json        the recipe as resolved: what `moru train recipe.json` takes to repeat the run
//   model.moru         the trained model with its recipe: the best weights where early stopping restores them; with the
//                      optimizer's last state where the compiler is at hand
//   checkpoints/       what --resume goes on from; best.moru or epoch-NNNN.moru where the recipe asks for model_checkpoint
//   history.json       Keras' History keys, one value per epoch (null: an epoch without validation); history.csv alike
//   metrics.json       RunMetrics below
//   predictions.csv    the test part for people: predictions_table.h
//   predictions.json   the test part (the validation part where there is none) for programs, with times and the naive
//                      baselines' answers: predictions_json.h
//   report.html        made from all of these by `moru report` or `moru train --report`
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/data/recipe.h"
#include "runtime/session.h"
#include "runtime/status.h"
#include "runtime/training/history.h"
#include "runtime/training/progress.h"

namespace moru {

/// True of the names above: files of others must be called otherwise.
bool is_run_file(std::string_view name);

class RunDirectory {
 public:
  /// Makes the folder and checkpoints/ in it, parents included. A fresh run removes the checkpoints and results of an
  /// earlier one, so that a later resume cannot mix the two; other files are left alone.
  static Result<RunDirectory> create(const std::string& path, bool resume);

  const std::string& path() const { return path_; }
  std::string file(const char* name) const { return path_ + "/" + name; }
  std::string checkpoints() const { return file("checkpoints"); }
  std::string model() const { return file("model.moru"); }

  /// history.json (Keras' History keys, one value per epoch) and history.csv.
  Status write_history(const History& history) const;

 private:
  std::string path_;
};

/// Writes the session's program as a `.moru` with its present weights and `recipe`, what was fitted included; and with
/// `training` as the section of that name, unless it is empty.
Status save_model(const Session& session, const Recipe& recipe, const std::string& path,
                  std::span<const std::byte> training = {});

/// The numbers of one part of the data, or of one baseline, in order.
struct NamedMetrics {
  std::string name;  // "train", "validation", "test"; "persistence", ...
  std::vector<NamedValue> values;
  std::string output = {};  // of a baseline: which it forecasts, where there are several; parts have "<output>_mae"
};

/// What metrics.json holds.
struct RunMetrics {
  double seconds = 0;  // of training, validation included, over all resumes
  double seconds_per_epoch = 0;
  int64_t epochs = 0;
  int64_t best_epoch = 0;  // counted from 1, as the progress lines do; 0 where no epoch ran
  bool stopped_early = false;
  std::vector<NamedMetrics> parts;      // train, validation, test, in raw units
  std::vector<NamedMetrics> baselines;  // of the test part
  uint64_t program_hash = 0;
  std::string target;
  int threads = 1;
  uint64_t seed = 0;
  int64_t parameters = 0;
  std::string finished;           // when, as "2024-05-01T12:30:00Z"
  std::string data;               // the file that was read
  uint64_t data_fingerprint = 0;  // of its bytes
  std::vector<std::pair<std::string, int64_t>> samples;  // by part

  /// {"seconds": ..., "train": {"loss": ...}, "validation": {...}, "test": {...}, "baselines": {"persistence": {...}}}
  std::string to_json() const;
  /// The same for people: a table of parts and baselines by metric, and a line on time.
  std::string to_text() const;
};

/// A table with one line per entry of `rows` and one column per metric that any of them has.
std::string metrics_table(std::span<const NamedMetrics> rows);

}  // namespace moru
