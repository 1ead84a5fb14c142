// Serial and vector loops, reductions in their fixed order, and transposes.
#include <algorithm>
#include <limits>
#include <unordered_set>

#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/emitter.h"
#include "compiler/ir/accesses.h"
#include "compiler/support/error.h"

namespace moru {

using llvm::BasicBlock;
using llvm::PHINode;
using llvm::Type;
using llvm::Value;

void Emitter::emit_if(Value* condition, const std::function<void()>& then) {
  if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (known->isOne()) then();
    return;
  }
  BasicBlock* inside = BasicBlock::Create(context_, "then", function_);
  BasicBlock* after = BasicBlock::Create(context_, "after", function_);
  builder_.CreateCondBr(condition, inside, after);
  builder_.SetInsertPoint(inside);
  then();
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
}

void Emitter::emit_loop(Value* begin, Value* end, int64_t step, const LoopBody& body) {
  emit_carry_loop(begin, end, step, {}, [&](Value* index, const Values&) {
    body(index);
    return Values{};
  });
}

Emitter::Values Emitter::emit_carry_loop(Value* begin, Value* end, int64_t step, Values carried, const CarryBody& body) {
  const auto* first = llvm::dyn_cast<llvm::ConstantInt>(begin);
  const auto* last = llvm::dyn_cast<llvm::ConstantInt>(end);
  const bool known = first && last;
  if (known && first->getSExtValue() >= last->getSExtValue()) return carried;
  // A body that runs once is not a loop.
  if (known && first->getSExtValue() + step >= last->getSExtValue()) return body(begin, carried);

  BasicBlock* before = builder_.GetInsertBlock();
  BasicBlock* entering = BasicBlock::Create(context_, "entering", function_);
  BasicBlock* loop = BasicBlock::Create(context_, "loop", function_);
  BasicBlock* after = BasicBlock::Create(context_, "after", function_);
  if (known) {
    builder_.CreateBr(entering);
  } else {
    builder_.CreateCondBr(builder_.CreateICmpSLT(begin, end), entering, after);
  }
  builder_.SetInsertPoint(entering);
  builder_.CreateBr(loop);
  builder_.SetInsertPoint(loop);
  PHINode* index = builder_.CreatePHI(builder_.getInt64Ty(), 2);
  index->addIncoming(begin, entering);
  std::vector<PHINode*> phis;
  for (Value* value : carried) {
    PHINode* phi = builder_.CreatePHI(value->getType(), 2);
    phi->addIncoming(value, entering);
    phis.push_back(phi);
  }
  ++depth_;
  const Values results = body(index, Values(phis.begin(), phis.end()));
  --depth_;
  BasicBlock* latch = builder_.GetInsertBlock();
  Value* next = builder_.CreateAdd(index, number(step), "", /*HasNUW=*/false, /*HasNSW=*/true);
  index->addIncoming(next, latch);
  for (size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(results[i], latch);
  builder_.CreateCondBr(builder_.CreateICmpSLT(next, end), loop, after);
  builder_.SetInsertPoint(after);
  if (known) return results;
  Values merged;
  for (size_t i = 0; i < results.size(); ++i) {
    PHINode* phi = builder_.CreatePHI(results[i]->getType(), 2);
    phi->addIncoming(carried[i], before);
    phi->addIncoming(results[i], latch);
    merged.push_back(phi);
  }
  return merged;
}

// A few short rows: their vectors together are still a short piece of code, and the loop would cost as much as they do.
bool Emitter::is_worth_unrolling(const For& loop) const {
  constexpr int64_t most_rounds = 4, most_size = 128;
  if (!loop.extent.is_constant() || loop.extent.constant() > most_rounds) return false;
  int64_t size = 0;
  for (const Statement& statement : loop.body) {
    const For* row = std::get_if<For>(&statement.node);
    if (!row || row->kind != ForKind::vector || !row->extent.is_constant()) return false;
    size += ceil_div(row->extent.constant(), width_) * block_size(row->body);
  }
  return size * loop.extent.constant() <= most_size;
}

void Emitter::emit_serial(const For& loop) {
  if (emit_column_reductions(loop)) return;
  if (is_worth_unrolling(loop)) {
    for (int64_t round = 0; round < loop.extent.constant(); ++round) {
      bindings_[loop.var] = {nullptr, round, depth_};
      emit_block(loop.body);
    }
    bindings_.erase(loop.var);
    return;
  }
  emit_loop(number(0), dim_value(loop.extent), 1, [&](Value* index) {
    bindings_[loop.var] = {index, 0, depth_};
    emit_block(loop.body);
    bindings_.erase(loop.var);  // parallel bodies capture what is bound
  });
}

void Emitter::emit_vector(const For& loop) {
  const int size = block_size(loop.body);
  std::vector<const Access*> loads;
  std::unordered_set<const ExprNode*> visited;
  for (const Statement& statement : loop.body) {
    const Store* stored = std::get_if<Store>(&statement.node);
    check_internal(stored != nullptr, "a vector loop holds something else than stores");
    collect_loads(stored->value, visited, loads);
    collect_loads(stored->access.dynamic, visited, loads);
  }
  const auto run = [&](Value* base, int64_t plus, int lanes, Value* mask) {
    with_lanes(loop.var, {base, plus, depth_}, lanes, mask, [&] {
      for (const Statement& statement : loop.body) {
        const Store& stored = std::get<Store>(statement.node);
        store_statement(stored);
        // A later store sees what this one wrote.
        const auto reads_it = [&](const Access* access) { return access->buffer == stored.access.buffer; };
        if (std::any_of(loads.begin(), loads.end(), reads_it)) memo_.clear();
      }
    });
  };
  const int unroll = size <= 10 ? 4 : size <= 24 ? 2 : 1;

  if (loop.extent.is_constant()) {
    const int64_t extent = loop.extent.constant();
    if (extent <= 0) return;
    const int64_t vectors = extent / width_;
    // Short rows are unrolled fully; in long ones whole groups run in a loop.
    int64_t looped = vectors / unroll * unroll;
    int group = unroll;
    if (vectors <= unroll || vectors * size <= 64) looped = 0;
    if (looped == 0 && vectors * size > 64) {
      looped = vectors;
      group = 1;
    }
    emit_loop(number(0), number(looped * width_), group * width_, [&](Value* index) {
      for (int copy = 0; copy < group; ++copy) run(index, copy * width_, width_, nullptr);
    });
    for (const ColumnPiece& piece : cut_columns(extent - looped * width_, width_, target_.has_masks)) {
      Value* mask = piece.active < piece.lanes ? constant_mask(piece.active, piece.lanes) : nullptr;
      run(nullptr, looped * width_ + piece.offset, piece.lanes, mask);
    }
    return;
  }

  Value* extent = dim_value(loop.extent);
  const auto is_multiple_of = [&](int64_t unit) {
    const auto& terms = loop.extent.terms();
    return std::all_of(terms.begin(), terms.end(), [&](const DimTerm& term) { return term.coefficient % unit == 0; });
  };
  if (is_multiple_of(width_)) {
    const int group = is_multiple_of(int64_t{width_} * unroll) ? unroll : 1;
    emit_loop(number(0), extent, int64_t{group} * width_, [&](Value* index) {
      for (int copy = 0; copy < group; ++copy) run(index, copy * width_, width_, nullptr);
    });
    return;
  }
  if (target_.has_masks && size > 24) {
    // Code for one vector only: the mask costs little beside so large a body.
    emit_loop(number(0), extent, width_, [&](Value* index) {
      run(index, 0, width_, mask_for(builder_.CreateSub(extent, index), width_));
    });
    return;
  }
  Value* count = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, extent, number(0));
  Value* whole = builder_.CreateAnd(count, number(-int64_t{width_} * unroll));
  emit_loop(number(0), whole, unroll * width_, [&](Value* index) {
    for (int copy = 0; copy < unroll; ++copy) run(index, copy * width_, width_, nullptr);
  });
  if (target_.has_masks) {
    emit_loop(whole, count, width_, [&](Value* index) {
      run(index, 0, width_, mask_for(builder_.CreateSub(count, index), width_));
    });
    return;
  }
  Value* vectors = whole;
  if (unroll > 1) {
    vectors = builder_.CreateAnd(count, number(-int64_t{width_}));
    emit_loop(whole, vectors, width_, [&](Value* index) { run(index, 0, width_, nullptr); });
  }
  emit_loop(vectors, count, 1, [&](Value* index) { run(index, 0, 1, nullptr); });
}

