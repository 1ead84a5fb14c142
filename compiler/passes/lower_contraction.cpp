// Lowering of what is neither elementwise nor a loop: contractions, packing, concatenation, padding, scattering.
#include <algorithm>

#include "compiler/ops/contraction.h"
#include "compiler/passes/lowering.h"
#include "compiler/support/error.h"

namespace moru::lowering {

namespace {

struct Labels {
  std::map<char, Dim> extent;
  std::map<char, Dim> at;  // the loop variable, or 0 where the extent is 1

  Index index(const std::string& labels) const {
    Index out;
    for (char label : labels) out.push_back(at.at(label));
    return out;
  }
};

}  // namespace

void Lowering::contraction(Region& r, const Group& group, Block& out) {
  const Graph& g = *r.graph;
  const uint32_t n = group.members[0];
  const Node& node = g.nodes[n];
  const ValueId value = node.outputs[0];
  check_internal(!node.attributes.has("precision"), "narrow_products runs before lower");
  const DType dtype = g.type(value).dtype;
  ContractSpec spec = parse_contract_spec(node.attributes.string("spec"));
  Labels labels;
  std::map<char, std::string> var;
  auto add_labels = [&](const std::string& names, const Shape& shape) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (labels.extent.count(names[i])) continue;
      labels.extent[names[i]] = shape[i];
      if (shape[i].is_constant(1)) {
        labels.at[names[i]] = 0;
      } else {
        var[names[i]] = fresh_var(std::string(1, names[i]).c_str());
        labels.at[names[i]] = Dim::symbol(var[names[i]]);
      }
    }
  };
  add_labels(spec.a, g.type(node.inputs[0]).shape);
  add_labels(spec.b, g.type(node.inputs[1]).shape);
  const View a = *r.storage[node.inputs[0]], b = *r.storage[node.inputs[1]];
  Access at_a{a.buffer, a.at(labels.index(spec.a)), nullptr}, at_b{b.buffer, b.at(labels.index(spec.b)), nullptr};
  const Index result_index = labels.index(spec.result);

  std::string summed;
  for (const std::string* names : {&spec.a, &spec.b})
    for (char label : *names)
      if (!spec.in_result(label) && var.count(label) && summed.find(label) == std::string::npos) summed += label;

  if (r.form[n] == ContractionForm::tiled) {
    char last = 0;
    for (char label : spec.result)
      if (var.count(label)) last = label;
    bool swapped = spec.in_a(last);
    Contraction c;
    c.type = dtype;
    c.a = swapped ? at_b : at_a;
    c.b = swapped ? at_a : at_b;
    const std::string& column_labels = swapped ? spec.a : spec.b;
    const std::string& row_labels = swapped ? spec.b : spec.a;
    Shape batch_extents;
    std::vector<std::string> batch_vars;
    for (char label : spec.result) {
      if (!var.count(label)) continue;
      bool in_rows = row_labels.find(label) != std::string::npos,
           in_columns = column_labels.find(label) != std::string::npos;
      if (in_rows && in_columns) {
        batch_extents.push_back(labels.extent[label]);
        batch_vars.push_back(var[label]);
      } else {
        (in_rows ? c.rows : c.columns).push_back({var[label], labels.extent[label]});
      }
    }
    // The depth in the order in which b lies in memory.
    std::stable_sort(summed.begin(), summed.end(),
                     [&](char x, char y) { return column_labels.find(x) < column_labels.find(y); });
    for (char label : summed) c.depth.push_back({var[label], labels.extent[label]});
    Reader reader{*this, r, r.group_of[n], value};
    for (uint32_t member : store_order(r, group)) {
      ValueId v = g.nodes[member].outputs[0];
      if (!r.stored[v]) continue;
      const View& view = *r.storage[v];
      c.epilogue.push_back(store_into(view, result_index, reader.read(v, result_index)));
    }
    if (c.epilogue.empty()) return;
    Block inner;
    inner.push_back({std::move(c), node.origin});
    for (Statement& s : nest(batch_extents, batch_vars, std::move(inner), false)) out.push_back(std::move(s));
    return;
  }

  const View& to = *r.storage[value];
  Access target{to.buffer, to.at(result_index), nullptr};
  const auto factor = [&](const Access& at) {
    Expr element = expr::load(kernel_.buffers[at.buffer], at.buffer, at.offset);
    return element->type == dtype ? element : expr::convert(std::move(element), dtype);
  };
  Expr product = factor(at_a) * factor(at_b);
  std::string results;
  for (char label : spec.result)
    if (var.count(label)) results += label;
  auto loops = [&](const std::string& names, Block inner, bool vector) {
    Shape extents;
    std::vector<std::string> vars;
    for (char label : names) {
      extents.push_back(labels.extent[label]);
      vars.push_back(var[label]);
    }
    return nest(extents, vars, std::move(inner), vector);
  };
  Block statements;
  if (summed.empty()) {
    statements.push_back({Store{target, product, false}, node.origin});
    statements = loops(results, std::move(statements), true);
  } else if (r.form[n] == ContractionForm::dot || results.empty()) {
    // Fold along the summed axis that is contiguous in both operands, or else the last one.
    char along = summed.back();
    for (char label : summed) {
      bool contiguous = true;
      for (auto [names, view] : {std::pair{&spec.a, &a}, std::pair{&spec.b, &b}})
        if (size_t i = names->find(label); i == std::string::npos || !view->strides[i].is_constant(1))
          contiguous = false;
      if (contiguous) along = label;
    }
    std::string outer = summed;
    outer.erase(outer.find(along), 1);
    statements.push_back(
        {Reduce{var[along], labels.extent[along], ReduceOp::add, product, target, !outer.empty()}, node.origin});
    statements = loops(outer, std::move(statements), false);
    if (!outer.empty())
      statements.insert(statements.begin(), {Store{target, expr::constant(0.0, dtype), false}, node.origin});
    statements = loops(results, std::move(statements), false);
  } else {
    Block zero;
    zero.push_back({Store{target, expr::constant(0.0, dtype), false}, node.origin});
    for (Statement& s : loops(results, std::move(zero), true)) out.push_back(std::move(s));
    Expr sum = expr::fma(product->args[0], product->args[1],
                         expr::load(kernel_.buffers[target.buffer], target.buffer, target.offset));
    statements.push_back({Store{target, sum, false}, node.origin});
    statements = loops(summed, loops(results, std::move(statements), true), false);
  }
  for (Statement& s : statements) out.push_back(std::move(s));
}

