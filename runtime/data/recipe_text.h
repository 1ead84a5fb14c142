// A recipe as JSON text: the `recipe.json` of a run directory. The form is the one that tools/recipe reads, with every
// default spelled out; reading it back gives the same recipe. What was fitted stands in it for people; a reader learns
// it anew from the data.
#pragma once

#include <string>
#include <string_view>

#include "runtime/data/recipe.h"

namespace moru {

std::string recipe_to_json(const Recipe& recipe);

// The names of choices in JSON and in messages.
std::string_view encoding_name(TextEncoding encoding);  // auto, utf-8, latin-1, cp949
std::string_view fill_name(FillKind fill);              // mean, median, constant, previous
std::string_view encoder_name(EncoderKind encoder);     // numeric, one_hot, ordinal, cyclic, date_parts, ...
std::string_view scaler_name(ScalerKind scaler);        // none, standard, minmax
std::string_view split_name(SplitKind kind);            // chronological, random, column
std::string_view input_rows_name(InputRows rows);       // row, window, target_row
std::string_view monitor_mode_name(MonitorMode mode);   // auto, min, max

}  // namespace moru
