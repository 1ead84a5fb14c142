#include "tools/report/class_statistics.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace moru;

TEST_CASE("confusion_matrix: rows are the truth; scores follow from it") {
  const std::vector<int64_t> actual = {0, 0, 0, 1, 1, 2, 2, 2, 2, 2}, predicted = {0, 0, 1, 1, 1, 2, 2, 0, 2, 1};
  const ConfusionMatrix matrix = confusion_matrix(actual, predicted, 3);
  CHECK(matrix.counts == std::vector<int64_t>{2, 1, 0, 0, 2, 0, 1, 1, 3});
  CHECK(accuracy(matrix) == doctest::Approx(0.7));
  const std::vector<ClassScores> scores = class_scores(matrix);
  CHECK(scores[0].precision == doctest::Approx(2.0 / 3));
  CHECK(scores[0].recall == doctest::Approx(2.0 / 3));
  CHECK(scores[1].precision == doctest::Approx(0.5));
  CHECK(scores[1].recall == doctest::Approx(1.0));
  CHECK(scores[1].f1 == doctest::Approx(2.0 / 3));
  CHECK(scores[2].precision == doctest::Approx(1.0));
  CHECK(scores[2].recall == doctest::Approx(0.6));
  CHECK(scores[2].f1 == doctest::Approx(0.75));
  CHECK(scores[2].support == 5);
  CHECK(scores[2].predicted == 3);
}

TEST_CASE("class_scores: a class that nobody predicts and that never happens has zeros, not NaN") {
  const std::vector<int64_t> all = {0, 0};
  const std::vector<ClassScores> scores = class_scores(confusion_matrix(all, all, 2));
  CHECK(scores[1].precision == 0);
  CHECK(scores[1].recall == 0);
  CHECK(scores[1].f1 == 0);
}

TEST_CASE("ranking_curve: worked by hand for four samples") {
  // From the highest score: +, -, +, -. Pairs ranked right: 3 of 4. Precision at the hits: 1 and 2/3.
  const RankingCurve curve = ranking_curve(std::vector<double>{0.1, 0.4, 0.35, 0.8}, std::vector<uint8_t>{0, 0, 1, 1});
  CHECK(curve.roc_auc == doctest::Approx(0.75));
  CHECK(curve.average_precision == doctest::Approx(0.5 * 1 + 0.5 * 2 / 3));
  REQUIRE(curve.points.size() == 5);
  CHECK(curve.points.front().true_positive_rate == 0);
  CHECK(curve.points[1].threshold == 0.8);
  CHECK(curve.points[2].false_positive_rate == doctest::Approx(0.5));
  CHECK(curve.points.back().true_positive_rate == 1);
  CHECK(curve.points.back().false_positive_rate == 1);
}

TEST_CASE("ranking_curve: equal scores count half, whatever their order") {
  CHECK(ranking_curve(std::vector<double>{0.5, 0.5, 0.5, 0.5}, std::vector<uint8_t>{1, 0, 0, 1}).roc_auc ==
        doctest::Approx(0.5));
  // Pairs: (0.6, 0.6) half, (0.6, 0.2) one, (0.3, 0.6) none, (0.3, 0.2) one: 2.5 of 4.
  const std::vector<double> scores = {0.6, 0.6, 0.3, 0.2};
  CHECK(ranking_curve(scores, std::vector<uint8_t>{1, 0, 1, 0}).roc_auc == doctest::Approx(0.625));
  CHECK(ranking_curve(scores, std::vector<uint8_t>{0, 1, 1, 0}).roc_auc == doctest::Approx(0.625));
}

TEST_CASE("ranking_curve: the area is the share of pairs ranked right, counted pair by pair") {
  std::vector<double> scores;
  std::vector<uint8_t> positive;
  uint64_t state = 7;
  const auto draw = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 40) / 16777216.0;
  };
  for (int i = 0; i < 300; ++i) {
    positive.push_back(draw() < 0.3 ? 1 : 0);
    scores.push_back(std::floor(20 * (draw() + 0.3 * positive.back())) / 20);
  }
  double right = 0, pairs = 0;
  for (size_t a = 0; a < scores.size(); ++a) {
    for (size_t b = 0; b < scores.size(); ++b) {
      if (positive[a] == 0 || positive[b] != 0) continue;
      pairs += 1;
      right += scores[a] > scores[b] ? 1 : scores[a] == scores[b] ? 0.5 : 0;
    }
  }
  CHECK(ranking_curve(scores, positive).roc_auc == doctest::Approx(right / pairs));
}

TEST_CASE("ranking_curve: of one kind only there is no curve") {
  const RankingCurve curve = ranking_curve(std::vector<double>{0.5, 0.6}, std::vector<uint8_t>{1, 1});
  CHECK(curve.points.empty());
  CHECK(std::isnan(curve.roc_auc));
}

TEST_CASE("thin_out: keeps the ends and the shape of a long curve") {
  std::vector<double> scores;
  std::vector<uint8_t> positive;
  for (int i = 0; i < 20000; ++i) {
    scores.push_back(i);
    positive.push_back(i % 7 > i % 3 ? 1 : 0);
  }
  const RankingCurve curve = ranking_curve(scores, positive);
  const std::vector<CurvePoint> few = thin_out(curve.points, 400);
  CHECK(few.size() < 2000);
  CHECK(few.size() > 50);
  CHECK(few.front().true_positive_rate == 0);
  CHECK(few.back().true_positive_rate == 1);
  double area = 0;
  for (size_t i = 1; i < few.size(); ++i)
    area += (few[i].false_positive_rate - few[i - 1].false_positive_rate) *
            (few[i].true_positive_rate + few[i - 1].true_positive_rate) / 2;
  CHECK(area == doctest::Approx(curve.roc_auc).epsilon(0.01));
}
