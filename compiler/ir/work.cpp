#include "compiler/ir/work.h"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include "compiler/support/error.h"

namespace moru {

namespace {

using Values = std::map<std::string, int64_t, std::less<>>;
using Visited = std::unordered_set<const ExprNode*>;

int64_t value_of(const Dim& dim, const Values& values) {
  return dim.evaluate([&](std::string_view name) {
    const auto found = values.find(name);
    if (found == values.end()) throw InternalError("the size '" + std::string(name) + "' is not known");
    return found->second;
  });
}

/// What one element costs.
struct Arithmetic {
  double flops = 0;
  double lane_operations = 0;
};

void add_expression(const Expr& expr, Arithmetic& sum, Visited& visited) {
  if (!expr || !visited.insert(expr.get()).second) return;
  if (expr->op == ExprOp::load) add_expression(expr->access.dynamic, sum, visited);
  for (const Expr& argument : expr->args) add_expression(argument, sum, visited);
  switch (expr->op) {
    case ExprOp::constant:
    case ExprOp::index:
    case ExprOp::load:
    case ExprOp::accumulator:
    case ExprOp::bitcast:
      return;
    default:
      break;
  }
  // Comparisons are as wide as what they compare.
  const DType type = expr->args.front()->type;
  sum.lane_operations += dtype_bytes(type) == 8 || dtype_bytes(expr->type) == 8 ? 2 : 1;
  const bool computes = is_float(expr->type) && expr->op != ExprOp::select && expr->op != ExprOp::convert;
  if (computes) sum.flops += expr->op == ExprOp::fma ? 2 : 1;
}

void add_combination(DType type, Arithmetic& sum) {
  sum.lane_operations += dtype_bytes(type) == 8 ? 2 : 1;
  if (is_float(type)) sum.flops += 1;
}

/// The elements of one buffer that an access touches in one run of a statement.
struct Footprint {
  std::vector<std::pair<int64_t, int64_t>> strides;  // and extents, sorted: what moves it
  int64_t low = 0, span = 1;                         // the range it lies in, if it is known
  double elements = 1;
  const ExprNode* dynamic = nullptr;
  bool bounded = true;
};

class Counter {
 public:
  Counter(const Kernel& kernel, Values values) : kernel_(kernel), values_(std::move(values)) {}

  Work count(std::span<const For* const> loops, std::span<const Statement> statements) {
    if (loops.empty()) return one_run(statements);
    const For& loop = *loops.front();
    const auto inner = loops.subspan(1);
    const int64_t extent = value_of(loop.extent, values_);
    if (extent <= 0) return {};
    Work sum;
    const bool varies = depends(inner, statements, loop.var);
    for (int64_t i = 0; i < (varies ? extent : 1); ++i) {
      values_[loop.var] = i;
      const Work one = count(inner, statements);
      const double times = varies ? 1 : static_cast<double>(extent);
      sum.runs += times * one.runs;
      sum.flops += times * one.flops;
      sum.lane_operations += times * one.lane_operations;
      sum.bytes_read += times * one.bytes_read;
      sum.bytes_written += times * one.bytes_written;
      sum.working_set = std::max(sum.working_set, one.working_set);
    }
    values_.erase(loop.var);
    return sum;
  }

 private:
  // Extents decide how much work there is; where it happens does not.
  static bool depends(std::span<const For* const> loops, std::span<const Statement> statements,
                      const std::string& var) {
    return std::any_of(loops.begin(), loops.end(), [&](const For* loop) { return loop->extent.contains(var); }) ||
           std::any_of(statements.begin(), statements.end(), [&](const Statement& s) { return depends(s, var); });
  }

  static bool depends(const Statement& statement, const std::string& var) {
    if (const For* loop = std::get_if<For>(&statement.node))
      return loop->extent.contains(var) ||
             std::any_of(loop->body.begin(), loop->body.end(), [&](const Statement& s) { return depends(s, var); });
    if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) return reduce->extent.contains(var);
    if (const Contraction* c = std::get_if<Contraction>(&statement.node)) {
      const auto any = [&](const std::vector<ContractionAxis>& axes) {
        return std::any_of(axes.begin(), axes.end(), [&](const ContractionAxis& a) { return a.extent.contains(var); });
      };
      return any(c->rows) || any(c->columns) || any(c->depth);
    }
    if (const Transpose* transpose = std::get_if<Transpose>(&statement.node))
      return transpose->rows.contains(var) || transpose->columns.contains(var);
    return false;
  }

  Work one_run(std::span<const Statement> statements) {
    Work work;
    work.runs = 1;
    reads_.assign(kernel_.buffers.size(), {});
    writes_.assign(kernel_.buffers.size(), {});
    sum_ = {};
    block(statements, 1.0);
    work.flops = sum_.flops;
    work.lane_operations = sum_.lane_operations;
    for (size_t b = 0; b < kernel_.buffers.size(); ++b) {
      if (reads_[b].empty() && writes_[b].empty()) continue;
      const Buffer& buffer = kernel_.buffers[b];
      const double read = distinct(buffer, reads_[b]), written = distinct(buffer, writes_[b]);
      const double bytes = static_cast<double>(dtype_bytes(buffer.dtype));
      work.bytes_read += bytes * read;
      work.bytes_written += bytes * written;
      std::vector<Footprint> both = reads_[b];
      both.insert(both.end(), writes_[b].begin(), writes_[b].end());
      work.working_set += bytes * distinct(buffer, both);
    }
    return work;
  }

