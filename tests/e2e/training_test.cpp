// The recipes that come with Moru, trained from their CSVs by the command line as a user would: what a run leaves
// behind, and that the trained model answers as the run said it does.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/tools/moru_process.h"

using namespace moru::test;
using nlohmann::json;

namespace {

const std::string recipes = std::string(MORU_SOURCE_DIR) + "/tools/recipes/";

/// The path of a data set, or "" where it is missing, which is said.
std::string find_data(const std::string& name) {
  const char* shared = std::getenv("MORU_SHARED");
  std::string path = (shared ? std::string(shared) : std::string(MORU_SOURCE_DIR) + "/../shared") + "/data/" + name;
  if (std::ifstream(path).good()) return path;
  std::printf("skipped: %s is missing (MORU_SHARED names the folder above data/)\n", path.c_str());
  return "";
}

using Row = std::map<std::string, std::string>;

/// The rows of a CSV without quotes, by column.
std::vector<Row> read_table(const std::string& path) {
  const auto cells_of = [](const std::string& line) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    return cells;
  };
  std::istringstream text(read_file(path));
  std::string line;
  std::getline(text, line);
  const std::vector<std::string> header = cells_of(line);
  std::vector<Row> rows;
  while (std::getline(text, line)) {
    const std::vector<std::string> cells = cells_of(line);
    REQUIRE(cells.size() == header.size());
    rows.emplace_back();
    for (size_t i = 0; i < cells.size(); ++i) rows.back()[header[i]] = cells[i];
  }
  return rows;
}

double mean_error(const std::vector<Row>& rows, const std::string& actual, const std::string& predicted) {
  double sum = 0;
  for (const Row& row : rows) sum += std::abs(std::stod(row.at(actual)) - std::stod(row.at(predicted)));
  return sum / static_cast<double>(rows.size());
}

struct Run {
  TemporaryDirectory directory;
  std::string run = directory / "run";
  json metrics, history;
  std::vector<Row> test;  // predictions.csv
  std::vector<Row> all;   // moru predict on the whole CSV
  json evaluated;         // moru evaluate on the whole CSV

  Outcome moru(const std::vector<std::string>& arguments) const { return run_moru(arguments, directory / "cache"); }

  /// Trains and reads back everything; `key` is the column of predictions.csv that says which row it is.
  Run(const std::string& recipe, const std::string& data, const std::string& key, int epochs) {
    const Outcome trained = moru(
        {"train", recipe, "--data", data, "--epochs", std::to_string(epochs), "--run-dir", run, "--quiet", "--json"});
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    for (const char* name :
         {"recipe.json", "model.moru", "history.json", "history.csv", "metrics.json", "predictions.csv", "checkpoints"})
      CHECK_MESSAGE(std::filesystem::exists(run + "/" + name), name);
    metrics = json::parse(read_file(run + "/metrics.json"));
    CHECK(metrics == json::parse(trained.out));
    history = json::parse(read_file(run + "/history.json"));
    for (const auto& [name, values] : history.items()) {
      CAPTURE(name);
      CHECK(values.size() == static_cast<size_t>(epochs));
      for (const json& value : values) CHECK((value.is_number() && std::isfinite(value.get<double>())));
    }
    CHECK(read_table(run + "/history.csv").size() == static_cast<size_t>(epochs));
    CHECK(metrics["epochs"] == epochs);
    CHECK(metrics["seconds"].get<double>() > 0);
    CHECK(metrics["parameters"].get<int64_t>() > 0);
    for (const char* part : {"train", "validation", "test"})
      for (const auto& [name, value] : metrics[part].items()) {
        CAPTURE(name);
        CHECK((value.is_number() && std::isfinite(value.get<double>())));
      }
    // It learned: whatever the model, the loss of the last epoch is below that of the first.
    CHECK(history["loss"].back().get<double>() < history["loss"].front().get<double>());

    test = read_table(run + "/predictions.csv");
    REQUIRE(!test.empty());
    const Outcome predicted = moru({"predict", run + "/model.moru", "--data", data, "-o", directory / "all.csv"});
    REQUIRE_MESSAGE(predicted.code == 0, predicted.err);
    all = read_table(directory / "all.csv");
    std::map<std::string, const Row*> by_key;
    for (const Row& row : all) by_key[row.at(key)] = &row;
    CHECK(by_key.size() == all.size());
    size_t different = 0;
    for (const Row& row : test) {
      REQUIRE_MESSAGE(by_key.count(row.at(key)) == 1, row.at(key));
      for (const auto& [name, value] : *by_key[row.at(key)]) different += row.at(name) != value;
    }
    CHECK(different == 0);  // the same digits, from the saved model and raw rows

    const Outcome evaluation = moru({"evaluate", run + "/model.moru", "--data", data, "--json"});
    REQUIRE_MESSAGE(evaluation.code == 0, evaluation.err);
    evaluated = json::parse(evaluation.out);
    CHECK(evaluated["samples"].get<size_t>() <= all.size());
    CHECK(evaluated["samples"].get<size_t>() > test.size());
    for (const auto& [name, value] : evaluated.items()) {
      CAPTURE(name);
      CHECK((value.is_number() && std::isfinite(value.get<double>())));
    }
  }
};

