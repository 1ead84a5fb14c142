// Activations with the formulas of Keras 3. All but the softmaxes are elementwise; tanh and sigmoid are in
// elementwise.cpp. Where Keras 2 differs, its formula has a name of its own and the importer chooses.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/ops/transcendentals.h"

namespace moru {

namespace {

using Attrs = const Attributes&;

constexpr double selu_scale = 1.0507009873554805;  // Klambauer et al. 2017, as Keras rounds them
constexpr double selu_alpha = 1.6732632423543772;
constexpr double gelu_slope = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2/pi)
constexpr double gelu_cubic = 0.044715;

Value zero_like(Value x) { return x.builder->constant(0.0, x.type().dtype); }
Value where_positive(Value x, Value then_value, Value else_value) {
  return x.builder->select(x.builder->call("greater", {x, zero_like(x)}), then_value, else_value);
}
Value between(Value x, double low, double high, Value then_value) {
  Builder& b = *x.builder;
  const DType dtype = x.type().dtype;
  const Value inside = b.call(
      "logical_and", {b.call("greater", {x, b.constant(low, dtype)}), b.call("less", {x, b.constant(high, dtype)})});
  return b.select(inside, then_value, zero_like(then_value));
}

Expr positive(const Expr& x) { return expr::binary(ExprOp::less, number_like(x, 0.0), x); }
Expr max0(const Expr& x) { return expr::binary(ExprOp::max, x, number_like(x, 0.0)); }
Expr clip(const Expr& x, double low, double high) {
  return expr::binary(ExprOp::min, expr::binary(ExprOp::max, x, number_like(x, low)), number_like(x, high));
}
double softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
double nan_or(double x, double y) { return std::isnan(x) ? x : y; }

// The activations are one-liners but for their bookkeeping.
UnaryOp activation(std::string_view name, std::string_view doc) {
  UnaryOp op;
  op.name = name;
  op.family = OpFamily::activation;
  op.doc = doc;
  op.samples = samples(-4, 4);
  op.extremes = extreme_values();
  return op;
}

void add_piecewise_linear(std::vector<Op>& ops) {
  UnaryOp linear = activation("linear", "y = x, elementwise.  x, y: [...]");
  linear.accepts = Accepts::any;
  linear.reference = [](double x) { return x; };
  linear.lower = [](Expr x, Attrs) { return x; };
  linear.gradient = [](Value dy, Value, Value, Attrs) { return dy; };
  ops.push_back(elementwise(std::move(linear)));

  UnaryOp relu = activation("relu", "y = max(x, 0), elementwise; the gradient at 0 is 0.  x, y: [...]");
  relu.reference = [](double x) { return nan_or(x, x > 0 ? x : 0.0); };
  relu.lower = [](Expr x, Attrs) { return max0(x); };
  relu.gradient = [](Value dy, Value, Value y, Attrs) { return where_positive(y, dy, zero_like(dy)); };
  ops.push_back(elementwise(std::move(relu)));

  UnaryOp relu6 = activation("relu6", "y = min(max(x, 0), 6), elementwise.  x, y: [...]");
  relu6.reference = [](double x) { return nan_or(x, std::clamp(x, 0.0, 6.0)); };
  relu6.lower = [](Expr x, Attrs) { return clip(x, 0.0, 6.0); };
  relu6.gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 6.0, dy); };
  relu6.samples = samples(-8, 10);
  ops.push_back(elementwise(std::move(relu6)));

  UnaryOp leaky = activation("leaky_relu", "y = x where x > 0, else negative_slope * x, elementwise.  x, y: [...]");
  leaky.attributes = {{.name = "negative_slope",
                       .type = AttributeType::real,
                       .default_value = 0.2,
                       .least = 0.0,
                       .doc = "slope for x < 0; Keras 2's LeakyReLU layer has 0.3"}};
  leaky.reference_with = [](Attrs attributes) {
    return [slope = attributes.real("negative_slope")](double x) { return x > 0 ? x : slope * x; };
  };
  leaky.lower = [](Expr x, Attrs attributes) {
    return expr::select(positive(x), x, x * number_like(x, attributes.real("negative_slope")));
  };
  leaky.gradient = [](Value dy, Value x, Value, Attrs attributes) {
    return where_positive(x, dy, dy * attributes.real("negative_slope"));
  };
  leaky.variants = {{{"negative_slope", 0.01}}, {{"negative_slope", 0.0}}, {{"negative_slope", 1.5}}};
  ops.push_back(elementwise(std::move(leaky)));

  UnaryOp hard =
      activation("hard_sigmoid", "y = min(max(x + 3, 0), 6) / 6, elementwise, as Keras 3 has it.  x, y: [...]");
  hard.reference = [](double x) { return nan_or(x, std::clamp(x + 3.0, 0.0, 6.0) / 6.0); };
  hard.lower = [](Expr x, Attrs) { return clip(x + number_like(x, 3.0), 0.0, 6.0) * number_like(x, 1.0 / 6.0); };
  hard.gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 1.0, dy * (1.0 / 6.0)); };
  hard.samples = samples(-5, 5);
  ops.push_back(elementwise(std::move(hard)));

  UnaryOp hard2 = activation("hard_sigmoid_keras2",
                             "y = min(max(0.2 * x + 0.5, 0), 1), elementwise, as Keras 2 has it.  x, y: [...]");
  hard2.reference = [](double x) { return nan_or(x, std::clamp(0.2 * x + 0.5, 0.0, 1.0)); };
  hard2.lower = [](Expr x, Attrs) { return clip(x * number_like(x, 0.2) + number_like(x, 0.5), 0.0, 1.0); };
  hard2.gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 1.0, dy * 0.2); };
  ops.push_back(elementwise(std::move(hard2)));
}

