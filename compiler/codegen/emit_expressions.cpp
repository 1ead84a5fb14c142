// Scalar and vector values: dimensions, addresses, loads, stores and expression trees.
#include <algorithm>
#include <cmath>
#include <unordered_set>

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include "compiler/codegen/bounds.h"
#include "compiler/codegen/emitter.h"
#include "compiler/support/error.h"

namespace moru {

using llvm::Intrinsic::ID;
using llvm::Type;
using llvm::Value;

// ---------------------------------------------------------------------------------------------------------------- types

Type* Emitter::scalar_type(DType type) {
  switch (type) {
    case DType::f32: return builder_.getFloatTy();
    case DType::f64: return builder_.getDoubleTy();
    case DType::i32: return builder_.getInt32Ty();
    case DType::i64: return builder_.getInt64Ty();
    case DType::boolean: return builder_.getInt1Ty();
    case DType::bf16: return builder_.getInt16Ty();
  }
  throw InternalError("unknown element type");
}

Type* Emitter::memory_type(DType type) { return type == DType::boolean ? builder_.getInt8Ty() : scalar_type(type); }

Type* Emitter::lanes_of(Type* type, int lanes) {
  return lanes == 1 ? type : llvm::FixedVectorType::get(type, static_cast<unsigned>(lanes));
}

Type* Emitter::same_lanes(Type* type, Value* as) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(as->getType());
  return lanes_of(type, vector ? static_cast<int>(vector->getNumElements()) : 1);
}

Value* Emitter::from_memory(Value* stored, DType type) {
  return type == DType::boolean ? builder_.CreateIsNotNull(stored) : stored;
}

Value* Emitter::to_memory(Value* computed, DType type) {
  if (type != DType::boolean) return computed;
  return builder_.CreateZExt(computed, computed->getType()->getWithNewBitWidth(8));
}

Value* Emitter::in_lanes(Value* scalar_or_vector) {
  if (lanes_ == 1 || scalar_or_vector->getType()->isVectorTy()) return scalar_or_vector;
  return builder_.CreateVectorSplat(static_cast<unsigned>(lanes_), scalar_or_vector);
}

Value* Emitter::iota(Type* element, int lanes) {
  std::vector<llvm::Constant*> values;
  for (int lane = 0; lane < lanes; ++lane) values.push_back(llvm::ConstantInt::get(element, static_cast<uint64_t>(lane)));
  return llvm::ConstantVector::get(values);
}

Value* Emitter::mask_for(Value* remaining, int lanes) {
  Value* most = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, remaining, number(lanes));
  Value* count = builder_.CreateTrunc(most, builder_.getInt32Ty());
  return builder_.CreateICmpSLT(iota(builder_.getInt32Ty(), lanes),
                                builder_.CreateVectorSplat(static_cast<unsigned>(lanes), count));
}

Value* Emitter::constant_mask(int active, int lanes) {
  std::vector<llvm::Constant*> bits;
  for (int lane = 0; lane < lanes; ++lane) bits.push_back(builder_.getInt1(lane < active));
  return llvm::ConstantVector::get(bits);
}

void Emitter::with_lanes(const std::string& variable, Binding first, int lanes, Value* mask,
                         const std::function<void()>& body) {
  const auto outer_lanes = lanes_;
  const std::string outer_variable = vector_variable_;
  Value* const outer_mask = mask_;
  lanes_ = lanes;
  vector_variable_ = lanes > 1 ? variable : "";
  mask_ = mask;
  bindings_[variable] = first;
  memo_.clear();
  body();
  memo_.clear();
  lanes_ = outer_lanes;
  vector_variable_ = outer_variable;
  mask_ = outer_mask;
}

// ----------------------------------------------------------------------------------------------------------- dimensions

int Emitter::dim_depth(const Dim& dim) {
  int depth = 0;
  std::vector<std::string> names;
  dim.collect_symbols(names);
  for (const std::string& name : names) {
    const Binding& binding = symbol(name);
    if (binding.base) depth = std::max(depth, binding.depth);
  }
  return depth;
}

Value* Emitter::divide(DimFactor::Kind kind, Value* a, Value* b) {
  if (kind == DimFactor::Kind::max) return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, a, b);
  Value* quotient = builder_.CreateSDiv(a, b);
  Value* rest = builder_.CreateSub(a, builder_.CreateMul(quotient, b));
  Value* zero = llvm::Constant::getNullValue(a->getType());
  if (kind == DimFactor::Kind::floor_div) {
    return builder_.CreateAdd(quotient, builder_.CreateSExt(builder_.CreateICmpSLT(rest, zero), a->getType()));
  }
  return builder_.CreateAdd(quotient, builder_.CreateZExt(builder_.CreateICmpSGT(rest, zero), a->getType()));
}