// ------------------------------------------------------------------------------------------------------------ reductions

namespace {

constexpr int partials = 16;  // fixed by the semantics of Reduce
constexpr int chains = 4;     // that a maximum, whose order does not matter, is found in side by side

}  // namespace

Value* Emitter::combine(ReduceOp op, Value* a, Value* b) {
  const bool floating = a->getType()->isFPOrFPVectorTy();
  switch (op) {
    case ReduceOp::add: return floating ? builder_.CreateFAdd(a, b) : builder_.CreateAdd(a, b);
    case ReduceOp::max:
      return builder_.CreateBinaryIntrinsic(floating ? llvm::Intrinsic::maximum : llvm::Intrinsic::smax, a, b);
    case ReduceOp::min:
      return builder_.CreateBinaryIntrinsic(floating ? llvm::Intrinsic::minimum : llvm::Intrinsic::smin, a, b);
  }
  throw InternalError("unknown reduction");
}

llvm::Constant* Emitter::identity(ReduceOp op, DType type) {
  Type* scalar = scalar_type(type);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const unsigned bits = scalar->getScalarSizeInBits();
  if (is_float(type)) {
    return llvm::ConstantFP::get(scalar, op == ReduceOp::add ? -0.0 : op == ReduceOp::max ? -infinity : infinity);
  }
  if (op == ReduceOp::add) return llvm::ConstantInt::get(scalar, 0);
  const llvm::APInt value = op == ReduceOp::max ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getSignedMaxValue(bits);
  return llvm::ConstantInt::get(scalar, value);
}

