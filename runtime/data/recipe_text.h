// A recipe as JSON text: the `recipe.json` of a run directory. The form is the one that tools/recipe reads, with every
// default spelled out; reading it back gives the same recipe. What was fitted stands in it for people; a reader learns
// it anew from the data.
#pragma once

#include <string>

#include "runtime/data/recipe.h"

namespace moru {

std::string recipe_to_json(const Recipe& recipe);

}  // namespace moru
