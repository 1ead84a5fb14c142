// Losses that compare sets and directions: overlap of masks (Dice, Tversky), cosine similarity, circle loss of embeddings.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"

namespace moru {

namespace {

// ---- overlap ----

AttributeSpec reduced_axes() {
  return {.name = "axis", .type = AttributeType::integers, .optional = true, .doc = "the axes that are summed; none: all"};
}

std::vector<int64_t> overlap_axes(const Attributes& a, size_t rank) {
  std::vector<int64_t> axes;
  if (!a.has("axis")) {
    for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
    return axes;
  }
  for (int64_t axis : a.integers("axis")) axes.push_back(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

std::vector<Type> infer_overlap(const OpContext& context, std::string_view name) {
  const Op& op = get_op(name);
  check_targets(context, op);
  Type loss = context.inputs[1];
  size_t rank = loss.shape.size();
  if (context.attributes.has("axis"))
    for (int64_t axis : context.attributes.integers("axis")) checked_axis(context, op, axis, rank);
  std::vector<int64_t> axes = overlap_axes(context.attributes, rank);
  for (size_t i = axes.size(); i-- > 0;) loss = without_axis(loss, static_cast<size_t>(axes[i]));
  return {loss};
}

// Sums over the axes, one place after the other: use(place, element).
template <typename Use>
HostTensor overlap_reference(const HostTensor& y, const Attributes& a, size_t sums, Use use,
                             double (*loss)(std::span<const double>, const Attributes&)) {
  std::vector<int64_t> axes = overlap_axes(a, y.shape.size()), kept;
  for (size_t axis = 0; axis < y.shape.size(); ++axis)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) == axes.end()) kept.push_back(y.shape[axis]);
  HostTensor out = make_tensor(y.dtype, kept);
  std::vector<double> totals(out.data.size() * sums);
  for (size_t i = 0; i < y.data.size(); ++i) {
    size_t rest = i, place = 0, stride = 1;
    for (size_t axis = y.shape.size(); axis-- > 0;) {
      auto extent = static_cast<size_t>(y.shape[axis]);
      if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) == axes.end()) {
        place += rest % extent * stride;
        stride *= extent;
      }
      rest /= extent;
    }
    use(totals.data() + place * sums, i);
  }
  for (size_t k = 0; k < out.data.size(); ++k) out.data[k] = loss({totals.data() + k * sums, sums}, a);
  return out;
}

std::vector<Example> overlap_examples(std::vector<Attributes> more) {
  Example::Tensor labels{.shape = {3, 4, 5}, .low = 0, .high = 1}, predictions{.shape = {3, 4, 5}, .low = 0.05, .high = 0.95};
  std::vector<Example> examples = {{.inputs = {labels, predictions}},
                                   {.inputs = {{{7}, 0, 1}, {{7, 1}, 0.05, 0.95}}},
                                   {.inputs = {labels, predictions}, .attributes = {{"axis", std::vector<int64_t>{1, 2}}}},
                                   {.inputs = {labels, predictions}, .attributes = {{"axis", std::vector<int64_t>{0, -1}}}}};
  for (Attributes& attributes : more) examples.push_back({.inputs = {labels, predictions}, .attributes = std::move(attributes)});
  return examples;
}

Op dice() {
  return {
      .name = "dice",
      .family = OpFamily::loss,
      .doc = "loss = 1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred) + 1e-7), sums over `axis`, or over everything, the batch "
             "included.   y_true, y_pred: [batch, ...] -> []",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {reduced_axes()},
      .infer = [](const OpContext& context) { return infer_overlap(context, "dice"); },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor &t = inputs[0], &p = inputs[1];
        return {overlap_reference(
            p, a, 2,
            [&](double* sums, size_t i) {
              sums[0] += t.data[i] * p.data[i];
              sums[1] += t.data[i] + p.data[i];
            },
            [](std::span<const double> sums, const Attributes&) { return 1.0 - 2.0 * sums[0] / (sums[1] + keras_epsilon); })};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1], t = align_target(inputs[0], p);
        auto sum = [&](Value x) { return builder.reduce("reduce_sum", x, overlap_axes(a, p.rank())); };
        return {1.0 - 2.0 * sum(t * p) / (sum(t) + sum(p) + keras_epsilon)};
      },
      .examples = overlap_examples({}),
  };
}

