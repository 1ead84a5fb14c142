// Smooth activations with the formulas of Keras 3, and those that look along an axis: the softmaxes, glu. Piecewise
// linear and quadratic ones are in activation_piecewise.cpp, tanh and sigmoid in elementwise.cpp.
#include "compiler/ops/activation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/ops/tensor_loops.h"
#include "compiler/ops/transcendentals.h"

namespace moru {

namespace {

using Attrs = const Attributes&;

constexpr double selu_scale = 1.0507009873554805;  // Klambauer et al. 2017, as Keras rounds them
constexpr double selu_alpha = 1.6732632423543772;
constexpr double gelu_slope = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2/pi)
constexpr double gelu_cubic = 0.044715;

double softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

void add_exponential(std::vector<Op>& ops) {
  ops.push_back(activation({
      .name = "exponential",
      .doc = "y = e^x, elementwise.  x, y: [...]",
      .reference = [](double x) { return std::exp(x); },
      .lower = [](Expr x, Attrs) { return exp_expr(x); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return dy * y; },
      .cheap = false,
  }));
  ops.push_back(activation({
      .name = "elu",
      .doc = "y = x where x > 0, else alpha * (e^x - 1), elementwise.  x, y: [...]",
      .attributes = {{.name = "alpha",
                      .type = AttributeType::real,
                      .default_value = 1.0,
                      .least = 0.0,
                      .doc = "minus the limit at -infinity"}},
      .reference_with = [](Attrs attributes) {
        return [alpha = attributes.real("alpha")](double x) { return x > 0 ? x : alpha * std::expm1(x); };
      },
      .lower = [](Expr x, Attrs attributes) {
        return expr::select(positive(x), x, expm1_expr(x) * number_like(x, attributes.real("alpha")));
      },
      .gradient = [](Value dy, Value, Value y, Attrs attributes) {
        return where_positive(y, dy, dy * (y + attributes.real("alpha")));
      },
      .cheap = false,
      .variants = {{{"alpha", 0.3}}, {{"alpha", 2.0}}},
  }));
  ops.push_back(activation({
      .name = "selu",
      .doc =
          "y = 1.0507 * (x where x > 0, else 1.6733 * (e^x - 1)), elementwise (Klambauer et al. 2017).  "
          "x, y: [...]",
      .reference = [](double x) { return selu_scale * (x > 0 ? x : selu_alpha * std::expm1(x)); },
      .lower = [](Expr x, Attrs) {
        const Expr below = expm1_expr(x) * number_like(x, selu_scale * selu_alpha);
        return expr::select(positive(x), x * number_like(x, selu_scale), below);
      },
      .gradient = [](Value dy, Value, Value y, Attrs) {
        return where_positive(y, dy * selu_scale, dy * (y + selu_scale * selu_alpha));
      },
      .cheap = false,
  }));
  ops.push_back(activation({
      .name = "softplus",
      .doc = "y = log(1 + e^x), elementwise.  x, y: [...]",
      .reference = softplus,
      .lower = [](Expr x, Attrs) { return softplus_expr(x); },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy * x.builder->call("sigmoid", {x}); },
      .cheap = false,
  }));
  ops.push_back(activation({
      .name = "softsign",
      .doc = "y = x / (1 + |x|), elementwise.  x, y: [...]",
      .reference = [](double x) { return x / (1.0 + std::fabs(x)); },
      .lower = [](Expr x, Attrs) { return x / (expr::unary(ExprOp::abs, x) + number_like(x, 1.0)); },
      .gradient = [](Value dy, Value, Value y, Attrs) {
        return dy * y.builder->call("square", {1.0 - y.builder->call("abs", {y})});
      },
      .cheap = false,
  }));
}

