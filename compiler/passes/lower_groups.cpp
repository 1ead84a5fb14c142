// The emitting half of lowering: regions, loop nests and the expressions in them.
#include <algorithm>
#include <limits>

#include "compiler/ops/random_expr.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/passes/lower.h"
#include "compiler/passes/lowering.h"
#include "compiler/passes/rewrite.h"
#include "compiler/support/error.h"

namespace moru {

namespace lowering {

namespace {

std::vector<bool> summed_axes(const Node& node, size_t rank) {
  std::vector<bool> summed(rank, false);
  for (int64_t axis : node.attributes.integers("axes")) summed[normalized_axis(axis, rank)] = true;
  return summed;
}

// What a reduction starts from in memory: of sums +0, since the first element is added to it.
Expr identity_of(ReduceOp op, DType dtype) {
  if (!is_float(dtype)) {
    const int64_t lowest = dtype == DType::i32 ? INT32_MIN : INT64_MIN,
                  highest = dtype == DType::i32 ? INT32_MAX : INT64_MAX;
    return expr::integer(op == ReduceOp::add ? 0 : op == ReduceOp::max ? lowest : highest, dtype);
  }
  const double infinity = std::numeric_limits<double>::infinity();
  return expr::constant(op == ReduceOp::add ? 0.0 : op == ReduceOp::max ? -infinity : infinity, dtype);
}

// Whether one loop goes over all axes at once: every operand and result lies contiguous in the same order.
bool is_flat(const Region& r, const Group& group) {
  if (group.space.size() < 2 || element_count(group.space).is_constant(1)) return false;
  const Graph& g = *r.graph;
  const uint32_t group_index = r.group_of[group.members[0]];
  for (ValueId read : group.reads) {
    const Shape& shape = g.type(read).shape;
    if (element_count(shape).is_constant(1)) continue;
    const uint32_t n = r.producer[read];
    if (n != UINT32_MAX && r.group_of[n] == group_index) continue;
    if (shape != group.space || !r.storage[read] || !is_row_major(*r.storage[read], shape)) return false;
  }
  for (uint32_t n : group.members) {
    const Node& node = g.nodes[n];
    if (node.op->family == OpFamily::reduction || node.op->family == OpFamily::random || is_constant(*node.op) ||
        node.op->name == "gather")
      return false;
    for (ValueId v : node.outputs)
      if (r.stored[v] && !is_row_major(*r.storage[v], g.type(v).shape)) return false;
  }
  // Broadcasts and views inside the group read by axis; a flat loop has only one.
  std::vector<uint32_t> walk(group.members);
  std::set<uint32_t> seen;
  while (!walk.empty()) {
    const uint32_t n = walk.back();
    walk.pop_back();
    if (!seen.insert(n).second) continue;
    for (ValueId input : g.nodes[n].inputs) {
      if (input == no_value) continue;
      const Shape& shape = g.type(input).shape;
      const bool is_scalar = element_count(shape).is_constant(1);
      if (shape != group.space && !is_scalar) return false;
      const uint32_t p = r.producer[input];
      const bool outside = p == UINT32_MAX || (r.group_of[p] != UINT32_MAX && r.group_of[p] != group_index);
      if (outside || is_scalar) continue;
      const Op& op = *g.nodes[p].op;
      if (is_view(op) || op.name == "iota" || op.family == OpFamily::random || op.name == "gather") return false;
      walk.push_back(p);
    }
  }
  return true;
}

}  // namespace

Expr Lowering::load(const View& view, const Index& index, Expr dynamic) const {
  return expr::load(kernel_.buffers[view.buffer], view.buffer, view.at(index), std::move(dynamic));
}

Expr Lowering::Reader::read(ValueId value, const Index& index) {
  std::pair<ValueId, std::vector<std::string>> key{value, {}};
  for (const Dim& dim : index) key.second.push_back(dim.text());
  if (auto found = memo.find(key); found != memo.end()) return found->second;
  Expr result;
  uint32_t n = region.producer[value];
  bool here = n != UINT32_MAX && region.group_of[n] == group;
  if (value == accumulator)
    result = expr::accumulator(region.graph->type(value).dtype);
  else if (here && !(load_stored && region.stored[value]))
    result = compute(value, index);
  else if (region.storage[value])
    result = lowering.load(*region.storage[value], index);
  else
    result = compute(value, index);
  memo[key] = result;
  return result;
}

Expr Lowering::Reader::compute(ValueId value, const Index& index) {
  const Node& node = region.graph->nodes[region.producer[value]];
  const Type& type = region.graph->type(value);
  if (is_constant(*node.op)) return constant(node, type, index);
  if (node.op->name == "random_uniform") return random(node, type, index);
  if (node.op->name == "gather") return gather(node, index);
  if (is_view(*node.op)) return through_view(node, value, index);
  if (node.op->family == OpFamily::reduction) return small_reduction(node, index);
  return elementwise(node, type, index);
}

Expr Lowering::Reader::constant(const Node& node, const Type& type, const Index& index) {
  if (node.op->name == "fill") {
    const double number = node.attributes.real("value");
    return is_float(type.dtype) ? expr::constant(number, type.dtype)
                                : expr::integer(static_cast<int64_t>(number), type.dtype);
  }
  const Dim& dim = node.op->name == "dim_value" ? node.attributes.shape("dim")[0]
                                                : index[normalized_axis(node.attributes.integer("axis"), index.size())];
  return type.dtype == DType::i64 ? expr::index(dim) : expr::convert(expr::index(dim), type.dtype);
}

Expr Lowering::Reader::random(const Node& node, const Type& type, const Index& index) {
  Dim flat = 0;
  const Shape strides = row_major_strides(type.shape);
  for (size_t i = 0; i < index.size(); ++i) flat += index[i] * strides[i];
  Expr element = expr::index(flat);
  if (node.inputs.size() > 2 && node.inputs[2] != no_value) element = element + read(node.inputs[2], {});
  return random_uniform_expr(element, read(node.inputs[0], {}), read(node.inputs[1], {}),
                             node.attributes.integer("stream"));
}

Expr Lowering::Reader::gather(const Node& node, const Index& index) {
  const size_t rank = input_shape(node, 1).size();
  const Index at(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(rank));
  Expr row = read(node.inputs[1], at);
  if (row->type != DType::i64) row = expr::convert(row, DType::i64);
  // Memory is safe whatever the data: an index out of range reads the nearest row (inputs were checked before the
  // run).
  row = expr::binary(ExprOp::max, row, expr::integer(0, DType::i64));
  row = expr::binary(ExprOp::min, row, expr::index(input_shape(node, 0)[0] - 1));
  const View& table = *region.storage[node.inputs[0]];
  Index rest(index.size() - rank + 1, Dim(0));
  std::copy(index.begin() + static_cast<std::ptrdiff_t>(rank), index.end(), rest.begin() + 1);
  return lowering.load(table, rest, row * expr::index(table.strides[0]));
}

Expr Lowering::Reader::through_view(const Node& node, ValueId value, const Index& index) {
  const std::string_view name = node.op->name;
  const Shape &from = input_shape(node, 0), &to = region.graph->type(value).shape;
  Index inner(from.size());
  if (name == "transpose") {
    const auto& permutation = node.attributes.integers("permutation");
    for (size_t i = 0; i < permutation.size(); ++i) inner[static_cast<size_t>(permutation[i])] = index[i];
  } else if (name == "broadcast_to") {
    const size_t extra = to.size() - from.size();
    for (size_t i = 0; i < from.size(); ++i) inner[i] = from[i] == to[i + extra] ? index[i + extra] : Dim(0);
  } else if (name == "ensure_shape") {
    inner = index;
  } else if (name == "reshape") {  // only units come and go; see find_demands
    size_t k = 0;
    for (size_t i = 0; i < from.size(); ++i) {
      if (from[i].is_constant(1)) continue;
      while (to[k].is_constant(1)) ++k;
      inner[i] = index[k++];
    }
  } else {
    const size_t at = normalized_axis(node.attributes.integer("axis"), from.size());
    inner = index;
    if (name == "window") {
      inner.erase(inner.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      inner[at] = index[at] * node.attributes.integer("stride") + index[at + 1] * node.attributes.integer("dilation");
    }
    if (name == "slice") inner[at] += node.attributes.shape("begin")[0];
    if (name == "reverse") inner[at] = from[at] - 1 - index[at];
    if (name == "split") {
      const auto& sizes = node.attributes.integers("sizes");
      for (size_t k = 0; node.outputs[k] != value; ++k) inner[at] += Dim(sizes[k]);
    }
  }
  return read(node.inputs[0], inner);
}

// Of a few elements: any other has memory of its own.
Expr Lowering::Reader::small_reduction(const Node& node, const Index& index) {
  const Shape& from = input_shape(node, 0);
  const bool keep = node.attributes.boolean("keep_dims");
  const std::vector<bool> summed = summed_axes(node, from.size());
  Index inner;
  int64_t elements = 1;
  for (size_t i = 0, k = 0; i < from.size(); ++i) {
    inner.push_back(summed[i] ? Dim(0) : index[k]);
    k += !summed[i] || keep;
    if (summed[i]) elements *= from[i].constant();
  }
  const std::string_view name = node.op->name;
  const ExprOp combine = name == "reduce_sum" ? ExprOp::add : name == "reduce_max" ? ExprOp::max : ExprOp::min;
  Expr result;
  for (int64_t element = 0; element < elements; ++element) {
    int64_t rest = element;
    for (size_t i = from.size(); i-- > 0;) {
      if (!summed[i]) continue;
      inner[i] = rest % from[i].constant();
      rest /= from[i].constant();
    }
    Expr next = read(node.inputs[0], inner);
    result = result ? expr::binary(combine, result, next) : next;
  }
  return result;
}

Expr Lowering::Reader::elementwise(const Node& node, const Type& type, const Index& index) {
  check_internal(static_cast<bool>(node.op->lower), "an op that is read as an expression must be elementwise");
  std::vector<Expr> args;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Shape& shape = input_shape(node, i);
    const size_t extra = type.shape.size() - shape.size();
    Index at(shape.size());
    for (size_t k = 0; k < shape.size(); ++k) at[k] = shape[k] == type.shape[k + extra] ? index[k + extra] : Dim(0);
    args.push_back(read(node.inputs[i], at));
  }
  return node.op->lower(args, node.attributes);
}

Lowering::Loops Lowering::loops_over(const Shape& shape) {
  Loops loops{{}, {}, Index(shape.size(), Dim(0))};
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].is_constant(1)) continue;
    loops.extents.push_back(shape[i]);
    loops.vars.push_back(fresh_var("i"));
    loops.index[i] = Dim::symbol(loops.vars.back());
  }
  return loops;
}

