// Where Keras puts a model's weights in HDF5, in its two layouts, and back.
//
//   Keras 3    layers/<class in snake case>[_k]/vars/<i>: k counts the layers of that class in the order of the model,
//              i the weights of the layer. Recurrent layers have them in `cell`, wrappers in `layer`, `forward_layer`,
//              `backward_layer`; nested models have `layers` of their own. Layers' names do not matter.
//   legacy     <layer>/<weight name>: the attribute `layer_names` lists the layers, `weight_names` of each its weights,
//              trainable ones first. A nested model is one flat list.
#pragma once

#include <string>

#include "compiler/exchange/hdf5_file.h"
#include "compiler/model/model.h"

namespace moru {

/// Whether a group holds weights, in which layout.
enum class KerasLayout { none, keras3, legacy };
KerasLayout find_keras_layout(const Hdf5Group& group);

/// Gives every weight of the model the values of the file. Throws CompileError where one is missing, is left over, or
/// has another shape.
void read_keras_weights(Model& model, const Hdf5Group& group, const std::string& source);

/// The weights in a layout. Every parameter must have values.
void write_keras3_weights(const Model& model, Hdf5Group& group);
void write_legacy_weights(const Model& model, Hdf5Group& group);

/// A list of texts that Keras may have split into NAME0, NAME1, ... for its size.
std::vector<std::string> read_split_texts(const Hdf5Group& group, const std::string& name);
void write_split_texts(Hdf5Group& group, const std::string& name, const std::vector<std::string>& texts);

}  // namespace moru
