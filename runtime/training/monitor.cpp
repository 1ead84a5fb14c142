#include "runtime/training/monitor.h"

#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace moru {

bool larger_is_better(std::string_view metric) {
  constexpr std::array<std::string_view, 24> endings = {"acc", "accuracy", "auc", "r2", "r2_score", "precision", "recall",
                                                        "f1_score", "fbeta_score", "iou", "mean_iou", "binary_iou",
                                                        "io_u", "mean_io_u", "cosine_similarity", "true_positives",
                                                        "true_negatives", "specificity", "sensitivity",
                                                        "pearson_correlation", "concordance_correlation", "sum",
                                                        "precision_at_recall", "recall_at_precision"};
  std::string lower(metric);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto ends_with = [&](std::string_view ending) {
    const bool found = lower.ends_with(ending);
    return found && (lower.size() == ending.size() || lower[lower.size() - ending.size() - 1] == '_');
  };
  for (const std::string_view ending : endings) {
    std::string joined(ending);  // "F1Score" is a way to write f1_score
    std::erase(joined, '_');
    if (ends_with(ending) || ends_with(joined)) return true;
  }
  return lower.find("accuracy") != std::string::npos;
}

MonitorMode resolve_mode(MonitorMode mode, std::string_view metric) {
  if (mode != MonitorMode::automatic) return mode;
  return larger_is_better(metric) ? MonitorMode::max : MonitorMode::min;
}

bool improves(double value, double reference, double min_delta, MonitorMode mode) {
  const double delta = std::fabs(min_delta);
  return mode == MonitorMode::max ? value - delta > reference : value + delta < reference;
}

EarlyStoppingRule::EarlyStoppingRule(EarlyStoppingRecipe options) : options_(std::move(options)) {
  options_.mode = resolve_mode(options_.mode, options_.monitor);
}

EarlyStoppingRule::Verdict EarlyStoppingRule::judge(int64_t epoch, double value) {
  Verdict verdict;
  if (epoch < options_.start_from_epoch) return verdict;
  if (!has_weights) {
    // Until something improves, the first epoch seen is the best there is.
    has_weights = true;
    best_epoch = epoch;
    verdict.take_weights = true;
  }
  ++wait;
  const double worst = options_.mode == MonitorMode::max ? -std::numeric_limits<double>::infinity()
                                                             : std::numeric_limits<double>::infinity();
  if (improves(value, has_best ? best : worst, options_.min_delta, options_.mode)) {
    has_best = true;
    best = value;
    best_epoch = epoch;
    verdict.take_weights = true;
    if (!options_.baseline || improves(value, *options_.baseline, options_.min_delta, options_.mode)) wait = 0;
    return verdict;
  }
  if (wait >= options_.patience && epoch > 0) {
    stopped_epoch = epoch;
    verdict.stop = true;
  }
  return verdict;
}

}  // namespace moru
