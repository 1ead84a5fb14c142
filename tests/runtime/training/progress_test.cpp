#include "runtime/training/progress.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "runtime/training/history.h"
#include "runtime/training/regression_metrics.h"

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
    CHECK(text == "a note\nEpoch 1/3 - 1.0s - 10.0ms/step - loss: 0.2500 - val_loss: 1.5000e-05\n");
  }
}

TEST_CASE("progress: quiet shows nothing") { CHECK(shown(ProgressStyle::quiet).empty()); }

TEST_CASE("progress: the bar shows steps, time left and losses, and is cleared before a line that stays") {
  const std::string text = shown(ProgressStyle::bar);
  CHECK(text.starts_with("\rEpoch 1/3  50/100 [==========>.........] 0.5s left, 10.0ms/step - loss: 0.2500"));
  CHECK(text.find("\r\x1b[Ka note\n") != std::string::npos);
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
