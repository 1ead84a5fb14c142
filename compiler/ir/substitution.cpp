#include "compiler/ir/substitution.h"

namespace moru {

void Rewriter::apply(Block& block) {
  for (Statement& statement : block) std::visit([&](auto& node) { apply(node); }, statement.node);
}

void Rewriter::apply(Access& access) {
  apply(access.offset);
  apply(access.dynamic);
  if (access_) access_(access);
}

void Rewriter::apply(Expr& e) {
  if (!e) return;
  if (auto found = done_.find(e.get()); found != done_.end()) {
    e = found->second;
    return;
  }
  auto copy = std::make_shared<ExprNode>(*e);
  apply(copy->dim);
  apply(copy->access);
  for (Expr& arg : copy->args) apply(arg);
  alive_.push_back(e);
  done_[e.get()] = copy;
  e = std::move(copy);
}

void Rewriter::apply(Store& s) {
  apply(s.access);
  apply(s.value);
}

void Rewriter::apply(Reduce& s) {
  apply(s.extent);
  apply(s.value);
  apply(s.target);
}

void Rewriter::apply(For& s) {
  apply(s.extent);
  apply(s.body);
}

void Rewriter::apply(Contraction& s) {
  for (auto* axes : {&s.rows, &s.columns, &s.depth})
    for (ContractionAxis& axis : *axes) apply(axis.extent);
  apply(s.a);
  apply(s.b);
  apply(s.init);
  for (Store& store : s.epilogue) apply(store);
}

void Rewriter::apply(Transpose& s) {
  apply(s.rows);
  apply(s.columns);
  apply(s.from);
  apply(s.to);
  apply(s.from_stride);
  apply(s.to_stride);
}

}  // namespace moru
