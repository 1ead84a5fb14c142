#include "compiler/ir/attributes.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "compiler/support/error.h"

namespace moru {
namespace {

// Attributes nest as deep as wrappers do; text that nests deeper was not written by us.
constexpr int max_depth = 64;

bool same_real(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

template <typename T>
const T& get(const Attributes& attributes, std::string_view name, const char* type) {
  const AttributeValue* found = attributes.find(name);
  if (found == nullptr) throw InternalError("attribute '" + std::string(name) + "' is absent");
  const T* value = std::get_if<T>(&found->value);
  if (value == nullptr) throw InternalError("attribute '" + std::string(name) + "' is not " + type);
  return *value;
}

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

bool is_plain_name(std::string_view name) {
  if (name.empty() || !is_name_start(name.front())) return false;
  for (char c : name) {
    if (!is_name_part(c)) return false;
  }
  return true;
}

// --- printing ---

void print_string(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", unsigned{byte});
      out += escape;
    } else {
      out += c;
    }
  }
  out += '"';
}

void print_real(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  if (std::isinf(value)) {
    out += value < 0 ? "-inf" : "inf";
    return;
  }
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  const std::string_view digits(buffer, static_cast<size_t>(end - buffer));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

template <typename List, typename PrintElement>
void print_list(std::string& out, const List& list, const PrintElement& print_element) {
  out += '(';
  bool first = true;
  for (const auto& element : list) {
    if (!first) out += ", ";
    first = false;
    print_element(element);
  }
  out += ')';
}

void print_attributes(std::string& out, const Attributes& attributes);

struct ValuePrinter {
  std::string& out;
  void operator()(std::monostate) const { out += "none"; }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(int64_t value) const { out += std::to_string(value); }
  void operator()(double value) const { print_real(out, value); }
  void operator()(const std::string& value) const { print_string(out, value); }
  void operator()(const std::vector<int64_t>& list) const {
    print_list(out, list, [this](int64_t value) { (*this)(value); });
  }
  // An empty list does not show what it is a list of, so it says it; a bare () is a list of integers.
  void operator()(const std::vector<double>& list) const {
    if (list.empty()) out += "reals";
    print_list(out, list, [this](double value) { (*this)(value); });
  }
  void operator()(const std::vector<std::string>& list) const {
    if (list.empty()) out += "strings";
    print_list(out, list, [this](const std::string& value) { (*this)(value); });
  }
  void operator()(const Shape& shape) const { out += shape_text(shape); }
  void operator()(const AttributeValue::Nested& nested) const {
    if (nested == nullptr) {
      out += "none";
    } else {
      print_attributes(out, *nested);
    }
  }
};

void print_attributes(std::string& out, const Attributes& attributes) {
  out += '{';
  bool first = true;
  for (const auto& [name, value] : attributes.entries()) {
    if (!first) out += ", ";
    first = false;
    if (is_plain_name(name)) {
      out += name;
    } else {
      print_string(out, name);
    }
    out += '=';
    std::visit(ValuePrinter{out}, value.value);
  }
  out += '}';
}

// --- parsing ---

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Attributes parse_all() {
    Attributes attributes = parse_attributes(0);
    skip_space();
    if (position_ != text_.size()) error("expected the end");
    return attributes;
  }

 private:
  std::string_view text_;
  size_t position_ = 0;

  [[noreturn]] void error(const std::string& what) const {
    const size_t begin = position_ < 20 ? 0 : position_ - 20;
    throw CompileError({.stage = "parse",
                        .node = {},
                        .op = {},
                        .what = "attributes: " + what + " at character " + std::to_string(position_ + 1) + ", after '" +
                                std::string(text_.substr(begin, position_ - begin)) + "'",
                        .detail = {},
                        .hint = {}});
  }

  void skip_space() {
    while (position_ < text_.size() && std::string_view(" \t\r\n").find(text_[position_]) != std::string_view::npos) {
      ++position_;
    }
  }
  char peek() {
    skip_space();
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c || position_ >= text_.size()) return false;
    ++position_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) error(std::string("expected '") + c + "'");
  }

  std::string_view parse_word() {
    skip_space();
    const size_t begin = position_;
    while (position_ < text_.size() && is_name_part(text_[position_])) ++position_;
    return text_.substr(begin, position_ - begin);
  }

  std::string parse_string() {
    expect('"');
    std::string result;
    while (position_ < text_.size() && text_[position_] != '"') {
      char c = text_[position_++];
      if (c == '\\') {
        if (position_ >= text_.size()) break;
        c = text_[position_++];
        if (c == 'n') {
          c = '\n';
        } else if (c == 't') {
          c = '\t';
        } else if (c == 'x') {
          unsigned byte = 0;
          const char* begin = text_.data() + position_;
          if (text_.size() - position_ < 2 || std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) {
            error("expected two hexadecimal digits");
          }
          position_ += 2;
          c = static_cast<char>(byte);
        } else if (c != '"' && c != '\\') {
          error("unknown escape");
        }
      }
      result += c;
    }
    if (position_ >= text_.size()) error("the string does not end");
    ++position_;
    return result;
  }

  AttributeValue parse_number() {
    skip_space();
    const size_t begin = position_;
    while (position_ < text_.size() && (is_name_part(text_[position_]) || text_[position_] == '.' ||
                                        text_[position_] == '+' || text_[position_] == '-')) {
      ++position_;
    }
    const std::string_view digits = text_.substr(begin, position_ - begin);
    const char* end = digits.data() + digits.size();
    if (digits == "inf" || digits == "-inf" || digits == "nan" ||
        digits.find_first_of(".e") != std::string_view::npos) {
      double value = 0;
      const auto result = std::from_chars(digits.data(), end, value);
      if (result.ec == std::errc() && result.ptr == end) return value;
    } else {
      int64_t value = 0;
      const auto result = std::from_chars(digits.data(), end, value);
      if (result.ec == std::errc() && result.ptr == end) return value;
    }
    position_ = begin;
    error("expected a value");
  }

  template <typename T>
  AttributeValue parse_rest_of_list(AttributeValue first) {
    std::vector<T> list;
    AttributeValue element = std::move(first);
    while (true) {
      if (!std::holds_alternative<T>(element.value)) error("the elements of a list must be of one type");
      list.push_back(std::get<T>(std::move(element.value)));
      if (!accept(',')) break;
      element = parse_element();
    }
    expect(')');
    return list;
  }

  AttributeValue parse_element() { return peek() == '"' ? AttributeValue(parse_string()) : parse_number(); }

  AttributeValue parse_list() {
    expect('(');
    if (accept(')')) return std::vector<int64_t>{};
    AttributeValue first = parse_element();
    if (std::holds_alternative<std::string>(first.value)) return parse_rest_of_list<std::string>(std::move(first));
    if (std::holds_alternative<double>(first.value)) return parse_rest_of_list<double>(std::move(first));
    return parse_rest_of_list<int64_t>(std::move(first));
  }

  AttributeValue parse_shape() {
    expect('[');
    Shape shape;
    if (accept(']')) return shape;
    while (true) {
      const size_t begin = position_;
      int parentheses = 0;
      while (position_ < text_.size()) {
        const char c = text_[position_];
        if (parentheses == 0 && (c == ',' || c == ']')) break;
        if (c == '(') ++parentheses;
        if (c == ')') --parentheses;
        ++position_;
      }
      if (position_ >= text_.size()) error("the shape does not end");
      shape.push_back(Dim::parse(text_.substr(begin, position_ - begin)));
      if (accept(']')) return shape;
      expect(',');
    }
  }

  AttributeValue parse_value(int depth) {
    switch (peek()) {
      case '"':
        return parse_string();
      case '(':
        return parse_list();
      case '[':
        return parse_shape();
      case '{':
        return parse_attributes(depth + 1);
      default:
        break;
    }
    if (is_name_start(peek())) {
      const size_t begin = position_;
      const std::string_view word = parse_word();
      if (word == "none") return {};
      if (word == "true") return true;
      if (word == "false") return false;
      if (word == "reals" && accept('(') && accept(')')) return std::vector<double>{};
      if (word == "strings" && accept('(') && accept(')')) return std::vector<std::string>{};
      position_ = begin;
    }
    return parse_number();
  }

  Attributes parse_attributes(int depth) {
    if (depth > max_depth) error("nested too deep");
    Attributes attributes;
    expect('{');
    if (accept('}')) return attributes;
    while (true) {
      std::string name = peek() == '"' ? parse_string() : std::string(parse_word());
      if (name.empty()) error("expected a name");
      if (attributes.find(name) != nullptr) error("'" + name + "' stands there twice");
      expect('=');
      attributes.set(std::move(name), parse_value(depth));
      if (accept('}')) return attributes;
      expect(',');
    }
  }
};

}  // namespace

