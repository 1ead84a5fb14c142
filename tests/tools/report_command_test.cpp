// moru report, backtest, and what train shows and leaves for them, as a user runs them. How pages look:
// tests/tools/browser.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/tools/moru_process.h"

namespace fs = std::filesystem;
using namespace moru::test;
using nlohmann::json;

namespace {

void fails_with(const Outcome& outcome, const std::string& text) {
  CAPTURE(outcome.err);
  CHECK(outcome.code == 1);
  CHECK(outcome.err.find(text) != std::string::npos);
}

/// The data that a page carries.
json page_data(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const size_t at = page.find(begin);
  REQUIRE(at != std::string::npos);
  const size_t end = page.find("</script>", at);
  return json::parse(page.substr(at + begin.size(), end - at - begin.size()));
}

/// 40 days of hours from the first of February on: a daily wave, a slow drift, and noise that is the same in every run.
void write_series(const SmallProject& project) {
  std::string csv = "time,load\n";
  uint64_t state = 5;
  for (int i = 0; i < 40 * 24; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const double noise = static_cast<double>(state >> 33) / 2147483648.0 - 0.5;
    char line[80];
    std::snprintf(line, sizeof line, "2023-%02d-%02d %02d:00,%.4f\n", 2 + i / 24 / 28, 1 + i / 24 % 28, i % 24,
                  100 + 30 * std::sin(i % 24 / 24.0 * 6.2831853) + i * 0.01 + 4 * noise);
    csv += line;
  }
  write_file(project / "load.csv", csv);
  write_file(project / "dense.json", SmallProject::model_json(SmallProject::input_layer("24, 1") + R"(,
    {"class_name": "Flatten", "config": {"name": "flatten"}},
    {"class_name": "Dense", "config": {"name": "y", "units": 1}})"));
  write_file(project / "series.json", R"({"model": "dense.json", "data": {"csv": "load.csv", "time": {"column": "time"},
    "features": [{"column": "load", "scaler": "standard"}], "target": {"column": "load", "scaler": "standard"},
    "window": {"length": 24, "horizon": 1}, "split": [0.6, 0.2, 0.2]},
    "fit": {"optimizer": {"name": "adam", "learning_rate": 0.01}, "loss": "mse", "epochs": 3, "batch_size": 32}})");
}

}  // namespace

TEST_CASE("report: one page that needs nothing else, with the numbers of the run") {
  const SmallProject project;
  succeeds(project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "--quiet"}));
  const Outcome outcome = project.moru({"report", project / "run", "--seconds", "0.05"});
  succeeds(outcome);
  CHECK(outcome.out == project / "run/report.html" + "\n");
  const std::string page = read_file(project / "run/report.html");
  for (const char* outside : {"src=\"http", "href=\"http", "@import", "url(http", "sourceMappingURL"})
    CHECK(page.find(outside) == std::string::npos);
  const json data = page_data(page);
  const json metrics = json::parse(read_file(project / "run/metrics.json"));
  REQUIRE(data["targets"].size() == 1);
  const json& target = data["targets"][0];
  CHECK(target["errors"][0]["mae"].get<double>() ==
        doctest::Approx(metrics["test"]["mae"].get<double>()).epsilon(1e-4));
  CHECK(target["errors"][1]["mae"].get<double>() ==
        doctest::Approx(metrics["baselines"]["training_mean"]["mae"].get<double>()).epsilon(1e-4));
  CHECK(target["actual"].size() == metrics["samples"]["test"].get<size_t>());
  CHECK(data["learning"]["series"]["loss"].size() == 3);
  CHECK(data["model"]["summary"]["parameters"]["trainable"] == 41);
  CHECK(data["profile"]["kernels"].size() > 0);
  CHECK(data["memory"]["entries"].size() > 0);
  const json again =
      page_data((succeeds(project.moru({"report", project / "run", "-o", project / "two.html", "--seconds", "0"})),
                 read_file(project / "two.html")));
  CHECK(again["profile"].is_null());
  CHECK(again["targets"] == data["targets"]);
}

TEST_CASE("report: of a time series, with baselines beside the model, hours and autocorrelation") {
  const SmallProject project;
  write_series(project);
  succeeds(project.moru({"train", project / "series.json", "--run-dir", project / "run", "--quiet"}));
  const json predictions = json::parse(read_file(project / "run/predictions.json"));
  const json metrics = json::parse(read_file(project / "run/metrics.json"));
  const json& output = predictions["outputs"][0];
  CHECK(predictions["part"] == "test");
  CHECK(predictions["spacing"] == 3600);
  // Persistence is the value one row before the target.
  const json& persistence = output["baselines"]["persistence"];
  for (size_t i = 1; i < output["actual"].size(); ++i) CHECK(persistence[i] == output["actual"][i - 1]);
  double sum = 0;
  for (size_t i = 0; i < output["actual"].size(); ++i)
    sum += std::fabs(output["actual"][i].get<double>() - output["baselines"]["same_time_yesterday"][i].get<double>());
  CHECK(sum / static_cast<double>(output["actual"].size()) ==
        doctest::Approx(metrics["baselines"]["same_time_yesterday"]["mae"].get<double>()).epsilon(1e-4));
  succeeds(project.moru({"report", project / "run", "--seconds", "0"}));
  const json data = page_data(read_file(project / "run/report.html"));
  const json& target = data["targets"][0];
  CHECK(target["horizon_text"] == "1 hour");
  CHECK(target["autocorrelation"]["lags"].get<int>() >= 20);
  CHECK(target["by_hour"]["count"].size() == 24);
  CHECK(target["x"][1].get<int64_t>() - target["x"][0].get<int64_t>() == 3600000);
}

