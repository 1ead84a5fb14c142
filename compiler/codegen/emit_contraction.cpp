// Contractions as register tiles: some rows times some vectors of columns are kept in registers along the whole depth,
// so that each element is one chain of multiply-adds in the order that the semantics fix.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <unordered_set>

#include <llvm/IR/IntrinsicsX86.h>

#include "compiler/codegen/emitter.h"
#include "compiler/support/error.h"

namespace moru {

using llvm::Type;
using llvm::Value;

namespace {

using Axes = std::vector<ContractionAxis>;

// What the expressions of a contraction address. They share their parts: each is visited once.
struct Uses {
  std::vector<const Dim*> dims;
  std::unordered_set<BufferId> loaded;
  std::unordered_set<const ExprNode*> visited;

  void add(const Expr& expr) {
    if (!expr || !visited.insert(expr.get()).second) return;
    if (expr->op == ExprOp::index) dims.push_back(&expr->dim);
    if (expr->op == ExprOp::load) {
      loaded.insert(expr->access.buffer);
      add(expr->access);
    }
    for (const Expr& argument : expr->args) add(argument);
  }
  void add(const Access& access) {
    dims.push_back(&access.offset);
    add(access.dynamic);
  }
};

// Joins neighbouring axes over which every address runs as over one long axis. The outer one's variable becomes 0. Where
// elements go by pairs, so do those of the long axis, or the axes are left apart.
void merge_axes(Axes& axes, const std::vector<const Dim*>& dims, std::vector<std::string>& zeros, bool by_pairs = false) {
  for (size_t i = axes.size(); i-- > 1;) {
    ContractionAxis& outer = axes[i - 1];
    ContractionAxis& inner = axes[i];
    if (by_pairs && !(inner.extent.is_constant() && inner.extent.constant() % 2 == 0)) return;
    const bool mergeable = std::all_of(dims.begin(), dims.end(), [&](const Dim* dim) {
      const std::optional<Dim> outer_stride = dim->coefficient(outer.var), inner_stride = dim->coefficient(inner.var);
      return outer_stride && inner_stride && !inner_stride->contains(outer.var) && *outer_stride == inner.extent * *inner_stride;
    });
    if (!mergeable) continue;
    zeros.push_back(outer.var);
    outer = {inner.var, outer.extent * inner.extent};
    axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

bool is_unit(const std::optional<Dim>& stride) { return stride && stride->is_constant(1); }

bool uses(const Expr& expr, const std::string& variable) {
  Uses used;
  used.add(expr);
  return std::any_of(used.dims.begin(), used.dims.end(), [&](const Dim* dim) { return dim->contains(variable); });
}

}  // namespace

/// A contraction whose axes are put in order: `row` is tiled by `shape.rows`, `column` by vectors, the others are loops.
struct Emitter::Tile {
  const Contraction& contraction;
  Axes outer_rows, outer_columns, depth;
  ContractionAxis row, column;
  Access scalars, vectors;  // a and b, or b and a where the rows are the vectors
  int lanes = 1;
  TileShape shape;
  bool by_pairs = false;  // of bf16: two steps of the depth at once
  int epilogue_size = 0;
  bool epilogue_rereads = false;  // a store's value reads what an earlier one wrote
  // The block of columns being emitted:
  std::vector<ColumnPiece> pieces;
  Binding first_column;
  Value* mask = nullptr;  // of a single piece whose width is known at run time only
  Value* scratch = nullptr;

  Value* mask_of(Emitter& emitter, const ColumnPiece& piece) const {
    return mask ? mask : piece.active < piece.lanes ? emitter.constant_mask(piece.active, piece.lanes) : nullptr;
  }
  Binding column_of(const ColumnPiece& piece) const {
    return {first_column.base, first_column.plus + piece.offset, first_column.depth};
  }
};

const FunctionParameter* Emitter::find_parameter(std::string_view name) const {
  if (!outlined_) return nullptr;
  const std::vector<FunctionParameter>& all = outlined_->parameters;
  const auto found = std::find_if(all.begin(), all.end(), [&](const FunctionParameter& p) { return p.name == name; });
  return found == all.end() ? nullptr : &*found;
}

int64_t Emitter::nominal_extent(const Dim& extent) const {
  return std::max<int64_t>(1, extent.evaluate([&](std::string_view name) -> int64_t {
    const FunctionParameter* parameter = find_parameter(name);
    return parameter ? parameter->nominal : 0;
  }));
}

void Emitter::emit_contraction(const Contraction& contraction) {
  const auto nominal = [&](const Dim& extent) { return nominal_extent(extent); };
  Tile tile{contraction, {}, {}, contraction.depth, {}, {}, contraction.a, contraction.b, 1, {}, false, 0, false, {}, {}, nullptr, nullptr};
  tile.by_pairs = kernel_->buffers[contraction.a.buffer].dtype == DType::bf16;
  std::vector<std::string> zeros;
  Uses outputs, depth;
  outputs.add(contraction.init);
  for (const Store& stored : contraction.epilogue) {
    outputs.add(stored.access);
    outputs.add(stored.value);
    tile.epilogue_size += 2 + expression_size(stored.value) + (stored.accumulate ? 2 : 0);
  }
  for (const Store& writer : contraction.epilogue) {
    tile.epilogue_rereads = tile.epilogue_rereads || outputs.loaded.count(writer.access.buffer) != 0;
  }
  Uses rows = outputs, columns = outputs;
  rows.add(contraction.a);
  columns.add(contraction.b);
  depth.add(contraction.a);
  depth.add(contraction.b);
  tile.outer_rows = contraction.rows;
  tile.outer_columns = contraction.columns;
  merge_axes(tile.outer_rows, rows.dims, zeros);
  merge_axes(tile.outer_columns, columns.dims, zeros);
  merge_axes(tile.depth, depth.dims, zeros, tile.by_pairs);
  for (const std::string& variable : zeros) bindings_[variable] = {};
  // A row of its own where there are none; '#' is in no user's name.
  if (tile.outer_rows.empty()) tile.outer_rows.push_back({"#row", 1});
  if (tile.outer_columns.empty()) tile.outer_columns.push_back({"#column", 1});

  // Few columns and rows that lie in memory: vectors run along the rows.
  const ContractionAxis& last_row = tile.outer_rows.back();
  const ContractionAxis& last_column = tile.outer_columns.back();
  const bool rows_are_contiguous = is_unit(contraction.a.offset.coefficient(last_row.var)) && !contraction.a.dynamic;
  const bool columns_are_contiguous = is_unit(contraction.b.offset.coefficient(last_column.var)) && !contraction.b.dynamic;
  if (rows_are_contiguous && nominal(last_row.extent) > nominal(last_column.extent) &&
      (!columns_are_contiguous || nominal(last_column.extent) * 2 <= width_)) {
    std::swap(tile.outer_rows, tile.outer_columns);
    std::swap(tile.scalars, tile.vectors);
  }
  tile.column = tile.outer_columns.back();
  tile.outer_columns.pop_back();
  tile.lanes = std::max(1, static_cast<int>(width_ * 4 / dtype_bytes(contraction.type)));
  int64_t depth_steps = 1;
  for (const ContractionAxis& axis : tile.depth) depth_steps *= nominal(axis.extent);
  const int64_t operand_bytes = dtype_bytes(kernel_->buffers[tile.vectors.buffer].dtype);
  if (tile.by_pairs) depth_steps = (depth_steps + 1) / 2;
  int64_t vector_stride = 0;
  if (!tile.depth.empty()) {
    const std::optional<Dim> stride = tile.vectors.offset.coefficient(tile.depth.back().var);
    if (stride && stride->is_constant()) vector_stride = std::abs(stride->constant()) * operand_bytes * (tile.by_pairs ? 2 : 1);
  }
  // The tile's rows are those of one row axis, the others are loops around it: the axis along which results are closest
  // together in memory, unless another gives much cheaper tiles. Rows whose number is known need no ladder of edges.
  const auto distance = [&](const ContractionAxis& axis) {
    const std::optional<Dim> stride = contraction.epilogue.front().access.offset.coefficient(axis.var);
    return stride && stride->is_constant() ? std::abs(stride->constant()) : INT64_MAX;
  };
  double least_cycles = 0;
  size_t row_axis = 0;
  std::stable_sort(tile.outer_rows.begin(), tile.outer_rows.end(),
                   [&](const auto& x, const auto& y) { return distance(x) > distance(y); });
  for (size_t i = tile.outer_rows.size(); i-- > 0;) {
    const Dim& extent = tile.outer_rows[i].extent;
    const TileShape shape = choose_tile({nominal(extent), nominal(tile.column.extent), depth_steps, extent.is_constant(), vector_stride},
                                        tile.lanes, target_);
    double cycles = shape.cycles * (extent.is_constant() ? 1.0 : 1.02);
    for (size_t other = 0; other < tile.outer_rows.size(); ++other)
      if (other != i) cycles *= static_cast<double>(nominal(tile.outer_rows[other].extent));
    if (least_cycles > 0 && cycles >= 0.95 * least_cycles) continue;
    least_cycles = cycles;
    row_axis = i;
    tile.shape = shape;
  }
  tile.row = tile.outer_rows[row_axis];
  tile.outer_rows.erase(tile.outer_rows.begin() + static_cast<std::ptrdiff_t>(row_axis));

  const auto all_columns = [&] {
    // A batch of one has a tile of its own: large weights are read once, so in long stretches of their rows.
    const TileShape one_row = {1, 16};
    const std::optional<std::string> symbol = tile.row.extent.as_symbol();
    const FunctionParameter* parameter = symbol ? find_parameter(*symbol) : nullptr;
    const bool may_be_one = parameter && parameter->is_symbol && tile.shape.rows > 1 && tile.column.extent.is_constant() &&
                            depth_steps * tile.column.extent.constant() * dtype_bytes(contraction.type) > target_.l2_bytes / 4;
    if (!may_be_one) return emit_column_blocks(tile);
    Value* is_one = builder_.CreateICmpEQ(dim_value(tile.row.extent), number(1));
    const TileShape many_rows = tile.shape;
    const Dim extent = tile.row.extent;
    emit_if(is_one, [&] {
      tile.shape = one_row;
      tile.row.extent = 1;
      emit_column_blocks(tile);
    });
    tile.shape = many_rows;
    tile.row.extent = extent;
    tile.scratch = nullptr;  // of the other shape's size
    emit_if(builder_.CreateNot(is_one), [&] { emit_column_blocks(tile); });
  };
  const std::function<void(size_t)> loops = [&](size_t axis) {
    if (axis == tile.outer_columns.size()) return all_columns();
    emit_loop(number(0), dim_value(tile.outer_columns[axis].extent), 1, [&](Value* index) {
      bindings_[tile.outer_columns[axis].var] = {index, 0, depth_};
      loops(axis + 1);
    });
  };
  loops(0);
}

// Blocks of columns are outermost, so that their part of b stays in the first cache while the rows go by.
void Emitter::emit_column_blocks(Tile& tile) {
  const int lanes = tile.lanes;
  const int64_t step = int64_t{lanes} * tile.shape.vectors;
  const auto block = [&](std::vector<ColumnPiece> pieces, Value* base, int64_t plus, Value* mask) {
    tile.pieces = std::move(pieces);
    tile.first_column = {base, plus, depth_};
    tile.mask = mask;
    emit_row_blocks(tile);
  };
  if (tile.column.extent.is_constant()) {
    const int64_t columns = std::max<int64_t>(tile.column.extent.constant(), 0);
    const int64_t whole = columns / step * step;
    emit_loop(number(0), number(whole), step, [&](Value* index) {
      block(cut_columns(step, lanes, target_.has_masks), index, 0, nullptr);
    });
    const std::vector<ColumnPiece> rest = cut_columns(columns - whole, lanes, target_.has_masks);
    for (size_t begin = 0; begin < rest.size(); begin += static_cast<size_t>(tile.shape.vectors)) {
      const size_t end = std::min(rest.size(), begin + static_cast<size_t>(tile.shape.vectors));
      std::vector<ColumnPiece> pieces(rest.begin() + static_cast<std::ptrdiff_t>(begin), rest.begin() + static_cast<std::ptrdiff_t>(end));
      block(std::move(pieces), nullptr, whole, nullptr);
    }
    return;
  }
  Value* count = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, dim_value(tile.column.extent), number(0));
  Value* done = number(0);
  if (tile.shape.vectors > 1) {
    Value* whole = builder_.CreateSub(count, builder_.CreateURem(count, number(step)));
    emit_loop(done, whole, step, [&](Value* index) { block(cut_columns(step, lanes, false), index, 0, nullptr); });
    done = whole;
  }
  const ColumnPiece one_vector{0, lanes, lanes};
  Value* vectors = builder_.CreateAnd(count, number(-int64_t{lanes}));
  emit_loop(done, vectors, lanes, [&](Value* index) { block({one_vector}, index, 0, nullptr); });
  if (lanes == 1) return;
  if (target_.has_masks) {
    emit_loop(vectors, count, lanes, [&](Value* index) {
      block({one_vector}, index, 0, mask_for(builder_.CreateSub(count, index), lanes));
    });
  } else {
    emit_loop(vectors, count, 1, [&](Value* index) { block({{0, 1, 1}}, index, 0, nullptr); });
  }
}

void Emitter::emit_row_blocks(Tile& tile) {
  const std::function<void(size_t)> loops = [&](size_t axis) {
    if (axis < tile.outer_rows.size()) {
      emit_loop(number(0), dim_value(tile.outer_rows[axis].extent), 1, [&](Value* index) {
        bindings_[tile.outer_rows[axis].var] = {index, 0, depth_};
        loops(axis + 1);
      });
      return;
    }
    const int height = tile.shape.rows;
    if (tile.row.extent.is_constant()) {
      const int64_t rows = std::max<int64_t>(tile.row.extent.constant(), 0), whole = rows / height * height;
      emit_loop(number(0), number(whole), height, [&](Value* row) { emit_tile(tile, row, height); });
      if (whole < rows) emit_tile(tile, number(whole), static_cast<int>(rows - whole));
      return;
    }
    Value* count = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, dim_value(tile.row.extent), number(0));
    Value* rest = builder_.CreateURem(count, number(height));
    Value* whole = builder_.CreateSub(count, rest);
    emit_loop(number(0), whole, height, [&](Value* row) { emit_tile(tile, row, height); });
    // The rest is the sum of the powers of two that it is written with.
    for (const int edge : edge_heights(height, 0, false)) {
      Value* is_present = builder_.CreateIsNotNull(builder_.CreateAnd(rest, number(edge)));
      Value* row = builder_.CreateAdd(whole, builder_.CreateAnd(rest, number(-2 * int64_t{edge})));
      emit_if(is_present, [&] { emit_tile(tile, row, edge); });
    }
  };
  loops(0);
}

void Emitter::emit_tile(Tile& tile, Value* row, int height) {
  const Contraction& contraction = tile.contraction;
  const DType type = contraction.type;
  Values accumulators(static_cast<size_t>(height) * tile.pieces.size());
  const bool is_one_for_all_rows = !contraction.init || !uses(contraction.init, tile.row.var);
  for (size_t j = 0; j < tile.pieces.size(); ++j) {
    const ColumnPiece& piece = tile.pieces[j];
    for (int i = 0; i < height; ++i) {
      Value*& accumulator = accumulators[static_cast<size_t>(i) * tile.pieces.size() + j];
      if (i > 0 && is_one_for_all_rows) {
        accumulator = accumulators[j];
        continue;
      }
      if (!contraction.init) {
        accumulator = llvm::Constant::getNullValue(lanes_of(scalar_type(type), piece.lanes));
        continue;
      }
      bindings_[tile.row.var] = {row, i, depth_};
      with_lanes(tile.column.var, tile.column_of(piece), piece.lanes, tile.mask_of(*this, piece),
                 [&] { accumulator = in_lanes(value(contraction.init)); });
    }
  }
  bindings_[tile.row.var] = {row, 0, depth_};
  accumulators = emit_depth(tile, 0, height, std::move(accumulators));
  emit_epilogue(tile, row, height, accumulators);
}

Emitter::Values Emitter::emit_depth(Tile& tile, size_t axis, int height, Values accumulators) {
  if (axis == tile.depth.size()) return emit_step(tile, height, accumulators);
  const bool is_innermost = axis + 1 == tile.depth.size();
  if (is_innermost && tile.by_pairs) return emit_pairs(tile, height, std::move(accumulators));
  if (is_innermost && can_walk(tile)) {
    return emit_walk(tile, height, std::move(accumulators), dim_value(tile.depth[axis].extent), 1, &Emitter::emit_step);
  }
  return emit_carry_loop(number(0), dim_value(tile.depth[axis].extent), 1, std::move(accumulators),
                         [&](Value* index, const Values& carried) {
                           bindings_[tile.depth[axis].var] = {index, 0, depth_};
                           return emit_depth(tile, axis + 1, height, carried);
                         });
}

// Whether the innermost loop of the depth can walk through both operands by pointers: where an element lies is a sum of
// what the step, the row and the column add.
bool Emitter::can_walk(const Tile& tile) const {
  const auto is_walked = [&](const Access& operand) {
    const std::string* const variables[] = {&tile.depth.back().var, &tile.row.var, &tile.column.var};
    return !operand.dynamic && std::all_of(std::begin(variables), std::end(variables), [&](const std::string* variable) {
      const std::optional<Dim> stride = operand.offset.coefficient(*variable);
      return stride && std::none_of(std::begin(variables), std::end(variables),
                                    [&](const std::string* other) { return stride->contains(*other); });
    });
  };
  return tile.scalars.buffer != tile.vectors.buffer && is_walked(tile.scalars) && is_walked(tile.vectors);
}

// The innermost loop of the depth, `elements` of it each turn, which `emit` emits. It carries a pointer into each operand,
// to where the tile begins at this step: what is left of an address is the same in every step, and nothing is multiplied in
// the loop.
Emitter::Values Emitter::emit_walk(Tile& tile, int height, Values accumulators, Value* turns, int64_t elements,
                                   StepEmitter emit) {
  const ContractionAxis& step = tile.depth.back();
  const Binding row = bindings_[tile.row.var], column = tile.first_column;
  const Access whole[] = {tile.scalars, tile.vectors};
  bindings_[step.var] = {};
  bindings_[tile.row.var] = {row.base, 0, row.depth};
  bindings_[tile.column.var] = {column.base, 0, column.depth};
  Values strides;
  for (const Access& operand : whole) {
    accumulators.push_back(element_pointer(operand.buffer, operand.offset));
    strides.push_back(dim_value(*operand.offset.coefficient(step.var) * elements));
  }
  for (Access* operand : {&tile.scalars, &tile.vectors}) {
    Dim within;
    for (const ContractionAxis* axis : {&std::as_const(tile.row), &std::as_const(tile.column), &step})
      within += *operand->offset.coefficient(axis->var) * Dim::symbol(axis->var);
    operand->offset = within;
  }
  bindings_[tile.row.var] = {nullptr, row.plus, 0};
  tile.first_column = {nullptr, column.plus, 0};
  const auto addresses = addresses_;
  Values results = emit_carry_loop(
      number(0), turns, 1, std::move(accumulators), [&](Value*, const Values& carried) {
        const size_t count = carried.size() - 2;
        for (size_t o = 0; o < 2; ++o) addresses_[whole[o].buffer] = carried[count + o];
        Values next = (this->*emit)(tile, height, {carried.begin(), carried.begin() + static_cast<std::ptrdiff_t>(count)});
        for (size_t o = 0; o < 2; ++o) {
          Type* element = memory_type(kernel_->buffers[whole[o].buffer].dtype);
          next.push_back(builder_.CreateGEP(element, carried[count + o], strides[o]));
        }
        return next;
      });
  addresses_ = addresses;
  bindings_[tile.row.var] = row;
  tile.first_column = column;
  tile.scalars = whole[0];
  tile.vectors = whole[1];
  results.resize(results.size() - 2);
  return results;
}

Emitter::Values Emitter::emit_step(Tile& tile, int height, const Values& accumulators) {
  const size_t vectors = tile.pieces.size();
  const bool floating = is_float(tile.contraction.type);
  Values b(vectors);
  for (size_t j = 0; j < vectors; ++j) {
    const ColumnPiece& piece = tile.pieces[j];
    with_lanes(tile.column.var, tile.column_of(piece), piece.lanes, tile.mask_of(*this, piece),
               [&] { b[j] = in_lanes(load_operand(tile.vectors)); });
  }
  const Binding row = bindings_[tile.row.var];
  Values results(accumulators.size());
  for (int i = 0; i < height; ++i) {
    bindings_[tile.row.var] = {row.base, row.plus + i, row.depth};
    Value* a = load_operand(tile.scalars);
    memo_.clear();
    std::map<int, Value*> broadcast;
    for (size_t j = 0; j < vectors; ++j) {
      Value*& in_all_lanes = broadcast[tile.pieces[j].lanes];
      if (!in_all_lanes) {
        const int lanes = tile.pieces[j].lanes;
        in_all_lanes = lanes == 1 ? a : builder_.CreateVectorSplat(static_cast<unsigned>(lanes), a);
      }
      const size_t at = static_cast<size_t>(i) * vectors + j;
      results[at] = floating ? fused_multiply_add(in_all_lanes, b[j], accumulators[at])
                             : builder_.CreateAdd(builder_.CreateMul(in_all_lanes, b[j]), accumulators[at]);
    }
  }
  bindings_[tile.row.var] = row;
  return results;
}

Value* Emitter::load_operand(const Access& access) {
  Value* loaded = load(access);
  return kernel_->buffers[access.buffer].dtype == DType::bf16 ? widen_bf16(loaded) : loaded;
}

// The innermost axis of the depth by pairs, and what is left by itself.
Emitter::Values Emitter::emit_pairs(Tile& tile, int height, Values accumulators) {
  const ContractionAxis& axis = tile.depth.back();
  const Dim pairs = floor_div(axis.extent, 2), rest = axis.extent - pairs * 2;
  if (can_walk(tile)) {
    accumulators = emit_walk(tile, height, std::move(accumulators), dim_value(pairs), 2, &Emitter::emit_pair_step);
  } else {
    accumulators = emit_carry_loop(number(0), dim_value(pairs * 2), 2, std::move(accumulators),
                                   [&](Value* index, const Values& carried) {
                                     bindings_[axis.var] = {index, 0, depth_};
                                     return emit_pair_step(tile, height, carried);
                                   });
  }
  if (rest.is_constant(0)) return accumulators;
  return emit_carry_loop(dim_value(pairs * 2), dim_value(axis.extent), 1, std::move(accumulators),
                         [&](Value* index, const Values& carried) {
                           bindings_[axis.var] = {index, 0, depth_};
                           return emit_step(tile, height, carried);
                         });
}

// Two neighbours along the depth as one i32, the first in its lower half.
Value* Emitter::load_pair(const Tile& tile) {
  Binding& step = bindings_[tile.depth.back().var];
  Type* pair = builder_.getInt32Ty();
  if (is_unit(tile.scalars.offset.coefficient(tile.depth.back().var)) && !tile.scalars.dynamic)
    return builder_.CreateAlignedLoad(pair, element_pointer(tile.scalars.buffer, tile.scalars.offset), llvm::Align(2));
  Value* first = builder_.CreateZExt(load(tile.scalars), pair);
  ++step.plus;
  Value* second = builder_.CreateZExt(load(tile.scalars), pair);
  --step.plus;
  return builder_.CreateOr(first, builder_.CreateShl(second, 16));
}

// The second of a pair is added before the first, as VDPBF16PS does it.
Emitter::Values Emitter::emit_pair_step(Tile& tile, int height, const Values& accumulators) {
  const size_t vectors = tile.pieces.size();
  const auto has_instruction = [&](int lanes) { return target_.has_bf16 && lanes >= 4; };
  std::vector<std::array<Value*, 2>> b(vectors);  // the first and the second, or both in one
  Binding& step = bindings_[tile.depth.back().var];
  for (size_t j = 0; j < vectors; ++j) {
    const ColumnPiece& piece = tile.pieces[j];
    for (size_t part : {0, 1}) {
      with_lanes(tile.column.var, tile.column_of(piece), piece.lanes, tile.mask_of(*this, piece),
                 [&] { b[j][part] = in_lanes(load(tile.vectors)); });
      step.plus += part == 0 ? 1 : -1;
    }
    if (has_instruction(piece.lanes)) {
      std::vector<int> interleaved;
      for (int lane = 0; lane < piece.lanes; ++lane) interleaved.insert(interleaved.end(), {lane, piece.lanes + lane});
      b[j][0] = builder_.CreateBitCast(builder_.CreateShuffleVector(b[j][0], b[j][1], interleaved),
                                       lanes_of(builder_.getBFloatTy(), 2 * piece.lanes));
    } else {
      for (Value*& part : b[j]) part = widen_bf16(part);
    }
  }
  const Binding row = bindings_[tile.row.var];
  Values results(accumulators.size());
  for (int i = 0; i < height; ++i) {
    bindings_[tile.row.var] = {row.base, row.plus + i, row.depth};
    Value* pair = load_pair(tile);
    memo_.clear();
    for (size_t j = 0; j < vectors; ++j) {
      const int lanes = tile.pieces[j].lanes;
      const size_t at = static_cast<size_t>(i) * vectors + j;
      Value* a = lanes == 1 ? pair : builder_.CreateVectorSplat(static_cast<unsigned>(lanes), pair);
      if (has_instruction(lanes)) {
        const llvm::Intrinsic::ID id = lanes == 16  ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512
                                       : lanes == 8 ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_256
                                                    : llvm::Intrinsic::x86_avx512bf16_dpbf16ps_128;
        Value* halves = builder_.CreateBitCast(a, lanes_of(builder_.getBFloatTy(), 2 * lanes));
        results[at] = builder_.CreateIntrinsic(id, {}, {accumulators[at], halves, b[j][0]});
        continue;
      }
      Type* floats = lanes_of(builder_.getFloatTy(), lanes);
      Value* first = builder_.CreateBitCast(builder_.CreateShl(a, 16), floats);
      Value* second = builder_.CreateBitCast(builder_.CreateAnd(a, llvm::ConstantInt::get(a->getType(), 0xffff0000u)), floats);
      results[at] = fused_multiply_add(first, b[j][0], fused_multiply_add(second, b[j][1], accumulators[at]));
    }
  }
  bindings_[tile.row.var] = row;
  return results;
}

void Emitter::emit_epilogue(Tile& tile, Value* row, int height, const Values& accumulators) {
  const size_t vectors = tile.pieces.size();
  const auto stores = [&](const Binding& column, const ColumnPiece& piece, Value* accumulator) {
    with_lanes(tile.column.var, column, piece.lanes, tile.mask_of(*this, piece), [&] {
      accumulator_ = accumulator;
      for (const Store& stored : tile.contraction.epilogue) {
        store_statement(stored);
        if (&stored != &tile.contraction.epilogue.back() && tile.epilogue_rereads) memo_.clear();
      }
      accumulator_ = nullptr;
    });
  };
  constexpr int most_inlined = 256;
  if (tile.epilogue_size * static_cast<int>(accumulators.size()) <= most_inlined) {
    for (int i = 0; i < height; ++i) {
      bindings_[tile.row.var] = {row, i, depth_};
      for (size_t j = 0; j < vectors; ++j) {
        stores(tile.column_of(tile.pieces[j]), tile.pieces[j], accumulators[static_cast<size_t>(i) * vectors + j]);
      }
    }
    return;
  }

  // Code for one vector, in a loop over the tile: the tile goes through memory.
  Type* full = lanes_of(scalar_type(tile.contraction.type), tile.lanes);
  if (!tile.scratch) {
    llvm::IRBuilder<> at_entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
    const auto size = static_cast<uint64_t>(tile.shape.rows) * static_cast<uint64_t>(tile.shape.vectors);
    llvm::AllocaInst* memory = at_entry.CreateAlloca(llvm::ArrayType::get(full, size));
    memory->setAlignment(llvm::Align(64));
    tile.scratch = memory;
  }
  for (size_t at = 0; at < accumulators.size(); ++at) {
    builder_.CreateStore(accumulators[at], builder_.CreateGEP(full, tile.scratch, number(static_cast<int64_t>(at))));
  }
  size_t whole = 0;
  while (whole < vectors && tile.pieces[whole].active == tile.lanes && !tile.mask) ++whole;
  emit_loop(number(0), number(height), 1, [&](Value* index) {
    bindings_[tile.row.var] = {builder_.CreateAdd(row, index), 0, depth_};
    Value* line = builder_.CreateMul(index, number(static_cast<int64_t>(vectors)));
    const auto loaded = [&](const ColumnPiece& piece, Value* j) {
      Value* address = builder_.CreateGEP(full, tile.scratch, builder_.CreateAdd(line, j));
      return builder_.CreateLoad(lanes_of(scalar_type(tile.contraction.type), piece.lanes), address);
    };
    emit_loop(number(0), number(static_cast<int64_t>(whole)), 1, [&](Value* j) {
      const Binding first = tile.column_of(tile.pieces[0]);
      Value* base = builder_.CreateMul(j, number(tile.lanes));
      if (first.base) base = builder_.CreateAdd(first.base, base);
      stores({base, first.plus, depth_}, tile.pieces[0], loaded(tile.pieces[0], j));
    });
    for (size_t j = whole; j < vectors; ++j) {
      stores(tile.column_of(tile.pieces[j]), tile.pieces[j], loaded(tile.pieces[j], number(static_cast<int64_t>(j))));
    }
  });
}

}  // namespace moru