Emitter::Parts Emitter::dim_parts(const Dim& dim) {
  struct Factor {
    int depth;
    Value* base;
    int64_t plus;
  };
  struct Term {
    int depth;
    int64_t coefficient;
    std::vector<Factor> factors;
  };
  std::vector<Term> terms;
  for (const DimTerm& term : dim.terms()) {
    Term ordered{0, term.coefficient, {}};
    for (const DimFactor& factor : term.factors) {
      Factor part{0, nullptr, 0};
      if (factor.kind == DimFactor::Kind::symbol) {
        const Binding& binding = symbol(factor.symbol);
        part = {binding.base ? binding.depth : 0, binding.base, binding.plus};
      } else {
        part = {std::max(dim_depth(*factor.left), dim_depth(*factor.right)),
                divide(factor.kind, dim_value(*factor.left), dim_value(*factor.right)), 0};
      }
      ordered.depth = std::max(ordered.depth, part.depth);
      ordered.factors.push_back(part);
    }
    const auto outer_first = [](const Factor& a, const Factor& b) { return a.depth < b.depth; };
    std::stable_sort(ordered.factors.begin(), ordered.factors.end(), outer_first);
    terms.push_back(std::move(ordered));
  }
  std::stable_sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) { return a.depth < b.depth; });

  const auto add = [&](Value* a, Value* b) { return !a ? b : !b ? a : builder_.CreateAdd(a, b); };
  const auto times = [&](Value* a, int64_t k) -> Value* {
    if (!a || k == 0) return nullptr;
    return k == 1 ? a : builder_.CreateMul(a, number(k));
  };
  Parts sum;
  for (const Term& term : terms) {
    // (variable + constant) * (base + plus), kept apart.
    Value* variable = nullptr;
    int64_t constant = term.coefficient;
    for (const Factor& factor : term.factors) {
      Value* next = times(variable, factor.plus);
      if (factor.base) {
        if (variable) next = add(next, builder_.CreateMul(variable, factor.base));
        next = add(next, times(factor.base, constant));
      }
      variable = next;
      constant *= factor.plus;
    }
    sum.variable = add(sum.variable, variable);
    sum.constant += constant;
  }
  return sum;
}

Value* Emitter::dim_value(const Dim& dim) {
  const Parts parts = dim_parts(dim);
  if (!parts.variable) return number(parts.constant);
  return parts.constant == 0 ? parts.variable : builder_.CreateAdd(parts.variable, number(parts.constant));
}

Value* Emitter::dim_lanes(const Dim& dim) {
  Value* steps = iota(builder_.getInt64Ty(), lanes_);
  if (const std::optional<Dim> stride = dim.coefficient(vector_variable_)) {
    if (!stride->is_constant(1)) steps = builder_.CreateMul(steps, in_lanes(dim_value(*stride)));
    return builder_.CreateAdd(in_lanes(dim_value(dim)), steps);
  }
  Value* sum = nullptr;
  for (const DimTerm& term : dim.terms()) {
    Value* product = in_lanes(number(term.coefficient));
    for (const DimFactor& factor : term.factors) {
      Value* part = nullptr;
      if (factor.kind == DimFactor::Kind::symbol) {
        part = dim_any(Dim::symbol(factor.symbol));
      } else if (is_varying(*factor.left) || is_varying(*factor.right)) {
        part = divide(factor.kind, in_lanes(dim_any(*factor.left)), in_lanes(dim_any(*factor.right)));
      } else {
        part = divide(factor.kind, dim_value(*factor.left), dim_value(*factor.right));
      }
      product = builder_.CreateMul(product, in_lanes(part));
    }
    sum = sum ? builder_.CreateAdd(sum, product) : product;
  }
  return sum;
}

// ------------------------------------------------------------------------------------------------------ loads and stores

Value* Emitter::element_pointer(BufferId buffer, const Dim& offset) {
  Type* element = memory_type(kernel_->buffers[buffer].dtype);
  Value* pointer = buffer_address(buffer);
  const Parts parts = dim_parts(offset);
  if (parts.variable) pointer = builder_.CreateGEP(element, pointer, parts.variable);
  if (parts.constant != 0) pointer = builder_.CreateGEP(element, pointer, number(parts.constant));
  return pointer;
}

