#include "runtime/training/progress_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "runtime/training/monitor.h"

namespace moru {
namespace {

enum class Ink { plain, faint, strong, training, validation, good };

constexpr const char* codes(Ink ink) {
  switch (ink) {
    case Ink::plain:
      return "";
    case Ink::faint:
      return "\x1b[2m";
    case Ink::strong:
      return "\x1b[1m";
    case Ink::training:
      return "\x1b[36m";
    case Ink::validation:
      return "\x1b[33m";
    case Ink::good:
      return "\x1b[32m";
  }
  return "";
}

/// One line of the display, cut where the terminal ends.
class Line {
 public:
  explicit Line(const TerminalLook& look) : look_(look), left_(look.columns - 1) {}

  Line& add(const std::string& text, Ink ink = Ink::plain) {
    std::string fitting;
    for (const char c : text) {
      const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      if (begins && left_ == 0) break;
      if (begins) --left_;
      fitting += c;
    }
    if (fitting.empty()) return *this;
    const bool inked = look_.color && ink != Ink::plain;
    text_ += inked ? codes(ink) + fitting + "\x1b[0m" : fitting;
    return *this;
  }
  Line& pad_to(size_t column) {
    const size_t now = look_.columns - 1 - left_;
    return column > now ? add(std::string(column - now, ' ')) : *this;
  }
  size_t left() const { return left_; }
  std::string text() && { return std::move(text_); }

 private:
  const TerminalLook& look_;
  size_t left_;
  std::string text_;
};

template <typename... Arguments>
std::string formatted(const char* format, Arguments... arguments) {
  std::array<char, 100> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), format, arguments...);
  return std::string(buffer.data(), std::min(static_cast<size_t>(std::max(length, 0)), buffer.size() - 1));
}

std::string value_text(double value) {
  if (!std::isfinite(value)) return "-";
  return std::fabs(value) >= 1e5 || (value != 0 && std::fabs(value) < 1e-3) ? formatted("%.3e", value)
                                                                            : formatted("%.5g", value);
}

std::string repeated(const char* piece, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += piece;
  return text;
}

void add_bar(Line& line, double share, size_t cells, bool unicode) {
  const auto filled = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(cells));
  line.add(repeated(unicode ? "━" : "=", filled), Ink::training);
  line.add(repeated(unicode ? "─" : ".", cells - filled), Ink::faint);
}

/// The least, or where more is better the largest, of the values and the epoch it was measured in, counted from 1.
struct Best {
  double value = 0;
  size_t epoch = 0;
};
Best find_best(const std::string& name, std::span<const double> values) {
  const MonitorMode mode = resolve_mode(MonitorMode::automatic, name);
  Best best;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    if (best.epoch == 0 || improves(values[i], best.value, 0, mode)) best = {values[i], i + 1};
  }
  return best;
}

constexpr size_t label_columns = 16;

std::string metric_line(const NamedValue& value, const DisplayState& state, const TerminalLook& look) {
  const std::vector<double> none;
  const auto series = [&](const std::string& name) -> const std::vector<double>& {
    const std::vector<double>* found = state.history == nullptr ? nullptr : state.history->find(name);
    return found == nullptr ? none : *found;
  };
  const std::vector<double>& training = series(value.name);
  const std::vector<double>& validation = series("val_" + value.name);
  const size_t curve = std::clamp<size_t>((look.columns - std::min<size_t>(look.columns, 70)) / 2, 8, 30);
  Line line(look);
  line.add(value.name.substr(0, label_columns - 1), Ink::faint).pad_to(label_columns);
  line.add(value_text(value.value), Ink::strong).pad_to(label_columns + 11);
  line.add(small_curve(training, curve, look.unicode), Ink::training);
  size_t newest = validation.size();
  while (newest > 0 && std::isnan(validation[newest - 1])) --newest;
  const Best best = find_best(newest > 0 ? "val_" + value.name : value.name, newest > 0 ? validation : training);
  if (newest > 0) {
    line.pad_to(label_columns + 13 + curve).add("validation ", Ink::faint);
    line.add(value_text(validation[newest - 1]), Ink::strong).pad_to(label_columns + 35 + curve);
    line.add(small_curve(validation, curve, look.unicode), Ink::validation);
  }
  if (best.epoch > 0 && value.name != "learning_rate") {
    const std::string text = "  best " + value_text(best.value) + formatted(" (%zu)", best.epoch);
    const bool is_newest = best.epoch == (newest > 0 ? newest : training.size());
    // A number that was cut would be another number.
    if (line.left() >= text.size()) line.add(text, is_newest ? Ink::good : Ink::faint);
  }
  return std::move(line).text();
}

}  // namespace

