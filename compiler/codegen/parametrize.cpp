#include "compiler/codegen/parametrize.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ir/likely_batch.h"

namespace moru {

namespace {

class Parametrizer {
 public:
  Parametrizer(const std::vector<std::string>& symbols, bool loose, std::vector<FunctionParameter>& parameters)
      : symbols_(symbols), loose_(loose), parameters_(parameters) {}

  void apply(Statement& statement) {
    std::visit([this](auto& node) { apply(node); }, statement.node);
  }

 private:
  // ---------------------------------------------------------------------------------------------------- dimensions
  // The innermost variable of that name.
  const std::string* find_variable(const std::string& symbol) const {
    const auto found =
        std::find_if(scope_.rbegin(), scope_.rend(), [&](const Variable& v) { return v.declared == symbol; });
    return found == scope_.rend() ? nullptr : &found->name;
  }
  bool is_inner(const DimFactor& factor) const {
    if (factor.kind == DimFactor::Kind::symbol) return find_variable(factor.symbol) != nullptr;
    return has_inner(*factor.left) || has_inner(*factor.right);
  }
  bool has_inner(const Dim& dim) const {
    return std::any_of(scope_.begin(), scope_.end(), [&](const Variable& v) { return dim.contains(v.declared); });
  }

  static Dim as_dim(const DimFactor& factor) {
    switch (factor.kind) {
      case DimFactor::Kind::symbol:
        return Dim::symbol(factor.symbol);
      case DimFactor::Kind::floor_div:
        return floor_div(*factor.left, *factor.right);
      case DimFactor::Kind::ceil_div:
        return ceil_div(*factor.left, *factor.right);
      case DimFactor::Kind::max:
        return max(*factor.left, *factor.right);
    }
    return {};
  }
  Dim rewritten(const DimFactor& factor) {
    if (factor.kind == DimFactor::Kind::symbol) return Dim::symbol(*find_variable(factor.symbol));
    const Dim left = address(*factor.left, no_buffer), right = multiple(*factor.right, false);
    switch (factor.kind) {
      case DimFactor::Kind::floor_div:
        return floor_div(left, right);
      case DimFactor::Kind::ceil_div:
        return ceil_div(left, right);
      default:
        return max(left, address(*factor.right, no_buffer));
    }
  }

  /// Terms in variables of the statement, with their coefficients rewritten; `outer` receives the rest.
  Dim inner_part(const Dim& dim, Dim& outer, BufferId buffer = no_buffer) {
    std::map<Dim, Dim> terms;
    for (const DimTerm& term : dim.terms()) {
      Dim coefficient = term.coefficient, inner = 1;
      for (const DimFactor& factor : term.factors)
        (is_inner(factor) ? inner : coefficient) *= is_inner(factor) ? rewritten(factor) : as_dim(factor);
      Dim& sum = inner.is_constant(1) ? outer : terms[inner];
      sum += coefficient;
    }
    Dim result;
    for (const auto& [inner, coefficient] : terms)
      result +=
          (is_slow(inner) && buffer != no_buffer && coefficient.is_constant() ? slow_stride(inner, coefficient, buffer)
                                                                              : multiple(coefficient, false)) *
          inner;
    return result;
  }

  bool is_slow(const Dim& inner) const {
    const std::optional<std::string> symbol = inner.as_symbol();
    return symbol && std::find(slow_.begin(), slow_.end(), *symbol) != slow_.end();
  }
  Dim slow_stride(const Dim& axis, const Dim& stride, BufferId buffer) {
    for (const Stride& known : strides_)
      if (known.buffer == buffer && known.axis == axis && known.stride == stride) return Dim::symbol(known.name);
    strides_.push_back({buffer, axis, stride, add(stride).name});
    return Dim::symbol(strides_.back().name);
  }

  /// A constant, or a constant times a parameter, plus what varies inside.
  Dim multiple(const Dim& dim, bool is_extent) {
    Dim outer;
    const Dim inner = has_inner(dim) ? inner_part(dim, outer) : (outer = dim, Dim());
    if (outer.is_constant()) return inner + outer;
    int64_t divisor = 0;
    for (const DimTerm& term : outer.terms()) divisor = std::gcd(divisor, term.coefficient);
    Dim part = floor_div(outer, divisor);
    if (!(part * divisor == outer)) {
      part = outer;
      divisor = 1;
    }
    for (FunctionParameter& known : parameters_) {
      const bool same = known.value == part;
      if (!same && !(known.value == Dim(0) - part)) continue;
      if (is_extent) mark_extent(known);
      return inner + Dim(same ? divisor : -divisor) * Dim::symbol(known.name);
    }
    FunctionParameter& added = add(part);
    if (is_extent) mark_extent(added);
    return inner + Dim(divisor) * Dim::symbol(added.name);
  }

