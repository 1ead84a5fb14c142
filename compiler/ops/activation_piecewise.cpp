// Piecewise linear and quadratic activations with the formulas of Keras 3. Where Keras 2 differs, its formula has a
// name of its own and the importer chooses.
#include <algorithm>
#include <cmath>

#include "compiler/ops/activation.h"

namespace moru {

namespace {

// Graphs written before relu had arguments leave them out.
double number_or_zero(const Attributes& attributes, std::string_view name) {
  return attributes.has(name) ? attributes.real(name) : 0.0;
}

using Attrs = const Attributes&;

double nan_or(double x, double y) { return std::isnan(x) ? x : y; }

}  // namespace

UnaryOp activation(std::string_view name, std::string_view doc) {
  UnaryOp op;
  op.name = name;
  op.family = OpFamily::activation;
  op.doc = doc;
  op.samples = samples(-4, 4);
  op.extremes = extreme_values();
  return op;
}

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
void add_piecewise_activations(std::vector<Op>& ops) {
  UnaryOp linear = activation("linear", "y = x, elementwise.  x, y: [...]");
  linear.accepts = Accepts::any;
  linear.reference = [](double x) { return x; };
  linear.lower = [](Expr x, Attrs) { return x; };
  linear.gradient = [](Value dy, Value, Value, Attrs) { return dy; };
  ops.push_back(elementwise(std::move(linear)));

  UnaryOp relu =
      activation("relu",
                 "y = x where x > threshold, at most max_value, else negative_slope * (x - threshold), elementwise; "
                 "the gradient at the threshold is the slope below it.  x, y: [...]");
  relu.attributes = {{.name = "negative_slope", .type = AttributeType::real, .default_value = 0.0, .least = 0.0},
                     {.name = "max_value", .type = AttributeType::real, .optional = true, .least = 0.0},
                     {.name = "threshold", .type = AttributeType::real, .default_value = 0.0, .least = 0.0}};
  relu.reference_with = [](Attrs attributes) -> std::function<double(double)> {
    const double slope = number_or_zero(attributes, "negative_slope"), threshold = number_or_zero(attributes, "threshold");
    const double most = attributes.has("max_value") ? attributes.real("max_value") : INFINITY;
    if (slope == 0.0 && threshold == 0.0) return [most](double x) { return nan_or(x, std::clamp(x, 0.0, most)); };
    return [=](double x) {
      if (x > threshold) return std::fmin(x, most);
      return slope == 0.0 ? 0.0 : slope * (x - threshold);
    };
  };
  relu.lower = [](Expr x, Attrs attributes) {
    const double slope = number_or_zero(attributes, "negative_slope"), threshold = number_or_zero(attributes, "threshold");
    const bool bounded = attributes.has("max_value");
    if (slope == 0.0 && threshold == 0.0) return bounded ? clip(x, 0.0, attributes.real("max_value")) : max0(x);
    const Expr at = number_like(x, threshold);
    const Expr above = bounded ? expr::binary(ExprOp::min, x, number_like(x, attributes.real("max_value"))) : x;
    const Expr below = slope == 0.0 ? number_like(x, 0.0) : (x - at) * number_like(x, slope);
    return expr::select(expr::binary(ExprOp::less, at, x), above, below);
  };
  relu.gradient = [](Value dy, Value x, Value y, Attrs attributes) {
    const double slope = number_or_zero(attributes, "negative_slope"), threshold = number_or_zero(attributes, "threshold");
    const bool bounded = attributes.has("max_value");
    if (slope == 0.0 && threshold == 0.0)
      return bounded ? between(y, 0.0, attributes.real("max_value"), dy) : where_positive(y, dy, zero_like(dy));
    const Value above = bounded ? between(x, -INFINITY, attributes.real("max_value"), dy) : dy;
    return where_positive(x - threshold, above, slope == 0.0 ? zero_like(dy) : dy * slope);
  };
  relu.variants = {{{"max_value", 2.5}},
                   {{"negative_slope", 0.25}},
                   {{"negative_slope", 0.1}, {"max_value", 2.0}, {"threshold", 0.75}},
                   {{"threshold", 1.25}}};
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

  UnaryOp hard_silu =
      activation("hard_silu", "y = x * min(max(x + 3, 0), 6) / 6, elementwise (also called hard_swish).  x, y: [...]");
  hard_silu.reference = [](double x) { return x * std::clamp(x / 6.0 + 0.5, 0.0, 1.0); };
  hard_silu.lower = [](Expr x, Attrs) {
    return x * (clip(x + number_like(x, 3.0), 0.0, 6.0) * number_like(x, 1.0 / 6.0));
  };
  hard_silu.gradient = [](Value dy, Value x, Value, Attrs) {
    return dy * (x.builder->call("hard_sigmoid", {x}) + between(x, -3.0, 3.0, x * (1.0 / 6.0)));
  };
  hard_silu.samples = samples(-5, 5);
  hard_silu.extremes = {0.0, -0.0, 1e-30, 3.0, -3.0, 100.0, -100.0, 1e30};
  ops.push_back(elementwise(std::move(hard_silu)));

  UnaryOp hard_tanh = activation("hard_tanh", "y = min(max(x, -1), 1), elementwise.  x, y: [...]");
  hard_tanh.reference = [](double x) { return nan_or(x, std::clamp(x, -1.0, 1.0)); };
  hard_tanh.lower = [](Expr x, Attrs) { return clip(x, -1.0, 1.0); };
  hard_tanh.gradient = [](Value dy, Value, Value y, Attrs) { return between(y, -1.0, 1.0, dy); };
  ops.push_back(elementwise(std::move(hard_tanh)));

  const AttributeSpec threshold_attribute{
      .name = "threshold", .type = AttributeType::real, .default_value = 0.5, .least = 0.0};
  UnaryOp hard_shrink = activation("hard_shrink", "y = x where |x| > threshold, else 0, elementwise.  x, y: [...]");
  hard_shrink.attributes = {threshold_attribute};
  hard_shrink.reference_with = [](Attrs attributes) {
    return [t = attributes.real("threshold")](double x) { return x > t || x < -t ? x : 0.0; };
  };
  hard_shrink.lower = [](Expr x, Attrs attributes) {
    const Expr far =
        expr::binary(ExprOp::less, number_like(x, attributes.real("threshold")), expr::unary(ExprOp::abs, x));
    return expr::select(far, x, number_like(x, 0.0));
  };
  hard_shrink.gradient = [](Value dy, Value x, Value, Attrs attributes) {
    return where_positive(x.builder->call("abs", {x}) - attributes.real("threshold"), dy, zero_like(dy));
  };
  hard_shrink.variants = {{{"threshold", 1.5}}};
  ops.push_back(elementwise(std::move(hard_shrink)));

  UnaryOp soft_shrink = activation(
      "soft_shrink",
      "y = x - threshold where x > threshold, x + threshold where x < -threshold, else 0, elementwise.  x, y: [...]");
  soft_shrink.attributes = {threshold_attribute};
  soft_shrink.reference_with = [](Attrs attributes) {
    return [t = attributes.real("threshold")](double x) { return x > t ? x - t : x < -t ? x + t : 0.0; };
  };
  soft_shrink.lower = [](Expr x, Attrs attributes) {
    const Expr t = number_like(x, attributes.real("threshold")), zero = number_like(x, 0.0);
    return expr::select(expr::binary(ExprOp::less, t, x), x - t,
                        expr::select(expr::binary(ExprOp::less, x, -t), x + t, zero));
  };
  soft_shrink.gradient = [](Value dy, Value x, Value, Attrs attributes) {
    return where_positive(x.builder->call("abs", {x}) - attributes.real("threshold"), dy, zero_like(dy));
  };
  soft_shrink.variants = {{{"threshold", 1.5}}};
  ops.push_back(elementwise(std::move(soft_shrink)));

  UnaryOp threshold =
      activation("threshold", "y = x where x > threshold, else default_value, elementwise.  x, y: [...]");
  threshold.attributes = {{.name = "threshold", .type = AttributeType::real},
                          {.name = "default_value", .type = AttributeType::real}};
  threshold.reference_with = [](Attrs attributes) {
    return [t = attributes.real("threshold"), other = attributes.real("default_value")](double x) {
      return x > t ? x : other;
    };
  };
  threshold.lower = [](Expr x, Attrs attributes) {
    return expr::select(expr::binary(ExprOp::less, number_like(x, attributes.real("threshold")), x), x,
                        number_like(x, attributes.real("default_value")));
  };
  threshold.gradient = [](Value dy, Value x, Value, Attrs attributes) {
    return where_positive(x - attributes.real("threshold"), dy, zero_like(dy));
  };
  threshold.variants = {{{"threshold", 0.5}, {"default_value", -1.5}}, {{"threshold", -1.0}, {"default_value", 0.0}}};
  Op thresholding = elementwise(std::move(threshold));
  for (Example& example : thresholding.examples)
    if (example.attributes.entries().empty()) example.attributes = {{"threshold", 1.0}, {"default_value", 0.25}};
  ops.push_back(std::move(thresholding));

  UnaryOp sparse_plus =
      activation("sparse_plus", "y = 0 where x <= -1, (x + 1)^2 / 4 where x < 1, else x, elementwise.  x, y: [...]");
  sparse_plus.reference = [](double x) { return x <= -1.0 ? 0.0 : x < 1.0 ? 0.25 * (x + 1.0) * (x + 1.0) : x; };
  sparse_plus.lower = [](Expr x, Attrs) {
    const Expr one = number_like(x, 1.0), zero = number_like(x, 0.0);
    const Expr half = (x + one) * number_like(x, 0.5);
    return expr::select(expr::binary(ExprOp::less, x, one),
                        expr::select(expr::binary(ExprOp::less, -one, x), half * half, zero), x);
  };
  sparse_plus.gradient = [](Value dy, Value x, Value, Attrs) { return dy * x.builder->call("sparse_sigmoid", {x}); };
  sparse_plus.extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, -100.0, 1e30};
  ops.push_back(elementwise(std::move(sparse_plus)));

  UnaryOp sparse_sigmoid = activation("sparse_sigmoid", "y = min(max((x + 1) / 2, 0), 1), elementwise.  x, y: [...]");
  sparse_sigmoid.reference = [](double x) { return nan_or(x, x <= -1.0 ? 0.0 : x >= 1.0 ? 1.0 : 0.5 * (x + 1.0)); };
  sparse_sigmoid.lower = [](Expr x, Attrs) { return clip(x * number_like(x, 0.5) + number_like(x, 0.5), 0.0, 1.0); };
  sparse_sigmoid.gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 1.0, dy * 0.5); };
  ops.push_back(elementwise(std::move(sparse_sigmoid)));
}

}  // namespace moru
