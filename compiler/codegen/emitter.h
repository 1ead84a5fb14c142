// Emits one LLVM module from kernels. Internal to compiler/codegen: the only header that includes LLVM.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "compiler/codegen/outline.h"
#include "compiler/codegen/profile.h"
#include "compiler/codegen/target.h"
#include "compiler/codegen/tile.h"
#include "compiler/ir/kernels.h"

namespace moru {

/// The value of a symbol or variable: base + plus. The constant is kept apart so that it ends in an address's
/// displacement. `depth` counts the loops around it: terms are added outermost first, so that sums can be hoisted.
struct Binding {
  llvm::Value* base = nullptr;  // null: just `plus`
  int64_t plus = 0;
  int depth = 0;
};

class Emitter {
 public:
  /// `lanes` 32-bit elements make a vector.
  Emitter(llvm::Module& module, const Target& target, int lanes);

  /// The function of an outlined statement; declared on first use, so that callers and callee may be in two modules.
  llvm::Function* declare_function(const OutlinedFunction& function, const std::string& name);
  void emit_function(const KernelModule& module, const OutlinedFunction& function, const std::string& name);

  /// Entries that are emitted from now on count their time in a table of this name, hidden, for `workers` workers.
  void set_profile(const ProfilePlan& plan, const std::string& name, size_t workers);

  /// int32_t name(const moru_kernel_call*), hidden unless `exported`.
  void emit_entry(const KernelModule& module, const Kernel& kernel, const Outline& outline,
                  const std::vector<std::string>& function_names, const std::string& name);

 private:
  using Values = std::vector<llvm::Value*>;

  // --- emit_functions.cpp: functions, entries, parallel bodies
  void begin_function(llvm::Function* function, const Kernel& kernel);
  void emit_block(const Block& block);
  void emit_statement(const Statement& statement);
  void emit_call(const OutlinedCall& call);
  void emit_parallel(const For& loop);
  llvm::Value* buffer_address(BufferId buffer);
  Binding& symbol(const std::string& name);
  llvm::Value* call_field(unsigned index, const char* name);
  llvm::Function* new_function(llvm::FunctionType* type, const std::string& name, llvm::GlobalValue::LinkageTypes linkage);

  // --- emit_profile.cpp
  void start_profile();
  void emit_profiled_block(const Block& block);
  llvm::Value* read_counter();
  llvm::Value* count_region(size_t region, llvm::Value* before);  // the counter now

  // --- emit_loops.cpp
  using LoopBody = std::function<void(llvm::Value*)>;
  using CarryBody = std::function<Values(llvm::Value*, const Values&)>;
  // for (i = begin; i < end; i += step), `end` exclusive; carried values are what the body returns.
  void emit_loop(llvm::Value* begin, llvm::Value* end, int64_t step, const LoopBody& body);
  Values emit_carry_loop(llvm::Value* begin, llvm::Value* end, int64_t step, Values carried, const CarryBody& body);
  void emit_if(llvm::Value* condition, const std::function<void()>& then);
  void emit_serial(const For& loop);
  bool is_worth_unrolling(const For& loop) const;
  void emit_vector(const For& loop);
  void emit_reduce(const Reduce& reduce);
  bool emit_column_reductions(const For& loop);
  void emit_column_reduction(const Reduce& reduce, const std::string& column, const std::vector<ColumnPiece>& pieces,
                             Binding first);
  void emit_transpose(const Transpose& transpose);
  llvm::Value* combine(ReduceOp op, llvm::Value* a, llvm::Value* b);
  llvm::Constant* identity(ReduceOp op, DType type);
  llvm::Value* combine_partials(ReduceOp op, llvm::Value* partials);

  // --- emit_contraction.cpp
  struct Tile;
  const FunctionParameter* find_parameter(std::string_view name) const;
  int64_t nominal_extent(const Dim& extent) const;
  void emit_contraction(const Contraction& contraction);
  void emit_column_blocks(Tile& tile);
  void emit_row_blocks(Tile& tile);
  void emit_tile(Tile& tile, llvm::Value* row, int height);
  Values emit_depth(Tile& tile, size_t axis, int height, Values accumulators);
  bool can_walk(const Tile& tile) const;
  using StepEmitter = Values (Emitter::*)(Tile&, int height, const Values& accumulators);
  Values emit_walk(Tile& tile, int height, Values accumulators, llvm::Value* turns, int64_t elements, StepEmitter emit);
  Values emit_step(Tile& tile, int height, const Values& accumulators);
  Values emit_pairs(Tile& tile, int height, Values accumulators);
  Values emit_pair_step(Tile& tile, int height, const Values& accumulators);
  llvm::Value* load_operand(const Access& access);
  llvm::Value* load_pair(const Tile& tile);
  void emit_epilogue(Tile& tile, llvm::Value* row, int height, const Values& accumulators);