Op tversky() {
  return {
      .name = "tversky",
      .family = OpFamily::loss,
      .doc = "loss = 1 - s / (s + alpha sum((1 - y_true) y_pred) + beta sum(y_true (1 - y_pred)) + 1e-7), s = sum(y_true y_pred), sums "
             "over `axis`, or over everything, the batch included (Salehi et al. 2017).   y_true, y_pred: [batch, ...] -> []",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {{.name = "alpha", .type = AttributeType::real, .default_value = 0.5, .least = 0, .doc = "of false positives"},
                     {.name = "beta", .type = AttributeType::real, .default_value = 0.5, .least = 0, .doc = "of false negatives"},
                     reduced_axes()},
      .infer = [](const OpContext& context) { return infer_overlap(context, "tversky"); },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& attributes) -> std::vector<HostTensor> {
        const HostTensor &t = inputs[0], &p = inputs[1];
        return {overlap_reference(
            p, attributes, 3,
            [&](double* sums, size_t i) {
              sums[0] += t.data[i] * p.data[i];
              sums[1] += (1.0 - t.data[i]) * p.data[i];
              sums[2] += t.data[i] * (1.0 - p.data[i]);
            },
            [](std::span<const double> sums, const Attributes& a) {
              return 1.0 - sums[0] / (sums[0] + a.real("alpha") * sums[1] + a.real("beta") * sums[2] + keras_epsilon);
            })};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1], t = align_target(inputs[0], p);
        auto sum = [&](Value x) { return builder.reduce("reduce_sum", x, overlap_axes(a, p.rank())); };
        Value both = sum(t * p), positive = sum((1.0 - t) * p), negative = sum(t * (1.0 - p));
        return {1.0 - both / (both + positive * a.real("alpha") + negative * a.real("beta") + keras_epsilon)};
      },
      .examples = overlap_examples({{{"alpha", 0.3}, {"beta", 0.7}}}),
  };
}

// ---- cosine similarity ----

Op cosine_similarity() {
  return {
      .name = "cosine_similarity",
      .family = OpFamily::loss,
      .doc = "loss = -sum of y_true y_pred along `axis`, both divided by their norm there, which is at least 1e-7.   y_true, y_pred: "
             "[batch, ..., n] -> [batch, ...]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {class_axis()},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("cosine_similarity");
        check_targets(context, op);
        const Type& y_pred = context.inputs[1];
        return {without_axis(y_pred, checked_axis(context, op, context.attributes.integer("axis"), y_pred.shape.size()))};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor &t = inputs[0], &p = inputs[1];
        HostTensor loss = loss_tensor(p, loss_axis(a, p.shape.size()));
        for_each_loss_row(p, loss_axis(a, p.shape.size()), [&](size_t at, std::span<const size_t> row) {
          double tt = 0.0, pp = 0.0, tp = 0.0;
          for (size_t i : row) tt += t.data[i] * t.data[i], pp += p.data[i] * p.data[i], tp += t.data[i] * p.data[i];
          loss.data[at] = -tp / (std::max(std::sqrt(tt), keras_epsilon) * std::max(std::sqrt(pp), keras_epsilon));
        });
        return {loss};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1], t = align_target(inputs[0], p);
        auto axis = static_cast<int64_t>(loss_axis(a, p.rank()));
        auto unit = [&](Value x) {
          Value squares = builder.reduce("reduce_sum", call("square", x), {axis}, true);
          return x * call("rsqrt", at_least(squares, keras_epsilon * keras_epsilon));
        };
        return {-builder.reduce("reduce_sum", unit(t) * unit(p), {axis})};
      },
      .examples = {{.inputs = {{{5, 7}}, {{5, 7}}}},
                   {.inputs = {{{3, 4, 17}}, {{3, 4, 17}}}, .attributes = {{"axis", 1}}},
                   {.inputs = {{{9}, 0.1, 1}, {{9, 1}, 0.1, 1}}, .differentiable = false},
                   {.inputs = {{.shape = {2, 2}, .values = {0, 0, 1, 0}}, {.shape = {2, 2}, .values = {1, 2, 0, 0}}},
                    .differentiable = false}},
  };
}

// ---- circle ----

// log of the sum of e^x over the marked elements of each row, and whether there are any (else the sum counts as 1).
struct MarkedSum {
  Value log_sum, any;
};

MarkedSum marked_log_sum(Value x, Value marked) {
  Builder& builder = *x.builder;
  DType dtype = x.type().dtype;
  Value zero = builder.constant(0.0, dtype), lowest = builder.constant(-1e30, dtype);
  Value any = builder.call("greater", {builder.reduce("reduce_sum", builder.cast(marked, dtype), {1}), zero});
  Value most = call("stop_gradient", builder.reduce("reduce_max", builder.select(marked, x, lowest), {1}, true));
  Value terms = builder.select(marked, call("exp", builder.select(marked, x - most, zero)), zero);
  Value sum = builder.select(any, builder.reduce("reduce_sum", terms, {1}), builder.constant(1.0, dtype));
  return {call("log", sum) + builder.reshape(most, sum.shape()), any};
}

