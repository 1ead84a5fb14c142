#include "compiler/codegen/standalone_object.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>

#include "compiler/codegen/target_machine.h"
#include "compiler/support/error.h"
#include "schema/kernel_abi.h"

namespace moru {

namespace {

using llvm::BasicBlock;
using llvm::Constant;
using llvm::Function;
using llvm::GlobalValue;
using llvm::Type;
using llvm::Value;
using Place = StandaloneSlot::Place;

class LibraryEmitter {
 public:
  LibraryEmitter(llvm::Module& module, const StandalonePlan& plan, const Target& target)
      : module_(module), plan_(plan), target_(target), builder_(module.getContext()) {}

  void emit() {
    word_ = builder_.getInt64Ty();
    pointer_ = builder_.getPtrTy();
    data_ = constant_bytes(plan_.data);
    define_copy();
    define_parallel_for();
    define_arena_bytes();
    if (plan_.state_bytes != 0) define_init();
    if (plan_.prepare) {
      prepare_ = make_function("prepare_arena", builder_.getInt32Ty(), {pointer_}, GlobalValue::InternalLinkage);
      emit_entry(*plan_.prepare, prepare_, {});
    }
    for (const StandaloneEntry& entry : plan_.entries) define_entry(entry);
  }

 private:
  using Values = std::vector<Value*>;

  // ------------------------------------------------------------------------------------------------- small vocabulary

  llvm::ConstantInt* number(uint64_t value) { return builder_.getInt64(value); }
  Value* at(Value* base, Value* bytes) { return builder_.CreateGEP(builder_.getInt8Ty(), base, bytes); }
  Value* at(Value* base, uint64_t bytes) { return at(base, number(bytes)); }
  Value* load_word(Value* base, size_t index) {
    return builder_.CreateLoad(word_, builder_.CreateConstGEP1_64(word_, base, index));
  }
  Value* pointer_field(Value* base, size_t index) { return builder_.CreateConstGEP1_64(pointer_, base, index); }
  /// How far an address is behind the last multiple of what buffers are aligned to.
  Value* misalignment(Value* address) {
    Type* integer = builder_.getIntNTy(static_cast<unsigned>(8 * target_.pointer_bytes));
    return builder_.CreateAnd(builder_.CreatePtrToInt(address, integer), MORU_BUFFER_ALIGNMENT - 1);
  }
  Value* is_aligned(Value* address) { return builder_.CreateIsNull(misalignment(address)); }

  Function* make_function(const std::string& name, Type* result, std::vector<Type*> arguments,
                          GlobalValue::LinkageTypes linkage) {
    Function* function = Function::Create(llvm::FunctionType::get(result, arguments, false), linkage, name, module_);
    function->setDoesNotThrow();
    function->addFnAttr(llvm::Attribute::NoInline);
    set_machine(*function, target_);
    return function;
  }
  Function* begin(Function* function) {
    function_ = function;
    builder_.SetInsertPoint(BasicBlock::Create(module_.getContext(), "", function));
    return function;
  }
  BasicBlock* new_block() { return BasicBlock::Create(module_.getContext(), "", function_); }
  Value* reserve(Type* element, size_t count) {
    llvm::IRBuilder<> at_entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
    return at_entry.CreateAlloca(llvm::ArrayType::get(element, std::max<size_t>(count, 1)));
  }
  void return_code(const StandaloneCode& code) {
    builder_.CreateRet(builder_.getInt32(static_cast<uint32_t>(code.value)));
  }
  void refuse_if(Value* condition, const StandaloneCode& code) {
    BasicBlock *refused = new_block(), *next = new_block();
    builder_.CreateCondBr(condition, refused, next);
    builder_.SetInsertPoint(refused);
    return_code(code);
    builder_.SetInsertPoint(next);
  }
  template <typename Body>
  void emit_if(Value* condition, Body&& body) {
    BasicBlock *inside = new_block(), *next = new_block();
    builder_.CreateCondBr(condition, inside, next);
    builder_.SetInsertPoint(inside);
    body();
    builder_.CreateBr(next);
    builder_.SetInsertPoint(next);
  }
  /// for (i = begin; i < end; i += step)
  template <typename Body>
  void emit_loop(Value* begin, Value* end, uint64_t step, Body&& body) {
    BasicBlock *before = builder_.GetInsertBlock(), *head = new_block(), *inside = new_block(), *next = new_block();
    builder_.CreateBr(head);
    builder_.SetInsertPoint(head);
    llvm::PHINode* i = builder_.CreatePHI(word_, 2);
    i->addIncoming(begin, before);
    builder_.CreateCondBr(builder_.CreateICmpULT(i, end), inside, next);
    builder_.SetInsertPoint(inside);
    body(i);
    i->addIncoming(builder_.CreateAdd(i, number(step)), builder_.GetInsertBlock());
    builder_.CreateBr(head);
    builder_.SetInsertPoint(next);
  }

