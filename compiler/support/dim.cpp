#include "compiler/support/dim.h"

#include <algorithm>

#include "compiler/support/ascii.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

int64_t checked_add(int64_t a, int64_t b) {
  int64_t r = 0;
  if (__builtin_add_overflow(a, b, &r)) throw CompileError({.what = "a dimension overflows 64 bits"});
  return r;
}

int64_t checked_multiply(int64_t a, int64_t b) {
  int64_t r = 0;
  if (__builtin_mul_overflow(a, b, &r)) throw CompileError({.what = "a dimension overflows 64 bits"});
  return r;
}

int64_t floor_divide(int64_t a, int64_t b) {
  if (b <= 0) throw InternalError("a dimension is divided by a number that is not positive");
  int64_t q = a / b;
  return (a % b != 0 && a < 0) ? q - 1 : q;
}

int64_t ceil_divide(int64_t a, int64_t b) { return -floor_divide(-a, b); }

std::strong_ordering compare_factors(const std::vector<DimFactor>& a, const std::vector<DimFactor>& b) {
  return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end());
}

DimFactor division(DimFactor::Kind kind, const Dim& a, const Dim& b) {
  return {.kind = kind, .symbol = {}, .left = std::make_shared<Dim>(a), .right = std::make_shared<Dim>(b)};
}

// a = quotient * b where every term of `a` divides without remainder by the single term of `b`.
std::optional<Dim> exact_quotient(const Dim& a, const Dim& b) {
  if (b.terms().size() != 1) return a == b ? std::optional<Dim>(1) : std::nullopt;
  const DimTerm& divisor = b.terms()[0];
  Dim quotient;
  for (const DimTerm& term : a.terms()) {
    if (term.coefficient % divisor.coefficient != 0) return std::nullopt;
    std::vector<DimFactor> rest = term.factors;
    for (const DimFactor& factor : divisor.factors) {
      auto found = std::find(rest.begin(), rest.end(), factor);
      if (found == rest.end()) return std::nullopt;
      rest.erase(found);
    }
    Dim part = term.coefficient / divisor.coefficient;
    for (const DimFactor& factor : rest) {
      switch (factor.kind) {
        case DimFactor::Kind::symbol:
          part *= Dim::symbol(factor.symbol);
          break;
        case DimFactor::Kind::floor_div:
          part *= floor_div(*factor.left, *factor.right);
          break;
        case DimFactor::Kind::ceil_div:
          part *= ceil_div(*factor.left, *factor.right);
          break;
        case DimFactor::Kind::max:
          part *= max(*factor.left, *factor.right);
          break;
      }
    }
    quotient += part;
  }
  return quotient;
}

}  // namespace

std::strong_ordering DimFactor::operator<=>(const DimFactor& other) const {
  if (kind != other.kind) return kind <=> other.kind;
  if (kind == Kind::symbol) return symbol.compare(other.symbol) <=> 0;
  if (auto order = *left <=> *other.left; order != 0) return order;
  return *right <=> *other.right;
}
bool DimFactor::operator==(const DimFactor& other) const { return (*this <=> other) == 0; }

Dim::Dim(int64_t value) {
  if (value != 0) terms_.push_back({value, {}});
}

Dim Dim::symbol(std::string name) {
  Dim dim;
  dim.terms_.push_back({1, {{.kind = DimFactor::Kind::symbol, .symbol = std::move(name), .left = {}, .right = {}}}});
  return dim;
}

bool Dim::is_constant() const { return terms_.empty() || (terms_.size() == 1 && terms_[0].factors.empty()); }

int64_t Dim::constant() const {
  if (!is_constant()) throw InternalError(("dimension " + text() + " is not a number").c_str());
  return terms_.empty() ? 0 : terms_[0].coefficient;
}

std::optional<std::string> Dim::as_symbol() const {
  if (terms_.size() != 1 || terms_[0].coefficient != 1 || terms_[0].factors.size() != 1) return std::nullopt;
  const DimFactor& factor = terms_[0].factors[0];
  if (factor.kind != DimFactor::Kind::symbol) return std::nullopt;
  return factor.symbol;
}

