// Keras' model files with weights: `.keras` (a zip of config.json, metadata.json and model.weights.h5), `.h5` (HDF5
// with the config as an attribute), and files of weights alone. What a file is, its first bytes say, not its name.
// Nothing in a file is ever run: Lambda layers and other Python code are refused by name.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/exchange/hdf5_file.h"
#include "compiler/exchange/saved_training.h"
#include "compiler/model/model.h"

namespace moru {

/// Reads a model with its weights. Throws CompileError: for files of another kind or damaged ones, for weights without
/// a model, and as import_keras_json does.
/// `training`, if given, gets what compile() was told and the optimizer's variables.
Model import_keras_file(std::span<const std::byte> bytes, const std::string& source, SavedTraining* training = nullptr);

/// What is left to do where the parts of a `.keras` are read: the text of config.json, the version of Keras that metadata.json
/// names, and the tree of model.weights.h5, which is asked for where the config is a model.
Model import_keras_parts(std::string_view config, const std::string& version,
                         const std::function<std::unique_ptr<Hdf5Group>()>& read_weights, const std::string& source,
                         SavedTraining* training = nullptr);
/// The same for the tree of an `.h5`.
Model import_keras_tree(const Hdf5Group& root, const std::string& source, SavedTraining* training = nullptr);

/// Gives the model's weights the values of a file: of weights alone in either layout, or of a model's.
void import_keras_weights(Model& model, std::span<const std::byte> bytes, const std::string& source);

/// The model as Keras 3 writes it: config, weights, and how it is trained. Every parameter must have values. Throws CompileError for what
/// Keras 3 does not have.
std::vector<std::byte> export_keras_archive(const Model& model, const SavedTraining& training = {});
std::vector<std::byte> export_keras_h5(const Model& model, const SavedTraining& training = {});
std::vector<std::byte> export_keras_weights(const Model& model);  // .weights.h5

}  // namespace moru
