// Training as Keras users know it: epochs of shuffled batches, validation after each, callbacks, history, progress,
// and checkpoints from which a killed run goes on with the same bits. The arithmetic is all in the program's entries;
// this is the loop around them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/session.h"
#include "runtime/status.h"
#include "runtime/training/callbacks.h"
#include "runtime/training/history.h"
#include "runtime/training/progress.h"

namespace moru {

struct FitOptions {
  int64_t epochs = 1;
  int64_t batch_size = 32;             // of training and validation; the short last batch is kept
  bool shuffle = true;                 // a permutation of its own for every epoch, a function of (seed, epoch)
  int64_t initial_epoch = 0;           // the first epoch of a fresh start; its data are those of that epoch
  int64_t steps_per_epoch = 0;         // 0: the whole data; else so many, going on through the data from epoch to epoch
  int64_t validation_freq = 1;         // validation behind every so many epochs; the others show NaN
  uint64_t seed = 0;                   // also goes to the control slot `seed`, for dropout and noise
  std::vector<ClassWeight> class_weight;  // by label of the only target: its integer, or the place of its largest value

  ProgressStyle progress = ProgressStyle::automatic;
  std::FILE* progress_stream = stderr;

  std::string checkpoint_directory;      // empty: none are written
  int64_t checkpoint_every_steps = 0;    // exactly then, in the middle of an epoch too; 0 = not by steps
  double checkpoint_every_seconds = 30;  // looked at every few milliseconds; 0 = not by time
  bool resume = false;                   // go on from the newest good checkpoint in the directory; from the start if none
  bool allow_other_program = false;      // resume a checkpoint of another program: what fits, and not bit-equal

  bool stop_on_signal = false;  // SIGINT and SIGTERM finish the step, write a checkpoint and return
};

struct FitResult {
  History history;
  int64_t epochs = 0;          // completed, those before a resume included
  int64_t steps = 0;           // likewise
  double seconds = 0;          // spent training, validation included; likewise
  bool stopped_early = false;  // a callback ended it
  int interrupted_by = 0;      // the signal that ended it, or 0
  uint64_t seed = 0;           // that of the checkpoint where resumed
  bool resumed = false;
  bool was_finished = false;   // resumed a run that had nothing left to do
};

/// Whether every callback has a name of its own and monitors something that a run of `program` measures. fit checks it too;
/// this is for those who want to know before they clear an earlier run.
Status check_callbacks(const Program& program, bool validated, std::span<const Callback> callbacks);

/// Trains the session's parameters on `train`. Fails before the first step if the program does not train, the data do not
/// fit its slots, a callback monitors what is not measured, or a checkpoint to resume belongs to another program, to
/// other data or to another batch size.
///
/// Values in the history are those of the program's entry `metric_results`: for training, means over the epoch while the
/// parameters change, as in Keras. Steps after the first (and after the first short batch) allocate nothing. The memory
/// that inputs and targets were bound to is gone afterwards: bind them again before running an entry by hand.
Result<FitResult> fit(Session& session, const Dataset& train, const Dataset* validation, const FitOptions& options,
                      std::span<Callback> callbacks = {});

}  // namespace moru
