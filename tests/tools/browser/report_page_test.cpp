// The report as a person sees it: in a real browser, wide and narrow, light and dark.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/tools/browser/browser.h"
#include "tests/tools/moru_process.h"

using namespace moru::test;
using Json = nlohmann::json;

namespace {

/// False, said loudly, where there is no browser: ctest then reports the test as skipped.
bool has_browser() {
  if (Browser::is_installed()) return true;
  std::puts(
      "SKIPPED: reports were not looked at: chromium and chromedriver are not installed "
      "(apt-get install chromium chromium-driver)");
  return false;
}

/// A time series with a daily rhythm, trained for a few epochs: 60 days of hours.
std::string series_report(const SmallProject& project) {
  std::string csv = "time,load (MW),temperature\n";
  for (int i = 0; i < 60 * 24; ++i) {
    char line[100];
    const double hour = i % 24, day = i / 24.0;
    std::snprintf(line, sizeof line, "2024-%02d-%02d %02d:00,%.3f,%.2f\n", 1 + i / 24 / 28, 1 + i / 24 % 28, i % 24,
                  50 + 20 * std::sin(hour / 24 * 6.2831853) + 3 * std::sin(day) + (i * 37 % 11) * 0.5,
                  10 + 5 * std::cos(hour / 4));
    csv += line;
  }
  write_file(project / "load.csv", csv);
  write_file(project / "lstm.json", SmallProject::model_json(SmallProject::input_layer("12, 2") + R"(,
    {"class_name": "LSTM", "config": {"name": "lstm", "units": 8}}, {"class_name": "Dense", "config": {"name": "y", "units": 1}})"));
  write_file(project / "series.json",
             R"json({"model": "lstm.json", "data": {"csv": "load.csv", "time": {"column": "time"},
    "features": [{"columns": ["load (MW)", "temperature"], "scaler": "standard"
}], "target": {"column": "load (MW)", "scaler": "standard"},
    "window": {"length": 12, "horizon": 2}, "split": [0.6, 0.2, 0.2]
}
, "fit" : { "optimizer" : "adam", "loss" : "mse", "metrics" : ["mae"], "epochs" : 4, "batch_size" : 32 }
})json");
  succeeds(project.moru({"train", project / "series.json", "--run-dir", project / "series", "--quiet", "--report"}));
  return project / "series/report.html";
}

/// Three classes told apart by two numbers.
std::string classes_report(const SmallProject& project) {
  std::string csv = "a,b,kind\n";
  for (int i = 0; i < 400; ++i) {
    const double a = (i * 37 % 101) / 50.0 - 1, b = (i * 53 % 97) / 48.0 - 1;
    csv += std::to_string(a) + "," + std::to_string(b) + "," +
           (a > 0.3 ? "right"
            : b > 0 ? "top <&> left"
                    : "low") +
           "\n";
  }
  write_file(project / "kinds.csv", csv);
  write_file(project / "mlp.json", SmallProject::model_json(SmallProject::input_layer("2") + R"(,
    {"class_name": "Dense", "config": {"name": "hidden", "units": 8, "activation": "relu"}},
    {"class_name": "Dense", "config": {"name": "kind", "units": 3, "activation": "softmax"}})"));
  write_file(project / "classes.json", R"({"model": "mlp.json", "data": {"csv": "kinds.csv", "features": ["a", "b"],
    "target": {"column": "kind", "encoder": "one_hot"}, "split": {"kind": "random", "train": 0.6, "validation": 0.2, "test": 0.2}},
    "fit": {"optimizer": {"name": "adam", "learning_rate": 0.02}, "loss": "categorical_crossentropy", "metrics": ["accuracy"],
    "epochs": 10, "batch_size": 16}})");
  succeeds(project.moru({"train", project / "classes.json", "--run-dir", project / "classes", "--quiet", "--report"}));
  return project / "classes/report.html";
}

void keep_screenshot(Browser& browser, const std::string& name) {
  const char* folder = std::getenv("MORU_SCREENSHOTS");
  if (folder == nullptr) return;
  const std::string path = std::string(folder) + "/" + name + ".png";
  write_file(path + ".base64", browser.screenshot());
  CHECK(std::system(("base64 -d " + path + ".base64 > " + path + " && rm " + path + ".base64").c_str()) == 0);
}