Block Lowering::nest(const Shape& extents, const std::vector<std::string>& vars, Block inner, bool vector) const {
  for (size_t i = extents.size(); i-- > 0;) {
    bool innermost = i + 1 == extents.size();
    For loop{vars[i], extents[i], vector && innermost ? ForKind::vector : ForKind::serial, std::move(inner)};
    inner = {};
    inner.push_back({std::move(loop), origin_});
  }
  return inner;
}

std::vector<uint32_t> store_order(const Region& r, const Group& group) {
  std::vector<uint32_t> order = group.members;
  std::stable_sort(order.begin(), order.end(), [&](uint32_t x, uint32_t y) {
    return r.store_rank[r.graph->nodes[x].outputs[0]] < r.store_rank[r.graph->nodes[y].outputs[0]];
  });
  return order;
}

// The last axis with an extent other than 1 takes the whole flat index: row-major views have stride 1 there.
Lowering::Loops Lowering::flat_loop(const Shape& shape) {
  Loops loops{{element_count(shape)}, {fresh_var("i")}, Index(shape.size(), Dim(0))};
  size_t last = shape.size() - 1;
  while (shape[last].is_constant(1)) --last;
  loops.index[last] = Dim::symbol(loops.vars[0]);
  return loops;
}

void Lowering::loop_group(Region& r, const Group& group, Block& out) {
  const Graph& g = *r.graph;
  Loops loops = is_flat(r, group) ? flat_loop(group.space) : loops_over(group.space);
  Reader reader{*this, r, r.group_of[group.members[0]]};
  NestParts parts;
  for (uint32_t n : store_order(r, group)) {
    const Node& node = g.nodes[n];
    const ValueId value = node.outputs[0];
    if (!is_fusable(g, node))
      reduction(r, node, group.space, loops, reader, parts);
    else if (r.stored[value])
      parts.stores.push_back({store_into(*r.storage[value], loops.index, reader.read(value, loops.index)), node.origin});
  }
  for (Statement& s : parts.before) out.push_back(std::move(s));
  Block inner;
  if (!loops.extents.empty()) {
    if (!parts.stores.empty()) inner = nest({loops.extents.back()}, {loops.vars.back()}, std::move(parts.stores), true);
    for (Statement& fold : parts.folds) inner.push_back(std::move(fold));
    loops.extents.pop_back();
    loops.vars.pop_back();
  } else {
    inner = std::move(parts.stores);
  }
  if (inner.empty()) return;
  for (Statement& s : nest(loops, std::move(inner), false)) out.push_back(std::move(s));
}

