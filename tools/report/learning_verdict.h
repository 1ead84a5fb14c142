// Says in a sentence whether a model learned too little, too much, or about right, and by which numbers.
#pragma once

#include <string>
#include <vector>

namespace moru {

enum class Fit { unknown, diverged, underfitting, unfinished, overfitting, gap, balanced };

struct LearningCurves {
  std::vector<double> loss, validation_loss;  // by epoch; NaN: not validated. validation_loss may be empty
  std::size_t best_epoch = 0;                 // counted from 1; 0: no epoch ran
  bool stopped_early = false, restored_best = false;
  // Measured behind training with the weights that were kept, dropout off; NaN where unknown.
  double final_loss = 0, final_validation_loss = 0;
  // The smallest error of a naive baseline and the model's in the same measure, NaN where there are none.
  double baseline_error = 0, model_error = 0;
  std::string baseline_name = {}, error_name = {};
};

struct LearningVerdict {
  Fit fit = Fit::unknown;
  std::string headline;  // "Overfitting from epoch 9 on"
  std::string sentence;  // with the numbers behind it, and what to try
};

/// In this order: the loss is not finite (diverged); no validation (unknown); the model errs at least as much as the
/// best naive baseline (underfitting); the epochs behind the best one have a validation loss that is 5 % higher in the
/// mean while the training loss fell further (overfitting); the kept weights' validation loss is more than 1.5 times
/// their training loss (gap); the best epoch is the last and the validation loss still fell by 1 % over the last tenth
/// of the epochs (unfinished); balanced.
LearningVerdict judge_learning(const LearningCurves& curves);

}  // namespace moru