Value* Emitter::combine_partials(ReduceOp op, Value* vector) {
  for (int half = partials / 2; half >= 1; half /= 2) {
    std::vector<int> low, high;
    for (int lane = 0; lane < half; ++lane) {
      low.push_back(lane);
      high.push_back(lane + half);
    }
    if (half == 1) {
      return combine(op, builder_.CreateExtractElement(vector, uint64_t{0}), builder_.CreateExtractElement(vector, uint64_t{1}));
    }
    vector = combine(op, builder_.CreateShuffleVector(vector, low), builder_.CreateShuffleVector(vector, high));
  }
  return vector;
}

void Emitter::emit_reduce(const Reduce& reduce) {
  const DType type = reduce.value->type;
  const auto element = [&](Value* base, int64_t plus, int lanes, Value* mask) {
    Value* result = nullptr;
    with_lanes(reduce.var, {base, plus, depth_}, lanes, mask, [&] { result = in_lanes(value(reduce.value)); });
    return result;
  };
  Value* vector = builder_.CreateVectorSplat(partials, identity(reduce.op, type));
  Value* extent = dim_value(reduce.extent);
  Value* count = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, extent, number(0));
  Value* whole = builder_.CreateAnd(count, number(-partials));
  if (reduce.extent.is_constant()) {
    count = number(std::max<int64_t>(reduce.extent.constant(), 0));
    whole = number(std::max<int64_t>(reduce.extent.constant(), 0) & -int64_t{partials});
  }
  Value* begin = number(0);
  if (reduce.op != ReduceOp::add) {
    // IEEE 754's maximum takes several instructions: one chain would wait for each of them.
    begin = builder_.CreateAnd(whole, number(-chains * partials));
    Values found = emit_carry_loop(number(0), begin, chains * partials, Values(chains, vector), [&](Value* index, Values carried) {
      for (int c = 0; c < chains; ++c)
        carried[static_cast<size_t>(c)] = combine(reduce.op, carried[static_cast<size_t>(c)], element(index, c * partials, partials, nullptr));
      return carried;
    });
    vector = found[0];
    for (size_t c = 1; c < found.size(); ++c) vector = combine(reduce.op, vector, found[c]);
  }
  vector = emit_carry_loop(begin, whole, partials, {vector}, [&](Value* index, const Values& carried) {
    return Values{combine(reduce.op, carried[0], element(index, 0, partials, nullptr))};
  })[0];

  const auto* known_count = llvm::dyn_cast<llvm::ConstantInt>(count);
  const int known_rest = known_count ? static_cast<int>(known_count->getSExtValue() % partials) : -1;
  if (known_rest == 0) {
    // Nothing is left.
  } else if (target_.has_masks) {
    // Partial results without another element stay as they are; all of them do where nothing is left.
    vector = emit_carry_loop(whole, count, partials, {vector}, [&](Value* index, const Values& carried) {
      Value* mask = known_rest > 0 ? constant_mask(known_rest, partials)
                                   : mask_for(builder_.CreateSub(count, index), partials);
      Value* folded = combine(reduce.op, carried[0], element(index, 0, partials, mask));
      return Values{builder_.CreateSelect(mask, folded, carried[0])};
    })[0];
  } else {
    vector = emit_carry_loop(whole, count, 1, {vector}, [&](Value* index, const Values& carried) {
      Value* lane = builder_.CreateSub(index, whole);
      Value* folded = combine(reduce.op, builder_.CreateExtractElement(carried[0], lane), element(index, 0, 1, nullptr));
      return Values{builder_.CreateInsertElement(carried[0], folded, lane)};
    })[0];
  }
  Value* result = combine_partials(reduce.op, vector);
  memo_.clear();
  if (reduce.accumulate) result = combine(reduce.op, load(reduce.target), result);
  store(reduce.target, result, false);
}

