// The inside of `lower`: one graph at a time (a Region), first planned (fuse.cpp), then emitted (lower_*.cpp).
// Only passes/lower*.cpp and passes/fuse.cpp include this.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/ir/kernels.h"
#include "compiler/ops/op.h"

namespace moru::lowering {

using Index = std::vector<Dim>;

/// Where the elements of a value lie: element [i, j, ...] at offset + i*strides[0] + j*strides[1] + ...
struct View {
  BufferId buffer = no_buffer;
  Dim offset;
  std::vector<Dim> strides;
  bool operator==(const View&) const = default;
  Dim at(const Index& index) const;
};
/// A tensor of `shape` without gaps from `offset` on.
View row_major_view(BufferId buffer, const Shape& shape, Dim offset = 0);

/// The statement that stores `value` at `index` of a view, or adds it there. A function, since what makes `value` may throw: g++ 12 then destroys twice what an aggregate holds already.
Store store_into(const View& to, const Index& index, Expr value, bool accumulate = false);
/// The same elements under another shape, without moving them; nullopt if the strides do not allow it.
std::optional<View> reshape_view(const View& view, const Shape& from, const Shape& to);
/// Where output `output` of a view op (is_view) of shape `to` lies, given where its operand of shape `from` does; nullopt
/// if its elements have to be moved.
std::optional<View> view_through(const Node& node, size_t output, const View& operand, const Shape& from,
                                 const Shape& to);
/// Whether the elements lie without gaps, the last axis innermost, as in row_major_view. Axes of extent 1 do not count.
bool is_row_major(const View& view, const Shape& shape);

enum class ContractionForm {
  tiled,  // kernels.h Contraction, with an epilogue
  dot,    // no columns to go along: a Reduce per result
  loops,  // everything else: the sum in memory, one vector loop per depth point
};

/// A fusion group: what one loop nest or one contraction computes.
struct Group {
  enum class Kind { loop, contraction, other } kind = Kind::loop;
  Shape space;                    // loop: iteration space; contraction: the result's shape
  std::vector<uint32_t> members;  // nodes, in order; for contraction and other the root comes first
  std::set<ValueId> reads;        // stored values of earlier groups
};

/// One graph being lowered.
struct Region {
  const Graph* graph = nullptr;
  std::vector<uint32_t> producer;  // node by value, UINT32_MAX for inputs
  std::vector<uint32_t> uses;
  std::vector<std::optional<View>> storage;  // by value: its own memory, or an alias of another value's
  std::vector<bool> demand;                  // must have memory (or an alias)
  std::vector<bool> in_memory;               // has memory: its own, or a view of another value's
  std::vector<bool> absorbed;                // by node: a window_sum that the one window_sum that reads it computes too
  std::vector<bool> own;                     // has memory that was allocated for it
  std::vector<bool> anchor;                  // elementwise, computed in a group of its own choice
  std::vector<bool> stored;                  // an anchor whose value leaves its group
  std::vector<ContractionForm> form;         // by node
  std::vector<uint32_t> group_of;            // by node
  std::vector<Group> groups;
  std::vector<uint32_t> store_rank;          // by value: in a group, what overwrites old state is stored last
  std::vector<std::vector<View>> copies;     // by value: further places it must be written to
  std::vector<std::vector<int64_t>> layout;  // by value: axis order, outermost first; empty is row-major
};

/// A group's members in the order in which their results are stored.
std::vector<uint32_t> store_order(const Region& region, const Group& group);

/// Whether a node's result can be an expression of what it reads: elementwise ops, and reductions of a few elements.
bool is_fusable(const Graph& graph, const Node& node);
/// A reduction of a few elements, which are all in one expression.
bool is_small_reduction(const Graph& graph, const Node& node);
bool is_view(const Op& op);
bool is_constant(const Op& op);  // fill, dim_value, iota

struct Destination {
  ValueId value;
  View view;
};

/// A value that replaces an input's value, in the input's memory: state of the program, or a loop's carry.
struct StateWrite {
  ValueId value;
  ValueId old;
  View view;
};

class Lowering {
 public:
  explicit Lowering(const Module& module) : module_(module) {}
  Kernel entry(const Graph& graph);

 private:
  // fuse.cpp
  Region plan(const Graph& graph, const std::vector<View>& inputs, const std::vector<Destination>& destinations,
              const std::vector<StateWrite>& state);
  void find_demands(Region& region);
  void find_absorbed(Region& region);
  void find_layouts(Region& region);
  void choose_anchors(Region& region);
  void form_groups(Region& region);
  void move_storage(Region& region, ValueId value, const View& view);
  void assign_storage(Region& region, const std::vector<Destination>& destinations);
  void collect_dependencies(const Region& region, ValueId value, bool aligned, const Shape& space,
                            std::map<uint32_t, bool>& groups, std::set<ValueId>& reads) const;
  bool reads_in_group(const Region& region, ValueId value, ValueId old) const;
  bool read_aligned(const Region& region, ValueId input, uint32_t group) const;
  ContractionForm contraction_form(const Region& region, const Node& node) const;

