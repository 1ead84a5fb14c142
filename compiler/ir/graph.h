// Graph: the compiler's first intermediate representation. Tensor values in static single assignment form.
//
// Semantics
// - A graph is a list of nodes in an order in which every value is defined before it is used. A node applies one op to
//   values and defines new ones. Nodes have no side effects: state is read through graph inputs and written through
//   graph results, all at once, after every node has run. So the order of independent nodes means nothing.
// - A value has a type: element type and shape. Shapes are symbolic (support/dim.h).
// - Binary elementwise ops broadcast as numpy does: shapes are aligned at the right, an axis of extent 1 repeats.
// - Floating point is IEEE in the declared type; a reduction's order is left open here and fixed in Kernels. NaN and
//   infinities propagate as IEEE says; max and min return NaN if either operand is NaN.
// - Integer arithmetic wraps.
// - Bodies (of `scan` and `tile`) are graphs of their own and see nothing but their inputs.
// - Randomness is a pure function of its inputs (key and element index), so that graphs stay pure.
//
// Passes build a new graph (or append to one) rather than patch nodes in place.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/attributes.h"
#include "compiler/support/dim.h"
#include "compiler/support/dtype.h"

namespace moru {

struct Op;  // ops/op.h

struct Type {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Type&) const = default;
};
std::string type_text(const Type& type);  // "f32[batch, 24, 11]"

using ValueId = uint32_t;
constexpr ValueId no_value = UINT32_MAX;

struct Graph;

struct Node {
  const Op* op = nullptr;
  std::vector<ValueId> inputs;  // no_value for an optional input that is absent
  std::vector<ValueId> outputs;
  Attributes attributes;
  std::vector<Graph> bodies;  // scan and tile have one
  std::string origin;         // the user's node: "lstm_1", or "lstm_1:2" for its second call
};

/// What a graph's input or result is tied to, from outside. Bodies tie to positions only and leave `slot` empty.
struct GraphInput {
  ValueId value = no_value;
  std::string slot;  // name of the slot that is read
};
struct GraphResult {
  ValueId value = no_value;
  std::string slot;  // name of the slot that is written: an output, or state, which it replaces
};

struct Graph {
  std::string name;
  std::vector<Type> types;         // by ValueId
  std::vector<std::string> names;  // by ValueId; a readable name or empty
  std::vector<GraphInput> inputs;
  std::vector<Node> nodes;
  std::vector<GraphResult> results;

  const Type& type(ValueId value) const { return types[value]; }
  ValueId add_value(Type type, std::string value_name = {});
  ValueId add_input(Type type, std::string slot, std::string value_name = {});
  void add_result(ValueId value, std::string slot = {}) { results.push_back({value, std::move(slot)}); }
};

/// Storage that lives across nodes and entries.
struct Slot {
  std::string name = {};
  SlotKind kind = SlotKind::input;
  Type type = {};
  bool trainable = false;
  double initial = 0.0;     // fill value where the model carries no data for it
  int64_t index_limit = 0;  // integer inputs: 0 <= v < limit is checked before a run; 0 is unchecked
  AttributeValue constraint = {};  // parameters: {class="MaxNorm", ...}, applied behind each update; or none
};

/// The entries of a program over its slots: what the graph passes work on.
struct Module {
  std::vector<Slot> slots;
  std::vector<Graph> entries;
  const Slot* find_slot(std::string_view name) const;
  const Graph* find_entry(std::string_view name) const;
};

/// Text of a graph or module, and back. Text that is printed parses to an equal graph.
///
///   module {
///     slot parameter "dense/kernel": f32[12, 64] trainable
///     entry predict {
///       %0 = input "x": f32[batch, 12]
///       %1 = input "dense/kernel": f32[12, 64]
///       %2: f32[batch, 64] = contract(%0, %1) {spec="ab,bc->ac"}  # dense
///       %3: f32[batch, 64], %4: ... = scan(%2) {...} body {
///         ...
///       }
///       result "y" = %2
///     }
///   }
std::string graph_text(const Graph& graph);
std::string module_text(const Module& module);
Graph parse_graph(std::string_view text);  // throws CompileError with the line
Module parse_module(std::string_view text);

/// Checks every invariant stated above, and each node's types against its op's infer. Throws InternalError naming the
/// node; `after` says which pass ran.
void verify_graph(const Graph& graph, std::string_view after);
void verify_module(const Module& module, std::string_view after);

}  // namespace moru
