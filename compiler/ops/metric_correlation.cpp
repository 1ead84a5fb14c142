// Metrics that are means over rows of what is no loss: similarities and correlations along an axis.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"
#include "compiler/ops/metric.h"

namespace moru {

namespace {

struct RowSums {
  double n = 0.0, t = 0.0, p = 0.0, tt = 0.0, pp = 0.0, tp = 0.0;
};

using RowFn = double (*)(const RowSums&);
using RowFormula = Value (*)(Value y_true, Value y_pred, int64_t axis);

Op row_metric(std::string_view name, std::string_view doc, RowFn row_value, RowFormula formula) {
  return {
      .name = name,
      .family = OpFamily::metric,
      .doc = doc,
      .inputs = masked_metric_inputs(),
      .attributes = {class_axis()},
      .infer = [name](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        check_metric_weight(context, op, 2);
        check_targets(context, op);
        size_t rank = context.inputs[1].shape.size();
        if (checked_axis(context, op, context.attributes.integer("axis"), rank) == 0)
          fail(context, op, "cannot go along the batch", "give an 'axis' from 1, or -1");
        check_metric_mask(context, op, without_axis(context.inputs[1], loss_axis(context.attributes, rank)).shape);
        return mean_states();
      },
      .reference = [row_value](std::span<const HostTensor> inputs, const Attributes& a) {
        const HostTensor &t = inputs[0], &p = inputs[1];
        size_t axis = loss_axis(a, p.shape.size());
        HostTensor values = loss_tensor(p, axis);
        values.dtype = DType::f64;
        for_each_loss_row(p, axis, [&](size_t at, std::span<const size_t> row) {
          RowSums s;
          for (size_t i : row) {
            s.n += 1.0, s.t += t.data[i], s.p += p.data[i];
            s.tt += t.data[i] * t.data[i], s.pp += p.data[i] * p.data[i], s.tp += t.data[i] * p.data[i];
          }
          values.data[at] = row_value(s);
        });
        return mean_increments(values, find_input(inputs, 2), find_input(inputs, 3));
      },
      .expand = [formula](Builder& b, std::span<const Value> inputs, const Attributes& a) {
        Value p = b.cast(inputs[1], DType::f64), t = b.cast(align_target(inputs[0], inputs[1]), DType::f64);
        return mean_increments(formula(t, p, static_cast<int64_t>(loss_axis(a, p.rank()))), find_input(inputs, 2), find_input(inputs, 3));
      },
      .differentiable = false,
      .examples = masked_examples({{.inputs = {{{5, 7}, 0.2, 2}, {{5, 7}, -1, 2}}},
                                   {.inputs = {{{3, 4, 5}, -2, 1}, {{3, 4, 5}, -1, 2}}},
                                   {.inputs = {{{3, 4, 17}, -2, 1}, {{3, 4, 17}, -1, 2}}, .attributes = {{"axis", 1}}}}),
  };
}

Value mean_along(Value x, int64_t axis) { return x.builder->reduce("reduce_mean", x, {axis}); }
Value mean_kept(Value x, int64_t axis) { return x.builder->reduce("reduce_mean", x, {axis}, true); }
Value root(Value x) { return x.builder->call("sqrt", {x}); }
Value square(Value x) { return x.builder->call("square", {x}); }

double cosine_row(const RowSums& s) {
  return s.tp / (std::max(std::sqrt(s.tt), keras_epsilon) * std::max(std::sqrt(s.pp), keras_epsilon));
}
Value cosine_rows(Value t, Value p, int64_t axis) {
  Builder& b = *t.builder;
  auto norm = [&](Value x) { return at_least(root(b.reduce("reduce_sum", square(x), {axis})), keras_epsilon); };
  return b.reduce("reduce_sum", t * p, {axis}) / (norm(t) * norm(p));
}

double pearson_row(const RowSums& s) {
  double covariance = s.tp / s.n - s.t / s.n * (s.p / s.n);
  return covariance / std::sqrt((s.tt / s.n - s.t / s.n * (s.t / s.n)) * (s.pp / s.n - s.p / s.n * (s.p / s.n)));
}
Value pearson_rows(Value t, Value p, int64_t axis) {
  t = t - mean_kept(t, axis), p = p - mean_kept(p, axis);
  return mean_along(t * p, axis) / root(mean_along(square(t), axis) * mean_along(square(p), axis));
}

// Lin 1989. Keras takes the deviations of both from the mean of y_pred, which comes to the same mean.
double concordance_row(const RowSums& s) {
  double t = s.t / s.n, p = s.p / s.n, covariance = s.tp / s.n - t * p;
  return 2.0 * covariance / (s.tt / s.n - t * t + s.pp / s.n - p * p + (t - p) * (t - p) + keras_epsilon);
}
Value concordance_rows(Value t, Value p, int64_t axis) {
  Value mean_t = mean_kept(t, axis), mean_p = mean_kept(p, axis);
  Value norm = mean_kept(square(t - mean_t), axis) + mean_kept(square(p - mean_p), axis) + square(mean_t - mean_p) + keras_epsilon;
  return mean_along((t - mean_p) * (p - mean_p) * 2.0 / norm, axis);
}

}  // namespace

std::vector<Op> correlation_metrics() {
  std::vector<Op> ops;
  ops.push_back(row_metric("metric_cosine_similarity",
                           "Mean of the cosine of the angle between y_true and y_pred along `axis`, norms at least 1e-7.   y_true, y_pred: "
                           "[batch, ..., n], sample_weight: [batch] -> f64[], f64[]",
                           cosine_row, cosine_rows));
  ops.push_back(mean_result("metric_cosine_similarity_result", {class_axis()}));
  ops.push_back(row_metric("metric_pearson_correlation",
                           "Mean of the correlation of y_true and y_pred along `axis`.   y_true, y_pred: [batch, ..., n], sample_weight: "
                           "[batch] -> f64[], f64[]",
                           pearson_row, pearson_rows));
  ops.push_back(mean_result("metric_pearson_correlation_result", {class_axis()}));
  ops.push_back(row_metric("metric_concordance_correlation",
                           "Mean of 2 covariance / (both variances + (difference of means)^2 + 1e-7) of y_true and y_pred along `axis` (Lin "
                           "1989).   y_true, y_pred: [batch, ..., n], sample_weight: [batch] -> f64[], f64[]",
                           concordance_row, concordance_rows));
  ops.push_back(mean_result("metric_concordance_correlation_result", {class_axis()}));
  return ops;
}

}  // namespace moru
