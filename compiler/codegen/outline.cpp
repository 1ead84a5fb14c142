#include "compiler/codegen/outline.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "compiler/support/error.h"

namespace moru {

namespace {

// Writes a statement with its names replaced by numbers. Only equality of the result matters.
class KeyWriter {
 public:
  explicit KeyWriter(const Kernel& kernel) : kernel_(kernel) {}

  void write(const Statement& statement) {
    std::visit([this](const auto& node) { write(node); }, statement.node);
  }

  std::string text;
  std::vector<BufferId> buffers;
  std::vector<std::string> parameters;

 private:
  const Kernel& kernel_;
  std::vector<std::pair<std::string, int>> scope_;
  int variables_ = 0;
  std::unordered_map<const ExprNode*, int> seen_;

  // An expression that was seen under other names is not the same one.
  void declare(const std::string& variable) {
    scope_.emplace_back(variable, variables_++);
    seen_.clear();
  }
  void leave_scope(size_t size) {
    scope_.resize(size);
    seen_.clear();
  }

  std::string name(const std::string& symbol) {
    for (auto entry = scope_.rbegin(); entry != scope_.rend(); ++entry) {
      if (entry->first == symbol) return "v" + std::to_string(entry->second);
    }
    auto found = std::find(parameters.begin(), parameters.end(), symbol);
    if (found == parameters.end()) found = parameters.insert(found, symbol);
    return "p" + std::to_string(found - parameters.begin());
  }

  std::string factor_text(const DimFactor& factor) {
    switch (factor.kind) {
      case DimFactor::Kind::symbol: return name(factor.symbol);
      case DimFactor::Kind::floor_div: return "f(" + dim_text(*factor.left) + "," + dim_text(*factor.right) + ")";
      case DimFactor::Kind::ceil_div: return "c(" + dim_text(*factor.left) + "," + dim_text(*factor.right) + ")";
      case DimFactor::Kind::max: return "m(" + dim_text(*factor.left) + "," + dim_text(*factor.right) + ")";
    }
    return "?";
  }

  // Terms and factors are sorted by their new names: the old names' order must not show.
  std::string dim_text(const Dim& dim) {
    std::vector<std::string> terms;
    for (const DimTerm& term : dim.terms()) {
      std::vector<std::string> factors;
      for (const DimFactor& factor : term.factors) factors.push_back(factor_text(factor));
      std::sort(factors.begin(), factors.end());
      std::string product = std::to_string(term.coefficient);
      for (const std::string& factor : factors) product += "*" + factor;
      terms.push_back(std::move(product));
    }
    std::sort(terms.begin(), terms.end());
    std::string sum;
    for (const std::string& term : terms) sum += (sum.empty() ? "" : "+") + term;
    return sum;
  }

  void write(const Dim& dim) { text += dim_text(dim) + ";"; }

  void write(const Access& access) {
    auto found = std::find(buffers.begin(), buffers.end(), access.buffer);
    if (found == buffers.end()) found = buffers.insert(found, access.buffer);
    check_internal(access.buffer < kernel_.buffers.size(), "an access names a buffer that does not exist");
    text += "b" + std::to_string(found - buffers.begin()) + std::string(dtype_name(kernel_.buffers[access.buffer].dtype));
    text += "[";
    write(access.offset);
    if (access.dynamic) write(access.dynamic);
    text += "]";
  }

  void write(const Expr& expr) {
    if (!expr) {
      text += "null;";
      return;
    }
    const auto [entry, is_new] = seen_.try_emplace(expr.get(), static_cast<int>(seen_.size()));
    if (!is_new) {
      text += "#" + std::to_string(entry->second) + ";";
      return;
    }
    text += std::to_string(static_cast<int>(expr->op)) + std::string(dtype_name(expr->type)) + "(";
    if (expr->op == ExprOp::constant) {
      uint64_t number = 0;
      std::memcpy(&number, &expr->number, sizeof number);
      text += std::to_string(number) + "," + std::to_string(expr->bits);
    }
    if (expr->op == ExprOp::index) write(expr->dim);
    if (expr->op == ExprOp::load) write(expr->access);
    for (const Expr& argument : expr->args) write(argument);
    text += ")";
  }

