// TensorFlow functions that Keras 2.4 to 2.15 called on tensors of a functional model, as layers of the class TFOpLambda
// or SlicingOpLambda, in the words of keras.ops.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/exchange/keras_operation.h"

namespace moru {

/// True for an entry of a config's layers that is such a function.
bool is_tf_function(const Json& layer);

/// The operation that is the function ("math.reduce_mean"), still without arguments; nothing where there is none.
std::optional<KerasOperation> find_tf_operation(std::string_view function);

/// The arguments of one call in their places. `first` is the function's first argument, `others` those by name, both with
/// tensors as their numbers. Throws KerasValueError where one of them says what the operation cannot.
void place_tf_arguments(std::string_view function, const Json& first, const Json& others, KerasOperation& operation);

}  // namespace moru
