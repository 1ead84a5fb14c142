#include "tools/report/report_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <optional>

#include "runtime/training/regression_metrics.h"
#include "tools/report/class_statistics.h"
#include "tools/report/learning_verdict.h"
#include "tools/report/series_statistics.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t most_drawn = 50'000;  // samples of a series that the page carries
constexpr std::size_t most_targets = 12;    // numbers that get charts of their own
constexpr int64_t day = 86400, hour = 3600;

template <typename... Values>
std::string format(const char* text, Values... values) {
  std::array<char, 600> out;
  std::snprintf(out.data(), out.size(), text, values...);
  return out.data();
}

double number_of(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : nan;
}

std::vector<double> numbers_of(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list) values.push_back(value.is_number() ? value.get<double>() : nan);
  return values;
}

/// Six digits: more than anyone sees, and half the bytes.
Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return std::strtod(text.data(), nullptr);
}

Json rounded_list(std::span<const double> values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(rounded(value));
  return list;
}

/// "2 hours", "1 day", "5 rows".
std::string span_text(int64_t rows, int64_t spacing) {
  const auto with = [](double count, const char* unit) {
    return format("%.4g %s%s", count, unit, count == 1 ? "" : "s");
  };
  if (spacing <= 0) return with(static_cast<double>(rows), "row");
  const double seconds = static_cast<double>(rows * spacing);
  if (seconds >= 2 * day) return with(seconds / static_cast<double>(day), "day");
  if (seconds >= hour) return with(seconds / static_cast<double>(hour), "hour");
  return seconds >= 60 ? with(seconds / 60, "minute") : with(seconds, "second");
}

std::string duration_text(double seconds) {
  if (seconds < 60) return format("%.3g s", seconds);
  if (seconds < 3600) return format("%.0f min %02.0f s", std::floor(seconds / 60), std::fmod(seconds, 60));
  return format("%.0f h %02.0f min", std::floor(seconds / 3600), std::fmod(seconds / 60, 60));
}

std::string readable(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// "Rented Bike Count", and the unit in brackets at a column's end: "Temperature (C)".
struct Label {
  std::string text, unit;
};
Label label_of(const std::string& name) {
  const std::size_t open = name.rfind('(');
  if (open == std::string::npos || open == 0 || !name.ends_with(')')) return {name, ""};
  std::string text = name.substr(0, open);
  while (text.ends_with(' ')) text.pop_back();
  return {text, name.substr(open + 1, name.size() - open - 2)};
}

/// Every k-th element of what was predicted: one number of each sample.
std::vector<double> column_of(const Json& list, std::size_t column, std::size_t width) {
  std::vector<double> values;
  for (std::size_t i = column; i < list.size(); i += width)
    values.push_back(list[i].is_number() ? list[i].get<double>() : nan);
  return values;
}

RegressionMetrics errors_of(std::span<const double> actual, std::span<const double> predicted) {
  std::vector<float> a, p;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(actual[i]) || !std::isfinite(predicted[i])) continue;
    a.push_back(static_cast<float>(actual[i]));
    p.push_back(static_cast<float>(predicted[i]));
  }
  return regression_metrics(a, p);
}

std::vector<double> residuals_of(std::span<const double> actual, std::span<const double> predicted) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < actual.size(); ++i) errors.push_back(actual[i] - predicted[i]);
  return errors;
}

Json error_row(const std::string& name, bool is_baseline, std::span<const double> actual,
               std::span<const double> predicted) {
  const RegressionMetrics metrics = errors_of(actual, predicted);
  const ErrorSummary summary = summarize_errors(residuals_of(actual, predicted));
  return {{"name", name},
          {"is_baseline", is_baseline},
          {"mae", rounded(metrics.mae)},
          {"rmse", rounded(metrics.rmse)},
          {"r2", rounded(metrics.r2)},
          {"bias", rounded(-summary.mean)},
          {"samples", summary.count}};
}

/// What a whole part of the data shares.
struct Frame {
  bool is_ordered = false;
  std::vector<int64_t> rows, seconds;  // seconds may be empty
  int64_t step_seconds = 0;            // between samples, where known
  int64_t horizon = 0;
  std::string horizon_text;  // "2 hours", or empty
};

