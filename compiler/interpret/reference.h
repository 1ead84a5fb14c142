// The reference interpreter: runs graphs by the ops' own reference formulas, in doubles, one node after the other. It
// is the oracle of everything else and needs neither lowering nor code generation. Composite ops need not be expanded.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/ops/op.h"

namespace moru {

enum class Numbers : uint8_t {
  declared,  // every node's results are rounded to their declared element types: the oracle of kernels
  all_f64,   // f32 values stay doubles: the oracle of gradients
};

struct InterpretOptions {
  Numbers numbers = Numbers::declared;
  /// Dimensions beside those that the shapes of the inputs bind.
  std::map<std::string, int64_t, std::less<>> symbols = {};
  /// Called after each node of the graph itself, not of loops' bodies, with the node's outputs.
  std::function<void(const Node&, std::span<const HostTensor>)> observe = {};
};

/// Runs a graph on tensors for its inputs, in order, and returns its results, in order. The graph's symbols are bound
/// from the inputs' shapes; a symbolic expression (24*batch) binds its one unknown symbol or must agree. An optional
/// input that is absent reaches a reference as a tensor without axes and without elements. Throws CompileError for
/// inputs that do not fit and for indices outside a table; InternalError if an op's reference disagrees with its
/// inferred type.
std::vector<HostTensor> interpret_graph(const Graph& graph, std::span<const HostTensor> inputs,
                                        const InterpretOptions& options = {});

/// Runs an entry on slots by name: reads the inputs' slots, writes the results' slots, all at once after the last node.
/// A slot of the program's own state that `slots` lacks starts filled with its initial value. Throws as
/// interpret_graph.
void interpret_entry(const Module& module, std::string_view entry, std::map<std::string, HostTensor>& slots,
                     const InterpretOptions& options = {});

/// Rounds every element to the tensor's element type: f32 to nearest even, i32 wrapping.
void round_to_dtype(HostTensor& tensor);

}  // namespace moru
