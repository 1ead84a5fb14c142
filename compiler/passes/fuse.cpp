// The planning half of lowering one graph: what needs memory, what is computed together, where it lies.
#include <algorithm>

#include "compiler/ir/scan_view.h"
#include "compiler/ops/contraction.h"
#include "compiler/passes/lowering.h"
#include "compiler/passes/rewrite.h"
#include "compiler/support/error.h"

namespace moru::lowering {

namespace {

bool is_reduction(const Op& op) { return op.family == OpFamily::reduction && op.name.starts_with("reduce_"); }

// A reduction that gathers in memory, element by element.
bool is_fold(const Graph& graph, const Node& node) {
  return is_reduction(*node.op) && !is_small_reduction(graph, node);
}

}  // namespace

bool is_fusable(const Graph& graph, const Node& node) {
  const Op& op = *node.op;
  return op.lower || op.name == "gather" || op.name == "random_uniform" || is_constant(op) ||
         is_small_reduction(graph, node);
}

bool is_small_reduction(const Graph& graph, const Node& node) {
  if (!is_reduction(*node.op)) return false;
  // Neighbours in memory are loads that step over each other: of more than a few a fold along them is quicker.
  constexpr int64_t most_elements = 16, most_neighbours = 4;
  const Shape& shape = graph.type(node.inputs[0]).shape;
  int64_t elements = 1;
  std::vector<bool> reduced(shape.size(), false);
  for (int64_t axis : node.attributes.integers("axes")) {
    const size_t at = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis);
    reduced[at] = true;
    if (!shape[at].is_constant() || shape[at].constant() < 1) return false;
    elements *= shape[at].constant();
    if (elements > most_elements) return false;
  }
  if (elements == 1) return false;
  size_t last = shape.size() - 1;
  while (shape[last].is_constant(1)) --last;
  const bool leaves_something = std::any_of(shape.begin(), shape.end(), [&](const Dim& extent) {
    return !extent.is_constant(1) && !reduced[static_cast<size_t>(&extent - shape.data())];
  });
  return leaves_something && (!reduced[last] || shape[last].constant() <= most_neighbours);
}

bool is_view(const Op& op) {
  return op.name == "reshape" || op.name == "transpose" || op.name == "slice" || op.name == "split" ||
         op.name == "reverse" || op.name == "broadcast_to" || op.name == "window" || op.name == "ensure_shape";
}

bool is_constant(const Op& op) { return op.name == "fill" || op.name == "dim_value" || op.name == "iota"; }

Dim View::at(const Index& index) const {
  Dim sum = offset;
  for (size_t i = 0; i < index.size(); ++i) sum += index[i] * strides[i];
  return sum;
}

Store store_into(const View& to, const Index& index, Expr value, bool accumulate) {
  return {{to.buffer, to.at(index), nullptr}, std::move(value), accumulate};
}

View row_major_view(BufferId buffer, const Shape& shape, Dim offset) {
  return {buffer, std::move(offset), row_major_strides(shape)};
}

bool is_row_major(const View& view, const Shape& shape) {
  Shape strides = row_major_strides(shape);
  for (size_t i = 0; i < shape.size(); ++i)
    if (!shape[i].is_constant(1) && !(strides[i] == view.strides[i])) return false;
  return true;
}

std::optional<View> reshape_view(const View& view, const Shape& from, const Shape& to) {
  // Walk both shapes from the right, matching runs of axes with equal products; inside a run the old axes must be
  // contiguous among themselves.
  View result{view.buffer, view.offset, std::vector<Dim>(to.size(), Dim(1))};
  if (std::ranges::any_of(to, [](const Dim& extent) { return extent.is_constant(0); })) return result;  // of no elements
  size_t i = from.size(), j = to.size();
  while (i > 0 || j > 0) {
    while (i > 0 && from[i - 1].is_constant(1)) --i;
    while (j > 0 && to[j - 1].is_constant(1)) --j;
    if (i == 0 || j == 0) break;
    size_t i_end = i, j_end = j;
    Dim a = from[--i], b = to[--j];
    for (int guard = 0; !(a == b); ++guard) {
      if (guard > 64) return std::nullopt;
      // Extend the run that is surely smaller; for symbolic sizes, the one whose product divides the other.
      Dim quotient = a - b;
      bool extend_a = quotient.is_constant() ? quotient.constant() < 0
                                             : i > 0 && !(floor_div(b, a).terms().empty()) && floor_div(b, a) * a == b;
      if (extend_a ? i == 0 : j == 0) return std::nullopt;
      if (extend_a)
        a *= from[--i];
      else
        b *= to[--j];
    }
    Dim stride = view.strides[i_end - 1], expected = stride;
    for (size_t k = i_end; k-- > i;) {
      if (!from[k].is_constant(1) && !(view.strides[k] == expected)) return std::nullopt;
      expected *= from[k];
    }
    for (size_t k = j_end; k-- > j;) {
      result.strides[k] = stride;
      stride *= to[k];
    }
  }
  return result;
}

