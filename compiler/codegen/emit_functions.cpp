// Functions: outlined loop nests, entries that call them, and the bodies of parallel loops.
#include <algorithm>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/target_machine.h"
#include "compiler/support/error.h"

namespace moru {

using llvm::BasicBlock;
using llvm::Function;
using llvm::FunctionType;
using llvm::Type;
using llvm::Value;

Emitter::Emitter(llvm::Module& module, const Target& target, int lanes)
    : module_(module), context_(module.getContext()), target_(target), width_(lanes), builder_(module.getContext()) {}

Function* Emitter::new_function(FunctionType* type, const std::string& name, llvm::GlobalValue::LinkageTypes linkage) {
  if (Function* existing = module_.getFunction(name)) return existing;
  Function* function = Function::Create(type, linkage, name, module_);
  if (linkage != llvm::GlobalValue::InternalLinkage) {
    function->setVisibility(llvm::GlobalValue::HiddenVisibility);
    function->setDSOLocal(true);
  }
  function->setDoesNotThrow();
  function->addFnAttr(llvm::Attribute::NoInline);
  set_machine(*function, target_);
  if (target_.is_x86()) function->addFnAttr("prefer-vector-width", std::to_string(std::max(width_ * 32, 128)));
  return function;
}

Function* Emitter::declare_function(const OutlinedFunction& function, const std::string& name) {
  std::vector<Type*> arguments(function.buffers.size(), builder_.getPtrTy());
  arguments.resize(function.buffers.size() + function.parameters.size(), builder_.getInt64Ty());
  auto* type = FunctionType::get(builder_.getVoidTy(), arguments, false);
  return new_function(type, name, llvm::GlobalValue::ExternalLinkage);
}

void Emitter::begin_function(Function* function, const Kernel& kernel) {
  kernel_ = &kernel;
  function_ = function;
  bindings_.clear();
  addresses_.clear();
  memo_.clear();
  depth_ = 0;
  lanes_ = 1;
  mask_ = nullptr;
  BasicBlock* prologue = BasicBlock::Create(context_, "prologue", function);
  BasicBlock* body = BasicBlock::Create(context_, "body", function);
  builder_.SetInsertPoint(prologue);
  builder_.CreateBr(body);
  builder_.SetInsertPoint(body);
}

void Emitter::emit_function(const KernelModule& module, const OutlinedFunction& outlined, const std::string& name) {
  kernels_ = &module;
  Function* function = declare_function(outlined, name);
  begin_function(function, *outlined.kernel);
  unsigned argument = 0;
  for (const BufferId buffer : outlined.buffers) {
    function->addParamAttr(argument, llvm::Attribute::NoAlias);
    function->addParamAttr(argument, llvm::Attribute::getWithAlignment(context_, llvm::Align(64)));
    addresses_[buffer] = function->getArg(argument++);
  }
  for (const FunctionParameter& parameter : outlined.parameters) bindings_[parameter.name] = {function->getArg(argument++), 0, 0};
  outlined_ = &outlined;
  emit_statement(outlined.statement);
  outlined_ = nullptr;
  builder_.CreateRetVoid();
}

void Emitter::emit_entry(const KernelModule& module, const Kernel& kernel, const Outline& outline,
                         const std::vector<std::string>& function_names, const std::string& name) {
  auto* type = FunctionType::get(builder_.getInt32Ty(), {builder_.getPtrTy()}, false);
  Function* function = new_function(type, name, llvm::GlobalValue::ExternalLinkage);
  begin_function(function, kernel);
  kernels_ = &module;
  outline_ = &outline;
  function_names_ = &function_names;
  entry_name_ = name;
  parallel_bodies_ = 0;
  call_ = function->getArg(0);
  if (profile_.plan) start_profile();
  emit_block(kernel.body);
  builder_.CreateRet(builder_.getInt32(0));
  kernels_ = nullptr;
  outline_ = nullptr;
  call_ = nullptr;
}

void Emitter::emit_block(const Block& block) {
  if (profile_.plan && outline_) return emit_profiled_block(block);
  for (const Statement& statement : block) emit_statement(statement);
}

void Emitter::emit_statement(const Statement& statement) {
  if (outline_) {
    if (const auto call = outline_->calls.find(&statement); call != outline_->calls.end()) return emit_call(call->second);
  }
  memo_.clear();
  if (const Store* stored = std::get_if<Store>(&statement.node)) {
    store_statement(*stored);
  } else if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) {
    emit_reduce(*reduce);
  } else if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
    emit_contraction(*contraction);
  } else if (const Transpose* transpose = std::get_if<Transpose>(&statement.node)) {
    emit_transpose(*transpose);
  } else {
    const For& loop = std::get<For>(statement.node);
    if (loop.kind == ForKind::parallel) return emit_parallel(loop);
    if (loop.kind == ForKind::vector) return emit_vector(loop);
    emit_serial(loop);
  }
}

void Emitter::emit_call(const OutlinedCall& call) {
  std::vector<Value*> arguments;
  for (const BufferId buffer : call.buffers) arguments.push_back(buffer_address(buffer));
  for (const Dim& parameter : call.parameters) arguments.push_back(dim_value(parameter));
  builder_.CreateCall(declare_function(outline_->functions[call.function], (*function_names_)[call.function]), arguments);
}

