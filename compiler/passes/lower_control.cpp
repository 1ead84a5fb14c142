// Lowering of loops: scans, and batch tiles with their parallel partitions.
#include <algorithm>

#include "compiler/ir/scan_view.h"
#include "compiler/ir/substitution.h"
#include "compiler/passes/lowering.h"
#include "compiler/passes/share_loops.h"
#include "compiler/support/error.h"

namespace moru::lowering {

namespace {

// A slice's view with a time axis put in.
View with_axis(View slice, int64_t axis, const Dim& stride) {
  slice.strides.insert(slice.strides.begin() + static_cast<std::ptrdiff_t>(axis), stride);
  return slice;
}

View at_step(const View& stack, int64_t axis, const Dim& step) {
  View slice = stack;
  slice.offset += step * stack.strides[static_cast<size_t>(axis)];
  slice.strides.erase(slice.strides.begin() + static_cast<std::ptrdiff_t>(axis));
  return slice;
}

}  // namespace

void Lowering::prepare_scan(Region& r, const Node& node) {
  const Graph& g = *r.graph;
  const Graph& body = node.bodies[0];
  ScanView scan(node);
  Dim trip = scan_trip_count(g, node);
  ScanPlan plan;
  plan.from_carry.assign(scan.stacks, false);
  for (size_t j = 0; j < scan.carries; ++j) {
    ValueId carry_in = body.inputs[j].value, carry_out = body.results[j].value;
    const Type& type = g.type(node.outputs[j]);
    CarryPlace place;
    place.stride = largest(element_count(type.shape));
    // A stack of time + 1 slices serves as the carry, as the stacked output and as what the backward pass reads.
    std::vector<std::pair<size_t, bool>> stacks;  // output, true if it stacks the value before the step
    for (size_t k = 0; k < scan.stacks; ++k) {
      ValueId value = body.results[scan.carries + k].value;
      if (plan.from_carry[k] || (value != carry_in && value != carry_out)) continue;
      stacks.emplace_back(k, value == carry_in && value != carry_out);
    }
    place.stacked = !stacks.empty();
    Shape stack_shape = type.shape;
    stack_shape.insert(stack_shape.begin(), place.stacked ? trip + 1 : Dim(1));
    View stack = allocate({type.dtype, stack_shape}, {}, node.origin + ".carry");
    place.view = at_step(stack, 0, 0);
    for (auto [k, before] : stacks) {
      plan.from_carry[k] = true;
      // Forward, step t reads slice t and writes slice t+1; in reverse it reads t+1 and writes t.
      View first = place.view;
      if (before == scan.reverse) first.offset += place.stride;
      r.storage[node.outputs[scan.carries + k]] = with_axis(first, scan.output_axes[k], place.stride);
    }
    View last = place.view;
    if (place.stacked && !scan.reverse) last.offset += trip * place.stride;
    r.storage[node.outputs[j]] = last;
    plan.carries.push_back(std::move(place));
  }
  for (size_t k = 0; k < scan.stacks; ++k) {
    ValueId output = node.outputs[scan.carries + k];
    if (!r.storage[output]) r.storage[output] = allocate(g.type(output), r.layout[output], node.origin);
  }
  scan_plans_[&node] = std::move(plan);
}

void Lowering::scan(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const Graph& body = node.bodies[0];
  ScanView scan(node);
  const ScanPlan plan = scan_plans_.at(&node);
  Dim trip = scan_trip_count(g, node);
  std::string var = fresh_var("t");
  Dim step = Dim::symbol(var);
  Dim time = scan.reverse ? trip - 1 - step : step;
  auto slice = [&](const CarryPlace& place, bool after) {
    View view = place.view;
    if (place.stacked) view.offset += (after == scan.reverse ? time : time + 1) * place.stride;
    return view;
  };
  for (size_t j = 0; j < scan.carries; ++j) {
    View first = plan.carries[j].view;
    if (plan.carries[j].stacked && scan.reverse) first.offset += trip * plan.carries[j].stride;
    copy_out(r, node.inputs[j], first, out);
  }
  std::vector<View> inputs;
  for (size_t j = 0; j < scan.carries; ++j) inputs.push_back(slice(plan.carries[j], false));
  for (size_t i = 0; i < scan.sequences; ++i)
    inputs.push_back(at_step(*r.storage[node.inputs[scan.carries + i]], scan.axes[i], time));
  for (size_t i = 0; i < scan.invariants; ++i)
    inputs.push_back(*r.storage[node.inputs[scan.carries + scan.sequences + i]]);
  std::vector<Destination> destinations;
  std::vector<StateWrite> state;
  for (size_t j = 0; j < scan.carries; ++j) {
    ValueId value = body.results[j].value, old = body.inputs[j].value;
    if (plan.carries[j].stacked)
      destinations.push_back({value, slice(plan.carries[j], true)});
    else
      state.push_back({value, old, slice(plan.carries[j], true)});
  }
  for (size_t k = 0; k < scan.stacks; ++k)
    if (!plan.from_carry[k])
      destinations.push_back({body.results[scan.carries + k].value,
                              at_step(*r.storage[node.outputs[scan.carries + k]], scan.output_axes[k], time)});
  For loop{var, trip, ForKind::serial, {}};
  region(body, inputs, destinations, state, loop.body);
  out.push_back({std::move(loop), node.origin});
}

Dim Lowering::largest(const Dim& dim) const {
  return tile_symbol_.empty() ? dim : dim.substitute(tile_symbol_, tile_rows_);
}

void Lowering::prepare_tile(Region& r, const Node& node) {
  const Graph& g = *r.graph;
  size_t sums = static_cast<size_t>(node.attributes.integer("sums"));
  const int64_t partitions = node.attributes.integer("partitions");
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    Type type = g.type(node.outputs[k]);
    if (k < sums) {
      // One partial sum per partition, whole cache lines apart; the total ends up in the first.
      Dim slice = ceil_div(element_count(type.shape), Dim(64)) * 64;
      View all = allocate({type.dtype, {Dim(partitions) * slice}}, {}, node.origin + ".sum");
      r.storage[node.outputs[k]] = row_major_view(all.buffer, type.shape, all.offset);
    } else if (!r.storage[node.outputs[k]]) {
      r.storage[node.outputs[k]] = allocate(type, r.layout[node.outputs[k]], node.origin);
    }
  }
}