namespace {

std::vector<int> reversed_lanes(int lanes) {
  std::vector<int> order;
  for (int lane = lanes - 1; lane >= 0; --lane) order.push_back(lane);
  return order;
}

}  // namespace

Value* Emitter::load(const Access& access) {
  const DType dtype = kernel_->buffers[access.buffer].dtype;
  Type* element = memory_type(dtype);
  const llvm::Align align(static_cast<uint64_t>(dtype_bytes(dtype)));
  Value* dynamic = access.dynamic ? value(access.dynamic) : nullptr;
  const bool gathers = dynamic && dynamic->getType()->isVectorTy();
  if (!gathers && !is_varying(access.offset)) {
    Value* pointer = element_pointer(access.buffer, access.offset);
    if (dynamic) pointer = builder_.CreateGEP(element, pointer, dynamic);
    return from_memory(builder_.CreateAlignedLoad(element, pointer, align), dtype);
  }
  Type* vector = lanes_of(element, lanes_);
  const std::optional<Dim> stride = access.offset.coefficient(vector_variable_);
  if (!gathers && stride && (stride->is_constant(1) || stride->is_constant(-1))) {
    const bool backwards = stride->is_constant(-1);
    Value* pointer = element_pointer(access.buffer, access.offset - Dim(backwards ? lanes_ - 1 : 0));
    if (dynamic) pointer = builder_.CreateGEP(element, pointer, dynamic);
    Value* mask = mask_ && backwards ? builder_.CreateShuffleVector(mask_, reversed_lanes(lanes_)) : mask_;
    Value* loaded = mask ? builder_.CreateMaskedLoad(vector, pointer, align, mask, llvm::Constant::getNullValue(vector))
                         : static_cast<Value*>(builder_.CreateAlignedLoad(vector, pointer, align));
    if (backwards) loaded = builder_.CreateShuffleVector(loaded, reversed_lanes(lanes_));
    return from_memory(loaded, dtype);
  }
  Value* index = in_lanes(dim_any(access.offset));
  if (dynamic) index = builder_.CreateAdd(index, in_lanes(dynamic));
  Value* pointers = builder_.CreateGEP(element, buffer_address(access.buffer), index);
  Value* loaded = builder_.CreateMaskedGather(vector, pointers, align, mask_ ? mask_ : constant_mask(lanes_, lanes_),
                                              llvm::Constant::getNullValue(vector));
  return from_memory(loaded, dtype);
}

void Emitter::store(const Access& access, Value* stored, bool accumulate) {
  const DType dtype = kernel_->buffers[access.buffer].dtype;
  Type* element = memory_type(dtype);
  const llvm::Align align(static_cast<uint64_t>(dtype_bytes(dtype)));
  if (accumulate) {
    Value* old = load(access);
    if (stored->getType()->isVectorTy()) old = in_lanes(old);
    if (old->getType()->isVectorTy()) stored = in_lanes(stored);
    stored = is_float(dtype) ? builder_.CreateFAdd(old, stored) : builder_.CreateAdd(old, stored);
  }
  Value* dynamic = access.dynamic ? value(access.dynamic) : nullptr;
  const bool scatters = dynamic && dynamic->getType()->isVectorTy();
  if (lanes_ == 1) {
    Value* pointer = element_pointer(access.buffer, access.offset);
    if (dynamic) pointer = builder_.CreateGEP(element, pointer, dynamic);
    builder_.CreateAlignedStore(to_memory(stored, dtype), pointer, align);
    return;
  }
  stored = to_memory(in_lanes(stored), dtype);
  const std::optional<Dim> stride = access.offset.coefficient(vector_variable_);
  if (!scatters && stride && (stride->is_constant(1) || stride->is_constant(-1))) {
    const bool backwards = stride->is_constant(-1);
    Value* pointer = element_pointer(access.buffer, access.offset - Dim(backwards ? lanes_ - 1 : 0));
    if (dynamic) pointer = builder_.CreateGEP(element, pointer, dynamic);
    Value* mask = mask_;
    if (backwards) {
      stored = builder_.CreateShuffleVector(stored, reversed_lanes(lanes_));
      if (mask) mask = builder_.CreateShuffleVector(mask, reversed_lanes(lanes_));
    }
    if (mask) {
      builder_.CreateMaskedStore(stored, pointer, align, mask);
    } else {
      builder_.CreateAlignedStore(stored, pointer, align);
    }
    return;
  }
  // Lanes that meet at one address store in order, so the last one stays: what the scalar loop leaves.
  Value* index = in_lanes(dim_any(access.offset));
  if (dynamic) index = builder_.CreateAdd(index, in_lanes(dynamic));
  Value* pointers = builder_.CreateGEP(element, buffer_address(access.buffer), index);
  builder_.CreateMaskedScatter(stored, pointers, align, mask_ ? mask_ : constant_mask(lanes_, lanes_));
}

