// The section of a `.moru` that the runtime keeps but does not read: what Keras was training the model with, a FlatBuffer
// of training.fbs and its tensors.
#pragma once

#include "runtime/moru_file.h"

namespace moru {

inline constexpr SectionKind training_section = static_cast<SectionKind>(6);

}  // namespace moru