void add_exponential(std::vector<Op>& ops) {
  UnaryOp exponential = activation("exponential", "y = e^x, elementwise.  x, y: [...]");
  exponential.cheap = false;
  exponential.reference = [](double x) { return std::exp(x); };
  exponential.lower = [](Expr x, Attrs) { return exp_expr(x); };
  exponential.gradient = [](Value dy, Value, Value y, Attrs) { return dy * y; };
  ops.push_back(elementwise(std::move(exponential)));

  UnaryOp elu = activation("elu", "y = x where x > 0, else alpha * (e^x - 1), elementwise.  x, y: [...]");
  elu.attributes = {{.name = "alpha",
                     .type = AttributeType::real,
                     .default_value = 1.0,
                     .least = 0.0,
                     .doc = "minus the limit at -infinity"}};
  elu.cheap = false;
  elu.reference_with = [](Attrs attributes) {
    return [alpha = attributes.real("alpha")](double x) { return x > 0 ? x : alpha * std::expm1(x); };
  };
  elu.lower = [](Expr x, Attrs attributes) {
    return expr::select(positive(x), x, expm1_expr(x) * number_like(x, attributes.real("alpha")));
  };
  elu.gradient = [](Value dy, Value, Value y, Attrs attributes) {
    return where_positive(y, dy, dy * (y + attributes.real("alpha")));
  };
  elu.variants = {{{"alpha", 0.3}}, {{"alpha", 2.0}}};
  ops.push_back(elementwise(std::move(elu)));

  UnaryOp selu = activation("selu",
                            "y = 1.0507 * (x where x > 0, else 1.6733 * (e^x - 1)), elementwise (Klambauer et "
                            "al. 2017).  x, y: [...]");
  selu.cheap = false;
  selu.reference = [](double x) { return selu_scale * (x > 0 ? x : selu_alpha * std::expm1(x)); };
  selu.lower = [](Expr x, Attrs) {
    const Expr below = expm1_expr(x) * number_like(x, selu_scale * selu_alpha);
    return expr::select(positive(x), x * number_like(x, selu_scale), below);
  };
  selu.gradient = [](Value dy, Value, Value y, Attrs) {
    return where_positive(y, dy * selu_scale, dy * (y + selu_scale * selu_alpha));
  };
  ops.push_back(elementwise(std::move(selu)));

  UnaryOp softplus_op = activation("softplus", "y = log(1 + e^x), elementwise.  x, y: [...]");
  softplus_op.cheap = false;
  softplus_op.reference = softplus;
  softplus_op.lower = [](Expr x, Attrs) { return softplus_expr(x); };
  softplus_op.gradient = [](Value dy, Value x, Value, Attrs) { return dy * x.builder->call("sigmoid", {x}); };
  ops.push_back(elementwise(std::move(softplus_op)));

  UnaryOp softsign = activation("softsign", "y = x / (1 + |x|), elementwise.  x, y: [...]");
  softsign.cheap = false;
  softsign.reference = [](double x) { return x / (1.0 + std::fabs(x)); };
  softsign.lower = [](Expr x, Attrs) { return x / (expr::unary(ExprOp::abs, x) + number_like(x, 1.0)); };
  softsign.gradient = [](Value dy, Value, Value y, Attrs) {
    return dy * y.builder->call("square", {1.0 - y.builder->call("abs", {y})});
  };
  ops.push_back(elementwise(std::move(softsign)));
}