std::optional<View> view_through(const Node& node, size_t output, const View& operand, const Shape& from,
                                 const Shape& to) {
  const Attributes& attributes = node.attributes;
  std::string_view name = node.op->name;
  auto axis_of = [&] {
    int64_t axis = attributes.integer("axis");
    return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(from.size()) : axis);
  };
  View view = operand;
  if (name == "reshape") return reshape_view(operand, from, to);
  if (name == "ensure_shape") return view;
  if (name == "transpose") {
    const auto& permutation = attributes.integers("permutation");
    for (size_t i = 0; i < permutation.size(); ++i)
      view.strides[i] = operand.strides[static_cast<size_t>(permutation[i])];
    return view;
  }
  if (name == "slice") {
    view.offset += attributes.shape("begin")[0] * operand.strides[axis_of()];
    return view;
  }
  if (name == "split") {
    const auto& sizes = attributes.integers("sizes");
    int64_t begin = 0;
    for (size_t k = 0; k < output; ++k) begin += sizes[k];
    view.offset += operand.strides[axis_of()] * begin;
    return view;
  }
  if (name == "reverse") {
    size_t axis = axis_of();
    view.offset += (from[axis] - 1) * operand.strides[axis];
    view.strides[axis] = Dim(0) - operand.strides[axis];
    return view;
  }
  if (name == "window") {
    const size_t axis = axis_of();
    const Dim step = operand.strides[axis];
    view.strides[axis] = step * attributes.integer("stride");
    view.strides.insert(view.strides.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                        step * attributes.integer("dilation"));
    return view;
  }
  if (name == "broadcast_to") {
    view.strides.assign(to.size(), Dim(0));
    size_t extra = to.size() - from.size();
    for (size_t i = 0; i < from.size(); ++i)
      if (from[i] == to[i + extra]) view.strides[i + extra] = operand.strides[i];
    return view;
  }
  return std::nullopt;
}

namespace {

// Operands that must lie in memory, by consumer.
bool demands_memory(const Node& node, size_t operand) {
  std::string_view name = node.op->name;
  if (name == "gather") return operand == 0;
  if (name == "scan") return operand >= static_cast<size_t>(node.attributes.integer("carries"));
  return name == "contract" || name == "pack" || name == "tile" || name == "scatter_add" || name == "arg_max" ||
         name == "concat";
}

bool only_drops_units(const Shape& from, const Shape& to) {
  Shape a, b;
  for (const Dim& d : from)
    if (!d.is_constant(1)) a.push_back(d);
  for (const Dim& d : to)
    if (!d.is_constant(1)) b.push_back(d);
  return a == b;
}

}  // namespace

void Lowering::find_demands(Region& r) {
  const Graph& g = *r.graph;
  r.demand.assign(g.types.size(), false);
  for (const GraphResult& result : g.results) r.demand[result.value] = true;
  for (size_t n = g.nodes.size(); n-- > 0;) {
    const Node& node = g.nodes[n];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      ValueId input = node.inputs[i];
      if (input == no_value) continue;
      bool demand = demands_memory(node, i);
      if (is_view(*node.op)) {
        for (ValueId output : node.outputs) demand |= r.demand[output];
        // A reshape that mixes axes cannot be read through, only laid over memory.
        if (node.op->name == "reshape") demand |= !only_drops_units(g.type(input).shape, g.type(node.outputs[0]).shape);
      }
      if (demand) r.demand[input] = true;
    }
  }
}