  void block(std::span<const Statement> statements, double times) {
    for (const Statement& statement : statements)
      std::visit([&](const auto& node) { add(node, times); }, statement.node);
  }

  void charge(const Arithmetic& each, double times) {
    sum_.flops += times * each.flops;
    sum_.lane_operations += times * each.lane_operations;
  }

  void add(const Store& store, double times) {
    Visited visited;
    add_store(store, times, visited);
  }

  void add_store(const Store& store, double times, Visited& visited) {
    Arithmetic each;
    add_expression(store.value, each, visited);
    add_expression(store.access.dynamic, each, visited);
    if (store.accumulate) add_combination(store.value->type, each);
    charge(each, times);
    read_all(store.value);
    read_all(store.access.dynamic);
    if (store.accumulate) touch(reads_, store.access);
    touch(writes_, store.access);
  }

  void add(const Reduce& reduce, double times) {
    const int64_t extent = std::max<int64_t>(0, value_of(reduce.extent, values_));
    inside_.emplace_back(reduce.var, extent);
    values_[reduce.var] = 0;
    Arithmetic each;
    Visited visited;
    add_expression(reduce.value, each, visited);
    add_combination(reduce.value->type, each);
    charge(each, times * static_cast<double>(extent));
    if (extent > 0) read_all(reduce.value);
    leave(1);
    if (reduce.accumulate) touch(reads_, reduce.target);
    touch(writes_, reduce.target);
  }

  void add(const For& loop, double times) {
    const int64_t extent = value_of(loop.extent, values_);
    if (extent <= 0) return;
    inside_.emplace_back(loop.var, extent);
    const bool varies =
        std::any_of(loop.body.begin(), loop.body.end(), [&](const Statement& s) { return depends(s, loop.var); });
    for (int64_t i = 0; i < (varies ? extent : 1); ++i) {
      values_[loop.var] = i;
      const double inner = times * (varies ? 1.0 : static_cast<double>(extent));
      if (loop.kind != ForKind::vector) {
        block(loop.body, inner);
        continue;
      }
      // The stores of a vector loop share what they compute.
      Visited visited;
      for (const Statement& statement : loop.body) add_store(std::get<Store>(statement.node), inner, visited);
    }
    leave(1);
  }

  void add(const Contraction& c, double times) {
    double points = times;
    const auto enter = [&](const std::vector<ContractionAxis>& axes) {
      for (const ContractionAxis& axis : axes) {
        const int64_t extent = std::max<int64_t>(0, value_of(axis.extent, values_));
        points *= static_cast<double>(extent);
        inside_.emplace_back(axis.var, extent);
        values_[axis.var] = 0;
      }
    };
    enter(c.rows);
    enter(c.columns);
    if (points > 0) {
      if (c.init) add_init(c.init, points);
      Visited visited;
      for (const Store& store : c.epilogue) add_store(store, points, visited);
      enter(c.depth);
      const double lanes = dtype_bytes(c.type) == 8 ? 2 : 1;
      charge({2, lanes}, points);
      if (points > 0) {
        touch(reads_, c.a);
        touch(reads_, c.b);
      }
      leave(c.depth.size());
    }
    leave(c.rows.size() + c.columns.size());
  }

  void add_init(const Expr& init, double points) {
    Arithmetic each;
    Visited visited;
    add_expression(init, each, visited);
    charge(each, points);
    read_all(init);
  }

  void add(const Transpose& transpose, double) {
    const int64_t rows = value_of(transpose.rows, values_), columns = value_of(transpose.columns, values_);
    if (rows <= 0 || columns <= 0) return;
    const double elements = static_cast<double>(rows) * static_cast<double>(columns);
    Footprint from, to;
    from.bounded = to.bounded = false;
    from.elements = to.elements = elements;
    reads_[transpose.from.buffer].push_back(from);
    writes_[transpose.to.buffer].push_back(to);
  }

  void leave(size_t variables) {
    for (; variables > 0; --variables) {
      values_.erase(inside_.back().first);
      inside_.pop_back();
    }
  }

  void read_all(const Expr& expr) {
    Visited visited;
    read(expr, visited);
  }
  void read(const Expr& expr, Visited& visited) {
    if (!expr || !visited.insert(expr.get()).second) return;
    if (expr->op == ExprOp::load) {
      touch(reads_, expr->access);
      read(expr->access.dynamic, visited);
    }
    for (const Expr& argument : expr->args) read(argument, visited);
  }

