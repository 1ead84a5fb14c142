// What a terminal shows of a training run: bars, the newest losses and metrics, their curves, and the best so far.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/training/history.h"
#include "runtime/training/progress.h"

namespace moru {

/// How a terminal is written to.
struct TerminalLook {
  size_t columns = 80, rows = 24;
  bool unicode = true;  // else bars and curves are ASCII
  bool color = true;    // NO_COLOR is not set
};
TerminalLook look_of(std::FILE* stream);

struct DisplayState {
  int64_t epoch = 0, epochs = 0;       // the current one, counted from 0
  int64_t done = 0, total = 0;         // steps of it
  double seconds_per_step = 0;         // 0: not known yet
  double seconds_left = -1;            // of the whole training, if no callback stops it; negative: not known
  std::span<const NamedValue> values;  // of the epoch so far
  const History* history = nullptr;    // of the epochs before
};

/// The lines to draw, none wider than the terminal and no more than it has rows for:
///   Epoch 12 of 60  ━━━━━━━───────────────────────────  0:21 left
///   Step 143 of 191 ━━━━━━━━━━━━━━━━━━━━━━━━━━━───────  1.8 ms each
///   loss   0.0945  ▇▅▄▃▃▂▂▁   validation 0.1856  ▇▆▅▄▃▂▂▁   best 0.1838 (9)
std::vector<std::string> display_lines(const DisplayState& state, const TerminalLook& look);

/// The newest `most` values as one row of characters, each as high as its value between the least and the largest.
std::string small_curve(std::span<const double> values, size_t most, bool unicode);

/// "9.4s", "42s", "3:07", "1:02:11".
std::string duration_text(double seconds);
/// "1.80ms", "12.0us", "2.50s".
std::string step_time_text(double seconds);

}  // namespace moru