// Sun et al. 2020, "Circle loss: a unified perspective of pair similarity optimization"
Op circle() {
  Example::Tensor labels{.shape = {6}, .dtype = DType::i32, .values = {0, 1, 0, 2, 1, 0}}, embeddings{{6, 3}, -0.6, 0.6};
  Example::Tensor columns{.shape = {5, 1}, .dtype = DType::i32, .values = {0, 1, 1, 1, 0}}, others{{5, 2}, -0.6, 0.6};
  return {
      .name = "circle",
      .family = OpFamily::loss,
      .doc = "Circle loss of unit-length embeddings by class (Sun et al. 2020): with d = max(1 - y_pred y_pred^T, 0), "
             "log(1 + sum over the same class of e^(-gamma max(margin + d, 0)(margin - d)) * sum over other classes of e^(gamma "
             "max(1 + margin - d, 0)(1 - margin - d))), 0 where either is empty; the second output says where it is above 0.   "
             "y_true: [batch] or [batch, 1], classes   y_pred: [batch, n]   ->   [batch], bool[batch]",
      .inputs = {{"y_true"}, {"y_pred"}},
      .attributes = {{.name = "gamma", .type = AttributeType::real, .default_value = 80.0, .least = 0},
                     {.name = "margin", .type = AttributeType::real, .default_value = 0.4, .least = 0, .most = 1},
                     {.name = "remove_diagonal", .type = AttributeType::boolean, .default_value = true,
                      .doc = "a sample is not of its own class"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("circle");
        const Type &y_true = context.inputs[0], &y_pred = context.inputs[1];
        if (!is_float(y_pred.dtype) || y_pred.shape.size() != 2)
          fail(context, op, "needs embeddings [batch, n] but got " + type_text(y_pred));
        Shape batch = {y_pred.shape[0]};
        if (y_true.shape != batch && y_true.shape != Shape{y_pred.shape[0], 1})
          fail(context, op, "needs classes " + shape_text(batch) + " but got " + shape_text(y_true.shape));
        return {{y_pred.dtype, batch}, {DType::boolean, batch}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor &label = inputs[0], &p = inputs[1];
        auto batch = static_cast<size_t>(p.shape[0]), width = static_cast<size_t>(p.shape[1]);
        double gamma = a.real("gamma"), margin = a.real("margin");
        HostTensor loss = make_tensor(p.dtype, {p.shape[0]}), counts = make_tensor(DType::boolean, {p.shape[0]});
        for (size_t i = 0; i < batch; ++i) {
          std::vector<double> same, other;
          for (size_t k = 0; k < batch; ++k) {
            double distance = 1.0;
            for (size_t n = 0; n < width; ++n) distance -= p.data[i * width + n] * p.data[k * width + n];
            distance = std::max(distance, 0.0);
            if (label.data[i] != label.data[k])
              other.push_back(gamma * std::max(1.0 + margin - distance, 0.0) * (1.0 - margin - distance));
            else if (i != k || !a.boolean("remove_diagonal"))
              same.push_back(-gamma * (margin + distance) * (margin - distance));
          }
          if (same.empty() || other.empty()) continue;
          auto log_sum = [](const std::vector<double>& x) {
            double most = *std::max_element(x.begin(), x.end()), sum = 0.0;
            for (double each : x) sum += std::exp(each - most);
            return most + std::log(sum);
          };
          double both = log_sum(same) + log_sum(other);
          loss.data[i] = std::max(both, 0.0) + std::log1p(std::exp(-std::fabs(both)));
          counts.data[i] = loss.data[i] > 0.0;
        }
        return {loss, counts};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value p = inputs[1];
        DType dtype = p.type().dtype;
        const Dim batch = p.dim(0);
        Value label = builder.reshape(builder.cast(inputs[0], DType::i32), {batch, 1});
        Value same = builder.call("equal", {builder.broadcast_to(label, {batch, batch}),
                                            builder.broadcast_to(builder.reshape(label, {1, batch}), {batch, batch})});
        Value other = builder.call("logical_not", {same});
        if (a.boolean("remove_diagonal")) {
          auto number = [&](int64_t axis) { return builder.call("iota", {}, {{"shape", Shape{batch, batch}}, {"axis", axis}}); };
          same = builder.call("logical_and", {same, builder.call("not_equal", {number(0), number(1)})});
        }
        double gamma = a.real("gamma"), margin = a.real("margin");
        Value distance = at_least(1.0 - builder.contract(p, p, "ik,jk->ij"), 0.0);
        MarkedSum near = marked_log_sum((margin + distance) * (margin - distance) * -gamma, same);
        MarkedSum far = marked_log_sum(at_least(1.0 + margin - distance, 0.0) * (1.0 - margin - distance) * gamma, other);
        Value zero = builder.constant(0.0, dtype);
        Value both = builder.call("logical_and", {near.any, far.any});
        Value loss = builder.select(both, call("softplus", near.log_sum + far.log_sum), zero);
        return {loss, builder.call("greater", {loss, zero})};
      },
      .examples = {{.inputs = {labels, embeddings}, .attributes = {{"gamma", 4.0}}},
                   {.inputs = {labels, embeddings}, .attributes = {{"gamma", 2.0}, {"margin", 0.2}, {"remove_diagonal", false}}},
                   {.inputs = {columns, others}, .attributes = {{"gamma", 3.0}}},
                   {.inputs = {{.shape = {3}, .dtype = DType::i32, .values = {1, 1, 1}}, {{3, 2}, -0.6, 0.6}}, .differentiable = false}},
  };
}

}  // namespace

std::vector<Op> similarity_losses() {
  std::vector<Op> ops;
  ops.push_back(cosine_similarity());
  ops.push_back(dice());
  ops.push_back(tversky());
  ops.push_back(circle());
  return ops;
}

}  // namespace moru