void Lowering::pack(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const Shape& from = g.type(node.inputs[0]).shape;
  const View& operand = *r.storage[node.inputs[0]];
  const View& result = *r.storage[node.outputs[0]];
  const auto& permutation = node.attributes.integers("permutation");
  // [batch..., rows..., columns...] -> [batch..., columns..., rows...] is, for each of the batch, the exchange of two merged
  // axes.
  size_t batch = 0;
  while (batch < permutation.size() && static_cast<size_t>(permutation[batch]) == batch) ++batch;
  const size_t axes = permutation.size() - batch;
  const size_t rows = axes > 0 ? static_cast<size_t>(permutation[batch]) - batch : 0;
  bool rotation = axes > 0;
  for (size_t i = 0; i < axes; ++i) rotation = rotation && static_cast<size_t>(permutation[batch + i]) == batch + (i + rows) % axes;
  if (rotation && is_row_major(result, g.type(node.outputs[0]).shape)) {
    const auto part = [](const auto& list, size_t begin, size_t end) {
      return std::decay_t<decltype(list)>(list.begin() + static_cast<std::ptrdiff_t>(begin), list.begin() + static_cast<std::ptrdiff_t>(end));
    };
    const Shape row_shape = part(from, batch, batch + rows), column_shape = part(from, batch + rows, from.size());
    const Dim row_count = element_count(row_shape), column_count = element_count(column_shape);
    const Loops each = loops_over(part(from, 0, batch));
    const View inner{operand.buffer, operand.offset, part(operand.strides, batch, from.size())};
    const auto matrix = reshape_view(inner, part(from, batch, from.size()), {row_count, column_count});
    if (matrix && (matrix->strides[1].is_constant(1) || column_count.is_constant(1))) {
      Dim source = matrix->offset, target = result.offset;
      for (size_t i = 0; i < batch; ++i) {
        source += each.index[i] * operand.strides[i];
        target += each.index[i] * result.strides[i];
      }
      Block exchange;
      exchange.push_back({Transpose{row_count,
                                    column_count,
                                    {matrix->buffer, source, nullptr},
                                    {result.buffer, target, nullptr},
                                    matrix->strides[0],
                                    row_count},
                          node.origin});
      for (Statement& s : nest(each, std::move(exchange), false)) out.push_back(std::move(s));
      return;
    }
  }
  View back = result;
  for (size_t i = 0; i < permutation.size(); ++i) back.strides[static_cast<size_t>(permutation[i])] = result.strides[i];
  copy_out(r, node.inputs[0], back, out);
}