void Dim::add_term(DimTerm term) {
  auto at = std::lower_bound(terms_.begin(), terms_.end(), term, [](const DimTerm& a, const DimTerm& b) {
    return compare_factors(a.factors, b.factors) < 0;
  });
  if (at != terms_.end() && compare_factors(at->factors, term.factors) == 0) {
    at->coefficient = checked_add(at->coefficient, term.coefficient);
    if (at->coefficient == 0) terms_.erase(at);
  } else if (term.coefficient != 0) {
    terms_.insert(at, std::move(term));
  }
}

std::optional<Dim> Dim::coefficient(std::string_view symbol) const {
  Dim result;
  for (const DimTerm& term : terms_) {
    DimTerm rest = term;
    int times = 0;
    std::erase_if(rest.factors, [&](const DimFactor& factor) {
      if (factor.kind != DimFactor::Kind::symbol || factor.symbol != symbol) return false;
      ++times;
      return true;
    });
    for (const DimFactor& factor : rest.factors)
      if (factor.kind != DimFactor::Kind::symbol && (factor.left->contains(symbol) || factor.right->contains(symbol)))
        return std::nullopt;
    if (times > 1) return std::nullopt;
    if (times == 1) result.add_term(std::move(rest));
  }
  return result;
}

bool Dim::contains(std::string_view symbol) const {
  for (const DimTerm& term : terms_)
    for (const DimFactor& factor : term.factors) {
      if (factor.kind == DimFactor::Kind::symbol ? factor.symbol == symbol
                                                 : factor.left->contains(symbol) || factor.right->contains(symbol))
        return true;
    }
  return false;
}

void Dim::collect_symbols(std::vector<std::string>& names) const {
  for (const DimTerm& term : terms_)
    for (const DimFactor& factor : term.factors) {
      if (factor.kind == DimFactor::Kind::symbol) {
        if (std::find(names.begin(), names.end(), factor.symbol) == names.end()) names.push_back(factor.symbol);
      } else {
        factor.left->collect_symbols(names);
        factor.right->collect_symbols(names);
      }
    }
}

Dim Dim::substitute(std::string_view symbol, const Dim& value) const {
  if (!contains(symbol)) return *this;
  Dim result;
  for (const DimTerm& term : terms_) {
    Dim part = term.coefficient;
    for (const DimFactor& factor : term.factors) {
      switch (factor.kind) {
        case DimFactor::Kind::symbol:
          part *= factor.symbol == symbol ? value : Dim::symbol(factor.symbol);
          break;
        case DimFactor::Kind::floor_div:
          part *= floor_div(factor.left->substitute(symbol, value), factor.right->substitute(symbol, value));
          break;
        case DimFactor::Kind::ceil_div:
          part *= ceil_div(factor.left->substitute(symbol, value), factor.right->substitute(symbol, value));
          break;
        case DimFactor::Kind::max:
          part *= max(factor.left->substitute(symbol, value), factor.right->substitute(symbol, value));
          break;
      }
    }
    result += part;
  }
  return result;
}

Dim Dim::with_multiples_of(int64_t unit) const {
  Dim result;
  for (DimTerm term : terms_) {
    const int64_t c = term.coefficient;
    term.coefficient = checked_multiply(c < 0 ? floor_divide(c, unit) : ceil_divide(c, unit), unit);
    result.add_term(std::move(term));
  }
  return result;
}

