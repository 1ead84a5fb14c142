// Losses over classes: cross-entropies of one-hot targets and of class indices, and the hinge of several classes.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"

namespace moru {

namespace {

int64_t axis_of(const Attributes& a, Value p) { return static_cast<int64_t>(loss_axis(a, p.rank())); }

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

std::vector<double> elements_of(const HostTensor& x, std::span<const size_t> row) {
  std::vector<double> elements;
  for (size_t i : row) elements.push_back(x.data[i]);
  return elements;
}

// One-hot targets, aligned and smoothed towards 1 / classes.
Value smoothed_target(Value y_true, Value p, int64_t axis, const Attributes& a) {
  Value t = align_target(y_true, p);
  double smoothing = a.real("label_smoothing");
  if (smoothing == 0.0) return t;
  return t * (1.0 - smoothing) + smoothing / p.builder->dim_value(p.dim(static_cast<int>(axis)), p.type().dtype);
}

// Class indices as one-hot rows in place of the axis of classes of y_pred.
Value one_hot_target(Value indices, Value p, int64_t axis) {
  Builder& builder = *p.builder;
  if (!is_integer(indices.type().dtype)) indices = builder.cast(indices, DType::i32);
  indices = builder.reshape(indices, without_axis(p.type(), static_cast<size_t>(axis)).shape);
  Value chosen = builder.call("one_hot", {indices},
                              {{"depth", p.dim(static_cast<int>(axis)).constant()}, {"dtype", std::string(dtype_name(p.type().dtype))}});
  auto last = static_cast<int64_t>(p.rank()) - 1;
  if (axis == last) return chosen;
  std::vector<int64_t> order;
  for (int64_t i = 0; i < last; ++i) order.push_back(i);
  order.insert(order.begin() + axis, last);
  return builder.transpose(chosen, order);
}

std::vector<Type> infer_categorical(const OpContext& context, std::string_view name) {
  const Op& op = get_op(name);
  check_targets(context, op);
  const Type& y_pred = context.inputs[1];
  size_t axis = checked_axis(context, op, context.attributes.integer("axis"), y_pred.shape.size());
  if (y_pred.shape[axis].is_constant(1))
    fail(context, op, "needs at least two classes but got predictions " + shape_text(y_pred.shape),
         "use binary_crossentropy for one probability");
  return {without_axis(y_pred, axis)};
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
      .attributes = {from_logits(), label_smoothing(), class_axis()},
      .infer = [](const OpContext& context) { return infer_categorical(context, "categorical_crossentropy"); },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        size_t axis = loss_axis(a, inputs[1].shape.size());
        HostTensor loss = loss_tensor(inputs[1], axis);
        for_each_loss_row(inputs[1], axis, [&](size_t at, std::span<const size_t> row) {
          std::vector<double> log_p = log_probabilities(elements_of(inputs[1], row), a.boolean("from_logits"));
          for (size_t k = 0; k < row.size(); ++k)
            loss.data[at] -= with_label_smoothing(inputs[0].data[row[k]], a, 1.0 / static_cast<double>(row.size())) * log_p[k];
        });
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1];
        int64_t axis = axis_of(a, p);
        Value t = smoothed_target(inputs[0], p, axis, a);
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

Op categorical_focal_crossentropy() {
  Example::Tensor labels{.shape = {4, 3}, .low = 0, .high = 1}, probabilities{.shape = {4, 3}, .low = 0.1, .high = 1};
  Example::Tensor logits{.shape = {4, 3}, .low = -3, .high = 3};
  return {
      .name = "categorical_focal_crossentropy",
      .family = OpFamily::loss,
      .doc = "loss = -sum of alpha (1 - p)^gamma y_true log(p) along `axis`; p = y_pred / sum(y_pred), or of softmax(y_pred) with "
             "from_logits, clipped to [1e-7, 1-1e-7] (Lin et al. 2017).   y_true, y_pred: [batch, ..., classes]   ->   [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {{.name = "alpha", .type = AttributeType::real, .default_value = 0.25, .least = 0},
                     {.name = "gamma", .type = AttributeType::real, .default_value = 2.0, .least = 0},
                     from_logits(), label_smoothing(), class_axis()},
      .infer = [](const OpContext& context) { return infer_categorical(context, "categorical_focal_crossentropy"); },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        size_t axis = loss_axis(a, inputs[1].shape.size());
        HostTensor loss = loss_tensor(inputs[1], axis);
        for_each_loss_row(inputs[1], axis, [&](size_t at, std::span<const size_t> row) {
          std::vector<double> p = elements_of(inputs[1], row);
          if (a.boolean("from_logits"))
            for (double& x : p) x = std::exp(x);
          double sum = 0.0;
          for (double x : p) sum += x;
          for (size_t k = 0; k < row.size(); ++k) {
            double q = clipped_probability(p[k] / sum);
            loss.data[at] -= a.real("alpha") * std::pow(1.0 - q, a.real("gamma")) * std::log(q) *
                             with_label_smoothing(inputs[0].data[row[k]], a, 1.0 / static_cast<double>(row.size()));
          }
        });
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1];
        int64_t axis = axis_of(a, p);
        Value t = smoothed_target(inputs[0], p, axis, a);
        if (a.boolean("from_logits")) p = builder.call("softmax", {p}, {{"axis", axis}});
        p = clipped_probability(p / builder.reduce("reduce_sum", p, {axis}, true));
        Value factor = builder.call("power", {1.0 - p, builder.constant(a.real("gamma"), p.type().dtype)}) * a.real("alpha");
        return {-builder.reduce("reduce_sum", factor * t * call("log", p), {axis})};
      },
      .examples = {{.inputs = {labels, probabilities}},
                   {.inputs = {labels, probabilities}, .attributes = {{"alpha", 0.6}, {"gamma", 1.3}, {"label_smoothing", 0.1}}},
                   {.inputs = {labels, logits}, .attributes = {{"from_logits", true}}},
                   {.inputs = {{{2, 3, 5}, 0, 1}, {{2, 3, 5}, 0.1, 1}}, .attributes = {{"axis", 1}}},
                   {.inputs = {{.shape = {1, 3}, .values = {0, 1, 0}}, {.shape = {1, 3}, .values = {1, 0, 0}}},
                    .differentiable = false}},
  };
}