  Dim extent(const Dim& dim) { return multiple(dim, true); }

  /// A parameter of its own where the function is loose and `dim` a multiple of `unit`, which stays one.
  Dim loose_extent(const Dim& dim, int64_t unit) {
    if (!loose_ || !dim.is_constant() || dim.constant() <= 0 || dim.constant() % unit != 0) return extent(dim);
    return Dim(unit) * Dim::symbol(add(dim.constant() / unit).name);
  }

  /// A parameter plus a constant, which is zero for the first address of a buffer, plus what varies inside.
  Dim address(const Dim& dim, BufferId buffer) {
    Dim outer;
    const Dim inner = inner_part(dim, outer, buffer);
    if (outer.is_constant() && (!loose_ || buffer == no_buffer)) return inner + outer;
    int64_t constant = 0;
    for (const DimTerm& term : outer.terms())
      if (term.factors.empty()) constant = term.coefficient;
    const Dim variable = outer - constant;
    for (const Base& base : bases_)
      if (base.buffer == buffer && base.variable == variable)
        return inner + Dim::symbol(base.name) + (constant - base.constant);
    bases_.push_back({buffer, variable, constant, add(outer).name});
    return inner + Dim::symbol(bases_.back().name);
  }

  FunctionParameter& add(const Dim& value) {
    parameters_.push_back({numbered('#', parameters_.size()), value});
    return parameters_.back();
  }

  // Names that sort by number: terms come in the order of the names in them.
  static std::string numbered(char kind, size_t number) {
    char text[24];
    std::snprintf(text, sizeof text, "%c%04zu", kind, number);
    return text;
  }

  // The first iteration of the loops around it, where the rows of a tile are a full chunk.
  void mark_extent(FunctionParameter& parameter) const {
    if (parameter.is_extent) return;
    parameter.is_extent = true;
    parameter.is_symbol = parameter.value.as_symbol().has_value();
    parameter.nominal = parameter.value.evaluate([&](std::string_view name) -> int64_t {
      return std::find(symbols_.begin(), symbols_.end(), name) != symbols_.end() ? small_batch : 0;
    });
  }

  // ---------------------------------------------------------------------------------------------------- expressions
  void apply(Access& access) {
    access.offset = address(access.offset, access.buffer);
    apply(access.dynamic);
  }

  void apply(Expr& expr) {
    if (!expr) return;
    const ExprNode* original = expr.get();
    if (const auto known = done_.find(original); known != done_.end()) {
      expr = known->second;
      return;
    }
    auto copy = std::make_shared<ExprNode>(*expr);
    if (copy->op == ExprOp::index) copy->dim = address(copy->dim, no_buffer);
    if (copy->op == ExprOp::load) apply(copy->access);
    for (Expr& argument : copy->args) apply(argument);
    originals_.push_back(expr);
    done_[original] = copy;
    expr = std::move(copy);
  }

  // ----------------------------------------------------------------------------------------------------- statements
  void enter(std::string& variable) {
    scope_.push_back({variable, numbered('$', variables_++)});
    variable = scope_.back().name;
    done_.clear();
  }
  void leave(size_t variables) {
    scope_.resize(scope_.size() - variables);
    done_.clear();
  }

  void apply(Store& store) {
    apply(store.access);
    apply(store.value);
  }

  void apply(Reduce& reduce) {
    reduce.extent = extent(reduce.extent);
    apply(reduce.target);
    enter(reduce.var);
    apply(reduce.value);
    leave(1);
  }

  void apply(For& loop) {
    loop.extent = may_be_loose(loop) ? loose_extent(loop.extent, loop.kind == ForKind::vector ? longest_unrolled : 1)
                                     : extent(loop.extent);
    enter(loop.var);
    for (Statement& statement : loop.body) apply(statement);
    leave(1);
  }

  // Loops inside others are short, and reductions by columns are unrolled.
  bool may_be_loose(const For& loop) const {
    if (!scope_.empty()) return false;
    if (loop.kind == ForKind::vector)
      return loop.extent.is_constant() && loop.extent.constant() >= 2 * longest_unrolled;
    return std::none_of(loop.body.begin(), loop.body.end(),
                        [](const Statement& s) { return std::holds_alternative<Reduce>(s.node); });
  }

