#include "tools/report/report_findings.h"

#include <cmath>
#include <limits>
#include <string>

#include "tools/report/learning_verdict.h"
#include "tools/report/report_text.h"

namespace moru {
namespace {

using Json = nlohmann::ordered_json;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Findings {
  Json list = Json::array();
  void add(const char* kind, const std::string& title, const std::string& text) {
    list.push_back({{"kind", kind}, {"title", title}, {"text", text}});
  }
};

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

void add_skill(Findings& findings, const NumberTarget& target, bool several) {
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

void add_whiteness(Findings& findings, const Frame& frame, const NumberTarget& target) {
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

void add_classes(Findings& findings, const Json& one, bool several) {
  const std::string of = several ? one["name"].get<std::string>() + ", " : "";
  const double hits = one["accuracy"], majority = one["majority"]["accuracy"];
  const std::string numbers =
      format("%.1f %% of the samples are classified right; always saying '%s' would be right in %.1f %%.", 100 * hits,
             one["majority"]["class"].get<std::string>().c_str(), 100 * majority);
  if (hits > majority) {
    findings.add("good", of + format("%.1f points better than the most frequent class", 100 * (hits - majority)), numbers);
  } else {
    findings.add("bad", of + "No better than the most frequent class", numbers);
  }
}

void add_learning(Findings& findings, const RunFiles& run, const std::vector<NumberTarget>& targets) {
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
}

}  // namespace

Json report_findings(const RunFiles& run, const Frame& frame, const std::vector<NumberTarget>& targets, const Json& classes) {
  Findings findings;
  add_learning(findings, run, targets);
  for (const NumberTarget& target : targets) add_skill(findings, target, targets.size() > 1);
  if (targets.size() == 1) add_whiteness(findings, frame, targets[0]);
  add_shift(findings, run.metrics);
  for (const Json& one : classes) add_classes(findings, one, classes.size() > 1);
  return std::move(findings.list);
}

}  // namespace moru