// Where class indices are not the ignored one.
Value not_ignored(Value indices, Value p, int64_t axis, int64_t ignored) {
  Builder& builder = *p.builder;
  if (!is_integer(indices.type().dtype)) indices = builder.cast(indices, DType::i32);
  indices = builder.reshape(indices, without_axis(p.type(), static_cast<size_t>(axis)).shape);
  Value ignored_class = builder.cast(builder.constant(static_cast<double>(ignored), DType::i32), indices.type().dtype);
  return builder.call("not_equal", {indices, ignored_class});
}

Op sparse_categorical_crossentropy() {
  Example::Tensor labels{.shape = {4}, .low = 0, .high = 3, .dtype = DType::i32};
  Example::Tensor probabilities{.shape = {4, 3}, .low = 0.1, .high = 1}, logits{.shape = {4, 3}, .low = -5, .high = 5};
  return {
      .name = "sparse_categorical_crossentropy",
      .family = OpFamily::loss,
      .doc = "loss = -log(p[y_true]) along `axis`; p as in categorical_crossentropy.   y_true: [batch, ...] or [batch, ..., 1], "
             "class indices as integers or whole floats   y_pred: [batch, ..., classes]   ->   [batch, ...]; with ignore_class "
             "0 where y_true is it, and a second output that says where it is not: bool[batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {from_logits(),
                     {.name = "ignore_class", .type = AttributeType::integer, .optional = true,
                      .doc = "samples and steps of this class do not count"},
                     class_axis()},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("sparse_categorical_crossentropy");
        check_class_indices(context, op);
        const Type& y_pred = context.inputs[1];
        Type loss = without_axis(y_pred, checked_axis(context, op, context.attributes.integer("axis"), y_pred.shape.size()));
        if (context.attributes.has("ignore_class")) return {loss, {DType::boolean, loss.shape}};
        return {loss};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor& y_true = inputs[0];
        size_t axis = loss_axis(a, inputs[1].shape.size());
        HostTensor loss = loss_tensor(inputs[1], axis);
        HostTensor counts = make_tensor(DType::boolean, loss.shape, 1.0);
        for_each_loss_row(inputs[1], axis, [&](size_t at, std::span<const size_t> row) {
          if (a.has("ignore_class") && y_true.data[at] == static_cast<double>(a.integer("ignore_class"))) {
            counts.data[at] = 0.0;
            return;
          }
          std::vector<double> log_p = log_probabilities(elements_of(inputs[1], row), a.boolean("from_logits"));
          loss.data[at] = -log_p[static_cast<size_t>(y_true.data[at])];
        });
        if (a.has("ignore_class")) return {loss, counts};
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1];
        int64_t axis = axis_of(a, p);
        Value chosen = one_hot_target(inputs[0], p, axis);
        Value loss = -builder.reduce("reduce_sum", chosen * log_probabilities(p, a.boolean("from_logits"), axis), {axis});
        if (!a.has("ignore_class")) return {loss};
        Value counts = not_ignored(inputs[0], p, axis, a.integer("ignore_class"));
        return {builder.select(counts, loss, builder.constant(0.0, p.type().dtype)), counts};
      },
      .examples = {{.inputs = {labels, probabilities}},
                   {.inputs = {labels, logits}, .attributes = {{"from_logits", true}}},
                   {.inputs = {{{2, 3, 1}, 0, 17, DType::i32}, {{2, 3, 17}, 0.1, 1}}},
                   {.inputs = {{{2, 5}, 0, 3, DType::i32}, {{2, 3, 5}, 0.1, 1}}, .attributes = {{"axis", 1}}},
                   {.inputs = {{.shape = {4}, .dtype = DType::i32, .values = {2, 255, 0, 255}}, probabilities},
                    .attributes = {{"ignore_class", 255}}},
                   {.inputs = {{.shape = {2, 3}, .dtype = DType::i32, .values = {2, -1, 0, 1, 1, -1}}, {{2, 3, 3}, -2, 2}},
                    .attributes = {{"ignore_class", -1}, {"from_logits", true}}},
                   {.inputs = {{.shape = {3}, .values = {2, 0, 1}}, {{3, 4}, 0.1, 1}}, .differentiable = false}},
  };
}

