// What happens between epochs besides training: early stopping, saving weights, and whatever a C++ user hangs in.
//
// A callback is a struct of functions; those left empty cost nothing. What it keeps between epochs goes into every
// checkpoint, so that a resumed run decides as the uninterrupted one would have.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/checkpoint.h"
#include "runtime/data/recipe.h"
#include "runtime/session.h"
#include "runtime/status.h"
#include "runtime/training/history.h"
#include "runtime/training/monitor.h"
#include "runtime/training/progress.h"

namespace moru {

/// Where a fit stands; what callbacks read and may change.
struct TrainingState {
  Session& session;
  const History& history;  // at on_epoch_end it holds the epoch that ends
  Progress& progress;
  int64_t epoch = 0;    // the current one, counted from 0
  int64_t epochs = 0;   // asked for
  int64_t batch = 0;    // steps completed in the current epoch
  int64_t batches = 0;  // in an epoch
  int64_t step = 0;     // steps completed in all
  bool stop = false;    // set by a callback: no step follows, and no epoch follows this one
  bool validated = true;  // at on_epoch_end: this epoch was validated, so that the val_ values are its own
};

struct Callback {
  std::string name = {};     // tells its state in a checkpoint; no two callbacks of one fit have the same
  bool shows_learning_rate = false;  // the history gets the series learning_rate: that of the epoch's last step
  std::string monitor = {};  // the history key it reads; fit refuses to start if there is no such key. Empty: none
  std::function<Status(TrainingState&)> on_train_begin = {};
  std::function<Status(TrainingState&)> on_epoch_begin = {};
  std::function<Status(TrainingState&)> on_step_end = {};  // an indirect call per step
  std::function<Status(TrainingState&)> on_epoch_end = {};
  std::function<Status(TrainingState&)> on_train_end = {};
  std::function<void(SavedCallback&)> save = {};
  std::function<Status(const SavedCallback&)> restore = {};
};

/// keras.callbacks.EarlyStopping. With restore_best_weights the parameters and layer state of the best epoch are put
/// back when training ends, whether it stopped early or not. `rule` (if given) is the decision rule to use and, later,
/// to read best_epoch and stopped_epoch from.
Callback early_stopping(const EarlyStoppingRecipe& recipe, std::shared_ptr<EarlyStoppingRule> rule = nullptr);

/// keras.callbacks.ModelCheckpoint at the end of epochs: writes the program's `.moru` with the weights of this moment,
/// to `directory`/best.moru when the monitored value improved (save_best_only), or else to
/// `directory`/epoch-<NNNN>.moru, counted from 1. `write` (if given) writes the file instead of save_moru.
Callback model_checkpoint(const ModelCheckpointRecipe& recipe, std::string directory,
                          std::function<Status(const Session&, const std::string& path)> write = nullptr);

/// keras.callbacks.TerminateOnNaN: stops behind the step whose loss is NaN or infinite, and says which parameters are not
/// finite any more.
Callback stop_on_nan();

/// keras.callbacks.ReduceLROnPlateau: multiplies the learning rate by `factor`, down to `min_lr`, where the monitored value
/// has not improved by min_delta for `patience` epochs; behind that, `cooldown` epochs do not count. The history shows the rate.
Callback reduce_lr_on_plateau(const ReduceOnPlateauRecipe& recipe);

/// keras.callbacks.CSVLogger: `path` gets a line for each epoch, counted from 0, with the values of the history by name.
/// Rows that were in the file stay if `append`. A resumed run writes the rows of the epochs before it again.
Callback csv_logger(std::string path, std::string separator = ",", bool append = false);

/// keras.callbacks.LearningRateScheduler: before each epoch the control slot `learning_rate` becomes
/// rate(epoch, current rate), epochs counted from 0. The history shows it.
Callback learning_rate_schedule(std::function<double(int64_t epoch, double rate)> rate);

/// What the control slot `learning_rate` holds.
Result<double> learning_rate(const Session& session);

/// The number `name` of a saved callback, or null.
const SavedNumber* find_number(const SavedCallback& saved, const std::string& name);

}  // namespace moru
