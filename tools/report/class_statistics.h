// Statistics of a classifier: confusion matrix, per-class scores, ROC and precision-recall curves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moru {

/// counts[a * classes + p]: samples of class a that were taken for class p.
struct ConfusionMatrix {
  std::size_t classes = 0;
  std::vector<int64_t> counts;
  int64_t at(std::size_t actual, std::size_t predicted) const { return counts[actual * classes + predicted]; }
};

/// `actual` and `predicted` hold classes in [0, classes).
ConfusionMatrix confusion_matrix(std::span<const int64_t> actual, std::span<const int64_t> predicted,
                                 std::size_t classes);

/// precision = TP / (TP + FP), recall = TP / (TP + FN), f1 = 2 TP / (2 TP + FP + FN); 0 where the denominator is 0.
struct ClassScores {
  double precision = 0, recall = 0, f1 = 0;
  int64_t support = 0;    // samples that are of the class
  int64_t predicted = 0;  // samples taken for it
};
std::vector<ClassScores> class_scores(const ConfusionMatrix& matrix);
double accuracy(const ConfusionMatrix& matrix);

/// One point per distinct score, from the highest threshold to the lowest; samples of one score are counted together.
struct CurvePoint {
  double threshold = 0;                                                   // positive where score >= threshold
  double true_positive_rate = 0, false_positive_rate = 0, precision = 0;  // true_positive_rate is the recall
};

struct RankingCurve {
  std::vector<CurvePoint> points;
  double roc_auc = 0;  // area under the ROC curve by trapezoids: P(score of a positive > of a negative) + ties/2
  double average_precision = 0;  // sum over points of precision times the rise in recall
  int64_t positives = 0, negatives = 0;
};

/// NaN areas and no points where one of the two kinds is missing.
RankingCurve ranking_curve(std::span<const double> scores, std::span<const uint8_t> is_positive);

/// At most `most` of the points, first and last among them, that keep the shape: those farthest from the last one kept.
std::vector<CurvePoint> thin_out(std::span<const CurvePoint> points, std::size_t most);

}  // namespace moru
