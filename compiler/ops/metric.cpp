// Metrics. `metric_x` maps a batch to increments of its f64 state, which are added up over the batches; `metric_x_result`
// maps the state to the number that is shown. So a metric's epoch value does not depend on how samples were batched.
#include "compiler/ops/metric.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"

namespace moru {

std::vector<InputSpec> metric_inputs() { return {{"y_true"}, {"y_pred"}, {.name = "sample_weight", .optional = true}}; }

std::vector<InputSpec> masked_metric_inputs() {
  std::vector<InputSpec> inputs = metric_inputs();
  inputs.push_back(mask_input());
  return inputs;
}

void check_metric_mask(const OpContext& context, const Op& op, const Shape& values) {
  if (!has_input(context, 3)) return;
  const Shape& mask = context.inputs[3].shape;
  if (mask.empty() || mask.size() > values.size() || !std::equal(mask.begin(), mask.end(), values.begin()))
    fail(context, op, "gives values " + shape_text(values) + ", which the mask " + shape_text(mask) + " of the predictions does not fit");
}

void check_metric_weight(const OpContext& context, const Op& op, size_t index) {
  const Shape& values = context.inputs[0].shape;
  if (values.empty()) fail(context, op, "needs values [batch, ...] but got a scalar");
  if (has_input(context, index) && context.inputs[index].shape != Shape{values[0]})
    fail(context, op, "needs a sample weight " + shape_text({values[0]}) + " but got " + shape_text(context.inputs[index].shape));
}

// ---- weighted means: states are the sum of value * weight and the sum of weights ----

namespace {

// Each sample's mean over all axes but the first, in f64: Keras' reduce_to_samplewise_values. One number for the whole
// batch counts as one sample.
Value samplewise(Value values) {
  Builder& builder = *values.builder;
  if (values.rank() == 0) values = builder.reshape(values, {1});
  std::vector<int64_t> axes;
  for (size_t axis = 1; axis < values.rank(); ++axis) axes.push_back(static_cast<int64_t>(axis));
  return builder.reduce("reduce_mean", builder.cast(values, DType::f64), axes);
}

}  // namespace

std::vector<Value> mean_increments(Value values, Value weight, Value mask) {
  Builder& builder = *values.builder;
  if (mask) {
    const Value real = builder.cast(mask_like(mask, values), DType::f64);
    const Value count = samplewise(real);
    const Value each = samplewise(builder.cast(values, DType::f64) * real);
    const Value by = weight ? builder.cast(weight, DType::f64) : Value{};
    return {builder.reduce("reduce_sum", by ? each * by : each, {0}), builder.reduce("reduce_sum", by ? count * by : count, {0})};
  }
  Value each = samplewise(values);
  if (!weight) return {builder.reduce("reduce_sum", each, {0}), builder.dim_value(each.dim(0), DType::f64)};
  weight = builder.cast(weight, DType::f64);
  return {builder.reduce("reduce_sum", each * weight, {0}), builder.reduce("reduce_sum", weight, {0})};
}

std::vector<HostTensor> mean_increments(const HostTensor& values, const HostTensor* weight, const HostTensor* mask) {
  HostTensor total = make_tensor(DType::f64, {}), count = total;
  if (values.shape.empty()) {  // one number for the whole batch
    for (double w : weight ? weight->data : std::vector<double>{1.0}) {
      total.data[0] += w * values.data[0];
      count.data[0] += w;
    }
    return {total, count};
  }
  auto batch = static_cast<size_t>(values.shape[0]);
  size_t width = batch == 0 ? 0 : values.data.size() / batch;
  const size_t steps = mask && batch > 0 ? mask->data.size() / batch : width;
  for (size_t i = 0; i < batch; ++i) {
    double w = weight ? weight->data[i] : 1.0;
    for (size_t k = 0; k < width; ++k) {
      const double real = mask ? mask->data[i * steps + k / (width / steps)] : 1.0;
      total.data[0] += w * real * values.data[i * width + k] / static_cast<double>(width);
      if (mask) count.data[0] += w * real / static_cast<double>(width);
    }
    if (!mask) count.data[0] += w;
  }
  return {total, count};
}

std::vector<Type> mean_states() { return {{DType::f64, {}}, {DType::f64, {}}}; }

Op mean_result(std::string_view name, std::vector<AttributeSpec> attributes, bool root) {
  return {
      .name = name,
      .family = OpFamily::metric,
      .doc = root ? "sqrt(total / count), 0 if count is 0.   total, count: f64[] -> f64[]"
                  : "total / count, 0 if count is 0.   total, count: f64[] -> f64[]",
      .inputs = {{"total"}, {"count"}},
      .attributes = std::move(attributes),
      .infer = [](const OpContext&) -> std::vector<Type> { return {{DType::f64, {}}}; },
      .reference = [root](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        HostTensor y = make_tensor(DType::f64, {});
        if (inputs[1].data[0] != 0.0) y.data[0] = inputs[0].data[0] / inputs[1].data[0];
        if (root) y.data[0] = std::sqrt(y.data[0]);
        return {y};
      },
      .expand = [root](Builder& builder, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        Value zero = builder.constant(0.0, DType::f64), one = builder.constant(1.0, DType::f64);
        Value empty = builder.call("equal", {inputs[1], zero});
        Value mean = builder.select(empty, zero, inputs[0] / builder.select(empty, one, inputs[1]));
        return {root ? builder.call("sqrt", {mean}) : mean};
      },
      .differentiable = false,
      .examples = {{.inputs = {{.shape = {}, .dtype = DType::f64, .values = {7.5}}, {.shape = {}, .dtype = DType::f64, .values = {4}}},
                    .differentiable = false},
                   {.inputs = {{.shape = {}, .low = 1, .high = 9, .dtype = DType::f64}, {.shape = {}, .low = 1, .high = 9, .dtype = DType::f64}},
                    .differentiable = false}},
  };
}

Value divide_or_zero(Value x, Value by) {
  Builder& b = *x.builder;
  DType dtype = x.type().dtype;
  Value none = b.call("equal", {by, b.constant(0.0, dtype)});
  return b.select(none, b.constant(0.0, dtype), x / b.select(none, b.constant(1.0, dtype), by));
}

double divide_or_zero(double x, double by) { return by == 0.0 ? 0.0 : x / by; }

Value weight_of_elements(Value weight, const Shape& shape) {
  if (!weight) return {};
  Builder& b = *weight.builder;
  Shape column(shape.size(), Dim(1));
  column[0] = shape[0];
  return b.broadcast_to(b.reshape(b.cast(weight, DType::f64), column), shape);
}

// An element is among the k greatest if fewer than k are greater, or equal and before it.
Value among_greatest(Value x, int64_t k) {
  Builder& b = *x.builder;
  const Dim columns = x.dim(-1);
  Shape across = x.shape(), down = x.shape();
  across.insert(across.end() - 1, Dim(1));
  down.push_back(Dim(1));
  Value other = b.reshape(x, across), own = b.reshape(x, down);
  Shape square = {columns, columns};
  auto number = [&](int64_t axis) { return b.call("iota", {}, {{"shape", square}, {"axis", axis}}); };
  Value before = b.call("less", {number(1), number(0)});
  Value equal = b.call("logical_and", {b.call("equal", {other, own}), before});
  Value ahead = b.cast(b.call("logical_or", {b.call("greater", {other, own}), equal}), x.type().dtype);
  Value count = b.reduce("reduce_sum", ahead, {static_cast<int64_t>(ahead.rank()) - 1});
  return b.call("less", {count, b.constant(static_cast<double>(k), x.type().dtype)});
}

namespace {

// True for a loss that sums over some axes and the batch among them, so that there is nothing to weigh.
bool sums_samples(const Attributes& attributes) {
  const AttributeValue* axis = attributes.find("axis");
  const auto* axes = axis ? std::get_if<std::vector<int64_t>>(&axis->value) : nullptr;
  return axes && std::find(axes->begin(), axes->end(), 0) != axes->end();
}

}  // namespace

std::vector<Example> weighted_examples(std::vector<Example> examples) {
  size_t unweighted = examples.size();
  for (size_t i = 0; i < unweighted; ++i) {
    Example example = examples[i];
    if (sums_samples(example.attributes)) continue;
    example.inputs.push_back({.shape = {example.inputs[0].shape[0]}, .low = 0.5, .high = 2});
    examples.push_back(std::move(example));
  }
  for (Example& example : examples) example.differentiable = false;
  return examples;
}

std::vector<Example> masked_examples(std::vector<Example> examples) {
  examples = weighted_examples(std::move(examples));
  const size_t unmasked = examples.size();
  for (size_t i = 0; i < unmasked; ++i) {
    Example example = examples[i];
    std::vector<int64_t> shape = example.inputs[1].shape;
    if (shape.size() != 3 || sums_samples(example.attributes) || example.attributes.has("axis")) continue;
    shape.resize(2);
    if (example.inputs.size() < 3) example.inputs.push_back({.shape = {}, .absent = true});
    example.inputs.push_back({.shape = shape, .dtype = DType::boolean, .values = {1, 1, 0, 1, 0, 1, 1}});
    examples.push_back(std::move(example));
  }
  for (Example& example : examples) example.differentiable = false;
  return examples;
}

namespace {

// False for losses of whole sequences and for those that sum over all axes unless told otherwise.
bool gives_steps(const Op& loss) {
  return loss.name != "ctc" && std::ranges::none_of(loss.attributes, [](const AttributeSpec& s) { return s.name == "axis" && s.optional; });
}

// The mean of a loss over the samples.
Op loss_metric(std::string_view name, std::string_view loss, const Op& loss_op) {
  return {
      .name = name,
      .family = OpFamily::metric,
      .doc = "The loss of the same name as a metric: sum of value * weight and sum of weights.   y_true, y_pred as the loss has "
             "them, sample_weight: [batch], mask: [batch, steps...] -> f64[], f64[]",
      .inputs = masked_metric_inputs(),
      .attributes = loss_op.attributes,
      .infer = [name, loss](const OpContext& context) -> std::vector<Type> {
        check_metric_weight(context, get_op(name), 2);
        OpContext of_loss{context.inputs.first(2), context.present.first(2), context.attributes, {}, context.node};
        const Shape values = get_op(loss).infer(of_loss).at(0).shape;
        if (has_input(context, 2) && !values.empty() && values[0] != context.inputs[0].shape[0])
          fail(context, get_op(name), "cannot be weighted, since it gives " + shape_text(values) + " for the whole batch",
               "leave the batch out of its 'axis'");
        check_metric_mask(context, get_op(name), values);
        return mean_states();
      },
      .reference = [loss](std::span<const HostTensor> inputs, const Attributes& a) {
        return mean_increments(get_op(loss).reference(inputs.first(2), a).at(0), find_input(inputs, 2), find_input(inputs, 3));
      },
      .expand = [loss](Builder& builder, std::span<const Value> inputs, const Attributes& a) {
        return mean_increments(get_op(loss).expand(builder, inputs.first(2), a).at(0), find_input(inputs, 2), find_input(inputs, 3));
      },
      .differentiable = false,
      .examples = gives_steps(loss_op) ? masked_examples(loss_op.examples) : weighted_examples(loss_op.examples),
  };
}

// ---- sum and mean of given values ----

Op sum_metric() {
  return {
      .name = "metric_sum",
      .family = OpFamily::metric,
      .doc = "Sum of y_pred * weight over everything.   y_true: not read, y_pred: [batch, ...], sample_weight: [batch] -> f64[]",
      .inputs = metric_inputs(),
      .infer = [](const OpContext& context) -> std::vector<Type> {
        check_metric_weight(context, get_op("metric_sum"), 2);
        return {{DType::f64, {}}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        const HostTensor &values = inputs[1], *weight = find_input(inputs, 2);
        size_t width = values.shape[0] == 0 ? 1 : values.data.size() / static_cast<size_t>(values.shape[0]);
        HostTensor total = make_tensor(DType::f64, {});
        for (size_t i = 0; i < values.data.size(); ++i) total.data[0] += values.data[i] * (weight ? weight->data[i / width] : 1.0);
        return {total};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        Value values = b.cast(inputs[1], DType::f64), weight = weight_of_elements(find_input(inputs, 2), values.shape());
        std::vector<int64_t> axes;
        for (size_t axis = 0; axis < values.rank(); ++axis) axes.push_back(static_cast<int64_t>(axis));
        return {b.reduce("reduce_sum", weight ? values * weight : values, axes)};
      },
      .differentiable = false,
      .examples = weighted_examples({{.inputs = {{{7}}, {{7}}}}, {.inputs = {{{3, 17}}, {{3, 17}}}}}),
  };
}

Op sum_result() {
  return {
      .name = "metric_sum_result",
      .family = OpFamily::metric,
      .doc = "The sum itself.   total: f64[] -> f64[]",
      .inputs = {{"total"}},
      .infer = [](const OpContext&) -> std::vector<Type> { return {{DType::f64, {}}}; },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> { return {inputs[0]}; },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> { return {inputs[0] * 1.0}; },
      .differentiable = false,
      .examples = {{.inputs = {{.shape = {}, .dtype = DType::f64, .values = {7.5}}}, .differentiable = false}},
  };
}

Op mean_metric() {
  return {
      .name = "metric_mean",
      .family = OpFamily::metric,
      .doc = "Sum of value * weight and sum of weights, each sample's value being the mean over its axes.   values: [batch, ...], "
             "sample_weight: [batch] -> f64[], f64[]",
      .inputs = {{"values"}, {.name = "sample_weight", .optional = true}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        check_metric_weight(context, get_op("metric_mean"), 1);
        return mean_states();
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) {
        return mean_increments(inputs[0], find_input(inputs, 1));
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes&) {
        return mean_increments(inputs[0], find_input(inputs, 1));
      },
      .differentiable = false,
      .examples = weighted_examples({{.inputs = {{{7}}}}, {.inputs = {{{3, 17}}}}}),
  };
}

// ---- root mean squared error: samples are averaged before the root is taken ----

Op root_mean_squared_error() {
  return {
      .name = "metric_rmse",
      .family = OpFamily::metric,
      .doc = "Sum of weight * mean of (y_pred - y_true)^2 over a sample, and sum of weights; the result is the root of their "
             "quotient.   y_true, y_pred: [batch, ...], sample_weight: [batch] -> f64[], f64[]",
      .inputs = metric_inputs(),
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("metric_rmse");
        check_metric_weight(context, op, 2);
        check_targets(context, op);
        return mean_states();
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) {
        HostTensor squares = inputs[1];
        for (size_t i = 0; i < squares.data.size(); ++i) squares.data[i] = std::pow(squares.data[i] - inputs[0].data[i], 2);
        return mean_increments(squares, find_input(inputs, 2));
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes&) {
        Value error = inputs[1] - align_target(inputs[0], inputs[1]);
        return mean_increments(builder.call("square", {error}), find_input(inputs, 2));
      },
      .differentiable = false,
      .examples = weighted_examples({{.inputs = {{{5, 3}}, {{5, 3}}}}, {.inputs = {{{9}}, {{9, 1}}}}, {.inputs = {{{2, 3, 17}}, {{2, 3, 17}}}}}),
  };
}

// ---- R^2 ----

// [batch] becomes [batch, 1]
Shape as_columns(const Shape& shape) { return shape.size() == 1 ? Shape{shape[0], 1} : shape; }

Op r2() {
  return {
      .name = "metric_r2",
      .family = OpFamily::metric,
      .doc = "Weighted sums of y, y^2 and (y - y_pred)^2 and the sum of weights, for each output column.   y_true, y_pred: "
             "[batch, columns] or [batch], sample_weight: [batch] -> four times f64[columns]",
      .inputs = metric_inputs(),
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("metric_r2");
        check_metric_weight(context, op, 2);
        check_targets(context, op);
        const Shape& y_pred = context.inputs[1].shape;
        if (y_pred.size() > 2 || !as_columns(y_pred)[1].is_constant())
          fail(context, op, "needs predictions [batch, columns] but got " + shape_text(y_pred));
        return std::vector<Type>(4, {DType::f64, {as_columns(y_pred)[1]}});
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        const HostTensor &t = inputs[0], &p = inputs[1], *weight = find_input(inputs, 2);
        auto batch = static_cast<size_t>(p.shape[0]);
        size_t columns = p.shape.size() == 1 ? 1 : static_cast<size_t>(p.shape[1]);
        std::vector<HostTensor> states(4, make_tensor(DType::f64, {static_cast<int64_t>(columns)}));
        for (size_t i = 0; i < batch * columns; ++i) {
          double w = weight ? weight->data[i / columns] : 1.0;
          double increments[] = {w * t.data[i], w * t.data[i] * t.data[i], w * std::pow(t.data[i] - p.data[i], 2), w};
          for (size_t k = 0; k < 4; ++k) states[k].data[i % columns] += increments[k];
        }
        return states;
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        Shape shape = as_columns(inputs[1].shape());
        Value p = builder.reshape(builder.cast(inputs[1], DType::f64), shape);
        Value t = builder.reshape(builder.cast(align_target(inputs[0], inputs[1]), DType::f64), shape);
        Value weight = find_input(inputs, 2);
        weight = weight ? builder.reshape(builder.cast(weight, DType::f64), {shape[0], 1}) : Value{};
        auto sum = [&](Value x) { return builder.reduce("reduce_sum", weight ? x * weight : x, {0}); };
        Value count = weight ? builder.reduce("reduce_sum", builder.broadcast_to(weight, shape), {0})
                             : builder.broadcast_to(builder.reshape(builder.dim_value(shape[0], DType::f64), {1}), {shape[1]});
        return {sum(t), sum(builder.call("square", {t})), sum(builder.call("square", {t - p})), count};
      },
      .differentiable = false,
      .examples = weighted_examples({{.inputs = {{{5, 3}}, {{5, 3}}}}, {.inputs = {{{9}}, {{9, 1}}}}, {.inputs = {{{17}}, {{17}}}}}),
  };
}

Op r2_result() {
  Example::Tensor sum{.shape = {3}, .low = -2, .high = 2, .dtype = DType::f64};
  Example::Tensor squares{.shape = {3}, .low = 4, .high = 9, .dtype = DType::f64}, residual = squares;
  Example::Tensor count{.shape = {3}, .dtype = DType::f64, .values = {5, 5, 5}};
  return {
      .name = "metric_r2_result",
      .family = OpFamily::metric,
      .doc = "Mean over the columns of 1 - residual / (squares - sum^2 / count); a column whose y is constant counts 0.   "
             "sum, squares, residual, count: f64[columns] -> f64[]",
      .inputs = {{"sum"}, {"squares"}, {"residual"}, {"count"}},
      .infer = [](const OpContext&) -> std::vector<Type> { return {{DType::f64, {}}}; },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        HostTensor y = make_tensor(DType::f64, {});
        size_t columns = inputs[0].data.size();
        for (size_t k = 0; k < columns; ++k) {
          double total = inputs[1].data[k] - inputs[0].data[k] * (inputs[0].data[k] / inputs[3].data[k]);
          double score = 1.0 - inputs[2].data[k] / total;
          y.data[0] += (std::isinf(score) ? 0.0 : score) / static_cast<double>(columns);
        }
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        Value total = inputs[1] - inputs[0] * (inputs[0] / inputs[3]);
        Value score = 1.0 - inputs[2] / total;
        Value limit = builder.constant(std::numeric_limits<double>::max(), DType::f64);
        Value infinite = builder.call("greater", {builder.call("abs", {score}), limit});
        return {builder.reduce("reduce_mean", builder.select(infinite, builder.constant(0.0, DType::f64), score), {0})};
      },
      .differentiable = false,
      .examples = {{.inputs = {sum, squares, residual, count}, .differentiable = false},
                   {.inputs = {{.shape = {2}, .dtype = DType::f64, .values = {2, 3}}, {.shape = {2}, .dtype = DType::f64, .values = {4, 9}},
                               {.shape = {2}, .dtype = DType::f64, .values = {1, 2}}, {.shape = {2}, .dtype = DType::f64, .values = {1, 4}}},
                    .differentiable = false}},
  };
}

