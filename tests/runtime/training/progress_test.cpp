#include "runtime/training/progress.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "runtime/data/wording.h"
#include "runtime/training/history.h"
#include "runtime/training/progress_display.h"
#include "runtime/training/regression_metrics.h"
#include "runtime/training/run_directory.h"

using namespace moru;

namespace {

std::string shown(ProgressStyle style) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* stream = open_memstream(&text, &size);
  Progress progress(style, stream);
  const std::vector<NamedValue> values = {{"loss", 0.25}, {"val_loss", 1.5e-5}};
  progress.steps(0, 3, 50, 100, 0, 0.5, values);
  progress.note("a note");
  progress.warn("look");
  progress.epoch(0, 3, 100, 1.0, values);
  std::fclose(stream);
  std::string out(text, size);
  std::free(text);
  return out;
}

}  // namespace

TEST_CASE("progress: away from a terminal there is one plain line per epoch and no control character") {
  for (const ProgressStyle style : {ProgressStyle::lines, ProgressStyle::automatic}) {
    const std::string text = shown(style);
    CHECK(text == "a note\nwarning: look\nEpoch 1/3 - 1.0s - 10.0ms/step - loss: 0.2500 - val_loss: 1.5000e-05\n");
  }
}

TEST_CASE("progress: quiet shows nothing but warnings") { CHECK(shown(ProgressStyle::quiet) == "warning: look\n"); }

TEST_CASE("metrics_table: numbers have no sign if they are none, and baselines stand below the outputs that they forecast") {
  CHECK(number_text(-std::nan(""), 5) == "nan");
  CHECK(number_text(-HUGE_VAL, 5) == "-inf");
  CHECK(number_text(-0.123456789, 5) == "-0.12346");
  RunMetrics several;
  several.parts = {{"test", {{"loss", 3}, {"a_mae", 1}, {"b_mae", 2}}}};
  several.baselines = {{"median", {{"mae", 4}}, "a"}, {"median", {{"mae", 5}}, "b"}};
  CHECK(several.to_text().starts_with("               loss      a_mae      b_mae\n"
                                      "test              3          1          2\n"
                                      "(median)          -          4          5\n"));
  CHECK(several.to_json().find("\"b_median\"") != std::string::npos);
  const std::vector<NamedMetrics> rows = {{"train", {{"loss", -std::nan("")}, {"mae", 1}}}};
  CHECK(metrics_table(rows) == "            loss        mae\ntrain        nan          1\n");
}

TEST_CASE("progress: the display is drawn over itself, and cleared before a line that stays") {
  const std::string text = shown(ProgressStyle::display);
  CHECK(text.starts_with("Epoch 1 of 3"));
  CHECK(text.find("Step 50 of 100") != std::string::npos);
  // Three lines up, and everything from there on gone; then the note, and the display once more below it.
  const size_t note = text.find("\x1b[3A\x1b[Ja note\nwarning: look\n");
  REQUIRE(note != std::string::npos);
  CHECK(text.find("Step 100 of 100", note) != std::string::npos);
}

TEST_CASE("progress: events are one JSON object per line") {
  CHECK(shown(ProgressStyle::events) ==
        "{\"event\": \"steps\", \"epoch\": 1, \"epochs\": 3, \"step\": 50, \"steps\": 100, \"seconds\": 0.5, "
        "\"values\": {\"loss\": 0.25, \"val_loss\": 1.5e-05}}\n"
        "{\"event\": \"note\", \"text\": \"a note\"}\n"
        "{\"event\": \"warning\", \"text\": \"look\"}\n"
        "{\"event\": \"epoch\", \"epoch\": 1, \"epochs\": 3, \"seconds\": 1, "
        "\"values\": {\"loss\": 0.25, \"val_loss\": 1.5e-05}}\n");
}

TEST_CASE("display_lines: losses, their curves and the best so far, within the terminal's width") {
  History history;
  for (const double loss : {8.0, 4.0, 2.0, 1.0}) history.append("loss", loss);
  for (const double loss : {9.0, 3.0, 5.0, 6.0}) history.append("val_loss", loss);
  for (const double accuracy : {0.1, 0.7, 0.5, 0.6}) history.append("val_accuracy", accuracy);
  const std::vector<NamedValue> values = {{"loss", 0.75}, {"accuracy", 0.5}};
  const DisplayState state{.epoch = 4,
                           .epochs = 8,
                           .done = 10,
                           .total = 20,
                           .seconds_per_step = 0.002,
                           .seconds_left = 75,
                           .values = values,
                           .history = &history};
  const std::vector<std::string> lines =
      display_lines(state, {.columns = 100, .rows = 24, .unicode = false, .color = false});
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "Epoch 5 of 8        " + std::string(28, '=') + std::string(22, '.') + "  1:15 left");
  CHECK(lines[1] == "Step 10 of 20       " + std::string(25, '=') + std::string(25, '.') + "  2.0ms each");
  CHECK(lines[2].starts_with("loss            0.75       #~._"));
  CHECK(lines[2].find("validation 6") != std::string::npos);
  CHECK(lines[2].find("best 3 (2)") != std::string::npos);
  CHECK(lines[3].find("best 0.7 (2)") != std::string::npos);  // of an accuracy the largest
  for (const size_t columns : {2u, 20u, 40u, 80u}) {
    for (const std::string& line :
         display_lines(state, {.columns = columns, .rows = 24, .unicode = false, .color = false}))
      CHECK(line.size() < columns);
  }
  CHECK(display_lines(state, {.columns = 80, .rows = 4, .unicode = true, .color = true}).size() <= 3);
}

TEST_CASE("small_curve: the newest values between their least and their largest, gaps for what was not measured") {
  const std::vector<double> values = {100, 0, 1, std::nan(""), 7, 8};
  CHECK(small_curve(values, 5, false) == "_. ##");
  CHECK(small_curve(std::vector<double>{1, 1}, 5, true) == "▁▁");
  CHECK(small_curve({}, 5, true).empty());
}

TEST_CASE("history: series keep the order of their first value and print as JSON and CSV") {
  History history;
  history.append("loss", 2);
  history.append("val_loss", 3);
  history.append("loss", 1);
  history.append("val_loss", 2.5);
  CHECK(history.epochs() == 2);
  CHECK(*history.newest("loss") == 1);
  CHECK(history.find("mae") == nullptr);
  CHECK(history.to_json() == "{\n  \"loss\": [2, 1],\n  \"val_loss\": [3, 2.5]\n}\n");
  CHECK(history.to_csv() == "epoch,loss,val_loss\n0,2,3\n1,1,2.5\n");
}

TEST_CASE("regression_metrics: errors and R2 of four values worked out by hand") {
  const float actual[] = {1, 2, 3, 4};
  const float predicted[] = {1, 3, 3, 2};
  const RegressionMetrics m = regression_metrics(actual, predicted);
  CHECK(m.mae == doctest::Approx(0.75));
  CHECK(m.mse == doctest::Approx(1.25));
  CHECK(m.rmse == doctest::Approx(1.1180339887));
  CHECK(m.r2 == doctest::Approx(0.0));
}

TEST_CASE("regression_metrics: R2 of a constant truth is undefined, and nothing at all has no metrics") {
  const float same[] = {2, 2};
  const float other[] = {2, 3};
  CHECK(regression_metrics(same, other).r2 != regression_metrics(same, other).r2);
  CHECK(regression_metrics({}, {}).mae != regression_metrics({}, {}).mae);
}
