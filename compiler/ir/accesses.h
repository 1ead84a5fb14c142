// Every buffer access of statements, in the order in which they are made.
#pragma once

#include <functional>
#include <unordered_set>
#include <vector>

#include "compiler/ir/kernels.h"

namespace moru {

enum class AccessKind : uint8_t { read, write, update };  // update: reads, then writes the same element

/// Calls `visit` for every access below a block. An expression that is shared within a statement is visited once.
class AccessVisitor {
 public:
  explicit AccessVisitor(std::function<void(const Access&, AccessKind)> visit) : visit_(std::move(visit)) {}

  void operator()(const Block& block);
  void operator()(const Statement& statement);

 private:
  std::function<void(const Access&, AccessKind)> visit_;
  std::unordered_set<const ExprNode*> seen_;

  void expression(const Expr& e);
  void access(const Access& a, AccessKind kind);
  void store(const Store& s);
};

/// Appends every access that an expression reads, each once; `seen` is for several expressions together.
void collect_loads(const Expr& expr, std::unordered_set<const ExprNode*>& seen, std::vector<const Access*>& loads);

/// How often the statements below name each buffer, by buffer.
std::vector<int> count_accesses(const Kernel& kernel);

}  // namespace moru
