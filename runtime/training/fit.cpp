#include "runtime/training/fit.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "runtime/checksum.h"
#include "runtime/training/batch_feeder.h"
#include "runtime/training/interrupt.h"
#include "runtime/training/metric_entries.h"
#include "runtime/training/shuffle.h"

namespace moru {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

constexpr double seconds_between_looks = 0.01;  // at the clock
// Checkpoints at the end of epochs are skipped where epochs are so short that writing them would take more than this
// share of the time. What a resumed run computes does not depend on where it resumes.
constexpr double largest_checkpoint_share = 0.05;

class Fit {
 public:
  Fit(Session& session, const Dataset& train, const Dataset* validation, const FitOptions& options,
      std::span<Callback> callbacks)
      : session_(session),
        train_(train),
        validation_(validation),
        options_(options),
        callbacks_(callbacks),
        seed_(options.seed),
        progress_(options.progress, options.progress_stream, &result_.history),
        state_{.session = session, .history = result_.history, .progress = progress_} {}

  Result<FitResult> run() {
    MORU_RETURN_IF_ERROR(prepare());
    MORU_RETURN_IF_ERROR(start());
    std::optional<InterruptGuard> interrupts;
    if (options_.stop_on_signal) interrupts.emplace();
    begin_ = last_look_ = last_redraw_ = last_checkpoint_ = Clock::now();
    MORU_RETURN_IF_ERROR(notify(&Callback::on_train_begin));
    while (!state_.stop && state_.epoch < options_.epochs && result_.interrupted_by == 0) {
      MORU_RETURN_IF_ERROR(run_epoch());
    }
    result_.seconds = seconds_so_far();
    result_.epochs = state_.epoch;
    result_.steps = state_.step;
    result_.stopped_early = state_.stop;
    result_.seed = seed_;
    progress_.end(result_.epochs, result_.seconds);
    if (result_.interrupted_by != 0) return std::move(result_);
    if (const std::optional<uint32_t> finish = session_.program().find_entry("finish_training");
        finish && state_.step > 0) {
      MORU_RETURN_IF_ERROR(session_.run(*finish));
    }
    if (!result_.was_finished) MORU_RETURN_IF_ERROR(save(/*finished=*/true));
    MORU_RETURN_IF_ERROR(notify(&Callback::on_train_end));
    return std::move(result_);
  }

 private:
  /// Everything that can be wrong before the first step.
  Status prepare() {
    if (options_.epochs < 0) return Status(StatusCode::invalid_argument, "epochs must not be negative");
    if (options_.batch_size < 1) return Status(StatusCode::invalid_argument, "batch_size must be at least 1");
    if (options_.initial_epoch < 0) return Status(StatusCode::invalid_argument, "initial_epoch must not be negative");
    if (options_.steps_per_epoch < 0) return Status(StatusCode::invalid_argument, "steps_per_epoch must not be negative");
    if (options_.validation_freq < 1) return Status(StatusCode::invalid_argument, "validation_freq must be at least 1");
    Result<uint32_t> train_step = require_entry(session_.program(), "train_step");
    if (!train_step) return train_step.status();
    train_step_ = *train_step;
    Result<MetricEntries> metrics = MetricEntries::find(session_.program());
    if (!metrics) return metrics.status();
    metrics_ = *std::move(metrics);

    Result<BatchFeeder> feeder =
        BatchFeeder::create(session_, train_step_, train_, options_.batch_size, options_.class_weight);
    if (!feeder) return feeder.status();
    train_feeder_.emplace(*std::move(feeder));
    const int64_t samples = train_feeder_->samples();
    if (samples == 0) return Status(StatusCode::invalid_argument, "there are no training samples");
    batches_in_data_ = (samples + options_.batch_size - 1) / options_.batch_size;
    steps_per_epoch_ = options_.steps_per_epoch == 0 ? batches_in_data_ : std::min(options_.steps_per_epoch, batches_in_data_);
    state_.epochs = options_.epochs;
    state_.epoch = options_.initial_epoch;
    place_epoch();
    order_.resize(static_cast<size_t>(samples));

    if (validation_ != nullptr) {
      Result<uint32_t> evaluate = require_entry(session_.program(), "evaluate");
      if (!evaluate) return evaluate.status();
      evaluate_ = *evaluate;
      Result<BatchFeeder> checked = BatchFeeder::create(session_, evaluate_, *validation_, options_.batch_size);
      if (!checked) return checked.status();
      validation_feeder_.emplace(*std::move(checked));
      if (validation_feeder_->samples() == 0) {
        return Status(StatusCode::invalid_argument, "there are no validation samples");
      }
    }
    return check_callbacks(session_.program(), validation_ != nullptr, callbacks_);
  }

