// Reads back what a training run left in its directory (runtime/training/run_directory.h).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/status.h"

namespace moru {

struct RunFiles {
  std::string directory;
  std::string recipe_text;  // as it stands in the file
  nlohmann::ordered_json recipe, history, metrics;
  nlohmann::ordered_json predictions;  // null where the run had neither a test nor a validation part
};

/// Errors: no run directory, a run that was not finished, a file that is no JSON or lacks what belongs in it.
Result<RunFiles> read_run_files(const std::string& directory);

}  // namespace moru
