// Losses, as Keras' functions: (y_true, y_pred) -> one value for each sample (and step), the last axis reduced. Means over
// the batch, weights and sums over outputs are added by passes/make_entries. Gradients come through the expansion.
#include "compiler/ops/loss.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/ops/layer.h"

namespace moru {

namespace {

Shape aligned_target(const Shape& y_true, const Shape& y_pred) {
  Shape shape = y_true;
  if (shape.size() + 1 == y_pred.size() && y_pred.back().is_constant(1)) shape.push_back(1);
  if (shape.size() == y_pred.size() + 1 && shape.back().is_constant(1)) shape.pop_back();
  return shape;
}

}  // namespace

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
  if (y_pred.shape.size() < 2)
    fail(context, op, "needs predictions [batch, ..., classes] but got " + shape_text(y_pred.shape));
  int64_t axis = context.attributes.has("axis") ? context.attributes.integer("axis") : -1;
  size_t place = checked_axis(context, op, axis, y_pred.shape.size());
  if (!y_pred.shape[place].is_constant())
    fail(context, op, "needs predictions [batch, ..., classes] but got " + shape_text(y_pred.shape));
  Shape without = without_axis(y_pred, place).shape, with_one = y_pred.shape;
  with_one[place] = Dim(1);
  if (y_true.shape != without && y_true.shape != with_one)
    fail(context, op, "needs class indices " + shape_text(without) + " for the predictions " + shape_text(y_pred.shape) +
                          " but got " + shape_text(y_true.shape),
         y_true.shape == y_pred.shape ? "one-hot targets go with categorical_crossentropy" : "");
}

Value align_target(Value y_true, Value y_pred) {
  Builder& builder = *y_pred.builder;
  return builder.reshape(builder.cast(y_true, y_pred.type().dtype), aligned_target(y_true.shape(), y_pred.shape()));
}

std::optional<Type> index_target(std::string_view loss, const Attributes& attributes, const Type& y_pred) {
  if (y_pred.shape.size() < 2) return std::nullopt;
  if (std::optional<Type> sequence = sequence_target(loss, y_pred)) return sequence;
  if (loss == "circle") return Type{DType::i32, {y_pred.shape[0]}};
  if (loss != "sparse_categorical_crossentropy" && loss != "categorical_generalized_cross_entropy") return std::nullopt;
  size_t axis = loss_axis(attributes, y_pred.shape.size());
  if (axis >= y_pred.shape.size()) return std::nullopt;  // infer says what is wrong
  return Type{DType::i32, without_axis(y_pred, axis).shape};
}

int64_t class_count(std::string_view loss, const Attributes& attributes, const Type& y_pred) {
  if (loss == "ctc" && y_pred.shape.size() == 3 && y_pred.shape[2].is_constant()) return y_pred.shape[2].constant();
  if (!index_target(loss, attributes, y_pred) || loss == "circle" || attributes.has("ignore_class")) return 0;
  const Dim& classes = y_pred.shape[loss_axis(attributes, y_pred.shape.size())];
  return classes.is_constant() ? classes.constant() : 0;
}

Value reduce_loss(Value values, Value weight, Value mask, std::string_view reduction) {
  Builder& builder = *values.builder;
  DType dtype = values.type().dtype;
  auto sum = [&](Value x) {
    std::vector<int64_t> axes(x.rank());
    std::iota(axes.begin(), axes.end(), 0);
    return axes.empty() ? x : builder.reduce("reduce_sum", x, axes);
  };
  auto count = [&](Value x) { return builder.dim_value(element_count(x.shape()), dtype); };
  // Where nothing is counted the loss is 0, as with Keras' divide_no_nan.
  auto divide = [&](Value x, Value by) {
    Value none = builder.call("equal", {by, builder.constant(0.0, dtype)}), one = builder.constant(1.0, dtype);
    return builder.select(none, builder.constant(0.0, dtype), x / builder.select(none, one, by));
  };
  if (weight) {
    Shape aligned(std::max<size_t>(values.rank(), 1), Dim(1));
    for (size_t i = 0; i < weight.rank(); ++i) aligned[i] = weight.shape()[i];
    weight = builder.reshape(builder.cast(weight, dtype), aligned);
  }
  Value valid;
  if (mask) {
    valid = builder.cast(mask, dtype);
    weight = weight ? weight * valid : valid;
  }
  if (weight) values = values * weight;
  Value total = sum(values);
  if (reduction == "sum" || reduction == "none" || values.rank() == 0) return total;
  if (reduction == "mean_with_sample_weight" && weight) return divide(total, sum(weight));
  if (!valid || reduction == "mean_with_sample_weight") return total / count(values);
  // The mean of what is not masked.
  return divide(total, valid.shape() == values.shape() ? sum(valid) : sum(valid) * (count(values) / count(valid)));
}

