// The text of graphs: printer and parser.
#include <charconv>
#include <map>
#include <sstream>

#include "compiler/ir/graph.h"
#include "compiler/ops/op.h"
#include "compiler/support/ascii.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void print_lines(const Graph& graph, const std::string& indent, std::string& out) {
  auto value = [](ValueId id) { return id == no_value ? std::string("_") : "%" + std::to_string(id); };
  for (const GraphInput& input : graph.inputs) {
    out += indent + value(input.value) + " = input";
    if (!input.slot.empty()) out += " " + quoted(input.slot);
    out += ": " + type_text(graph.type(input.value)) + "\n";
  }
  for (const Node& node : graph.nodes) {
    out += indent;
    for (size_t i = 0; i < node.outputs.size(); ++i)
      out += (i ? ", " : "") + value(node.outputs[i]) + ": " + type_text(graph.type(node.outputs[i]));
    out += " = " + std::string(node.op->name) + "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) out += (i ? ", " : "") + value(node.inputs[i]);
    out += ")";
    if (!node.attributes.entries().empty()) out += " " + node.attributes.text();
    for (const Graph& body : node.bodies) {
      out += " body {\n";
      print_lines(body, indent + "  ", out);
      out += indent + "}";
    }
    if (!node.origin.empty()) out += "  # " + node.origin;
    out += "\n";
  }
  for (const GraphResult& result : graph.results) {
    out += indent + "result ";
    if (!result.slot.empty()) out += quoted(result.slot) + " = ";
    out += value(result.value) + "\n";
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Module module() {
    Module result;
    expect_word("module");
    expect('{');
    while (!take('}')) {
      std::string word = name();
      if (word == "slot") {
        result.slots.push_back(slot());
      } else if (word == "entry") {
        result.entries.push_back(entry_after_keyword());
      } else {
        error("expected 'slot' or 'entry'");
      }
    }
    end();
    return result;
  }

  Graph entry() {
    expect_word("entry");
    Graph graph = entry_after_keyword();
    end();
    return graph;
  }

 private:
  static constexpr int max_depth = 32;  // of bodies in bodies: hostile text must not exhaust the stack
  std::string_view text_;
  size_t at_ = 0;

  [[noreturn]] void error(const std::string& what) {
    size_t line = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); ++i) line += text_[i] == '\n';
    throw CompileError({.stage = "parse", .what = "graph text, line " + std::to_string(line) + ": " + what});
  }
  void skip() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) error(std::string("expected '") + c + "'");
  }
  std::string name() {
    skip();
    size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    if (begin == at_) error("expected a name");
    return std::string(text_.substr(begin, at_ - begin));
  }
  bool take_word(std::string_view word) {
    skip();
    if (text_.substr(at_, word.size()) != word) return false;
    size_t after = at_ + word.size();
    if (after < text_.size() && is_word(text_[after])) return false;
    at_ = after;
    return true;
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) error("expected '" + std::string(word) + "'");
  }
  std::string string() {
    expect('"');
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        ++at_;
        out += text_[at_] == 'n' ? '\n' : text_[at_];
      } else {
        out += text_[at_];
      }
      ++at_;
    }
    expect('"');
    return out;
  }
  uint32_t number() {
    std::string digits = name();
    uint64_t value = 0;
    for (char c : digits) {
      if (!is_digit(c) || value > 100'000'000) error("expected a number");
      value = value * 10 + static_cast<uint64_t>(c - '0');
    }
    return static_cast<uint32_t>(value);
  }
  int64_t long_number() {
    int64_t value = 0;
    for (char c : name()) {
      if (!is_digit(c) || __builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{c - '0'}, &value))
        error("expected a number");
    }
    return value;
  }
  // What another parser says about a part of this text, with the line.
  template <typename Parse>
  auto at_this_line(Parse parse) {
    try {
      return parse();
    } catch (const CompileError& inner) {
      error(inner.parts().what);
    }
  }
  // The text up to the bracket that closes the one at the current place, brackets included.
  std::string_view bracketed(char open, char close) {
    skip();
    size_t begin = at_;
    int depth = 0;
    bool in_string = false;
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (in_string) {
        if (c == '\\') ++at_;
        if (c == '"') in_string = false;
      } else if (c == '"') {
        in_string = true;
      } else if (c == open) {
        ++depth;
      } else if (c == close && --depth == 0) {
        ++at_;
        return text_.substr(begin, at_ - begin);
      }
    }
    error(std::string("missing '") + close + "'");
  }
  Type type() {
    std::string word = name();
    auto dtype = find_dtype(word);
    if (!dtype) error("unknown element type '" + word + "'");
    std::string_view list = bracketed('[', ']');
    list = list.substr(1, list.size() - 2);
    Type result{*dtype, {}};
    size_t begin = 0;
    int depth = 0;
    for (size_t i = 0; i <= list.size(); ++i) {
      if (i == list.size() || (list[i] == ',' && depth == 0)) {
        std::string_view part = list.substr(begin, i - begin);
        if (part.find_first_not_of(' ') != std::string_view::npos) result.shape.push_back(at_this_line([&] { return Dim::parse(part); }));
        begin = i + 1;
      } else if (list[i] == '(') {
        ++depth;
      } else if (list[i] == ')') {
        --depth;
      }
    }
    return result;
  }
  Slot slot() {
    Slot result;
    std::string kind = name();
    bool known = false;
    for (uint8_t k = 0; k < slot_kind_count; ++k)
      if (slot_kind_name(static_cast<SlotKind>(k)) == kind) {
        result.kind = static_cast<SlotKind>(k);
        known = true;
      }
    if (!known) error("unknown slot kind '" + kind + "'");
    result.name = string();
    expect(':');
    result.type = type();
    if (take_word("trainable")) result.trainable = true;
    if (take_word("limit")) result.index_limit = long_number();
    if (take_word("initial")) {
      skip();
      size_t begin = at_;
      while (at_ < text_.size() && !is_space(text_[at_])) ++at_;
      const char* end = text_.data() + at_;
      if (std::from_chars(text_.data() + begin, end, result.initial).ptr != end || begin == at_) error("expected a number");
    }
    if (take_word("constraint")) {
      skip();
      const std::string_view list = bracketed('{', '}');
      result.constraint = at_this_line([&] { return Attributes::parse(list); });
    }
    return result;
  }
  Graph entry_after_keyword() {
    std::string entry_name = name();
    Graph graph = block();
    graph.name = entry_name;
    return graph;
  }
  // '%7' as a value of this graph; its first mention must be a definition.
  ValueId define(Graph& graph, std::map<uint32_t, ValueId>& ids) {
    expect('%');
    uint32_t n = number();
    if (ids.count(n)) error("%" + std::to_string(n) + " is defined twice");
    ValueId id = graph.add_value({});
    ids[n] = id;
    return id;
  }
  ValueId use(std::map<uint32_t, ValueId>& ids) {
    if (take('_')) return no_value;
    expect('%');
    uint32_t n = number();
    auto found = ids.find(n);
    if (found == ids.end()) error("%" + std::to_string(n) + " is used before its definition");
    return found->second;
  }
  Graph block(int depth = 0) {
    if (depth > max_depth) error("bodies are nested too deep");
    Graph graph;
    std::map<uint32_t, ValueId> ids;
    expect('{');
    while (!take('}')) {
      if (take_word("result")) {
        skip();
        std::string slot_name;
        if (at_ < text_.size() && text_[at_] == '"') {
          slot_name = string();
          expect('=');
        }
        ValueId value = use(ids);
        graph.add_result(value, slot_name);
        continue;
      }
      line(graph, ids, depth);
    }
    return graph;
  }
  void line(Graph& graph, std::map<uint32_t, ValueId>& ids, int depth) {
    // An input line puts its type last, a node line puts types first.
    std::vector<ValueId> outputs;
    do {
      skip();
      ValueId id = define(graph, ids);
      outputs.push_back(id);
      if (take(':')) graph.types[id] = type();
    } while (take(','));
    expect('=');
    if (outputs.size() == 1 && take_word("input")) {
      skip();
      std::string slot_name;
      if (at_ < text_.size() && text_[at_] == '"') slot_name = string();
      expect(':');
      graph.types[outputs[0]] = type();
      graph.inputs.push_back({outputs[0], slot_name});
      return;
    }
    Node node;
    std::string op_name = name();
    node.op = find_op(op_name);
    if (!node.op) error("there is no op '" + op_name + "'");
    expect('(');
    if (!take(')')) {
      do node.inputs.push_back(use(ids));
      while (take(','));
      expect(')');
    }
    skip();
    if (at_ < text_.size() && text_[at_] == '{') {
      const std::string_view list = bracketed('{', '}');
      node.attributes = at_this_line([&] { return Attributes::parse(list); });
    }
    while (take_word("body")) node.bodies.push_back(block(depth + 1));
    // The origin is a comment to people but part of the text.
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ < text_.size() && text_[at_] == '#') {
      size_t line_end = text_.find('\n', at_);
      if (line_end == std::string_view::npos) line_end = text_.size();
      node.origin = std::string(text_.substr(at_ + 2 <= line_end ? at_ + 2 : line_end,
                                             line_end - at_ - (at_ + 2 <= line_end ? 2 : line_end - at_)));
      at_ = line_end;
    }
    node.outputs = std::move(outputs);
    graph.nodes.push_back(std::move(node));
  }
  void end() {
    skip();
    if (at_ != text_.size()) error("unexpected text behind the closing '}'");
  }
};

}  // namespace

