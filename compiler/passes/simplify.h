// simplify, fold_constants, share_common: local rewrites that keep values.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Elementwise ops on scalar constants become constants.
void fold_constants(Graph& graph);

/// x*1, x+0, x/1, -(-x), cast to the same type, reshape of reshape, transpose of transpose, concat of all parts of a
/// split and split of a concat, contractions over an axis of extent 1 (a product), sums over nothing.
void simplify(Graph& graph);

/// Nodes with the same op, inputs and attributes become one. Random nodes and nodes with bodies are left alone.
void share_common(Graph& graph);

}  // namespace moru
