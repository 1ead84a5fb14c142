// What a report concludes from a run's numbers, in sentences.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "tools/report/number_targets.h"
#include "tools/report/run_files.h"

namespace moru {

/// [{kind: good|warn|bad|info, title, text}]: how learning went, then whether predictions beat what takes no model, what their
/// errors have in common, and whether the parts of the data differ. `classes` has one classifier_data each.
nlohmann::ordered_json report_findings(const RunFiles& run, const Frame& frame, const std::vector<NumberTarget>& targets,
                                       const nlohmann::ordered_json& classes);

}  // namespace moru
