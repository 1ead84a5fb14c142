// Reads recipes written as JSON (comments allowed) into moru::Recipe. tools/recipes/README.md describes the form;
// runtime/data/recipe_text.h prints it. Relative paths in a recipe are relative to the recipe.
#pragma once

#include <string>
#include <string_view>

#include "runtime/data/recipe.h"
#include "runtime/status.h"

namespace moru {

/// Reads a recipe file. Errors are one message that names the file, the JSON path ("data.features[2].period") and what
/// to write instead; a misspelt key or name is answered with the nearest one.
Result<Recipe> read_recipe_json(const std::string& path);

/// The same for text in memory: `name` stands for the file in messages, relative paths are joined to `directory`.
Result<Recipe> parse_recipe_json(std::string_view text, const std::string& name, const std::string& directory = {});

}  // namespace moru