void Emitter::store_statement(const Store& statement) {
  store(statement.access, value(statement.value), statement.accumulate);
}

// ---------------------------------------------------------------------------------------------------------- expressions

namespace {

int count_nodes(const Expr& expr, std::unordered_set<const ExprNode*>& seen) {
  if (!expr || !seen.insert(expr.get()).second) return 0;
  int nodes = 1;
  for (const Expr& argument : expr->args) nodes += count_nodes(argument, seen);
  if (expr->op == ExprOp::load) nodes += count_nodes(expr->access.dynamic, seen);
  return nodes;
}

}  // namespace

int expression_size(const Expr& expr) {
  std::unordered_set<const ExprNode*> seen;
  return count_nodes(expr, seen);
}

int block_size(const Block& block) {
  std::unordered_set<const ExprNode*> seen;
  int nodes = 0;
  for (const Statement& statement : block) {
    if (const Store* stored = std::get_if<Store>(&statement.node)) {
      nodes += 1 + (stored->accumulate ? 2 : 0) + count_nodes(stored->value, seen) + count_nodes(stored->access.dynamic, seen);
    } else if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) {
      nodes += 20 + 2 * count_nodes(reduce->value, seen);
    } else if (const For* loop = std::get_if<For>(&statement.node)) {
      nodes += 4 + block_size(loop->body);
    } else {
      nodes += 200;
    }
  }
  return nodes;
}

Value* Emitter::value(const Expr& expr) {
  check_internal(expr != nullptr, "an expression is missing");
  if (const auto known = memo_.find(expr.get()); known != memo_.end()) return known->second;
  Value* computed = compute(expr);
  memo_[expr.get()] = computed;
  return computed;
}

