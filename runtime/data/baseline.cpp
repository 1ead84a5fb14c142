#include "runtime/data/baseline.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

namespace moru {
namespace {

constexpr int64_t seconds_per_day = 86400;

/// The target's values of one base row.
class RowValues {
 public:
  explicit RowValues(const DatasetArray& array) : array_(array), count_(array.row_bytes / sizeof(float)) {}
  std::size_t count() const { return count_; }
  float at(int64_t row, std::size_t k) const {
    float value = 0;
    std::memcpy(&value, array_.base->data() + static_cast<std::size_t>(row) * array_.row_bytes + k * sizeof(float),
                sizeof value);
    return value;
  }
  bool complete(int64_t row) const {
    for (std::size_t k = 0; k < count_; ++k) {
      if (std::isnan(at(row, k))) return false;
    }
    return true;
  }

 private:
  const DatasetArray& array_;
  std::size_t count_;
};

/// The row at exactly this time, or -1. Times never go back.
int64_t find_row(const RowTimes& times, int64_t seconds) {
  const auto found = std::lower_bound(times.seconds.begin(), times.seconds.end(), seconds);
  if (found == times.seconds.end() || *found != seconds) return -1;
  return found - times.seconds.begin();
}

int64_t smallest_step(const RowTimes& times) {
  int64_t smallest = std::numeric_limits<int64_t>::max();
  for (std::size_t row = 1; row < times.seconds.size(); ++row) {
    const int64_t step = times.seconds[row] - times.seconds[row - 1];
    if (step < 0) return std::numeric_limits<int64_t>::max();  // not in order of time
    if (step > 0) smallest = std::min(smallest, step);
  }
  return smallest;
}

}  // namespace

std::vector<Baseline> naive_baselines(const Dataset& test, const Dataset& train, std::size_t target) {
  std::vector<Baseline> baselines;
  if (target >= test.targets().size() || test.size() == 0) return baselines;
  const DatasetArray& array = test.targets()[target];
  if (array.is_category || array.dtype != DType::f32) return baselines;
  const RowValues values(array);

  /// Compares with the row that `reference` names for a sample; -1 leaves the sample out.
  const auto repeat = [&](const char* name, const std::function<int64_t(int64_t)>& reference) {
    std::vector<float> actual, predicted, all;
    for (int64_t sample = 0; sample < test.size(); ++sample) {
      const int64_t row = reference(sample);
      const bool known = row >= 0 && values.complete(row);
      for (std::size_t k = 0; k < values.count(); ++k) {
        all.push_back(known ? values.at(row, k) : std::numeric_limits<float>::quiet_NaN());
        if (!known) continue;
        actual.push_back(values.at(test.target_row(sample), k));
        predicted.push_back(all.back());
      }
    }
    const auto samples = static_cast<int64_t>(actual.size() / std::max<std::size_t>(values.count(), 1));
    if (samples * 2 < test.size() || samples == 0) return;
    baselines.push_back({name, samples, regression_metrics(actual, predicted), std::move(all)});
  };

  if (test.horizon() > 0) repeat("persistence", [&](int64_t sample) { return test.anchor(sample); });
  if (test.has_times() && test.horizon() > 0) {
    const RowTimes& times = *test.times();
    const int64_t step = smallest_step(times);
    const auto earlier = [&](int64_t period) {
      return [&test, &times, period](int64_t sample) {
        const int64_t known_until = times.seconds[static_cast<std::size_t>(test.anchor(sample))];
        int64_t when = times.seconds[static_cast<std::size_t>(test.target_row(sample))] - period;
        while (when > known_until) when -= period;
        return find_row(times, when);
      };
    };
    if (step < seconds_per_day) repeat("same_time_yesterday", earlier(seconds_per_day));
    if (step <= seconds_per_day) repeat("same_time_last_week", earlier(7 * seconds_per_day));
  }
  if (train.size() > 0 && target < train.targets().size() && train.targets()[target].row_bytes == array.row_bytes) {
    const RowValues training(train.targets()[target]);
    std::vector<double> mean(values.count(), 0.0);
    for (int64_t sample = 0; sample < train.size(); ++sample) {
      for (std::size_t k = 0; k < mean.size(); ++k)
        mean[k] += static_cast<double>(training.at(train.target_row(sample), k));
    }
    std::vector<float> actual, predicted;
    for (int64_t sample = 0; sample < test.size(); ++sample) {
      for (std::size_t k = 0; k < mean.size(); ++k) {
        actual.push_back(values.at(test.target_row(sample), k));
        predicted.push_back(static_cast<float>(mean[k] / static_cast<double>(train.size())));
      }
    }
    const RegressionMetrics metrics = regression_metrics(actual, predicted);
    baselines.push_back({"training_mean", test.size(), metrics, std::move(predicted)});
  }
  return baselines;
}

}  // namespace moru
