// From a recipe to data sets: reads the files, turns cells into numbers, splits, cuts windows, and learns from the
// training rows what must travel with the model. This is the module that sees all the others.
//
// Which rows belong together. Rows are numbered in file order and neighbours stay neighbours: a row that a filter or a
// missing cell takes out is not glued over, the samples that would read it are left out instead. The parts of a split
// are sets of rows; a sample belongs to the part in which both its anchor and its target row lie, so its inputs may
// reach back across a boundary and its target may not. With chronological parts [a, b) that is i from max(a, length-1)
// while i + horizon < b.
#pragma once

#include <string>

#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"
#include "runtime/status.h"

namespace moru {

struct PreparedData {
  Dataset train, validation, test;  // a part may be empty
  Recipe recipe;                    // with `fitted` filled in
};

/// Reads recipe.data and makes the parts. What is fitted comes from the training rows, or is taken from recipe.fitted
/// where `keep_fitted` says so (to go on training, or to see the same test part again). With
/// ValidationFrom::last_of_training the validation part is cut off the end of the training samples by Keras' rule.
/// Errors: what csv.h, npy.h and encode.h say, and a training part without a single sample.
Result<PreparedData> prepare_training(const Recipe& recipe, bool keep_fitted = false);

/// Every sample of a file, targets included, by the rules of a fitted recipe. `path` empty: the recipe's own file.
Result<Dataset> prepare_evaluation(const Recipe& recipe, const std::string& path = {});

/// Every sample whose inputs the file can fill. Targets are neither needed nor made; a row filter on a column that the
/// file lacks is not applied. The target of the last samples may lie behind the end of the file.
Result<Dataset> prepare_prediction(const Recipe& recipe, const std::string& path = {});

}  // namespace moru
