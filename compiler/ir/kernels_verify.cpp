#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <unordered_set>

#include "compiler/ir/access_overlap.h"
#include "compiler/ir/accesses.h"
#include "compiler/ir/expr_types.h"
#include "compiler/ir/kernels.h"
#include "compiler/ir/statement_label.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

/// True where the expression's value can depend on the variable.
bool depends_on(const Expr& expr, const std::string& var, std::unordered_set<const ExprNode*>& seen) {
  if (!expr || !seen.insert(expr.get()).second) return false;
  if (expr->dim.contains(var) || expr->access.offset.contains(var)) return true;
  if (depends_on(expr->access.dynamic, var, seen)) return true;
  return std::any_of(expr->args.begin(), expr->args.end(), [&](const Expr& arg) { return depends_on(arg, var, seen); });
}
bool depends_on(const Access& access, const std::string& var) {
  std::unordered_set<const ExprNode*> seen;
  return access.offset.contains(var) || depends_on(access.dynamic, var, seen);
}

class Verifier {
 public:
  Verifier(const Kernel& kernel, std::string_view after) : kernel_(kernel), after_(after) {}

  void run() {
    std::set<int32_t> slots;
    for (const Buffer& buffer : kernel_.buffers) {
      buffer.elements.collect_symbols(symbols_);
      if (buffer.slot >= 0 && !slots.insert(buffer.slot).second)
        fail("two buffers are in slot " + std::to_string(buffer.slot));
    }
    collect_variables(kernel_.body);
    for (const std::string& name : variables_)
      if (std::find(symbols_.begin(), symbols_.end(), name) != symbols_.end())
        fail("the loop variable '" + name + "' has the name of a symbol");
    block(kernel_.body);
  }

 private:
  const Kernel& kernel_;
  std::string_view after_;
  const Statement* statement_ = nullptr;
  std::vector<std::string> symbols_;  // of the buffers' sizes
  std::set<std::string> variables_;   // of all loops
  std::vector<LoopRange> scope_;      // enclosing loops, outermost first
  std::optional<std::string> chunk_;  // of the enclosing parallel loop
  std::unordered_set<const ExprNode*> checked_;
  std::optional<DType> accumulator_;  // its type, in an epilogue

  [[noreturn]] void fail(const std::string& what) const {
    const std::string where = statement_ ? statement_label(kernel_, *statement_) : "kernel '" + kernel_.entry + "'";
    throw InternalError("after " + std::string(after_) + ": " + where + ": " + what);
  }
  void require(bool condition, const char* what) const {
    if (!condition) fail(what);
  }

