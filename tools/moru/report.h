// The report of a finished run, for `moru report` and `moru train --report`.
#pragma once

#include <string>

namespace moru::cli {

/// Writes the page for the run in `run_directory` to `output`. Where `profile_seconds` is more than 0, a training step
/// of the run's model is compiled and measured for so long, on as many threads as the run had.
void write_report(const std::string& run_directory, const std::string& output, double profile_seconds);

}  // namespace moru::cli
