// The operations of keras.ops that may be nodes of functional models: one table for each family, keras_ops_<family>.cpp,
// and what they share.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "compiler/exchange/keras_operation.h"
#include "compiler/ops/activation.h"

namespace moru {

struct KerasOp {
  std::string_view name;       // the class in a config
  std::string_view signature;  // of its call: the arguments in order
  std::vector<Value> (*build)(const OperationCall&);
};

std::span<const KerasOp> keras_elementwise_ops();
std::span<const KerasOp> keras_reduction_ops();
std::span<const KerasOp> keras_shape_ops();
std::span<const KerasOp> keras_indexing_ops();
std::span<const KerasOp> keras_product_ops();

/// x, booleans as i32.
Value numeric(const OperationCall& call, Value x);
/// The element type that an argument names, or the one in which Moru computes it.
DType dtype_argument(const OperationCall& call, std::string_view argument);

}  // namespace moru
