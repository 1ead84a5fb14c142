// Arithmetic on shapes while importing: what an ONNX graph computes from Shape, Gather, Concat and their like, done on
// dimensions, so that a symbol stays a symbol.
#pragma once

#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

/// Computes the node's outputs where its inputs are known integers and the operator is one of those that shapes are
/// made with; false where it is not.
bool fold_onnx(OnnxNode& node);

}  // namespace moru