void Lowering::reduction(const Region& r, const Node& node, const Shape& space, const Loops& loops, Reader& reader,
                         NestParts& parts) {
  const std::vector<bool> summed = summed_axes(node, space.size());
  const bool keep = node.attributes.boolean("keep_dims");
  Index at;
  for (size_t i = 0; i < space.size(); ++i) {
    if (!summed[i])
      at.push_back(loops.index[i]);
    else if (keep)
      at.push_back(0);
  }
  const ValueId value = node.outputs[0];
  const View& view = *r.storage[value];
  const Access target{view.buffer, view.at(at), nullptr};
  const ReduceOp op = node.op->name == "reduce_sum"   ? ReduceOp::add
                      : node.op->name == "reduce_max" ? ReduceOp::max
                                                      : ReduceOp::min;
  std::vector<size_t> real_axes;
  for (size_t i = 0; i < space.size(); ++i)
    if (!space[i].is_constant(1)) real_axes.push_back(i);
  const bool last_summed = !real_axes.empty() && summed[real_axes.back()];
  bool outer_summed = false;
  for (size_t i = 0; i + 1 < real_axes.size(); ++i) outer_summed |= summed[real_axes[i]];
  if (outer_summed)  // it gathers in memory
    for (Statement& s : start_from_identity(r, node, op, space, summed)) parts.before.push_back(std::move(s));
  if (last_summed) {
    Reader fold_reader{*this, r, reader.group, no_value, true};
    const Expr element = fold_reader.read(node.inputs[0], loops.index);
    parts.folds.push_back({Reduce{loops.vars.back(), loops.extents.back(), op, element, target, outer_summed}, node.origin});
    return;
  }
  const Expr element = reader.read(node.inputs[0], loops.index);
  if (!outer_summed)
    parts.stores.push_back({Store{target, element, false}, node.origin});
  else if (op == ReduceOp::add)
    parts.stores.push_back({Store{target, element, true}, node.origin});
  else
    parts.stores.push_back(
        {Store{target, expr::binary(op == ReduceOp::max ? ExprOp::max : ExprOp::min, load(view, at), element), false},
         node.origin});
}

