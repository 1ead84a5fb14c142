#include "compiler/support/stage_times.h"

#include <algorithm>

namespace moru {

void StageTimes::add(std::string_view name, double microseconds, double thread_microseconds) {
  auto known = std::find_if(list_.begin(), list_.end(), [&](const StageTime& s) { return s.name == name; });
  if (known == list_.end()) known = list_.insert(known, {std::string(name), 0, 0});
  known->microseconds += microseconds;
  known->thread_microseconds += thread_microseconds;
}

void StageTimes::add_parallel(const std::vector<StageTimes>& threads, double microseconds) {
  double spent = 0;
  for (const StageTimes& thread : threads) spent += thread.total_microseconds();
  const double share = spent > 0 ? microseconds / spent : 0;
  for (const StageTimes& thread : threads)
    for (const StageTime& stage : thread.list_) add(stage.name, stage.microseconds * share, stage.thread_microseconds);
}

void StageTimes::append(const StageTimes& other) {
  for (const StageTime& stage : other.list_) add(stage.name, stage.microseconds, stage.thread_microseconds);
}

double StageTimes::total_microseconds() const {
  double sum = 0;
  for (const StageTime& stage : list_) sum += stage.microseconds;
  return sum;
}

}  // namespace moru
