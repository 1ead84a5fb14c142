// Where Keras keeps what compile() was told and the optimizer's variables: in a `.keras` "compile_config" of config.json
// and optimizer/vars/<i>, in an `.h5` the attribute training_config and the group optimizer_weights.
#pragma once

#include "compiler/exchange/hdf5_file.h"
#include "compiler/exchange/json_text.h"
#include "compiler/exchange/saved_training.h"

namespace moru {

SavedTraining read_keras3_training(const Json& config, const Hdf5Group& weights);
void write_keras3_training(const SavedTraining& state, Json& config, Hdf5Group& weights);

/// `keras_version` is what the file says: before 2.11 the optimizer's variables are not taken, since their order was
/// another one.
SavedTraining read_legacy_training(const Hdf5Group& root, const std::string& keras_version, const std::string& source);
/// The model gives the variables their names.
void write_legacy_training(const SavedTraining& state, const Model& model, Hdf5Group& root);

}  // namespace moru
