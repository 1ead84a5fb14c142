#include "tools/report/learning_verdict.h"

#include <doctest/doctest.h>

#include <limits>

using namespace moru;

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

LearningCurves curves(std::vector<double> loss, std::vector<double> validation, size_t best) {
  LearningCurves c;
  c.loss = std::move(loss);
  c.validation_loss = std::move(validation);
  c.best_epoch = best;
  c.final_loss = c.final_validation_loss = c.baseline_error = c.model_error = unknown;
  return c;
}

bool says(const LearningVerdict& verdict, const char* text) {
  CAPTURE(verdict.headline);
  CAPTURE(verdict.sentence);
  const bool found = (verdict.headline + "|" + verdict.sentence).find(text) != std::string::npos;
  CHECK_MESSAGE(found, text);
  return found;
}

}  // namespace

TEST_CASE("judge_learning: a validation loss that rises while the training loss falls is overfitting, with numbers") {
  LearningCurves c = curves({1, 0.5, 0.3, 0.2, 0.1}, {1, 0.6, 0.5, 0.6, 0.75}, 3);
  c.restored_best = true;
  const LearningVerdict verdict = judge_learning(c);
  CHECK(verdict.fit == Fit::overfitting);
  says(verdict, "Overfitting from epoch 3 on");
  says(verdict, "from 0.3 to 0.1");
  says(verdict, "from 0.5 to 0.75 (+50 %)");
  says(verdict, "epoch 3 were restored");
}

TEST_CASE("judge_learning: a large gap without a rise is said to be one") {
  LearningCurves c = curves({1, 0.5, 0.30, 0.29}, {1.2, 0.9, 0.8, 0.81}, 3);
  c.final_loss = 0.3;
  c.final_validation_loss = 0.8;
  const LearningVerdict verdict = judge_learning(c);
  CHECK(verdict.fit == Fit::gap);
  says(verdict, "0.3 in training and 0.8 in validation (167 % more)");
}

TEST_CASE("judge_learning: still falling at the end means more epochs") {
  const LearningVerdict verdict = judge_learning(curves({1, 0.8, 0.6, 0.5}, {1, 0.8, 0.7, 0.6}, 4));
  CHECK(verdict.fit == Fit::unfinished);
  says(verdict, "by 14 %");
}

TEST_CASE("judge_learning: no better than a naive forecast is underfitting, however the curves look") {
  LearningCurves c = curves({1, 0.9}, {1, 0.9}, 2);
  c.baseline_error = 10;
  c.model_error = 12;
  c.baseline_name = "persistence";
  c.error_name = "mean absolute error";
  const LearningVerdict verdict = judge_learning(c);
  CHECK(verdict.fit == Fit::underfitting);
  says(verdict, "mean absolute error in the test part is 12; persistence has 10");
}

TEST_CASE("judge_learning: what cannot be told is not told") {
  CHECK(judge_learning(curves({}, {}, 0)).fit == Fit::unknown);
  CHECK(judge_learning(curves({1, 0.5}, {}, 2)).fit == Fit::unknown);
  CHECK(judge_learning(curves({1, 0.5}, {unknown, unknown}, 2)).fit == Fit::unknown);
  CHECK(judge_learning(curves({1, unknown}, {1, unknown}, 1)).fit == Fit::diverged);
  says(judge_learning(curves({1, unknown}, {1, unknown}, 1)), "epoch 2");
}

TEST_CASE("judge_learning: flat curves near each other are balanced, epochs without validation are skipped") {
  const LearningVerdict verdict = judge_learning(curves({1, 0.5, 0.4, 0.4}, {unknown, 0.5, unknown, 0.502}, 2));
  CHECK(verdict.fit == Fit::balanced);
  says(verdict, "best epoch, 2 of 4, the validation loss is 0.5; in the last it is 0.502");
}
