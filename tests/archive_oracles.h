// Recorded cases: their models and numbers, and their model files: `.keras`, `.h5`, JSON with weights beside it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compiler/model/model.h"
#include "runtime/checkpoint.h"

namespace moru {

/// The model of a case with its weights: of one of its model files, or of the case itself where `file` is empty.
Model recorded_model(const std::filesystem::path& folder, const nlohmann::json& data, const std::string& file);
std::vector<SavedTensor> recorded_inputs(const Model& model, const std::filesystem::path& folder,
                                         const nlohmann::json& data);
/// Throws std::runtime_error naming the first number that is further from the recorded one than the case allows.
void compare_recorded(const std::vector<SavedTensor>& outputs, const std::filesystem::path& folder,
                      const nlohmann::json& data);
std::vector<SavedTensor> predict_natively(Model& model, const std::vector<SavedTensor>& inputs);

/// The model files of a case folder, in the order of its case.json.
std::vector<std::string> find_archives(const std::filesystem::path& folder, const nlohmann::json& data);

/// Reads one of them, runs it on the recorded inputs and takes it through .moru, .keras and .h5 and back: the outputs
/// must be the recorded ones, the weights the recorded bits wherever they go. Throws std::runtime_error naming the
/// difference, CompileError where Moru refuses the model.
void check_archive(const std::filesystem::path& folder, const nlohmann::json& data, const std::string& file);

}  // namespace moru
