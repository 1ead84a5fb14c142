#include "compiler/ir/accesses.h"

namespace moru {

void AccessVisitor::operator()(const Block& block) {
  for (const Statement& statement : block) (*this)(statement);
}

void AccessVisitor::operator()(const Statement& statement) {
  if (const For* loop = std::get_if<For>(&statement.node)) return (*this)(loop->body);
  seen_.clear();
  if (const Store* s = std::get_if<Store>(&statement.node)) {
    store(*s);
  } else if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) {
    expression(reduce->value);
    access(reduce->target, reduce->accumulate ? AccessKind::update : AccessKind::write);
  } else if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
    access(contraction->a, AccessKind::read);
    access(contraction->b, AccessKind::read);
    expression(contraction->init);
    for (const Store& stored : contraction->epilogue) store(stored);
  } else {
    const Transpose& transpose = std::get<Transpose>(statement.node);
    access(transpose.from, AccessKind::read);
    access(transpose.to, AccessKind::write);
  }
}

void AccessVisitor::expression(const Expr& e) {
  if (!e || !seen_.insert(e.get()).second) return;
  if (e->op == ExprOp::load) access(e->access, AccessKind::read);
  for (const Expr& argument : e->args) expression(argument);
}

void AccessVisitor::access(const Access& a, AccessKind kind) {
  expression(a.dynamic);
  visit_(a, kind);
}

void AccessVisitor::store(const Store& s) {
  expression(s.value);
  access(s.access, s.accumulate ? AccessKind::update : AccessKind::write);
}

void collect_loads(const Expr& expr, std::unordered_set<const ExprNode*>& seen, std::vector<const Access*>& loads) {
  if (!expr || !seen.insert(expr.get()).second) return;
  if (expr->op == ExprOp::load) {
    loads.push_back(&expr->access);
    collect_loads(expr->access.dynamic, seen, loads);
  }
  for (const Expr& argument : expr->args) collect_loads(argument, seen, loads);
}

std::vector<int> count_accesses(const Kernel& kernel) {
  std::vector<int> counts(kernel.buffers.size(), 0);
  AccessVisitor([&](const Access& access, AccessKind) { ++counts[access.buffer]; })(kernel.body);
  return counts;
}

}  // namespace moru
