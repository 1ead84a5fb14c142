// Substitution: replaces a symbol by an expression everywhere in statements.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/ir/kernels.h"

namespace moru {

/// Replaces one symbol or loop variable. Expressions that were shared stay shared, as long as one Substitution sees
/// them all. What declares the name (a loop's variable) is left as it is.
class Substitution {
 public:
  Substitution(std::string symbol, Dim value) : symbol_(std::move(symbol)), value_(std::move(value)) {}

  void apply(Block& block);
  void apply(Dim& dim) { dim = dim.substitute(symbol_, value_); }
  void apply(Access& access);
  void apply(Expr& e);
  void apply(Store& s);
  void apply(Reduce& s);
  void apply(For& s);
  void apply(Contraction& s);
  void apply(Transpose& s);

 private:
  std::string symbol_;
  Dim value_;
  std::unordered_map<const ExprNode*, Expr> done_;
  std::vector<Expr> alive_;  // keys of done_ stay valid
};

}  // namespace moru