void add_smooth(std::vector<Op>& ops) {
  ops.push_back(activation({
      .name = "silu",
      .doc = "y = x / (1 + e^-x), elementwise (also called swish).  x, y: [...]",
      .reference = [](double x) { return x / (1.0 + std::exp(-x)); },
      .lower = [](Expr x, Attrs) { return x * sigmoid_expr(x); },
      .gradient = [](Value dy, Value x, Value y, Attrs) {
        const Value s = x.builder->call("sigmoid", {x});
        return dy * (s + y * (1.0 - s));
      },
      .cheap = false,
  }));
  ops.push_back(activation({
      .name = "gelu",
      .doc =
          "y = x * P(N(0,1) <= x) = x/2 * (1 + erf(x/sqrt(2))); approximate: x/2 * (1 + "
          "tanh(sqrt(2/pi) * (x + 0.044715 x^3))), elementwise (Hendrycks, Gimpel 2016).  x, y: [...]",
      .attributes = {
          {.name = "approximate", .type = AttributeType::boolean, .default_value = false, .doc = "the formula with tanh"}},
      .reference_with = [](Attrs attributes) -> std::function<double(double)> {
        if (attributes.boolean("approximate"))
          return [](double x) { return 0.5 * x * (1.0 + std::tanh(gelu_slope * (x + gelu_cubic * x * x * x))); };
        return [](double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); };
      },
      .lower = [](Expr x, Attrs attributes) {
        const Expr half = x * 0.5;
        if (!attributes.boolean("approximate")) return half + half * erf_expr(x * (1.0 / std::numbers::sqrt2));
        const Expr inner = (x + x * x * x * gelu_cubic) * gelu_slope;
        return half + half * tanh_expr(inner);
      },
      .gradient = [](Value dy, Value x, Value, Attrs attributes) {
        Builder& b = *x.builder;
        if (attributes.boolean("approximate")) {
          const Value square = x * x;
          const Value t = b.call("tanh", {x * (square * gelu_cubic + 1.0) * gelu_slope});
          const Value inner_slope = (square * (3.0 * gelu_cubic) + 1.0) * gelu_slope;
          return dy * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * inner_slope);
        }
        const Value probability = (b.call("erf", {x * (1.0 / std::numbers::sqrt2)}) + 1.0) * 0.5;
        const Value density = b.call("exp", {x * x * -0.5}) * (0.5 * gelu_slope);
        return dy * (probability + x * density);
      },
      .cheap = false,
      .extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, -100.0, 1e30, std::nan("")},
      .variants = {{{"approximate", true}}},
  }));
  ops.push_back(activation({
      .name = "mish",
      .doc = "y = x * tanh(log(1 + e^x)), elementwise (Misra 2019).  x, y: [...]",
      .reference = [](double x) { return x * std::tanh(softplus(x)); },
      .lower = [](Expr x, Attrs) { return x * tanh_expr(softplus_expr(x)); },
      .gradient = [](Value dy, Value x, Value, Attrs) {
        Builder& b = *x.builder;
        const Value t = b.call("tanh", {b.call("softplus", {x})});
        return dy * (t + x * (1.0 - t * t) * b.call("sigmoid", {x}));
      },
      .cheap = false,
  }));
  ops.push_back(activation({
      .name = "celu",
      .doc = "y = max(x, 0) + alpha * (e^(min(x, 0) / alpha) - 1), elementwise (Barron 2017).  x, y: [...]",
      .attributes = {{.name = "alpha", .type = AttributeType::real, .default_value = 1.0, .least = 1e-6, .doc = "minus the limit at -infinity"}},
      .reference_with = [](Attrs attributes) {
        return [alpha = attributes.real("alpha")](double x) { return x > 0 ? x : alpha * std::expm1(x / alpha); };
      },
      .lower = [](Expr x, Attrs attributes) {
        const double alpha = attributes.real("alpha");
        return expr::select(positive(x), x, expm1_expr(x * number_like(x, 1.0 / alpha)) * number_like(x, alpha));
      },
      .gradient = [](Value dy, Value, Value y, Attrs attributes) {
        return where_positive(y, dy, dy * (y * (1.0 / attributes.real("alpha")) + 1.0));
      },
      .cheap = false,
      .variants = {{{"alpha", 0.3}}, {{"alpha", 2.0}}},
  }));
  ops.push_back(activation({
      .name = "log_sigmoid",
      .doc = "y = -log(1 + e^-x), elementwise.  x, y: [...]",
      .reference = [](double x) { return std::fmin(x, 0.0) - std::log1p(std::exp(-std::fabs(x))); },
      .lower = [](Expr x, Attrs) { return -softplus_expr(-x); },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy * x.builder->call("sigmoid", {-x}); },
      .cheap = false,
      .extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, -100.0, 1e30, -1e30},
  }));
  ops.push_back(activation({
      .name = "tanh_shrink",
      .doc = "y = x - tanh(x), elementwise.  x, y: [...]",
      .reference = [](double x) { return x - std::tanh(x); },
      .lower = [](Expr x, Attrs) { return x - tanh_expr(x); },
      .gradient = [](Value dy, Value x, Value y, Attrs) { return dy * x.builder->call("square", {x - y}); },
      .cheap = false,
      .extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, -100.0, 1e30, -1e30},
  }));
  ops.push_back(activation({
      .name = "squareplus",
      .doc = "y = (x + sqrt(x^2 + b)) / 2, elementwise (Barron 2021).  x, y: [...]",
      .attributes = {{.name = "b", .type = AttributeType::real, .default_value = 4.0, .least = 0.0, .doc = "how smooth"}},
      .reference_with = [](Attrs attributes) {
        return [b = attributes.real("b")](double x) { return 0.5 * (x + std::sqrt(x * x + b)); };
      },
      .lower = [](Expr x, Attrs attributes) {
        return (x + expr::unary(ExprOp::sqrt, x * x + number_like(x, attributes.real("b")))) * number_like(x, 0.5);
      },
      .gradient = [](Value dy, Value x, Value, Attrs attributes) {
        const Value root = x.builder->call("sqrt", {x * x + attributes.real("b")});
        return dy * (x / root + 1.0) * 0.5;
      },
      .cheap = false,
      .extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, 1e15},
      .variants = {{{"b", 0.5}}},
  }));
}