void Lowering::concat(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const View& whole = *r.storage[node.outputs[0]];
  int64_t axis = node.attributes.integer("axis");
  size_t at = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(whole.strides.size()) : axis);
  Dim begin = 0;
  for (ValueId part : node.inputs) {
    View view = whole;
    view.offset += begin * whole.strides[at];
    copy_out(r, part, view, out);
    begin += g.type(part).shape[at];
  }
}

void Lowering::pad(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const View& whole = *r.storage[node.outputs[0]];
  const Shape& shape = g.type(node.outputs[0]).shape;
  const Loops loops = loops_over(shape);
  DType dtype = g.type(node.outputs[0]).dtype;
  const double value = node.attributes.real("value");
  Block zero;
  zero.push_back(
      {Store{{whole.buffer, whole.at(loops.index), nullptr},
             is_float(dtype) ? expr::constant(value, dtype) : expr::integer(static_cast<int64_t>(value), dtype),
             false},
       node.origin});
  for (Statement& s : nest(loops, std::move(zero), true)) out.push_back(std::move(s));
  int64_t axis = node.attributes.integer("axis");
  size_t at = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis);
  View inner = whole;
  inner.offset += node.attributes.shape("before")[0] * whole.strides[at];
  copy_out(r, node.inputs[0], inner, out);
}

void Lowering::scatter_add(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const Type& indices = g.type(node.inputs[0]);
  const Type& updates = g.type(node.inputs[1]);
  const Type& result = g.type(node.outputs[0]);
  const View& to = *r.storage[node.outputs[0]];
  const Loops all = loops_over(result.shape);
  Block zero;
  zero.push_back(
      {Store{{to.buffer, to.at(all.index), nullptr}, expr::constant(0.0, result.dtype), false}, node.origin});
  for (Statement& s : nest(all, std::move(zero), true)) out.push_back(std::move(s));

  Shape outer, inner;
  std::vector<std::string> outer_vars, inner_vars;
  Index index(updates.shape.size(), Dim(0));
  for (size_t i = 0; i < updates.shape.size(); ++i) {
    if (updates.shape[i].is_constant(1)) continue;
    bool trailing = i >= indices.shape.size();
    (trailing ? inner : outer).push_back(updates.shape[i]);
    (trailing ? inner_vars : outer_vars).push_back(fresh_var("i"));
    index[i] = Dim::symbol((trailing ? inner_vars : outer_vars).back());
  }
  Reader reader{*this, r, UINT32_MAX - 1};
  Expr row = reader.read(node.inputs[0],
                         Index(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(indices.shape.size())));
  if (row->type != DType::i64) row = expr::convert(row, DType::i64);
  row = expr::binary(ExprOp::max, row, expr::integer(0, DType::i64));
  row = expr::binary(ExprOp::min, row, expr::index(result.shape[0] - 1));
  Index rest(result.shape.size(), Dim(0));
  std::copy(index.begin() + static_cast<std::ptrdiff_t>(indices.shape.size()), index.end(), rest.begin() + 1);
  Store added = store_into(to, rest, reader.read(node.inputs[1], index), true);
  added.access.dynamic = row * expr::index(to.strides[0]);
  Block store;
  store.push_back(
      {std::move(added), node.origin});
  Block loops = nest(inner, inner_vars, std::move(store), true);
  for (Statement& s : nest(outer, outer_vars, std::move(loops), false)) out.push_back(std::move(s));
}