/// A bike data set of three months where the demand follows hour and temperature.
std::string synthetic_bikes() {
  std::string text =
      "Date,Rented Bike Count,Hour,Temperature,Humidity,Wind speed,Visibility,Dew point temperature,Solar "
      "Radiation,Rainfall,Snowfall,Seasons,Holiday,Functioning Day\n";
  for (int i = 0; i < 24 * 91; ++i) {  // April, May, June
    const int hour = i % 24, day = i / 24;
    const double temperature = 10 + 8 * std::sin(day * 0.1) + 5 * std::sin((hour - 8) * 0.26);
    const int bikes = static_cast<int>(300 + 20 * temperature + 250 * std::sin((hour - 6) * 0.26) + i * 7919 % 40);
    char line[160];
    std::snprintf(line, sizeof line, "%02d/%02d/2018,%d,%d,%.1f,50,2.0,%d,5.0,0,0,0,%s,No Holiday,Yes\n",
                  day < 30   ? day + 1
                  : day < 61 ? day - 29
                             : day - 60,
                  day < 30   ? 4
                  : day < 61 ? 5
                             : 6,
                  bikes, hour, temperature, 1000 + i * 31 % 900, day < 61 ? "Spring" : "Summer");
    text += line;
  }
  return text;
}

}  // namespace

TEST_CASE("training: the bike recipe beats its baselines and its model answers from raw rows as predictions.csv says") {
  const std::string data = find_data("SeoulBikeData.csv");
  if (data.empty()) return;
  const Run run(recipes + "bike_lstm.json", data, "time", 3);
  const json& metrics = run.metrics;
  CHECK(run.test.size() == 1312);
  // What metrics.json says is what predictions.csv shows.
  CHECK(metrics["test"]["mae"].get<double>() ==
        doctest::Approx(mean_error(run.test, "actual", "predicted")).epsilon(1e-5));
  for (const char* name : {"persistence", "same_time_yesterday", "same_time_last_week", "training_mean"}) {
    CAPTURE(name);
    const double naive = metrics["baselines"][name]["mae"].get<double>();
    CHECK(naive > 100);
    CHECK(metrics["test"]["mae"].get<double>() < naive);
  }
  CHECK(metrics["test"]["r2"].get<double>() > 0.5);
  CHECK(metrics["test"]["r2"].get<double>() < 1);
  CHECK(run.evaluated["samples"] == 8735);  // 8760 hours less 24 of the first window, less one: the target lies 2 on
  CHECK(run.all.size() == 8737);            // the two hours behind the file's end too

  // A window is enough to predict from, without the rows that the model was trained on.
  const std::string text = read_file(data);
  std::vector<size_t> lines = {0};
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos && ++at < text.size();) lines.push_back(at);
  write_file(run.directory / "tail.csv", text.substr(0, lines[1]) + text.substr(lines[lines.size() - 24]));
  const Outcome tail = run.moru({"predict", run.run + "/model.moru", "--data", run.directory / "tail.csv", "-o",
                                 run.directory / "tail_predicted.csv"});
  REQUIRE_MESSAGE(tail.code == 0, tail.err);
  const std::vector<Row> next = read_table(run.directory / "tail_predicted.csv");
  REQUIRE(next.size() == 1);
  CHECK(next[0] == run.all.back());
}

