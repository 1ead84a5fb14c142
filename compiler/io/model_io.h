// A Model as bytes and back: the `model` section of a `.moru` file (a FlatBuffer, schema/model.fbs) and the `weights`
// section it points into. The container itself is the runtime's; the tools join the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/model/model.h"

namespace moru {

constexpr uint64_t weight_alignment_bytes = 64;

/// Where a parameter's values lie in the weights section.
struct WeightPlace {
  std::string path;  // as in all_parameters
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// The weights section, as pieces of memory that belong to `model`: valid as long as its parameters are not touched.
struct WeightsSection {
  std::vector<WeightPlace> places;                 // only parameters that have data, in the order of all_parameters
  std::vector<std::span<const std::byte>> pieces;  // data and padding, to be written one behind the other
  uint64_t bytes = 0;
};
WeightsSection make_weights_section(const Model& model);

/// The model section: everything but the weights' values, whose places are those of make_weights_section.
std::vector<std::byte> write_model(const Model& model);

/// Reads a model from its sections. The bytes may be hostile: FlatBuffers' verifier runs first, then every index, name,
/// attribute and place is checked, and all types are inferred again. Throws CompileError; `source` names the file in
/// it.
Model read_model(std::span<const std::byte> model, std::span<const std::byte> weights, std::string_view source = {});

}  // namespace moru
