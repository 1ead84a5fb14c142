// What a report shows, as JSON: the numbers, statistics and sentences that tools/report/report.js draws and prints.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/report/run_files.h"

namespace moru {

/// What is known about the program behind a run, beyond what its directory says; empty parts are left out.
struct ProgramFacts {
  nlohmann::ordered_json summary;  // summary_json
  std::string graph_svg;           // the model as drawn by Graphviz, or
  std::string graph_missing;       // why there is none
  nlohmann::ordered_json memory;   // memory_json
  nlohmann::ordered_json profile;  // write_kernel_profile, with "batch", "threads", "target", "step_us"
};

/// The document that the page embeds:
///   title, subtitle, tiles [{label, value, note}], findings [{kind: good|warn|bad|info, title, text}],
///   learning {epochs, series {name: [...]}, best_epoch, stopped_early, monitor},
///   metrics [{name, is_baseline, values {}}],
///   targets [...]: one NumberTarget each, by_place: see read_numbers, classes [...]: one classifier_data each,
///   model, memory, profile (ProgramFacts), recipe (text), provenance [[name, value]], repeat [command lines]
nlohmann::ordered_json report_data(const RunFiles& run, const ProgramFacts& program);

}  // namespace moru
