// Weights by name, without a model: what a .safetensors or .npz file holds. A name is the path of the parameter
// ("encoder/e0/kernel", see all_parameters).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "compiler/model/model.h"
#include "compiler/support/narrow.h"

namespace moru {

struct NamedTensor {
  std::string name;
  ElementType type;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;  // little endian, row-major, in the type that holds the values
};

/// Every parameter of the model, in its order. All must have values.
std::vector<NamedTensor> named_weights(const Model& model);

/// Gives the model's parameters the values of the tensors of their names; "dense.kernel" and "dense/kernel:0" are taken
/// for "dense/kernel". Throws CompileError that lists all that is missing, left over, or has another shape or kind of
/// element; the model is then as it was.
void assign_named_weights(Model& model, std::span<const NamedTensor> tensors, const std::string& source);

/// Hugging Face's safetensors: the length of a JSON header, the header, the tensors one behind the other. The bytes may
/// be hostile. Throws CompileError; `source` names the file in it.
std::vector<NamedTensor> read_safetensors(std::span<const std::byte> bytes, const std::string& source);
std::vector<std::byte> write_safetensors(std::span<const NamedTensor> tensors);

}  // namespace moru
