#include "tools/report/learning_verdict.h"

#include <algorithm>
#include <cmath>

#include "tools/report/report_text.h"

namespace moru {
namespace {

std::string percent(double ratio) {
  const double value = 100 * std::fabs(ratio);
  return format(value < 9.95 ? "%.1f %%" : "%.0f %%", value);
}

/// The last epoch that has a value, counted from 1.
std::size_t last_known(const std::vector<double>& values) {
  std::size_t epoch = values.size();
  while (epoch > 0 && std::isnan(values[epoch - 1])) --epoch;
  return epoch;
}

}  // namespace

LearningVerdict judge_learning(const LearningCurves& c) {
  const std::size_t epochs = c.loss.size();
  if (epochs == 0) return {Fit::unknown, "Not trained", "No epoch ran, so there is nothing to judge."};
  for (std::size_t i = 0; i < epochs; ++i) {
    if (std::isfinite(c.loss[i])) continue;
    return {Fit::diverged, "Diverged",
            format("The training loss of epoch %zu is not a finite number. Lower the learning rate, clip gradients, or "
                   "look for missing and huge values in the data.",
                   i + 1)};
  }
  const std::size_t last = last_known(c.validation_loss);
  if (last == 0)
    return {Fit::unknown, "No validation part",
            format("The training loss went from %.4g to %.4g, but without a validation part nobody can tell whether "
                   "the model generalises.",
                   c.loss.front(), c.loss.back())};
  const std::size_t best = std::clamp<std::size_t>(c.best_epoch, 1, last);
  const double best_loss = c.validation_loss[best - 1], end_loss = c.validation_loss[last - 1];
  const double train_best = c.loss[best - 1], train_end = c.loss[last - 1];
  const bool known_gap = std::isfinite(c.final_loss) && std::isfinite(c.final_validation_loss) && c.final_loss > 0;
  const double gap = known_gap ? c.final_validation_loss / c.final_loss - 1 : NAN;
  const std::string gap_text =
      known_gap
          ? format(" With the weights that were kept, the loss is %.4g in training and %.4g in validation (%s %s).",
                   c.final_loss, c.final_validation_loss, percent(gap).c_str(), gap >= 0 ? "more" : "less")
          : std::string();
  if (std::isfinite(c.baseline_error) && std::isfinite(c.model_error) && c.model_error >= c.baseline_error)
    return {Fit::underfitting, "Underfitting: no better than a naive forecast",
            format("Its %s in the test part is %.4g; %s has %.4g. Features that say more, a larger model, a higher "
                   "learning rate or more epochs are worth a try.",
                   c.error_name.c_str(), c.model_error, c.baseline_name.c_str(), c.baseline_error) +
                gap_text};
  double behind = 0, known = 0;  // the mean validation loss of the epochs behind the best
  for (std::size_t i = best; i < last; ++i) {
    if (std::isnan(c.validation_loss[i])) continue;
    behind += c.validation_loss[i];
    known += 1;
  }
  if (known > 0 && behind / known > 1.05 * best_loss && end_loss > best_loss && best_loss > 0 && train_end < train_best)
    return {Fit::overfitting, format("Overfitting from epoch %zu on", best),
            format("From epoch %zu to %zu the training loss fell from %.4g to %.4g while the validation loss rose from "
                   "%.4g to %.4g (+%s). ",
                   best, last, train_best, train_end, best_loss, end_loss, percent(end_loss / best_loss - 1).c_str()) +
                (c.restored_best ? format("The weights of epoch %zu were restored.", best)
                                 : std::string("The last weights were kept: early stopping with restore_best_weights "
                                               "would keep the best.")) +
                gap_text};
  if (gap > 0.5)
    return {Fit::gap, "Some overfitting",
            "The validation loss stays well above the training loss." + gap_text +
                " More data, dropout, weight decay or a smaller model narrow that gap."};
  const std::size_t tenth = std::max<std::size_t>(epochs / 10, 1);
  if (best == last && !c.stopped_early && last > tenth) {
    const double before = c.validation_loss[last - 1 - tenth];
    if (std::isfinite(before) && before > 0 && end_loss < 0.99 * before)
      return {Fit::unfinished, "Not finished: still improving",
              format("The validation loss was still falling when training ended: by %s over the last %zu epoch%s, to "
                     "%.4g. More epochs will help.",
                     percent(1 - end_loss / before).c_str(), tenth, tenth == 1 ? "" : "s", end_loss) +
                  gap_text};
  }
  return {Fit::balanced, "A balanced fit",
          format("In the best epoch, %zu of %zu, the validation loss is %.4g; in the last it is %.4g.", best, last,
                 best_loss, end_loss) +
              gap_text};
}

}  // namespace moru