int64_t Dim::evaluate(const std::function<int64_t(std::string_view)>& value_of) const {
  int64_t sum = 0;
  for (const DimTerm& term : terms_) {
    int64_t product = term.coefficient;
    for (const DimFactor& factor : term.factors) {
      int64_t value = 0;
      switch (factor.kind) {
        case DimFactor::Kind::symbol:
          value = value_of(factor.symbol);
          break;
        case DimFactor::Kind::floor_div:
          value = floor_divide(factor.left->evaluate(value_of), factor.right->evaluate(value_of));
          break;
        case DimFactor::Kind::ceil_div:
          value = ceil_divide(factor.left->evaluate(value_of), factor.right->evaluate(value_of));
          break;
        case DimFactor::Kind::max:
          value = std::max(factor.left->evaluate(value_of), factor.right->evaluate(value_of));
          break;
      }
      product = checked_multiply(product, value);
    }
    sum = checked_add(sum, product);
  }
  return sum;
}

Dim operator+(const Dim& a, const Dim& b) {
  Dim result = a;
  for (const DimTerm& term : b.terms_) result.add_term(term);
  return result;
}

Dim operator-(const Dim& a, const Dim& b) {
  Dim result = a;
  for (DimTerm term : b.terms_) {
    term.coefficient = checked_multiply(term.coefficient, -1);
    result.add_term(std::move(term));
  }
  return result;
}

Dim operator*(const Dim& a, const Dim& b) {
  Dim result;
  for (const DimTerm& x : a.terms_)
    for (const DimTerm& y : b.terms_) {
      DimTerm product{checked_multiply(x.coefficient, y.coefficient), x.factors};
      product.factors.insert(product.factors.end(), y.factors.begin(), y.factors.end());
      std::sort(product.factors.begin(), product.factors.end(),
                [](const DimFactor& p, const DimFactor& q) { return p < q; });
      result.add_term(std::move(product));
    }
  return result;
}

Dim floor_div(const Dim& a, const Dim& b) {
  if (b.is_constant(1)) return a;
  if (a.is_constant() && b.is_constant()) return floor_divide(a.constant(), b.constant());
  if (auto quotient = exact_quotient(a, b)) return *quotient;
  Dim result;
  result.terms_.push_back({1, {division(DimFactor::Kind::floor_div, a, b)}});
  return result;
}

Dim ceil_div(const Dim& a, const Dim& b) {
  if (b.is_constant(1)) return a;
  if (a.is_constant() && b.is_constant()) return ceil_divide(a.constant(), b.constant());
  if (auto quotient = exact_quotient(a, b)) return *quotient;
  Dim result;
  result.terms_.push_back({1, {division(DimFactor::Kind::ceil_div, a, b)}});
  return result;
}

Dim max(const Dim& a, const Dim& b) {
  Dim difference = a - b;
  if (difference.is_constant()) return difference.constant() >= 0 ? a : b;
  Dim result;
  bool ordered = a < b;
  result.terms_.push_back({1, {division(DimFactor::Kind::max, ordered ? a : b, ordered ? b : a)}});
  return result;
}

Dim min(const Dim& a, const Dim& b) { return Dim(0) - max(Dim(0) - a, Dim(0) - b); }

Dim modulo(const Dim& a, const Dim& b) { return a - b * floor_div(a, b); }

bool Dim::operator==(const Dim& other) const { return (*this <=> other) == 0; }

std::strong_ordering Dim::operator<=>(const Dim& other) const {
  return std::lexicographical_compare_three_way(terms_.begin(), terms_.end(), other.terms_.begin(), other.terms_.end(),
                                                [](const DimTerm& a, const DimTerm& b) {
                                                  if (auto order = compare_factors(a.factors, b.factors); order != 0)
                                                    return order;
                                                  return a.coefficient <=> b.coefficient;
                                                });
}