  void write(const Store& store) {
    text += store.accumulate ? "+=" : "=";
    write(store.access);
    write(store.value);
  }

  void write(const Reduce& reduce) {
    text += std::string("reduce ") + std::string(reduce_op_name(reduce.op)) + (reduce.accumulate ? "+=" : "=");
    write(reduce.extent);
    write(reduce.target);
    declare(reduce.var);
    write(reduce.value);
    leave_scope(scope_.size() - 1);
  }

  void write(const For& loop) {
    text += "for" + std::to_string(static_cast<int>(loop.kind)) + " ";
    write(loop.extent);
    declare(loop.var);
    text += "{";
    for (const Statement& statement : loop.body) write(statement);
    text += "}";
    leave_scope(scope_.size() - 1);
  }

  void write(const Contraction& contraction) {
    text += "contract ";
    const size_t outside = scope_.size();
    for (const auto* axes : {&contraction.rows, &contraction.columns, &contraction.depth}) {
      text += "(";
      for (const ContractionAxis& axis : *axes) {
        write(axis.extent);
        declare(axis.var);
      }
      text += ")";
    }
    text += dtype_name(contraction.type);
    write(contraction.a);
    write(contraction.b);
    write(contraction.init);
    for (const Store& store : contraction.epilogue) write(store);
    leave_scope(outside);
  }

  void write(const Transpose& transpose) {
    text += "transpose ";
    for (const Dim* dim : {&transpose.rows, &transpose.columns, &transpose.from_stride, &transpose.to_stride}) write(*dim);
    write(transpose.from);
    write(transpose.to);
  }
};

bool has_own_functions(const Statement& statement) {
  if (const For* loop = std::get_if<For>(&statement.node)) {
    return loop->kind == ForKind::parallel || std::any_of(loop->body.begin(), loop->body.end(), has_own_functions);
  }
  return std::holds_alternative<Contraction>(statement.node) || std::holds_alternative<Transpose>(statement.node);
}

// What a statement is as a function, and what a call of it passes.
struct Candidate {
  OutlinedFunction function;
  std::vector<Dim> values;
};

// A batch of one is worth a tile of its own where the weights are large: which extents may be one is then part of the
// function.
bool has_large_weights(const Statement& statement) {
  const Contraction* contraction = std::get_if<Contraction>(&statement.node);
  if (!contraction) return false;
  int64_t elements = 1;
  for (const auto* axes : {&contraction->columns, &contraction->depth})
    for (const ContractionAxis& axis : *axes)
      if (axis.extent.is_constant()) elements *= std::max<int64_t>(1, axis.extent.constant());
  return elements >= 8192;
}

Candidate make_candidate(const KernelModule& module, const Kernel& kernel, const Statement& statement,
                         Parametrization how) {
  ParametrizedStatement own = parametrize(statement, module.symbols, how);
  const bool may_be_one = has_large_weights(own.statement);
  KeyWriter writer(kernel);
  writer.write(own.statement);
  Candidate candidate;
  OutlinedFunction& function = candidate.function;
  for (const std::string& name : writer.parameters) {
    const auto parameter = std::find_if(own.parameters.begin(), own.parameters.end(),
                                        [&](const FunctionParameter& p) { return p.name == name; });
    check_internal(parameter != own.parameters.end(), "an outlined statement uses a name that it does not declare");
    parameter->is_symbol = parameter->is_symbol && may_be_one;
    candidate.values.push_back(parameter->value);
    function.parameters.push_back(*parameter);
    // What schedules are chosen by.
    if (std::holds_alternative<Contraction>(statement.node) && parameter->is_extent)
      writer.text += (parameter->is_symbol ? " one or " : " ") + std::to_string(parameter->nominal);
  }
  function.key = std::move(writer.text);
  function.kernel = &kernel;
  function.statement = std::move(own.statement);
  function.buffers = std::move(writer.buffers);
  return candidate;
}

class Outliner {
 public:
  Outliner(const KernelModule& module, Outline& outline) : module_(module), outline_(outline) {}