Frame read_frame(const Json& predictions) {
  Frame frame;
  frame.is_ordered = predictions.value("ordered", false);
  frame.rows = predictions.at("rows").get<std::vector<int64_t>>();
  if (predictions.contains("seconds")) frame.seconds = predictions.at("seconds").get<std::vector<int64_t>>();
  frame.horizon = predictions.value("horizon", int64_t{0});
  int64_t row_seconds = predictions.value("spacing", int64_t{0});
  for (std::size_t i = 1; i < frame.seconds.size(); ++i) {
    const int64_t step = frame.seconds[i] - frame.seconds[i - 1];
    if (step > 0) frame.step_seconds = frame.step_seconds == 0 ? step : std::min(frame.step_seconds, step);
    const int64_t passed = frame.rows[i] - frame.rows[i - 1];
    if (row_seconds == 0 && step > 0 && passed == 1) row_seconds = step;
  }
  if (frame.horizon > 0) frame.horizon_text = span_text(frame.horizon, row_seconds);
  return frame;
}

Json histogram_json(std::span<const double> errors) {
  std::vector<double> sorted;
  for (const double error : errors)
    if (std::isfinite(error)) sorted.push_back(error);
  std::sort(sorted.begin(), sorted.end());
  if (sorted.empty()) return nullptr;
  const Histogram bins = histogram(sorted);
  const ErrorSummary summary = summarize_errors(sorted);
  const double variance = summary.root_mean_square * summary.root_mean_square - summary.mean * summary.mean;
  return {{"low", rounded(bins.low)},
          {"width", rounded(bins.width)},
          {"counts", bins.counts},
          {"mean", rounded(summary.mean)},
          {"deviation", rounded(std::sqrt(std::max(variance, 0.0)))},
          {"median", rounded(quantile(sorted, 0.5))},
          {"q05", rounded(quantile(sorted, 0.05))},
          {"q95", rounded(quantile(sorted, 0.95))}};
}

Json autocorrelation_json(const Frame& frame, std::span<const double> errors) {
  const std::vector<double> grid = on_grid(errors, frame.rows);
  const auto known = static_cast<std::size_t>(
      std::count_if(grid.begin(), grid.end(), [](double value) { return !std::isnan(value); }));
  std::size_t lags = 20;
  if (frame.step_seconds > 0 && frame.step_seconds < day)
    lags = static_cast<std::size_t>(std::clamp<int64_t>(2 * day / frame.step_seconds, 20, 100));
  lags = std::min(lags, known / 5);
  const std::vector<double> r = autocorrelation(grid, lags);
  if (r.empty()) return nullptr;
  const LjungBox test = ljung_box(r, known);
  return {{"r", rounded_list(r)},
          {"band", rounded(white_noise_band(known))},
          {"step", frame.step_seconds},
          {"overlap", std::max<int64_t>(frame.horizon - 1, 0)},
          {"statistic", rounded(test.statistic)},
          {"p_value", rounded(test.p_value)},
          {"lags", test.lags}};
}

std::vector<std::size_t> hours_of(const Frame& frame) {
  std::vector<std::size_t> hours;
  for (const int64_t seconds : frame.seconds)
    hours.push_back(static_cast<std::size_t>(((seconds % day + day) % day) / hour));
  return hours;
}

/// {"count": [24], "mae": [24], "bias": [24], "baseline": [24]}; null where the data do not tell hours.
Json by_hour_json(const Frame& frame, std::span<const double> errors, std::span<const double> baseline_errors) {
  if (frame.seconds.empty() || frame.step_seconds <= 0 || frame.step_seconds >= day) return nullptr;
  const std::vector<std::size_t> hours = hours_of(frame);
  Json json = {{"count", Json::array()}, {"mae", Json::array()}, {"bias", Json::array()}};
  for (const ErrorSummary& summary : summarize_groups(errors, hours, 24)) {
    json["count"].push_back(summary.count);
    json["mae"].push_back(summary.count > 0 ? rounded(summary.mean_absolute) : Json());
    json["bias"].push_back(summary.count > 0 ? rounded(-summary.mean) : Json());
  }
  if (!baseline_errors.empty()) {
    json["baseline"] = Json::array();
    for (const ErrorSummary& summary : summarize_groups(baseline_errors, hours, 24))
      json["baseline"].push_back(summary.count > 0 ? rounded(summary.mean_absolute) : Json());
  }
  return json;
}