// for j { reduce i into t[j] } where memory runs along j, as in the gradient of a bias: the sixteen partial results of
// several columns are kept in memory and rows are read as they lie.
bool Emitter::emit_column_reductions(const For& loop) {
  if (loop.kind != ForKind::serial || loop.body.empty()) return false;
  if (loop.extent.is_constant() && loop.extent.constant() < 4) return false;
  std::vector<const Reduce*> reductions;
  std::vector<const Access*> loads;
  for (const Statement& statement : loop.body) {
    const Reduce* reduce = std::get_if<Reduce>(&statement.node);
    if (!reduce || reduce->extent.contains(loop.var) || reduce->target.dynamic) return false;
    const std::optional<Dim> stride = reduce->target.offset.coefficient(loop.var);
    if (!stride || !stride->is_constant(1)) return false;
    std::vector<const Access*> own;
    std::unordered_set<const ExprNode*> visited;
    collect_loads(reduce->value, visited, own);
    bool runs_along_columns = false;
    for (const Access* access : own) {
      const std::optional<Dim> column = access->offset.coefficient(loop.var);
      if (access->dynamic || !column || !(column->is_constant(0) || column->is_constant(1))) return false;
      const std::optional<Dim> element = access->offset.coefficient(reduce->var);
      if (element && element->is_constant(1)) return false;
      runs_along_columns = runs_along_columns || column->is_constant(1);
    }
    if (!runs_along_columns) return false;
    loads.insert(loads.end(), own.begin(), own.end());
    reductions.push_back(reduce);
  }
  // No iteration may read what another one, or another reduction, writes.
  for (size_t i = 0; i < reductions.size(); ++i) {
    for (const Access* access : loads) {
      if (access->buffer == reductions[i]->target.buffer) return false;
    }
    for (size_t j = 0; j < i; ++j) {
      if (reductions[i]->target.buffer == reductions[j]->target.buffer) return false;
    }
  }

  constexpr int block = 4;  // vectors: rows are read in pieces of a few cache lines
  for (const Reduce* reduce : reductions) {
    const auto columns = [&](Value* base, int64_t plus, int64_t count) {
      emit_column_reduction(*reduce, loop.var, cut_columns(count, width_, target_.has_masks), {base, plus, depth_});
    };
    const int64_t step = int64_t{block} * width_;
    if (loop.extent.is_constant()) {
      const int64_t extent = loop.extent.constant(), whole = extent / step * step;
      emit_loop(number(0), number(whole), step, [&](Value* index) { columns(index, 0, step); });
      if (whole < extent) columns(nullptr, whole, extent - whole);
    } else {
      Value* extent = dim_value(loop.extent);
      Value* count = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, extent, number(0));
      Value* whole = builder_.CreateAnd(count, number(-step));
      emit_loop(number(0), whole, step, [&](Value* index) { columns(index, 0, step); });
      Value* vectors = builder_.CreateAnd(count, number(-int64_t{width_}));
      emit_loop(whole, vectors, width_, [&](Value* index) { columns(index, 0, width_); });
      emit_loop(vectors, count, 1, [&](Value* index) { columns(index, 0, 1); });
    }
  }
  return true;
}