  Constant* constant_bytes(const std::vector<uint8_t>& bytes) {
    if (bytes.empty()) return llvm::ConstantPointerNull::get(pointer_);
    return constant(llvm::ConstantDataArray::get(module_.getContext(), llvm::ArrayRef<uint8_t>(bytes)), "data",
                    MORU_BUFFER_ALIGNMENT);
  }
  llvm::GlobalVariable* constant(Constant* value, const char* name, uint64_t alignment) {
    auto* variable =
        new llvm::GlobalVariable(module_, value->getType(), true, GlobalValue::InternalLinkage, value, name);
    variable->setAlignment(llvm::Align(alignment));
    return variable;
  }

  // ------------------------------------------------------------------------------------------- what libc would have
  // had

  // copy(to, from, bytes): words, then what is left.
  void define_copy() {
    copy_ =
        begin(make_function("copy", builder_.getVoidTy(), {pointer_, pointer_, word_}, GlobalValue::InternalLinkage));
    Value *to = copy_->getArg(0), *from = copy_->getArg(1), *bytes = copy_->getArg(2);
    const auto move = [&](Type* type, Value* i) {
      builder_.CreateAlignedStore(builder_.CreateAlignedLoad(type, at(from, i), llvm::Align(1)), at(to, i),
                                  llvm::Align(1));
    };
    Value* words = builder_.CreateAnd(bytes, number(~uint64_t{7}));
    emit_loop(number(0), words, 8, [&](Value* i) { move(word_, i); });
    emit_loop(words, bytes, 1, [&](Value* i) { move(builder_.getInt8Ty(), i); });
    builder_.CreateRetVoid();
  }
  void emit_copy(Value* to, Value* from, Value* bytes) { builder_.CreateCall(copy_, {to, from, bytes}); }

  // The pool of one worker: every chunk in turn.
  void define_parallel_for() {
    parallel_for_ = begin(make_function("parallel_for", builder_.getVoidTy(), {pointer_, word_, pointer_, pointer_},
                                        GlobalValue::InternalLinkage));
    auto* body_type = llvm::FunctionType::get(builder_.getVoidTy(), {pointer_, word_, word_}, false);
    Value* chunks = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, parallel_for_->getArg(1), number(0));
    emit_loop(number(0), chunks, 1, [&](Value* chunk) {
      builder_.CreateCall(body_type, parallel_for_->getArg(2), {parallel_for_->getArg(3), chunk, number(0)});
    });
    builder_.CreateRetVoid();
  }

  // -------------------------------------------------------------------------------------------------- calling kernels

