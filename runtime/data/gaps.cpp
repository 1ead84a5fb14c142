#include "runtime/data/gaps.h"

#include "runtime/data/time_text.h"

namespace moru {

int64_t usual_step(std::span<const int64_t> seconds) {
  const auto step = [&](std::size_t row) { return seconds[row] - seconds[row - 1]; };
  // The majority vote of Boyer and Moore: if a step has more than half of all, it is the one that is left.
  int64_t candidate = 0, votes = 0, kept = 0;
  for (std::size_t row = 1; row < seconds.size(); ++row) {
    if (votes == 0) candidate = step(row);
    votes += step(row) == candidate ? 1 : -1;
  }
  for (std::size_t row = 1; row < seconds.size(); ++row) kept += step(row) == candidate;
  const auto steps = static_cast<int64_t>(seconds.size()) - 1;
  return candidate > 0 && kept * 100 >= steps * 95 ? candidate : 0;
}

std::string describe_gaps(const Recipe& recipe, const RowTimes* times) {
  if (!recipe.data.windowed || times == nullptr) return {};
  const std::vector<int64_t>& seconds = times->seconds;
  const int64_t own = usual_step(seconds);
  const int64_t fitted = recipe.fitted ? recipe.fitted->row_seconds : 0;
  if (fitted != 0 && own != 0 && own != fitted)
    return "rows are " + span_text(own) + " apart, but those of the training were " + span_text(fitted) + " apart";
  const int64_t usual = fitted != 0 ? fitted : own;
  if (usual == 0) return {};
  std::string first;
  int64_t gaps = 0;
  for (std::size_t row = 1; row < seconds.size(); ++row) {
    const int64_t missing = seconds[row] - seconds[row - 1] - usual;
    if (missing <= 0) continue;
    if (gaps++ == 0) first = span_text(missing) + " behind " + format_time(seconds[row - 1]);
  }
  if (gaps == 0) return {};
  if (gaps == 1) return "rows are missing for " + first + ": windows run over the gap";
  return "rows are missing in " + std::to_string(gaps) + " places, first for " + first + ": windows run over the gaps";
}

}  // namespace moru