Value clipped_probability(Value p) { return at_most(at_least(p, keras_epsilon), 1.0 - keras_epsilon); }
double clipped_probability(double p) { return std::clamp(p, keras_epsilon, 1.0 - keras_epsilon); }

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
AttributeSpec class_axis() { return {.name = "axis", .type = AttributeType::integer, .default_value = -1}; }

size_t loss_axis(const Attributes& attributes, size_t rank) {
  int64_t axis = attributes.has("axis") ? attributes.integer("axis") : -1;
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

Type without_axis(const Type& type, size_t axis) {
  Type out = type;
  out.shape.erase(out.shape.begin() + static_cast<std::ptrdiff_t>(axis));
  return out;
}

HostTensor loss_tensor(const HostTensor& y_pred, size_t axis) {
  std::vector<int64_t> shape = y_pred.shape;
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  return make_tensor(y_pred.dtype, shape);
}

void for_each_loss_row(const HostTensor& y_pred, size_t axis,
                       const std::function<void(size_t at, std::span<const size_t> elements)>& use) {
  auto width = static_cast<size_t>(y_pred.shape[axis]);
  auto inner = static_cast<size_t>(element_count(std::span<const int64_t>(y_pred.shape).subspan(axis + 1)));
  std::vector<size_t> row(width);
  size_t rows = width == 0 ? 0 : y_pred.data.size() / width;
  for (size_t at = 0; at < rows; ++at) {
    for (size_t k = 0; k < width; ++k) row[k] = at / inner * width * inner + at % inner + k * inner;
    use(at, row);
  }
}

namespace {

constexpr double epsilon = keras_epsilon;

std::vector<Type> infer_loss(const OpContext& context, std::string_view name) {
  const Op& op = get_op(name);
  check_targets(context, op);
  const Type& y_pred = context.inputs[1];
  int64_t axis = context.attributes.has("axis") ? context.attributes.integer("axis") : -1;
  return {without_axis(y_pred, checked_axis(context, op, axis, y_pred.shape.size()))};
}

using ElementFn = double (*)(double y_true, double y_pred, const Attributes&);
using FormulaFn = Value (*)(Value y_true, Value y_pred, const Attributes&);

// A loss that is a mean (or sum) along `axis`, where it has that attribute, or else the last, of something elementwise.
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
        HostTensor loss = loss_tensor(inputs[1], loss_axis(a, inputs[1].shape.size()));
        for_each_loss_row(inputs[1], loss_axis(a, inputs[1].shape.size()), [&](size_t at, std::span<const size_t> row) {
          for (size_t i : row) loss.data[at] += element(inputs[0].data[i], inputs[1].data[i], a);
          if (!sum) loss.data[at] /= static_cast<double>(row.size());
        });
        return {loss};
      },
      .expand = [formula, sum](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value each = formula(align_target(inputs[0], inputs[1]), inputs[1], a);
        return {builder.reduce(sum ? "reduce_sum" : "reduce_mean", each, {static_cast<int64_t>(loss_axis(a, each.rank()))})};
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

Value with_label_smoothing(Value y_true, const Attributes& a, double towards) {
  double smoothing = a.real("label_smoothing");
  return smoothing == 0.0 ? y_true : y_true * (1.0 - smoothing) + smoothing * towards;
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
  // Both terms are exact where their label is right, and smooth at 0, where max(p, 0) has no derivative.
  if (a.boolean("from_logits")) return t * call("softplus", -p) + (1.0 - t) * call("softplus", p);
  p = clipped_probability(p);
  return -(t * call("log", p) + (1.0 - t) * call("log", 1.0 - p));
}

// Lin et al. 2017, "Focal loss for dense object detection": what is already certain weighs less.
double binary_focal_element(double t, double p, const Attributes& a) {
  t = with_label_smoothing(t, a, 0.5);
  if (a.boolean("from_logits")) p = 1.0 / (1.0 + std::exp(-p));
  double clipped = clipped_probability(p), missing = 1.0 - (t * p + (1.0 - t) * (1.0 - p));
  double loss = -(t * std::log(clipped) + (1.0 - t) * std::log(1.0 - clipped)) * std::pow(std::max(missing, 0.0), a.real("gamma"));
  return a.boolean("apply_class_balancing") ? loss * (t * a.real("alpha") + (1.0 - t) * (1.0 - a.real("alpha"))) : loss;
}

Value binary_focal_formula(Value t, Value p, const Attributes& a) {
  Builder& builder = *p.builder;
  t = with_label_smoothing(t, a, 0.5);
  if (a.boolean("from_logits")) p = call("sigmoid", p);
  Value q = clipped_probability(p);
  Value entropy = -(t * call("log", q) + (1.0 - t) * call("log", 1.0 - q));
  Value missing = at_least(1.0 - (t * p + (1.0 - t) * (1.0 - p)), 0.0);
  Value loss = builder.call("power", {missing, builder.constant(a.real("gamma"), p.type().dtype)}) * entropy;
  return a.boolean("apply_class_balancing") ? loss * (t * a.real("alpha") + (1.0 - t) * (1.0 - a.real("alpha"))) : loss;
}

std::vector<Example> binary_focal_examples() {
  Example::Tensor labels{.shape = {3, 5}, .low = 0, .high = 1}, probabilities{.shape = {3, 5}, .low = 0.05, .high = 0.95};
  Example::Tensor logits{.shape = {3, 5}, .low = -4, .high = 4};
  return {{.inputs = {labels, probabilities}},
          {.inputs = {labels, probabilities}, .attributes = {{"apply_class_balancing", true}, {"alpha", 0.7}, {"gamma", 1.5}}},
          {.inputs = {labels, logits}, .attributes = {{"from_logits", true}, {"label_smoothing", 0.1}}},
          {.inputs = {{{2, 3, 17}, 0, 1}, {{2, 3, 17}, 0.1, 0.9}}, .attributes = {{"axis", 1}}},
          {.inputs = {{.shape = {2, 2}, .values = {0, 1, 1, 0}}, {.shape = {2, 2}, .values = {0, 1, 0, 1}}}, .differentiable = false}};
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
      {.inputs = {{{2, 3, 17}, 0, 1}, {{2, 3, 17}, 0.1, 0.9}}, .attributes = {{"axis", 1}}},
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
  ops.push_back(pointwise_loss(
      "binary_crossentropy",
      "loss = mean of -(y_true log(p) + (1 - y_true) log(1 - p)) over the last axis; p = y_pred clipped to [1e-7, 1-1e-7], or "
      "sigmoid(y_pred) with from_logits, then computed as y_true softplus(-y_pred) + (1 - y_true) softplus(y_pred)",
      binary_element, binary_formula,
      {from_logits(), label_smoothing(), class_axis()}, binary_examples()));
  ops.push_back(pointwise_loss(
      "binary_focal_crossentropy",
      "loss = mean of (1 - p_t)^gamma times the binary cross-entropy along `axis`; p = y_pred, or sigmoid(y_pred) with "
      "from_logits, p_t = y_true p + (1 - y_true)(1 - p); with apply_class_balancing also times y_true alpha + (1 - y_true)(1 - "
      "alpha) (Lin et al. 2017).   y_true, y_pred: [batch, ..., n] -> [batch, ...]",
      binary_focal_element, binary_focal_formula,
      {{.name = "apply_class_balancing", .type = AttributeType::boolean, .default_value = false},
       {.name = "alpha", .type = AttributeType::real, .default_value = 0.25, .least = 0, .most = 1},
       {.name = "gamma", .type = AttributeType::real, .default_value = 2.0, .least = 0},
       from_logits(), label_smoothing(), class_axis()},
      binary_focal_examples()));
  for (auto family : {categorical_losses, similarity_losses, sequence_losses})
    for (Op& op : family()) ops.push_back(std::move(op));
  for (Op& op : ops)
    op.attributes.push_back({.name = "reduction",
                             .type = AttributeType::string,
                             .default_value = "sum_over_batch_size",
                             .choices = {"sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"},
                             .doc = "what training makes of the samples' losses; see passes/make_entries.h"});
  return ops;
}

}  // namespace moru