struct NamedColumn {
  std::string name;
  std::vector<double> values;
};

struct Target {
  Json json;
  std::string label;
  double mae = nan, rmse = nan, bias = nan;
  std::string best_baseline;
  double best_baseline_mae = nan;
  std::optional<LjungBox> whiteness;
};

/// One predicted number:
///   {"name", "label", "unit", "ordered", "horizon_text", "first", "x" [n] (milliseconds, or rows), "is_time",
///    "actual" [n], "predicted" [n], "baselines" {name: [n]}, "best_baseline", "errors" [rows of the table],
///    "histogram", "autocorrelation", "by_hour"}
/// Statistics are of all samples; the lists hold the newest `most_drawn`.
Target number_target(const Frame& frame, const std::string& name, std::vector<double> actual,
                     std::vector<double> predicted, const std::vector<NamedColumn>& baselines) {
  Target target;
  const Label label = label_of(name);
  target.label = label.text;
  const std::vector<double> errors = residuals_of(actual, predicted);
  const RegressionMetrics metrics = errors_of(actual, predicted);
  target.mae = metrics.mae;
  target.rmse = metrics.rmse;
  target.bias = -summarize_errors(errors).mean;
  Json& json = target.json;
  json = {{"name", name},
          {"label", label.text},
          {"unit", label.unit},
          {"ordered", frame.is_ordered},
          {"horizon_text", frame.horizon_text},
          {"samples", actual.size()},
          {"is_time", !frame.seconds.empty()},
          {"errors", Json::array({error_row("model", false, actual, predicted)})}};
  const NamedColumn* best = nullptr;
  for (const NamedColumn& baseline : baselines) {
    json["errors"].push_back(error_row(readable(baseline.name), true, actual, baseline.values));
    const double mae = errors_of(actual, baseline.values).mae;
    if (best != nullptr && !(mae < target.best_baseline_mae)) continue;
    best = &baseline;
    target.best_baseline_mae = mae;
    target.best_baseline = readable(baseline.name);
  }
  json["best_baseline"] = target.best_baseline;
  json["histogram"] = histogram_json(errors);
  if (frame.is_ordered) {
    json["autocorrelation"] = autocorrelation_json(frame, errors);
    if (!json["autocorrelation"].is_null())
      target.whiteness =
          LjungBox{json["autocorrelation"]["statistic"].get<double>(), json["autocorrelation"]["p_value"].get<double>(),
                   json["autocorrelation"]["lags"].get<std::size_t>()};
  }
  json["by_hour"] =
      by_hour_json(frame, errors, best == nullptr ? std::vector<double>{} : residuals_of(actual, best->values));

  const std::size_t first = actual.size() > most_drawn ? actual.size() - most_drawn : 0;
  json["first"] = first;
  Json& x = json["x"] = Json::array();
  for (std::size_t i = first; i < actual.size(); ++i)
    x.push_back(frame.seconds.empty() ? frame.rows[i] : 1000 * frame.seconds[i]);
  json["actual"] = rounded_list(std::span(actual).subspan(first));
  json["predicted"] = rounded_list(std::span(predicted).subspan(first));
  json["baselines"] = Json::object();
  for (const NamedColumn& baseline : baselines)
    json["baselines"][readable(baseline.name)] = rounded_list(std::span(baseline.values).subspan(first));
  return target;
}

struct Findings {
  Json list = Json::array();
  void add(const char* kind, const std::string& title, const std::string& text) {
    list.push_back({{"kind", kind}, {"title", title}, {"text", text}});
  }
};

/// The column that a target of the recipe reads, where it is one number.
std::string target_column(const Json& recipe, const std::string& output) {
  const auto data = recipe.find("data");
  if (data == recipe.end()) return {};
  const auto targets = data->find("targets");
  if (targets == data->end() || !targets->is_array()) return {};
  for (const Json& target : *targets) {
    if (targets->size() > 1 && target.value("name", "") != output) continue;
    if (const auto columns = target.find("columns"); columns != target.end() && columns->size() == 1)
      return columns->front().value("column", "");
  }
  return {};
}