std::string graph_text(const Graph& graph) {
  std::string out = "entry " + (graph.name.empty() ? "graph" : graph.name) + " {\n";
  print_lines(graph, "  ", out);
  return out + "}\n";
}

std::string module_text(const Module& module) {
  std::string out = "module {\n";
  for (const Slot& slot : module.slots) {
    out += "  slot " + std::string(slot_kind_name(slot.kind)) + " " + quoted(slot.name) + ": " + type_text(slot.type);
    if (slot.trainable) out += " trainable";
    if (slot.index_limit) out += " limit " + std::to_string(slot.index_limit);
    if (slot.initial != 0.0) {
      char number[40];
      out += " initial ";
      out.append(number, std::to_chars(number, number + sizeof number, slot.initial).ptr);
    }
    if (const auto* constraint = std::get_if<AttributeValue::Nested>(&slot.constraint.value); constraint && *constraint)
      out += " constraint " + (*constraint)->text();
    out += "\n";
  }
  for (const Graph& graph : module.entries) {
    out += "  entry " + graph.name + " {\n";
    print_lines(graph, "    ", out);
    out += "  }\n";
  }
  return out + "}\n";
}

Graph parse_graph(std::string_view text) { return Parser(text).entry(); }
Module parse_module(std::string_view text) { return Parser(text).module(); }

}  // namespace moru