/// What must hold for every page at every size: nothing in the console, nothing wider than the screen, every chart
/// drawn, labels of axes apart from each other.
void check_page(Browser& browser) {
  for (const std::string& message : browser.console()) CHECK_MESSAGE(false, message);
  const Json wide = browser.run("return [document.documentElement.scrollWidth, innerWidth];");
  CHECK(wide[0].get<int>() <= wide[1].get<int>());
  const Json blank = browser.run(R"(
    const blank = [];
    for (const box of document.querySelectorAll('.chart')) {
      const title = box.closest('figure')?.querySelector('h3')?.textContent;
      const svg = box.querySelector('svg');
      if (svg) {
        if (svg.querySelectorAll('circle, rect, path:not(.domain), line.lag').length === 0) blank.push(title);
        continue;
      }
      const canvas = box.querySelector('canvas:not([class])');
      const drawn = [...box.querySelectorAll('canvas')].some(c => c.width > 50 && c.height > 50 &&
        c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 === 3 && v > 0));
      if (!drawn) blank.push(title);
    }
    return blank;)");
  CHECK_MESSAGE(blank.empty(), blank.dump());
  const Json overlaps = browser.run(R"(
    const found = [];
    const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 3 || b.bottom <= a.top + 3;
    for (const box of document.querySelectorAll('.chart')) {
      const labels = [...box.querySelectorAll('svg text, .dygraph-axis-label, .dygraph-label')].filter(l => l.textContent.trim());
      const places = labels.map(l => l.getBoundingClientRect());
      for (let i = 0; i < labels.length; ++i)
        for (let k = 0; k < i; ++k)
          if (!apart(places[i], places[k])) found.push(labels[k].textContent + ' | ' + labels[i].textContent);
    }
    return found;)");
  CHECK_MESSAGE(overlaps.empty(), overlaps.dump());
}

}  // namespace

TEST_CASE(
    "the report of a time series is drawn without complaint, wide and narrow, light and dark, and can be enlarged") {
  if (!has_browser()) return;
  const SmallProject project;
  const std::string page = series_report(project);
  Browser browser;
  std::string light_background;
  for (const bool dark : {false, true}) {
    for (const int width : {1280, 390}) {
      CAPTURE(dark);
      CAPTURE(width);
      browser.open(page, width, 900, dark);
      keep_screenshot(browser, "series-" + std::to_string(width) + (dark ? "-dark" : "-light"));
      check_page(browser);
      CHECK(browser.run("return document.querySelectorAll('.chart').length;").get<int>() >= 9);
      const std::string background = browser.run("return getComputedStyle(document.body).backgroundColor;");
      if (!dark) light_background = background;
      if (dark) CHECK(background != light_background);
    }
  }
  browser.open(page, 1280, 900, false);
  const auto range = [&](int chart) {
    return browser
        .run("return document.querySelectorAll('#predictions .chart')[" + std::to_string(chart) +
             "].chart.xAxisRange();")
        .get<std::vector<double>>();
  };
  const std::vector<double> before = range(0);
  browser.run("document.querySelector('#predictions .chart').scrollIntoView({block: 'center', behavior: 'instant'});");
  const Json box = browser.run(
      "const b = document.querySelector('#predictions .chart').getBoundingClientRect(); return [b.left, b.top, "
      "b.width, b.height];");
  const int left = box[0].get<int>(), top = box[1].get<int>(), wide = box[2].get<int>(),
            y = top + box[3].get<int>() / 3;
  browser.drag(left + wide / 2, y, left + wide * 3 / 4, y);
  const std::vector<double> enlarged = range(0);
  CHECK(enlarged[1] - enlarged[0] < 0.5 * (before[1] - before[0]));
  CHECK(enlarged[1] - enlarged[0] > 0.1 * (before[1] - before[0]));
  CHECK(range(1) == enlarged);  // the residuals follow
  const auto press = [&](const std::string& text) {
    browser.run("[...document.querySelectorAll('#predictions button')].find(b => b.textContent === '" + text +
                "').click();");
  };
  press("‹");
  CHECK(range(0)[0] < enlarged[0]);
  press("All");
  const Json ends =
      browser.run("const c = document.querySelector('#predictions .chart').chart; return c.xAxisExtremes();");
  CHECK(range(0)[1] - range(0)[0] > 0.99 * (ends[1].get<double>() - ends[0].get<double>()));
  // A name in the legend brings a naive forecast in.
  const Json shown = browser.run(R"(
    const chart = document.querySelector('#predictions .chart').chart, before = chart.visibility().filter(v => v).length;
    [...document.querySelectorAll('#predictions .legend button')].find(b => b.textContent.startsWith('persistence')).click();
    return [before, chart.visibility().filter(v => v).length];)");
  CHECK(shown[1].get<int>() == shown[0].get<int>() + 1);
  const Json log = browser.run(R"(
    document.querySelector('#learning .buttons button').click();
    return [...document.querySelectorAll('#learning .chart')].map(box => box.chart.getOption('logscale'));)");
  for (const Json& on : log) CHECK(on.get<bool>());
  CHECK(browser.console().empty());
}

TEST_CASE("the report of a classifier is drawn without complaint, and names stay text") {
  if (!has_browser()) return;
  const SmallProject project;
  const std::string page = classes_report(project);
  Browser browser;
  for (const bool dark : {false, true}) {
    for (const int width : {1280, 390}) {
      CAPTURE(dark);
      CAPTURE(width);
      browser.open(page, width, 900, dark);
      keep_screenshot(browser, "classes-" + std::to_string(width) + (dark ? "-dark" : "-light"));
      check_page(browser);
    }
  }
  CHECK(browser.run("return document.querySelectorAll('.confusion tbody td').length;").get<int>() == 9);
  CHECK(browser.run("return document.querySelector('.confusion').textContent.includes('top <&> left');").get<bool>());
}
