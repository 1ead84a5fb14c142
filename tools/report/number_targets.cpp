#include "tools/report/number_targets.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/training/regression_metrics.h"
#include "tools/report/report_text.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t most_drawn = 50'000;  // samples of a series that the page carries
constexpr std::size_t most_targets = 12;    // numbers that get charts of their own
constexpr int64_t day = 86400, hour = 3600;

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

NumberTarget number_target(const Frame& frame, const std::string& name, std::vector<double> actual,
                     std::vector<double> predicted, const std::vector<NamedColumn>& baselines) {
  NumberTarget target;
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

}  // namespace

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

void read_numbers(const RunFiles& run, const Frame& frame, const Json& output, bool only, std::vector<NumberTarget>& targets,
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

}  // namespace moru
