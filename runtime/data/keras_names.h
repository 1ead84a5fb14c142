// Keras 3's names of optimizers, losses and metrics, its short forms, and its defaults. Names are compared without
// case and underscores: "MSE", "MeanSquaredError" and "mean_squared_error" are one. Which of them a program can be
// compiled for is the compiler's business.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/data/recipe.h"

namespace moru {

/// The function name ("mean_squared_error") of a loss or metric, or nothing. "accuracy" stays as it is; see
/// resolve_accuracy.
std::optional<std::string> find_loss_name(std::string_view name);
std::optional<std::string> find_metric_name(std::string_view name);
/// All that the two above return, for hints.
std::span<const std::string> loss_names();
std::span<const std::string> metric_names();

/// What Keras takes "accuracy" to mean beside this loss: binary_accuracy, categorical_accuracy or
/// sparse_categorical_accuracy; beside any other loss by the target's width.
std::string resolve_accuracy(std::string_view loss, std::size_t target_width);

/// An optimizer with Keras 3's default hyperparameters, or nothing for a name it does not have.
std::optional<OptimizerRecipe> make_optimizer_recipe(std::string_view name);
/// All that it knows: "sgd", "rmsprop", ...
std::span<const std::string> optimizer_names();

/// Whether the optimizer has the hyperparameter of this name, a field of OptimizerRecipe.
bool optimizer_has(std::string_view optimizer, std::string_view hyperparameter);

}  // namespace moru
