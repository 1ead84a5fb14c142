// Predictions beside the truth, as rows that a person reads: predictions.csv.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"
#include "runtime/status.h"

namespace moru {

/// One CSV line per sample. The first column is the time of the target where rows have times, else the number of its row
/// (`time` or `row`). Then for every output:
///   a number:            `actual,predicted`; of k numbers, a pair for each: `actual_<feature>,predicted_<feature>`
///   a class:             `actual,predicted,probability`: the labels (names of categories where the recipe knows them)
///                        and the probability of the predicted one
/// With several outputs the column names begin with `<output>_`. The columns `actual…` are left out where the data set
/// has no targets. `answers` is what predict() returned for `data`.
Result<std::string> predictions_csv(const Recipe& recipe, const Dataset& data, std::span<const SavedTensor> answers);

/// The targets of all samples for one output, one behind the other, as float; empty if `data` has none of that name.
std::vector<float> actual_values(const Dataset& data, const std::string& output);
/// The elements of a tensor as float.
std::vector<float> as_floats(const SavedTensor& tensor);

/// True if the output answers with a class: its loss is a cross-entropy, a hinge, or its target a category.
bool is_classification(const Recipe& recipe, const Dataset& data, const std::string& output);

/// The names of an output's classes; empty where only their numbers are known.
std::vector<std::string> class_names(const Recipe& recipe, const std::string& output);

/// The number of the class that `count` values mean as a target: the one number itself, or the place of the largest.
int64_t class_number(const float* values, std::size_t count);

/// True if the output answers with logits rather than with probabilities.
bool has_logits(const Recipe& recipe, const std::string& output);

}  // namespace moru
