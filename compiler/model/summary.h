// What `model.summary()` shows Keras users: the layers with their output shapes, weights and connections.
#pragma once

#include <cstdint>
#include <string>

#include "compiler/model/model.h"

namespace moru {

struct SummaryOptions {
  bool expand_nested = false;  // also list the layers of nested models, indented under theirs
  bool masks = false;          // a column that says what each layer does to the mask of its input
};

/// "1,234,567"
std::string with_commas(int64_t number);

/// A table at most 100 columns wide, in UTF-8, with the totals below it. Open dimensions are None.
std::string summary_text(const Model& model, const SummaryOptions& options = {});

/// {"name", "inputs": [{"name", "dtype", "shape", "dims"}], "outputs": [...], "layers": [...], "parameters": {...}}. In
/// `shape` open dimensions are null; `dims` has them as text ("batch"). dtypes are numpy's names. A layer's "mask" is what
/// SummaryOptions::masks shows of it.
std::string summary_json(const Model& model);

}  // namespace moru