TerminalLook look_of(std::FILE* stream) {
  TerminalLook look;
  winsize size = {};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
    look.columns = size.ws_col;
    look.rows = std::max<size_t>(size.ws_row, 2);
  }
  const char* color = std::getenv("NO_COLOR");
  look.color = color == nullptr || *color == '\0';
  look.unicode = false;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* locale = std::getenv(name);
    if (locale == nullptr || *locale == '\0') continue;
    look.unicode = std::strstr(locale, "UTF-8") != nullptr || std::strstr(locale, "utf8") != nullptr;
    break;
  }
  return look;
}

std::string duration_text(double seconds) {
  if (seconds < 9.95) return formatted("%.1fs", seconds);
  const long long whole = std::llround(seconds);
  if (whole < 60) return formatted("%llds", whole);
  if (whole < 3600) return formatted("%lld:%02lld", whole / 60, whole % 60);
  return formatted("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string step_time_text(double seconds) {
  if (seconds >= 1) return formatted("%.2fs", seconds);
  if (seconds >= 1e-3) return formatted("%.1fms", seconds * 1e3);
  return formatted("%.1fus", seconds * 1e6);
}

std::string small_curve(std::span<const double> values, size_t most, bool unicode) {
  static constexpr std::array<const char*, 8> blocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr std::array<const char*, 8> letters = {"_", ".", "-", "~", "=", "+", "*", "#"};
  if (values.size() > most) values = values.subspan(values.size() - most);
  double low = INFINITY, high = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string text;
  for (const double value : values) {
    if (!std::isfinite(value)) {
      text += ' ';
      continue;
    }
    const double share = high > low ? (value - low) / (high - low) : 0;
    const auto level = static_cast<size_t>(std::min(share * 8, 7.0));
    text += unicode ? blocks[level] : letters[level];
  }
  return text;
}

std::vector<std::string> display_lines(const DisplayState& state, const TerminalLook& look) {
  std::vector<std::string> lines;
  const double in_epoch = state.total > 0 ? static_cast<double>(state.done) / static_cast<double>(state.total) : 0;
  const double share =
      state.epochs > 0 ? (static_cast<double>(state.epoch) + in_epoch) / static_cast<double>(state.epochs) : 0;
  const size_t cells = std::clamp<size_t>(look.columns / 2, 10, 60);
  const auto bar = [&](const std::string& what, double done, const std::string& behind) {
    Line line(look);
    line.add(what).pad_to(label_columns + 4);
    add_bar(line, done, std::min(cells, line.left()), look.unicode);
    lines.push_back(std::move(line.add("  " + behind, Ink::faint)).text());
  };
  bar(formatted("Epoch %lld of %lld", static_cast<long long>(std::min(state.epoch + 1, state.epochs)),
                static_cast<long long>(state.epochs)),
      share, state.seconds_left >= 0 ? duration_text(state.seconds_left) + " left" : "");
  bar(formatted("Step %lld of %lld", static_cast<long long>(state.done), static_cast<long long>(state.total)), in_epoch,
      state.seconds_per_step > 0 ? step_time_text(state.seconds_per_step) + " each" : "");
  for (const NamedValue& value : state.values) {
    if (value.name.starts_with("val_")) continue;
    if (lines.size() + 2 > look.rows || lines.size() >= 10) break;
    lines.push_back(metric_line(value, state, look));
  }
  return lines;
}

}  // namespace moru
