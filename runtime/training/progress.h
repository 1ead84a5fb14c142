// Shows how training goes: a bar that redraws itself on a terminal, one line per epoch elsewhere, nothing when quiet.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace moru {

enum class ProgressStyle {
  automatic,  // a bar where the stream is a terminal (and TERM is not "dumb"), else lines
  bar,
  lines,
  quiet,
};

struct NamedValue {
  std::string name;
  double value;
};

class Progress {
 public:
  Progress(ProgressStyle style, std::FILE* stream);

  bool draws_bar() const { return style_ == ProgressStyle::bar; }
  bool quiet() const { return style_ == ProgressStyle::quiet; }

  /// Redraws the bar: `done` of `total` steps of epoch `epoch` (counted from 0), `first` of which an earlier run did.
  void steps(int64_t epoch, int64_t epochs, int64_t done, int64_t total, int64_t first, double seconds,
             std::span<const NamedValue> values);
  /// The line that stays: `Epoch 3/60 - 2.1s - 11.5ms/step - loss: 0.0132 - val_loss: 0.0189`.
  void epoch(int64_t epoch, int64_t epochs, int64_t total, double seconds, std::span<const NamedValue> values);
  /// A line of text (unless quiet), with the bar cleared first.
  void note(const std::string& line);

 private:
  void clear();

  ProgressStyle style_;
  std::FILE* stream_;
  bool bar_is_drawn_ = false;
};

}  // namespace moru
