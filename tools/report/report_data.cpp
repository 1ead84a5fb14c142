#include "tools/report/report_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

#include "tools/report/classifier_data.h"
#include "tools/report/number_targets.h"
#include "tools/report/report_findings.h"
#include "tools/report/report_text.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// What was predicted of one part of the data.
struct Predicted {
  std::string part = "test";
  Frame frame;
  std::vector<NumberTarget> targets;
  Json by_place = Json::array(), classes = Json::array();
};

Predicted read_predicted(const RunFiles& run) {
  Predicted predicted;
  if (run.predictions.is_null() || run.predictions.at("rows").empty()) return predicted;
  predicted.frame = read_frame(run.predictions);
  predicted.part = run.predictions.value("part", "test");
  const Json& outputs = run.predictions.at("outputs");
  for (const Json& output : outputs) {
    const std::string kind = output.at("kind");
    if (kind == "number")
      read_numbers(run, predicted.frame, output, outputs.size() == 1, predicted.targets, predicted.by_place);
    if (kind == "class") predicted.classes.push_back(classifier_data(output));
  }
  return predicted;
}

Json learning_json(const RunFiles& run) {
  Json series = Json::object();
  for (const auto& [name, values] : run.history.items())
    if (values.is_array()) series[name] = rounded_list(numbers_of(values));
  const Json early =
      run.recipe.value("fit", Json::object()).value("callbacks", Json::object()).value("early_stopping", Json());
  return {{"epochs", run.metrics.value("epochs", int64_t{0})},
          {"series", std::move(series)},
          {"best_epoch", run.metrics.value("best_epoch", int64_t{0})},
          {"stopped_early", run.metrics.value("stopped_early", false)},
          {"monitor", early.is_object() ? early.value("monitor", "val_loss") : ""}};
}

Json metrics_rows(const Json& metrics) {
  Json rows = Json::array();
  for (const char* part : {"train", "validation", "test"}) {
    const auto found = metrics.find(part);
    if (found == metrics.end()) continue;
    Json row = {{"name", part}, {"values", *found}};
    if (const auto samples = metrics.find("samples"); samples != metrics.end() && samples->contains(part))
      row["samples"] = samples->at(part);
    rows.push_back(std::move(row));
  }
  return rows;
}

Json tile(const std::string& label, const std::string& value, const std::string& note = "") {
  return {{"label", label}, {"value", value}, {"note", note}};
}

std::string with_unit(double value, const std::string& unit) {
  return format("%.4g", value) + (unit.empty() ? "" : " " + unit);
}

void add_number_tiles(Json& tiles, const NumberTarget& target, const Predicted& predicted) {
  const bool is_only = predicted.targets.size() == 1;
  const std::string of = is_only ? "" : target.label + ", ", unit = target.json["unit"], part = predicted.part + " part";
  tiles.push_back(tile(is_only ? "mean absolute error" : of + "MAE", with_unit(target.mae, unit), part));
  if (is_only) tiles.push_back(tile("root mean square", with_unit(target.rmse, unit), part));
  const Json& r2 = target.json["errors"][0]["r2"];
  tiles.push_back(tile(of + "R²", r2.is_null() ? "–" : format("%.3f", r2.get<double>()), part));
  if (is_only && std::isfinite(target.best_baseline_mae))
    tiles.push_back(tile(predicted.frame.is_ordered ? "against naive forecast" : "against naive prediction",
                         format("%+.0f %%", 100 * (target.mae / target.best_baseline_mae - 1)), target.best_baseline));
}

void add_class_tiles(Json& tiles, const Json& one, const Predicted& predicted) {
  const std::string of = predicted.classes.size() > 1 ? one["name"].get<std::string>() + ", " : "", part = predicted.part + " part";
  tiles.push_back(tile(of + "accuracy", format("%.1f %%", 100 * one["accuracy"].get<double>()), part));
  tiles.push_back(tile(of + "most frequent class", format("%.1f %%", 100 * one["majority"]["accuracy"].get<double>()),
                       one["majority"]["class"]));
  double area = 0;
  for (const Json& curve : one["curves"]) area += curve["roc_auc"].is_null() ? nan : curve["roc_auc"].get<double>();
  area /= static_cast<double>(one["curves"].size());
  if (std::isfinite(area))
    tiles.push_back(tile(of + "area under ROC", format("%.3f", area), one["curves"].size() > 1 ? "mean over classes" : part));
}

