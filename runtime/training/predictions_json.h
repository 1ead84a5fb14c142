// The predictions of one part of the data, sample by sample, for programs that draw or measure them: predictions.json.
#pragma once

#include <span>
#include <string>

#include "runtime/checkpoint.h"
#include "runtime/data/baseline.h"
#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"

namespace moru {

/// The naive baselines of one target.
struct TargetBaselines {
  std::string output;
  std::vector<Baseline> baselines;
};

/// {"part": "test", "samples": n, "horizon": rows from the newest input to the target, "ordered": are the samples in
/// order of time, "rows": [n], "seconds": [n] since 1970 of the target rows where rows have times, "spacing": seconds
/// from row to row where that is always the same, else 0, "outputs": [...]}. An output is one of
///   {"name", "kind": "number", "features": [k], "shape": [...], "actual": [n*k], "predicted": [n*k],
///    "baselines": {"persistence": [n*k], ...}}
///   {"name", "kind": "class", "classes": [k], "actual": [n], "probabilities": [n*k]}
///   {"name", "kind": "other"}: no truth to compare with, or more than `most_numbers` numbers
/// all in the units of the data; null stands for what is missing. Of one probability p the classes are two, with 1-p
/// and p; logits are turned into probabilities. `answers` is what predict() returned for `data`.
std::string predictions_json(const Recipe& recipe, const std::string& part, const Dataset& data,
                             std::span<const SavedTensor> answers, std::span<const TargetBaselines> baselines);

/// What one output may have in predictions.json.
constexpr std::size_t most_numbers = 4'000'000;

}  // namespace moru