TEST_CASE("report: what it cannot show is one error with a remedy") {
  const SmallProject project;
  fails_with(project.moru({"report", project / "nothing"}), "there is no run directory");
  fs::create_directories(project / "empty");
  fails_with(project.moru({"report", project / "empty"}), "it has no recipe.json");
  succeeds(project.moru({"train", project / "recipe.json", "--run-dir", project / "run", "--quiet"}));
  const std::string whole = read_file(project / "run/predictions.json");
  json predictions = json::parse(whole);
  predictions["outputs"][0]["predicted"].erase(0);
  write_file(project / "run/predictions.json", predictions.dump());
  fails_with(project.moru({"report", project / "run", "--seconds", "0"}), "its lists do not fit together");
  write_file(project / "run/predictions.json", whole.substr(0, whole.size() / 2));
  fails_with(project.moru({"report", project / "run", "--seconds", "0"}),
             "predictions.json' is not what moru train wrote");
  write_file(project / "run/predictions.json", whole);
  fs::remove(project / "run/metrics.json");
  fails_with(project.moru({"report", project / "run"}), "is not finished");
}

TEST_CASE("the recipe in a run directory repeats the run, wherever it is called from") {
  const SmallProject project;
  succeeds(
      project.moru({"train", project / "recipe.json", "--run-dir", project / "deep/er/run", "--quiet", "--seed", "4"}));
  succeeds(project.moru({"train", project / "deep/er/run/recipe.json", "--run-dir", project / "again", "--quiet"}));
  CHECK(read_file(project / "again/history.json") == read_file(project / "deep/er/run/history.json"));
}

TEST_CASE("train --json: progress is one JSON object per line, the result one document on standard output") {
  const SmallProject project;
  const Outcome outcome = project.moru(
      {"train", project / "recipe.json", "--run-dir", project / "run", "--json", "--tensorboard", project / "logs"});
  succeeds(outcome);
  CHECK(json::parse(outcome.out)["epochs"] == 3);
  std::istringstream lines(outcome.err);
  int epochs = 0, ends = 0;
  for (std::string line; std::getline(lines, line);) {
    const json event = json::parse(line);
    if (event["event"] == "epoch") {
      ++epochs;
      CHECK(event["epoch"] == epochs);
      CHECK(event["values"].contains("val_loss"));
    }
    if (event["event"] == "end") ++ends;
  }
  CHECK(epochs == 3);
  CHECK(ends == 1);
  CHECK(fs::exists(project / "logs/train"));
  CHECK(fs::exists(project / "logs/validation"));
}

TEST_CASE("backtest: folds walk forward without overlap, and simpler forecasts stand beside the model") {
  const SmallProject project;
  write_series(project);
  const Outcome outcome = project.moru({"backtest", project / "series.json", "--folds", "3", "--horizons", "1,6",
                                        "--json", "--run-dir", project / "back", "--quiet"});
  succeeds(outcome);
  const json result = json::parse(outcome.out);
  REQUIRE(result["results"].size() == 2);
  for (const json& one : result["results"]) {
    REQUIRE(one["folds"].size() == 3);
    for (const char* name : {"model", "ridge", "persistence", "same_time_yesterday", "training_mean"}) {
      CAPTURE(name);
      REQUIRE(one["forecasts"].contains(name));
      const json& forecast = one["forecasts"][name];
      CHECK(forecast["fold_mae"].size() == 3);
      CHECK(forecast["mae"].get<double>() > 0);
    }
    for (size_t k = 1; k < 3; ++k) {
      CHECK(one["folds"][k - 1]["to"].get<std::string>() < one["folds"][k]["from"].get<std::string>());
      CHECK(one["folds"][k - 1]["train_samples"].get<int>() < one["folds"][k]["train_samples"].get<int>());
    }
    // A wave with noise is linear in its past: ridge regression knows it but for the noise.
    CHECK(one["forecasts"]["ridge"]["mae"].get<double>() < 1.6);
    CHECK(one["forecasts"]["ridge"]["mae"].get<double>() < one["forecasts"]["persistence"]["mae"].get<double>());
  }
  // Persistence is worse the farther ahead.
  CHECK(result["results"][1]["forecasts"]["persistence"]["mae"].get<double>() >
        2 * result["results"][0]["forecasts"]["persistence"]["mae"].get<double>());
  CHECK(fs::exists(project / "back/horizon-6/fold-3/model.moru"));
  const json fold = json::parse(read_file(project / "back/horizon-6/fold-3/metrics.json"));
  CHECK(fold["test"]["mae"].get<double>() ==
        doctest::Approx(result["results"][1]["forecasts"]["model"]["fold_mae"][2].get<double>()));

  const Outcome sliding = project.moru({"backtest", project / "series.json", "--folds", "3", "--origin", "sliding",
                                        "--json", "--run-dir", project / "slide", "--quiet"});
  succeeds(sliding);
  const json folds = json::parse(sliding.out)["results"][0]["folds"];
  // As many rows; the windows of the first fold cannot begin before the file does.
  CHECK(folds[2]["train_samples"].get<int>() - folds[0]["train_samples"].get<int>() <= 24);
  CHECK(folds[2]["train_samples"].get<int>() >= folds[0]["train_samples"].get<int>());
}

TEST_CASE("backtest: a recipe that does not walk in time is refused") {
  const SmallProject project;
  fails_with(project.moru({"backtest", project / "recipe.json", "--horizons", "2"}),
             "--horizons needs a recipe with a \"window\"");
  std::string random = SmallProject::recipe();
  random.replace(random.find("\"split\": {"), 10, "\"split\": {\"kind\": \"random\", ");
  write_file(project / "random.json", random);
  fails_with(project.moru({"backtest", project / "random.json"}), "split is not chronological");
}