Json tiles_json(const Json& metrics, const Predicted& predicted) {
  Json tiles = Json::array();
  for (std::size_t i = 0; i < std::min<std::size_t>(predicted.targets.size(), 2); ++i)
    add_number_tiles(tiles, predicted.targets[i], predicted);
  for (const Json& one : predicted.classes) add_class_tiles(tiles, one, predicted);
  tiles.push_back(tile("epochs", std::to_string(metrics.value("epochs", int64_t{0})),
                       format("best %lld%s", static_cast<long long>(metrics.value("best_epoch", int64_t{0})),
                              metrics.value("stopped_early", false) ? ", stopped early" : "")));
  tiles.push_back(tile("training time", time_text(number_of(metrics, "seconds")),
                       time_text(number_of(metrics, "seconds_per_epoch")) + " per epoch"));
  return tiles;
}

std::string file_of(const std::string& path) { return std::filesystem::path(path).filename().string(); }

/// As a word of a POSIX shell.
std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                          "_-./=:,+@") == std::string::npos;
  if (plain) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

std::string subtitle_of(const Json& metrics, const Predicted& predicted) {
  std::string subtitle;
  const auto add = [&](const std::string& text) {
    if (!text.empty()) subtitle += (subtitle.empty() ? "" : " · ") + text;
  };
  const std::string& horizon = predicted.frame.horizon_text;
  if (predicted.targets.size() == 1) add(predicted.targets[0].label + (horizon.empty() ? "" : ", " + horizon + " ahead"));
  add(file_of(metrics.value("data", "")));
  add("trained " + metrics.value("finished", "").substr(0, 10));
  return subtitle;
}

Json provenance_json(const RunFiles& run) {
  Json provenance = Json::array();
  const auto fact = [&](const char* what, const Json& value) {
    if (value.is_null() || (value.is_string() && value.get<std::string>().empty())) return;
    provenance.push_back({what, value.is_string() ? value.get<std::string>() : value.dump()});
  };
  const auto of_metrics = [&](const char* key) { return run.metrics.value(key, Json()); };
  std::error_code ignored;
  fact("run directory", std::filesystem::absolute(run.directory, ignored).lexically_normal().string());
  fact("finished", of_metrics("finished"));
  fact("data", of_metrics("data"));
  fact("data fingerprint", of_metrics("data_fingerprint"));
  fact("model", run.recipe.value("model", Json()));
  fact("program hash", of_metrics("program_hash"));
  fact("Moru", of_metrics("moru_version"));
  fact("target", of_metrics("target"));
  fact("seed", of_metrics("seed"));
  fact("threads", of_metrics("threads"));
  return provenance;
}

/// Commands that do it again.
Json repeat_json(const RunFiles& run) {
  const auto path = [&](const char* file) {
    return shell_word((std::filesystem::path(run.directory) / file).lexically_normal().string());
  };
  return {"moru train " + path("recipe.json") + " --seed " + run.metrics.value("seed", Json(0)).dump() + " --run-dir again",
          "moru evaluate " + path("model.moru") + " --data " + shell_word(run.metrics.value("data", "new.csv")),
          "moru predict " + path("model.moru") + " --data new.csv -o predictions.csv"};
}

}  // namespace

Json report_data(const RunFiles& run, const ProgramFacts& program) {
  Predicted predicted = read_predicted(run);
  const std::string name = run.recipe.value("name", "");
  Json data = Json::object();
  data["title"] =
      name.empty() ? file_of(std::filesystem::path(run.directory).lexically_normal().string()) : readable(name);
  data["subtitle"] = subtitle_of(run.metrics, predicted);
  data["part"] = predicted.part;
  data["tiles"] = tiles_json(run.metrics, predicted);
  data["findings"] = report_findings(run, predicted.frame, predicted.targets, predicted.classes);
  data["learning"] = learning_json(run);
  data["metrics"] = metrics_rows(run.metrics);
  data["targets"] = Json::array();
  for (NumberTarget& target : predicted.targets) data["targets"].push_back(std::move(target.json));
  data["by_place"] = std::move(predicted.by_place);
  data["classes"] = std::move(predicted.classes);
  data["model"] = {{"summary", program.summary}, {"svg", program.graph_svg}, {"missing", program.graph_missing}};
  data["memory"] = program.memory;
  data["profile"] = program.profile;
  data["recipe"] = run.recipe_text;
  data["provenance"] = provenance_json(run);
  data["repeat"] = repeat_json(run);
  return data;
}

}  // namespace moru