// Softmax along one axis of a tensor seen as [outer, extent, inner]; `logarithm` gives log softmax.
HostTensor softmax_reference(const HostTensor& x, int64_t axis_attribute, bool logarithm) {
  const size_t axis = normalized_axis(axis_attribute, x.shape.size());
  HostTensor y = x;
  const std::vector<int64_t> strides = strides_of(x.shape);
  const int64_t extent = x.shape[axis];
  const int64_t inner = strides[axis];
  for (int64_t first = 0; first < x.elements(); first += extent * inner) {
    for (int64_t column = 0; column < inner; ++column) {
      auto at = [&](int64_t i) -> double& { return y.data[static_cast<size_t>(first + column + i * inner)]; };
      double largest = -INFINITY;
      for (int64_t i = 0; i < extent; ++i) largest = std::isnan(at(i)) ? at(i) : std::fmax(largest, at(i));
      double sum = 0.0;
      for (int64_t i = 0; i < extent; ++i) sum += std::exp(at(i) - largest);
      for (int64_t i = 0; i < extent; ++i)
        at(i) = logarithm ? at(i) - largest - std::log(sum) : std::exp(at(i) - largest) / sum;
    }
  }
  return y;
}

Op softmax_op(bool logarithm) {
  Op op;
  op.name = logarithm ? "log_softmax" : "softmax";
  op.family = OpFamily::activation;
  op.doc = logarithm ? "y = x - log(sum of e^x along axis), elementwise, without overflow.  x, y: [...]"
                     : "y = e^x / (sum of e^x along axis), elementwise, without overflow.  x, y: [...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {
      {.name = "axis", .type = AttributeType::integer, .default_value = -1, .doc = "the axis that sums to 1"}};
  op.infer = [name = op.name](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, name, 0, Accepts::floats);
    check_axis(context, name, context.attributes.integer("axis"), context.inputs[0].shape.size());
    return {context.inputs[0]};
  };
  op.reference = [logarithm](std::span<const HostTensor> inputs, Attrs attributes) {
    return std::vector<HostTensor>{softmax_reference(inputs[0], attributes.integer("axis"), logarithm)};
  };
  op.expand = [logarithm](Builder& b, std::span<const Value> inputs, Attrs attributes) -> std::vector<Value> {
    const Value x = inputs[0];
    const std::vector<int64_t> axes = {static_cast<int64_t>(normalized_axis(attributes.integer("axis"), x.rank()))};
    // The maximum only shifts; its gradient cancels exactly, so none is taken.
    const Value shifted = x - b.call("stop_gradient", {b.reduce("reduce_max", x, axes, true)});
    const Value exponentials = b.call("exp", {shifted});
    const Value sum = b.reduce("reduce_sum", exponentials, axes, true);
    if (logarithm) return {shifted - b.call("log", {sum})};
    return {exponentials / sum};
  };
  op.examples = {
      {.inputs = {{.shape = {7, 33}, .low = -4, .high = 4}}},
      {.inputs = {{.shape = {5}, .low = -4, .high = 4}}},
      {.inputs = {{.shape = {2, 3, 4}, .low = -4, .high = 4}}, .attributes = {{"axis", 1}}},
      {.inputs = {{.shape = {6, 5}, .low = -4, .high = 4}}, .attributes = {{"axis", -2}}},
      {.inputs = {{.shape = {2, 3}, .values = {1e4, -1e4, 0, 80, 90, 100}}}, .differentiable = false},
  };
  return op;
}