// Sums over the windows of one axis and then of another add every element once, where it belongs in the end.
void Lowering::find_absorbed(Region& r) {
  const Graph& g = *r.graph;
  r.absorbed.assign(g.nodes.size(), false);
  for (const Node& node : g.nodes) {
    if (node.op->name != "window_sum") continue;
    const ValueId x = node.inputs[0];
    const uint32_t n = r.producer[x];
    if (n != UINT32_MAX && g.nodes[n].op->name == "window_sum" && r.uses[x] == 1 && !r.demand[x]) r.absorbed[n] = true;
  }
}

void Lowering::find_layouts(Region& r) {
  const Graph& g = *r.graph;
  r.layout.assign(g.types.size(), {});
  auto time_first = [&](ValueId value, int64_t axis) {
    std::vector<int64_t> order = {axis};
    for (int64_t i = 0; i < static_cast<int64_t>(g.type(value).shape.size()); ++i)
      if (i != axis) order.push_back(i);
    r.layout[value] = std::move(order);
  };
  for (const Node& node : g.nodes) {
    if (node.op->name != "scan") continue;
    ScanView scan(node);
    // A time step is one contiguous slice, for what the loop reads and for what it writes.
    for (size_t i = 0; i < scan.sequences; ++i)
      if (scan.axes[i] != 0) time_first(node.inputs[scan.carries + i], scan.axes[i]);
    for (size_t k = 0; k < scan.stacks; ++k)
      if (scan.output_axes[k] != 0) time_first(node.outputs[scan.carries + k], scan.output_axes[k]);
  }
}

ContractionForm Lowering::contraction_form(const Region& r, const Node& node) const {
  const Graph& g = *r.graph;
  ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
  auto extent = [&](char label) {
    if (size_t at = spec.a.find(label); at != std::string::npos) return g.type(node.inputs[0]).shape[at];
    return g.type(node.inputs[1]).shape[spec.b.find(label)];
  };
  auto stride = [&](size_t operand, char label) -> std::optional<Dim> {
    const std::string& labels = operand == 0 ? spec.a : spec.b;
    size_t at = labels.find(label);
    if (at == std::string::npos) return std::nullopt;
    return r.storage[node.inputs[operand]]->strides[at];
  };
  char last = 0;
  for (char label : spec.result)
    if (!extent(label).is_constant(1)) last = label;
  if (last) {
    bool in_a = spec.in_a(last), in_b = spec.in_b(last);
    if (in_a != in_b && stride(in_a ? 0 : 1, last)->is_constant(1)) return ContractionForm::tiled;
  }
  // Along the innermost summed axis both operands contiguous: fold it.
  for (size_t k = spec.a.size(); k-- > 0;) {
    char label = spec.a[k];
    if (spec.in_result(label) || !spec.in_b(label) || extent(label).is_constant(1)) continue;
    if (stride(0, label)->is_constant(1) && stride(1, label)->is_constant(1)) return ContractionForm::dot;
  }
  return ContractionForm::loops;
}

void Lowering::choose_anchors(Region& r) {
  const Graph& g = *r.graph;
  r.anchor.assign(g.types.size(), false);
  r.in_memory.assign(g.types.size(), false);
  std::vector<bool> costly(g.types.size(), false);
  for (const GraphInput& input : g.inputs) r.in_memory[input.value] = true;
  for (const Node& node : g.nodes) {
    if (is_view(*node.op)) {
      // A view of memory; what reads it goes there. A view of an expression is read through.
      for (ValueId output : node.outputs) {
        r.in_memory[output] = r.in_memory[node.inputs[0]];
        costly[output] = !r.in_memory[output] && costly[node.inputs[0]];
      }
      continue;
    }
    if (!is_fusable(g, node)) {
      for (ValueId output : node.outputs) r.in_memory[output] = !r.absorbed[static_cast<size_t>(&node - g.nodes.data())];
      continue;
    }
    ValueId value = node.outputs[0];
    bool expensive = !node.op->cheap && !is_constant(*node.op);
    for (ValueId input : node.inputs)
      if (input != no_value && !r.in_memory[input]) expensive = expensive || costly[input];
    if (r.demand[value] || (r.uses[value] > 1 && expensive) || is_small_reduction(g, node)) {
      r.anchor[value] = true;
      r.in_memory[value] = true;  // within its group an expression, elsewhere memory
    } else {
      costly[value] = expensive;
    }
  }
}