  void collect_variables(const Block& statements) {
    for (const Statement& statement : statements) {
      if (const For* loop = std::get_if<For>(&statement.node)) {
        variables_.insert(loop->var);
        collect_variables(loop->body);
      } else if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) {
        variables_.insert(reduce->var);
      } else if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
        for (const auto* axes : {&contraction->rows, &contraction->columns, &contraction->depth})
          for (const ContractionAxis& axis : *axes) variables_.insert(axis.var);
      }
    }
  }

  // Scoping ---------------------------------------------------------------------------------------------------------

  bool in_scope(std::string_view name) const {
    return std::any_of(scope_.begin(), scope_.end(), [&](const LoopRange& range) { return range.var == name; });
  }
  void push(const std::string& var, const Dim& extent) {
    require(!var.empty() && var != "worker" && var != "workers", "a loop variable has a reserved name or none");
    if (in_scope(var)) fail("the loop variable '" + var + "' is in scope already");
    dim(extent);
    scope_.push_back({var, extent});
  }
  void pop(size_t count = 1) { scope_.resize(scope_.size() - count); }

  // The kernel does not list its symbols, so a name is wrong if it is a loop variable somewhere else.
  void dim(const Dim& value) const {
    std::vector<std::string> names;
    value.collect_symbols(names);
    for (const std::string& name : names) {
      if (variables_.contains(name) && !in_scope(name))
        fail("uses the variable '" + name + "' outside of its loop, in " + value.text());
      if (name == "worker" && !chunk_) fail("uses 'worker' outside of a parallel loop");
    }
  }

  // Types -----------------------------------------------------------------------------------------------------------

  const Buffer& buffer(const Access& access) const {
    if (access.buffer >= kernel_.buffers.size()) fail("there is no buffer " + std::to_string(access.buffer));
    return kernel_.buffers[access.buffer];
  }
  void access(const Access& value) {
    buffer(value);
    dim(value.offset);
    if (value.offset.is_constant() && !value.dynamic) require(value.offset.constant() >= 0, "an address is negative");
    if (!value.dynamic) return;
    expr(value.dynamic);
    require(value.dynamic->type == DType::i64, "the dynamic part of an address is not an i64");
  }

  void expr(const Expr& e) {
    require(e != nullptr, "an expression is missing");
    if (!checked_.insert(e.get()).second) return;
    for (const Expr& arg : e->args) expr(arg);
    DType type = DType::f32;
    try {
      type = expr_result_type(e->op, e->args, e->type);
    } catch (const InternalError& error) {
      fail(error.what());
    }
    if (type != e->type)
      fail(std::string(expr_op_name(e->op)) + " is said to be " + std::string(dtype_name(e->type)) + " but is " +
           std::string(dtype_name(type)));
    switch (e->op) {
      case ExprOp::constant:
        constant(*e);
        break;
      case ExprOp::index:
        dim(e->dim);
        break;
      case ExprOp::load:
        access(e->access);
        require(e->type == buffer(e->access).dtype, "a load is not of its buffer's type");
        break;
      case ExprOp::accumulator:
        require(accumulator_.has_value(), "acc is used outside of a contraction's epilogue");
        require(accumulator_ == e->type, "acc is not of the contraction's type");
        break;
      default:
        break;
    }
  }
  void constant(const ExprNode& e) const {
    if (e.type == DType::f32)
      require(std::isnan(e.number) || static_cast<double>(static_cast<float>(e.number)) == e.number,
              "a constant is not exactly an f32");
    require(e.type != DType::bf16, "there are no constants of type bf16");
    if (e.type == DType::i32) require(e.bits == static_cast<int32_t>(e.bits), "a constant does not fit an i32");
    if (e.type == DType::boolean) require(e.bits == 0 || e.bits == 1, "a boolean constant is neither 0 nor 1");
  }

  void write(const Access& target, DType type, bool accumulate) {
    access(target);
    if (buffer(target).dtype != type)
      fail("a value of type " + std::string(dtype_name(type)) + " is stored into \"" + buffer(target).name +
           "\", which is " + std::string(dtype_name(buffer(target).dtype)));
    require(!accumulate || type != DType::boolean, "a boolean cannot be accumulated");
    require(!accumulate || type != DType::bf16, "bf16 cannot be accumulated");
  }
  void store(const Store& value) {
    checked_.clear();
    expr(value.value);
    write(value.access, value.value->type, value.accumulate);
    parallel_write(value.access);
  }

  // Chunks run at the same time: two of them must not write one element. The check is by name only: an address that
  // mentions neither the chunk nor the worker nor any variable whose range depends on the chunk is the same in all.
  void parallel_write(const Access& target) const {
    if (!chunk_) return;
    std::set<std::string> chunked{*chunk_, "worker"};
    for (const LoopRange& range : scope_) {
      std::vector<std::string> names;
      range.extent.collect_symbols(names);
      if (std::any_of(names.begin(), names.end(), [&](const std::string& n) { return chunked.contains(n); }))
        chunked.insert(range.var);
    }
    const bool apart =
        std::any_of(chunked.begin(), chunked.end(), [&](const std::string& name) { return depends_on(target, name); });
    require(apart, "every chunk of a parallel loop writes the same element");
  }

  // Statements ------------------------------------------------------------------------------------------------------

  void block(const Block& statements) {
    for (const Statement& statement : statements) {
      statement_ = &statement;
      checked_.clear();
      std::visit([&](const auto& node) { verify(node); }, statement.node);
      statement_ = &statement;
    }
  }

  void verify(const Store& node) { store(node); }

  void verify(const Reduce& node) {
    access(node.target);
    push(node.var, node.extent);
    expr(node.value);
    pop();
    require(node.value->type != DType::boolean, "a boolean cannot be reduced");
    require(node.value->type != DType::bf16, "bf16 cannot be reduced");
    write(node.target, node.value->type, node.accumulate);
    require(!depends_on(node.target, node.var), "the target of a reduction depends on its variable");
    parallel_write(node.target);
  }

  void verify(const For& node) {
    push(node.var, node.extent);
    if (node.kind == ForKind::vector) {
      vector_loop(node);
    } else if (node.kind == ForKind::parallel) {
      require(!chunk_, "a parallel loop is inside of another");
      if (!node.extent.is_constant(1)) chunk_ = node.var;
      block(node.body);
      chunk_.reset();
    } else {
      block(node.body);
    }
    pop();
  }

  void vector_loop(const For& loop) {
    struct Use {
      const Statement* statement;
      const Access* access;
    };
    std::vector<Use> stores, loads;
    for (const Statement& statement : loop.body) {
      statement_ = &statement;
      const Store* each = std::get_if<Store>(&statement.node);
      require(each != nullptr, "a vector loop holds stores only");
      store(*each);
      if (each->accumulate && !loop.extent.is_constant(1))
        require(depends_on(each->access, loop.var),
                "an accumulating store in a vector loop adds every iteration to one element");
      stores.push_back({&statement, &each->access});
      std::vector<const Access*> read;
      std::unordered_set<const ExprNode*> seen;
      collect_loads(each->value, seen, read);
      collect_loads(each->access.dynamic, seen, read);
      for (const Access* one : read) loads.push_back({&statement, one});
    }
    loads.insert(loads.end(), stores.begin(), stores.end());
    for (const Use& written : stores)
      for (const Use& used : loads) {
        if (used.access->buffer != written.access->buffer || used.access == written.access) continue;
        if (independent(*written.access, *used.access, loop)) continue;
        statement_ = used.statement;
        fail("iterations of the vector loop over '" + loop.var + "' may meet: one writes " + element(*written.access) +
             ", another uses " + element(*used.access));
      }
  }
  std::string element(const Access& access) const {
    return "\"" + buffer(access).name + "\"[" + access.offset.text() + (access.dynamic ? "; ..." : "") + "]";
  }

  // Different iterations never touch the same element.
  bool independent(const Access& written, const Access& used, const For& loop) const {
    if (loop.extent.is_constant(1)) return true;
    const bool same_dynamic = equal_exprs(written.dynamic, used.dynamic);
    const LoopRange range{loop.var, loop.extent};
    const std::span<const LoopRange> enclosing(scope_.data(), scope_.size() - 1);
    if (!written.dynamic && !used.dynamic && provably_disjoint(written.offset, used.offset, {&range, 1}, enclosing))
      return true;
    if (!same_dynamic) return false;
    std::unordered_set<const ExprNode*> seen;
    if (depends_on(written.dynamic, loop.var, seen)) return written.offset == used.offset;
    const auto step = written.offset.coefficient(loop.var);
    if (!step || step->is_constant(0) || used.offset.coefficient(loop.var) != step) return false;
    // Same stride: they meet where the distance is a multiple of it, other than none, within the extent.
    const Dim distance = used.offset - written.offset;
    if (distance.is_constant(0)) return true;
    if (step->is_constant() && distance.is_constant() && distance.constant() % step->constant() != 0) return true;
    const Dim length = *step * loop.extent;
    return provably_not_negative(distance - length, scope_) ||
           provably_not_negative(Dim(0) - distance - length, scope_);
  }

  void push_axes(const std::vector<ContractionAxis>& axes) {
    for (const ContractionAxis& axis : axes) push(axis.var, axis.extent);
  }
  void excludes(const Access& access, const std::vector<ContractionAxis>& axes, const char* what) const {
    for (const ContractionAxis& axis : axes) require(!depends_on(access, axis.var), what);
  }

  void verify(const Contraction& node) {
    require(is_float(node.type), "a contraction is in f32 or f64");
    const size_t outside = scope_.size();
    push_axes(node.rows);
    push_axes(node.columns);
    if (node.init) {
      expr(node.init);
      require(node.init->type == node.type, "init is not of the contraction's type");
    }
    accumulator_ = node.type;
    for (const Store& each : node.epilogue) store(each);
    accumulator_.reset();
    checked_.clear();

    push_axes(node.depth);
    for (const Access* operand : {&node.a, &node.b}) {
      access(*operand);
      const DType type = buffer(*operand).dtype;
      require(type == node.type || (type == DType::bf16 && node.type == DType::f32),
              "an operand is not of the contraction's type");
    }
    require(buffer(node.a).dtype == buffer(node.b).dtype, "the operands are of two types");
    excludes(node.a, node.columns, "a depends on a column variable");
    excludes(node.b, node.rows, "b depends on a row variable");
    if (!node.columns.empty() && !node.columns.back().extent.is_constant(1)) {
      const auto stride = node.b.offset.coefficient(node.columns.back().var);
      require(stride && stride->is_constant(1) && !dynamic_depends(node.b, node.columns.back().var),
              "b does not have stride 1 along the last column axis");
    }
    const std::span<const LoopRange> all(scope_);
    for (const Store& each : node.epilogue)
      for (const Access* operand : {&node.a, &node.b}) {
        if (each.access.buffer != operand->buffer) continue;
        const bool apart =
            !each.access.dynamic && !operand->dynamic &&
            provably_disjoint(each.access.offset, operand->offset, all.subspan(outside), all.subspan(0, outside));
        if (!apart)
          fail("the epilogue writes " + element(each.access) + ", which may be what the operand " + element(*operand) +
               " reads");
      }
    epilogue_points(node);
    pop(scope_.size() - outside);
  }
  static bool dynamic_depends(const Access& access, const std::string& var) {
    std::unordered_set<const ExprNode*> seen;
    return depends_on(access.dynamic, var, seen);
  }

  // A store that does not move with an axis would have every point along it write one element.
  void epilogue_points(const Contraction& node) const {
    for (const Store& each : node.epilogue)
      for (const auto* axes : {&node.rows, &node.columns})
        for (const ContractionAxis& axis : *axes)
          require(axis.extent.is_constant(1) || depends_on(each.access, axis.var),
                  "the epilogue writes one element from several points");
  }

  void verify(const Transpose& node) {
    for (const Dim* value : {&node.rows, &node.columns, &node.from_stride, &node.to_stride}) dim(*value);
    access(node.from);
    access(node.to);
    require(buffer(node.from).dtype == buffer(node.to).dtype, "a transposition changes the type");
    require(node.from.buffer != node.to.buffer || (!node.from.dynamic && !node.to.dynamic && transposed_apart(node)),
            "a transposition may overwrite what it reads");
    parallel_write(node.to);
  }
  bool transposed_apart(const Transpose& node) const {
    const Dim r = Dim::symbol("transposed row"), c = Dim::symbol("transposed column");
    const LoopRange ranges[] = {{"transposed row", node.rows}, {"transposed column", node.columns}};
    return provably_disjoint(node.from.offset + r * node.from_stride + c, node.to.offset + c * node.to_stride + r,
                             ranges, scope_);
  }
};

}  // namespace

void verify_kernel(const Kernel& kernel, std::string_view after) { Verifier(kernel, after).run(); }

}  // namespace moru
