#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

Example example_of(Example::Tensor tensor, Attributes attributes, bool differentiable) {
  return {.inputs = {std::move(tensor)}, .attributes = std::move(attributes), .differentiable = differentiable};
}

template <typename Formula>
HostTensor map_pairs(const HostTensor& a, const HostTensor& b, DType dtype, Formula formula) {
  HostTensor y = make_tensor(dtype, broadcast_extents(a.shape, b.shape));
  for_each_row<3>(y.shape,
                  {strides_of(y.shape), broadcast_strides(a.shape, y.shape), broadcast_strides(b.shape, y.shape)},
                  [&](auto offsets, int64_t count, auto steps) {
                    double* to = y.data.data() + offsets[0];
                    const double* p = a.data.data() + offsets[1];
                    const double* q = b.data.data() + offsets[2];
                    for (int64_t i = 0; i < count; ++i) to[i] = formula(p[i * steps[1]], q[i * steps[2]]);
                  });
  return y;
}

}  // namespace

Op elementwise(UnaryOp form) {
  Op op;
  op.name = form.name;
  op.family = form.family;
  op.doc = form.doc;
  op.inputs = {{.name = "x"}};
  op.attributes = std::move(form.attributes);
  op.cheap = form.cheap;
  op.infer = [name = form.name, accepts = form.accepts](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, name, 0, accepts);
    return {context.inputs[0]};
  };
  if (form.reference) {
    op.scalar = [formula = form.reference](std::span<const double> x) { return formula(x[0]); };
    op.reference = [formula = form.reference](std::span<const HostTensor> inputs, const Attributes&) {
      HostTensor y = inputs[0];
      for (double& value : y.data) value = formula(value);
      return std::vector<HostTensor>{std::move(y)};
    };
  } else {
    op.reference = [make = std::move(form.reference_with)](std::span<const HostTensor> inputs,
                                                           const Attributes& attributes) {
      const auto formula = make(attributes);
      HostTensor y = inputs[0];
      for (double& value : y.data) value = formula(value);
      return std::vector<HostTensor>{std::move(y)};
    };
  }
  op.lower = [lower = std::move(form.lower)](std::span<const Expr> x, const Attributes& attributes) {
    return lower(x[0], attributes);
  };
  op.differentiable = static_cast<bool>(form.gradient);
  if (form.gradient)
    op.gradient = [gradient = std::move(form.gradient)](const GradientContext& context) {
      return std::vector<Value>{
          gradient(context.output_gradients[0], context.inputs[0], context.outputs[0], context.attributes)};
    };
  for (const Example::Tensor& sample : form.samples) op.examples.push_back(example_of(sample, {}, true));
  for (Attributes& variant : form.variants)
    op.examples.push_back(example_of(form.samples[0], std::move(variant), true));
  if (!form.extremes.empty())
    op.examples.push_back(example_of(
        {.shape = {static_cast<int64_t>(form.extremes.size())}, .values = std::move(form.extremes)}, {}, false));
  return op;
}

Op elementwise(BinaryOp form) {
  Op op;
  op.name = form.name;
  op.family = OpFamily::elementwise;
  op.doc = form.doc;
  op.inputs = {{.name = "a"}, {.name = "b"}};
  op.cheap = form.cheap;
  op.infer = [name = form.name, accepts = form.accepts,
              to_boolean = form.to_boolean](const OpContext& context) -> std::vector<Type> {
    const Type& a = context.inputs[0];
    const Type& b = context.inputs[1];
    if (a.dtype != b.dtype)
      refuse(context, name,
             "needs two tensors of the same element type but got " + type_text(a) + " and " + type_text(b),
             "cast one of them");
    check_dtype(context, name, 0, accepts);
    std::optional<Shape> shape = broadcast_shapes(context, a.shape, b.shape);
    if (!shape)
      refuse(context, name, "the shapes " + shape_text(a.shape) + " and " + shape_text(b.shape) + " do not broadcast",
             "shapes are aligned at the right; two extents must be equal, or one of them 1");
    return {{to_boolean ? DType::boolean : a.dtype, std::move(*shape)}};
  };
  op.scalar = [formula = form.reference](std::span<const double> x) { return formula(x[0], x[1]); };
  op.reference = [formula = form.reference, integer = form.reference_integer, to_boolean = form.to_boolean](
                     std::span<const HostTensor> inputs, const Attributes&) {
    const HostTensor& a = inputs[0];
    const DType dtype = to_boolean ? DType::boolean : a.dtype;
    if (integer && is_integer(a.dtype))
      return std::vector<HostTensor>{map_pairs(a, inputs[1], dtype, [integer, dtype](double p, double q) {
        const int64_t y = integer(static_cast<int64_t>(p), static_cast<int64_t>(q));
        return static_cast<double>(dtype == DType::i32 ? static_cast<int32_t>(y) : y);
      })};
    return std::vector<HostTensor>{map_pairs(a, inputs[1], dtype, formula)};
  };
  op.lower = [lower = std::move(form.lower)](std::span<const Expr> x, const Attributes&) { return lower(x[0], x[1]); };
  op.differentiable = static_cast<bool>(form.gradient);
  if (form.gradient)
    op.gradient = [gradient = std::move(form.gradient)](const GradientContext& context) {
      const Value a = context.inputs[0];
      const Value b = context.inputs[1];
      auto [da, db] = gradient(context.output_gradients[0], a, b, context.outputs[0]);
      return std::vector<Value>{context.builder.sum_to(da, Shape(a.shape())),
                                context.builder.sum_to(db, Shape(b.shape()))};
    };
  op.examples = std::move(form.examples);
  return op;
}

std::vector<Example::Tensor> samples(double low, double high, DType dtype) {
  return {{.shape = {7, 33}, .low = low, .high = high, .dtype = dtype},
          {.shape = {}, .low = low, .high = high, .dtype = dtype},
          {.shape = {5}, .low = low, .high = high, .dtype = dtype},
          {.shape = {2, 3, 1, 4}, .low = low, .high = high, .dtype = dtype}};
}

std::vector<Example> pairs(double a_low, double a_high, double b_low, double b_high, DType dtype) {
  const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> shapes = {
      {{7, 33}, {7, 33}}, {{}, {}}, {{19}, {}}, {{}, {3, 5}}, {{4, 9}, {9}}, {{2, 1, 5}, {3, 1}}, {{1, 1}, {2, 17}},
  };
  std::vector<Example> examples;
  for (const auto& [a, b] : shapes)
    examples.push_back({.inputs = {{.shape = a, .low = a_low, .high = a_high, .dtype = dtype},
                                   {.shape = b, .low = b_low, .high = b_high, .dtype = dtype}}});
  return examples;
}

std::vector<double> extreme_values() {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return {0.0, -0.0, 1e-30, -1e-30, 1.0, -1.0, 100.0, -100.0, 1e30, -1e30, infinity, -infinity, std::nan("")};
}

Value zero_like(Value x) { return x.builder->constant(0.0, x.type().dtype); }

Expr number_like(const Expr& like, double value) {
  return is_float(like->type) ? expr::constant(value, like->type)
                              : expr::integer(static_cast<int64_t>(value), like->type);
}

}  // namespace moru