// ------------------------------------------------------------------------------------- what an entry gets from its call

// struct moru_kernel_call { buffers, symbols, parallel_for, pool }: four pointers.
Value* Emitter::call_field(unsigned index, const char* name) {
  llvm::IRBuilder<> at_entry(function_->getEntryBlock().getTerminator());
  Value* address = at_entry.CreateConstGEP1_32(at_entry.getPtrTy(), call_, index);
  return at_entry.CreateLoad(at_entry.getPtrTy(), address, name);
}

Value* Emitter::buffer_address(BufferId buffer) {
  if (const auto known = addresses_.find(buffer); known != addresses_.end()) return known->second;
  check_internal(call_ != nullptr, "an outlined function uses a buffer that is not among its arguments");
  int64_t position = kernel_->buffers[buffer].slot;
  if (position < 0) {
    position = kernels_->slot_count;
    for (BufferId before = 0; before < buffer; ++before) position += kernel_->buffers[before].slot < 0 ? 1 : 0;
  }
  Value* buffers = call_field(0, "buffers");
  llvm::IRBuilder<> at_entry(function_->getEntryBlock().getTerminator());
  Value* place = at_entry.CreateConstGEP1_64(at_entry.getPtrTy(), buffers, static_cast<uint64_t>(position));
  llvm::LoadInst* address = at_entry.CreateLoad(at_entry.getPtrTy(), place);
  return addresses_[buffer] = address;
}

Binding& Emitter::symbol(const std::string& name) {
  if (const auto known = bindings_.find(name); known != bindings_.end()) return known->second;
  const std::string message = "the symbol '" + name + "' has no value here";
  check_internal(call_ != nullptr, message.c_str());
  for (size_t position = 0; position < kernels_->symbols.size(); ++position) {
    if (kernels_->symbols[position] != name) continue;
    Value* symbols = call_field(1, "symbols");
    llvm::IRBuilder<> at_entry(function_->getEntryBlock().getTerminator());
    Value* place = at_entry.CreateConstGEP1_64(at_entry.getInt64Ty(), symbols, position);
    return bindings_[name] = {at_entry.CreateLoad(at_entry.getInt64Ty(), place, name), 0, 0};
  }
  throw InternalError(message);
}

// The body becomes a moru_chunk_body. Its context is an array: the call, then the enclosing loops' variables.
void Emitter::emit_parallel(const For& loop) {
  std::vector<std::string> captured;
  for (const auto& [name, binding] : bindings_) {
    const bool is_symbol = std::find(kernels_->symbols.begin(), kernels_->symbols.end(), name) != kernels_->symbols.end();
    if (!is_symbol && (binding.depth > 0 || name == "worker")) captured.push_back(name);
  }
  Type* word = builder_.getInt64Ty();
  llvm::IRBuilder<> at_entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  Value* body_context = at_entry.CreateAlloca(llvm::ArrayType::get(word, captured.size() + 1));
  builder_.CreateStore(call_, body_context);
  for (size_t i = 0; i < captured.size(); ++i) {
    builder_.CreateStore(dim_value(Dim::symbol(captured[i])), builder_.CreateConstGEP1_64(word, body_context, i + 1));
  }

  auto* type = FunctionType::get(builder_.getVoidTy(), {builder_.getPtrTy(), word, word}, false);
  Function* body = new_function(type, entry_name_ + "_chunk_" + std::to_string(parallel_bodies_++),
                                llvm::GlobalValue::InternalLinkage);
  Value* pool = call_field(3, "pool");
  Value* run = call_field(2, "parallel_for");
  auto* run_type = FunctionType::get(builder_.getVoidTy(), {builder_.getPtrTy(), word, builder_.getPtrTy(), builder_.getPtrTy()}, false);
  builder_.CreateCall(run_type, run, {pool, dim_value(loop.extent), body, body_context});

  // The body is emitted now; what belongs to the function around it is put back afterwards.
  const auto outer_point = builder_.saveIP();
  Function* const outer_function = function_;
  auto outer_bindings = bindings_;
  auto outer_addresses = addresses_;
  const int outer_depth = depth_;
  Value* const outer_call = call_;
  begin_function(body, *kernel_);
  Value* given = body->getArg(0);
  call_ = builder_.CreateLoad(builder_.getPtrTy(), given);
  // Fields of the call are read in the prologue, so it is read there too.
  llvm::cast<llvm::Instruction>(call_)->moveBefore(function_->getEntryBlock().getTerminator());
  for (size_t i = 0; i < captured.size(); ++i) {
    bindings_[captured[i]] = {builder_.CreateLoad(word, builder_.CreateConstGEP1_64(word, given, i + 1)), 0, 0};
  }
  bindings_["worker"] = {body->getArg(2), 0, 0};
  bindings_[loop.var] = {body->getArg(1), 0, 1};
  depth_ = 1;
  emit_block(loop.body);
  builder_.CreateRetVoid();

  builder_.restoreIP(outer_point);
  function_ = outer_function;
  bindings_ = std::move(outer_bindings);
  addresses_ = std::move(outer_addresses);
  depth_ = outer_depth;
  call_ = outer_call;
  memo_.clear();
}

}  // namespace moru
