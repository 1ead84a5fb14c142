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

Op activation(UnaryOp op) {
  op.family = OpFamily::activation;
  if (op.samples.empty()) op.samples = samples(-4, 4);
  if (op.extremes.empty()) op.extremes = extreme_values();
  return elementwise(std::move(op));
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

namespace {

void add_ramps(std::vector<Op>& ops) {
  ops.push_back(activation({
      .name = "linear",
      .doc = "y = x, elementwise.  x, y: [...]",
      .accepts = Accepts::any,
      .reference = [](double x) { return x; },
      .lower = [](Expr x, Attrs) { return x; },
      .gradient = [](Value dy, Value, Value, Attrs) { return dy; },
  }));
  ops.push_back(activation({
      .name = "relu",
      .doc =
          "y = x where x > threshold, at most max_value, else negative_slope * (x - threshold), elementwise; "
          "the gradient at the threshold is the slope below it.  x, y: [...]",
      .attributes = {{.name = "negative_slope", .type = AttributeType::real, .default_value = 0.0, .least = 0.0},
                     {.name = "max_value", .type = AttributeType::real, .optional = true, .least = 0.0},
                     {.name = "threshold", .type = AttributeType::real, .default_value = 0.0, .least = 0.0}},
      .reference_with = [](Attrs attributes) -> std::function<double(double)> {
        const double slope = number_or_zero(attributes, "negative_slope"), threshold = number_or_zero(attributes, "threshold");
        const double most = attributes.has("max_value") ? attributes.real("max_value") : INFINITY;
        if (slope == 0.0 && threshold == 0.0) return [most](double x) { return nan_or(x, std::clamp(x, 0.0, most)); };
        return [=](double x) {
          if (x > threshold) return std::fmin(x, most);
          return slope == 0.0 ? 0.0 : slope * (x - threshold);
        };
      },
      .lower = [](Expr x, Attrs attributes) {
        const double slope = number_or_zero(attributes, "negative_slope"), threshold = number_or_zero(attributes, "threshold");
        const bool bounded = attributes.has("max_value");
        if (slope == 0.0 && threshold == 0.0) return bounded ? clip(x, 0.0, attributes.real("max_value")) : max0(x);
        const Expr at = number_like(x, threshold);
        const Expr above = bounded ? expr::binary(ExprOp::min, x, number_like(x, attributes.real("max_value"))) : x;
        const Expr below = slope == 0.0 ? number_like(x, 0.0) : (x - at) * number_like(x, slope);
        return expr::select(expr::binary(ExprOp::less, at, x), above, below);
      },
      .gradient = [](Value dy, Value x, Value y, Attrs attributes) {
        const double slope = number_or_zero(attributes, "negative_slope"), threshold = number_or_zero(attributes, "threshold");
        const bool bounded = attributes.has("max_value");
        if (slope == 0.0 && threshold == 0.0)
          return bounded ? between(y, 0.0, attributes.real("max_value"), dy) : where_positive(y, dy, zero_like(dy));
        const Value above = bounded ? between(x, -INFINITY, attributes.real("max_value"), dy) : dy;
        return where_positive(x - threshold, above, slope == 0.0 ? zero_like(dy) : dy * slope);
      },
      .variants = {{{"max_value", 2.5}},
                   {{"negative_slope", 0.25}},
                   {{"negative_slope", 0.1}, {"max_value", 2.0}, {"threshold", 0.75}},
                   {{"threshold", 1.25}}},
  }));
  ops.push_back(activation({
      .name = "relu6",
      .doc = "y = min(max(x, 0), 6), elementwise.  x, y: [...]",
      .reference = [](double x) { return nan_or(x, std::clamp(x, 0.0, 6.0)); },
      .lower = [](Expr x, Attrs) { return clip(x, 0.0, 6.0); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 6.0, dy); },
      .samples = samples(-8, 10),
  }));
  ops.push_back(activation({
      .name = "leaky_relu",
      .doc = "y = x where x > 0, else negative_slope * x, elementwise.  x, y: [...]",
      .attributes = {{.name = "negative_slope",
                      .type = AttributeType::real,
                      .default_value = 0.2,
                      .least = 0.0,
                      .doc = "slope for x < 0; Keras 2's LeakyReLU layer has 0.3"}},
      .reference_with = [](Attrs attributes) {
        return [slope = attributes.real("negative_slope")](double x) { return x > 0 ? x : slope * x; };
      },
      .lower = [](Expr x, Attrs attributes) {
        return expr::select(positive(x), x, x * number_like(x, attributes.real("negative_slope")));
      },
      .gradient = [](Value dy, Value x, Value, Attrs attributes) {
        return where_positive(x, dy, dy * attributes.real("negative_slope"));
      },
      .variants = {{{"negative_slope", 0.01}}, {{"negative_slope", 0.0}}, {{"negative_slope", 1.5}}},
  }));
}

void add_hard(std::vector<Op>& ops) {
  ops.push_back(activation({
      .name = "hard_sigmoid",
      .doc = "y = min(max(x + 3, 0), 6) / 6, elementwise, as Keras 3 has it.  x, y: [...]",
      .reference = [](double x) { return nan_or(x, std::clamp(x + 3.0, 0.0, 6.0) / 6.0); },
      .lower = [](Expr x, Attrs) { return clip(x + number_like(x, 3.0), 0.0, 6.0) * number_like(x, 1.0 / 6.0); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 1.0, dy * (1.0 / 6.0)); },
      .samples = samples(-5, 5),
  }));
  ops.push_back(activation({
      .name = "hard_sigmoid_keras2",
      .doc = "y = min(max(0.2 * x + 0.5, 0), 1), elementwise, as Keras 2 has it.  x, y: [...]",
      .reference = [](double x) { return nan_or(x, std::clamp(0.2 * x + 0.5, 0.0, 1.0)); },
      .lower = [](Expr x, Attrs) { return clip(x * number_like(x, 0.2) + number_like(x, 0.5), 0.0, 1.0); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 1.0, dy * 0.2); },
  }));
  ops.push_back(activation({
      .name = "hard_silu",
      .doc = "y = x * min(max(x + 3, 0), 6) / 6, elementwise (also called hard_swish).  x, y: [...]",
      .reference = [](double x) { return x * std::clamp(x / 6.0 + 0.5, 0.0, 1.0); },
      .lower = [](Expr x, Attrs) {
        return x * (clip(x + number_like(x, 3.0), 0.0, 6.0) * number_like(x, 1.0 / 6.0));
      },
      .gradient = [](Value dy, Value x, Value, Attrs) {
        return dy * (x.builder->call("hard_sigmoid", {x}) + between(x, -3.0, 3.0, x * (1.0 / 6.0)));
      },
      .samples = samples(-5, 5),
      .extremes = {0.0, -0.0, 1e-30, 3.0, -3.0, 100.0, -100.0, 1e30},
  }));
  ops.push_back(activation({
      .name = "hard_tanh",
      .doc = "y = min(max(x, -1), 1), elementwise.  x, y: [...]",
      .reference = [](double x) { return nan_or(x, std::clamp(x, -1.0, 1.0)); },
      .lower = [](Expr x, Attrs) { return clip(x, -1.0, 1.0); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return between(y, -1.0, 1.0, dy); },
  }));
}