/// Targets of one output, and where it is wide the error by place: by step of the forecast, or by column.
void read_numbers(const RunFiles& run, const Frame& frame, const Json& output, bool only, std::vector<Target>& targets,
                  Json& by_place) {
  const std::string name = output.at("name");
  const std::size_t samples = frame.rows.size(), width = output.at("actual").size() / samples;
  const Json& features = output.at("features");
  const std::string column = target_column(run.recipe, name);
  Json places = Json::array();
  for (std::size_t j = 0; j < width; ++j) {
    std::string label = width == 1                 ? (column.empty() ? name : column)
                        : features.size() == width ? features[j].get<std::string>()
                                                   : format("%s, step %zu", name.c_str(), j + 1);
    if (!only && width == 1 && !column.empty() && column != name) label = name + ": " + column;
    std::vector<double> actual = column_of(output.at("actual"), j, width);
    std::vector<double> predicted = column_of(output.at("predicted"), j, width);
    std::vector<NamedColumn> baselines;
    for (const auto& [baseline, values] : output.at("baselines").items())
      baselines.push_back({baseline, column_of(values, j, width)});
    if (width > 1) {
      const RegressionMetrics metrics = errors_of(actual, predicted);
      Json place = {{"label", features.size() == width ? label : std::to_string(j + 1)},
                    {"mae", rounded(metrics.mae)},
                    {"rmse", rounded(metrics.rmse)},
                    {"baselines", Json::object()}};
      for (const NamedColumn& baseline : baselines)
        place["baselines"][readable(baseline.name)] = rounded(errors_of(actual, baseline.values).mae);
      places.push_back(std::move(place));
    }
    if (targets.size() < most_targets)
      targets.push_back(number_target(frame, label, std::move(actual), std::move(predicted), baselines));
  }
  if (width > 1)
    by_place.push_back({{"output", name}, {"is_step", features.size() != width}, {"places", std::move(places)}});
}

Json curve_json(const RankingCurve& curve) {
  Json roc = Json::array(), pr = Json::array();
  for (const CurvePoint& point : thin_out(curve.points, 400)) {
    roc.push_back({rounded(point.false_positive_rate), rounded(point.true_positive_rate), rounded(point.threshold)});
    pr.push_back({rounded(point.true_positive_rate), rounded(point.precision), rounded(point.threshold)});
  }
  const int64_t all = curve.positives + curve.negatives;
  return {{"roc", std::move(roc)},
          {"pr", std::move(pr)},
          {"roc_auc", rounded(curve.roc_auc)},
          {"average_precision", rounded(curve.average_precision)},
          {"share", rounded(all > 0 ? static_cast<double>(curve.positives) / static_cast<double>(all) : nan)}};
}

