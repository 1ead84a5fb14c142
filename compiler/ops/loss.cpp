// Losses, as Keras' functions: (y_true, y_pred) -> one value for each sample (and step), the last axis reduced. Means over
// the batch, weights and sums over outputs are added by passes/make_entries. Gradients come through the expansion.
#include "compiler/ops/loss.h"

#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"

namespace moru {

Shape aligned_target(const Shape& y_true, const Shape& y_pred) {
  Shape shape = y_true;
  if (shape.size() + 1 == y_pred.size() && y_pred.back().is_constant(1)) shape.push_back(1);
  if (shape.size() == y_pred.size() + 1 && shape.back().is_constant(1)) shape.pop_back();
  return shape;
}

void check_targets(const OpContext& context, const Op& op) {
  const Type &y_true = context.inputs[0], &y_pred = context.inputs[1];
  if (!is_float(y_pred.dtype))
    fail(context, op, "needs floating point predictions but got " + type_text(y_pred));
  if (y_pred.shape.empty()) fail(context, op, "needs predictions [batch, ...] but got a scalar");
  if (aligned_target(y_true.shape, y_pred.shape) != y_pred.shape)
    fail(context, op, "needs targets of the predictions' shape " + shape_text(y_pred.shape) + " but got " + shape_text(y_true.shape));
}

void check_class_indices(const OpContext& context, const Op& op) {
  const Type &y_true = context.inputs[0], &y_pred = context.inputs[1];
  if (!is_float(y_pred.dtype))
    fail(context, op, "needs floating point predictions but got " + type_text(y_pred));
  if (y_pred.shape.size() < 2 || !y_pred.shape.back().is_constant())
    fail(context, op, "needs predictions [batch, ..., classes] but got " + shape_text(y_pred.shape));
  Shape without(y_pred.shape.begin(), y_pred.shape.end() - 1), with_one = without;
  with_one.push_back(1);
  if (y_true.shape != without && y_true.shape != with_one)
    fail(context, op, "needs class indices " + shape_text(without) + " for the predictions " + shape_text(y_pred.shape) +
                          " but got " + shape_text(y_true.shape),
         y_true.shape == y_pred.shape ? "one-hot targets go with categorical_crossentropy" : "");
}

Value align_target(Value y_true, Value y_pred) {
  Builder& builder = *y_pred.builder;
  return builder.reshape(builder.cast(y_true, y_pred.type().dtype), aligned_target(y_true.shape(), y_pred.shape()));
}

namespace {

constexpr double epsilon = 1e-7;  // Keras' backend.epsilon()

int64_t last_axis(Value x) { return static_cast<int64_t>(x.rank()) - 1; }

std::vector<Type> infer_loss(const OpContext& context, std::string_view name) {
  check_targets(context, get_op(name));
  const Type& y_pred = context.inputs[1];
  return {{y_pred.dtype, Shape(y_pred.shape.begin(), y_pred.shape.end() - 1)}};
}

std::vector<int64_t> without_last(const std::vector<int64_t>& shape) { return {shape.begin(), shape.end() - 1}; }

using ElementFn = double (*)(double y_true, double y_pred, const Attributes&);
using FormulaFn = Value (*)(Value y_true, Value y_pred, const Attributes&);

// A loss that is a mean (or sum) along the last axis of something elementwise.
Op pointwise_loss(std::string_view name, std::string_view doc, ElementFn element, FormulaFn formula,
                  std::vector<AttributeSpec> attributes, std::vector<Example> examples, bool sum = false) {
  return {
      .name = name,
      .family = OpFamily::loss,
      .doc = doc,
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) { return infer_loss(context, name); },
      .reference = [element, sum](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor& y_pred = inputs[1];
        HostTensor loss = make_tensor(y_pred.dtype, without_last(y_pred.shape));
        auto width = static_cast<size_t>(y_pred.shape.back());
        for (size_t i = 0; i < y_pred.data.size(); ++i)
          loss.data[i / width] += element(inputs[0].data[i], y_pred.data[i], a) / (sum ? 1.0 : static_cast<double>(width));
        return {loss};
      },
      .expand = [formula, sum](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value each = formula(align_target(inputs[0], inputs[1]), inputs[1], a);
        return {builder.reduce(sum ? "reduce_sum" : "reduce_mean", each, {last_axis(each)})};
      },
      .examples = std::move(examples),
  };
}

std::vector<Example> regression_examples(double low = -2.0, double high = 2.0) {
  return {
      {.inputs = {{{5, 7}, low, high}, {{5, 7}, low, high}}},
      {.inputs = {{{3, 4, 17}, low, high}, {{3, 4, 17}, low, high}}},
      {.inputs = {{{9}, low, high}, {{9, 1}, low, high}}},
      {.inputs = {{{4, 1}, low, high}, {{4, 1}, low, high}}},
  };
}

Value call(std::string_view op, Value x) { return x.builder->call(op, {x}); }
Value at_least(Value x, double bound) { return x.builder->call("maximum", {x, x.builder->constant(bound, x.type().dtype)}); }
Value at_most(Value x, double bound) { return x.builder->call("minimum", {x, x.builder->constant(bound, x.type().dtype)}); }
Value clipped_probability(Value p) { return at_most(at_least(p, epsilon), 1.0 - epsilon); }
double clipped_probability(double p) { return std::clamp(p, epsilon, 1.0 - epsilon); }

Value with_label_smoothing(Value y_true, const Attributes& a, double towards) {
  double smoothing = a.real("label_smoothing");
  return smoothing == 0.0 ? y_true : y_true * (1.0 - smoothing) + smoothing * towards;
}
double with_label_smoothing(double y_true, const Attributes& a, double towards) {
  return y_true * (1.0 - a.real("label_smoothing")) + a.real("label_smoothing") * towards;
}

AttributeSpec from_logits() {
  return {.name = "from_logits", .type = AttributeType::boolean, .default_value = false,
          .doc = "predictions are before the sigmoid or softmax"};
}
AttributeSpec label_smoothing() {
  return {.name = "label_smoothing", .type = AttributeType::real, .default_value = 0.0, .least = 0, .most = 1};
}

// ---- regression ----

double huber_element(double t, double p, const Attributes& a) {
  double error = std::fabs(p - t), delta = a.real("delta");
  return error <= delta ? 0.5 * error * error : delta * error - 0.5 * delta * delta;
}

Value huber_formula(Value t, Value p, const Attributes& a) {
  double delta = a.real("delta");
  Value error = p - t, size = call("abs", error);
  Value small = size.builder->call("less_equal", {size, size.builder->constant(delta, size.type().dtype)});
  return size.builder->select(small, 0.5 * call("square", error), delta * size - 0.5 * delta * delta);
}

// ---- binary cross-entropy ----

double binary_element(double t, double p, const Attributes& a) {
  t = with_label_smoothing(t, a, 0.5);
  if (!a.boolean("from_logits")) {
    p = clipped_probability(p);
    return -(t * std::log(p) + (1.0 - t) * std::log(1.0 - p));
  }
  double log_p = -std::log1p(std::exp(-std::fabs(p))) + std::min(p, 0.0);   // log sigmoid(p)
  double log_q = -std::log1p(std::exp(-std::fabs(p))) + std::min(-p, 0.0);  // log (1 - sigmoid(p))
  return -(t * log_p + (1.0 - t) * log_q);
}

Value binary_formula(Value t, Value p, const Attributes& a) {
  t = with_label_smoothing(t, a, 0.5);
  if (a.boolean("from_logits")) return at_least(p, 0.0) - p * t + call("log1p", call("exp", -call("abs", p)));
  p = clipped_probability(p);
  return -(t * call("log", p) + (1.0 - t) * call("log", 1.0 - p));
}

std::vector<Example> binary_examples() {
  Example::Tensor labels{.shape = {3, 5}, .low = 0, .high = 1}, probabilities{.shape = {3, 5}, .low = 0.05, .high = 0.95};
  Example::Tensor logits{.shape = {3, 5}, .low = -5, .high = 5};
  return {
      {.inputs = {labels, probabilities}},
      {.inputs = {labels, probabilities}, .attributes = {{"label_smoothing", 0.2}}},
      {.inputs = {labels, logits}, .attributes = {{"from_logits", true}}},
      {.inputs = {labels, logits}, .attributes = {{"from_logits", true}, {"label_smoothing", 0.1}}},
      {.inputs = {{.shape = {2, 2}, .values = {0, 1, 1, 0}}, {.shape = {2, 2}, .values = {-100, 100, -90, 80}}},
       .attributes = {{"from_logits", true}},
       .differentiable = false},
      {.inputs = {{{7}, 0, 2, DType::i32}, {{7, 1}, 0.1, 0.9}}},
      {.inputs = {{{2, 3, 17}, 0, 1}, {{2, 3, 17}, 0.1, 0.9}}},
  };
}

// ---- categorical cross-entropy ----

// log of the class probabilities along `axis`
Value log_probabilities(Value p, bool logits, int64_t axis) {
  Builder& builder = *p.builder;
  if (logits) return builder.call("log_softmax", {p}, {{"axis", axis}});
  return call("log", clipped_probability(p / builder.reduce("reduce_sum", p, {axis}, true)));
}

// The same for one row of classes, in doubles.
std::vector<double> log_probabilities(std::vector<double> row, bool logits) {
  double sum = 0.0, most = *std::max_element(row.begin(), row.end());
  for (double x : row) sum += logits ? std::exp(x - most) : x;
  for (double& x : row) x = logits ? x - most - std::log(sum) : std::log(clipped_probability(x / sum));
  return row;
}

size_t axis_of(const Attributes& attributes, size_t rank) {
  int64_t axis = attributes.integer("axis");
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

Op categorical_crossentropy() {
  Example::Tensor labels{.shape = {4, 3}, .low = 0, .high = 1}, probabilities{.shape = {4, 3}, .low = 0.1, .high = 1};
  Example::Tensor logits{.shape = {4, 3}, .low = -5, .high = 5};
  return {
      .name = "categorical_crossentropy",
      .family = OpFamily::loss,
      .doc = "loss = -sum of y_true log(p) along `axis`; p = y_pred / sum(y_pred), clipped to [1e-7, 1-1e-7], or "
             "softmax(y_pred) with from_logits.   y_true, y_pred: [batch, ..., classes]   ->   [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {from_logits(), label_smoothing(), {.name = "axis", .type = AttributeType::integer, .default_value = -1}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("categorical_crossentropy");
        check_targets(context, op);
        const Type& y_pred = context.inputs[1];
        size_t axis = checked_axis(context, op, context.attributes.integer("axis"), y_pred.shape.size());
        if (y_pred.shape[axis].is_constant(1))
          fail(context, op, "needs at least two classes but got predictions " + shape_text(y_pred.shape),
               "use binary_crossentropy for one probability");
        Shape shape = y_pred.shape;
        shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
        return {{y_pred.dtype, shape}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor &y_true = inputs[0], &y_pred = inputs[1];
        size_t axis = axis_of(a, y_pred.shape.size());
        auto classes = static_cast<size_t>(y_pred.shape[axis]);
        auto inner = static_cast<size_t>(element_count(std::span<const int64_t>(y_pred.shape).subspan(axis + 1)));
        std::vector<int64_t> shape = y_pred.shape;
        shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
        HostTensor loss = make_tensor(y_pred.dtype, shape);
        for (size_t i = 0; i < loss.data.size(); ++i) {
          size_t first = i / inner * classes * inner + i % inner;
          std::vector<double> row;
          for (size_t k = 0; k < classes; ++k) row.push_back(y_pred.data[first + k * inner]);
          row = log_probabilities(row, a.boolean("from_logits"));
          for (size_t k = 0; k < classes; ++k)
            loss.data[i] -= with_label_smoothing(y_true.data[first + k * inner], a, 1.0 / static_cast<double>(classes)) * row[k];
        }
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1], t = align_target(inputs[0], p);
        auto axis = static_cast<int64_t>(axis_of(a, p.rank()));
        if (a.real("label_smoothing") != 0.0) {
          const Dim& classes = p.dim(static_cast<int>(axis));
          Value share = 1.0 / builder.dim_value(classes, p.type().dtype);
          t = t * (1.0 - a.real("label_smoothing")) + share * a.real("label_smoothing");
        }
        return {-builder.reduce("reduce_sum", t * log_probabilities(p, a.boolean("from_logits"), axis), {axis})};
      },
      .examples = {{.inputs = {labels, probabilities}},
                   {.inputs = {labels, probabilities}, .attributes = {{"label_smoothing", 0.1}}},
                   {.inputs = {labels, logits}, .attributes = {{"from_logits", true}}},
                   {.inputs = {labels, logits}, .attributes = {{"from_logits", true}, {"label_smoothing", 0.3}}},
                   {.inputs = {{{2, 3, 5}, 0, 1}, {{2, 3, 5}, 0.1, 1}}, .attributes = {{"axis", 1}}},
                   {.inputs = {{.shape = {1, 3}, .values = {0, 1, 0}}, {.shape = {1, 3}, .values = {1, 0, 0}}},
                    .differentiable = false}},
  };
}

Op sparse_categorical_crossentropy() {
  Example::Tensor labels{.shape = {4}, .low = 0, .high = 3, .dtype = DType::i32};
  Example::Tensor probabilities{.shape = {4, 3}, .low = 0.1, .high = 1}, logits{.shape = {4, 3}, .low = -5, .high = 5};
  return {
      .name = "sparse_categorical_crossentropy",
      .family = OpFamily::loss,
      .doc = "loss = -log(p[y_true]); p as in categorical_crossentropy.   y_true: [batch, ...] or [batch, ..., 1], class indices "
             "as integers or whole floats   y_pred: [batch, ..., classes]   ->   [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {from_logits(), {.name = "ignore_class", .type = AttributeType::integer, .optional = true, .doc = "unsupported"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("sparse_categorical_crossentropy");
        if (context.attributes.has("ignore_class")) unsupported(context, op, "ignore_class");
        check_class_indices(context, op);
        const Type& y_pred = context.inputs[1];
        return {{y_pred.dtype, Shape(y_pred.shape.begin(), y_pred.shape.end() - 1)}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor &y_true = inputs[0], &y_pred = inputs[1];
        HostTensor loss = make_tensor(y_pred.dtype, without_last(y_pred.shape));
        auto classes = static_cast<std::ptrdiff_t>(y_pred.shape.back());
        for (size_t i = 0; i < loss.data.size(); ++i) {
          auto first = y_pred.data.begin() + static_cast<std::ptrdiff_t>(i) * classes;
          std::vector<double> row = log_probabilities(std::vector<double>(first, first + classes), a.boolean("from_logits"));
          loss.data[i] = -row[static_cast<size_t>(y_true.data[i])];
        }
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1], indices = inputs[0];
        if (!is_integer(indices.type().dtype)) indices = builder.cast(indices, DType::i32);
        indices = builder.reshape(indices, Shape(p.shape().begin(), p.shape().end() - 1));
        int64_t classes = p.dim(-1).constant();
        Value chosen = builder.call("one_hot", {indices},
                                    {{"depth", classes}, {"dtype", std::string(dtype_name(p.type().dtype))}});
        Value log_p = log_probabilities(p, a.boolean("from_logits"), last_axis(p));
        return {-builder.reduce("reduce_sum", chosen * log_p, {last_axis(p)})};
      },
      .examples = {{.inputs = {labels, probabilities}},
                   {.inputs = {labels, logits}, .attributes = {{"from_logits", true}}},
                   {.inputs = {{{2, 3, 1}, 0, 17, DType::i32}, {{2, 3, 17}, 0.1, 1}}},
                   {.inputs = {{.shape = {3}, .values = {2, 0, 1}}, {{3, 4}, 0.1, 1}}, .differentiable = false}},
  };
}

