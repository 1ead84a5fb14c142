#include "tools/report/class_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace moru {
namespace {

double ratio(int64_t a, int64_t b) { return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b); }

}  // namespace

ConfusionMatrix confusion_matrix(std::span<const int64_t> actual, std::span<const int64_t> predicted,
                                 std::size_t classes) {
  ConfusionMatrix matrix{classes, std::vector<int64_t>(classes * classes, 0)};
  for (std::size_t i = 0; i < actual.size(); ++i)
    ++matrix.counts[static_cast<std::size_t>(actual[i]) * classes + static_cast<std::size_t>(predicted[i])];
  return matrix;
}

std::vector<ClassScores> class_scores(const ConfusionMatrix& matrix) {
  std::vector<ClassScores> all(matrix.classes);
  for (std::size_t k = 0; k < matrix.classes; ++k) {
    ClassScores& scores = all[k];
    for (std::size_t other = 0; other < matrix.classes; ++other) {
      scores.support += matrix.at(k, other);
      scores.predicted += matrix.at(other, k);
    }
    const int64_t hits = matrix.at(k, k);
    scores.precision = ratio(hits, scores.predicted);
    scores.recall = ratio(hits, scores.support);
    scores.f1 = ratio(2 * hits, scores.predicted + scores.support);
  }
  return all;
}

double accuracy(const ConfusionMatrix& matrix) {
  int64_t hits = 0;
  for (std::size_t k = 0; k < matrix.classes; ++k) hits += matrix.at(k, k);
  return ratio(hits, std::accumulate(matrix.counts.begin(), matrix.counts.end(), int64_t{0}));
}

RankingCurve ranking_curve(std::span<const double> scores, std::span<const uint8_t> is_positive) {
  RankingCurve curve;
  for (const uint8_t positive : is_positive) ++(positive != 0 ? curve.positives : curve.negatives);
  if (curve.positives == 0 || curve.negatives == 0) {
    curve.roc_auc = curve.average_precision = std::numeric_limits<double>::quiet_NaN();
    return curve;
  }
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  curve.points.push_back({std::numeric_limits<double>::infinity(), 0, 0, 1});
  int64_t hits = 0, false_alarms = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    ++(is_positive[order[i]] != 0 ? hits : false_alarms);
    if (i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]]) continue;
    const CurvePoint before = curve.points.back();
    const CurvePoint now{scores[order[i]], ratio(hits, curve.positives), ratio(false_alarms, curve.negatives),
                         ratio(hits, hits + false_alarms)};
    curve.roc_auc += (now.false_positive_rate - before.false_positive_rate) *
                     (now.true_positive_rate + before.true_positive_rate) / 2;
    curve.average_precision += (now.true_positive_rate - before.true_positive_rate) * now.precision;
    curve.points.push_back(now);
  }
  // Precision without a single alarm is 0 / 0; drawn as that of the first alarms.
  curve.points.front().precision = curve.points[1].precision;
  return curve;
}

std::vector<CurvePoint> thin_out(std::span<const CurvePoint> points, std::size_t most) {
  std::vector<CurvePoint> kept;
  const double least = 4.0 / static_cast<double>(std::max<std::size_t>(most, 8));
  for (std::size_t i = 0; i < points.size(); ++i) {
    const bool is_end = i == 0 || i + 1 == points.size();
    if (!is_end && points.size() > most) {
      const CurvePoint& last = kept.back();
      const double moved = std::fabs(points[i].true_positive_rate - last.true_positive_rate) +
                           std::fabs(points[i].false_positive_rate - last.false_positive_rate) +
                           std::fabs(points[i].precision - last.precision);
      if (moved < least) continue;
    }
    kept.push_back(points[i]);
  }
  return kept;
}

}  // namespace moru