/// One classifier: {"name", "classes", "confusion" [k][k], "scores" [{class, precision, recall, f1, support}],
/// "accuracy", "majority" {class, accuracy}, "curves" [{class, roc [[x, y, threshold]], pr, roc_auc, average_precision,
/// share}], "log_loss"}. Two classes have one curve, of the second.
Json classifier(const Json& output) {
  const auto names = output.at("classes").get<std::vector<std::string>>();
  const auto actual = output.at("actual").get<std::vector<int64_t>>();
  const std::vector<double> probabilities = numbers_of(output.at("probabilities"));
  const std::size_t classes = names.size();
  std::vector<int64_t> predicted;
  double log_loss = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto row = std::span(probabilities).subspan(i * classes, classes);
    predicted.push_back(std::max_element(row.begin(), row.end()) - row.begin());
    log_loss -= std::log(std::max(row[static_cast<std::size_t>(actual[i])], 1e-15));
  }
  const ConfusionMatrix matrix = confusion_matrix(actual, predicted, classes);
  Json json = {{"name", output.at("name")}, {"classes", names}, {"samples", actual.size()}};
  json["accuracy"] = rounded(accuracy(matrix));
  json["log_loss"] = rounded(log_loss / static_cast<double>(std::max<std::size_t>(actual.size(), 1)));
  json["confusion"] = Json::array();
  json["scores"] = Json::array();
  json["curves"] = Json::array();
  const std::vector<ClassScores> scores = class_scores(matrix);
  std::size_t most = 0;
  for (std::size_t k = 0; k < classes; ++k) {
    Json row = Json::array();
    for (std::size_t p = 0; p < classes; ++p) row.push_back(matrix.at(k, p));
    json["confusion"].push_back(std::move(row));
    json["scores"].push_back({{"class", names[k]},
                              {"precision", rounded(scores[k].precision)},
                              {"recall", rounded(scores[k].recall)},
                              {"f1", rounded(scores[k].f1)},
                              {"support", scores[k].support}});
    if (scores[k].support > scores[most].support) most = k;
    if (classes == 2 && k == 0) continue;
    std::vector<double> of_class;
    std::vector<uint8_t> is_class;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      of_class.push_back(probabilities[i * classes + k]);
      is_class.push_back(actual[i] == static_cast<int64_t>(k) ? 1 : 0);
    }
    Json curve = curve_json(ranking_curve(of_class, is_class));
    curve["class"] = names[k];
    json["scores"].back()["roc_auc"] = curve["roc_auc"];
    json["scores"].back()["average_precision"] = curve["average_precision"];
    json["curves"].push_back(std::move(curve));
  }
  json["majority"] = {{"class", names[most]},
                      {"accuracy", rounded(static_cast<double>(scores[most].support) /
                                           static_cast<double>(std::max<std::size_t>(actual.size(), 1)))}};
  return json;
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

