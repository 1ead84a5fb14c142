// Prints kernels. The parser is in kernels_parse.cpp; kernels.h shows the form.
//
// A subexpression that is used more than once in a statement is named by a `let` line before it, so that the text of a
// DAG is as long as the DAG, not as its tree. Names count from %0 in every statement.
#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "compiler/ir/kernels.h"
#include "compiler/ir/statement_label.h"

namespace moru {

namespace {

constexpr int deepest_nesting = 24;  // of one printed expression; deeper parts get a name as well

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

template <class T>
std::string number_text(T value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string constant_text(const ExprNode& node) {
  switch (node.type) {
    case DType::f32:
      return number_text(static_cast<float>(node.number));
    case DType::boolean:
      return node.bits ? "true" : "false";
    case DType::f64:
      return "f64(" + number_text(node.number) + ")";
    case DType::i32:
    case DType::i64:
    case DType::bf16:
      break;
  }
  return std::string(dtype_name(node.type)) + "(" + std::to_string(node.bits) + ")";
}

std::string_view infix(ExprOp op) {
  switch (op) {
    case ExprOp::add:
      return " + ";
    case ExprOp::sub:
      return " - ";
    case ExprOp::mul:
      return " * ";
    case ExprOp::div:
      return " / ";
    default:
      return {};
  }
}

class Printer {
 public:
  explicit Printer(const Kernel& kernel) : kernel_(kernel) {
    for (const Buffer& buffer : kernel.buffers) ++names_[buffer.name];
  }

  std::string run() {
    out_ = "kernel " + quoted(kernel_.entry) + " {\n";
    for (const Buffer& buffer : kernel_.buffers) {
      out_ += "  buffer " + quoted(buffer.name) + ": " + std::string(dtype_name(buffer.dtype)) + "[" +
              buffer.elements.text() + "]";
      if (buffer.slot >= 0) out_ += " slot " + std::to_string(buffer.slot);
      out_ += "\n";
    }
    block(kernel_.body, 1);
    return out_ + "}\n";
  }

  /// The head of a statement, without what it computes.
  std::string head(const Statement& statement) {
    brief_ = true;
    return std::visit([&](const auto& node) { return head_of(node); }, statement.node);
  }

 private:
  const Kernel& kernel_;
  std::unordered_map<std::string, int> names_;  // how many buffers have a name
  std::string out_;
  bool brief_ = false;
  // Of the statement being printed:
  std::unordered_map<const ExprNode*, int> uses_;
  std::unordered_map<const ExprNode*, int> heights_;
  std::unordered_map<const ExprNode*, int> named_;
  std::string lets_;

  void count_uses(const Expr& expr) {
    if (!expr || uses_[expr.get()]++ > 0) return;
    for (const Expr& arg : expr->args) count_uses(arg);
    if (expr->op == ExprOp::load) count_uses(expr->access.dynamic);
  }
  void begin_statement() {
    uses_.clear();
    heights_.clear();
    named_.clear();
    lets_.clear();
  }

  std::string buffer_name(BufferId id) const {
    if (id >= kernel_.buffers.size()) return "buffer#" + std::to_string(id);
    const std::string& name = kernel_.buffers[id].name;
    return quoted(name) + (names_.at(name) > 1 ? "#" + std::to_string(id) : "");
  }
  std::string access(const Access& access, int indent) {
    std::string text = buffer_name(access.buffer) + "[" + access.offset.text();
    if (access.dynamic) text += "; " + (brief_ ? "..." : expr(access.dynamic, indent));
    return text + "]";
  }

  static bool is_leaf(const ExprNode& node) {
    return node.op == ExprOp::constant || node.op == ExprOp::index || node.op == ExprOp::accumulator;
  }

  // Appends to lets_ what the returned text refers to.
  std::string expr(const Expr& e, int indent) {
    if (auto found = named_.find(e.get()); found != named_.end()) return "%" + std::to_string(found->second);
    std::string text;
    int height = 0;
    auto argument = [&](const Expr& arg) {
      std::string part = expr(arg, indent);
      height = std::max(height, named_.contains(arg.get()) ? 0 : heights_[arg.get()] + 1);
      return part;
    };
    switch (e->op) {
      case ExprOp::constant:
        text = constant_text(*e);
        break;
      case ExprOp::index:
        text = "index(" + e->dim.text() + ")";
        break;
      case ExprOp::accumulator:
        text = "acc";
        break;
      case ExprOp::load:
        text = "load " + access(e->access, indent);
        if (e->access.dynamic && !named_.contains(e->access.dynamic.get()))
          height = heights_[e->access.dynamic.get()] + 1;
        break;
      default:
        if (std::string_view sign = infix(e->op); !sign.empty()) {
          text = "(" + argument(e->args[0]);
          text += sign;
          text += argument(e->args[1]) + ")";
          break;
        }
        text = expr_op_name(e->op);
        if (e->op == ExprOp::convert || e->op == ExprOp::bitcast) text += "_" + std::string(dtype_name(e->type));
        text += "(";
        for (size_t i = 0; i < e->args.size(); ++i) {
          if (i) text += ", ";
          text += argument(e->args[i]);
        }
        text += ")";
    }
    heights_[e.get()] = height;
    if (!is_leaf(*e) && (uses_[e.get()] > 1 || height >= deepest_nesting)) {
      const int name = static_cast<int>(named_.size());
      lets_ += margin(indent) + "let %" + std::to_string(name) + " = " + text + "\n";
      named_[e.get()] = name;
      return "%" + std::to_string(name);
    }
    return text;
  }

  static std::string margin(int indent) { return std::string(static_cast<size_t>(indent) * 2, ' '); }
  static std::string origin(const Statement& statement) {
    return statement.origin.empty() ? "" : " @ " + quoted(statement.origin);
  }
  static std::string axes(const std::vector<ContractionAxis>& list) {
    std::string text = "(";
    for (size_t i = 0; i < list.size(); ++i) text += (i ? ", " : "") + list[i].var + ": " + list[i].extent.text();
    return text + ")";
  }

  std::string store(const Store& store, int indent) {
    if (!brief_) {
      count_uses(store.access.dynamic);
      count_uses(store.value);
    }
    std::string text = access(store.access, indent) + (store.accumulate ? " += " : " = ");
    return text + (brief_ ? "..." : expr(store.value, indent));
  }
  static std::string loop_head(const For& loop) {
    const char* kind = loop.kind == ForKind::serial ? "for " : loop.kind == ForKind::vector ? "vector " : "parallel ";
    return kind + loop.var + ": " + loop.extent.text();
  }
  std::string reduce_head(const Reduce& reduce, int indent) {
    return "reduce " + std::string(reduce_op_name(reduce.op)) + " " + reduce.var + ": " + reduce.extent.text() +
           (reduce.accumulate ? " accumulate" : "") + " into " + access(reduce.target, indent);
  }
  std::string contraction_head(const Contraction& contraction, int indent) {
    std::string text = "contract " + std::string(dtype_name(contraction.type)) + " rows " + axes(contraction.rows) +
                       " columns " + axes(contraction.columns) + " depth " + axes(contraction.depth) + " a " +
                       access(contraction.a, indent) + " b " + access(contraction.b, indent);
    if (contraction.init) text += " init " + (brief_ ? "..." : expr(contraction.init, indent));
    return text;
  }
  std::string transpose_text(const Transpose& t, int indent) {
    return "transpose (" + t.rows.text() + ", " + t.columns.text() + ") from " + access(t.from, indent) + " stride (" +
           t.from_stride.text() + ") to " + access(t.to, indent) + " stride (" + t.to_stride.text() + ")";
  }

  std::string head_of(const Store& node) { return store(node, 0); }
  std::string head_of(const Reduce& node) { return reduce_head(node, 0); }
  std::string head_of(const For& node) { return loop_head(node); }
  std::string head_of(const Contraction& node) { return contraction_head(node, 0); }
  std::string head_of(const Transpose& node) { return transpose_text(node, 0); }

  void line(const std::string& text, int indent) { out_ += lets_ + margin(indent) + text + "\n"; }

  void block(const Block& statements, int indent) {
    for (const Statement& statement : statements) {
      begin_statement();
      const std::string from = origin(statement);
      if (const Store* node = std::get_if<Store>(&statement.node)) {
        const std::string text = store(*node, indent);
        line(text + from, indent);
      } else if (const Reduce* reduce = std::get_if<Reduce>(&statement.node)) {
        count_uses(reduce->target.dynamic);
        count_uses(reduce->value);
        std::string text = reduce_head(*reduce, indent) + from + " { ";
        text += expr(reduce->value, indent) + " }";
        line(text, indent);
      } else if (const For* loop = std::get_if<For>(&statement.node)) {
        line(loop_head(*loop) + from + " {", indent);
        block(loop->body, indent + 1);
        out_ += margin(indent) + "}\n";
      } else if (const Contraction* contraction = std::get_if<Contraction>(&statement.node)) {
        for (const Expr* e : {&contraction->a.dynamic, &contraction->b.dynamic, &contraction->init}) count_uses(*e);
        const std::string text = contraction_head(*contraction, indent) + from + " {";
        line(text, indent);
        for (const Store& each : contraction->epilogue) {
          begin_statement();
          const std::string store_text = store(each, indent + 1);
          line(store_text, indent + 1);
        }
        out_ += margin(indent) + "}\n";
      } else {
        const Transpose& transpose = std::get<Transpose>(statement.node);
        count_uses(transpose.from.dynamic);
        count_uses(transpose.to.dynamic);
        const std::string text = transpose_text(transpose, indent);
        line(text + from, indent);
      }
    }
  }
};

}  // namespace

std::string kernel_text(const Kernel& kernel) { return Printer(kernel).run(); }

std::string kernel_module_text(const KernelModule& module) {
  std::string text = "symbols";
  for (size_t i = 0; i < module.symbols.size(); ++i) text += (i ? ", " : " ") + module.symbols[i];
  text += "\n";
  for (const Kernel& kernel : module.kernels) text += "\n" + kernel_text(kernel);
  return text;
}

std::string statement_label(const Kernel& kernel, const Statement& statement) {
  std::string text = "kernel '" + kernel.entry + "': " + Printer(kernel).head(statement);
  if (!statement.origin.empty()) text += " (from '" + statement.origin + "')";
  return text;
}

}  // namespace moru