Value* Emitter::compute(const Expr& expr) {
  switch (expr->op) {
    case ExprOp::constant:
      if (is_float(expr->type)) return llvm::ConstantFP::get(scalar_type(expr->type), expr->number);
      return llvm::ConstantInt::get(scalar_type(expr->type), static_cast<uint64_t>(expr->bits), /*IsSigned=*/true);
    case ExprOp::index: return dim_any(expr->dim);
    case ExprOp::load: return load(expr->access);
    case ExprOp::accumulator:
      check_internal(accumulator_ != nullptr, "the accumulator is used outside an epilogue");
      return accumulator_;
    case ExprOp::convert: return convert(expr, value(expr->args[0]));
    case ExprOp::bitcast: {
      Value* from = value(expr->args[0]);
      const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(from->getType());
      return builder_.CreateBitCast(from, lanes_of(scalar_type(expr->type), vector ? static_cast<int>(vector->getNumElements()) : 1));
    }
    default: break;
  }

  std::vector<Value*> args;
  bool varying = false;
  for (const Expr& argument : expr->args) {
    args.push_back(value(argument));
    varying = varying || args.back()->getType()->isVectorTy();
  }
  if (varying) {
    for (Value*& argument : args) argument = in_lanes(argument);
  }
  const DType operand = expr->args[0]->type;
  const bool floating = is_float(operand);
  const auto intrinsic = [&](ID id) -> Value* { return builder_.CreateUnaryIntrinsic(id, args[0]); };
  switch (expr->op) {
    case ExprOp::add: return floating ? builder_.CreateFAdd(args[0], args[1]) : builder_.CreateAdd(args[0], args[1]);
    case ExprOp::sub: return floating ? builder_.CreateFSub(args[0], args[1]) : builder_.CreateSub(args[0], args[1]);
    case ExprOp::mul: return floating ? builder_.CreateFMul(args[0], args[1]) : builder_.CreateMul(args[0], args[1]);
    case ExprOp::div: return floating ? builder_.CreateFDiv(args[0], args[1]) : integer_division(args[0], args[1]);
    case ExprOp::fma: return fused_multiply_add(args[0], args[1], args[2]);
    case ExprOp::min:
    case ExprOp::max: return minimum_or_maximum(expr, args[0], args[1]);
    case ExprOp::neg: return floating ? builder_.CreateFNeg(args[0]) : builder_.CreateNeg(args[0]);
    case ExprOp::abs:
      if (floating) return intrinsic(llvm::Intrinsic::fabs);
      return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, args[0], builder_.getInt1(false));
    case ExprOp::sqrt: return intrinsic(llvm::Intrinsic::sqrt);
    case ExprOp::round: return intrinsic(llvm::Intrinsic::roundeven);
    case ExprOp::floor: return intrinsic(llvm::Intrinsic::floor);
    case ExprOp::ceil: return intrinsic(llvm::Intrinsic::ceil);
    case ExprOp::bit_and:
    case ExprOp::logical_and: return builder_.CreateAnd(args[0], args[1]);
    case ExprOp::bit_or:
    case ExprOp::logical_or: return builder_.CreateOr(args[0], args[1]);
    case ExprOp::bit_xor: return builder_.CreateXor(args[0], args[1]);
    case ExprOp::logical_not: return builder_.CreateNot(args[0]);
    case ExprOp::shl: return builder_.CreateShl(args[0], args[1]);
    case ExprOp::shr: return builder_.CreateLShr(args[0], args[1]);
    case ExprOp::sar: return builder_.CreateAShr(args[0], args[1]);
    case ExprOp::mul_high_unsigned: {
      const unsigned bits = args[0]->getType()->getScalarSizeInBits();
      Type* wide = args[0]->getType()->getWithNewBitWidth(2 * bits);
      Value* product = builder_.CreateMul(builder_.CreateZExt(args[0], wide), builder_.CreateZExt(args[1], wide));
      return builder_.CreateTrunc(builder_.CreateLShr(product, bits), args[0]->getType());
    }
    case ExprOp::equal: return floating ? builder_.CreateFCmpOEQ(args[0], args[1]) : builder_.CreateICmpEQ(args[0], args[1]);
    case ExprOp::not_equal: return floating ? builder_.CreateFCmpUNE(args[0], args[1]) : builder_.CreateICmpNE(args[0], args[1]);
    case ExprOp::less:
      if (operand == DType::boolean) return builder_.CreateICmpULT(args[0], args[1]);
      return floating ? builder_.CreateFCmpOLT(args[0], args[1]) : builder_.CreateICmpSLT(args[0], args[1]);
    case ExprOp::less_equal:
      if (operand == DType::boolean) return builder_.CreateICmpULE(args[0], args[1]);
      return floating ? builder_.CreateFCmpOLE(args[0], args[1]) : builder_.CreateICmpSLE(args[0], args[1]);
    case ExprOp::select: return builder_.CreateSelect(args[0], args[1], args[2]);
    default: throw InternalError("an expression has an operation that cannot be emitted");
  }
}

Value* Emitter::minimum_or_maximum(const Expr& expr, Value* a, Value* b) {
  const bool is_max = expr->op == ExprOp::max;
  const DType type = expr->type;
  if (type == DType::boolean) return is_max ? builder_.CreateOr(a, b) : builder_.CreateAnd(a, b);
  if (is_integer(type)) {
    return builder_.CreateBinaryIntrinsic(is_max ? llvm::Intrinsic::smax : llvm::Intrinsic::smin, a, b);
  }
  // With a constant, one instruction of the machine's does: it returns its second operand if either is NaN or both are
  // zeros. Left is the sign of zero: adding +0 turns -0 into +0 and keeps everything else.
  for (int side = 0; side < 2; ++side) {
    const ExprNode& constant = *expr->args[static_cast<size_t>(side)];
    if (constant.op != ExprOp::constant || std::isnan(constant.number)) continue;
    Value* const limit = side == 0 ? a : b;
    Value* const other = side == 0 ? b : a;
    const bool is_zero = constant.number == 0.0;
    const bool is_negative = std::signbit(constant.number);
    if (is_max) {
      Value* chosen = builder_.CreateSelect(builder_.CreateFCmpOGT(limit, other), limit, other);
      return is_zero && !is_negative ? builder_.CreateFAdd(chosen, llvm::ConstantFP::get(chosen->getType(), 0.0)) : chosen;
    }
    if (is_zero && is_negative) continue;
    return builder_.CreateSelect(builder_.CreateFCmpOLT(limit, other), limit, other);
  }
  return builder_.CreateBinaryIntrinsic(is_max ? llvm::Intrinsic::maximum : llvm::Intrinsic::minimum, a, b);
}

