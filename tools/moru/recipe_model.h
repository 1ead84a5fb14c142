// Where a recipe meets a model: the training specification, the scaling layers, and the check that they fit together.
#pragma once

#include <string>

#include "compiler/model/model.h"
#include "compiler/model/training.h"
#include "runtime/data/prepare.h"
#include "runtime/data/recipe.h"

namespace moru {

/// Optimizer, losses, loss weights and metrics of the recipe, by model output. Throws CompileError where the recipe
/// speaks of an output that the model lacks.
TrainingSpec make_training_spec(const Recipe& recipe, const Model& model);

/// Puts a Normalization `<input>_scaler` behind every input for which the recipe asks for a scaler, and an inverse one
/// `<output>_scaler` behind every output whose target is scaled, so that raw rows go in and raw units come out:
///   input -> (x - mean) / sqrt(variance) -> ... -> mean + y * sqrt(variance) -> output, under the output's old name
/// mean and variance are [features] (of the last axis), start as 0 and 1 and are not trained: train_from_recipe fits
/// them. A model that has the layers already (a trained one) stays as it is; so does one in which they have
/// become operators of ONNX, unless it is for `training`, which needs the output's scaler.
void attach_scalers(Model& model, const Recipe& recipe, bool training);

/// Outputs that an inverse scaler `<output>_scaler` gives get their own names back: formats that name outputs by their
/// layers do not keep them.
void name_scaled_outputs(Model& model);

/// Layers that the recipe's "freeze" names (by their slash path) keep their weights. Throws CompileError for names that
/// the model lacks.
void freeze_layers(Model& model, const Recipe& recipe);

/// Checks the shapes and element types of prepared data against the model's inputs and outputs. Throws CompileError
/// naming both; `model_name` and `recipe_name` are the files.
void check_data(const Model& model, const Dataset& data, const Recipe& recipe, const std::string& model_name,
                const std::string& recipe_name);

/// [batch, 3, 1, 1] as [batch, 3].
Shape without_trailing_ones(Shape shape);

/// Sets the scalers' statistics from the recipe's fitted part, if it has one.
void set_statistics(Model& model, const Recipe& recipe);

}  // namespace moru
