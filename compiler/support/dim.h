// Dimensions and index expressions: integer expressions of named symbols in one normal form, so that two expressions
// that are equal as polynomials compare equal. Shapes use them over program symbols ("batch", "time"); kernels use them
// over loop variables as well. All values are int64; floor division rounds towards minus infinity, divisors are
// positive.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moru {

class Dim;

/// A factor that is not a number: a symbol, or a division or maximum that did not simplify.
struct DimFactor {
  enum class Kind : uint8_t { symbol, floor_div, ceil_div, max };
  Kind kind = Kind::symbol;
  std::string symbol;               // kind symbol
  std::shared_ptr<const Dim> left;  // otherwise
  std::shared_ptr<const Dim> right;
  std::strong_ordering operator<=>(const DimFactor& other) const;
  bool operator==(const DimFactor& other) const;
};

struct DimTerm {
  int64_t coefficient = 0;
  std::vector<DimFactor> factors;  // sorted; empty for the constant term
};

class Dim {
 public:
  Dim(int64_t value = 0);  // NOLINT(google-explicit-constructor): numbers are dimensions
  static Dim symbol(std::string name);

  bool is_constant() const;
  int64_t constant() const;  // throws InternalError unless is_constant()
  bool is_constant(int64_t value) const { return is_constant() && constant() == value; }
  /// The name if this is exactly one symbol with coefficient 1.
  std::optional<std::string> as_symbol() const;

  const std::vector<DimTerm>& terms() const { return terms_; }

  /// The coefficient of `symbol` where the expression is linear in it; nullopt where it is not.
  std::optional<Dim> coefficient(std::string_view symbol) const;
  bool contains(std::string_view symbol) const;
  void collect_symbols(std::vector<std::string>& names) const;  // appends each name once
  Dim substitute(std::string_view symbol, const Dim& value) const;

  /// The expression with every coefficient rounded away from 0 to a multiple of `unit`: no smaller, if no term is
  /// negative.
  Dim with_multiples_of(int64_t unit) const;

  /// Throws InternalError for a symbol that `value_of` does not know or on overflow.
  int64_t evaluate(const std::function<int64_t(std::string_view)>& value_of) const;

  std::string text() const;                 // "24*batch + 1", "floor(time/2)", "max(time, 1)"
  static Dim parse(std::string_view text);  // throws CompileError

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend Dim floor_div(const Dim& a, const Dim& b);
  friend Dim ceil_div(const Dim& a, const Dim& b);
  friend Dim max(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);     // -max(-a, -b)
  friend Dim modulo(const Dim& a, const Dim& b);  // a - b*floor(a/b)
  Dim& operator+=(const Dim& b) { return *this = *this + b; }
  Dim& operator*=(const Dim& b) { return *this = *this * b; }

  bool operator==(const Dim& other) const;
  std::strong_ordering operator<=>(const Dim& other) const;  // an arbitrary total order, for maps

 private:
  std::vector<DimTerm> terms_;
  void add_term(DimTerm term);
};

/// a / b rounded up, for a >= 0 and b > 0.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

using Shape = std::vector<Dim>;
std::string shape_text(const Shape& shape);  // "[batch, 24, 11]"
std::string shape_text(std::span<const int64_t> shape);
bool is_constant(const Shape& shape);  // every extent is
Dim element_count(const Shape& shape);
/// Elements to step over for one step along each axis, row-major.
Shape row_major_strides(const Shape& shape);

}  // namespace moru