void Lowering::assign_storage(Region& r, const std::vector<Destination>& destinations) {
  const Graph& g = *r.graph;
  std::vector<bool> reshaped(g.types.size(), false);
  for (const Node& node : g.nodes)
    if (node.op->name == "reshape") reshaped[node.inputs[0]] = true;
  auto computed_here = [&](ValueId v) {
    uint32_t n = r.producer[v];
    if (n == UINT32_MAX) return false;
    const Op& op = *g.nodes[n].op;
    return r.anchor[v] || op.name == "contract" || op.name == "concat" || op.name == "pack" ||
           op.name == "scatter_add" || op.name == "arg_max" || op.name == "pad" || op.name == "window_sum" ||
           op.name == "tile" ||
           op.family == OpFamily::reduction;
  };
  for (const Destination& destination : destinations) {
    ValueId v = destination.value;
    bool fits = !reshaped[v] || is_row_major(destination.view, g.type(v).shape);
    if (computed_here(v) && !r.storage[v] && fits)
      r.storage[v] = destination.view;
    else if (!r.storage[v] || !(*r.storage[v] == destination.view))
      r.copies[v].push_back(destination.view);
  }
  // The parts of a concatenation are computed in their places.
  for (size_t n = g.nodes.size(); n-- > 0;) {
    const Node& node = g.nodes[n];
    if (node.op->name != "concat") continue;
    ValueId whole = node.outputs[0];
    if (!r.storage[whole]) r.storage[whole] = allocate(g.type(whole), r.layout[whole], node.origin);
    int64_t axis = node.attributes.integer("axis");
    if (axis < 0) axis += static_cast<int64_t>(g.type(whole).shape.size());
    Dim begin = 0;
    for (ValueId part : node.inputs) {
      if (computed_here(part) && !r.storage[part] && !reshaped[part] && r.layout[part].empty()) {
        View view = *r.storage[whole];
        view.offset += begin * view.strides[static_cast<size_t>(axis)];
        r.storage[part] = view;
      }
      begin += g.type(part).shape[static_cast<size_t>(axis)];
    }
  }
  for (const Node& node : g.nodes) {
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      ValueId v = node.outputs[k];
      if (r.storage[v] || !r.in_memory[v]) continue;
      if (is_view(*node.op)) {
        ValueId operand = node.inputs[0];
        if (auto view = view_through(node, k, *r.storage[operand], g.type(operand).shape, g.type(v).shape)) {
          r.storage[v] = *view;
          continue;
        }
      } else if (node.op->name == "scan" || node.op->name == "tile") {
        continue;  // they know best where their results lie; see prepare_control
      }
      r.storage[v] = allocate(g.type(v), r.layout[v], node.origin);
      r.own[v] = true;
    }
    if (node.op->name == "scan") prepare_scan(r, node);
    if (node.op->name == "tile") prepare_tile(r, node);
  }
}

// Another place for a value, and for the views of it. Both places are row-major, so that what was a view stays one.
void Lowering::move_storage(Region& r, ValueId value, const View& view) {
  const Graph& g = *r.graph;
  r.storage[value] = view;
  r.own[value] = false;
  std::set<ValueId> moved = {value};
  for (const Node& node : g.nodes) {
    if (!is_view(*node.op) || !moved.count(node.inputs[0])) continue;
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId output = node.outputs[k];
      if (!r.storage[output] || r.own[output]) continue;
      r.storage[output] =
          view_through(node, k, *r.storage[node.inputs[0]], g.type(node.inputs[0]).shape, g.type(output).shape);
      check_internal(r.storage[output].has_value(), "a view of contiguous memory is one of any other");
      moved.insert(output);
    }
  }
}

