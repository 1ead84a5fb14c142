// Rewriting dims and accesses everywhere in statements.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/ir/kernels.h"

namespace moru {

/// Rewrites every dim and every access of statements. Expressions that were shared stay shared, as long as one Rewriter
/// sees them all. What declares a name (a loop's variable) is left as it is.
class Rewriter {
 public:
  void apply(Block& block);
  void apply(Dim& dim) const { if (dim_) dim_(dim); }
  void apply(Access& access);
  void apply(Expr& e);
  void apply(Store& s);
  void apply(Reduce& s);
  void apply(For& s);
  void apply(Contraction& s);
  void apply(Transpose& s);

 protected:
  std::function<void(Dim&)> dim_;        // may be empty
  std::function<void(Access&)> access_;  // may be empty

 private:
  std::unordered_map<const ExprNode*, Expr> done_;
  std::vector<Expr> alive_;  // keys of done_ stay valid
};

/// Replaces one symbol or loop variable.
class Substitution : public Rewriter {
 public:
  Substitution(std::string symbol, Dim value) {
    dim_ = [symbol = std::move(symbol), value = std::move(value)](Dim& dim) { dim = dim.substitute(symbol, value); };
  }
};

/// Adds `by` to the offsets of all accesses to one buffer.
class Shift : public Rewriter {
 public:
  Shift(BufferId buffer, Dim by) {
    access_ = [buffer, by = std::move(by)](Access& access) { if (access.buffer == buffer) access.offset += by; };
  }
};

}  // namespace moru
