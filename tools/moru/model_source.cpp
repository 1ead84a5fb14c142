#include "tools/moru/model_source.h"

#include <cerrno>
#include <filesystem>
#include <map>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "compiler/exchange/keras_archive.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/io/model_io.h"
#include "compiler/io/training_io.h"
#include "compiler/ops/names.h"
#include "runtime/atomic_file.h"
#include "runtime/mapped_file.h"
#include "runtime/moru_file.h"
#include "tools/moru/commands.h"
#include "tools/moru/onnx_recipe.h"
#include "tools/moru/recipe_model.h"
#include "tools/moru/training_state.h"
#include "tools/moru/weights_file.h"
#include "tools/recipe/recipe_json.h"

namespace moru::cli {
namespace {

std::optional<Recipe> find_recipe(const MoruFile& file, const std::string& path) {
  if (!file.has(SectionKind::recipe)) return std::nullopt;
  Recipe recipe = need(read_recipe(file.section(SectionKind::recipe)));
  recipe.file = path;
  return recipe;
}

void read_sections(ModelSource& source, const MoruFile& file) {
  if (!file.has(SectionKind::model)) fail("'" + source.path + "' holds no model, only " + "other sections");
  source.model = read_model(file.section(SectionKind::model), file.section(SectionKind::weights), source.path);
  source.recipe = find_recipe(file, source.path);
  if (file.has(SectionKind::training)) source.training = read_training(file.section(SectionKind::training), source.path);
}

/// Whether JSON text is a recipe rather than a Keras model: recipes may hold comments, and have data.
bool is_recipe(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false, true);
  return json.is_object() && !json.contains("class_name") && !json.contains("config") &&
         (json.contains("data") || json.contains("fit") || json.contains("model"));
}

void open_json(ModelSource& source, const std::string& path, bool recipe_allowed) {
  const std::string text = read_text(path);
  if (!is_recipe(text)) {
    source.path = path;
    source.model = import_keras_json(text, path);
    return;
  }
  if (!recipe_allowed) fail("'" + path + "' is a recipe, but a recipe's \"model\" must be a model");
  source.recipe = need(read_recipe_json(path));
  source.recipe_path = path;
}

void open_file(ModelSource& source, const std::string& path, bool recipe_allowed, const OnnxImportOptions& onnx = {}) {
  const std::string ending = ending_of(path);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail("cannot read '" + path + "': it is a directory");
  source.path = path;
  if (ending == ".so") {
    source.program = need(Program::open_shared_object(path));
    if (source.program->file() == nullptr) fail("'" + path + "' holds code only, no model");
    read_sections(source, *source.program->file());
  } else if (ending == ".moru") {
    read_sections(source, *need(MoruFile::open(path)));
  } else if (ending == ".json") {
    open_json(source, path, recipe_allowed);
  } else if (ending == ".h5" || ending == ".hdf5" || ending == ".keras") {
    source.model = import_keras_file(need(MappedFile::open(path))->bytes(), path, &source.training);
    name_scaled_outputs(source.model);
  } else if (ending == ".onnx") {
    OnnxMetadata metadata;
    source.model = import_onnx(path, onnx, &metadata);
    source.recipe = find_metadata_recipe(metadata, path);
  } else {
    if (!std::filesystem::exists(path, ignored)) need(file_error("read", path, ENOENT));
    fail("cannot tell what kind of model '" + path +
         "' is\n  hint: a model is a .moru, a compiled .so, Keras' (.keras, .h5, .json) or ONNX (.onnx)");
  }
}

}  // namespace

std::string read_text(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail("cannot read '" + path + "': it is a directory");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) need(file_error("read", path, errno != 0 ? errno : EIO));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) need(file_error("read", path, EIO));
  return text;
}

