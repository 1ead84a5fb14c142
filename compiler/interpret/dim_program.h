// Dims compiled for fast evaluation by the kernel interpreter: names become positions in an array of values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/support/dim.h"

namespace moru {

/// The names in scope and where their values are. Positions are never reused, so code for an inner scope stays valid.
class NameScope {
 public:
  int push(std::string name);  // the position of a new, innermost name
  void pop() { names_.pop_back(); }
  int find(std::string_view name) const;  // throws InternalError if it is not in scope
  size_t positions() const { return static_cast<size_t>(next_); }

 private:
  std::vector<std::pair<std::string, int>> names_;
  int next_ = 0;
};

class DimProgram {
 public:
  DimProgram() = default;
  DimProgram(const Dim& dim, const NameScope& scope);
  /// `values` by position. Throws InternalError on overflow and on division by a number that is not positive.
  int64_t evaluate(const int64_t* values) const;

 private:
  enum class Op : uint8_t { constant, value, add, multiply, floor_div, ceil_div, max };
  struct Step {
    Op op;
    int64_t operand = 0;  // the constant or the position
  };
  std::vector<Step> steps_;  // postfix
  size_t depth_ = 0;         // of the stack
  void compile(const Dim& dim, const NameScope& scope, size_t depth);
  void emit(Op op, int64_t operand, size_t depth);
};

}  // namespace moru