  // What is neither the tile's rows nor its columns nor the innermost step of its depth, and is no part of a longer
  // axis.
  void find_slow(const Contraction& c) {
    std::vector<const Dim*> depth = {&c.a.offset, &c.b.offset}, rows = {&c.a.offset}, columns = {&c.b.offset};
    std::unordered_set<const ExprNode*> visited;
    std::vector<const Dim*> outputs;
    collect_dims(c.init, outputs, visited);
    for (const Store& store : c.epilogue) {
      outputs.push_back(&store.access.offset);
      collect_dims(store.access.dynamic, outputs, visited);
      collect_dims(store.value, outputs, visited);
    }
    rows.insert(rows.end(), outputs.begin(), outputs.end());
    columns.insert(columns.end(), outputs.begin(), outputs.end());
    find_slow(c.rows, rows, true);
    find_slow(c.columns, columns, true);
    find_slow(c.depth, depth, false);
  }

  void find_slow(const std::vector<ContractionAxis>& axes, const std::vector<const Dim*>& dims, bool longest_is_tiled) {
    int64_t longest = 0;
    for (const ContractionAxis& axis : axes) longest = std::max(longest, nominal_of(axis.extent));
    for (size_t i = 0; i + 1 < axes.size(); ++i) {
      if (longest_is_tiled && nominal_of(axes[i].extent) == longest) continue;
      const std::string outer = declared(axes[i].var), inner = declared(axes[i + 1].var);
      const bool is_separate = std::any_of(dims.begin(), dims.end(), [&](const Dim* dim) {
        const std::optional<Dim> a = dim->coefficient(outer), b = dim->coefficient(inner);
        return !a || !b || !(a->is_constant() && b->is_constant() && axes[i + 1].extent.is_constant()) ||
               a->constant() != axes[i + 1].extent.constant() * b->constant();
      });
      const bool was_merged = i > 0 && slow_.empty();
      if (is_separate && !was_merged) slow_.push_back(axes[i].var);
    }
  }

  std::string declared(const std::string& name) const {
    for (const Variable& variable : scope_)
      if (variable.name == name) return variable.declared;
    return {};
  }

  int64_t nominal_of(const Dim& extent) const {
    return extent.evaluate([&](std::string_view name) -> int64_t {
      for (const FunctionParameter& p : parameters_)
        if (p.name == name) return p.nominal;
      return 0;
    });
  }

  static void collect_dims(const Expr& expr, std::vector<const Dim*>& dims,
                           std::unordered_set<const ExprNode*>& visited) {
    if (!expr || !visited.insert(expr.get()).second) return;
    if (expr->op == ExprOp::index) dims.push_back(&expr->dim);
    if (expr->op == ExprOp::load) {
      dims.push_back(&expr->access.offset);
      collect_dims(expr->access.dynamic, dims, visited);
    }
    for (const Expr& argument : expr->args) collect_dims(argument, dims, visited);
  }

  void apply(Contraction& contraction) {
    size_t variables = 0;
    for (auto* axes : {&contraction.rows, &contraction.columns, &contraction.depth}) {
      for (ContractionAxis& axis : *axes) {
        axis.extent = extent(axis.extent);
        enter(axis.var);
        ++variables;
      }
    }
    if (loose_) find_slow(contraction);
    apply(contraction.a);
    apply(contraction.b);
    apply(contraction.init);
    for (Store& store : contraction.epilogue) apply(store);
    leave(variables);
    slow_.clear();
  }

  void apply(Transpose& transpose) {
    for (Dim* dim : {&transpose.rows, &transpose.columns, &transpose.from_stride, &transpose.to_stride})
      *dim = loose_extent(*dim, 1);
    apply(transpose.from);
    apply(transpose.to);
  }

  struct Stride {
    BufferId buffer;
    Dim axis, stride;
    std::string name;
  };
  struct Variable {
    std::string declared, name;
  };
  struct Base {
    BufferId buffer;
    Dim variable;
    int64_t constant;
    std::string name;
  };

  static constexpr int64_t longest_unrolled = 64;  // f32 elements: four vectors of 64 bytes

  const std::vector<std::string>& symbols_;
  const bool loose_;
  std::vector<FunctionParameter>& parameters_;
  std::vector<Variable> scope_;
  size_t variables_ = 0;
  std::vector<Base> bases_;
  std::vector<Stride> strides_;
  std::vector<std::string> slow_;  // axes by their new names
  std::unordered_map<const ExprNode*, Expr> done_;
  std::vector<Expr> originals_;  // keys of done_ stay valid
};

}  // namespace

ParametrizedStatement parametrize(const Statement& statement, const std::vector<std::string>& symbols,
                                  Parametrization how) {
  ParametrizedStatement out{statement, {}};
  Parametrizer(symbols, how == Parametrization::loose, out.parameters).apply(out.statement);
  return out;
}

}  // namespace moru