// Zhang and Sabuncu 2018, "Generalized cross entropy loss for training deep neural networks with noisy labels"
Op categorical_generalized_cross_entropy() {
  Example::Tensor labels{.shape = {5}, .low = 0, .high = 3, .dtype = DType::i32};
  Example::Tensor probabilities{.shape = {5, 3}, .low = 0.1, .high = 1};
  return {
      .name = "categorical_generalized_cross_entropy",
      .family = OpFamily::loss,
      .doc = "loss = (1 - p^q) / q, p = y_pred[y_true], 0 < q < 1 (Zhang and Sabuncu 2018).   y_true: [batch, ...] or [batch, ..., "
             "1], class indices   y_pred: [batch, ..., classes], probabilities   ->   [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {{.name = "q", .type = AttributeType::real, .default_value = 0.5, .least = 0, .most = 1}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("categorical_generalized_cross_entropy");
        check_class_indices(context, op);
        double q = context.attributes.real("q");
        if (q <= 0.0 || q >= 1.0) fail(context, op, "needs 0 < q < 1", "use mean_absolute_error for q = 1");
        return {without_axis(context.inputs[1], context.inputs[1].shape.size() - 1)};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        size_t axis = inputs[1].shape.size() - 1;
        HostTensor loss = loss_tensor(inputs[1], axis);
        for_each_loss_row(inputs[1], axis, [&](size_t at, std::span<const size_t> row) {
          double probability = inputs[1].data[row[static_cast<size_t>(inputs[0].data[at])]];
          loss.data[at] = (1.0 - std::pow(probability, a.real("q"))) / a.real("q");
        });
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        int64_t axis = axis_of(a, inputs[1]);
        Value p = builder.reduce("reduce_sum", inputs[1] * one_hot_target(inputs[0], inputs[1], axis), {axis});
        double q = a.real("q");
        return {(1.0 - builder.call("power", {p, builder.constant(q, p.type().dtype)})) / q};
      },
      .examples = {{.inputs = {labels, probabilities}},
                   {.inputs = {labels, probabilities}, .attributes = {{"q", 0.9}}},
                   {.inputs = {{{2, 7, 1}, 0, 4, DType::i32}, {{2, 7, 4}, 0.1, 1}}, .attributes = {{"q", 0.2}}}},
  };
}

Op categorical_hinge() {
  return {
      .name = "categorical_hinge",
      .family = OpFamily::loss,
      .doc = "loss = max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0), along the last axis.   y_true, y_pred: "
             "[batch, ..., classes]   ->   [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        check_targets(context, get_op("categorical_hinge"));
        return {without_axis(context.inputs[1], context.inputs[1].shape.size() - 1)};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        const HostTensor &t = inputs[0], &p = inputs[1];
        HostTensor loss = loss_tensor(p, p.shape.size() - 1);
        for_each_loss_row(p, p.shape.size() - 1, [&](size_t at, std::span<const size_t> row) {
          double positive = 0.0, negative = -INFINITY;
          for (size_t i : row) {
            positive += t.data[i] * p.data[i];
            negative = std::max(negative, (1.0 - t.data[i]) * p.data[i]);
          }
          loss.data[at] = std::max(negative - positive + 1.0, 0.0);
        });
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1], t = align_target(inputs[0], p);
        Value positive = builder.reduce("reduce_sum", t * p, {axis_of(a, p)});
        Value negative = builder.reduce("reduce_max", (1.0 - t) * p, {axis_of(a, p)});
        return {at_least(negative - positive + 1.0, 0.0)};
      },
      .examples = {{.inputs = {{{5, 4}, 0, 1}, {{5, 4}, -1, 1}}}, {.inputs = {{{2, 3, 17}, 0, 1}, {{2, 3, 17}, -1, 1}}}},
  };
}

}  // namespace

std::vector<Op> categorical_losses() {
  std::vector<Op> ops;
  ops.push_back(categorical_hinge());
  ops.push_back(categorical_crossentropy());
  ops.push_back(sparse_categorical_crossentropy());
  ops.push_back(categorical_focal_crossentropy());
  ops.push_back(categorical_generalized_cross_entropy());
  return ops;
}

}  // namespace moru