void add_shrinks(std::vector<Op>& ops) {
  const AttributeSpec threshold_attribute{
      .name = "threshold", .type = AttributeType::real, .default_value = 0.5, .least = 0.0};
  ops.push_back(activation({
      .name = "hard_shrink",
      .doc = "y = x where |x| > threshold, else 0, elementwise.  x, y: [...]",
      .attributes = {threshold_attribute},
      .reference_with = [](Attrs attributes) {
        return [t = attributes.real("threshold")](double x) { return x > t || x < -t ? x : 0.0; };
      },
      .lower = [](Expr x, Attrs attributes) {
        const Expr far =
            expr::binary(ExprOp::less, number_like(x, attributes.real("threshold")), expr::unary(ExprOp::abs, x));
        return expr::select(far, x, number_like(x, 0.0));
      },
      .gradient = [](Value dy, Value x, Value, Attrs attributes) {
        return where_positive(x.builder->call("abs", {x}) - attributes.real("threshold"), dy, zero_like(dy));
      },
      .variants = {{{"threshold", 1.5}}},
  }));
  ops.push_back(activation({
      .name = "soft_shrink",
      .doc = "y = x - threshold where x > threshold, x + threshold where x < -threshold, else 0, elementwise.  x, y: [...]",
      .attributes = {threshold_attribute},
      .reference_with = [](Attrs attributes) {
        return [t = attributes.real("threshold")](double x) { return x > t ? x - t : x < -t ? x + t : 0.0; };
      },
      .lower = [](Expr x, Attrs attributes) {
        const Expr t = number_like(x, attributes.real("threshold")), zero = number_like(x, 0.0);
        return expr::select(expr::binary(ExprOp::less, t, x), x - t,
                            expr::select(expr::binary(ExprOp::less, x, -t), x + t, zero));
      },
      .gradient = [](Value dy, Value x, Value, Attrs attributes) {
        return where_positive(x.builder->call("abs", {x}) - attributes.real("threshold"), dy, zero_like(dy));
      },
      .variants = {{{"threshold", 1.5}}},
  }));
  Op thresholding = activation({
      .name = "threshold",
      .doc = "y = x where x > threshold, else default_value, elementwise.  x, y: [...]",
      .attributes = {{.name = "threshold", .type = AttributeType::real},
                     {.name = "default_value", .type = AttributeType::real}},
      .reference_with = [](Attrs attributes) {
        return [t = attributes.real("threshold"), other = attributes.real("default_value")](double x) {
          return x > t ? x : other;
        };
      },
      .lower = [](Expr x, Attrs attributes) {
        return expr::select(expr::binary(ExprOp::less, number_like(x, attributes.real("threshold")), x), x,
                            number_like(x, attributes.real("default_value")));
      },
      .gradient = [](Value dy, Value x, Value, Attrs attributes) {
        return where_positive(x - attributes.real("threshold"), dy, zero_like(dy));
      },
      .variants = {{{"threshold", 0.5}, {"default_value", -1.5}}, {{"threshold", -1.0}, {"default_value", 0.0}}},
  });
  for (Example& example : thresholding.examples)
    if (example.attributes.entries().empty()) example.attributes = {{"threshold", 1.0}, {"default_value", 0.25}};
  ops.push_back(std::move(thresholding));
}