  /// A fresh start, or the newest good checkpoint.
  Status start() {
    if (options_.resume && !options_.checkpoint_directory.empty()) {
      std::string damaged;
      Result<std::optional<FoundCheckpoint>> found = find_latest_good(options_.checkpoint_directory, &damaged);
      if (!found) return found.status();
      if (damaged.ends_with('\n')) damaged.pop_back();
      progress_.warn(damaged);
      if (found->has_value()) return resume(**found);
      progress_.note("no checkpoint in " + options_.checkpoint_directory + ": training starts from the beginning");
    }
    const int64_t seed = static_cast<int64_t>(seed_);
    if (const std::optional<uint32_t> slot = session_.program().find_slot("seed")) {
      MORU_RETURN_IF_ERROR(session_.assign(*slot, &seed, sizeof seed));
    }
    return Status();
  }

  Status resume(const FoundCheckpoint& found) {
    const Checkpoint& checkpoint = found.checkpoint;
    const auto refuse = [&](const std::string& why, const std::string& hint) {
      return Status(StatusCode::wrong_state, "cannot resume from " + found.path + ": " + why + "\n  hint: " + hint);
    };
    if (checkpoint.data_fingerprint != hash_text(train_.fingerprint())) {
      return refuse("it was trained on other data", "give the same data, or start anew in another run directory");
    }
    for (const SavedCallback& saved : checkpoint.callbacks) {
      if (saved.name != own_name) continue;
      const auto integer = [&](const char* name) {
        const SavedNumber* number = find_number(saved, name);
        return number == nullptr ? int64_t{0} : number->integer;
      };
      if (integer("batch_size") != options_.batch_size) {
        return refuse("it was trained with batch_size " + std::to_string(integer("batch_size")) + ", not " +
                          std::to_string(options_.batch_size),
                      "give the same batch_size, or start anew in another run directory");
      }
      if (integer("samples") != train_feeder_->samples()) {
        return refuse("it was trained on " + std::to_string(integer("samples")) + " samples, not " +
                          std::to_string(train_feeder_->samples()),
                      "give the same data, or start anew in another run directory");
      }
      if ((integer("shuffle") != 0) != options_.shuffle) {
        return refuse(options_.shuffle ? "it was trained without shuffling" : "it was trained with shuffling",
                      "give the same shuffle, or start anew in another run directory");
      }
      if (integer("steps_per_epoch") != options_.steps_per_epoch) {
        return refuse("it was trained with steps_per_epoch " + std::to_string(integer("steps_per_epoch")) + ", not " +
                          std::to_string(options_.steps_per_epoch),
                      "give the same steps_per_epoch, or start anew in another run directory");
      }
      state_.stop = integer("stop") != 0;
    }
    if (checkpoint.epoch < 0 || checkpoint.batch < 0 || checkpoint.batch > steps_per_epoch_) {
      return refuse("its position is not one of this run", "start anew in another run directory");
    }
    std::string note;
    MORU_RETURN_IF_ERROR(restore_session(checkpoint, session_, {.allow_other_program = options_.allow_other_program},
                                         &note));
    if (note.ends_with('\n')) note.pop_back();
    if (!note.empty()) progress_.warn("left out of the checkpoint:\n" + note);
    for (const Callback& callback : callbacks_) {
      if (!callback.restore) continue;
      for (const SavedCallback& saved : checkpoint.callbacks) {
        if (saved.name == callback.name) MORU_RETURN_IF_ERROR(callback.restore(saved));
      }
    }
    result_.history.series = checkpoint.history;
    seed_ = static_cast<uint64_t>(checkpoint.seed);
    state_.epoch = checkpoint.epoch;
    place_epoch();
    state_.batch = std::min(checkpoint.batch, state_.batches);
    state_.step = checkpoint.step;
    seconds_before_ = checkpoint.seconds;
    result_.resumed = true;
    result_.was_finished = checkpoint.finished && (state_.stop || state_.epoch >= options_.epochs);
    if (result_.was_finished) {
      progress_.note("the run in " + options_.checkpoint_directory + " was finished after " +
                     std::to_string(state_.epoch) + " epochs");
    } else {
      progress_.note("resumed from " + found.path + ": epoch " + std::to_string(state_.epoch + 1) + ", step " +
                     std::to_string(state_.batch) + " of " + std::to_string(state_.batches));
    }
    return Status();
  }

