#include <cstdio>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/moru_file.h"
#include "tools/moru-run/commands.h"

namespace moru::run {
namespace {

/// The recipe a file carries, if any.
Result<std::optional<Recipe>> find_recipe(const MoruFile& file, const std::string& path) {
  if (!file.has(SectionKind::recipe)) return std::optional<Recipe>();
  Result<Recipe> recipe = read_recipe(file.section(SectionKind::recipe));
  if (!recipe) return recipe.status();
  recipe->file = path;
  return std::optional<Recipe>(*std::move(recipe));
}

/// The initial data of every slot of the `.moru` at `path`, which need not have code.
Result<std::vector<SavedTensor>> read_weights(const std::string& path) {
  const Result<std::shared_ptr<const MoruFile>> file = MoruFile::open(path);
  if (!file) return file.status();
  const Result<std::shared_ptr<const Program>> program = Program::load(*file);
  if (!program) return Status(program.status().code(), "'" + path + "': " + program.status().message());
  std::vector<SavedTensor> tensors;
  for (uint32_t i = 0; i < (*program)->slots().size(); ++i) {
    const ProgramSlot& slot = (*program)->slots()[i];
    if (!slot.has_data) continue;
    SavedTensor tensor = {slot.name, slot.dtype, {}, {}};
    for (const DimExpression& dim : slot.shape) tensor.shape.push_back(dim.evaluate({}).value_or(0));
    const std::span<const std::byte> data = (*program)->slot_data(i);
    tensor.bytes.assign(data.begin(), data.end());
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace

int fail(const Status& status) {
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return 1;
}

Result<Model> open_model(const CommonOptions& common) {
  Model model;
  Result<std::shared_ptr<const Program>> program = Program::open_shared_object(common.model);
  if (!program) {
    Status status = program.status();
    if (common.model.ends_with(".moru")) {
      status = Status(status.code(), "'" + common.model + "' carries no native code that may be loaded\n  hint: moru compile " +
                                         common.model + " -o model.so");
    }
    return status;
  }
  model.program = *std::move(program);
  if (model.program->file() != nullptr) {
    Result<std::optional<Recipe>> recipe = find_recipe(*model.program->file(), common.model);
    if (!recipe) return recipe.status();
    model.recipe = *std::move(recipe);
  }
  if (!common.weights.empty() && !is_checkpoint_path(common.weights)) {
    const Result<std::shared_ptr<const MoruFile>> file = MoruFile::open(common.weights);
    if (!file) return file.status();
    Result<std::optional<Recipe>> recipe = find_recipe(**file, common.weights);
    if (!recipe) return recipe.status();
    if (recipe->has_value()) model.recipe = *std::move(recipe);
  }
  return model;
}

Result<std::unique_ptr<Session>> open_session(const CommonOptions& common, const Model& model) {
  Result<std::unique_ptr<Session>> session = Session::create(model.program, {.threads = common.threads});
  if (!session || common.weights.empty()) return session;
  if (is_checkpoint_path(common.weights)) {
    const Result<Checkpoint> checkpoint = read_checkpoint(common.weights);
    if (!checkpoint) return checkpoint.status();
    MORU_RETURN_IF_ERROR(restore_session(*checkpoint, **session));
    return session;
  }
  const Result<std::vector<SavedTensor>> tensors = read_weights(common.weights);
  if (!tensors) return tensors.status();
  MORU_RETURN_IF_ERROR(assign_tensors(**session, *tensors));
  return session;
}

Result<Recipe> require_recipe(const CommonOptions& common, const Model& model) {
  if (model.recipe) return *model.recipe;
  return Status(StatusCode::not_found, "'" + common.model + "' carries no recipe, so it is not known what the columns of "
                                       "a CSV mean\n  hint: moru compile MODEL --recipe RECIPE.json -o " + common.model);
}

}  // namespace moru::run
