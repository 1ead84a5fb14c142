#include "runtime/training/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace moru {
namespace {

template <typename... Arguments>
std::string formatted(const char* format, Arguments... arguments) {
  std::array<char, 160> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), format, arguments...);
  return std::string(buffer.data(), std::min(static_cast<size_t>(std::max(length, 0)), buffer.size() - 1));
}

std::string duration(double seconds) {
  if (seconds < 9.95) return formatted("%.1fs", seconds);
  const long long whole = std::llround(seconds);
  if (whole < 60) return formatted("%llds", whole);
  if (whole < 3600) return formatted("%lld:%02lld", whole / 60, whole % 60);
  return formatted("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string step_time(double seconds) {
  if (seconds >= 1) return formatted("%.2fs/step", seconds);
  if (seconds >= 1e-3) return formatted("%.1fms/step", seconds * 1e3);
  return formatted("%.1fus/step", seconds * 1e6);
}

/// As Keras prints: four decimals, or scientific where those would show nothing.
std::string measured(const NamedValue& value) {
  const bool small = value.value != 0 && std::fabs(value.value) < 1e-3;
  return " - " + value.name + ": " + formatted(small ? "%.4e" : "%.4f", value.value);
}

size_t terminal_columns(std::FILE* stream) {
  winsize size = {};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

Progress::Progress(ProgressStyle style, std::FILE* stream) : style_(style), stream_(stream) {
  if (style_ != ProgressStyle::automatic) return;
  const char* terminal = std::getenv("TERM");
  const bool can_redraw = isatty(fileno(stream)) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
  style_ = can_redraw ? ProgressStyle::bar : ProgressStyle::lines;
}

void Progress::clear() {
  if (!bar_is_drawn_) return;
  std::fputs("\r\x1b[K", stream_);
  bar_is_drawn_ = false;
}

void Progress::steps(int64_t epoch, int64_t epochs, int64_t done, int64_t total, int64_t first, double seconds,
                     std::span<const NamedValue> values) {
  if (style_ != ProgressStyle::bar) return;
  constexpr int64_t cells = 20;
  const int64_t filled = total > 0 ? cells * done / total : 0;
  std::string line = formatted("Epoch %lld/%lld  %lld/%lld [", static_cast<long long>(epoch + 1),
                               static_cast<long long>(epochs), static_cast<long long>(done),
                               static_cast<long long>(total));
  for (int64_t i = 0; i < cells; ++i) line += i < filled ? '=' : (i == filled ? '>' : '.');
  line += "]";
  if (done > first) {
    const double per_step = seconds / static_cast<double>(done - first);
    line += " " + duration(per_step * static_cast<double>(total - done)) + " left, " + step_time(per_step);
  }
  for (const NamedValue& value : values) line += measured(value);
  // A line that wraps could not be drawn over.
  line.resize(std::min(line.size(), terminal_columns(stream_) - 1));
  std::fprintf(stream_, "\r%s\x1b[K", line.c_str());
  std::fflush(stream_);
  bar_is_drawn_ = true;
}

void Progress::epoch(int64_t epoch, int64_t epochs, int64_t total, double seconds, std::span<const NamedValue> values) {
  if (quiet()) return;
  clear();
  std::string line = formatted("Epoch %lld/%lld - %s - %s", static_cast<long long>(epoch + 1),
                               static_cast<long long>(epochs), duration(seconds).c_str(),
                               step_time(total > 0 ? seconds / static_cast<double>(total) : 0).c_str());
  for (const NamedValue& value : values) line += measured(value);
  std::fprintf(stream_, "%s\n", line.c_str());
  std::fflush(stream_);
}

void Progress::note(const std::string& line) {
  if (quiet()) return;
  clear();
  std::fprintf(stream_, "%s\n", line.c_str());
  std::fflush(stream_);
}

}  // namespace moru
