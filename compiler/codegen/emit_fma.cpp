// Fused multiply-adds, with the same bits on machines that have no instruction for them.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include "compiler/codegen/emitter.h"
#include "compiler/support/error.h"

namespace moru {

using llvm::BasicBlock;
using llvm::Function;
using llvm::Type;
using llvm::Value;

namespace {

// The f32 nearest to a * b + c. The product of two floats is exact as a double; the sum is rounded to odd, so that rounding
// it again to f32 is right (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
Value* round_once(llvm::IRBuilder<>& builder, Value* a, Value* b, Value* c, Type* wide, Type* bits) {
  Value* product = builder.CreateFMul(builder.CreateFPExt(a, wide), builder.CreateFPExt(b, wide));
  Value* addend = builder.CreateFPExt(c, wide);
  Value* sum = builder.CreateFAdd(product, addend);
  // error = (product + addend) - sum exactly (Knuth's two-sum); NaN where the sum is not finite.
  Value* back = builder.CreateFSub(sum, product);
  Value* error = builder.CreateFAdd(builder.CreateFSub(product, builder.CreateFSub(sum, back)),
                                    builder.CreateFSub(addend, back));
  Value* is_inexact = builder.CreateFCmpONE(error, llvm::Constant::getNullValue(wide));
  Value* pattern = builder.CreateBitCast(sum, bits);
  Value* one = llvm::ConstantInt::get(bits, 1);
  Value* is_even = builder.CreateICmpEQ(builder.CreateAnd(pattern, one), llvm::Constant::getNullValue(bits));
  // The neighbour on the exact value's side, away from or towards zero, has an odd pattern.
  Value* opposite = builder.CreateICmpSLT(builder.CreateXor(pattern, builder.CreateBitCast(error, bits)),
                                          llvm::Constant::getNullValue(bits));
  Value* neighbour = builder.CreateSelect(opposite, builder.CreateSub(pattern, one), builder.CreateAdd(pattern, one));
  Value* odd = builder.CreateSelect(builder.CreateAnd(is_inexact, is_even), neighbour, pattern);
  return builder.CreateFPTrunc(builder.CreateBitCast(odd, wide), a->getType());
}

}  // namespace

Value* Emitter::fused_multiply_add(Value* a, Value* b, Value* c) {
  Type* type = a->getType();
  if (target_.has_fma) return builder_.CreateIntrinsic(llvm::Intrinsic::fma, {type}, {a, b, c});
  if (type->getScalarType()->isDoubleTy()) {
    throw CompileError({.stage = "emit", .what = "f64 fma needs a target with fma instructions, which " + target_.level + " has not",
                        .hint = "compile for x86-64-v3"});
  }
  return multiply_add_in_doubles(a, b, c);
}

// Rounding the exact sum to a double and that to a float is rounding it once, unless the double lies halfway between two
// floats, which it may by its own rounding only, or the float is subnormal. Both are rare: what is right then stands in a
// function of its own.
Value* Emitter::multiply_add_in_doubles(Value* a, Value* b, Value* c) {
  Type* type = a->getType();
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
  const int lanes = vector ? static_cast<int>(vector->getNumElements()) : 1;
  Type* wide = lanes_of(builder_.getDoubleTy(), lanes);
  Type* bits = lanes_of(builder_.getInt64Ty(), lanes);
  Type* words = lanes_of(builder_.getInt32Ty(), lanes);

  Value* product = builder_.CreateFMul(builder_.CreateFPExt(a, wide), builder_.CreateFPExt(b, wide));
  Value* sum = builder_.CreateFAdd(product, builder_.CreateFPExt(c, wide));
  Value* quick = builder_.CreateFPTrunc(sum, type);
  const auto constant = [&](uint32_t value) { return llvm::ConstantInt::get(words, value); };
  Value* pattern = builder_.CreateBitCast(sum, bits);
  Value* low = builder_.CreateTrunc(pattern, words);
  Value* high = builder_.CreateTrunc(builder_.CreateLShr(pattern, 32), words);
  // A float keeps all but 29 bits of a double's significand.
  Value* is_halfway = builder_.CreateICmpEQ(builder_.CreateAnd(low, constant(0x1FFFFFFF)), constant(0x10000000));
  // 0 < |sum| < 2^-126; the sum is not below 2^-298, so that it is zero if its upper half is.
  Value* magnitude = builder_.CreateAnd(high, constant(0x7FFFFFFF));
  Value* is_small = builder_.CreateICmpULT(builder_.CreateSub(magnitude, constant(1)), constant(0x38100000 - 1));
  Value* is_doubtful = builder_.CreateOr(is_halfway, is_small);
  if (vector) is_doubtful = builder_.CreateOrReduce(is_doubtful);

  Function* careful = new_function(llvm::FunctionType::get(type, {type, type, type}, false),
                                   "round_once_" + std::to_string(lanes), llvm::GlobalValue::InternalLinkage);
  if (careful->empty()) {
    careful->setDoesNotAccessMemory();
    careful->addFnAttr(llvm::Attribute::Cold);
    llvm::IRBuilder<> builder(BasicBlock::Create(context_, "", careful));
    builder.CreateRet(round_once(builder, careful->getArg(0), careful->getArg(1), careful->getArg(2), wide, bits));
  }
  BasicBlock* before = builder_.GetInsertBlock();
  BasicBlock* doubtful = BasicBlock::Create(context_, "doubtful", function_);
  BasicBlock* after = BasicBlock::Create(context_, "rounded", function_);
  builder_.CreateCondBr(is_doubtful, doubtful, after, llvm::MDBuilder(context_).createUnlikelyBranchWeights());
  builder_.SetInsertPoint(doubtful);
  Value* rounded = builder_.CreateCall(careful, {a, b, c});
  builder_.CreateBr(after);
  builder_.SetInsertPoint(after);
  llvm::PHINode* result = builder_.CreatePHI(type, 2);
  result->addIncoming(quick, before);
  result->addIncoming(rounded, doubtful);
  return result;
}

}  // namespace moru