Block Lowering::start_from_identity(const Region& r, const Node& node, ReduceOp op, const Shape& space,
                                    const std::vector<bool>& summed) {
  Shape kept;
  std::vector<std::string> vars;
  Index start;
  for (size_t i = 0; i < space.size(); ++i) {
    if (summed[i]) {
      if (node.attributes.boolean("keep_dims")) start.push_back(0);
    } else if (space[i].is_constant(1)) {
      start.push_back(0);
    } else {
      kept.push_back(space[i]);
      vars.push_back(fresh_var("i"));
      start.push_back(Dim::symbol(vars.back()));
    }
  }
  const ValueId value = node.outputs[0];
  const View& view = *r.storage[value];
  Block store;
  store.push_back({Store{{view.buffer, view.at(start), nullptr}, identity_of(op, r.graph->type(value).dtype), false}, node.origin});
  return nest(kept, vars, std::move(store), true);
}

void Lowering::copy_out(Region& r, ValueId value, const View& to, Block& out) {
  const Shape& shape = r.graph->type(value).shape;
  if (r.storage[value] && *r.storage[value] == to) return;
  const Loops loops = loops_over(shape);
  Reader reader{*this, r, UINT32_MAX - 1};
  Block stores;
  stores.push_back({store_into(to, loops.index, reader.read(value, loops.index)), origin_});
  for (Statement& s : nest(loops, std::move(stores), true)) out.push_back(std::move(s));
}

