// Names as Keras users write them, and the ops they mean. Unknown names are CompileErrors that list near ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

/// "mse", "MSE", "MeanSquaredError", "mean_squared_error" -> "mean_squared_error".
std::string loss_op_for(std::string_view keras_name);

/// "mae" -> "metric_mae"; "accuracy" and "acc" by the shapes, as Keras does: binary where the prediction's last axis is 1,
/// sparse where the target has no class axis, else categorical. Any loss is a metric too.
std::string metric_op_for(std::string_view keras_name, const Type& y_true, const Type& y_pred);

/// "adam", "Adam" -> "adam_update".
std::string optimizer_op_for(std::string_view keras_name);

/// "CosineDecay", "cosine_decay" -> "cosine_decay"; "MaxNorm" -> "max_norm"; "L1L2", "l1_l2" -> "l1_l2".
std::string schedule_op_for(std::string_view keras_name);
std::string constraint_op_for(std::string_view keras_name);
std::string regularizer_op_for(std::string_view keras_name);

/// "relu", "ReLU", "swish" -> "relu", "relu", "silu".
std::string activation_op_for(std::string_view keras_name);

/// "MeanSquaredError" -> "mean_squared_error", "LeakyReLU" -> "leaky_relu", "LSTM" -> "lstm"; snake case stays as it is.
std::string snake_case(std::string_view name);

/// "'a', 'b', ...": the first `most`.
std::string quoted_list(const std::vector<std::string>& names, size_t most = SIZE_MAX);

/// The names in `known` that `name` may have been meant to be, nearest first: at most three, each at a distance of at most
/// a third of its length.
std::vector<std::string> near_names(std::string_view name, const std::vector<std::string>& known);
/// "did you mean 'relu'?", or the list of what is known where nothing is near.
std::string near_names_hint(std::string_view name, const std::vector<std::string>& known);

}  // namespace moru