Op categorical_hinge() {
  return {
      .name = "categorical_hinge",
      .family = OpFamily::loss,
      .doc = "loss = max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0), along the last axis.   y_true, y_pred: "
             "[batch, ..., classes]   ->   [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .infer = [](const OpContext& context) { return infer_loss(context, "categorical_hinge"); },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        const HostTensor &t = inputs[0], &p = inputs[1];
        HostTensor loss = make_tensor(p.dtype, without_last(p.shape));
        auto width = static_cast<size_t>(p.shape.back());
        for (size_t row = 0; row < loss.data.size(); ++row) {
          double positive = 0.0, negative = -INFINITY;
          for (size_t i = row * width; i < (row + 1) * width; ++i) {
            positive += t.data[i] * p.data[i];
            negative = std::max(negative, (1.0 - t.data[i]) * p.data[i]);
          }
          loss.data[row] = std::max(negative - positive + 1.0, 0.0);
        }
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        Value p = inputs[1], t = align_target(inputs[0], p);
        Value positive = builder.reduce("reduce_sum", t * p, {last_axis(p)});
        Value negative = builder.reduce("reduce_max", (1.0 - t) * p, {last_axis(p)});
        return {at_least(negative - positive + 1.0, 0.0)};
      },
      .examples = {{.inputs = {{{5, 4}, 0, 1}, {{5, 4}, -1, 1}}}, {.inputs = {{{2, 3, 17}, 0, 1}, {{2, 3, 17}, -1, 1}}}},
  };
}

