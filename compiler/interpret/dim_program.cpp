#include "compiler/interpret/dim_program.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace moru {

int NameScope::push(std::string name) {
  names_.emplace_back(std::move(name), next_);
  return next_++;
}

int NameScope::find(std::string_view name) const {
  for (size_t i = names_.size(); i-- > 0;)
    if (names_[i].first == name) return names_[i].second;
  throw InternalError("the kernel interpreter was given no value for the symbol '" + std::string(name) + "'");
}

DimProgram::DimProgram(const Dim& dim, const NameScope& scope) { compile(dim, scope, 0); }

void DimProgram::emit(Op op, int64_t operand, size_t depth) {
  steps_.push_back({op, operand});
  depth_ = std::max(depth_, depth);
}

// Leaves the value at stack position `depth`.
void DimProgram::compile(const Dim& dim, const NameScope& scope, size_t depth) {
  if (dim.terms().empty()) return emit(Op::constant, 0, depth + 1);
  bool first_term = true;
  for (const DimTerm& term : dim.terms()) {
    const size_t at = depth + (first_term ? 0 : 1);
    bool first_factor = true;
    if (term.coefficient != 1 || term.factors.empty()) {
      emit(Op::constant, term.coefficient, at + 1);
      first_factor = false;
    }
    for (const DimFactor& factor : term.factors) {
      const size_t place = at + (first_factor ? 0 : 1);
      if (factor.kind == DimFactor::Kind::symbol) {
        emit(Op::value, scope.find(factor.symbol), place + 1);
      } else {
        compile(*factor.left, scope, place);
        compile(*factor.right, scope, place + 1);
        const Op op = factor.kind == DimFactor::Kind::floor_div  ? Op::floor_div
                      : factor.kind == DimFactor::Kind::ceil_div ? Op::ceil_div
                                                                 : Op::max;
        emit(op, 0, place + 2);
      }
      if (!first_factor) emit(Op::multiply, 0, place + 1);
      first_factor = false;
    }
    if (!first_term) emit(Op::add, 0, at + 1);
    first_term = false;
  }
}

int64_t DimProgram::evaluate(const int64_t* values) const {
  if (steps_.size() == 1) return steps_[0].op == Op::constant ? steps_[0].operand : values[steps_[0].operand];
  int64_t small[16] = {};
  std::vector<int64_t> large;
  int64_t* stack = small;
  if (depth_ > 16) {
    large.resize(depth_);
    stack = large.data();
  }
  size_t top = 0;
  auto overflow = [](bool happened) {
    if (happened) throw InternalError("an address or extent overflows 64 bits");
  };
  auto divide = [](int64_t a, int64_t b) {
    if (b <= 0) throw InternalError("an address or extent divides by a number that is not positive");
    return a / b - (a % b < 0 ? 1 : 0);
  };
  for (const Step& step : steps_) {
    if (step.op == Op::constant) {
      stack[top++] = step.operand;
      continue;
    }
    if (step.op == Op::value) {
      stack[top++] = values[step.operand];
      continue;
    }
    const int64_t b = stack[--top];
    int64_t& a = stack[top - 1];
    switch (step.op) {
      case Op::add:
        overflow(__builtin_add_overflow(a, b, &a));
        break;
      case Op::multiply:
        overflow(__builtin_mul_overflow(a, b, &a));
        break;
      case Op::floor_div:
        a = divide(a, b);
        break;
      case Op::ceil_div:
        a = -divide(-a, b);
        break;
      default:
        a = std::max(a, b);
        break;
    }
  }
  return stack[0];
}

}  // namespace moru