  /// What a kernel is called with: moru_kernel_call with room for the buffers of `entry`, and its sizes.
  struct Call {
    Value *call, *buffers, *sizes;
  };
  Call begin_call(const StandaloneEntry& entry, const Values& symbols) {
    Call c;
    c.buffers = reserve(pointer_, plan_.slots.size() + std::max<size_t>(entry.arena_buffers, 1));
    c.sizes = reserve(word_, std::max(StandaloneSizes(entry).count(), entry.inputs.size()));
    c.call = reserve(pointer_, 4);
    Value* values = reserve(word_, plan_.kernels.symbols.size());
    for (size_t i = 0; i < plan_.kernels.symbols.size(); ++i) {
      const std::string& name = plan_.kernels.symbols[i];
      const auto given = std::find(entry.symbols.begin(), entry.symbols.end(), name);
      Value* value = name == "workers" ? number(1) : number(0);
      if (given != entry.symbols.end()) value = symbols[static_cast<size_t>(given - entry.symbols.begin())];
      builder_.CreateStore(value, builder_.CreateConstGEP1_64(word_, values, i));
    }
    const Values fields = {c.buffers, values, parallel_for_, llvm::ConstantPointerNull::get(pointer_)};
    for (size_t i = 0; i < fields.size(); ++i) builder_.CreateStore(fields[i], pointer_field(c.call, i));
    run_into(c, entry.sizes_kernel);
    return c;
  }
  void run(const Call& c, size_t kernel) {
    const std::string name = entry_symbol(plan_.prefix, plan_.kernels.kernels[kernel].entry);
    auto* type = llvm::FunctionType::get(builder_.getInt32Ty(), {pointer_}, false);
    auto* function = llvm::cast<Function>(module_.getOrInsertFunction(name, type).getCallee());
    function->setVisibility(GlobalValue::HiddenVisibility);
    function->setDSOLocal(true);
    builder_.CreateCall(type, function, {c.call});  // always MORU_KERNEL_OK
  }
  /// Runs a kernel whose only arena buffer is the array of sizes.
  void run_into(const Call& c, size_t kernel) {
    builder_.CreateStore(c.sizes, pointer_field(c.buffers, plan_.slots.size()));
    run(c, kernel);
  }

  // -------------------------------------------------------------------------------------------------------- functions

  std::vector<Type*> symbol_types(size_t count) { return std::vector<Type*>(count, word_); }

  void define_arena_bytes() {
    const std::vector<std::string> symbols = plan_.symbols();
    begin(make_function(standalone_function(plan_, "arena_bytes"), word_, symbol_types(symbols.size()),
                        GlobalValue::ExternalLinkage));
    Value* most = number(0);
    for (const StandaloneEntry& entry : plan_.entries) {
      Values values;
      for (const std::string& symbol : entry.symbols)
        values.push_back(function_->getArg(
            static_cast<unsigned>(std::find(symbols.begin(), symbols.end(), symbol) - symbols.begin())));
      const Call c = begin_call(entry, values);
      most =
          builder_.CreateBinaryIntrinsic(llvm::Intrinsic::umax, most, load_word(c.sizes, StandaloneSizes(entry).total));
    }
    builder_.CreateRet(builder_.CreateAdd(most, number(plan_.state_bytes)));
  }

  // init(arena, arena_bytes): zeros, then the rows {offset in the arena, bytes, offset in the data or ~0, pattern}.
  void define_init() {
    begin(make_function(standalone_function(plan_, "init"), builder_.getInt32Ty(), {pointer_, word_},
                        GlobalValue::ExternalLinkage));
    Value* arena = function_->getArg(0);
    check_arena(arena);
    refuse_if(builder_.CreateICmpULT(function_->getArg(1), number(plan_.state_bytes)), standalone_out_of_memory);
    const auto fill = [&](Value* to, Value* bytes, Value* pattern) {
      emit_loop(number(0), bytes, 8, [&](Value* i) { builder_.CreateStore(pattern, at(to, i)); });
    };
    fill(arena, number(plan_.state_bytes), number(0));
    constexpr size_t columns = 4;
    std::vector<uint64_t> rows;
    for (const StandaloneInitial& initial : plan_.initial)
      rows.insert(rows.end(),
                  {initial.arena_offset, initial.bytes, initial.data_offset.value_or(~uint64_t{0}), initial.pattern});
    if (!rows.empty()) {
      Constant* table = constant(llvm::ConstantDataArray::get(module_.getContext(), rows), "initial", 8);
      emit_loop(number(0), number(rows.size() * 8), columns * 8, [&](Value* i) {
        Value* row = at(table, i);
        Value *to = at(arena, load_word(row, 0)), *bytes = load_word(row, 1), *from = load_word(row, 2);
        Value* is_filled = builder_.CreateICmpEQ(from, number(~uint64_t{0}));
        emit_if(builder_.CreateNot(is_filled), [&] { emit_copy(to, at(data_, from), bytes); });
        emit_if(is_filled, [&] { fill(to, bytes, load_word(row, 3)); });
      });
    }
    builder_.CreateStore(number(plan_.hash), at(arena, standalone_hash_at));
    return_code(standalone_ok);
  }

