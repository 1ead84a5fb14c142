#include "compiler/ir/kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_set>
#include <utility>

#include "compiler/ir/expr_types.h"
#include "compiler/ir/scalar_arithmetic.h"
#include "compiler/support/error.h"

namespace moru {

std::string_view expr_op_name(ExprOp op) {
  switch (op) {
    case ExprOp::constant:
      return "constant";
    case ExprOp::index:
      return "index";
    case ExprOp::load:
      return "load";
    case ExprOp::accumulator:
      return "acc";
    case ExprOp::add:
      return "add";
    case ExprOp::sub:
      return "sub";
    case ExprOp::mul:
      return "mul";
    case ExprOp::div:
      return "div";
    case ExprOp::fma:
      return "fma";
    case ExprOp::min:
      return "min";
    case ExprOp::max:
      return "max";
    case ExprOp::neg:
      return "neg";
    case ExprOp::abs:
      return "abs";
    case ExprOp::sqrt:
      return "sqrt";
    case ExprOp::round:
      return "round";
    case ExprOp::floor:
      return "floor";
    case ExprOp::ceil:
      return "ceil";
    case ExprOp::bit_and:
      return "bit_and";
    case ExprOp::bit_or:
      return "bit_or";
    case ExprOp::bit_xor:
      return "bit_xor";
    case ExprOp::shl:
      return "shl";
    case ExprOp::shr:
      return "shr";
    case ExprOp::sar:
      return "sar";
    case ExprOp::mul_high_unsigned:
      return "mul_high_unsigned";
    case ExprOp::equal:
      return "equal";
    case ExprOp::not_equal:
      return "not_equal";
    case ExprOp::less:
      return "less";
    case ExprOp::less_equal:
      return "less_equal";
    case ExprOp::logical_and:
      return "logical_and";
    case ExprOp::logical_or:
      return "logical_or";
    case ExprOp::logical_not:
      return "logical_not";
    case ExprOp::select:
      return "select";
    case ExprOp::convert:
      return "convert";
    case ExprOp::bitcast:
      return "bitcast";
  }
  return "?";
}

std::string_view reduce_op_name(ReduceOp op) {
  switch (op) {
    case ReduceOp::add:
      return "add";
    case ReduceOp::max:
      return "max";
    case ReduceOp::min:
      return "min";
  }
  return "?";
}

size_t expr_arity(ExprOp op) {
  switch (op) {
    case ExprOp::constant:
    case ExprOp::index:
    case ExprOp::load:
    case ExprOp::accumulator:
      return 0;
    case ExprOp::neg:
    case ExprOp::abs:
    case ExprOp::sqrt:
    case ExprOp::round:
    case ExprOp::floor:
    case ExprOp::ceil:
    case ExprOp::logical_not:
    case ExprOp::convert:
    case ExprOp::bitcast:
      return 1;
    case ExprOp::fma:
    case ExprOp::select:
      return 3;
    default:
      return 2;
  }
}

namespace {

[[noreturn]] void type_error(ExprOp op, std::span<const Expr> args) {
  std::string text = std::string(expr_op_name(op)) + " cannot be applied to (";
  for (size_t i = 0; i < args.size(); ++i) {
    if (i) text += ", ";
    text += args[i] ? dtype_name(args[i]->type) : "null";
  }
  throw InternalError(text + ")");
}

}  // namespace

DType expr_result_type(ExprOp op, std::span<const Expr> args, DType target) {
  auto require = [&](bool condition) {
    if (!condition) type_error(op, args);
  };
  require(args.size() == expr_arity(op));
  for (const Expr& arg : args) require(arg != nullptr);
  if (args.empty()) return op == ExprOp::index ? DType::i64 : target;
  const DType first = args[0]->type;
  auto same_types = [&](size_t from) {
    for (size_t i = from + 1; i < args.size(); ++i) require(args[i]->type == args[from]->type);
  };
  switch (op) {
    case ExprOp::add:
    case ExprOp::sub:
    case ExprOp::mul:
    case ExprOp::div:
    case ExprOp::min:
    case ExprOp::max:
    case ExprOp::neg:
    case ExprOp::abs:
      same_types(0);
      require(is_float(first) || is_integer(first));
      return first;
    case ExprOp::fma:
    case ExprOp::sqrt:
    case ExprOp::round:
    case ExprOp::floor:
    case ExprOp::ceil:
      same_types(0);
      require(is_float(first));
      return first;
    case ExprOp::bit_and:
    case ExprOp::bit_or:
    case ExprOp::bit_xor:
    case ExprOp::shl:
    case ExprOp::shr:
    case ExprOp::sar:
    case ExprOp::mul_high_unsigned:
      same_types(0);
      require(is_integer(first));
      return first;
    case ExprOp::equal:
    case ExprOp::not_equal:
    case ExprOp::less:
    case ExprOp::less_equal:
      same_types(0);
      require(first != DType::bf16);
      return DType::boolean;
    case ExprOp::logical_and:
    case ExprOp::logical_or:
    case ExprOp::logical_not:
      same_types(0);
      require(first == DType::boolean);
      return DType::boolean;
    case ExprOp::select:
      require(first == DType::boolean);
      same_types(1);
      return args[1]->type;
    case ExprOp::bitcast:
      require(dtype_bytes(first) == dtype_bytes(target) && first != DType::boolean && target != DType::boolean);
      return target;
    default:  // convert
      if (first == DType::bf16 || target == DType::bf16)
        require(first == target || first == DType::f32 || target == DType::f32);
      return target;
  }
}

namespace {

struct PairHash {
  size_t operator()(const std::pair<const ExprNode*, const ExprNode*>& pair) const {
    return std::hash<const void*>()(pair.first) * 31 + std::hash<const void*>()(pair.second);
  }
};
using EqualPairs = std::unordered_set<std::pair<const ExprNode*, const ExprNode*>, PairHash>;

// Pairs found equal are remembered: expressions are DAGs whose trees may be exponentially large.
bool equal_nodes(const Expr& a, const Expr& b, EqualPairs& known) {
  if (a == b) return true;
  if (!a || !b) return false;
  if (known.contains({a.get(), b.get()})) return true;
  if (a->op != b->op || a->type != b->type || a->args.size() != b->args.size()) return false;
  if (std::bit_cast<uint64_t>(a->number) != std::bit_cast<uint64_t>(b->number) || a->bits != b->bits) return false;
  if (a->dim != b->dim || a->access.buffer != b->access.buffer || a->access.offset != b->access.offset) return false;
  if (!equal_nodes(a->access.dynamic, b->access.dynamic, known)) return false;
  for (size_t i = 0; i < a->args.size(); ++i)
    if (!equal_nodes(a->args[i], b->args[i], known)) return false;
  known.insert({a.get(), b.get()});
  return true;
}

Expr make_node(ExprOp op, std::vector<Expr> args, DType target = DType::f32) {
  ExprNode node;
  node.type = expr_result_type(op, args, target);
  node.op = op;
  node.args = std::move(args);
  return std::make_shared<const ExprNode>(std::move(node));
}

template <class T>
T constant_value(const Expr& e) {
  if constexpr (scalar::is_float_v<T>)
    return static_cast<T>(e->number);
  else
    return static_cast<T>(e->bits);
}

template <class T>
Expr make_constant(T value, DType type) {
  ExprNode node;
  node.type = type;
  if constexpr (scalar::is_float_v<T>)
    node.number = static_cast<double>(value);
  else
    node.bits = static_cast<int64_t>(value);
  return std::make_shared<const ExprNode>(std::move(node));
}

bool is_constant(const Expr& e) { return e->op == ExprOp::constant; }
bool is_number(const Expr& e, double value) {
  return is_constant(e) && is_float(e->type) && std::bit_cast<uint64_t>(e->number) == std::bit_cast<uint64_t>(value);
}
bool is_integer_constant(const Expr& e, int64_t value) {
  return is_constant(e) && !is_float(e->type) && e->bits == value;
}

// Calls `use` with a value of the C++ type of constants of `type`.
template <class Use>
void visit_constant(DType type, Use&& use) {
  scalar::visit_type(type, [&](auto zero) {
    if constexpr (!scalar::is_stored_only_v<decltype(zero)>) use(zero);
  });
}

// The value of an operation on constants; null where it is a NaN, whose bits depend on the machine.
Expr fold_constants(ExprOp op, const std::vector<Expr>& args, DType type) {
  if (type == DType::bf16) return nullptr;  // there are no constants of it
  for (const Expr& arg : args)
    if (!is_constant(arg)) return nullptr;
  Expr result;
  auto keep = [&](auto value, DType of) {
    if constexpr (scalar::is_float_v<decltype(value)>)
      if (std::isnan(value)) return;
    result = make_constant(value, of);
  };
  visit_constant(args[0]->type, [&](auto zero) {
    using T = decltype(zero);
    const T a = constant_value<T>(args[0]);
    if (op == ExprOp::convert) {
      visit_constant(type, [&](auto to) { keep(scalar::convert<decltype(to)>(a), type); });
    } else if (op == ExprOp::bitcast) {
      visit_constant(type, [&](auto to) {
        if constexpr (sizeof(to) == sizeof(T)) keep(scalar::bitcast<decltype(to)>(a), type);
      });
    } else if (op == ExprOp::fma) {
      if constexpr (scalar::is_float_v<T>)
        keep(std::fma(a, constant_value<T>(args[1]), constant_value<T>(args[2])), type);
    } else if (args.size() == 1) {
      scalar::visit_unary<T>(op, [&](auto f) { keep(f(a), type); });
    } else if (args.size() == 2) {
      const T b = constant_value<T>(args[1]);
      scalar::visit_binary<T>(op, [&](auto f) { keep(f(a, b), type); }) ||
          scalar::visit_comparison<T>(op, [&](auto f) { keep(f(a, b), DType::boolean); });
    }
  });
  return result;
}

// Identities that keep every bit, signed zeros and NaN included: x + -0, x - 0, x * 1, x / 1; all of them on integers.
Expr fold_identities(ExprOp op, const std::vector<Expr>& args) {
  const Expr& a = args[0];
  const Expr& b = args.size() > 1 ? args[1] : args[0];
  switch (op) {
    case ExprOp::add:
      if (is_number(b, -0.0) || is_integer_constant(b, 0)) return a;
      if (is_number(a, -0.0) || is_integer_constant(a, 0)) return b;
      break;
    case ExprOp::sub:
      if (is_number(b, 0.0) || is_integer_constant(b, 0)) return a;
      break;
    case ExprOp::mul:
      if (is_number(b, 1.0) || is_integer_constant(b, 1) || is_integer_constant(a, 0)) return a;
      if (is_number(a, 1.0) || is_integer_constant(a, 1) || is_integer_constant(b, 0)) return b;
      break;
    case ExprOp::div:
      if (is_number(b, 1.0) || is_integer_constant(b, 1)) return a;
      break;
    case ExprOp::neg:
      if (a->op == ExprOp::neg) return a->args[0];
      break;
    case ExprOp::logical_not:
      if (a->op == ExprOp::logical_not) return a->args[0];
      break;
    case ExprOp::logical_and:
      if (is_integer_constant(a, 1) || is_integer_constant(b, 0)) return b;
      if (is_integer_constant(b, 1) || is_integer_constant(a, 0)) return a;
      break;
    case ExprOp::logical_or:
      if (is_integer_constant(a, 0) || is_integer_constant(b, 1)) return b;
      if (is_integer_constant(b, 0) || is_integer_constant(a, 1)) return a;
      break;
    case ExprOp::shl:
    case ExprOp::shr:
    case ExprOp::sar:
    case ExprOp::bit_or:
    case ExprOp::bit_xor:
      if (is_integer_constant(b, 0)) return a;
      break;
    default:
      break;
  }
  return nullptr;
}

Expr make_folded(ExprOp op, std::vector<Expr> args, DType target = DType::f32) {
  const DType type = expr_result_type(op, args, target);
  if (Expr folded = fold_constants(op, args, type)) return folded;
  if (Expr folded = fold_identities(op, args)) return folded;
  return make_node(op, std::move(args), target);
}

}  // namespace

bool equal_exprs(const Expr& a, const Expr& b) {
  EqualPairs known;
  return equal_nodes(a, b, known);
}

namespace expr {

Expr constant(double value, DType type) {
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();  // one NaN, so that text can say it
  if (type == DType::f32) return make_constant(static_cast<float>(value), type);
  if (type == DType::f64) return make_constant(value, type);
  return integer(scalar::convert<int64_t>(value), type);
}

Expr integer(int64_t value, DType type) {
  switch (type) {
    case DType::f32:
      return make_constant(static_cast<float>(value), type);
    case DType::f64:
      return make_constant(static_cast<double>(value), type);
    case DType::i32:
      return make_constant(static_cast<int32_t>(value), type);
    case DType::i64:
      return make_constant(value, type);
    case DType::boolean:
      return make_constant(static_cast<int64_t>(value != 0), type);
    case DType::bf16:
      break;
  }
  throw InternalError("a constant of an unknown type");
}

Expr index(Dim dim) {
  if (dim.is_constant()) return integer(dim.constant(), DType::i64);
  ExprNode node;
  node.op = ExprOp::index;
  node.type = DType::i64;
  node.dim = std::move(dim);
  return std::make_shared<const ExprNode>(std::move(node));
}

Expr load(const Buffer& buffer, BufferId id, Dim offset, Expr dynamic) {
  check_internal(!dynamic || dynamic->type == DType::i64, "the dynamic part of an address is not an i64");
  ExprNode node;
  node.op = ExprOp::load;
  node.type = buffer.dtype;
  node.access = {.buffer = id, .offset = std::move(offset), .dynamic = std::move(dynamic)};
  return std::make_shared<const ExprNode>(std::move(node));
}

Expr accumulator(DType type) { return make_node(ExprOp::accumulator, {}, type); }

Expr unary(ExprOp op, Expr a) {
  check_internal(expr_arity(op) == 1 && op != ExprOp::convert && op != ExprOp::bitcast, "not a unary operation");
  return make_folded(op, {std::move(a)});
}

Expr binary(ExprOp op, Expr a, Expr b) {
  check_internal(expr_arity(op) == 2, "not a binary operation");
  return make_folded(op, {std::move(a), std::move(b)});
}

Expr fma(Expr a, Expr b, Expr c) { return make_folded(ExprOp::fma, {std::move(a), std::move(b), std::move(c)}); }

Expr select(Expr condition, Expr then_value, Expr else_value) {
  std::vector<Expr> args{std::move(condition), std::move(then_value), std::move(else_value)};
  expr_result_type(ExprOp::select, args, DType::f32);
  if (is_constant(args[0])) return args[0]->bits ? args[1] : args[2];
  if (args[1] == args[2]) return args[1];
  return make_node(ExprOp::select, std::move(args));
}

Expr convert(Expr a, DType type) {
  check_internal(a != nullptr, "convert without an operand");
  if (a->type == type) return a;
  return make_folded(ExprOp::convert, {std::move(a)}, type);
}

Expr bitcast(Expr a, DType type) {
  check_internal(a != nullptr, "bitcast without an operand");
  if (a->type == type) return a;
  if (a->op == ExprOp::bitcast && a->args[0]->type == type) return a->args[0];
  return make_folded(ExprOp::bitcast, {std::move(a)}, type);
}

}  // namespace expr

Expr operator+(Expr a, Expr b) { return expr::binary(ExprOp::add, std::move(a), std::move(b)); }
Expr operator-(Expr a, Expr b) { return expr::binary(ExprOp::sub, std::move(a), std::move(b)); }
Expr operator*(Expr a, Expr b) { return expr::binary(ExprOp::mul, std::move(a), std::move(b)); }
Expr operator/(Expr a, Expr b) { return expr::binary(ExprOp::div, std::move(a), std::move(b)); }
Expr operator-(Expr a) { return expr::unary(ExprOp::neg, std::move(a)); }
Expr operator+(Expr a, double b) {
  Expr constant = expr::constant(b, a->type);
  return std::move(a) + std::move(constant);
}
Expr operator-(double a, Expr b) {
  Expr constant = expr::constant(a, b->type);
  return std::move(constant) - std::move(b);
}
Expr operator*(Expr a, double b) {
  Expr constant = expr::constant(b, a->type);
  return std::move(a) * std::move(constant);
}

namespace {

void add_origins(std::span<const Statement> statements, std::vector<std::string>& names) {
  for (const Statement& statement : statements) {
    if (!statement.origin.empty() && std::find(names.begin(), names.end(), statement.origin) == names.end())
      names.push_back(statement.origin);
    if (const For* loop = std::get_if<For>(&statement.node)) add_origins(loop->body, names);
  }
}

}  // namespace

std::vector<std::string> list_origins(std::span<const Statement> statements) {
  std::vector<std::string> names;
  add_origins(statements, names);
  return names;
}

}  // namespace moru
