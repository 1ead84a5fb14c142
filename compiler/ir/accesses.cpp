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

}  // namespace moru