void add_sparse(std::vector<Op>& ops) {
  ops.push_back(activation({
      .name = "sparse_plus",
      .doc = "y = 0 where x <= -1, (x + 1)^2 / 4 where x < 1, else x, elementwise.  x, y: [...]",
      .reference = [](double x) { return x <= -1.0 ? 0.0 : x < 1.0 ? 0.25 * (x + 1.0) * (x + 1.0) : x; },
      .lower = [](Expr x, Attrs) {
        const Expr one = number_like(x, 1.0), zero = number_like(x, 0.0);
        const Expr half = (x + one) * number_like(x, 0.5);
        return expr::select(expr::binary(ExprOp::less, x, one),
                            expr::select(expr::binary(ExprOp::less, -one, x), half * half, zero), x);
      },
      .gradient = [](Value dy, Value x, Value, Attrs) { return dy * x.builder->call("sparse_sigmoid", {x}); },
      .extremes = {0.0, -0.0, 1e-30, 1.0, -1.0, 100.0, -100.0, 1e30},
  }));
  ops.push_back(activation({
      .name = "sparse_sigmoid",
      .doc = "y = min(max((x + 1) / 2, 0), 1), elementwise.  x, y: [...]",
      .reference = [](double x) { return nan_or(x, x <= -1.0 ? 0.0 : x >= 1.0 ? 1.0 : 0.5 * (x + 1.0)); },
      .lower = [](Expr x, Attrs) { return clip(x * number_like(x, 0.5) + number_like(x, 0.5), 0.0, 1.0); },
      .gradient = [](Value dy, Value, Value y, Attrs) { return between(y, 0.0, 1.0, dy * 0.5); },
  }));
}

}  // namespace

void add_piecewise_activations(std::vector<Op>& ops) {
  add_ramps(ops);
  add_hard(ops);
  add_shrinks(ops);
  add_sparse(ops);
}

}  // namespace moru