// Chunks that leave nothing but rows are independent of each other. A batch of one chunk has code of its own, in which
// values lie as close together as its rows allow and no thread is asked.
void Lowering::row_tile(Region& r, const Node& node, Block& out) {
  const Graph& body = node.bodies[0];
  const size_t slices = static_cast<size_t>(node.attributes.integer("slices"));
  const std::string symbol = node.attributes.string("symbol");
  const Dim chunk = node.attributes.integer("chunk");
  const Dim batch = r.graph->type(node.inputs[0]).shape[0];
  check_internal(!in_parallel_, "tiles do not nest");
  const auto emit = [&](const Dim& first_row, Block& block) {
    std::vector<View> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      View view = *r.storage[node.inputs[i]];
      if (i < slices) view.offset += first_row * view.strides[0];
      inputs.push_back(view);
    }
    View first = allocate({DType::i64, {}}, {}, "first_row");
    block.push_back({Store{{first.buffer, first.offset, nullptr}, expr::index(first_row), false}, node.origin});
    inputs.push_back(first);
    std::vector<Destination> destinations;
    for (size_t k = 0; k < body.results.size(); ++k) {
      View view = *r.storage[node.outputs[k]];
      view.offset += first_row * view.strides[0];
      destinations.push_back({body.results[k].value, view});
    }
    region(body, inputs, destinations, {}, block);
  };
  const Dim has_several = min(Dim(1), floor_div(batch, chunk + 1));

  For several{fresh_var("several"), has_several, ForKind::serial, {}};
  const std::string chunk_var = fresh_var("c");
  For over_chunks{chunk_var, ceil_div(batch, chunk), ForKind::parallel, {}};
  const Dim first_row = Dim::symbol(chunk_var) * chunk;
  in_parallel_ = true;
  tile_symbol_ = symbol;
  tile_rows_ = chunk;
  emit(first_row, over_chunks.body);
  in_parallel_ = false;
  tile_symbol_.clear();
  Substitution(symbol, min(chunk, batch - first_row)).apply(over_chunks.body);
  several.body.push_back({std::move(over_chunks), node.origin});
  out.push_back({std::move(several), node.origin});

  For one{fresh_var("one"), Dim(1) - has_several, ForKind::serial, {}};
  const size_t own_buffers = kernel_.buffers.size();
  emit(0, one.body);
  Substitution(symbol, batch).apply(one.body);
  for (size_t b = own_buffers; b < kernel_.buffers.size(); ++b)
    kernel_.buffers[b].elements = kernel_.buffers[b].elements.substitute(symbol, min(chunk, batch));
  out.push_back({std::move(one), node.origin});
}

