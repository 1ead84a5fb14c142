// What is probably not meant: a model, a recipe and data that go together as far as shapes do, but hardly learn what
// their user wants. Errors are for what cannot work; these are for what somebody should look at.
#pragma once

#include <string>
#include <vector>

#include "compiler/model/model.h"
#include "runtime/data/dataset.h"
#include "runtime/data/recipe.h"
#include "runtime/training/progress.h"
#include "tools/moru/model_source.h"

namespace moru::cli {

/// Throws CompileError for a loss that cannot learn, whatever the data: softmax or a categorical loss over one unit.
/// Likewise, with the remedy, for an output that keeps an axis of time or features that its target lacks, and for class
/// numbers as targets of a loss that compares vectors. To be called before check_data, whose words are more general, and
/// before attach_scalers.
void check_losses(const Model& model, const Recipe& recipe, const Dataset& data);

/// One line each, naming layer or output and what to do: a loss that does not fit the activation before it or the
/// values of the targets, metrics and weights of classes on numbers, inputs that nothing reads, weights without a way to a loss,
/// dense layers that could be one, stretches of time that a series lacks. `data` is the training part, raw; before attach_scalers.
std::vector<std::string> find_doubts(const Model& model, const Recipe& recipe, const Dataset& data);

/// check_losses and check_data for a source whose recipe is to be trained by `data`.
void check_training(const ModelSource& source, const Dataset& data);

/// The doubts go to stderr, as Progress warns.
void warn_of_doubts(const ModelSource& source, const Dataset& data, ProgressStyle style);

}  // namespace moru::cli