  // --- emit_expressions.cpp
  struct Parts {
    llvm::Value* variable = nullptr;
    int64_t constant = 0;
  };
  Parts dim_parts(const Dim& dim);
  llvm::Value* dim_value(const Dim& dim);
  llvm::Value* dim_lanes(const Dim& dim);
  llvm::Value* dim_any(const Dim& dim) { return is_varying(dim) ? dim_lanes(dim) : dim_value(dim); }
  llvm::Value* divide(DimFactor::Kind kind, llvm::Value* a, llvm::Value* b);
  int dim_depth(const Dim& dim);
  bool is_varying(const Dim& dim) const { return lanes_ > 1 && dim.contains(vector_variable_); }
  llvm::Value* element_pointer(BufferId buffer, const Dim& offset);
  llvm::Value* load(const Access& access);
  void store(const Access& access, llvm::Value* value, bool accumulate);
  void store_statement(const Store& statement);
  llvm::Value* value(const Expr& expr);
  llvm::Value* compute(const Expr& expr);
  llvm::Value* convert(const Expr& expr, llvm::Value* from);
  llvm::Value* minimum_or_maximum(const Expr& expr, llvm::Value* a, llvm::Value* b);
  llvm::Value* integer_division(llvm::Value* a, llvm::Value* b);
  llvm::Value* widen_bf16(llvm::Value* bits);
  llvm::Value* narrow_to_bf16(llvm::Value* from);
  llvm::Value* fused_multiply_add(llvm::Value* a, llvm::Value* b, llvm::Value* c);
  llvm::Value* multiply_add_in_doubles(llvm::Value* a, llvm::Value* b, llvm::Value* c);
  llvm::Value* in_lanes(llvm::Value* scalar_or_vector);
  llvm::Type* scalar_type(DType type);
  llvm::Type* memory_type(DType type);
  llvm::Type* lanes_of(llvm::Type* type, int lanes);
  llvm::Type* same_lanes(llvm::Type* type, llvm::Value* as);
  llvm::Value* from_memory(llvm::Value* stored, DType type);
  llvm::Value* to_memory(llvm::Value* value, DType type);
  llvm::Value* iota(llvm::Type* element, int lanes);
  llvm::Value* mask_for(llvm::Value* remaining, int lanes);
  llvm::Value* constant_mask(int active, int lanes);
  llvm::Value* number(int64_t value) { return builder_.getInt64(static_cast<uint64_t>(value)); }

  /// Evaluates `body` with `variable` standing for `lanes` consecutive values from `first` on.
  void with_lanes(const std::string& variable, Binding first, int lanes, llvm::Value* mask,
                  const std::function<void()>& body);

  llvm::Module& module_;
  llvm::LLVMContext& context_;
  const Target& target_;
  const int width_;  // 32-bit lanes of a vector
  llvm::IRBuilder<> builder_;

  // Of the function being emitted:
  const Kernel* kernel_ = nullptr;
  llvm::Function* function_ = nullptr;
  std::map<std::string, Binding, std::less<>> bindings_;
  std::map<BufferId, llvm::Value*> addresses_;
  int depth_ = 0;
  int lanes_ = 1;
  std::string vector_variable_;
  llvm::Value* mask_ = nullptr;  // null: all lanes
  llvm::Value* accumulator_ = nullptr;
  std::unordered_map<const ExprNode*, llvm::Value*> memo_;

  const OutlinedFunction* outlined_ = nullptr;  // the function that is being emitted, or null

  // Of the entry being emitted; null inside outlined functions.
  const KernelModule* kernels_ = nullptr;
  const Outline* outline_ = nullptr;
  const std::vector<std::string>* function_names_ = nullptr;
  llvm::Value* call_ = nullptr;
  std::string entry_name_;
  int parallel_bodies_ = 0;

  struct {
    const ProfilePlan* plan = nullptr;  // null: no profile
    llvm::GlobalVariable* table = nullptr;
    size_t workers = 0;
  } profile_;
};

/// Distinct nodes of an expression: a measure of the code it becomes.
int expression_size(const Expr& expr);
int block_size(const Block& block);

}  // namespace moru