  /// The part of the data that this epoch goes through. With fewer steps than the data have, epochs take turns with the
  /// parts of one permutation; the last part may be smaller, as Keras' is.
  void place_epoch() {
    const int64_t parts = (batches_in_data_ + steps_per_epoch_ - 1) / steps_per_epoch_;
    pass_ = state_.epoch / parts;
    first_batch_of_epoch_ = state_.epoch % parts * steps_per_epoch_;
    state_.batches = std::min(steps_per_epoch_, batches_in_data_ - first_batch_of_epoch_);
  }

  Status run_epoch() {
    const Clock::time_point epoch_begin = Clock::now();
    place_epoch();
    first_batch_ = state_.batch;
    epoch_begin_ = epoch_begin;
    if (state_.batch == 0) {
      MORU_RETURN_IF_ERROR(session_.run(metrics_.reset));
      MORU_RETURN_IF_ERROR(notify(&Callback::on_epoch_begin));
    }
    if (options_.shuffle) {
      shuffle_order(seed_, static_cast<uint64_t>(pass_), order_);
    } else {
      std::iota(order_.begin(), order_.end(), int64_t{0});
    }
    MORU_RETURN_IF_ERROR(run_steps());
    if (result_.interrupted_by != 0) return stop_here();

    MORU_RETURN_IF_ERROR(read_metrics());
    for (size_t i = 0; i < metrics_.names.size(); ++i) result_.history.append(metrics_.names[i], values_[i].value);
    state_.validated = validation_feeder_ && (state_.epoch + 1) % options_.validation_freq == 0;
    if (validation_feeder_) {
      if (state_.validated) MORU_RETURN_IF_ERROR(run_validation());
      for (size_t i = 0; i < metrics_.names.size(); ++i) {
        result_.history.append("val_" + metrics_.names[i],
                               state_.validated ? values_[i].value : std::numeric_limits<double>::quiet_NaN());
      }
    }
    const bool shows_rate =
        std::any_of(callbacks_.begin(), callbacks_.end(), [](const Callback& c) { return c.shows_learning_rate; });
    if (shows_rate) {
      const Result<double> rate = learning_rate(session_);
      if (!rate) return rate.status();
      // A run that goes on from before this was shown does not know of the epochs until then.
      for (size_t i = result_.history.find("learning_rate") ? result_.history.epochs() : 1; i < result_.history.epochs(); ++i)
        result_.history.append("learning_rate", std::numeric_limits<double>::quiet_NaN());
      result_.history.append("learning_rate", *rate);
    }
    show_epoch(seconds_between(epoch_begin, Clock::now()));
    MORU_RETURN_IF_ERROR(notify(&Callback::on_epoch_end));
    ++state_.epoch;
    state_.batch = 0;
    // The end of the last epoch is saved as finished by run().
    if (state_.stop || state_.epoch >= options_.epochs) return Status();
    if (InterruptGuard::signal() != 0 && options_.stop_on_signal) {
      result_.interrupted_by = InterruptGuard::signal();
      return stop_here();
    }
    return worth_saving() ? save(/*finished=*/false) : Status();
  }

