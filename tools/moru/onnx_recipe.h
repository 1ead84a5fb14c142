// A recipe inside an ONNX file, among its metadata_props: as JSON for people and other programs, and as the bytes of a
// `.moru` file's section, which hold what was fitted too.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "runtime/data/recipe.h"

namespace moru::cli {

using OnnxMetadata = std::map<std::string, std::string>;

OnnxMetadata recipe_metadata(const Recipe& recipe);

/// The recipe of a file's metadata, or none. Throws Failure where it is damaged; `source` names the file.
std::optional<Recipe> find_metadata_recipe(const OnnxMetadata& metadata, const std::string& source);

}  // namespace moru::cli