// Whether computing `value` in its group reads the input `old`.
bool Lowering::reads_in_group(const Region& r, ValueId value, ValueId old) const {
  const uint32_t group = r.group_of[r.producer[value]];
  std::vector<ValueId> walk = {value};
  std::set<ValueId> seen;
  while (!walk.empty()) {
    ValueId v = walk.back();
    walk.pop_back();
    if (v == old) return true;
    uint32_t n = r.producer[v];
    if (n == UINT32_MAX || !seen.insert(v).second || (r.group_of[n] != UINT32_MAX && r.group_of[n] != group)) continue;
    for (ValueId input : r.graph->nodes[n].inputs)
      if (input != no_value) walk.push_back(input);
  }
  return false;
}

// Whether every read of an input by a group's expressions is at the element that is written.
bool Lowering::read_aligned(const Region& r, ValueId input, uint32_t group) const {
  const Graph& g = *r.graph;
  const Group& members = r.groups[group];
  if (members.kind == Group::Kind::other) return false;
  // Folds run behind the loop's stores: they must not read what those replace.
  for (uint32_t n : members.members)
    if (is_fold(g, g.nodes[n]) && reads_in_group(r, g.nodes[n].outputs[0], input)) return false;
  std::vector<uint32_t> walk = members.members;
  std::set<uint32_t> seen;
  while (!walk.empty()) {
    uint32_t n = walk.back();
    walk.pop_back();
    if (!seen.insert(n).second) continue;
    const Node& node = g.nodes[n];
    bool elementwise = node.op->lower && g.type(node.outputs[0]).shape == members.space;
    for (ValueId v : node.inputs) {
      if (v == no_value) continue;
      if (v == input && !(elementwise && g.type(v).shape == members.space)) return false;
      uint32_t p = r.producer[v];
      if (p != UINT32_MAX && (r.group_of[p] == UINT32_MAX || r.group_of[p] == group)) walk.push_back(p);
    }
  }
  return true;
}

Region Lowering::plan(const Graph& graph, const std::vector<View>& inputs, const std::vector<Destination>& destinations,
                      const std::vector<StateWrite>& state) {
  Region r;
  r.graph = &graph;
  r.producer = find_producers(graph);
  r.uses = count_uses(graph);
  r.storage.resize(graph.types.size());
  r.copies.resize(graph.types.size());
  r.own.assign(graph.types.size(), false);
  for (size_t i = 0; i < inputs.size(); ++i) r.storage[graph.inputs[i].value] = inputs[i];
  find_demands(r);
  find_absorbed(r);
  find_layouts(r);
  choose_anchors(r);
  assign_storage(r, destinations);
  form_groups(r);

  // State that is replaced: in place where nothing reads the old value later, else at the end, through memory of its
  // own.
  std::map<ValueId, uint32_t> last_read;
  for (uint32_t group = 0; group < r.groups.size(); ++group)
    for (ValueId read : r.groups[group].reads)
      if (r.producer[read] == UINT32_MAX) last_read[read] = group;
  std::vector<const StateWrite*> in_place;
  for (const StateWrite& write : state) {
    const auto& [value, old, view] = write;
    uint32_t n = r.producer[value];
    bool contracted = n != UINT32_MAX && graph.nodes[n].op->name == "contract";
    bool here = n != UINT32_MAX && r.own[value] && r.group_of[n] != UINT32_MAX && (r.anchor[value] || contracted) &&
                r.copies[value].empty() && is_row_major(*r.storage[value], graph.type(value).shape);
    // Elementwise reads of the old value in the same loop see it before it goes; reads elsewhere must come earlier.
    bool late = here && (!last_read.count(old) || last_read[old] < r.group_of[n] ||
                         (last_read[old] == r.group_of[n] && !contracted && read_aligned(r, old, r.group_of[n])));
    if (late)
      in_place.push_back(&write);
    else
      r.copies[value].push_back(view);
  }
  // Within a loop an old value is overwritten only when nothing behind it reads it; where two values read each other's
  // predecessors, one of them waits in memory of its own.
  r.store_rank.assign(graph.types.size(), 0);
  for (uint32_t rank = 1; !in_place.empty(); ++rank) {
    auto unread = std::find_if(in_place.begin(), in_place.end(), [&](const StateWrite* x) {
      return std::none_of(in_place.begin(), in_place.end(), [&](const StateWrite* y) {
        return y != x && r.group_of[r.producer[y->value]] == r.group_of[r.producer[x->value]] &&
               reads_in_group(r, y->value, x->old);
      });
    });
    if (unread == in_place.end()) {
      r.copies[in_place.front()->value].push_back(in_place.front()->view);
      in_place.erase(in_place.begin());
      continue;
    }
    ValueId value = (*unread)->value;
    move_storage(r, value, (*unread)->view);
    r.store_rank[value] = rank;
    in_place.erase(unread);
  }
  return r;
}

