#include "tools/recipe/recipe_json.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "compiler/model/model.h"
#include "runtime/data/wording.h"
#include "tools/recipe/json_reader.h"
#include "tools/recipe/recipe_sections.h"

namespace moru {

namespace {

// Class numbers are integers: what a sparse loss is compared with is i32 where the recipe does not say.
void set_label_types(const recipe_json::Json& data, Recipe& recipe) {
  for (size_t i = 0; i < recipe.data.targets.size() && i < recipe.fit.losses.size(); ++i) {
    if (recipe.fit.losses[i].name.find("sparse_categorical") == std::string::npos) continue;
    TargetRecipe& target = recipe.data.targets[i];
    const recipe_json::Json& group = data.contains("target")       ? data["target"]
                                     : data["targets"].is_object() ? data["targets"][target.name]
                                                                   : data["targets"][i];
    if (group.is_object() && group.contains("dtype")) continue;
    target.type = DType::i32;
    const bool is_scaled = target.scaler != ScalerKind::none ||
                           std::any_of(target.columns.begin(), target.columns.end(),
                                       [](const ColumnRecipe& column) { return column.scaler != ScalerKind::none; });
    if (is_scaled)
      recipe_json::Value(group, data.contains("target") ? "data.target" : "data.targets")
          .fail(recipe.fit.losses[i].name + " compares with class numbers, and a scaler makes other numbers of them", "remove the scaler");
  }
}

}  // namespace

Result<Recipe> parse_recipe_json(std::string_view text, const std::string& name, const std::string& directory) {
  using namespace recipe_json;
  try {
    const Json json = parse(text);
    Object root(Value(json, ""), "an object with \"model\", \"data\" and \"fit\"");
    Recipe recipe;
    recipe.name = std::filesystem::path(name).stem().string();
    root.read("name", recipe.name);
    if (const auto model = root.find("model")) recipe.model = join_path(directory, model->text());
    if (const auto weights = root.find("initial_weights")) recipe.initial_weights = join_path(directory, weights->text());
    if (const auto policy = root.find("dtype_policy")) {
      recipe.dtype_policy = policy->text();
      if (!find_dtype_policy(recipe.dtype_policy))
        policy->fail("'" + recipe.dtype_policy + "' is not a dtype policy", "write \"mixed_bfloat16\" or \"float32\"");
    }
    recipe.data =
        read_data(root.need("data", "describe the data: \"csv\", \"features\", \"target\", \"split\""), directory);
    recipe.fit = read_fit(root.need("fit", "describe the training: at least \"loss\""), recipe.data);
    set_label_types(json["data"], recipe);
    root.find("fitted");  // in the recipe.json of a run; learned anew
    root.close();
    recipe.file = name;
    MORU_RETURN_IF_ERROR(check_recipe(recipe));
    return recipe;
  } catch (const Fault& fault) {
    return data_error(name + ": " + fault.message);
  }
}

Result<Recipe> read_recipe_json(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) {
    return data_error(path + ": cannot be read: " + std::strerror(errno != 0 ? errno : EIO) +
                          "\n  hint: give the path of a recipe, a JSON file",
                      StatusCode::file_not_found);
  }
  return parse_recipe_json(text, path, std::filesystem::path(path).parent_path().string());
}

}  // namespace moru