// y = a sigmoid(b) for the halves a, b of x along one axis (Dauphin et al. 2017).
Op glu_op() {
  Op op;
  op.name = "glu";
  op.family = OpFamily::activation;
  op.doc = "y = a * sigmoid(b), a and b the halves of x along axis (Dauphin et al. 2017).  x: [..., 2 n, ...]   ->   y: [..., n, ...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {{.name = "axis", .type = AttributeType::integer, .default_value = -1, .doc = "the axis that is halved"}};
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "glu", 0, Accepts::floats);
    Type y = context.inputs[0];
    Dim& extent = y.shape[check_axis(context, "glu", context.attributes.integer("axis"), y.shape.size())];
    if (!extent.is_constant() || extent.constant() % 2 != 0)
      refuse(context, "glu", "needs an even extent along its axis but got " + shape_text(y.shape));
    extent = extent.constant() / 2;
    return {y};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const HostTensor& x = inputs[0];
    const size_t axis = normalized_axis(attributes.integer("axis"), x.shape.size());
    std::vector<int64_t> shape = x.shape;
    shape[axis] /= 2;
    HostTensor y = make_tensor(x.dtype, shape);
    const int64_t half = strides_of(x.shape)[axis] * shape[axis];
    for (int64_t i = 0; i < y.elements(); ++i) {
      const int64_t first = i / half * 2 * half + i % half;
      y.data[static_cast<size_t>(i)] =
          x.data[static_cast<size_t>(first)] / (1.0 + std::exp(-x.data[static_cast<size_t>(first + half)]));
    }
    return std::vector<HostTensor>{std::move(y)};
  };
  op.expand = [](Builder& b, std::span<const Value> inputs, Attrs attributes) -> std::vector<Value> {
    const auto axis = static_cast<int64_t>(normalized_axis(attributes.integer("axis"), inputs[0].rank()));
    const int64_t half = inputs[0].shape()[static_cast<size_t>(axis)].constant() / 2;
    const std::vector<Value> halves = b.split(inputs[0], axis, {half, half});
    return {halves[0] * b.call("sigmoid", {halves[1]})};
  };
  op.examples = {{.inputs = {{.shape = {7, 34}, .low = -4, .high = 4}}},
                 {.inputs = {{.shape = {3, 6, 5}, .low = -4, .high = 4}}, .attributes = {{"axis", 1}}}};
  return op;
}

