// Keras models as JSON: what `model.to_json()` writes, in the dialects of Keras 2 (2.1 to tf.keras 2.15) and Keras 3,
// read into a Model; and a Model written as Keras 3 would. Weights are not part of the JSON; assign_weight attaches
// them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "compiler/model/model.h"

namespace moru {

/// Reads a Functional or Sequential model. Throws CompileError: for text that is not such a model, with the place; for
/// layers and arguments that Moru does not support, with all of them in one list; for wrong shapes, as the Functional
/// API. `source` names the file in messages; `keras_version` is what an archive around the JSON says.
Model import_keras_json(std::string_view text, const std::string& source = "the model",
                        const std::string& keras_version = {});

/// The config as Keras 3 writes it. Throws CompileError for what Keras 3 does not have.
std::string export_keras_json(const Model& model);

/// Sets one weight by the path of its layer through nested models and wrappers ("encoder/e0", "bi/forward", "td/layer")
/// and its name. Throws CompileError where there is none or its shape differs.
void assign_weight(Model& model, std::string_view layer_path, std::string_view name, std::span<const float> data,
                   std::span<const int64_t> shape);

}  // namespace moru