std::string Dim::text() const {
  if (terms_.empty()) return "0";
  std::string out;
  // The constant term sorts first and reads best last.
  auto append = [&](const DimTerm& term) {
    int64_t coefficient = term.coefficient;
    if (out.empty()) {
      if (coefficient < 0) out += "-";
    } else {
      out += coefficient < 0 ? " - " : " + ";
    }
    uint64_t magnitude = coefficient < 0 ? 0 - static_cast<uint64_t>(coefficient) : static_cast<uint64_t>(coefficient);
    bool first = true;
    if (magnitude != 1 || term.factors.empty()) {
      out += std::to_string(magnitude);
      first = false;
    }
    for (const DimFactor& factor : term.factors) {
      if (!first) out += "*";
      first = false;
      switch (factor.kind) {
        case DimFactor::Kind::symbol:
          out += factor.symbol;
          break;
        case DimFactor::Kind::floor_div:
          out += "floor(" + factor.left->text() + ", " + factor.right->text() + ")";
          break;
        case DimFactor::Kind::ceil_div:
          out += "ceil(" + factor.left->text() + ", " + factor.right->text() + ")";
          break;
        case DimFactor::Kind::max:
          out += "max(" + factor.left->text() + ", " + factor.right->text() + ")";
          break;
      }
    }
  };
  for (const DimTerm& term : terms_)
    if (!term.factors.empty()) append(term);
  for (const DimTerm& term : terms_)
    if (term.factors.empty()) append(term);
  return out;
}

namespace {

// sum := ['-'] product (('+' | '-') product)*    product := atom ('*' atom)*
// atom := number | name | ('floor' | 'ceil' | 'max' | 'min') '(' sum ',' sum ')' | '(' sum ')'
class DimParser {
 public:
  explicit DimParser(std::string_view text) : text_(text) {}

  Dim parse() {
    Dim result = sum(0);
    skip();
    if (at_ != text_.size()) error("unexpected character");
    return result;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;

  [[noreturn]] void error(const char* what) {
    throw CompileError({.what = std::string(what) + " in the dimension '" + std::string(text_) + "'"});
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
  Dim sum(int depth) {
    if (depth > 64) error("too deep nesting");
    Dim result = take('-') ? Dim(0) - product(depth) : product(depth);
    for (;;) {
      if (take('+'))
        result += product(depth);
      else if (take('-'))
        result = result - product(depth);
      else
        return result;
    }
  }
  Dim product(int depth) {
    Dim result = atom(depth);
    while (take('*')) {
      result *= atom(depth);
      if (result.terms().size() > 1000) error("too many terms");  // (a + b)*(c + d)*... doubles with every factor
    }
    return result;
  }
  Dim atom(int depth) {
    skip();
    if (take('(')) {
      Dim inner = sum(depth + 1);
      if (!take(')')) error("missing ')'");
      return inner;
    }
    if (at_ < text_.size() && is_digit(text_[at_])) {
      int64_t value = 0;
      while (at_ < text_.size() && is_digit(text_[at_]))
        value = checked_add(checked_multiply(value, 10), text_[at_++] - '0');
      return value;
    }
    size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    if (at_ == begin) error("expected a number or a name");
    std::string name(text_.substr(begin, at_ - begin));
    if (!take('(')) return Dim::symbol(std::move(name));
    Dim left = sum(depth + 1);
    if (!take(',')) error("missing ','");
    Dim right = sum(depth + 1);
    if (!take(')')) error("missing ')'");
    if (name == "max") return max(left, right);
    if (name == "min") return min(left, right);
    if ((name == "floor" || name == "ceil") && right.is_constant() && right.constant() <= 0)
      error("division by a number that is not positive");
    if (name == "floor") return floor_div(left, right);
    if (name == "ceil") return ceil_div(left, right);
    error("unknown function");
  }
};

}  // namespace

Dim Dim::parse(std::string_view text) { return DimParser(text).parse(); }

std::string shape_text(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + shape[i].text();
  return out + "]";
}

std::string shape_text(std::span<const int64_t> shape) { return shape_text(Shape(shape.begin(), shape.end())); }

bool is_constant(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.is_constant(); });
}

Dim element_count(const Shape& shape) {
  Dim count = 1;
  for (const Dim& dim : shape) count *= dim;
  return count;
}

Shape row_major_strides(const Shape& shape) {
  Shape strides(shape.size(), Dim(1));
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

}  // namespace moru