void Emitter::emit_column_reduction(const Reduce& reduce, const std::string& column,
                                    const std::vector<ColumnPiece>& pieces, Binding first) {
  const DType type = reduce.value->type;
  llvm::IRBuilder<> at_entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  std::vector<Value*> memories;
  std::vector<Type*> vectors;
  for (const ColumnPiece& piece : pieces) {
    vectors.push_back(lanes_of(scalar_type(type), piece.lanes));
    llvm::AllocaInst* memory = at_entry.CreateAlloca(llvm::ArrayType::get(vectors.back(), partials));
    memory->setAlignment(llvm::Align(64));
    memories.push_back(memory);
    Value* start = identity(reduce.op, type);
    if (piece.lanes > 1) start = builder_.CreateVectorSplat(static_cast<unsigned>(piece.lanes), start);
    for (int p = 0; p < partials; ++p) {
      builder_.CreateStore(start, builder_.CreateGEP(vectors.back(), memory, number(p)));
    }
  }
  const auto in_piece = [&](size_t i, const std::function<void()>& body) {
    const ColumnPiece& piece = pieces[i];
    Value* mask = piece.active < piece.lanes ? constant_mask(piece.active, piece.lanes) : nullptr;
    with_lanes(column, {first.base, first.plus + piece.offset, first.depth}, piece.lanes, mask, body);
  };
  emit_loop(number(0), dim_value(reduce.extent), 1, [&](Value* index) {
    bindings_[reduce.var] = {index, 0, depth_};
    Value* partial = builder_.CreateAnd(index, number(partials - 1));
    for (size_t i = 0; i < pieces.size(); ++i) {
      in_piece(i, [&] {
        Value* address = builder_.CreateGEP(vectors[i], memories[i], partial);
        Value* next = in_lanes(value(reduce.value));
        builder_.CreateStore(combine(reduce.op, builder_.CreateLoad(vectors[i], address), next), address);
      });
    }
  });
  for (size_t i = 0; i < pieces.size(); ++i) {
    Values rows;
    for (int p = 0; p < partials; ++p) {
      rows.push_back(builder_.CreateLoad(vectors[i], builder_.CreateGEP(vectors[i], memories[i], number(p))));
    }
    for (size_t half = partials / 2; half >= 1; half /= 2) {
      for (size_t p = 0; p < half; ++p) rows[p] = combine(reduce.op, rows[p], rows[p + half]);
    }
    in_piece(i, [&] {
      Value* result = rows[0];
      if (reduce.accumulate) result = combine(reduce.op, in_lanes(load(reduce.target)), result);
      store(reduce.target, result, false);
    });
  }
}

// ------------------------------------------------------------------------------------------------------------ transposes