  void check_arena(Value* arena) {
    refuse_if(builder_.CreateOr(builder_.CreateIsNull(arena), builder_.CreateIsNotNull(misalignment(arena))),
              standalone_bad_argument);
  }

  // entry(arena, arena_bytes, sizes..., inputs..., outputs...)
  void define_entry(const StandaloneEntry& entry) {
    std::vector<Type*> types = {pointer_, word_};
    types.insert(types.end(), entry.symbols.size(), word_);
    types.insert(types.end(), entry.arguments().size(), pointer_);
    Function* function = make_function(standalone_function(plan_, entry.name), builder_.getInt32Ty(), types,
                                       GlobalValue::ExternalLinkage);
    Values arguments;
    for (llvm::Argument& argument : function->args()) arguments.push_back(&argument);
    emit_entry(entry, function, {arguments.begin() + 1, arguments.end()});
  }

  /// `given` are the arena's bytes, sizes and arguments; none for `prepare`, which has none and whose caller has
  /// looked.
  void emit_entry(const StandaloneEntry& entry, Function* function, const Values& given) {
    begin(function);
    Value* arena = function->getArg(0);
    const Values symbols =
        given.empty()
            ? Values()
            : Values(given.begin() + 1, given.begin() + 1 + static_cast<std::ptrdiff_t>(entry.symbols.size()));
    const StandaloneSizes place(entry);
    if (!given.empty()) {
      check_arena(arena);
      for (Value* symbol : symbols)
        refuse_if(builder_.CreateICmpUGE(builder_.CreateSub(symbol, number(1)), number(INT32_MAX)),
                  standalone_bad_argument);
    }
    const Call c = begin_call(entry, symbols);
    if (!given.empty()) {
      for (size_t i = place.not_negative; i < place.end; ++i)
        refuse_if(builder_.CreateICmpSLT(load_word(c.sizes, i), number(0)), standalone_bad_argument);
      Value* needed = builder_.CreateAdd(load_word(c.sizes, place.total), number(plan_.state_bytes));
      refuse_if(builder_.CreateICmpULT(given[0], needed), standalone_out_of_memory);
      if (plan_.state_bytes != 0)
        refuse_if(builder_.CreateICmpNE(load_word(arena, standalone_hash_at / 8), number(plan_.hash)),
                  standalone_wrong_state);
      if (entry.reads_derived)
        emit_if(builder_.CreateIsNull(load_word(arena, standalone_prepared_at / 8)),
                [&] { builder_.CreateCall(prepare_, {arena}); });
    }
    for (size_t s = 0; s < plan_.slots.size(); ++s) {
      const StandaloneSlot& slot = plan_.slots[s];
      if (slot.place == Place::argument) continue;
      builder_.CreateStore(at(slot.place == Place::arena ? arena : data_, slot.offset), pointer_field(c.buffers, s));
    }
    // Where an argument lies: with the caller, or, where kernels could not use that, in a copy.
    Value* scratch = at(arena, plan_.state_bytes);
    struct Argument {
      size_t slot;
      Value *given, *used, *bytes;
    };
    std::vector<Argument> arguments;
    const std::vector<size_t> slots = entry.arguments();
    for (size_t i = 0; i < slots.size(); ++i) {
      Argument& argument = arguments.emplace_back();
      argument.slot = slots[i];
      argument.given = given[1 + entry.symbols.size() + i];
      argument.bytes = load_word(c.sizes, place.bytes + i);
      Value* copy = at(scratch, load_word(c.sizes, place.copies + i));
      Value* in_place = is_aligned(argument.given);
      if (i < entry.inputs.size()) {
        refuse_if(builder_.CreateIsNull(argument.given), standalone_bad_argument);
        emit_if(builder_.CreateNot(in_place), [&] { emit_copy(copy, argument.given, argument.bytes); });
      } else {
        // Entries may write up to the next multiple of 64 bytes, which belongs to someone else in the caller's memory.
        Value* whole = builder_.CreateIsNull(builder_.CreateAnd(argument.bytes, MORU_BUFFER_ALIGNMENT - 1));
        in_place = builder_.CreateAnd(builder_.CreateAnd(in_place, whole), builder_.CreateIsNotNull(argument.given));
      }
      argument.used = builder_.CreateSelect(in_place, argument.given, copy);
      builder_.CreateStore(argument.used, pointer_field(c.buffers, argument.slot));
    }
    // The check takes the place of the sizes, so these are read first.
    Values offsets;
    for (size_t i = 0; i < entry.arena_buffers; ++i) offsets.push_back(load_word(c.sizes, place.buffers + i));
    if (entry.check_kernel) {
      run_into(c, *entry.check_kernel);
      Value* outside = number(0);
      for (size_t i = 0; i < entry.inputs.size(); ++i) outside = builder_.CreateOr(outside, load_word(c.sizes, i));
      refuse_if(builder_.CreateIsNotNull(outside), standalone_out_of_range);
    }
    for (size_t i = 0; i < offsets.size(); ++i)
      builder_.CreateStore(at(scratch, offsets[i]), pointer_field(c.buffers, plan_.slots.size() + i));
    run(c, entry.kernel);
    for (size_t i = entry.inputs.size(); i < arguments.size(); ++i) {
      const Argument& output = arguments[i];
      Value* is_elsewhere =
          builder_.CreateAnd(builder_.CreateIsNotNull(output.given), builder_.CreateICmpNE(output.given, output.used));
      emit_if(is_elsewhere, [&] { emit_copy(output.given, output.used, output.bytes); });
    }
    if (given.empty()) builder_.CreateStore(number(1), at(arena, standalone_prepared_at));
    if (entry.changes_parameters) builder_.CreateStore(number(0), at(arena, standalone_prepared_at));
    return_code(standalone_ok);
  }