void Lowering::collect_dependencies(const Region& r, ValueId value, bool aligned, const Shape& space,
                                    std::map<uint32_t, bool>& groups, std::set<ValueId>& reads) const {
  const Graph& g = *r.graph;
  aligned = aligned && g.type(value).shape == space;
  uint32_t n = r.producer[value];
  if (n == UINT32_MAX) {
    reads.insert(value);
    return;
  }
  const Node& node = g.nodes[n];
  if (r.group_of[n] != UINT32_MAX) {
    auto [at, fresh] = groups.emplace(r.group_of[n], aligned);
    if (!fresh) at->second = at->second && aligned;
    reads.insert(value);
    return;
  }
  bool keeps = !is_view(*node.op) && node.op->name != "gather";
  for (ValueId input : node.inputs)
    if (input != no_value) collect_dependencies(r, input, aligned && keeps, space, groups, reads);
}

void Lowering::form_groups(Region& r) {
  const Graph& g = *r.graph;
  r.group_of.assign(g.nodes.size(), UINT32_MAX);
  r.form.assign(g.nodes.size(), ContractionForm::loops);
  r.stored.assign(g.types.size(), false);
  for (size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    if (is_view(*node.op) && !(r.in_memory[node.outputs[0]] && r.own[node.outputs[0]])) continue;
    if (r.absorbed[n]) continue;
    bool fusable = is_fusable(g, node), reduction = is_fold(g, node);
    if (fusable && !r.anchor[node.outputs[0]]) continue;
    Shape space = reduction ? g.type(node.inputs[0]).shape : g.type(node.outputs[0]).shape;
    std::map<uint32_t, bool> dependencies;
    std::set<ValueId> reads;
    for (ValueId input : node.inputs)
      if (input != no_value)
        collect_dependencies(r, input, (fusable && node.op->name != "gather") || reduction, space, dependencies, reads);
    uint32_t group = UINT32_MAX;
    if (fusable || reduction) {
      uint32_t earliest = 0;
      for (const auto& [dependency, aligned] : dependencies)
        earliest = std::max(earliest, aligned ? dependency : dependency + 1);
      for (uint32_t candidate = earliest; candidate < r.groups.size(); ++candidate) {
        Group& c = r.groups[candidate];
        if (c.kind == Group::Kind::other || !(c.space == space)) continue;
        bool depends = dependencies.count(candidate) > 0;
        bool shares = std::any_of(reads.begin(), reads.end(), [&](ValueId v) { return c.reads.count(v) > 0; });
        if (c.kind == Group::Kind::contraction ? (depends && fusable && node.op->name != "random_uniform")
                                               : (depends || shares)) {
          group = candidate;
          break;
        }
      }
    }
    if (group == UINT32_MAX) {
      group = static_cast<uint32_t>(r.groups.size());
      Group fresh;
      fresh.space = space;
      fresh.kind = fusable || reduction ? Group::Kind::loop : Group::Kind::other;
      if (node.op->name == "contract") {
        r.form[n] = contraction_form(r, node);
        if (r.form[n] == ContractionForm::tiled) fresh.kind = Group::Kind::contraction;
      }
      r.groups.push_back(std::move(fresh));
    }
    Group& chosen = r.groups[group];
    chosen.members.push_back(static_cast<uint32_t>(n));
    chosen.reads.insert(reads.begin(), reads.end());
    r.group_of[n] = group;
    for (ValueId read : reads)
      if (r.producer[read] != UINT32_MAX && (r.group_of[r.producer[read]] != group || !fusable)) r.stored[read] = true;
    // A fold along the innermost axis reads what its own group stored; see loop_group.
  }
  for (size_t v = 0; v < g.types.size(); ++v) {
    if (r.producer[v] == UINT32_MAX) continue;
    if (r.demand[v]) r.stored[v] = true;
  }
}

}  // namespace moru::lowering
