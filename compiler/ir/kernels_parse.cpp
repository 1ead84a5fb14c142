// Parses what kernels_text.cpp prints. Nodes are built as written: nothing is folded, so that the tree is the same.
#include <charconv>
#include <map>
#include <optional>
#include <unordered_map>

#include "compiler/ir/expr_types.h"
#include "compiler/ir/kernels.h"
#include "compiler/support/ascii.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

constexpr int deepest_nesting = 500;  // the parser is recursive, and text may come from anywhere

const std::map<std::string, ExprOp, std::less<>>& function_names() {
  static const std::map<std::string, ExprOp, std::less<>> names = [] {
    std::map<std::string, ExprOp, std::less<>> all;
    for (int op = static_cast<int>(ExprOp::fma); op <= static_cast<int>(ExprOp::select); ++op)
      all.emplace(expr_op_name(static_cast<ExprOp>(op)), static_cast<ExprOp>(op));
    return all;
  }();
  return names;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Kernel run() {
    expect("kernel");
    kernel_.entry = peek() == '"' ? string() : std::string(word());
    expect("{");
    while (accept("buffer")) buffer();
    kernel_.body = block();
    skip();
    if (at_ != text_.size()) fail("expected the end of the text");
    return std::move(kernel_);
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  Kernel kernel_;
  std::map<std::string, BufferId, std::less<>> buffers_;
  std::map<std::string, Expr, std::less<>> lets_;  // of the statement being parsed
  DType accumulator_type_ = DType::f32;

  // Reading ---------------------------------------------------------------------------------------------------------

  [[noreturn]] void fail(const std::string& what) const {
    size_t line = 1;
    for (char c : text_.substr(0, at_)) line += c == '\n';
    std::string rest(text_.substr(at_, 24));
    rest = rest.substr(0, rest.find('\n'));
    throw CompileError({.stage = "parse_kernel",
                        .what = "line " + std::to_string(line) + " of the kernel text: " + what +
                                (rest.empty() ? ", at the end" : ", at '" + rest + "'")});
  }
  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
        ++at_;
      else if (text_.substr(at_).starts_with("//"))
        at_ = std::min(text_.find('\n', at_), text_.size());
      else
        break;
    }
  }
  char peek() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(std::string_view token) {
    skip();
    if (!text_.substr(at_).starts_with(token)) return false;
    const size_t end = at_ + token.size();
    if (is_word(token.back()) && end < text_.size() && is_word(text_[end])) return false;
    at_ = end;
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail("expected '" + std::string(token) + "'");
  }
  std::string_view word() {
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    if (at_ == begin) fail("expected a name");
    return text_.substr(begin, at_ - begin);
  }
  std::string string() {
    expect("\"");
    std::string value;
    while (at_ < text_.size() && text_[at_] != '"') {
      char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        c = text_[at_++];
        if (c == 'n') c = '\n';
      }
      value += c;
    }
    if (at_ >= text_.size()) fail("expected '\"'");
    ++at_;
    return value;
  }
  template <class T>
  T number() {
    skip();
    T value{};
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) fail("expected a number");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }
  DType dtype() {
    const std::optional<DType> type = find_dtype(word());
    if (!type) fail("expected a type");
    return *type;
  }
  /// Up to a character of `ends` outside of parentheses.
  Dim dim(std::string_view ends) {
    skip();
    const size_t begin = at_;
    for (int parentheses = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (parentheses == 0 && ends.find(c) != std::string_view::npos) break;
      if (c == '\n') break;
      parentheses += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
    try {
      return Dim::parse(text_.substr(begin, at_ - begin));
    } catch (const std::exception& error) {
      at_ = begin;
      fail(error.what());
    }
  }

  // Expressions -----------------------------------------------------------------------------------------------------

  Expr make(ExprOp op, std::vector<Expr> args, DType target = DType::f32) {
    ExprNode node;
    node.op = op;
    try {
      node.type = expr_result_type(op, args, target);
    } catch (const InternalError& error) {
      fail(error.what());
    }
    node.args = std::move(args);
    return std::make_shared<const ExprNode>(std::move(node));
  }
  Expr constant(DType type) {
    ExprNode node;
    node.type = type;
    if (type == DType::f32)
      node.number = static_cast<double>(number<float>());
    else if (type == DType::f64)
      node.number = number<double>();
    else if (type == DType::i32)
      node.bits = number<int32_t>();
    else
      node.bits = number<int64_t>();
    return std::make_shared<const ExprNode>(std::move(node));
  }
  Expr boolean(bool value) {
    ExprNode node;
    node.type = DType::boolean;
    node.bits = value;
    return std::make_shared<const ExprNode>(std::move(node));
  }

  Expr expression() {
    if (++depth_ > deepest_nesting) fail("an expression is nested too deeply");
    Expr result = primary();
    --depth_;
    return result;
  }

  Expr primary() {
    const char c = peek();
    if (c == '-' || (c >= '0' && c <= '9') || accept_number_word()) return constant(DType::f32);
    if (accept("(")) {
      Expr left = expression();
      const ExprOp op = accept("+")   ? ExprOp::add
                        : accept("-") ? ExprOp::sub
                        : accept("*") ? ExprOp::mul
                        : accept("/") ? ExprOp::div
                                      : ExprOp::constant;
      if (op == ExprOp::constant) fail("expected an operator");
      Expr right = expression();
      expect(")");
      return make(op, {std::move(left), std::move(right)});
    }
    if (accept("%")) {
      const std::string_view name = word();
      auto found = lets_.find(name);
      if (found == lets_.end()) fail("there is no %" + std::string(name) + " in this statement");
      return found->second;
    }
    if (accept("load")) {
      ExprNode node;
      node.op = ExprOp::load;
      node.access = access();
      node.type = kernel_.buffers[node.access.buffer].dtype;
      return std::make_shared<const ExprNode>(std::move(node));
    }
    if (accept("acc")) return make(ExprOp::accumulator, {}, accumulator_type_);
    if (accept("true")) return boolean(true);
    if (accept("false")) return boolean(false);
    return call();
  }

  bool accept_number_word() {  // "inf" and "nan", left to be read by number()
    const size_t begin = at_;
    const bool found = accept("inf") || accept("nan");
    at_ = begin;
    return found;
  }

  Expr call() {
    const size_t begin = at_;
    const std::string_view name = word();
    expect("(");
    if (name == "index") {
      ExprNode node;
      node.op = ExprOp::index;
      node.type = DType::i64;
      node.dim = dim(")");
      expect(")");
      return std::make_shared<const ExprNode>(std::move(node));
    }
    if (const auto type = find_dtype(name)) {
      Expr value = constant(*type);
      expect(")");
      return value;
    }
    std::vector<Expr> args;
    do args.push_back(expression());
    while (accept(","));
    expect(")");
    for (ExprOp op : {ExprOp::convert, ExprOp::bitcast}) {
      const std::string prefix = std::string(expr_op_name(op)) + "_";
      if (!name.starts_with(prefix)) continue;
      if (const auto type = find_dtype(name.substr(prefix.size()))) return make(op, std::move(args), *type);
    }
    const auto found = function_names().find(name);
    if (found == function_names().end()) {
      at_ = begin;
      fail("there is no operation '" + std::string(name) + "'");
    }
    return make(found->second, std::move(args));
  }

  Access access() {
    Access result;
    const std::string name = string();
    if (accept("#")) {
      result.buffer = number<uint32_t>();
    } else {
      const auto found = buffers_.find(name);
      if (found == buffers_.end()) fail("there is no buffer \"" + name + "\"");
      result.buffer = found->second;
    }
    if (result.buffer >= kernel_.buffers.size()) fail("there is no such buffer");
    expect("[");
    result.offset = dim(";]");
    if (accept(";")) result.dynamic = expression();
    expect("]");
    return result;
  }

  // Statements ------------------------------------------------------------------------------------------------------

  void buffer() {
    Buffer buffer;
    buffer.name = string();
    expect(":");
    buffer.dtype = dtype();
    expect("[");
    buffer.elements = dim("]");
    expect("]");
    if (accept("slot")) buffer.slot = number<int32_t>();
    buffers_.emplace(buffer.name, static_cast<BufferId>(kernel_.buffers.size()));
    kernel_.buffers.push_back(std::move(buffer));
  }

  void lets() {
    lets_.clear();
    while (accept("let")) {
      expect("%");
      const std::string name(word());
      expect("=");
      lets_[name] = expression();
    }
  }

  Store store() {
    Store store;
    store.access = access();
    store.accumulate = accept("+=");
    if (!store.accumulate) expect("=");
    store.value = expression();
    return store;
  }

  std::string origin() { return accept("@") ? string() : std::string(); }

  std::vector<ContractionAxis> axes() {
    std::vector<ContractionAxis> list;
    expect("(");
    if (accept(")")) return list;
    do {
      ContractionAxis axis;
      axis.var = word();
      expect(":");
      axis.extent = dim(",)");
      list.push_back(std::move(axis));
    } while (accept(","));
    expect(")");
    return list;
  }

  Block block() {
    if (++depth_ > deepest_nesting) fail("loops are nested too deeply");
    Block statements;
    lets();
    while (!accept("}")) {
      statements.push_back(statement());
      lets();
    }
    --depth_;
    return statements;
  }

  // The extent of a loop ends where its body or its origin begins.
  For loop(ForKind kind, std::string& from) {
    For loop;
    loop.kind = kind;
    loop.var = word();
    expect(":");
    loop.extent = dim("{@");
    from = origin();
    expect("{");
    loop.body = block();
    return loop;
  }

  Reduce reduce(std::string& from) {
    Reduce reduce;
    const std::string_view name = word();
    bool known = false;
    for (ReduceOp op : {ReduceOp::add, ReduceOp::max, ReduceOp::min}) {
      if (reduce_op_name(op) != name) continue;
      reduce.op = op;
      known = true;
    }
    if (!known) fail("there is no reduction '" + std::string(name) + "'");
    reduce.var = word();
    expect(":");
    const size_t end = std::min(text_.find(" accumulate", at_), text_.find(" into", at_));
    if (end == std::string_view::npos) fail("expected 'into'");
    try {
      reduce.extent = Dim::parse(text_.substr(at_, end - at_));
    } catch (const std::exception& error) {
      fail(error.what());
    }
    at_ = end;
    reduce.accumulate = accept("accumulate");
    expect("into");
    reduce.target = access();
    from = origin();
    expect("{");
    reduce.value = expression();
    expect("}");
    return reduce;
  }

  Contraction contraction(std::string& from) {
    Contraction contraction;
    contraction.type = dtype();
    accumulator_type_ = contraction.type;
    expect("rows");
    contraction.rows = axes();
    expect("columns");
    contraction.columns = axes();
    expect("depth");
    contraction.depth = axes();
    expect("a");
    contraction.a = access();
    expect("b");
    contraction.b = access();
    if (accept("init")) contraction.init = expression();
    from = origin();
    expect("{");
    lets();
    while (!accept("}")) {
      contraction.epilogue.push_back(store());
      lets();
    }
    return contraction;
  }

  Transpose transpose() {
    Transpose transpose;
    expect("(");
    transpose.rows = dim(",");
    expect(",");
    transpose.columns = dim(")");
    expect(")");
    expect("from");
    transpose.from = access();
    expect("stride");
    expect("(");
    transpose.from_stride = dim(")");
    expect(")");
    expect("to");
    transpose.to = access();
    expect("stride");
    expect("(");
    transpose.to_stride = dim(")");
    expect(")");
    return transpose;
  }

  Statement statement() {
    std::string from;
    if (accept("for")) {
      For node = loop(ForKind::serial, from);
      return {std::move(node), from};
    }
    if (accept("vector")) {
      For node = loop(ForKind::vector, from);
      return {std::move(node), from};
    }
    if (accept("parallel")) {
      For node = loop(ForKind::parallel, from);
      return {std::move(node), from};
    }
    if (accept("reduce")) {
      Reduce node = reduce(from);
      return {std::move(node), from};
    }
    if (accept("contract")) {
      Contraction node = contraction(from);
      return {std::move(node), from};
    }
    if (accept("transpose")) {
      Transpose node = transpose();
      return {std::move(node), origin()};
    }
    if (peek() != '"') fail("expected a statement");
    Store node = store();
    return {std::move(node), origin()};
  }
};

}  // namespace

Kernel parse_kernel(std::string_view text) { return Parser(text).run(); }

}  // namespace moru
