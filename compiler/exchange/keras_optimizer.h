// The variables that Keras' optimizers keep, in Keras' order, and the slots of Moru's that are the same: one list, by which
// a file's variables become slots and slots a file's variables.
#pragma once

#include <string>
#include <vector>

#include "compiler/exchange/json_text.h"
#include "compiler/model/model.h"

namespace moru {

struct OptimizerVariable {
  std::string name;                // Keras' path: "adam/iteration", "adam/dense_kernel_momentum"
  std::vector<std::string> slots;  // "step", "adam/momentum/dense/kernel"; several that are always equal; none of a placeholder
  DType dtype = DType::f32;
  std::vector<int64_t> shape = {};
};

/// `optimizer` as a compile configuration has it: a name, or {"class_name": ..., "config": {...}}. Empty where Moru has
/// no such optimizer.
std::vector<OptimizerVariable> optimizer_variables(const Json& optimizer, Model& model);

/// The op of an optimizer in a compile configuration, of the inner one of a LossScaleOptimizer; empty where Moru has none.
std::string optimizer_op_of(const Json& optimizer);

/// Its learning rate: a number, a schedule's object, or null.
Json learning_rate_of(const Json& optimizer);

}  // namespace moru