  /// The rest of the epoch's steps; what the whole design of this file is about is that little happens here.
  Status run_steps() {
    const int64_t samples = static_cast<int64_t>(order_.size());
    const std::span<const int64_t> order(order_);
    const bool stoppable = options_.stop_on_signal;
    const bool callbacks_per_step =
        std::any_of(callbacks_.begin(), callbacks_.end(), [](const Callback& c) { return bool(c.on_step_end); });
    int64_t steps_to_checkpoint = options_.checkpoint_every_steps - state_.step % std::max<int64_t>(
        options_.checkpoint_every_steps, 1);
    train_feeder_->rebind();
    while (state_.batch < state_.batches) {
      const int64_t first = (first_batch_of_epoch_ + state_.batch) * options_.batch_size;
      const int64_t rows = std::min(options_.batch_size, samples - first);
      MORU_RETURN_IF_ERROR(train_feeder_->feed(order.subspan(static_cast<size_t>(first), static_cast<size_t>(rows))));
      const std::span<const int64_t> later = order.subspan(static_cast<size_t>(first + rows));
      train_feeder_->prefetch(later.first(std::min(later.size(), static_cast<size_t>(options_.batch_size))));
      MORU_RETURN_IF_ERROR(session_.run(train_step_));
      ++state_.batch;
      ++state_.step;
      if (callbacks_per_step) {
        MORU_RETURN_IF_ERROR(notify(&Callback::on_step_end));
        if (state_.stop) return Status();
      }
      if (stoppable && InterruptGuard::signal() != 0) {
        result_.interrupted_by = InterruptGuard::signal();
        return Status();
      }
      if (options_.checkpoint_every_steps > 0 && --steps_to_checkpoint == 0) {
        steps_to_checkpoint = options_.checkpoint_every_steps;
        MORU_RETURN_IF_ERROR(save(/*finished=*/false));
      }
      if (--steps_to_look_ <= 0) MORU_RETURN_IF_ERROR(look());
    }
    return Status();
  }

  /// Now and then: the display, the checkpoint by time, and how many steps until the next look.
  Status look() {
    const Clock::time_point now = Clock::now();
    const double elapsed = seconds_between(last_look_, now);
    const double per_step = elapsed / static_cast<double>(std::max<int64_t>(state_.step - step_at_last_look_, 1));
    // At most doubled, so that one odd measurement (the clock, a validation in between) does not blind the loop.
    const double wanted = seconds_between_looks / std::max(per_step, 1e-9);
    look_every_ = std::clamp(static_cast<int64_t>(std::min(wanted, 1e6)), int64_t{1}, 2 * look_every_);
    steps_to_look_ = look_every_;
    last_look_ = now;
    step_at_last_look_ = state_.step;
    if (seconds_between(last_redraw_, now) >= progress_.seconds_between_steps()) {
      last_redraw_ = now;
      MORU_RETURN_IF_ERROR(read_metrics());
      progress_.steps(state_.epoch, state_.epochs, state_.batch, state_.batches, first_batch_,
                      seconds_between(epoch_begin_, now), values_);
    }
    if (options_.checkpoint_every_seconds > 0 &&
        seconds_between(last_checkpoint_, now) >= options_.checkpoint_every_seconds) {
      MORU_RETURN_IF_ERROR(save(/*finished=*/false));
    }
    return Status();
  }

  Status run_validation() {
    MORU_RETURN_IF_ERROR(session_.run(metrics_.reset));
    MORU_RETURN_IF_ERROR(validation_feeder_->run_all(evaluate_, options_.batch_size));
    return read_metrics();
  }

  Status read_metrics() { return metrics_.read(session_, values_); }

  void show_epoch(double seconds) {
    if (progress_.quiet()) return;
    std::vector<NamedValue> values;
    for (const SavedSeries& series : result_.history.series)
      if (state_.validated || !series.name.starts_with("val_")) values.push_back({series.name, series.values.back()});
    progress_.epoch(state_.epoch, state_.epochs, state_.batches - first_batch_, seconds, values);
  }

  Status stop_here() {
    MORU_RETURN_IF_ERROR(save(/*finished=*/false));
    progress_.note("interrupted in epoch " + std::to_string(state_.epoch + 1) + " after step " +
                   std::to_string(state_.batch) + " of " + std::to_string(state_.batches) +
                   (options_.checkpoint_directory.empty()
                        ? "; nothing was saved"
                        : "; saved in " + options_.checkpoint_directory + ", resume to go on from here"));
    return Status();
  }

  Status notify(std::function<Status(TrainingState&)> Callback::* what) {
    for (Callback& callback : callbacks_) {
      if (callback.*what) MORU_RETURN_IF_ERROR((callback.*what)(state_));
    }
    return Status();
  }

  double seconds_so_far() const { return seconds_before_ + seconds_between(begin_, Clock::now()); }

  bool worth_saving() const {
    return seconds_between(last_checkpoint_, Clock::now()) * largest_checkpoint_share >= seconds_per_checkpoint_;
  }