std::string name_hint(const std::string& name, const std::vector<std::string>& known, const std::string& otherwise) {
  return near_names(name, known).empty() ? otherwise : near_names_hint(name, known);
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

std::string ending_of(const std::string& path) { return std::filesystem::path(path).extension().string(); }

namespace {

/// Parameters of the recipe's `initial_weights`, by layer and name, where the shapes agree. Others stay as they are.
void transfer_weights(ModelSource& source) {
  const std::string& path = source.recipe->initial_weights;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail("there is no '" + path + "', the initial_weights of the recipe '" + source.recipe_path + "'");
  ModelSource other;
  open_file(other, path, false);
  std::map<std::string, const Parameter*> known;
  for (const ParameterPath& one : all_parameters(other.model))
    if (!one.parameter->data.empty()) known[one.path] = one.parameter;
  if (known.empty()) fail("'" + path + "', the recipe's initial_weights, holds no weights\n  hint: give a trained model");
  size_t taken = 0;
  for (const ParameterPath& one : all_parameters(source.model)) {
    const auto found = known.find(one.path);
    if (found == known.end() || found->second->shape != one.parameter->shape) continue;
    one.parameter->data = found->second->data;
    ++taken;
  }
  if (taken == 0)
    fail("no parameter of '" + source.path + "' has name and shape of one in '" + path +
         "', the recipe's initial_weights\n  hint: give layers the same names in both models");
}

/// Everything but initial values.
ModelSource open_source(const std::string& path, const std::string& recipe_path, const std::string& weights_path,
                        const OnnxImportOptions& onnx) {
  ModelSource source;
  open_file(source, path, true, onnx);
  if (!source.recipe_path.empty()) {
    // A recipe that stands alone decides, not one that its model was trained by before.
    const Recipe recipe = *source.recipe;
    if (recipe.model.empty()) fail("the recipe '" + path + "' names no model\n  hint: add \"model\": \"MODEL.json\"");
    std::error_code ignored;
    if (!std::filesystem::exists(recipe.model, ignored))
      fail("there is no '" + recipe.model + "', the model of the recipe '" + path + "'");
    open_file(source, recipe.model, false);
    source.recipe = recipe;
  }
  if (!recipe_path.empty()) {
    source.recipe = need(read_recipe_json(recipe_path));
    source.recipe_path = recipe_path;
  }
  if (source.recipe && !source.recipe->dtype_policy.empty())
    source.model.dtype_policy = find_dtype_policy(source.recipe->dtype_policy).value();
  if (source.recipe && !source.recipe_path.empty() && !source.recipe->initial_weights.empty()) transfer_weights(source);
  if (is_checkpoint_path(weights_path)) take_checkpoint(source, weights_path);
  else if (!weights_path.empty()) read_weights(source.model, weights_path);
  return source;
}

}  // namespace

ModelSource open_model(const std::string& path, std::optional<uint64_t> seed, const std::string& recipe_path,
                       const std::string& weights_path, const OnnxImportOptions& onnx) {
  ModelSource source = open_source(path, recipe_path, weights_path, onnx);
  initialize(source, seed);
  return source;
}

ModelSource open_drawn_model(const std::string& path, const std::string& recipe_path) {
  return open_source(path, recipe_path, {}, {});
}

void initialize(ModelSource& source, std::optional<uint64_t> seed) {
  initialize_parameters(source.model, seed.value_or(source.recipe ? source.recipe->fit.seed : 0));
}

ModelSource open_training(const std::string& path, const RecipeChanges& changes, const std::string& recipe_path) {
  ModelSource source = open_model(path, changes.seed, recipe_path);
  require_recipe(source);
  Recipe& recipe = *source.recipe;
  if (!changes.data.empty()) {
    if (recipe.data.source != SourceKind::csv) fail("--data names a CSV, but the recipe reads arrays");
    recipe.data.path = changes.data;
  }
  if (changes.epochs) recipe.fit.epochs = *changes.epochs;
  if (changes.seed) recipe.fit.seed = *changes.seed;
  return source;
}

std::vector<std::byte> moru_bytes(const ModelSource& source) {
  const std::vector<std::byte> model = write_model(source.model);
  const WeightsSection weights = make_weights_section(source.model);
  std::vector<std::byte> recipe, training;
  std::vector<MoruSection> sections = {{SectionKind::model, {model}}};
  if (source.recipe) {
    recipe = write_recipe(*source.recipe);
    sections.push_back({SectionKind::recipe, {recipe}});
  }
  if (!source.training.empty()) {
    training = write_training(source.training);
    sections.push_back({SectionKind::training, {training}});
  }
  sections.push_back({SectionKind::weights, weights.pieces});
  return need(make_moru_bytes(sections));
}

namespace {

const Recipe& recipe_or_fail(const ModelSource& source, const std::string& hint) {
  if (!source.recipe)
    fail("'" + source.path + "' carries no recipe, so it is not known what the columns of a CSV mean\n  hint: " + hint);
  return *source.recipe;
}

}  // namespace

const Recipe& require_recipe(const ModelSource& source) {
  return recipe_or_fail(source, "give a recipe, or a model that `moru train` made");
}

const Recipe& require_fitted_recipe(const ModelSource& source) {
  return recipe_or_fail(source, "give the .moru that `moru train` made; of other kinds of files, .onnx alone keeps its recipe");
}

}  // namespace moru::cli