  // lower_groups.cpp
  void region(const Graph& graph, const std::vector<View>& inputs, const std::vector<Destination>& destinations,
              const std::vector<StateWrite>& state, Block& out);
  void loop_group(Region& region, const Group& group, Block& out);
  /// What a reduction adds to the loop nest of its group: in front of it, to its innermost loop, and behind that.
  struct NestParts {
    Block before, stores, folds;
  };
  void copy_out(Region& region, ValueId value, const View& to, Block& out);
  Block nest(const Shape& space, const std::vector<std::string>& vars, Block inner, bool vector) const;

  // One group's expressions: each value is built once per index.
  struct Reader {
    Lowering& lowering;
    const Region& region;
    uint32_t group;                  // members of this group are read as expressions
    ValueId accumulator = no_value;  // the contraction's result in its epilogue
    bool load_stored = false;        // read stored members back from memory
    std::map<std::pair<ValueId, std::vector<std::string>>, Expr> memo = {};
    Expr read(ValueId value, const Index& index);

   private:
    Expr compute(ValueId value, const Index& index);
    Expr constant(const Node& node, const Type& type, const Index& index);
    Expr random(const Node& node, const Type& type, const Index& index);
    Expr gather(const Node& node, const Index& index);
    Expr through_view(const Node& node, ValueId value, const Index& index);
    Expr small_reduction(const Node& node, const Index& index);
    Expr elementwise(const Node& node, const Type& type, const Index& index);
    const Shape& input_shape(const Node& node, size_t input) const { return region.graph->type(node.inputs[input]).shape; }
  };
  Expr load(const View& view, const Index& index, Expr dynamic = nullptr) const;

  // lower_contraction.cpp
  void contraction(Region& region, const Group& group, Block& out);
  void pack(Region& region, const Node& node, Block& out);
  void scatter_add(Region& region, const Node& node, Block& out);
  void concat(Region& region, const Node& node, Block& out);
  void pad(Region& region, const Node& node, Block& out);
  void window_sum(Region& region, const Node& node, Block& out);  // with the absorbed ones before it
  void arg_max(Region& region, const Node& node, Block& out);

  void reshape_copy(Region& region, const Node& node, Block& out);

  // lower_control.cpp
  void prepare_scan(Region& region, const Node& node);  // decides where carries and stacks lie
  void prepare_tile(Region& region, const Node& node);
  void scan(Region& region, const Node& node, Block& out);
  void tile(Region& region, const Node& node, Block& out);
  void row_tile(Region& region, const Node& node, Block& out);

  BufferId add_buffer(const std::string& name, DType dtype, Dim elements, Dim* base);
  View allocate(const Type& type, const std::vector<int64_t>& layout, const std::string& name);
  /// Loops over the axes of a shape whose extent is not 1, and the index of the element they are at.
  struct Loops {
    Shape extents;
    std::vector<std::string> vars;
    Index index;
  };
  Loops loops_over(const Shape& shape);
  Loops flat_loop(const Shape& shape);
  void reduction(const Region& region, const Node& node, const Shape& space, const Loops& loops, Reader& reader,
                 NestParts& parts);
  Block start_from_identity(const Region& region, const Node& node, ReduceOp op, const Shape& space,
                            const std::vector<bool>& summed);
  Block nest(const Loops& loops, Block inner, bool vector) const {
    return nest(loops.extents, loops.vars, std::move(inner), vector);
  }

  std::string fresh_var(const char* stem) { return stem + std::to_string(next_var_++); }

  /// Where one carry of a scan lives: in a stack with a slice per step and one more, or in one place, replaced every
  /// step.
  struct CarryPlace {
    View view;   // of slice 0
    Dim stride;  // elements from slice to slice
    bool stacked = false;
  };
  struct ScanPlan {
    std::vector<CarryPlace> carries;
    std::vector<bool> from_carry;  // by stacked output: lies in a carry's stack
  };

  const Module& module_;
  Kernel kernel_;
  std::map<const Node*, ScanPlan> scan_plans_;
  int next_var_ = 0;
  bool in_parallel_ = false;
  std::string tile_symbol_;  // inside a tile: the symbol of its rows, and the most they can be
  Dim tile_rows_;
  Dim largest(const Dim& dim) const;
  std::string origin_;
  friend struct Reader;
};

}  // namespace moru::lowering