void Emitter::emit_transpose(const Transpose& transpose) {
  const DType dtype = kernel_->buffers[transpose.from.buffer].dtype;
  Type* element = memory_type(dtype);
  const llvm::Align align(static_cast<uint64_t>(dtype_bytes(dtype)));
  const int lanes = std::max(2, static_cast<int>(std::min<int64_t>(16, width_ * 4 / dtype_bytes(dtype))));
  Type* vector = lanes_of(element, lanes);
  Value* from = element_pointer(transpose.from.buffer, transpose.from.offset);
  Value* to = element_pointer(transpose.to.buffer, transpose.to.offset);
  Value* from_stride = dim_value(transpose.from_stride);
  Value* to_stride = dim_value(transpose.to_stride);
  Value* rows = dim_value(transpose.rows);
  Value* columns = dim_value(transpose.columns);

  const auto at = [&](Value* base, Value* stride, Value* major, int plus, Value* minor) {
    Value* line = plus == 0 ? major : builder_.CreateAdd(major, number(plus));
    return builder_.CreateGEP(element, base, builder_.CreateAdd(builder_.CreateMul(line, stride), minor));
  };
  const auto exchange = [&](Values block) {
    // Each round interleaves line i with line i + lanes/2; log2(lanes) rounds exchange the axes.
    std::vector<int> low, high;
    for (int i = 0; i < lanes / 2; ++i) {
      low.insert(low.end(), {i, lanes + i});
      high.insert(high.end(), {lanes / 2 + i, lanes + lanes / 2 + i});
    }
    for (int round = 1; round < lanes; round *= 2) {
      Values next;
      for (size_t i = 0; i < static_cast<size_t>(lanes) / 2; ++i) {
        Value* second = block[i + static_cast<size_t>(lanes) / 2];
        next.push_back(builder_.CreateShuffleVector(block[i], second, low));
        next.push_back(builder_.CreateShuffleVector(block[i], second, high));
      }
      block = std::move(next);
    }
    return block;
  };
  const auto scalar = [&](Value* r, Value* c) {
    Value* loaded = builder_.CreateAlignedLoad(element, at(from, from_stride, r, 0, c), align);
    builder_.CreateAlignedStore(loaded, at(to, to_stride, c, 0, r), align);
  };
  const auto whole_of = [&](const Dim& extent, Value* count) -> Value* {
    if (extent.is_constant()) return number(std::max<int64_t>(extent.constant(), 0) / lanes * lanes);
    return builder_.CreateAnd(builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, count, number(0)), number(-lanes));
  };
  Value* whole_rows = whole_of(transpose.rows, rows);
  Value* whole_columns = whole_of(transpose.columns, columns);
  // A block of `lanes` rows and columns; beyond the edges where masks are given.
  const auto block = [&](Value* r, Value* c, Value* row_mask, Value* column_mask) {
    Values lines;
    Value* zero = llvm::Constant::getNullValue(vector);
    for (int i = 0; i < lanes; ++i) {
      Value* pointer = at(from, from_stride, r, i, c);
      if (!row_mask) {
        lines.push_back(builder_.CreateAlignedLoad(vector, pointer, align));
        continue;
      }
      Value* present = builder_.CreateExtractElement(row_mask, static_cast<uint64_t>(i));
      Value* mask = builder_.CreateSelect(present, column_mask, llvm::Constant::getNullValue(column_mask->getType()));
      lines.push_back(builder_.CreateMaskedLoad(vector, pointer, align, mask, zero));
    }
    lines = exchange(lines);
    for (int i = 0; i < lanes; ++i) {
      Value* pointer = at(to, to_stride, c, i, r);
      if (!row_mask) {
        builder_.CreateAlignedStore(lines[static_cast<size_t>(i)], pointer, align);
        continue;
      }
      Value* present = builder_.CreateExtractElement(column_mask, static_cast<uint64_t>(i));
      Value* mask = builder_.CreateSelect(present, row_mask, llvm::Constant::getNullValue(row_mask->getType()));
      builder_.CreateMaskedStore(lines[static_cast<size_t>(i)], pointer, align, mask);
    }
  };
  emit_loop(number(0), whole_rows, lanes, [&](Value* r) {
    emit_loop(number(0), whole_columns, lanes, [&](Value* c) { block(r, c, nullptr, nullptr); });
  });
  // What is left: a strip on the right of all rows, and one below the whole columns.
  const bool by_blocks = target_.has_masks && lanes == width_;
  const auto strip = [&](Value* row_begin, Value* row_end, Value* column_begin, Value* column_end) {
    const int64_t step = by_blocks ? lanes : 1;
    emit_loop(row_begin, row_end, step, [&](Value* r) {
      emit_loop(column_begin, column_end, step, [&](Value* c) {
        if (!by_blocks) return scalar(r, c);
        block(r, c, mask_for(builder_.CreateSub(row_end, r), lanes), mask_for(builder_.CreateSub(column_end, c), lanes));
      });
    });
  };
  const bool has_right = !transpose.columns.is_constant() || transpose.columns.constant() % lanes != 0;
  const bool has_below = !transpose.rows.is_constant() || transpose.rows.constant() % lanes != 0;
  if (has_right && has_below) {
    // One piece of code for both.
    emit_loop(number(0), number(2), 1, [&](Value* index) {
      Value* right = builder_.CreateICmpEQ(index, number(0));
      const auto either = [&](Value* a, Value* b) { return builder_.CreateSelect(right, a, b); };
      strip(either(number(0), whole_rows), rows, either(whole_columns, number(0)), either(columns, whole_columns));
    });
  } else if (has_right) {
    strip(number(0), rows, whole_columns, columns);
  } else if (has_below) {
    strip(whole_rows, rows, number(0), whole_columns);
  }
}

}  // namespace moru