Value* Emitter::integer_division(Value* a, Value* b) {
  // The processor traps on x / 0 and lowest / -1; masked-off lanes hold zeros.
  Value* zero = llvm::Constant::getNullValue(b->getType());
  Value* minus_one = llvm::Constant::getAllOnesValue(b->getType());
  Value* one = llvm::ConstantInt::get(b->getType(), 1);
  Value* by_zero = builder_.CreateICmpEQ(b, zero);
  Value* by_minus_one = builder_.CreateICmpEQ(b, minus_one);
  Value* divisor = builder_.CreateSelect(builder_.CreateOr(by_zero, by_minus_one), one, b);
  Value* quotient = builder_.CreateSDiv(a, divisor);
  quotient = builder_.CreateSelect(by_minus_one, builder_.CreateNeg(a), quotient);
  return builder_.CreateSelect(by_zero, zero, quotient);
}

Value* Emitter::convert(const Expr& expr, Value* from) {
  const DType source = expr->args[0]->type, type = expr->type;
  if (source == type) return from;
  if (type == DType::bf16) return narrow_to_bf16(from);
  if (source == DType::bf16) return widen_bf16(from);
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(from->getType());
  Type* to = lanes_of(scalar_type(type), vector ? static_cast<int>(vector->getNumElements()) : 1);
  Value* zero = llvm::Constant::getNullValue(from->getType());
  if (type == DType::boolean) return is_float(source) ? builder_.CreateFCmpUNE(from, zero) : builder_.CreateICmpNE(from, zero);
  if (source == DType::boolean) return is_float(type) ? builder_.CreateUIToFP(from, to) : builder_.CreateZExt(from, to);
  if (is_integer(source)) return is_float(type) ? builder_.CreateSIToFP(from, to) : builder_.CreateSExtOrTrunc(from, to);
  if (is_float(type)) return type == DType::f64 ? builder_.CreateFPExt(from, to) : builder_.CreateFPTrunc(from, to);
  const Bounds bounds = float_bounds(expr->args[0]);
  const double limit = type == DType::i32 ? 2147483520.0 : 9.2e18;  // an f32 below 2^31
  if (bounds.low >= -limit && bounds.high <= limit) {
    Value* known = builder_.CreateSelect(builder_.CreateFCmpORD(from, zero), from, zero);
    return builder_.CreateFPToSI(known, to);
  }
  return builder_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {to, from->getType()}, {from});
}

// A bf16 is the upper half of an f32.
Value* Emitter::widen_bf16(Value* bits) {
  Type* wide = bits->getType()->getWithNewBitWidth(32);
  Value* pattern = builder_.CreateShl(builder_.CreateZExt(bits, wide), 16);
  return builder_.CreateBitCast(pattern, same_lanes(builder_.getFloatTy(), bits));
}

Value* Emitter::narrow_to_bf16(Value* from) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(from->getType());
  const unsigned lanes = vector ? vector->getNumElements() : 1;
  Type* half = same_lanes(builder_.getInt16Ty(), from);
  if (target_.has_bf16 && (lanes == 8 || lanes == 16)) {
    const ID id = lanes == 8 ? llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_256 : llvm::Intrinsic::x86_avx512bf16_cvtneps2bf16_512;
    return builder_.CreateBitCast(builder_.CreateIntrinsic(id, {}, {from}), half);
  }
  Type* word = same_lanes(builder_.getInt32Ty(), from);
  const auto number_of = [&](uint32_t bits) { return llvm::ConstantInt::get(word, bits); };
  Value* pattern = builder_.CreateBitCast(from, word);
  Value* upper = builder_.CreateLShr(pattern, 16);
  Value* odd = builder_.CreateAnd(upper, number_of(1));
  Value* rounded = builder_.CreateLShr(builder_.CreateAdd(builder_.CreateAdd(pattern, number_of(0x7fff)), odd), 16);
  Value* magnitude = builder_.CreateAnd(pattern, number_of(0x7fffffff));
  Value* is_nan = builder_.CreateICmpUGT(magnitude, number_of(0x7f800000));
  Value* is_subnormal = builder_.CreateICmpULT(magnitude, number_of(0x00800000));
  rounded = builder_.CreateSelect(is_nan, builder_.CreateOr(upper, number_of(0x40)), rounded);
  rounded = builder_.CreateSelect(is_subnormal, builder_.CreateAnd(upper, number_of(0x8000)), rounded);
  return builder_.CreateTrunc(rounded, half);
}

}  // namespace moru