  void visit(const Kernel& kernel, const Statement& statement) {
    if (std::holds_alternative<Store>(statement.node)) return;
    if (const For* loop = std::get_if<For>(&statement.node)) {
      if (loop->kind == ForKind::parallel || has_own_functions(statement)) {
        for (const Statement& inner : loop->body) visit(kernel, inner);
        return;
      }
    }
    Found found{&statement, make_candidate(module_, kernel, statement, Parametrization::tight),
                make_candidate(module_, kernel, statement, Parametrization::loose)};
    tight_of_[found.loose.function.key].insert(found.tight.function.key);
    found_.push_back(std::move(found));
  }

  // Loose where that makes one function of several.
  void finish() {
    for (Found& found : found_) {
      const bool is_shared = tight_of_[found.loose.function.key].size() > 1;
      Candidate& chosen = is_shared ? found.loose : found.tight;
      const auto [entry, is_new] = known_.try_emplace(chosen.function.key, outline_.functions.size());
      outline_.calls[found.statement] = {entry->second, chosen.function.buffers, std::move(chosen.values)};
      if (is_new) outline_.functions.push_back(std::move(chosen.function));
    }
  }

 private:
  struct Found {
    const Statement* statement;
    Candidate tight, loose;
  };

  const KernelModule& module_;
  Outline& outline_;
  std::vector<Found> found_;
  std::unordered_map<std::string, std::set<std::string>> tight_of_;  // keys by the key of the loose form
  std::unordered_map<std::string, size_t> known_;
};

}  // namespace

Outline outline_functions(const KernelModule& module) {
  Outline outline;
  Outliner outliner(module, outline);
  for (const Kernel& kernel : module.kernels) {
    for (const Statement& statement : kernel.body) outliner.visit(kernel, statement);
  }
  outliner.finish();
  return outline;
}

namespace {

void add_calls(const Block& block, const Outline& outline, std::string& key) {
  for (const Statement& statement : block) {
    if (auto call = outline.calls.find(&statement); call != outline.calls.end()) {
      key += "call " + std::to_string(call->second.function);
      for (BufferId buffer : call->second.buffers) key += " b" + std::to_string(buffer);
      for (const Dim& parameter : call->second.parameters) key += " " + parameter.text();
      key += "\n";
    } else if (const For* loop = std::get_if<For>(&statement.node)) {
      key += "for" + std::to_string(static_cast<int>(loop->kind)) + " " + loop->var + ": " + loop->extent.text() + " {\n";
      add_calls(loop->body, outline, key);
      key += "}\n";
    }
  }
}

}  // namespace

std::string module_key(const KernelModule& module, const Outline& outline) {
  std::string key = "slots " + std::to_string(module.slot_count) + " symbols";
  for (const std::string& symbol : module.symbols) key += " " + symbol;
  key += "\n";
  for (const OutlinedFunction& function : outline.functions) key += function.key + "\n";
  for (const Kernel& kernel : module.kernels) {
    key += "entry " + kernel.entry + "\n";
    for (const Buffer& buffer : kernel.buffers) {
      key += std::string(dtype_name(buffer.dtype)) + " " + std::to_string(buffer.slot) + "\n";
    }
    // Scalar stores stay in the entry: their keys are not among the functions'.
    for (const Statement& statement : kernel.body) {
      KeyWriter writer(kernel);
      writer.write(statement);
      key += writer.text;
      for (BufferId buffer : writer.buffers) key += " b" + std::to_string(buffer);
      for (const std::string& parameter : writer.parameters) key += " " + parameter;
      key += "\n";
    }
    add_calls(kernel.body, outline, key);
  }
  return key;
}

}  // namespace moru
