// A model as text, for people and for comparisons in tests: layers with all attributes, weights without values, calls.
#pragma once

#include <string>

#include "compiler/model/model.h"

namespace moru {

///   model "functional" {
///     layer x: InputLayer {dtype="f32", shape=[batch, 3]}
///     layer dense: Dense {activation="relu", ...}
///       weight kernel [3, 8] initializer={class="glorot_uniform"} regularizer=none
///     call x = x() : f32[batch, 3]
///     call dense = dense(x) : f32[batch, 8]
///     inputs x
///     outputs dense=dense
///   }
std::string model_text(const Model& model);

}  // namespace moru
