#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

std::span<const OnnxOp> onnx_training_ops() { return {}; }

}  // namespace moru
