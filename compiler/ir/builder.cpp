#include "compiler/ir/builder.h"

#include <algorithm>

#include "compiler/ops/op.h"
#include "compiler/support/error.h"

namespace moru {

const Type& Value::type() const { return builder->graph().type(id); }

const Dim& Value::dim(int axis) const {
  const Shape& s = shape();
  const int place = axis < 0 ? axis + static_cast<int>(s.size()) : axis;
  if (place < 0 || place >= static_cast<int>(s.size()))
    throw CompileError({.stage = "build", .what = "needs a tensor of more axes than " + type_text(type())});
  return s[static_cast<size_t>(place)];
}

Value Builder::input(Type type, std::string slot, std::string name) {
  return value(graph_.add_input(std::move(type), std::move(slot), std::move(name)));
}

std::vector<Value> Builder::call_all(std::string_view op_name, std::span<const Value> inputs, Attributes attributes,
                                     std::vector<Graph> bodies) {
  const Op& op = get_op(op_name);
  Node node;
  node.op = &op;
  node.origin = origin_;
  node.attributes = check_attributes(op, std::move(attributes), origin_);
  node.bodies = std::move(bodies);
  std::vector<Type> types;
  std::vector<char> present;
  for (const Value& input : inputs) {
    node.inputs.push_back(input.id);
    types.push_back(input ? graph_.type(input.id) : Type{});
    present.push_back(static_cast<bool>(input));
  }
  std::vector<Type> inferred = infer_node(op, types, {reinterpret_cast<const bool*>(present.data()), present.size()},
                                          node.attributes, node.bodies, origin_);
  std::vector<Value> outputs;
  for (Type& type : inferred) {
    ValueId id = graph_.add_value(std::move(type));
    node.outputs.push_back(id);
    outputs.push_back(value(id));
  }
  graph_.nodes.push_back(std::move(node));
  return outputs;
}

Value Builder::call(std::string_view op, std::initializer_list<Value> inputs, Attributes attributes) {
  return call_all(op, {inputs.begin(), inputs.size()}, std::move(attributes)).at(0);
}

Value Builder::constant(double number, DType dtype) { return fill(number, {}, dtype); }

Value Builder::fill(double number, const Shape& shape, DType dtype) {
  return call("fill", {}, {{"value", number}, {"shape", shape}, {"dtype", std::string(dtype_name(dtype))}});
}

Value Builder::dim_value(const Dim& dim, DType dtype) {
  return call("dim_value", {}, {{"dim", Shape{dim}}, {"dtype", std::string(dtype_name(dtype))}});
}

Value Builder::contract(Value a, Value b, std::string spec) {
  return call("contract", {a, b}, {{"spec", std::move(spec)}});
}

Value Builder::contract_like(const Node& contraction, Value a, Value b, std::string spec) {
  Attributes attributes = contraction.attributes;
  attributes.set("spec", std::move(spec));
  return call("contract", {a, b}, std::move(attributes));
}

Value Builder::reshape(Value x, Shape shape) {
  if (x.shape() == shape) return x;
  return call("reshape", {x}, {{"shape", std::move(shape)}});
}

Value Builder::transpose(Value x, std::vector<int64_t> permutation) {
  if (std::is_sorted(permutation.begin(), permutation.end())) return x;
  return call("transpose", {x}, {{"permutation", std::move(permutation)}});
}

Value Builder::slice(Value x, int64_t axis, const Dim& begin, const Dim& size) {
  return call("slice", {x}, {{"axis", axis}, {"begin", Shape{begin}}, {"size", Shape{size}}});
}

std::vector<Value> Builder::split(Value x, int64_t axis, const std::vector<int64_t>& sizes) {
  return call_all("split", std::span<const Value>(&x, 1), {{"axis", axis}, {"sizes", sizes}});
}

Value Builder::concat(std::span<const Value> parts, int64_t axis) {
  if (parts.size() == 1) return parts[0];
  return call_all("concat", parts, {{"axis", axis}})[0];
}

Value Builder::broadcast_to(Value x, Shape shape) {
  if (x.shape() == shape) return x;
  return call("broadcast_to", {x}, {{"shape", std::move(shape)}});
}

Value Builder::reduce(std::string_view op, Value x, std::vector<int64_t> axes, bool keep_dims) {
  if (axes.empty()) return x;
  return call(op, {x}, {{"axes", std::move(axes)}, {"keep_dims", keep_dims}});
}

Value Builder::sum_to(Value x, Shape shape) {
  if (x.shape() == shape) return x;
  size_t extra = x.rank() - shape.size();
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i < extra || (shape[i - extra].is_constant(1) && !x.shape()[i].is_constant(1)))
      axes.push_back(static_cast<int64_t>(i));
  return reshape(reduce("reduce_sum", x, std::move(axes)), shape);
}

Value Builder::cast(Value x, DType dtype) {
  if (x.type().dtype == dtype) return x;
  return call("cast", {x}, {{"dtype", std::string(dtype_name(dtype))}});
}

Value Builder::select(Value condition, Value then_value, Value else_value) {
  return call("select", {condition, then_value, else_value});
}

namespace {
Value scalar_like(Value x, double number) { return x.builder->constant(number, x.type().dtype); }
}  // namespace

Value operator+(Value a, Value b) { return a.builder->call("add", {a, b}); }
Value operator-(Value a, Value b) { return a.builder->call("sub", {a, b}); }
Value operator*(Value a, Value b) { return a.builder->call("mul", {a, b}); }
Value operator/(Value a, Value b) { return a.builder->call("div", {a, b}); }
Value operator-(Value a) { return a.builder->call("neg", {a}); }
Value operator+(Value a, double b) { return a + scalar_like(a, b); }
Value operator+(double a, Value b) { return scalar_like(b, a) + b; }
Value operator-(Value a, double b) { return a - scalar_like(a, b); }
Value operator-(double a, Value b) { return scalar_like(b, a) - b; }
Value operator*(Value a, double b) { return a * scalar_like(a, b); }
Value operator*(double a, Value b) { return scalar_like(b, a) * b; }
Value operator/(Value a, double b) { return a / scalar_like(a, b); }
Value operator/(double a, Value b) { return scalar_like(b, a) / b; }

Value call(std::string_view op, Value x) { return x.builder->call(op, {x}); }
Value at_least(Value x, double bound) { return x.builder->call("maximum", {x, scalar_like(x, bound)}); }
Value at_most(Value x, double bound) { return x.builder->call("minimum", {x, scalar_like(x, bound)}); }

}  // namespace moru
