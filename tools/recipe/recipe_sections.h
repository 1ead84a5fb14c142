// The two large parts of a recipe's JSON. Inside tools/recipe only; faults are thrown as recipe_json::Fault.
#pragma once

#include <string>

#include "runtime/data/recipe.h"
#include "tools/recipe/json_reader.h"

namespace moru::recipe_json {

DataRecipe read_data(const Value& value, const std::string& directory);

/// Needs the data part for the outputs' names and whether there is a validation part. A single "target" gets the name of the
/// output by which losses and metrics speak of it.
FitRecipe read_fit(const Value& value, DataRecipe& data);

/// `path` itself if it is absolute, else joined to the directory.
std::string join_path(const std::string& directory, const std::string& path);

}  // namespace moru::recipe_json