void add_smooth(std::vector<Op>& ops) {
  UnaryOp silu = activation("silu", "y = x / (1 + e^-x), elementwise (also called swish).  x, y: [...]");
  silu.cheap = false;
  silu.reference = [](double x) { return x / (1.0 + std::exp(-x)); };
  silu.lower = [](Expr x, Attrs) { return x * sigmoid_expr(x); };
  silu.gradient = [](Value dy, Value x, Value y, Attrs) {
    const Value s = x.builder->call("sigmoid", {x});
    return dy * (s + y * (1.0 - s));
  };
  ops.push_back(elementwise(std::move(silu)));

  UnaryOp gelu =
      activation("gelu",
                 "y = x * P(N(0,1) <= x) = x/2 * (1 + erf(x/sqrt(2))); approximate: x/2 * (1 + "
                 "tanh(sqrt(2/pi) * (x + 0.044715 x^3))), elementwise (Hendrycks, Gimpel 2016).  x, y: [...]");
  gelu.attributes = {
      {.name = "approximate", .type = AttributeType::boolean, .default_value = false, .doc = "the formula with tanh"}};
  gelu.cheap = false;
  gelu.reference_with = [](Attrs attributes) -> std::function<double(double)> {
    if (attributes.boolean("approximate"))
      return [](double x) { return 0.5 * x * (1.0 + std::tanh(gelu_slope * (x + gelu_cubic * x * x * x))); };
    return [](double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); };
  };
  gelu.lower = [](Expr x, Attrs attributes) {
    only_f32(x, "gelu");
    const Expr half = x * 0.5;
    if (!attributes.boolean("approximate")) return half + half * erf_expr(x * (1.0 / std::numbers::sqrt2));
    const Expr inner = (x + x * x * x * gelu_cubic) * gelu_slope;
    return half + half * tanh_expr(inner);
  };
  gelu.gradient = [](Value dy, Value x, Value, Attrs attributes) {
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
  };
  gelu.variants = {{{"approximate", true}}};
  gelu.extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, -100.0, 1e30, std::nan("")};
  ops.push_back(elementwise(std::move(gelu)));

  UnaryOp mish = activation("mish", "y = x * tanh(log(1 + e^x)), elementwise (Misra 2019).  x, y: [...]");
  mish.cheap = false;
  mish.reference = [](double x) { return x * std::tanh(softplus(x)); };
  mish.lower = [](Expr x, Attrs) { return x * tanh_expr(softplus_expr(x)); };
  mish.gradient = [](Value dy, Value x, Value, Attrs) {
    Builder& b = *x.builder;
    const Value t = b.call("tanh", {b.call("softplus", {x})});
    return dy * (t + x * (1.0 - t * t) * b.call("sigmoid", {x}));
  };
  ops.push_back(elementwise(std::move(mish)));
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

}  // namespace

std::vector<Op> activation_ops() {
  std::vector<Op> ops;
  add_piecewise_linear(ops);
  add_exponential(ops);
  add_smooth(ops);
  ops.push_back(softmax_op(false));
  ops.push_back(softmax_op(true));
  return ops;
}

}  // namespace moru