TEST_CASE("training: the bike recipe trains on another city's file with the same columns") {
  TemporaryDirectory directory;
  write_file(directory / "bikes.csv", synthetic_bikes());
  const Run run(recipes + "bike_lstm.json", directory / "bikes.csv", "time", 3);
  CHECK(run.metrics["test"]["mae"].get<double>() < run.metrics["baselines"]["training_mean"]["mae"].get<double>());
}

TEST_CASE("training: the recipe with a window and the target hour as two inputs runs end to end") {
  const std::string data = find_data("SeoulBikeData.csv");
  if (data.empty()) return;
  const Run run(recipes + "bike_two_inputs.json", data, "time", 3);
  CHECK(run.metrics["test"]["mae"].get<double>() ==
        doctest::Approx(mean_error(run.test, "actual", "predicted")).epsilon(1e-5));
  CHECK(run.metrics["test"]["r2"].get<double>() > 0.3);
  CHECK(run.all.size() == 8735);  // it needs to know the hour that it predicts
}

TEST_CASE("training: the carseats recipe with categories and a random split runs end to end") {
  const std::string data = find_data("Carseats.csv");
  if (data.empty()) return;
  const Run run(recipes + "carseats.json", data, "row", 3);
  CHECK(run.metrics["test"]["mae"].get<double>() ==
        doctest::Approx(mean_error(run.test, "actual", "predicted")).epsilon(1e-5));
  CHECK(run.metrics["test"]["mae"].get<double>() < run.metrics["baselines"]["training_mean"]["mae"].get<double>());
  CHECK(run.all.size() == 400);
  CHECK(run.evaluated["samples"] == 400);
}

TEST_CASE("training: the churn recipe classifies, by the names of the classes") {
  const std::string data = find_data("mobile_cust_churn.csv");
  if (data.empty()) return;
  const Run run(recipes + "churn.json", data, "row", 2);
  size_t right = 0;
  for (const Row& row : run.test) {
    CHECK((row.at("predicted") == "STAY" || row.at("predicted") == "LEAVE"));
    CHECK(std::stod(row.at("probability")) >= 0.5);
    CHECK(std::stod(row.at("probability")) <= 1.0);
    right += row.at("predicted") == row.at("actual");
  }
  const double accuracy = static_cast<double>(right) / static_cast<double>(run.test.size());
  CHECK(run.metrics["test"]["accuracy"].get<double>() == doctest::Approx(accuracy).epsilon(1e-9));
  CHECK(accuracy > 0.6);
  CHECK(run.evaluated["samples"] == 20000);
}

TEST_CASE("training: the energy recipe has two targets, each with its own loss and metrics") {
  const std::string data = find_data("ENB2012_data.csv");
  if (data.empty()) return;
  const Run run(recipes + "enb2012.json", data, "row", 3);
  for (const std::string target : {"heating", "cooling"}) {
    CAPTURE(target);
    CHECK(run.metrics["test"][target + "_mae"].get<double>() ==
          doctest::Approx(mean_error(run.test, target + "_actual", target + "_predicted")).epsilon(1e-5));
    CHECK(run.metrics["test"][target + "_mae"].get<double>() <
          run.metrics["baselines"][target + "_training_mean"]["mae"].get<double>());
    CHECK(run.history.contains("val_" + target + "_loss"));
  }
}