// Keras turns {0, 1} labels into {-1, 1} if the whole batch is 0 or 1; label by label it is the same for either kind.
double hinge_label(double t) { return t == 0.0 ? -1.0 : t; }
Value hinge_label(Value t) {
  Builder& builder = *t.builder;
  Value zero = builder.constant(0.0, t.type().dtype), minus_one = builder.constant(-1.0, t.type().dtype);
  return builder.select(builder.call("equal", {t, zero}), minus_one, t);
}

std::vector<Example> hinge_examples() {
  return {{.inputs = {{.shape = {3, 2}, .values = {0, 1, 1, 0, 1, 1}}, {{3, 2}, -2, 2}}, .differentiable = false},
          {.inputs = {{.shape = {2, 2}, .values = {-1, 1, 1, -1}}, {{2, 2}, -0.9, 0.9}}, .differentiable = false},
          {.inputs = {{{3, 17}, 0.2, 0.8}, {{3, 17}, -0.9, 0.9}}}};
}

}  // namespace

std::vector<Op> loss_ops() {
  std::vector<Op> ops;
  ops.push_back(pointwise_loss(
      "mean_squared_error", "loss = mean of (y_true - y_pred)^2 over the last axis.   y_true, y_pred: [batch, ..., n] -> [batch, ...]",
      [](double t, double p, const Attributes&) { return (t - p) * (t - p); },
      [](Value t, Value p, const Attributes&) { return call("square", p - t); }, {}, regression_examples()));
  ops.push_back(pointwise_loss(
      "mean_absolute_error", "loss = mean of |y_true - y_pred| over the last axis.   y_true, y_pred: [batch, ..., n] -> [batch, ...]",
      [](double t, double p, const Attributes&) { return std::fabs(t - p); },
      [](Value t, Value p, const Attributes&) { return call("abs", p - t); }, {}, regression_examples()));
  std::vector<Example> huber_examples = regression_examples();
  huber_examples.push_back({.inputs = {{{3, 5}, -4, 4}, {{3, 5}, -4, 4}}, .attributes = {{"delta", 0.5}}});
  ops.push_back(pointwise_loss(
      "huber", "loss = mean of e^2/2 where e = |y_true - y_pred| <= delta, else delta e - delta^2/2, over the last axis",
      huber_element, huber_formula,
      {{.name = "delta", .type = AttributeType::real, .default_value = 1.0, .least = 0}}, huber_examples));
  ops.push_back(pointwise_loss(
      "log_cosh", "loss = mean of log(cosh(y_pred - y_true)) over the last axis.   y_true, y_pred: [batch, ..., n] -> [batch, ...]",
      [](double t, double p, const Attributes&) {
        double e = std::fabs(p - t);  // log(cosh e) = e + log(1 + exp(-2e)) - log 2
        return e + std::log1p(std::exp(-2.0 * e)) - std::log(2.0);
      },
      [](Value t, Value p, const Attributes&) {
        Value error = p - t;
        return error + call("softplus", error * -2.0) - std::log(2.0);
      },
      {}, regression_examples()));
  ops.push_back(pointwise_loss(
      "mean_absolute_percentage_error", "loss = 100 * mean of |y_true - y_pred| / max(|y_true|, 1e-7) over the last axis",
      [](double t, double p, const Attributes&) { return 100.0 * std::fabs(t - p) / std::max(std::fabs(t), epsilon); },
      [](Value t, Value p, const Attributes&) { return 100.0 * (call("abs", t - p) / at_least(call("abs", t), epsilon)); }, {},
      regression_examples(0.5, 2.0)));
  ops.push_back(pointwise_loss(
      "mean_squared_logarithmic_error",
      "loss = mean of (log(1 + max(y_true, 1e-7)) - log(1 + max(y_pred, 1e-7)))^2 over the last axis",
      [](double t, double p, const Attributes&) {
        double error = std::log1p(std::max(t, epsilon)) - std::log1p(std::max(p, epsilon));
        return error * error;
      },
      [](Value t, Value p, const Attributes&) {
        return call("square", call("log1p", at_least(p, epsilon)) - call("log1p", at_least(t, epsilon)));
      },
      {}, regression_examples(0.1, 3.0)));
  ops.push_back(pointwise_loss(
      "poisson", "loss = mean of y_pred - y_true log(y_pred + 1e-7) over the last axis",
      [](double t, double p, const Attributes&) { return p - t * std::log(p + epsilon); },
      [](Value t, Value p, const Attributes&) { return p - t * call("log", p + epsilon); }, {}, regression_examples(0.1, 3.0)));
  ops.push_back(pointwise_loss(
      "kl_divergence", "loss = sum of y_true log(y_true / y_pred) over the last axis, both clipped to [1e-7, 1]",
      [](double t, double p, const Attributes&) {
        t = std::clamp(t, epsilon, 1.0), p = std::clamp(p, epsilon, 1.0);
        return t * std::log(t / p);
      },
      [](Value t, Value p, const Attributes&) {
        t = at_most(at_least(t, epsilon), 1.0), p = at_most(at_least(p, epsilon), 1.0);
        return t * call("log", t / p);
      },
      {}, regression_examples(0.1, 0.9), true));
  ops.push_back(pointwise_loss(
      "hinge", "loss = mean of max(1 - y_true y_pred, 0) over the last axis; labels -1 and 1, where 0 counts as -1",
      [](double t, double p, const Attributes&) { return std::max(1.0 - hinge_label(t) * p, 0.0); },
      [](Value t, Value p, const Attributes&) { return at_least(1.0 - hinge_label(t) * p, 0.0); }, {}, hinge_examples()));
  ops.push_back(pointwise_loss(
      "squared_hinge", "loss = mean of max(1 - y_true y_pred, 0)^2 over the last axis; labels -1 and 1, where 0 counts as -1",
      [](double t, double p, const Attributes&) { return std::pow(std::max(1.0 - hinge_label(t) * p, 0.0), 2); },
      [](Value t, Value p, const Attributes&) { return call("square", at_least(1.0 - hinge_label(t) * p, 0.0)); }, {},
      hinge_examples()));
  ops.push_back(categorical_hinge());
  ops.push_back(pointwise_loss(
      "binary_crossentropy",
      "loss = mean of -(y_true log(p) + (1 - y_true) log(1 - p)) over the last axis; p = y_pred clipped to [1e-7, 1-1e-7], or "
      "sigmoid(y_pred) with from_logits, then computed as max(x, 0) - x y_true + log(1 + exp(-|x|))",
      binary_element, binary_formula,
      {from_logits(), label_smoothing(),
       {.name = "axis", .type = AttributeType::integer, .default_value = -1, .least = -1, .most = -1}},
      binary_examples()));
  ops.push_back(categorical_crossentropy());
  ops.push_back(sparse_categorical_crossentropy());
  return ops;
}

}  // namespace moru
