// Formulas that several ONNX operators share, beside those of other formats.
#pragma once

#include <string>

#include "compiler/exchange/formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

/// The least i64, as a scalar.
Known lowest_integer();
/// An integer of fewer than 64 bits that is not computed in itself.
bool is_narrow_integer(Narrow narrow);

}  // namespace moru
