// differentiate: reverse-mode automatic differentiation of a graph, scans included. Gradients are ordinary nodes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

/// Appends to `graph` the gradients of the scalar value `loss` with respect to the values `wanted` and returns them in
/// the same order (zeros where the loss does not depend on a value). The graph must be expanded: every op on the way
/// has a `gradient`, is a scan, or is not differentiable (its gradient is zero).
///
/// A scan's gradient is a scan in the other direction. Its carries are the gradients of the forward carries and the
/// sums of the gradients of the invariants; its body is the forward body again, followed by its own gradient. What
/// choose_residuals keeps is not computed again: the forward scan gets it as an additional stacked output.
std::vector<ValueId> append_gradients(Graph& graph, ValueId loss, const std::vector<ValueId>& wanted);

/// For the entry `train_step`: differentiates the result "loss" with respect to every trainable parameter the entry
/// reads, and adds results "gradient/<parameter>" with slots of these names, which add_update consumes. The gradient of a
/// parameter that the step replaces (SpectralNormalization) is that with respect to its new value, as in Keras.
void differentiate(Module& module);

}  // namespace moru