// Op names are views, so the names that are made of the losses' live here.
std::string_view kept(std::string name) {
  static std::set<std::string> names;
  return *names.insert(std::move(name)).first;
}

// "metric_mse" and "metric_mae" have short names; the others that of the loss.
std::string metric_of(std::string_view loss) {
  if (loss == "mean_squared_error") return "metric_mse";
  if (loss == "mean_absolute_error") return "metric_mae";
  return "metric_" + std::string(loss);
}

}  // namespace

std::vector<Op> metric_ops() {
  std::vector<Op> ops;
  for (Op& loss : loss_ops()) {
    if (loss.name == "cosine_similarity") continue;  // the metric has the other sign
    std::erase_if(loss.attributes, [](const AttributeSpec& a) { return a.name == "reduction"; });
    ops.push_back(loss_metric(kept(metric_of(loss.name)), loss.name, loss));
    ops.push_back(mean_result(kept(metric_of(loss.name) + "_result"), loss.attributes));
  }
  ops.push_back(mean_metric());
  ops.push_back(mean_result("metric_mean_result", {}));
  ops.push_back(root_mean_squared_error());
  ops.push_back(mean_result("metric_rmse_result", {}, true));

  ops.push_back(sum_metric());
  ops.push_back(sum_result());
  for (auto family : {accuracy_metrics, correlation_metrics, confusion_metrics, overlap_metrics})
    for (Op& op : family()) ops.push_back(std::move(op));
  ops.push_back(r2());
  ops.push_back(r2_result());
  return ops;
}

}  // namespace moru
