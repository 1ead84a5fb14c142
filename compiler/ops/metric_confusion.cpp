// Metrics of the confusion matrix at one or more thresholds: counts, precision and recall, points and areas of curves.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"
#include "compiler/ops/metric.h"

namespace moru {

namespace {

// The states, in this order; a metric keeps those it needs. Each is f64[thresholds], or f64[labels, thresholds].
enum Cell : size_t { tp, fp, tn, fn };
constexpr std::string_view cell_names[] = {"true_positives", "false_positives", "true_negatives", "false_negatives"};

// A prediction is positive where it is greater than the threshold.
struct Thresholds {
  std::vector<double> values;
  bool even = false;        // k / (n-1): positive by its bucket, ceil(p (n-1)) - 1 >= k, as Keras counts them
  bool below_zero = false;  // the first lies a little below 0, so that 0 is positive for it
};

bool is_even(const std::vector<double>& values) {
  if (values.size() < 3) return false;
  for (size_t i = 0; i < values.size(); ++i)
    if (double even = static_cast<double>(i) / static_cast<double>(values.size() - 1);
        std::fabs(values[i] - even) > 1e-5 * even + keras_epsilon)
      return false;
  return true;
}

Thresholds thresholds_of(const Attributes& a) {
  Thresholds t;
  bool curve = a.has("curve");
  if (a.has("thresholds")) t.values = a.reals("thresholds");
  if (!curve && !a.has("num_thresholds")) {
    if (t.values.empty()) t.values = {a.has("top_k") ? -1e10 : 0.5};
    t.even = is_even(t.values);
    return t;
  }
  if (t.values.empty()) {
    int64_t count = a.integer("num_thresholds");
    if (count == 1) return {{0.5}};
    for (int64_t i = 0; i < count; ++i) t.values.push_back(static_cast<double>(i) / static_cast<double>(count - 1));
    t.even = true;
  } else {
    std::sort(t.values.begin(), t.values.end());
    t.values.insert(t.values.begin(), 0.0);
    t.values.push_back(1.0);
    t.even = is_even(t.values);
  }
  if (curve) {
    t.below_zero = true;
    t.values.front() -= keras_epsilon;
    t.values.back() += keras_epsilon;
  }
  return t;
}

bool flag(const Attributes& a, std::string_view name) { return a.has(name) && a.boolean(name); }

int64_t label_count(const Attributes& a, const Shape& y_pred) {
  return flag(a, "multi_label") ? y_pred.back().constant() : 0;
}

void check_confusion(const OpContext& context, const Op& op) {
  check_metric_weight(context, op, 2);
  check_targets(context, op);
  const Attributes& a = context.attributes;
  const Shape& y_pred = context.inputs[1].shape;
  bool by_class = a.has("class_id") || a.has("top_k") || flag(a, "multi_label") || a.has("label_weights");
  if (by_class && (y_pred.size() < 2 || !y_pred.back().is_constant()))
    fail(context, op, "needs predictions [batch, classes] but got " + shape_text(y_pred));
  if (flag(a, "multi_label") && y_pred.size() != 2)
    fail(context, op, "needs predictions [batch, labels] with multi_label but got " + shape_text(y_pred));
  if (a.has("class_id") && a.integer("class_id") >= y_pred.back().constant())
    fail(context, op, "has the class_id " + std::to_string(a.integer("class_id")) + " of predictions " + shape_text(y_pred),
         "classes count from 0");
  if (a.has("top_k") && a.integer("top_k") > y_pred.back().constant())
    fail(context, op, "has the top_k " + std::to_string(a.integer("top_k")) + " of predictions " + shape_text(y_pred));
  if (a.has("num_labels") && a.integer("num_labels") != 0 &&
      (!flag(a, "multi_label") || a.integer("num_labels") != y_pred.back().constant()))
    fail(context, op, "has num_labels " + std::to_string(a.integer("num_labels")) + ", but predictions are " + shape_text(y_pred),
         "leave it out, or set multi_label and the number of columns");
  if (a.has("label_weights") && static_cast<int64_t>(a.reals("label_weights").size()) != y_pred.back().constant())
    fail(context, op, "has " + std::to_string(a.reals("label_weights").size()) + " label_weights for predictions " + shape_text(y_pred));
  if (!a.has("curve") && !a.has("num_thresholds") && thresholds_of(a).values.size() != 1)
    fail(context, op, "gives a number for each of its thresholds, and a history takes one", "use one metric for each threshold");
}

std::vector<HostTensor> confusion_reference(std::span<const HostTensor> inputs, const Attributes& a) {
  const HostTensor &y_true = inputs[0], &y_pred = inputs[1], *weight = find_input(inputs, 2);
  Thresholds thresholds = thresholds_of(a);
  size_t n = thresholds.values.size(), columns = y_pred.shape.size() < 2 ? 1 : static_cast<size_t>(y_pred.shape.back());
  size_t rows_per_sample = y_pred.shape[0] == 0 ? 1 : y_pred.data.size() / columns / static_cast<size_t>(y_pred.shape[0]);
  bool by_label = flag(a, "multi_label");
  std::vector<int64_t> shape = {static_cast<int64_t>(n)};
  if (by_label) shape.insert(shape.begin(), static_cast<int64_t>(columns));
  std::vector<HostTensor> cells(4, make_tensor(DType::f64, shape));
  for (size_t row = 0; row < y_pred.data.size() / columns; ++row)
    for (size_t k = 0; k < columns; ++k) {
      if (a.has("class_id") && static_cast<size_t>(a.integer("class_id")) != k) continue;
      double p = y_pred.data[row * columns + k], w = weight ? weight->data[row / rows_per_sample] : 1.0;
      if (a.has("top_k")) {
        int64_t before = 0;
        for (size_t j = 0; j < columns; ++j) {
          double other = y_pred.data[row * columns + j];
          before += other > p || (other == p && j < k);
        }
        if (before >= a.integer("top_k")) p = -1e10;
      }
      if (flag(a, "from_logits")) p = 1.0 / (1.0 + std::exp(-p));
      if (a.has("label_weights") && !by_label) w *= a.reals("label_weights")[k];
      bool positive = y_true.data[row * columns + k] != 0.0;
      double bucket = std::ceil(std::clamp(p, 0.0, 1.0) * static_cast<double>(n - 1)) - 1.0;
      if (thresholds.below_zero) bucket = std::max(bucket, 0.0);
      for (size_t i = 0; i < n; ++i) {
        bool found = thresholds.even ? bucket >= static_cast<double>(i) : p > thresholds.values[i];
        Cell cell = positive ? (found ? tp : fn) : (found ? fp : tn);
        cells[cell].data[(by_label ? k * n : 0) + i] += w;
      }
    }
  return cells;
}

// Constants as a vector.
Value vector_of(Builder& b, const std::vector<double>& values, DType dtype) {
  std::vector<Value> parts;
  for (double v : values) parts.push_back(b.fill(v, {1}, dtype));
  return parts.size() == 1 ? parts[0] : b.concat(parts, 0);
}

std::vector<Value> expand_confusion(Builder& b, std::span<const Value> inputs, const Attributes& a) {
  Value p = inputs[1], t = align_target(inputs[0], p), weight = find_input(inputs, 2);
  DType dtype = p.type().dtype;
  if (flag(a, "from_logits")) p = b.call("sigmoid", {p});
  if (a.has("top_k")) p = b.select(among_greatest(p, a.integer("top_k")), p, b.constant(-1e10, dtype));
  if (a.has("class_id")) {
    auto last = static_cast<int64_t>(p.rank()) - 1;
    p = b.slice(p, last, a.integer("class_id"), 1);
    t = b.slice(t, last, a.integer("class_id"), 1);
  }
  Value positive = b.cast(b.call("not_equal", {t, b.constant(0.0, dtype)}), DType::f64), negative = 1.0 - positive;
  std::vector<Value> weights;
  if (weight) weights.push_back(weight_of_elements(weight, p.shape()));
  if (a.has("label_weights") && !flag(a, "multi_label")) weights.push_back(vector_of(b, a.reals("label_weights"), DType::f64));
  for (Value w : weights) positive = positive * w, negative = negative * w;

  Thresholds thresholds = thresholds_of(a);
  auto n = static_cast<int64_t>(thresholds.values.size());
  Shape rows = {element_count(p.shape()), 1};
  if (flag(a, "multi_label")) rows = {p.dim(0), p.dim(1), 1};
  Value found;
  if (thresholds.even) {
    Value bucket = b.call("ceil", {at_most(at_least(p, 0.0), 1.0) * static_cast<double>(n - 1)}) - 1.0;
    if (thresholds.below_zero) bucket = at_least(bucket, 0.0);
    Value place = b.call("iota", {}, {{"shape", Shape{n}}, {"dtype", std::string(dtype_name(dtype))}});
    found = b.call("greater_equal", {b.reshape(bucket, rows), place});
  } else {
    found = b.call("greater", {b.reshape(p, rows), vector_of(b, thresholds.values, dtype)});
  }
  found = b.cast(found, DType::f64);
  positive = b.reshape(positive, rows);
  negative = b.reshape(negative, rows);
  auto sum = [&](Value x) { return b.reduce("reduce_sum", x, {0}); };
  return {sum(found * positive), sum(found * negative), sum((1.0 - found) * negative), sum((1.0 - found) * positive)};
}

using Result = double (*)(std::span<const std::vector<double>> states, const Attributes&);
using ResultFormula = Value (*)(std::span<const Value> states, const Attributes&);

// The two ops of a metric that keeps `cells`.
void add_metric(std::vector<Op>& ops, std::string_view name, std::string_view result_name, std::string_view doc, std::string_view result_doc,
                std::vector<Cell> cells, std::vector<AttributeSpec> attributes, Result result, ResultFormula formula,
                std::vector<Example> examples) {
  auto pick = [cells](auto all) {
    decltype(all) picked;
    for (Cell cell : cells) picked.push_back(std::move(all[cell]));
    return picked;
  };
  std::vector<Example> result_examples;
  for (const Example& example : examples) {
    Attributes checked = example.attributes;
    for (const AttributeSpec& spec : attributes)
      if (!checked.has(spec.name) && !spec.default_value.is_none()) checked.set(std::string(spec.name), spec.default_value);
    std::vector<int64_t> shape = {static_cast<int64_t>(thresholds_of(checked).values.size())};
    if (flag(checked, "multi_label")) shape.insert(shape.begin(), example.inputs[1].shape.back());
    for (double high : {9.0, 1.0}) {  // the second all zeros: before the first sample
      Example states{.inputs = {}, .attributes = example.attributes, .differentiable = false};
      for (size_t i = 0; i < cells.size(); ++i)
        states.inputs.push_back({.shape = shape, .low = high == 1.0 ? 0.0 : 1.0, .high = high == 1.0 ? 0.0 : high, .dtype = DType::f64});
      result_examples.push_back(std::move(states));
    }
  }
  ops.push_back({
      .name = name,
      .family = OpFamily::metric,
      .doc = doc,
      .inputs = metric_inputs(),
      .attributes = attributes,
      .infer = [name, cells](const OpContext& context) -> std::vector<Type> {
        check_confusion(context, get_op(name));
        Shape shape = {static_cast<int64_t>(thresholds_of(context.attributes).values.size())};
        if (int64_t labels = label_count(context.attributes, context.inputs[1].shape)) shape.insert(shape.begin(), labels);
        return std::vector<Type>(cells.size(), {DType::f64, shape});
      },
      .reference = [pick](std::span<const HostTensor> inputs, const Attributes& a) { return pick(confusion_reference(inputs, a)); },
      .expand = [pick](Builder& b, std::span<const Value> inputs, const Attributes& a) { return pick(expand_confusion(b, inputs, a)); },
      .differentiable = false,
      .examples = weighted_examples(std::move(examples)),
  });
  std::vector<InputSpec> states;
  for (Cell cell : cells) states.push_back({cell_names[cell]});
  ops.push_back({
      .name = result_name,
      .family = OpFamily::metric,
      .doc = result_doc,
      .inputs = std::move(states),
      .attributes = std::move(attributes),
      .infer = [](const OpContext&) -> std::vector<Type> { return {{DType::f64, {}}}; },
      .reference = [result](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        // One curve after the other; more than one label: the weighted mean of theirs.
        auto n = static_cast<size_t>(inputs[0].shape.back());
        size_t labels = inputs[0].data.size() / n;
        double total = 0.0, weights = 0.0;
        for (size_t label = 0; label < labels; ++label) {
          std::vector<std::vector<double>> curve;
          for (const HostTensor& state : inputs) {
            auto first = state.data.begin() + static_cast<std::ptrdiff_t>(label * n);
            curve.emplace_back(first, first + static_cast<std::ptrdiff_t>(n));
          }
          double w = a.has("label_weights") && flag(a, "multi_label") ? a.reals("label_weights")[label] : 1.0;
          total += w * result(curve, a);
          weights += w;
        }
        return {make_tensor(DType::f64, {}, divide_or_zero(total, weights))};
      },
      .expand = [formula](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value each = formula(inputs, a);  // [] or [labels]
        if (each.rank() == 0) return {each};
        if (!a.has("label_weights")) return {b.reduce("reduce_mean", each, {0})};
        Value weights = vector_of(b, a.reals("label_weights"), DType::f64);
        return {divide_or_zero(b.reduce("reduce_sum", each * weights, {0}), b.reduce("reduce_sum", weights, {0}))};
      },
      .differentiable = false,
      .examples = std::move(result_examples),
  });
}

// ---- results ----

Value last_sum(Value x) { return x.builder->reduce("reduce_sum", x, {static_cast<int64_t>(x.rank()) - 1}); }

// The one number of a metric with one threshold.
Value only(Value x) { return x.builder->reshape(x, Shape(x.shape().begin(), x.shape().end() - 1)); }

// The greatest dependent rate where the constrained one is at least `value`, 0 where it never is.
template <typename Rates>
double best_under(std::span<const std::vector<double>> s, double value, Rates rates) {
  double best = 0.0;
  for (size_t i = 0; i < s[tp].size(); ++i) {
    auto [constrained, dependent] = rates(s[tp][i], s[fp][i], s[tn][i], s[fn][i]);
    if (constrained >= value) best = std::max(best, dependent);
  }
  return best;
}

Value best_under(Value constrained, Value dependent, double value) {
  Builder& b = *constrained.builder;
  Value zero = b.constant(0.0, DType::f64);
  Value feasible = b.call("greater_equal", {constrained, b.constant(value, DType::f64)});
  Value best = b.reduce("reduce_max", b.select(feasible, dependent, zero), {static_cast<int64_t>(constrained.rank()) - 1});
  return b.call("maximum", {best, zero});
}

Value recall_of(std::span<const Value> s) { return divide_or_zero(s[tp], s[tp] + s[fn]); }
Value precision_of(std::span<const Value> s) { return divide_or_zero(s[tp], s[tp] + s[fp]); }
Value specificity_of(std::span<const Value> s) { return divide_or_zero(s[tn], s[tn] + s[fp]); }

double auc(std::span<const std::vector<double>> s, const Attributes& a) {
  const std::string &curve = a.string("curve"), &method = a.string("summation_method");
  size_t n = s[tp].size();
  double area = 0.0;
  if (curve == "PR" && method == "interpolation") {  // Davis and Goadrich 2006
    for (size_t i = 0; i + 1 < n; ++i) {
      double dtp = s[tp][i] - s[tp][i + 1], p = s[tp][i] + s[fp][i], next = s[tp][i + 1] + s[fp][i + 1];
      double slope = divide_or_zero(dtp, std::max(p - next, 0.0)), intercept = s[tp][i + 1] - slope * next;
      double ratio = p > 0.0 && next > 0.0 ? p / next : 1.0;
      area += divide_or_zero(slope * (dtp + intercept * std::log(ratio)), std::max(s[tp][i + 1] + s[fn][i + 1], 0.0));
    }
    return area;
  }
  std::vector<double> x(n), y(n);
  for (size_t i = 0; i < n; ++i) {
    double t = s[tp][i], f = s[fp][i], positives = t + s[fn][i], negatives = f + s[tn][i];
    if (curve == "ROC") {
      x[i] = divide_or_zero(f, negatives);
      y[i] = divide_or_zero(t, positives);
    } else if (curve == "PR") {
      x[i] = divide_or_zero(t, positives);
      y[i] = divide_or_zero(t, t + f);
    } else {  // Flach and Kull 2015
      double scale = divide_or_zero(positives, negatives);
      x[i] = t == 0.0 ? 0.0 : std::max(1.0 - scale * s[fn][i] / t, 0.0);
      y[i] = t == 0.0 ? 1.0 : 1.0 - scale * f / t;
    }
  }
  for (size_t i = 0; i + 1 < n; ++i) {
    double height = method == "interpolation" ? (y[i] + y[i + 1]) / 2.0 : method == "minoring" ? std::min(y[i], y[i + 1]) : std::max(y[i], y[i + 1]);
    area += (x[i] - x[i + 1]) * height;
  }
  return area;
}

Value auc(std::span<const Value> s, const Attributes& a) {
  Builder& b = *s[0].builder;
  const std::string &curve = a.string("curve"), &method = a.string("summation_method");
  auto axis = static_cast<int64_t>(s[0].rank()) - 1;
  int64_t n = s[0].dim(-1).constant();
  Value zero = b.constant(0.0, DType::f64), one = b.constant(1.0, DType::f64);
  auto here = [&](Value x) { return b.slice(x, axis, 0, n - 1); };
  auto next = [&](Value x) { return b.slice(x, axis, 1, n - 1); };
  auto positive = [&](Value x) { return b.call("greater", {x, zero}); };
  if (curve == "PR" && method == "interpolation") {
    Value dtp = here(s[tp]) - next(s[tp]), p = s[tp] + s[fp];
    Value slope = divide_or_zero(dtp, at_least(here(p) - next(p), 0.0));
    Value intercept = next(s[tp]) - slope * next(p);
    Value both = b.call("logical_and", {positive(here(p)), positive(next(p))});
    Value ratio = b.select(both, here(p), one) / b.select(both, next(p), one);
    Value area = slope * (dtp + intercept * b.cast(b.call("log", {b.cast(ratio, DType::f32)}), DType::f64));
    return last_sum(divide_or_zero(area, at_least(next(s[tp]) + next(s[fn]), 0.0)));
  }
  Value x, y;
  if (curve == "ROC") {
    x = divide_or_zero(s[fp], s[fp] + s[tn]);
    y = recall_of(s);
  } else if (curve == "PR") {
    x = recall_of(s);
    y = precision_of(s);
  } else {
    Value none = b.call("equal", {s[tp], zero});
    Value scale = divide_or_zero(s[tp] + s[fn], s[tn] + s[fp]);
    x = b.select(none, zero, at_least(1.0 - scale * divide_or_zero(s[fn], s[tp]), 0.0));
    y = b.select(none, one, 1.0 - scale * divide_or_zero(s[fp], s[tp]));
  }
  Value heights = method == "interpolation" ? (here(y) + next(y)) * 0.5 : b.call(method == "minoring" ? "minimum" : "maximum", {here(y), next(y)});
  return last_sum((here(x) - next(x)) * heights);
}

}  // namespace

std::vector<Op> confusion_metrics() {
  using T = AttributeType;
  AttributeSpec thresholds{.name = "thresholds", .type = T::reals, .optional = true, .least = 0, .most = 1, .doc = "0.5 if left out"};
  AttributeSpec top_k{.name = "top_k", .type = T::integer, .optional = true, .least = 1, .doc = "only the so many greatest are positive"};
  AttributeSpec class_id{.name = "class_id", .type = T::integer, .optional = true, .least = 0, .doc = "only this column counts"};
  AttributeSpec num_thresholds{.name = "num_thresholds", .type = T::integer, .default_value = 200, .least = 1};
  auto rate = [](std::string_view name) { return AttributeSpec{.name = name, .type = T::real, .least = 0, .most = 1}; };
  Example::Tensor labels{.shape = {17, 1}, .low = 0, .high = 2, .dtype = DType::i32}, scores{{17, 1}, 0, 1};
  Example::Tensor columns{.shape = {9, 4}, .values = {0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0}}, column_scores{{9, 4}, 0, 1};
  std::vector<Example> plain = {{.inputs = {labels, scores}}, {.inputs = {columns, column_scores}, .attributes = {{"thresholds", std::vector<double>{0.3}}}}};
  std::vector<Example> by_class = plain;
  by_class.push_back({.inputs = {columns, column_scores}, .attributes = {{"class_id", 2}}});
  by_class.push_back({.inputs = {columns, column_scores}, .attributes = {{"top_k", 2}}});
  by_class.push_back({.inputs = {columns, column_scores}, .attributes = {{"top_k", 1}, {"class_id", 0}}});

  std::vector<Op> ops;
  auto count = [&](std::string_view name, std::string_view result, Cell cell) {
    add_metric(ops, name, result,
               "Sum of weights where y_pred is (positives) or is not (negatives) above the threshold, and y_true agrees (true) or does "
               "not (false).   y_true, y_pred: [batch, ...], sample_weight: [batch] -> f64[1]",
               "The sum itself.   f64[1] -> f64[]", {cell}, {thresholds}, [](auto s, const Attributes&) { return s[0][0]; },
               [](auto s, const Attributes&) { return only(s[0]); }, plain);
  };
  count("metric_true_positives", "metric_true_positives_result", tp);
  count("metric_false_positives", "metric_false_positives_result", fp);
  count("metric_true_negatives", "metric_true_negatives_result", tn);
  count("metric_false_negatives", "metric_false_negatives_result", fn);
  auto quotient = [&](std::string_view name, std::string_view result, std::string_view result_doc, Cell other) {
    add_metric(ops, name, result,
               "Sums of weights of true positives and of what else counts: y_pred above the threshold is positive; with class_id only in "
               "that column, with top_k only among the greatest of a row.   y_true, y_pred: [batch, ..., classes], sample_weight: "
               "[batch] -> f64[1], f64[1]",
               result_doc, {tp, other}, {thresholds, top_k, class_id},
               [](auto s, const Attributes&) { return divide_or_zero(s[0][0], s[0][0] + s[1][0]); },
               [](auto s, const Attributes&) { return only(divide_or_zero(s[0], s[0] + s[1])); }, by_class);
  };
  quotient("metric_precision", "metric_precision_result", "tp / (tp + fp), 0 if there are none.   f64[1], f64[1] -> f64[]", fp);
  quotient("metric_recall", "metric_recall_result", "tp / (tp + fn), 0 if there are none.   f64[1], f64[1] -> f64[]", fn);

  auto point = [&](std::string_view name, std::string_view result, std::string_view result_doc, std::string_view value, Result reference,
                   ResultFormula formula) {
    std::vector<Example> examples = {
        {.inputs = {labels, scores}, .attributes = {{std::string(value), 0.5}}},
        {.inputs = {columns, column_scores}, .attributes = {{std::string(value), 0.3}, {"num_thresholds", 7}, {"class_id", 1}}},
        {.inputs = {labels, scores}, .attributes = {{std::string(value), 0.1}, {"num_thresholds", 1}}}};
    add_metric(ops, name, result,
               "Sums of weights of true and false positives and negatives at num_thresholds thresholds from 0 to 1.   y_true, y_pred: "
               "[batch, ...], sample_weight: [batch] -> four times f64[thresholds]",
               result_doc, {tp, fp, tn, fn}, {rate(value), num_thresholds, class_id}, reference, formula, examples);
  };
  point(
      "metric_sensitivity_at_specificity", "metric_sensitivity_at_specificity_result",
      "The greatest tp / (tp + fn) of the thresholds with tn / (tn + fp) >= specificity", "specificity",
      [](auto s, const Attributes& a) {
        return best_under(s, a.real("specificity"), [](double t, double f, double n, double m) {
          return std::pair(divide_or_zero(n, n + f), divide_or_zero(t, t + m));
        });
      },
      [](auto s, const Attributes& a) { return best_under(specificity_of(s), recall_of(s), a.real("specificity")); });
  point(
      "metric_specificity_at_sensitivity", "metric_specificity_at_sensitivity_result",
      "The greatest tn / (tn + fp) of the thresholds with tp / (tp + fn) >= sensitivity", "sensitivity",
      [](auto s, const Attributes& a) {
        return best_under(s, a.real("sensitivity"), [](double t, double f, double n, double m) {
          return std::pair(divide_or_zero(t, t + m), divide_or_zero(n, n + f));
        });
      },
      [](auto s, const Attributes& a) { return best_under(recall_of(s), specificity_of(s), a.real("sensitivity")); });
  point(
      "metric_precision_at_recall", "metric_precision_at_recall_result",
      "The greatest tp / (tp + fp) of the thresholds with tp / (tp + fn) >= recall", "recall",
      [](auto s, const Attributes& a) {
        return best_under(s, a.real("recall"), [](double t, double f, double, double m) {
          return std::pair(divide_or_zero(t, t + m), divide_or_zero(t, t + f));
        });
      },
      [](auto s, const Attributes& a) { return best_under(recall_of(s), precision_of(s), a.real("recall")); });
  point(
      "metric_recall_at_precision", "metric_recall_at_precision_result",
      "The greatest tp / (tp + fn) of the thresholds with tp / (tp + fp) >= precision", "precision",
      [](auto s, const Attributes& a) {
        return best_under(s, a.real("precision"), [](double t, double f, double, double m) {
          return std::pair(divide_or_zero(t, t + f), divide_or_zero(t, t + m));
        });
      },
      [](auto s, const Attributes& a) { return best_under(precision_of(s), recall_of(s), a.real("precision")); });

  std::vector<Example> curves = {{.inputs = {labels, scores}}};
  for (const char* curve : {"ROC", "PR", "PRGAIN"})
    for (const char* method : {"interpolation", "minoring", "majoring"})
      curves.push_back({.inputs = {labels, scores}, .attributes = {{"curve", curve}, {"summation_method", method}, {"num_thresholds", 9}}});
  curves.push_back({.inputs = {columns, column_scores}, .attributes = {{"thresholds", std::vector<double>{0.2, 0.7}}, {"label_weights", std::vector<double>{1, 2, 0, 1}}}});
  curves.push_back({.inputs = {columns, {{9, 4}, -3, 3}},
                    .attributes = {{"multi_label", true}, {"num_thresholds", 11}, {"from_logits", true}, {"label_weights", std::vector<double>{1, 2, 0, 1}}}});
  curves.push_back({.inputs = {columns, column_scores}, .attributes = {{"multi_label", true}, {"num_thresholds", 5}, {"num_labels", 4}, {"curve", "PR"}}});
  add_metric(ops, "metric_auc", "metric_auc_result",
             "Sums of weights of true and false positives and negatives at thresholds from just below 0 to just above 1: num_thresholds "
             "evenly spaced ones, or those given between the ends; with multi_label for each column by itself.   y_true, y_pred: "
             "[batch, ...], sample_weight: [batch] -> four times f64[thresholds] or f64[labels, thresholds]",
             "The area under the curve: ROC (recall over false positive rate), PR (precision over recall; interpolation as Davis and "
             "Goadrich 2006) or PRGAIN (Flach and Kull 2015), between thresholds trapezoids, or the smaller (minoring) or greater "
             "(majoring) end; with multi_label the mean over labels, weighted by label_weights",
             {tp, fp, tn, fn},
             {{.name = "num_thresholds", .type = T::integer, .default_value = 200, .least = 2},
              {.name = "curve", .type = T::string, .default_value = "ROC", .choices = {"ROC", "PR", "PRGAIN"}},
              {.name = "summation_method", .type = T::string, .default_value = "interpolation", .choices = {"interpolation", "minoring", "majoring"}},
              {.name = "thresholds", .type = T::reals, .optional = true, .least = 0, .most = 1},
              {.name = "multi_label", .type = T::boolean, .default_value = false},
              {.name = "num_labels", .type = T::integer, .optional = true, .least = 0},
              {.name = "label_weights", .type = T::reals, .optional = true, .least = 0},
              {.name = "from_logits", .type = T::boolean, .default_value = false}},
             auc, auc, curves);
  return ops;
}

}  // namespace moru
