// Shows how training goes: a display that redraws itself on a terminal, one line per epoch elsewhere, JSON for machines,
// nothing but warnings when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "runtime/training/history.h"

namespace moru {

enum class ProgressStyle {
  automatic,  // a display where the stream is a terminal (and TERM is not "dumb"), else lines
  display,    // progress_display.h
  lines,
  events,  // one JSON object per line: "steps" now and then, "epoch", "note", "warning", "end"
  quiet,   // warnings alone
};

struct NamedValue {
  std::string name;
  double value;
};

class Progress {
 public:
  /// `history`, if given, is what the display draws curves of; at epoch() it holds the epoch that ends.
  Progress(ProgressStyle style, std::FILE* stream, const History* history = nullptr);

  /// How often steps() is worth calling; infinity where it shows nothing.
  double seconds_between_steps() const;
  bool quiet() const { return style_ == ProgressStyle::quiet; }

  /// `done` of `total` steps of epoch `epoch` (counted from 0), `first` of which an earlier run did, took `seconds`.
  void steps(int64_t epoch, int64_t epochs, int64_t done, int64_t total, int64_t first, double seconds,
             std::span<const NamedValue> values);
  /// An epoch is over. As a line: `Epoch 3/60 - 2.1s - 11.5ms/step - loss: 0.0132 - val_loss: 0.0189`.
  void epoch(int64_t epoch, int64_t epochs, int64_t total, double seconds, std::span<const NamedValue> values);
  /// A line of text (unless quiet), above the display.
  void note(const std::string& line);
  /// What should not be overlooked, in any style: "warning: ...", above the display. Nothing where the text is empty.
  void warn(const std::string& text);
  /// Training is over: the display stays as it is.
  void end(int64_t epochs, double seconds);

 private:
  void clear();
  void write_line(const std::string& line);
  void draw(int64_t epoch, int64_t epochs, int64_t done, int64_t total, double seconds_per_step,
            std::span<const NamedValue> values);
  void write_event(const char* event, const std::string& fields);

  using Clock = std::chrono::steady_clock;
  ProgressStyle style_;
  std::FILE* stream_;
  const History* history_;
  size_t drawn_lines_ = 0;
  Clock::time_point begin_;
  double began_at_ = -1;  // in epochs; negative: not yet
};

}  // namespace moru
