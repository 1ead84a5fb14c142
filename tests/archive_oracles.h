// Recorded cases as model files: `.keras`, `.h5`, JSON with weights beside it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace moru {

/// The model files of a case folder, in the order of its case.json.
std::vector<std::string> find_archives(const std::filesystem::path& folder, const nlohmann::json& data);

/// Reads one of them, runs it on the recorded inputs and takes it through .moru, .keras and .h5 and back: the outputs
/// must be the recorded ones, the weights the recorded bits wherever they go. Throws std::runtime_error naming the
/// difference, CompileError where Moru refuses the model.
void check_archive(const std::filesystem::path& folder, const nlohmann::json& data, const std::string& file);

}  // namespace moru