  static bool mentions(const Expr& expr, const std::string& var, Visited& visited) {
    if (!expr || !visited.insert(expr.get()).second) return false;
    if (expr->op == ExprOp::index && expr->dim.contains(var)) return true;
    if (expr->op == ExprOp::load && (expr->access.offset.contains(var) || mentions(expr->access.dynamic, var, visited)))
      return true;
    return std::any_of(expr->args.begin(), expr->args.end(), [&](const Expr& e) { return mentions(e, var, visited); });
  }

  void touch(std::vector<std::vector<Footprint>>& table, const Access& access) {
    Footprint f;
    f.dynamic = access.dynamic.get();
    f.bounded = f.dynamic == nullptr;
    Values first = values_;
    for (const auto& [var, extent] : inside_) first[var] = 0;
    f.low = value_of(access.offset, first);
    for (const auto& [var, extent] : inside_) {
      Visited visited;
      const bool moves = access.offset.contains(var) || mentions(access.dynamic, var, visited);
      if (!moves || extent <= 1) continue;
      f.elements *= static_cast<double>(extent);
      const std::optional<Dim> linear = access.offset.coefficient(var);
      if (!linear) {
        f.bounded = false;
        continue;
      }
      const int64_t stride = value_of(*linear, first);
      if (stride < 0) f.low += stride * (extent - 1);
      f.span += std::abs(stride) * (extent - 1);
      f.strides.emplace_back(std::abs(stride), extent);
    }
    std::sort(f.strides.begin(), f.strides.end());
    if (f.bounded) f.elements = std::min(f.elements, static_cast<double>(f.span));
    std::vector<Footprint>& list = table[access.buffer];
    const auto same = [&](const Footprint& g) {
      return g.low == f.low && g.strides == f.strides && g.dynamic == f.dynamic && g.bounded == f.bounded;
    };
    if (std::none_of(list.begin(), list.end(), same)) list.push_back(std::move(f));
  }

  double distinct(const Buffer& buffer, const std::vector<Footprint>& footprints) const {
    if (footprints.empty()) return 0;
    double sum = 0;
    int64_t low = footprints.front().low, high = low;
    bool bounded = true;
    std::vector<const Footprint*> seen;
    for (const Footprint& f : footprints) {
      bounded = bounded && f.bounded;
      low = std::min(low, f.low);
      high = std::max(high, f.low + f.span);
      const auto same = [&](const Footprint* g) {
        return g->low == f.low && g->strides == f.strides && g->dynamic == f.dynamic && g->elements == f.elements;
      };
      if (std::any_of(seen.begin(), seen.end(), same)) continue;
      seen.push_back(&f);
      sum += f.elements;
    }
    if (bounded) sum = std::min(sum, static_cast<double>(high - low));
    return std::min(sum, static_cast<double>(value_of(buffer.elements, values_)));
  }

  const Kernel& kernel_;
  Values values_;                                        // of symbols and of every variable in scope
  std::vector<std::pair<std::string, int64_t>> inside_;  // variables of the statement that is counted, and extents
  std::vector<std::vector<Footprint>> reads_, writes_;   // by buffer
  Arithmetic sum_;
};

}  // namespace

Work count_work(const Kernel& kernel, std::span<const For* const> loops, std::span<const Statement> statements,
                const Values& symbols) {
  Values values = symbols;
  values.try_emplace("worker", 0);
  return Counter(kernel, std::move(values)).count(loops, statements);
}

std::string describe_statement(std::span<const For* const> loops, const Statement& statement, const Values& symbols) {
  Values values = symbols;
  values.try_emplace("worker", 0);
  for (const For* loop : loops) values[loop->var] = 0;
  const auto product = [&](const std::vector<ContractionAxis>& axes) {
    int64_t extent = 1;
    for (const ContractionAxis& axis : axes) {
      extent *= value_of(axis.extent, values);
      values[axis.var] = 0;
    }
    return std::to_string(extent);
  };
  if (const Contraction* c = std::get_if<Contraction>(&statement.node)) {
    const std::string rows = product(c->rows), columns = product(c->columns);
    return "contract " + rows + " x " + columns + " x " + product(c->depth);
  }
  if (const Transpose* transpose = std::get_if<Transpose>(&statement.node))
    return "transpose " + std::to_string(value_of(transpose->rows, values)) + " x " +
           std::to_string(value_of(transpose->columns, values));
  if (const Reduce* reduce = std::get_if<Reduce>(&statement.node))
    return "reduce " + std::to_string(value_of(reduce->extent, values));
  if (std::holds_alternative<Store>(statement.node)) return "scalar";
  // Nested loops down to the first body that holds more than one statement.
  std::string text = "loop";
  const Statement* inner = &statement;
  for (const char* by = " "; const For* loop = std::get_if<For>(&inner->node); by = " x ") {
    text += by + std::to_string(value_of(loop->extent, values));
    values[loop->var] = 0;
    if (loop->body.size() != 1) break;
    inner = &loop->body.front();
  }
  if (const Reduce* reduce = std::get_if<Reduce>(&inner->node))
    text += ", reduce " + std::to_string(value_of(reduce->extent, values));
  return text;
}

}  // namespace moru
