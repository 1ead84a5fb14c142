#include "runtime/training/progress.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "runtime/training/json_writer.h"
#include "runtime/training/progress_display.h"

namespace moru {
namespace {

/// As Keras prints: four decimals, or scientific where those would show nothing.
std::string measured(const NamedValue& value) {
  if (std::isnan(value.value)) return " - " + value.name + ": nan";  // printf shows its sign
  const bool small = value.value != 0 && std::fabs(value.value) < 1e-3;
  std::array<char, 400> text;  // the largest number has 309 digits before its point
  const auto form = small ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value.value, form, 4).ptr;
  return " - " + value.name + ": " + std::string(text.data(), end);
}

/// `"epoch": 1, "epochs": 3`: from names and numbers that are JSON already.
std::string fields(std::initializer_list<std::pair<const char*, std::string>> list) {
  std::string text;
  for (const auto& [name, value] : list) text += ", \"" + std::string(name) + "\": " + value;
  return text;
}

std::string values_json(std::span<const NamedValue> values) {
  std::string text = "{";
  for (const NamedValue& value : values)
    text += (text.size() > 1 ? ", " : "") + json_quoted(value.name) + ": " + json_number(value.value);
  return text + "}";
}

}  // namespace

Progress::Progress(ProgressStyle style, std::FILE* stream, const History* history)
    : style_(style), stream_(stream), history_(history) {
  if (style_ != ProgressStyle::automatic) return;
  const char* terminal = std::getenv("TERM");
  const bool can_redraw = isatty(fileno(stream)) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
  style_ = can_redraw ? ProgressStyle::display : ProgressStyle::lines;
}

double Progress::seconds_between_steps() const {
  if (style_ == ProgressStyle::display) return 0.1;
  return style_ == ProgressStyle::events ? 1.0 : std::numeric_limits<double>::infinity();
}

void Progress::clear() {
  if (drawn_lines_ == 0) return;
  std::fprintf(stream_, "\r\x1b[%zuA\x1b[J", drawn_lines_);
  drawn_lines_ = 0;
}

void Progress::write_event(const char* event, const std::string& what) {
  std::fprintf(stream_, "{\"event\": \"%s\"%s}\n", event, what.c_str());
  std::fflush(stream_);
}

void Progress::draw(int64_t epoch, int64_t epochs, int64_t done, int64_t total, double seconds_per_step,
                    std::span<const NamedValue> values) {
  const double at =
      static_cast<double>(epoch) + static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1));
  const double passed = std::chrono::duration<double>(Clock::now() - begin_).count();
  DisplayState state{.epoch = epoch,
                     .epochs = epochs,
                     .done = done,
                     .total = total,
                     .seconds_per_step = seconds_per_step,
                     .values = values,
                     .history = history_};
  if (at > began_at_) state.seconds_left = passed * (static_cast<double>(epochs) - at) / (at - began_at_);
  clear();
  const std::vector<std::string> lines = display_lines(state, look_of(stream_));
  for (const std::string& line : lines) std::fprintf(stream_, "%s\n", line.c_str());
  std::fflush(stream_);
  drawn_lines_ = lines.size();
}

void Progress::steps(int64_t epoch, int64_t epochs, int64_t done, int64_t total, int64_t first, double seconds,
                     std::span<const NamedValue> values) {
  if (style_ == ProgressStyle::events) {
    write_event("steps", fields({{"epoch", std::to_string(epoch + 1)},
                                 {"epochs", std::to_string(epochs)},
                                 {"step", std::to_string(done)},
                                 {"steps", std::to_string(total)},
                                 {"seconds", json_number(seconds)},
                                 {"values", values_json(values)}}));
  }
  if (style_ != ProgressStyle::display) return;
  if (began_at_ < 0) {
    begin_ = Clock::now() - std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    began_at_ =
        static_cast<double>(epoch) + static_cast<double>(first) / static_cast<double>(std::max<int64_t>(total, 1));
  }
  draw(epoch, epochs, done, total, done > first ? seconds / static_cast<double>(done - first) : 0, values);
}

void Progress::epoch(int64_t epoch, int64_t epochs, int64_t total, double seconds, std::span<const NamedValue> values) {
  if (style_ == ProgressStyle::events) {
    write_event("epoch", fields({{"epoch", std::to_string(epoch + 1)},
                                 {"epochs", std::to_string(epochs)},
                                 {"seconds", json_number(seconds)},
                                 {"values", values_json(values)}}));
  } else if (style_ == ProgressStyle::display) {
    if (began_at_ < 0) {
      begin_ = Clock::now() - std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
      began_at_ = static_cast<double>(epoch);
    }
    draw(epoch, epochs, total, total, total > 0 ? seconds / static_cast<double>(total) : 0, values);
  } else if (style_ == ProgressStyle::lines) {
    std::string line = "Epoch " + std::to_string(epoch + 1) + "/" + std::to_string(epochs) + " - " +
                       duration_text(seconds) + " - " +
                       step_time_text(total > 0 ? seconds / static_cast<double>(total) : 0) + "/step";
    for (const NamedValue& value : values) line += measured(value);
    std::fprintf(stream_, "%s\n", line.c_str());
    std::fflush(stream_);
  }
}

void Progress::note(const std::string& line) {
  if (quiet()) return;
  if (style_ == ProgressStyle::events) return write_event("note", fields({{"text", json_quoted(line)}}));
  write_line(line);
}

void Progress::warn(const std::string& text) {
  if (text.empty()) return;
  if (style_ == ProgressStyle::events) return write_event("warning", fields({{"text", json_quoted(text)}}));
  write_line("warning: " + text);
}

void Progress::write_line(const std::string& line) {
  clear();
  std::fprintf(stream_, "%s\n", line.c_str());
  std::fflush(stream_);
}

void Progress::end(int64_t epochs, double seconds) {
  if (style_ == ProgressStyle::events)
    write_event("end", fields({{"epochs", std::to_string(epochs)}, {"seconds", json_number(seconds)}}));
  drawn_lines_ = 0;
}

}  // namespace moru