LearningCurves learning_curves(const RunFiles& run) {
  LearningCurves curves;
  const auto series = [&](const char* name) {
    const auto found = run.history.find(name);
    return found != run.history.end() && found->is_array() ? numbers_of(*found) : std::vector<double>{};
  };
  curves.loss = series("loss");
  curves.validation_loss = series("val_loss");
  curves.best_epoch = run.metrics.value("best_epoch", std::size_t{0});
  curves.stopped_early = run.metrics.value("stopped_early", false);
  const Json callbacks = run.recipe.value("fit", Json::object()).value("callbacks", Json::object());
  if (const auto early = callbacks.find("early_stopping"); early != callbacks.end() && early->is_object())
    curves.restored_best = early->value("restore_best_weights", false);
  const auto loss_of = [&](const char* part) {
    const auto found = run.metrics.find(part);
    return found == run.metrics.end() ? nan : number_of(*found, "loss");
  };
  curves.final_loss = loss_of("train");
  curves.final_validation_loss = loss_of("validation");
  curves.baseline_error = curves.model_error = nan;
  return curves;
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

void add_skill(Findings& findings, const Target& target, bool several) {
  const std::string prefix = several ? target.label + ": " : "";
  if (std::isfinite(target.best_baseline_mae) && target.best_baseline_mae > 0) {
    const double skill = 1 - target.mae / target.best_baseline_mae;
    const std::string naive = target.json["ordered"].get<bool>() ? "naive forecast" : "naive prediction";
    const std::string numbers = format("Mean absolute error %.4g, against %.4g of %s, the best %s.", target.mae,
                                       target.best_baseline_mae, target.best_baseline.c_str(), naive.c_str());
    if (skill > 0) {
      findings.add(skill > 0.1 ? "good" : "warn",
                   prefix + format("%.0f %% better than the best %s", 100 * skill, naive.c_str()), numbers);
    } else {
      findings.add("bad", prefix + "Does not beat the best " + naive, numbers);
    }
  }
  if (std::fabs(target.bias) > 0.25 * target.mae)
    findings.add("warn", prefix + (target.bias > 0 ? "Predicts too much" : "Predicts too little"),
                 format("On average predictions are %.4g %s the truth; the mean absolute error is %.4g.",
                        std::fabs(target.bias), target.bias > 0 ? "above" : "below", target.mae));
}

void add_whiteness(Findings& findings, const Frame& frame, const Target& target) {
  if (!target.whiteness) return;
  const LjungBox& test = *target.whiteness;
  const std::string p = test.p_value < 0.001 ? "p < 0.001" : format("p = %.3f", test.p_value);
  const std::string numbers = format("Ljung-Box over %zu lags: Q = %.1f, %s.", test.lags, test.statistic, p.c_str());
  if (test.p_value >= 0.05)
    return findings.add("good", "Errors look like noise", numbers + " No pattern in time is left to learn.");
  std::string text = numbers + " Errors depend on earlier ones, so something in time is left to learn.";
  if (frame.horizon > 1)
    text += format(
        " Forecasts %s ahead overlap: errors less than %lld rows apart are related even for the best possible "
        "model.",
        frame.horizon_text.c_str(), static_cast<long long>(frame.horizon));
  findings.add("info", "Errors are not independent", text);
}

void add_shift(Findings& findings, const Json& metrics) {
  const auto loss = [&](const char* part) {
    const auto found = metrics.find(part);
    return found == metrics.end() ? nan : number_of(*found, "loss");
  };
  const double validation = loss("validation"), test = loss("test");
  if (!(validation > 0) || !(test > 1.25 * validation)) return;
  findings.add(
      "warn", "The test part is harder than the validation part",
      format("Its loss is %.4g, %.0f %% above %.4g in validation: either the data have changed, or the choice by "
             "validation loss was lucky.",
             test, 100 * (test / validation - 1), validation));
}

Json tile(const std::string& label, const std::string& value, const std::string& note = "") {
  return {{"label", label}, {"value", value}, {"note", note}};
}

std::string with_unit(double value, const std::string& unit) {
  return format("%.4g", value) + (unit.empty() ? "" : " " + unit);
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

}  // namespace

Json report_data(const RunFiles& run, const ProgramFacts& program) {
  const Json& metrics = run.metrics;
  Json data = Json::object();
  Findings findings;
  Json tiles = Json::array();
  std::vector<Target> targets;
  Json by_place = Json::array(), classes = Json::array();
  Frame frame;
  std::string part = "test";
  if (!run.predictions.is_null() && !run.predictions.at("rows").empty()) {
    frame = read_frame(run.predictions);
    part = run.predictions.value("part", "test");
    const Json& outputs = run.predictions.at("outputs");
    for (const Json& output : outputs) {
      const std::string kind = output.at("kind");
      if (kind == "number") read_numbers(run, frame, output, outputs.size() == 1, targets, by_place);
      if (kind == "class") classes.push_back(classifier(output));
    }
  }

  LearningCurves curves = learning_curves(run);
  if (targets.size() == 1) {
    curves.model_error = targets[0].mae;
    curves.baseline_error = targets[0].best_baseline_mae;
    curves.baseline_name = "the naive forecast '" + targets[0].best_baseline + "'";
    curves.error_name = "mean absolute error";
  }
  const LearningVerdict verdict = judge_learning(curves);
  const bool is_bad = verdict.fit == Fit::diverged || verdict.fit == Fit::underfitting;
  const bool is_good = verdict.fit == Fit::balanced;
  findings.add(is_bad                        ? "bad"
               : is_good                     ? "good"
               : verdict.fit == Fit::unknown ? "info"
                                             : "warn",
               verdict.headline, verdict.sentence);
  for (const Target& target : targets) add_skill(findings, target, targets.size() > 1);
  if (targets.size() == 1) add_whiteness(findings, frame, targets[0]);
  add_shift(findings, metrics);

  for (std::size_t i = 0; i < std::min<std::size_t>(targets.size(), 2); ++i) {
    const Target& target = targets[i];
    const std::string of = targets.size() > 1 ? target.label + ", " : "";
    const std::string unit = target.json["unit"];
    tiles.push_back(tile(targets.size() > 1 ? of + "MAE" : "mean absolute error", with_unit(target.mae, unit), part + " part"));
    if (targets.size() == 1) tiles.push_back(tile("root mean square", with_unit(target.rmse, unit), part + " part"));
    tiles.push_back(tile(
        of + "R²",
        target.json["errors"][0]["r2"].is_null() ? "–" : format("%.3f", target.json["errors"][0]["r2"].get<double>()),
        part + " part"));
    if (std::isfinite(target.best_baseline_mae) && targets.size() == 1)
      tiles.push_back(tile(frame.is_ordered ? "against naive forecast" : "against naive prediction",
                           format("%+.0f %%", 100 * (target.mae / target.best_baseline_mae - 1)),
                           target.best_baseline));
  }
  for (const Json& one : classes) {
    const std::string of = classes.size() > 1 ? one["name"].get<std::string>() + ", " : "";
    const double hits = one["accuracy"], majority = one["majority"]["accuracy"];
    tiles.push_back(tile(of + "accuracy", format("%.1f %%", 100 * hits), part + " part"));
    tiles.push_back(tile(of + "most frequent class", format("%.1f %%", 100 * majority), one["majority"]["class"]));
    double area = 0;
    for (const Json& curve : one["curves"]) area += curve["roc_auc"].is_null() ? nan : curve["roc_auc"].get<double>();
    area /= static_cast<double>(one["curves"].size());
    if (std::isfinite(area))
      tiles.push_back(tile(of + "area under ROC", format("%.3f", area),
                           one["curves"].size() > 1 ? "mean over classes" : part + " part"));
    const std::string numbers =
        format("%.1f %% of the samples are classified right; always saying '%s' would be right in %.1f %%.", 100 * hits,
               one["majority"]["class"].get<std::string>().c_str(), 100 * majority);
    if (hits > majority) {
      findings.add("good", of + format("%.1f points better than the most frequent class", 100 * (hits - majority)),
                   numbers);
    } else {
      findings.add("bad", of + "No better than the most frequent class", numbers);
    }
  }
  const auto epochs = metrics.value("epochs", int64_t{0});
  tiles.push_back(tile("epochs", std::to_string(epochs),
                       format("best %lld%s", static_cast<long long>(metrics.value("best_epoch", int64_t{0})),
                              metrics.value("stopped_early", false) ? ", stopped early" : "")));
  tiles.push_back(tile("training time", duration_text(number_of(metrics, "seconds")),
                       duration_text(number_of(metrics, "seconds_per_epoch")) + " per epoch"));
  const std::string name = run.recipe.value("name", "");
  data["title"] =
      name.empty() ? file_of(std::filesystem::path(run.directory).lexically_normal().string()) : readable(name);
  std::string subtitle;
  const auto add = [&](const std::string& text) {
    if (!text.empty()) subtitle += (subtitle.empty() ? "" : " · ") + text;
  };
  if (targets.size() == 1)
    add(targets[0].label + (frame.horizon_text.empty() ? "" : ", " + frame.horizon_text + " ahead"));
  add(file_of(metrics.value("data", "")));
  add("trained " + metrics.value("finished", "").substr(0, 10));
  data["subtitle"] = subtitle;
  data["part"] = part;
  data["tiles"] = std::move(tiles);
  data["findings"] = std::move(findings.list);
  data["learning"] = learning_json(run);
  data["metrics"] = metrics_rows(metrics);
  data["targets"] = Json::array();
  for (Target& target : targets) data["targets"].push_back(std::move(target.json));
  data["by_place"] = std::move(by_place);
  data["classes"] = std::move(classes);
  data["model"] = {{"summary", program.summary}, {"svg", program.graph_svg}, {"missing", program.graph_missing}};
  data["memory"] = program.memory;
  data["profile"] = program.profile;
  data["recipe"] = run.recipe_text;

  Json provenance = Json::array();
  const auto fact = [&](const char* what, const Json& value) {
    if (value.is_null() || (value.is_string() && value.get<std::string>().empty())) return;
    provenance.push_back({what, value.is_string() ? value.get<std::string>() : value.dump()});
  };
  const auto of_metrics = [&](const char* key) { return metrics.value(key, Json()); };
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
  data["provenance"] = std::move(provenance);
  const std::string seed = metrics.value("seed", Json(0)).dump();
  const auto path = [&](const char* file) {
    return shell_word((std::filesystem::path(run.directory) / file).lexically_normal().string());
  };
  data["repeat"] = {"moru train " + path("recipe.json") + " --seed " + seed + " --run-dir again",
                    "moru evaluate " + path("model.moru") + " --data " + shell_word(metrics.value("data", "new.csv")),
                    "moru predict " + path("model.moru") + " --data new.csv -o predictions.csv"};
  return data;
}

}  // namespace moru
