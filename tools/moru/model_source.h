// Opens what a user calls a model: a `.moru`, a compiled `.so`, a Keras file (.keras, .h5, .json), an ONNX file, or a
// recipe that names one of these.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/saved_training.h"
#include "compiler/model/model.h"
#include "runtime/data/recipe.h"
#include "runtime/program.h"

namespace moru::cli {

struct ModelSource {
  std::string path;                        // of the model itself
  Model model;                             // with weights: those of the file, or initial ones where asked for
  std::optional<Recipe> recipe;            // that the file carries or is
  SavedTraining training = {};             // of a Keras file or a `.moru` made of one
  std::string recipe_path;                 // where the recipe is a file of its own
  std::shared_ptr<const Program> program;  // with native code, of a `.so`
};

/// The recipe at `recipe_path`, if that is given, takes the place of the source's own. Weights that the file lacks are
/// initialized from `seed`; without one, from the recipe's seed, or 0. Weights at `weights_path`, if that is given,
/// take the place of the file's. `onnx` is for ONNX files whose shapes depend on their inputs' values. Throws Failure or
/// CompileError.
ModelSource open_model(const std::string& path, std::optional<uint64_t> seed = {}, const std::string& recipe_path = {},
                       const std::string& weights_path = {}, const OnnxImportOptions& onnx = {});

/// The same without values for weights that the file lacks: for what looks at shapes only, of models too
/// whose weights no memory holds.
ModelSource open_drawn_model(const std::string& path, const std::string& recipe_path = {});

/// Gives initial values to the weights that have none, as open_model does.
void initialize(ModelSource& source, std::optional<uint64_t> seed = {});

/// What the command line says of a recipe's training instead of the recipe.
struct RecipeChanges {
  std::string data;  // another CSV
  std::optional<uint64_t> seed;
  std::optional<int64_t> epochs;
};

/// Opens a recipe, or a model that carries one, to train by: open_model, with the changes made to its recipe, which it
/// has. Throws Failure or CompileError.
ModelSource open_training(const std::string& path, const RecipeChanges& changes, const std::string& recipe_path = {});

/// The `.moru` file of a model with its weights, and of its recipe where it has one.
std::vector<std::byte> moru_bytes(const ModelSource& source);

/// The recipe, or a Failure that says what needs it.
const Recipe& require_recipe(const ModelSource& source);
/// The same for what takes trained models alone.
const Recipe& require_fitted_recipe(const ModelSource& source);

/// The whole of a text file.
std::string read_text(const std::string& path);

/// "bikes.moru" of "runs/bikes.moru".
std::string file_name(const std::string& path);
/// ".moru" of it.
std::string ending_of(const std::string& path);

}  // namespace moru::cli