void Lowering::region(const Graph& graph, const std::vector<View>& inputs, const std::vector<Destination>& destinations,
                      const std::vector<StateWrite>& state, Block& out) {
  Region r = plan(graph, inputs, destinations, state);
  for (const Group& group : r.groups) {
    const Node& root = graph.nodes[group.members[0]];
    origin_ = root.origin;
    std::string_view name = root.op->name;
    if (group.kind == Group::Kind::loop)
      loop_group(r, group, out);
    else if (name == "contract")
      contraction(r, group, out);
    else if (name == "scan")
      scan(r, root, out);
    else if (name == "tile")
      tile(r, root, out);
    else if (name == "pack")
      pack(r, root, out);
    else if (name == "concat")
      concat(r, root, out);
    else if (name == "pad")
      pad(r, root, out);
    else if (name == "window_sum")
      window_sum(r, root, out);
    else if (name == "scatter_add")
      scatter_add(r, root, out);
    else if (name == "arg_max")
      arg_max(r, root, out);
    else if (name == "reshape")
      reshape_copy(r, root, out);
    else
      throw InternalError("lower: no way to compute op '" + std::string(name) + "'");
  }
  // What must also lie elsewhere. State that is copied from other state goes through memory of its own first.
  std::vector<std::pair<ValueId, View>> last;
  for (ValueId v = 0; v < graph.types.size(); ++v)
    for (const View& to : r.copies[v]) {
      bool from_state = r.producer[v] == UINT32_MAX && !state.empty();
      if (from_state) {
        View through = allocate(graph.type(v), {}, "swap");
        copy_out(r, v, through, out);
        last.emplace_back(v, to);
        r.storage[v] = through;
      } else {
        copy_out(r, v, to, out);
      }
    }
  for (const auto& [v, to] : last) copy_out(r, v, to, out);
}

BufferId Lowering::add_buffer(const std::string& name, DType dtype, Dim elements, Dim* base) {
  BufferId id = static_cast<BufferId>(kernel_.buffers.size());
  *base = 0;
  if (in_parallel_) {
    // Each worker has its own copy, a whole number of cache lines apart.
    Dim lines = ceil_div(elements, Dim(64)) * 64;
    *base = lines * Dim::symbol("worker");
    elements = lines * Dim::symbol("workers");
  }
  kernel_.buffers.push_back({name + "#" + std::to_string(id), dtype, std::move(elements), -1});
  return id;
}

View Lowering::allocate(const Type& type, const std::vector<int64_t>& layout, const std::string& name) {
  Shape sizes = type.shape;
  if (in_parallel_)
    for (Dim& dim : sizes) dim = largest(dim);
  Dim base;
  BufferId id = add_buffer(name.empty() ? "t" : name, type.dtype, element_count(sizes), &base);
  // In a tile strides are those of a full chunk: constants, also where the last chunk is shorter.
  View view = row_major_view(id, sizes, base);
  if (!layout.empty()) {
    Dim stride = 1;
    for (size_t k = layout.size(); k-- > 0;) {
      view.strides[static_cast<size_t>(layout[k])] = stride;
      stride *= sizes[static_cast<size_t>(layout[k])];
    }
  }
  return view;
}

Kernel Lowering::entry(const Graph& graph) {
  kernel_ = {};
  kernel_.entry = graph.name;
  for (size_t s = 0; s < module_.slots.size(); ++s) {
    const Slot& slot = module_.slots[s];
    kernel_.buffers.push_back({slot.name, slot.type.dtype, element_count(slot.type.shape), static_cast<int32_t>(s)});
  }
  auto slot_index = [&](const std::string& name) {
    for (size_t s = 0; s < module_.slots.size(); ++s)
      if (module_.slots[s].name == name) return static_cast<BufferId>(s);
    throw InternalError("lower: no slot '" + name + "'");
  };
  std::vector<View> inputs;
  for (const GraphInput& input : graph.inputs)
    inputs.push_back(row_major_view(slot_index(input.slot), graph.type(input.value).shape));
  std::vector<Destination> destinations;
  std::vector<StateWrite> state;
  for (const GraphResult& result : graph.results) {
    View view = row_major_view(slot_index(result.slot), graph.type(result.value).shape);
    auto read = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                             [&](const GraphInput& input) { return input.slot == result.slot; });
    if (read != graph.inputs.end())
      state.push_back({result.value, read->value, view});
    else
      destinations.push_back({result.value, view});
  }
  region(graph, inputs, destinations, state, kernel_.body);
  return std::move(kernel_);
}

}  // namespace lowering

KernelModule lower(const Module& module) {
  KernelModule kernels;
  kernels.slot_count = static_cast<int32_t>(module.slots.size());
  auto add = [&](const Dim& dim) { dim.collect_symbols(kernels.symbols); };
  for (const Slot& slot : module.slots)
    for (const Dim& dim : slot.type.shape) add(dim);
  kernels.symbols.push_back("workers");
  for (const Graph& graph : module.entries) kernels.kernels.push_back(lowering::Lowering(module).entry(graph));
  return kernels;
}

}  // namespace moru
