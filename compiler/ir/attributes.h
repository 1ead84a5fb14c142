// Attributes: the constant arguments of a layer or an op, as in Keras configs. A name maps to one value of a few types.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compiler/support/dim.h"

namespace moru {

class Attributes;

struct AttributeValue {
  /// Nested attributes (a wrapped layer's, an initializer's with its arguments) carry their own class under "class".
  using Nested = std::shared_ptr<const Attributes>;
  std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
               std::vector<std::string>, Shape, Nested>
      value;

  AttributeValue() = default;
  AttributeValue(bool v) : value(v) {}                          // NOLINT(google-explicit-constructor)
  AttributeValue(int v) : value(int64_t{v}) {}                  // NOLINT
  AttributeValue(int64_t v) : value(v) {}                       // NOLINT
  AttributeValue(double v) : value(v) {}                        // NOLINT
  AttributeValue(const char* v) : value(std::string(v)) {}      // NOLINT
  AttributeValue(std::string v) : value(std::move(v)) {}        // NOLINT
  AttributeValue(std::vector<int64_t> v) : value(std::move(v)) {}      // NOLINT
  AttributeValue(std::vector<double> v) : value(std::move(v)) {}       // NOLINT
  AttributeValue(std::vector<std::string> v) : value(std::move(v)) {}  // NOLINT
  AttributeValue(Shape v) : value(std::move(v)) {}              // NOLINT
  AttributeValue(const Attributes& nested);                     // NOLINT
  bool is_none() const { return std::holds_alternative<std::monostate>(value); }
  bool operator==(const AttributeValue& other) const;           // nested ones compared by content
};

class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, AttributeValue>> entries) : entries_(entries) {}

  bool has(std::string_view name) const;                        // present and not None
  void set(std::string name, AttributeValue value) { entries_[std::move(name)] = std::move(value); }
  void erase(std::string_view name);
  const AttributeValue* find(std::string_view name) const;

  // Typed access; an absent or wrongly typed attribute is an InternalError, since defaults were filled in and types
  // checked by check_attributes (ops/op.h) before. real() takes an integer too.
  bool boolean(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::string& string(std::string_view name) const;
  const std::vector<int64_t>& integers(std::string_view name) const;
  const std::vector<double>& reals(std::string_view name) const;
  const std::vector<std::string>& strings(std::string_view name) const;
  const Shape& shape(std::string_view name) const;
  const Attributes& nested(std::string_view name) const;

  const std::map<std::string, AttributeValue, std::less<>>& entries() const { return entries_; }
  bool operator==(const Attributes& other) const = default;

  /// {axis=1, kernel_initializer={class="GlorotUniform", seed=none}, shape=[batch, 3], sizes=(1, 2), spec="ab,bc->ac"}
  /// A list of integers or reals or strings is in parentheses, a Shape in brackets; reals always show a '.' or an 'e'.
  std::string text() const;
  static Attributes parse(std::string_view text);               // throws CompileError

 private:
  std::map<std::string, AttributeValue, std::less<>> entries_;
};

}  // namespace moru
