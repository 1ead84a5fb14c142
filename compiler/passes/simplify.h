// simplify, fold_constants, sink_transposes, share_common: local rewrites that keep values.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Elementwise ops on scalar constants become constants; x to the power 1, 2, 3 or -1 a product or a quotient.
void fold_constants(Graph& graph);

/// Moves transposes of computed values behind the elementwise ops, reductions, pads, slices and concatenations that read
/// them, until they meet their inverse: a network whose layers want channels behind, in a model that has them in front, then
/// keeps them behind from layer to layer. Where operands disagree, and at inputs, contractions and reshapes, they stay.
void sink_transposes(Graph& graph);

/// x*1, x+0, x/1, -(-x), cast to the same type, reshape of reshape, transpose of transpose, concat of all parts of a
/// split and split of a concat, contractions over an axis of extent 1 (a product), sums over nothing.
void simplify(Graph& graph);

/// Nodes with the same op, inputs and attributes become one. Random nodes and nodes with bodies are left alone.
void share_common(Graph& graph);

}  // namespace moru