// The projection onto the simplex (Martins and Astudillo 2016). Instead of sorting, each element counts and sums those
// that are no smaller than itself: it is part of the support where 1 + count x > sum.
Op sparsemax_op() {
  Op op;
  op.name = "sparsemax";
  op.family = OpFamily::activation;
  op.doc =
      "y = max(x - t, 0) with t such that y sums to 1 along axis: the nearest point of the simplex (Martins and Astudillo "
      "2016).  x, y: [...]";
  op.inputs = {{.name = "x"}};
  op.attributes = {{.name = "axis", .type = AttributeType::integer, .default_value = -1, .doc = "the axis that sums to 1"}};
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "sparsemax", 0, Accepts::floats);
    check_axis(context, "sparsemax", context.attributes.integer("axis"), context.inputs[0].shape.size());
    return {context.inputs[0]};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    HostTensor y = inputs[0];
    const size_t axis = normalized_axis(attributes.integer("axis"), y.shape.size());
    const int64_t extent = y.shape[axis], inner = strides_of(y.shape)[axis];
    for (int64_t first = 0; first < y.elements(); first += extent * inner)
      for (int64_t column = 0; column < inner; ++column) {
        auto at = [&](int64_t i) -> double& { return y.data[static_cast<size_t>(first + column + i * inner)]; };
        std::vector<double> sorted;
        for (int64_t i = 0; i < extent; ++i) sorted.push_back(at(i));
        std::sort(sorted.rbegin(), sorted.rend());
        double sum = 0.0, threshold = 0.0;
        for (size_t k = 0; k < sorted.size(); ++k) {
          sum += sorted[k];
          const double count = static_cast<double>(k) + 1.0;
          if (1.0 + count * sorted[k] > sum) threshold = (sum - 1.0) / count;
        }
        for (int64_t i = 0; i < extent; ++i) at(i) = std::fmax(at(i) - threshold, 0.0);
      }
    return std::vector<HostTensor>{std::move(y)};
  };
  op.expand = [](Builder& b, std::span<const Value> inputs, Attrs attributes) -> std::vector<Value> {
    const Value x = inputs[0];
    const auto axis = static_cast<int64_t>(normalized_axis(attributes.integer("axis"), x.rank()));
    Shape each = x.shape(), others = x.shape();
    each.insert(each.begin() + axis + 1, 1);
    others.insert(others.begin() + axis, 1);
    const Value other = b.reshape(x, others);
    const Value no_smaller = b.cast(b.call("greater_equal", {other, b.reshape(x, each)}), x.type().dtype);
    const Value count = b.reduce("reduce_sum", no_smaller, {axis + 1});
    const Value sum = b.reduce("reduce_sum", no_smaller * other, {axis + 1});
    const Value support = b.cast(b.call("greater", {count * x + 1.0, sum}), x.type().dtype);
    const Value threshold = (b.reduce("reduce_sum", support * x, {axis}, true) - 1.0) / b.reduce("reduce_sum", support, {axis}, true);
    return {b.call("relu", {x - threshold})};
  };
  op.examples = {{.inputs = {{.shape = {7, 17}, .low = -1, .high = 1}}},
                 {.inputs = {{.shape = {2, 5, 3}, .low = -1, .high = 1}}, .attributes = {{"axis", 1}}},
                 {.inputs = {{.shape = {2, 4}, .values = {0.5, 0.5, 0.25, 0.25, 3, 1, 1, 1}}}, .differentiable = false}};
  return op;
}

}  // namespace

std::vector<Op> activation_ops() {
  std::vector<Op> ops;
  add_piecewise_activations(ops);
  add_exponential(ops);
  add_smooth(ops);
  ops.push_back(softmax_op(false));
  ops.push_back(softmax_op(true));
  ops.push_back(sparsemax_op());
  ops.push_back(glu_op());
  return ops;
}

}  // namespace moru