  llvm::Module& module_;
  const StandalonePlan& plan_;
  const Target& target_;
  llvm::IRBuilder<> builder_;
  Type* word_ = nullptr;
  llvm::PointerType* pointer_ = nullptr;
  Constant* data_ = nullptr;
  Function *copy_ = nullptr, *parallel_for_ = nullptr, *prepare_ = nullptr;
  Function* function_ = nullptr;  // being emitted
};

}  // namespace

std::string standalone_function(const StandalonePlan& plan, const std::string& name) { return plan.prefix + name; }

std::vector<std::string> standalone_functions(const StandalonePlan& plan) {
  std::vector<std::string> names = {standalone_function(plan, "arena_bytes")};
  if (plan.state_bytes != 0) names.push_back(standalone_function(plan, "init"));
  for (const StandaloneEntry& entry : plan.entries) names.push_back(standalone_function(plan, entry.name));
  return names;
}

std::vector<uint8_t> standalone_object(const StandalonePlan& plan, const Target& target) {
  const auto machine = make_target_machine(target, 2);
  llvm::LLVMContext context;
  const auto module = make_llvm_module("moru_standalone", context, *machine, target);
  LibraryEmitter(*module, plan, target).emit();
  std::string complaint;
  llvm::raw_string_ostream stream(complaint);
  if (llvm::verifyModule(*module, &stream)) throw InternalError("the emitted library is not valid: " + complaint);
  return generate(*module, *machine, llvm::CodeGenFileType::ObjectFile);
}

}  // namespace moru
