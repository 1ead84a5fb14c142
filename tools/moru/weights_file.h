// Files of weights alone, told apart by their endings: .safetensors, .npz (NumPy's zip of .npy files), and Keras' HDF5.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compiler/exchange/named_weights.h"

namespace moru::cli {

/// Whether `path` ends like a file of named weights: .safetensors or .npz.
bool is_named_weights(const std::string& path);

std::vector<NamedTensor> read_named_weights(const std::string& path);
/// The bytes of such a file, in the format of the ending of `path`.
std::vector<std::byte> named_weights_bytes(const std::string& path, std::span<const NamedTensor> tensors);

/// Gives the model's weights the values of a file of any kind. Throws CompileError or Failure.
void read_weights(Model& model, const std::string& path);

}  // namespace moru::cli