AttributeValue::AttributeValue(const Attributes& nested) : value(std::make_shared<const Attributes>(nested)) {}

bool AttributeValue::operator==(const AttributeValue& other) const {
  if (value.index() != other.value.index()) return false;
  if (const auto* nested = std::get_if<Nested>(&value)) {
    const auto& other_nested = std::get<Nested>(other.value);
    if (*nested == nullptr || other_nested == nullptr) return *nested == other_nested;
    return **nested == *other_nested;
  }
  if (const auto* real = std::get_if<double>(&value)) return same_real(*real, std::get<double>(other.value));
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    const auto& other_reals = std::get<std::vector<double>>(other.value);
    if (reals->size() != other_reals.size()) return false;
    for (size_t i = 0; i < reals->size(); ++i) {
      if (!same_real((*reals)[i], other_reals[i])) return false;
    }
    return true;
  }
  return value == other.value;
}

bool Attributes::has(std::string_view name) const {
  const AttributeValue* found = find(name);
  return found != nullptr && !found->is_none();
}

void Attributes::erase(std::string_view name) {
  if (const auto found = entries_.find(name); found != entries_.end()) entries_.erase(found);
}

const AttributeValue* Attributes::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

bool Attributes::boolean(std::string_view name) const { return get<bool>(*this, name, "a boolean"); }
int64_t Attributes::integer(std::string_view name) const { return get<int64_t>(*this, name, "an integer"); }
double Attributes::real(std::string_view name) const {
  if (const AttributeValue* found = find(name); found != nullptr) {
    if (const auto* integer = std::get_if<int64_t>(&found->value)) return static_cast<double>(*integer);
  }
  return get<double>(*this, name, "a number");
}
const std::string& Attributes::string(std::string_view name) const { return get<std::string>(*this, name, "a string"); }
const std::vector<int64_t>& Attributes::integers(std::string_view name) const {
  return get<std::vector<int64_t>>(*this, name, "a list of integers");
}
const std::vector<double>& Attributes::reals(std::string_view name) const {
  return get<std::vector<double>>(*this, name, "a list of reals");
}
const std::vector<std::string>& Attributes::strings(std::string_view name) const {
  return get<std::vector<std::string>>(*this, name, "a list of strings");
}
const Shape& Attributes::shape(std::string_view name) const { return get<Shape>(*this, name, "a shape"); }
const Attributes& Attributes::nested(std::string_view name) const {
  const auto& nested = get<AttributeValue::Nested>(*this, name, "nested attributes");
  if (nested == nullptr) throw InternalError("attribute '" + std::string(name) + "' is absent");
  return *nested;
}

std::string Attributes::text() const {
  std::string out;
  print_attributes(out, *this);
  return out;
}

Attributes Attributes::parse(std::string_view text) { return Parser(text).parse_all(); }

}  // namespace moru
