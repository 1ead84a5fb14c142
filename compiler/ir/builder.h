// Builder appends nodes to a graph, inferring their types, and Value is a handle with arithmetic, so that layers'
// expansions and gradients read like the formulas they are.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/graph.h"

namespace moru {

class Builder;

struct Value {
  Builder* builder = nullptr;
  ValueId id = no_value;
  explicit operator bool() const { return id != no_value; }
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
  size_t rank() const { return shape().size(); }
  const Dim& dim(int axis) const;  // negative counts from the end; CompileError where there is none
};

class Builder {
 public:
  explicit Builder(Graph& graph, std::string origin = {}) : graph_(graph), origin_(std::move(origin)) {}

  Graph& graph() { return graph_; }
  const std::string& origin() const { return origin_; }
  void set_origin(std::string origin) { origin_ = std::move(origin); }

  Value value(ValueId id) { return {this, id}; }
  Value input(Type type, std::string slot = {}, std::string name = {});
  void result(Value value, std::string slot = {}) { graph_.add_result(value.id, std::move(slot)); }

  /// Applies an op: fills in default attributes, checks them, infers types. Throws CompileError as the op's infer does.
  std::vector<Value> call_all(std::string_view op, std::span<const Value> inputs, Attributes attributes = {},
                              std::vector<Graph> bodies = {});
  Value call(std::string_view op, std::initializer_list<Value> inputs, Attributes attributes = {});

  Value constant(double value, DType dtype = DType::f32);  // a scalar, shape []
  Value fill(double value, const Shape& shape, DType dtype = DType::f32);
  Value dim_value(const Dim& dim, DType dtype = DType::f32);  // a dimension as a scalar value

  /// Sum of products over named axes: "ab,bc->ac". Labels that are missing on the right are summed.
  Value contract(Value a, Value b, std::string spec);
  Value contract_like(const Node& contraction, Value a, Value b, std::string spec);  // its other attributes are kept
  Value reshape(Value x, Shape shape);
  Value transpose(Value x, std::vector<int64_t> permutation);
  Value slice(Value x, int64_t axis, const Dim& begin, const Dim& size);
  std::vector<Value> split(Value x, int64_t axis, const std::vector<int64_t>& sizes);
  Value concat(std::span<const Value> parts, int64_t axis);
  Value broadcast_to(Value x, Shape shape);
  Value reduce(std::string_view op, Value x, std::vector<int64_t> axes, bool keep_dims = false);  // "reduce_sum", ...
  Value sum_to(Value x, Shape shape);  // undoes broadcasting: sums repeated axes
  Value cast(Value x, DType dtype);
  Value select(Value condition, Value then_value, Value else_value);

 private:
  Graph& graph_;
  std::string origin_;
};

Value operator+(Value a, Value b);
Value operator-(Value a, Value b);
Value operator*(Value a, Value b);
Value operator/(Value a, Value b);
Value operator-(Value a);
Value operator+(Value a, double b);
Value operator+(double a, Value b);
Value operator-(Value a, double b);
Value operator-(double a, Value b);
Value operator*(Value a, double b);
Value operator*(double a, Value b);
Value operator/(Value a, double b);
Value operator/(double a, Value b);

/// Ops of one value: call("exp", x).
Value call(std::string_view op, Value x);
Value at_least(Value x, double bound);  // elementwise
Value at_most(Value x, double bound);

}  // namespace moru