void Lowering::tile(Region& r, const Node& node, Block& out) {
  if (node.attributes.integer("sums") == 0) return row_tile(r, node, out);
  const Graph& g = *r.graph;
  const Graph& body = node.bodies[0];
  const size_t slices = static_cast<size_t>(node.attributes.integer("slices")),
               sums = static_cast<size_t>(node.attributes.integer("sums"));
  const Dim chunk = node.attributes.integer("chunk");
  const Dim batch = g.type(node.inputs[0]).shape[0];
  const int64_t partitions = node.attributes.integer("partitions");
  const Dim chunks = ceil_div(batch, chunk), used = min(Dim(partitions), chunks);
  const std::string partition_var = fresh_var("p"), chunk_var = fresh_var("c");
  const Dim partition = Dim::symbol(partition_var);
  // Partition p takes the chunks [p*chunks/used, (p+1)*chunks/used).
  const Dim begin = floor_div(partition * chunks, max(used, 1)),
            end = floor_div((partition + 1) * chunks, max(used, 1));
  const Dim first_row = (begin + Dim::symbol(chunk_var)) * chunk;
  const Dim rows = min(chunk, batch - first_row);

  check_internal(!in_parallel_, "tiles do not nest");
  in_parallel_ = true;
  tile_symbol_ = node.attributes.string("symbol");
  tile_rows_ = chunk;
  For over_chunks{chunk_var, end - begin, ForKind::serial, {}};
  std::vector<View> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    View view = *r.storage[node.inputs[i]];
    if (i < slices) view.offset += first_row * view.strides[0];
    inputs.push_back(view);
  }
  View first = allocate({DType::i64, {}}, {}, "first_row");
  over_chunks.body.push_back(
      {Store{{first.buffer, first.offset, nullptr}, expr::index(first_row), false}, node.origin});
  inputs.push_back(first);
  std::vector<Destination> destinations;
  std::vector<View> gathered;
  for (size_t k = 0; k < body.results.size(); ++k) {
    ValueId value = body.results[k].value;
    if (k < sums) {
      gathered.push_back(allocate(body.type(value), {}, "part"));
      destinations.push_back({value, gathered.back()});
    } else {
      View view = *r.storage[node.outputs[k]];
      view.offset += first_row * view.strides[0];
      destinations.push_back({value, view});
    }
  }
  region(body, inputs, destinations, {}, over_chunks.body);
  for (size_t k = 0; k < sums; ++k) {
    const Type& type = g.type(node.outputs[k]);
    Dim elements = element_count(type.shape), slice = ceil_div(elements, Dim(64)) * 64;
    std::string i = fresh_var("i");
    View total = *r.storage[node.outputs[k]];
    Access target{total.buffer, total.offset + partition * slice + Dim::symbol(i), nullptr};
    Expr part = load({gathered[k].buffer, gathered[k].offset, {Dim(1)}}, {Dim::symbol(i)});
    Expr sum = expr::load(kernel_.buffers[target.buffer], target.buffer, target.offset) + part;
    Expr is_first = expr::binary(ExprOp::equal, expr::index(Dim::symbol(chunk_var)), expr::integer(0, DType::i64));
    Block store;
    store.push_back({Store{target, expr::select(is_first, part, sum), false}, node.origin});
    for (Statement& s : nest({elements}, {i}, std::move(store), true)) over_chunks.body.push_back(std::move(s));
  }
  Substitution(tile_symbol_, rows).apply(over_chunks.body);
  in_parallel_ = false;
  tile_symbol_.clear();
  For over_partitions{partition_var, used, ForKind::parallel, {}};
  over_partitions.body.push_back({std::move(over_chunks), node.origin});
  out.push_back({std::move(over_partitions), node.origin});
  for (size_t k = 0; k < sums; ++k) {
    const Type& type = g.type(node.outputs[k]);
    Dim elements = element_count(type.shape), slice = ceil_div(elements, Dim(64)) * 64;
    std::string p = fresh_var("p"), i = fresh_var("i"), piece = fresh_var("piece");
    const View total = *r.storage[node.outputs[k]];
    // Large sums piece by piece, by whoever is free.
    const bool is_shared = elements.is_constant() && elements.constant() > shared_elements;
    const Dim begins = is_shared ? Dim::symbol(piece) * shared_elements : Dim(0);
    const Dim here = is_shared ? min(Dim(shared_elements), elements - begins) : elements;
    Expr other = expr::load(kernel_.buffers[total.buffer], total.buffer,
                            total.offset + (Dim::symbol(p) + 1) * slice + begins + Dim::symbol(i));
    Block add;
    add.push_back({Store{{total.buffer, total.offset + begins + Dim::symbol(i), nullptr}, other, true}, node.origin});
    Block loops = nest({here}, {i}, std::move(add), true);
    For over_partials{p, used - 1, ForKind::serial, std::move(loops)};
    if (!is_shared) {
      out.push_back({std::move(over_partials), node.origin});
      continue;
    }
    // None where there is one partial sum.
    For over_pieces{piece, min(Dim(1), used - 1) * ceil_div(elements, Dim(shared_elements)).constant(), ForKind::parallel, {}};
    over_pieces.body.push_back({std::move(over_partials), node.origin});
    out.push_back({std::move(over_pieces), node.origin});
  }
}

}  // namespace moru::lowering