void Lowering::window_sum(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const Type& result = g.type(node.outputs[0]);
  const View& to = *r.storage[node.outputs[0]];
  const Loops all = loops_over(result.shape);
  Block zero;
  zero.push_back({Store{{to.buffer, to.at(all.index), nullptr},
                        is_float(result.dtype) ? expr::constant(0.0, result.dtype) : expr::integer(0, result.dtype),
                        false},
                  node.origin});
  for (Statement& s : nest(all, std::move(zero), true)) out.push_back(std::move(s));

  // The elements of y under the windows, as a view with the axes of x.
  View windows = to;
  const Node* last = &node;
  for (;; last = &g.nodes[r.producer[last->inputs[0]]]) {
    const int64_t axis = last->attributes.integer("axis");
    const size_t at = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(windows.strides.size()) : axis);
    const Dim step = windows.strides[at];
    windows.strides[at] = step * last->attributes.integer("stride");
    windows.strides.insert(windows.strides.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                           step * last->attributes.integer("dilation"));
    const uint32_t before = r.producer[last->inputs[0]];
    if (before == UINT32_MAX || !r.absorbed[before]) break;
  }
  const ValueId x = last->inputs[0];
  const Loops loops = loops_over(g.type(x).shape);
  Reader reader{*this, r, UINT32_MAX - 1};
  Block store;
  store.push_back(
      {store_into(windows, loops.index, reader.read(x, loops.index), true), node.origin});
  for (Statement& s : nest(loops, std::move(store), true)) out.push_back(std::move(s));
}

void Lowering::arg_max(Region& r, const Node& node, Block& out) {
  // The least index whose element equals the maximum.
  const Graph& g = *r.graph;
  const Type& input = g.type(node.inputs[0]);
  int64_t axis = node.attributes.integer("axis");
  size_t along = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(input.shape.size()) : axis);
  const View& to = *r.storage[node.outputs[0]];
  View greatest = allocate({input.dtype, g.type(node.outputs[0]).shape}, {}, "greatest");
  Shape extents;
  std::vector<std::string> vars;
  Index index(input.shape.size(), Dim(0)), result;
  for (size_t i = 0; i < input.shape.size(); ++i) {
    if (i == along) continue;
    if (!input.shape[i].is_constant(1)) {
      extents.push_back(input.shape[i]);
      vars.push_back(fresh_var("i"));
      index[i] = Dim::symbol(vars.back());
    }
    result.push_back(index[i]);
  }
  std::string var = fresh_var("k");
  index[along] = Dim::symbol(var);
  const View& operand = *r.storage[node.inputs[0]];
  Expr element = load(operand, index), best = load(greatest, result);
  DType dtype = g.type(node.outputs[0]).dtype;
  Expr position = dtype == DType::i64 ? expr::index(index[along]) : expr::convert(expr::index(index[along]), dtype);
  Expr far = expr::integer(dtype == DType::i64 ? INT64_MAX : INT32_MAX, dtype);
  Expr candidate = expr::select(expr::binary(ExprOp::equal, element, best), position, far);
  Block inner;
  inner.push_back(
      {Reduce{var, input.shape[along], ReduceOp::max, element, {greatest.buffer, greatest.at(result), nullptr}, false},
       node.origin});
  inner.push_back(
      {Reduce{var, input.shape[along], ReduceOp::min, candidate, {to.buffer, to.at(result), nullptr}, false},
       node.origin});
  for (Statement& s : nest(extents, vars, std::move(inner), false)) out.push_back(std::move(s));
}

void Lowering::reshape_copy(Region& r, const Node& node, Block& out) {
  const Graph& g = *r.graph;
  const Shape& from = g.type(node.inputs[0]).shape;
  auto view = reshape_view(*r.storage[node.outputs[0]], g.type(node.outputs[0]).shape, from);
  check_internal(view.has_value(), "a reshape's own memory is contiguous");
  copy_out(r, node.inputs[0], *view, out);
}

}  // namespace moru::lowering
