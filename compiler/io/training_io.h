// A SavedTraining as the section `training` of a `.moru` file, and back: the bytes of a FlatBuffer of schema/training.fbs,
// then the tensors it points to. schema/README.md has the layout.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "compiler/exchange/saved_training.h"

namespace moru {

std::vector<std::byte> write_training(const SavedTraining& state);

/// The bytes may be hostile: everything is checked before it is followed. Throws CompileError; `source` names the file.
SavedTraining read_training(std::span<const std::byte> bytes, std::string_view source);

}  // namespace moru