  Status save(bool finished) {
    if (options_.checkpoint_directory.empty()) return Status();
    const Clock::time_point begin = Clock::now();
    Checkpoint checkpoint;
    capture_session(session_, checkpoint);
    checkpoint.epoch = state_.epoch;
    checkpoint.batch = state_.batch;
    checkpoint.step = state_.step;
    checkpoint.seed = static_cast<int64_t>(seed_);
    checkpoint.history = result_.history.series;
    checkpoint.data_fingerprint = hash_text(train_.fingerprint());
    checkpoint.seconds = seconds_so_far();
    checkpoint.finished = finished;
    SavedCallback own;
    own.name = own_name;
    own.numbers = {{"batch_size", 0.0, options_.batch_size},
                   {"samples", 0.0, train_feeder_->samples()},
                   {"shuffle", 0.0, options_.shuffle ? 1 : 0},
                   {"steps_per_epoch", 0.0, options_.steps_per_epoch},
                   {"stop", 0.0, state_.stop ? 1 : 0}};
    checkpoint.callbacks.push_back(std::move(own));
    for (const Callback& callback : callbacks_) {
      if (!callback.save) continue;
      SavedCallback saved;
      callback.save(saved);
      saved.name = callback.name;
      checkpoint.callbacks.push_back(std::move(saved));
    }
    const Result<std::string> written = save_checkpoint(options_.checkpoint_directory, checkpoint);
    if (!written) return written.status();
    last_checkpoint_ = Clock::now();
    seconds_per_checkpoint_ = seconds_between(begin, last_checkpoint_);
    return Status();
  }

  static constexpr const char* own_name = "fit";

  Session& session_;
  const Dataset& train_;
  const Dataset* validation_;
  const FitOptions& options_;
  std::span<Callback> callbacks_;
  uint64_t seed_;
  FitResult result_;
  Progress progress_;
  TrainingState state_;

  uint32_t train_step_ = 0;
  uint32_t evaluate_ = 0;
  MetricEntries metrics_;
  std::optional<BatchFeeder> train_feeder_;
  std::optional<BatchFeeder> validation_feeder_;
  std::vector<int64_t> order_;
  std::vector<NamedValue> values_;

  Clock::time_point begin_, epoch_begin_, last_look_, last_redraw_, last_checkpoint_;
  double seconds_before_ = 0;
  double seconds_per_checkpoint_ = 0;
  int64_t batches_in_data_ = 0, steps_per_epoch_ = 0;
  int64_t pass_ = 0, first_batch_of_epoch_ = 0;  // through the data: which, and where in it
  int64_t first_batch_ = 0;  // of this epoch in this process
  int64_t steps_to_look_ = 1;
  int64_t look_every_ = 1;
  int64_t step_at_last_look_ = 0;
};

}  // namespace

Status check_callbacks(const Program& program, bool validated, std::span<const Callback> callbacks) {
  const Result<MetricEntries> metrics = MetricEntries::find(program);
  if (!metrics) return metrics.status();
  std::vector<std::string> keys = metrics->names;
  if (validated) {
    for (const std::string& name : metrics->names) keys.push_back("val_" + name);
  }
  for (const Callback& callback : callbacks) {
    if (std::count_if(callbacks.begin(), callbacks.end(),
                      [&](const Callback& other) { return other.name == callback.name; }) > 1) {
      return Status(StatusCode::invalid_argument, "two callbacks are called '" + callback.name + "'");
    }
    if (callback.monitor.empty() || std::find(keys.begin(), keys.end(), callback.monitor) != keys.end()) continue;
    std::string known;
    for (const std::string& key : keys) known += (known.empty() ? "" : ", ") + key;
    std::string message = "callback '" + callback.name + "' monitors '" + callback.monitor +
                          "', which this run does not measure; it measures " + known;
    if (callback.monitor.starts_with("val_") && !validated) {
      message += "\n  hint: give validation data, or monitor '" + callback.monitor.substr(4) + "'";
    }
    return Status(StatusCode::invalid_argument, message);
  }
  return Status();
}

Result<FitResult> fit(Session& session, const Dataset& train, const Dataset* validation, const FitOptions& options,
                      std::span<Callback> callbacks) {
  return Fit(session, train, validation, options, callbacks).run();
}

}  // namespace moru
