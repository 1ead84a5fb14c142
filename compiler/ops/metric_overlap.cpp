// Metrics of classes that overlap: F scores of columns, intersection over union of class maps.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"
#include "compiler/ops/metric.h"

namespace moru {

namespace {

using T = AttributeType;

// ---- F scores: true positives, false positives, false negatives and weights of positives, for each column or for all ----

std::vector<AttributeSpec> f_attributes(bool with_beta) {
  std::vector<AttributeSpec> attributes = {
      {.name = "average", .type = T::string, .optional = true, .choices = {"micro", "macro", "weighted"}, .doc = "of several columns"},
      {.name = "threshold", .type = T::real, .optional = true, .least = 0, .most = 1, .doc = "if left out the greatest of a row is positive"}};
  if (with_beta) attributes.push_back({.name = "beta", .type = T::real, .default_value = 1.0, .least = 0});
  return attributes;
}

bool is_micro(const Attributes& a) { return a.has("average") && a.string("average") == "micro"; }
double beta_square(const Attributes& a) { return a.has("beta") ? a.real("beta") * a.real("beta") : 1.0; }

std::vector<Type> infer_f(const OpContext& context, std::string_view name) {
  const Op& op = get_op(name);
  check_metric_weight(context, op, 2);
  check_targets(context, op);
  const Shape& y_pred = context.inputs[1].shape;
  if (y_pred.size() != 2 || !y_pred[1].is_constant()) fail(context, op, "needs predictions [batch, columns] but got " + shape_text(y_pred));
  if (!context.attributes.has("average") && !y_pred[1].is_constant(1))
    fail(context, op, "gives a number for each of the columns of " + shape_text(y_pred) + ", and a history takes one",
         "set 'average' to macro, micro or weighted");
  if (context.attributes.has("beta") && context.attributes.real("beta") <= 0.0) fail(context, op, "needs a beta above 0");
  return std::vector<Type>(4, {DType::f64, is_micro(context.attributes) ? Shape{} : Shape{y_pred[1]}});
}

std::vector<HostTensor> f_reference(std::span<const HostTensor> inputs, const Attributes& a) {
  const HostTensor &t = inputs[0], &p = inputs[1], *weight = find_input(inputs, 2);
  auto columns = static_cast<size_t>(p.shape[1]);
  std::vector<int64_t> shape;
  if (!is_micro(a)) shape = {p.shape[1]};
  std::vector<HostTensor> states(4, make_tensor(DType::f64, shape));
  for (size_t i = 0; i < p.data.size(); ++i) {
    auto row = p.data.begin() + static_cast<std::ptrdiff_t>(i / columns * columns);
    double most = *std::max_element(row, row + static_cast<std::ptrdiff_t>(columns));
    double found = a.has("threshold") ? p.data[i] > a.real("threshold") : p.data[i] >= most && std::fabs(p.data[i]) > 1e-9;
    double w = weight ? weight->data[i / columns] : 1.0, increments[] = {found * t.data[i], found * (1.0 - t.data[i]), (1.0 - found) * t.data[i], t.data[i]};
    for (size_t k = 0; k < 4; ++k) states[k].data[is_micro(a) ? 0 : i % columns] += w * increments[k];
  }
  return states;
}

std::vector<Value> expand_f(Builder& b, std::span<const Value> inputs, const Attributes& a) {
  Value p = inputs[1], t = b.cast(align_target(inputs[0], p), DType::f64), found;
  DType dtype = p.type().dtype;
  if (a.has("threshold")) {
    found = b.call("greater", {p, b.constant(a.real("threshold"), dtype)});
  } else {
    Value greatest = b.call("greater_equal", {p, b.reduce("reduce_max", p, {1}, true)});
    found = b.call("logical_and", {greatest, b.call("greater", {b.call("abs", {p}), b.constant(1e-9, dtype)})});
  }
  found = b.cast(found, DType::f64);
  Value weight = weight_of_elements(find_input(inputs, 2), p.shape());
  auto sum = [&](Value x) { return b.reduce("reduce_sum", weight ? x * weight : x, is_micro(a) ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{0}); };
  return {sum(found * t), sum(found * (1.0 - t)), sum((1.0 - found) * t), sum(t)};
}

std::vector<HostTensor> f_result_reference(std::span<const HostTensor> s, const Attributes& a) {
  double total = 0.0, weights = 0.0, square = beta_square(a);
  bool weighted = a.has("average") && a.string("average") == "weighted";
  for (size_t i = 0; i < s[0].data.size(); ++i) {
    double precision = divide_or_zero(s[0].data[i], s[0].data[i] + s[1].data[i]), recall = divide_or_zero(s[0].data[i], s[0].data[i] + s[2].data[i]);
    double score = (1.0 + square) * divide_or_zero(precision * recall, square * precision + recall), w = weighted ? s[3].data[i] : 1.0;
    total += w * score;
    weights += w;
  }
  return {make_tensor(DType::f64, {}, divide_or_zero(total, weights))};
}

std::vector<Value> expand_f_result(Builder& b, std::span<const Value> s, const Attributes& a) {
  double square = beta_square(a);
  Value precision = divide_or_zero(s[0], s[0] + s[1]), recall = divide_or_zero(s[0], s[0] + s[2]);
  Value score = divide_or_zero(precision * recall, precision * square + recall) * (1.0 + square);
  if (score.rank() == 0) return {score};
  if (a.has("average") && a.string("average") == "weighted")
    return {b.reduce("reduce_sum", score * divide_or_zero(s[3], b.reduce("reduce_sum", s[3], {0})), {0})};
  return {b.reduce("reduce_mean", score, {0})};
}

void add_f_score(std::vector<Op>& ops, std::string_view name, std::string_view result_name, bool with_beta) {
  Example::Tensor labels{.shape = {9, 3}, .values = {0, 1, 1, 0, 1, 0, 0, 1, 1, 1}}, scores{{9, 3}, 0, 1};
  Example::Tensor one{.shape = {17, 1}, .low = 0, .high = 2, .dtype = DType::i32}, one_score{{17, 1}, 0, 1};
  std::vector<Attributes> variants = {{{"average", "macro"}}, {{"average", "micro"}, {"threshold", 0.4}}, {{"average", "weighted"}, {"threshold", 0.6}}};
  std::vector<Example> examples = {{.inputs = {one, one_score}, .attributes = {{"threshold", 0.5}}}}, results;
  for (Attributes variant : variants) {
    if (with_beta) variant.set("beta", 2.0);
    examples.push_back({.inputs = {labels, scores}, .attributes = variant});
    Example::Tensor state{.shape = {3}, .low = 1, .high = 9, .dtype = DType::f64}, none{.shape = {3}, .low = 0, .high = 0, .dtype = DType::f64};
    if (variant.string("average") == "micro") state.shape = none.shape = {};
    results.push_back({.inputs = {state, state, state, state}, .attributes = variant, .differentiable = false});
    results.push_back({.inputs = {none, none, none, none}, .attributes = variant, .differentiable = false});
  }
  ops.push_back({.name = name,
                 .family = OpFamily::metric,
                 .doc = "Sums over the batch of weight times found y_true, found (1 - y_true), (1 - found) y_true and y_true; found is "
                        "y_pred > threshold, or without one whether it is the greatest of its row.   y_true, y_pred: [batch, columns], "
                        "sample_weight: [batch] -> four times f64[columns], f64[] with average micro",
                 .inputs = metric_inputs(),
                 .attributes = f_attributes(with_beta),
                 .infer = [name](const OpContext& context) { return infer_f(context, name); },
                 .reference = f_reference,
                 .expand = expand_f,
                 .differentiable = false,
                 .examples = weighted_examples(std::move(examples))});
  ops.push_back({.name = result_name,
                 .family = OpFamily::metric,
                 .doc = "(1 + beta^2) p r / (beta^2 p + r), p = tp / (tp + fp), r = tp / (tp + fn), beta = 1 for the F1 score; macro: the "
                        "mean over columns, weighted: by their positives, micro: of all columns' sums; 0 where there are none",
                 .inputs = {{"true_positives"}, {"false_positives"}, {"false_negatives"}, {"positives"}},
                 .attributes = f_attributes(with_beta),
                 .infer = [](const OpContext&) -> std::vector<Type> { return {{DType::f64, {}}}; },
                 .reference = f_result_reference,
                 .expand = expand_f_result,
                 .differentiable = false,
                 .examples = std::move(results)});
}

// ---- intersection over union: sums of weights by true and predicted class ----

bool is_sparse(const Attributes& a, std::string_view name, bool otherwise) { return a.has(name) ? a.boolean(name) : otherwise; }

int64_t class_count(const Attributes& a) { return a.has("num_classes") ? a.integer("num_classes") : 2; }

std::vector<int64_t> target_classes(const Attributes& a) {
  if (a.has("target_class_ids")) return a.integers("target_class_ids");
  std::vector<int64_t> all(static_cast<size_t>(class_count(a)));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

struct IouMetric {
  std::string_view name, result_name;
  std::vector<AttributeSpec> attributes;
  bool sparse_true, sparse_pred;  // where the metric has no such attribute
};

bool sparse_true(const IouMetric& m, const Attributes& a) { return a.has("threshold") || is_sparse(a, "sparse_y_true", m.sparse_true); }
bool sparse_pred(const IouMetric& m, const Attributes& a) { return a.has("threshold") || is_sparse(a, "sparse_y_pred", m.sparse_pred); }

size_t axis_in(const Attributes& a, size_t rank) {
  int64_t axis = a.has("axis") ? a.integer("axis") : -1;
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

Shape class_map(const OpContext& context, const Op& op, size_t input, bool sparse) {
  const Type& type = context.inputs[input];
  if (sparse) return type.shape;
  int64_t axis = context.attributes.has("axis") ? context.attributes.integer("axis") : -1;
  return without_axis(type, checked_axis(context, op, axis, type.shape.size())).shape;
}

std::vector<Type> infer_iou(const IouMetric& metric, const OpContext& context) {
  const Op& op = get_op(metric.name);
  const Attributes& a = context.attributes;
  check_metric_weight(context, op, 2);
  Shape t = class_map(context, op, 0, sparse_true(metric, a)), p = class_map(context, op, 1, sparse_pred(metric, a));
  if (element_count(t) != element_count(p))
    fail(context, op, "needs a class for each prediction but got " + shapes_text(context.inputs.first(2)),
         "sparse_y_true and sparse_y_pred say whether classes are indices or an axis");
  for (int64_t id : target_classes(a))
    if (id < 0 || id >= class_count(a))
      fail(context, op, "has the target class " + std::to_string(id) + " of " + std::to_string(class_count(a)), "classes count from 0");
  Dim classes(class_count(a));
  return {{DType::f64, {classes, classes}}};
}

// Class of each element, -1 for those outside.
std::vector<int64_t> classes_of(const HostTensor& x, bool sparse, const Attributes& a) {
  std::vector<int64_t> classes;
  if (!sparse) {
    size_t axis = axis_in(a, x.shape.size());
    classes.resize(loss_tensor(x, axis).data.size());
    for_each_loss_row(x, axis, [&](size_t at, std::span<const size_t> row) {
      size_t best = 0;
      for (size_t k = 1; k < row.size(); ++k)
        if (x.data[row[k]] > x.data[row[best]]) best = k;
      classes[at] = static_cast<int64_t>(best);
    });
  } else {
    for (double v : x.data) classes.push_back(static_cast<int64_t>(v));
  }
  return classes;
}

std::vector<HostTensor> iou_reference(const IouMetric& metric, std::span<const HostTensor> inputs, const Attributes& a) {
  HostTensor predictions = inputs[1];
  if (a.has("threshold"))
    for (double& p : predictions.data) p = p >= a.real("threshold");
  std::vector<int64_t> t = classes_of(inputs[0], sparse_true(metric, a), a), p = classes_of(predictions, sparse_pred(metric, a), a);
  const HostTensor* weight = find_input(inputs, 2);
  int64_t n = class_count(a);
  HostTensor matrix = make_tensor(DType::f64, {n, n});
  for (size_t i = 0; i < t.size(); ++i) {
    if (t[i] < 0 || t[i] >= n || p[i] < 0 || p[i] >= n) continue;
    if (a.has("ignore_class") && t[i] == a.integer("ignore_class")) continue;
    matrix.data[static_cast<size_t>(t[i] * n + p[i])] += weight ? weight->data[i / (t.size() / weight->data.size())] : 1.0;
  }
  return {matrix};
}

std::vector<Value> expand_iou(const IouMetric& metric, Builder& b, std::span<const Value> inputs, const Attributes& a) {
  int64_t n = class_count(a);
  auto classes = [&](Value x, bool sparse) {
    if (!sparse) return b.call("arg_max", {x}, {{"axis", static_cast<int64_t>(axis_in(a, x.rank()))}});
    return b.cast(x, DType::i32);
  };
  Value y_pred = inputs[1];
  if (a.has("threshold")) y_pred = b.call("greater_equal", {y_pred, b.constant(a.real("threshold"), y_pred.type().dtype)});
  Value t = classes(inputs[0], sparse_true(metric, a)), p = classes(y_pred, sparse_pred(metric, a));
  Shape flat = {element_count(t.shape())};
  Value weight = weight_of_elements(find_input(inputs, 2), t.shape());
  auto one_hot = [&](Value x) { return b.call("one_hot", {b.reshape(x, flat)}, {{"depth", n}, {"dtype", "f64"}}); };
  Value truth = one_hot(t);
  if (a.has("ignore_class")) {
    Value counts = b.call("not_equal", {t, b.constant(static_cast<double>(a.integer("ignore_class")), DType::i32)});
    Value each = b.cast(counts, DType::f64);
    weight = weight ? weight * each : each;
  }
  if (weight) truth = truth * b.reshape(weight, {flat[0], 1});
  Value predicted = one_hot(p);
  return {b.reduce("reduce_sum", b.reshape(truth, {flat[0], n, 1}) * b.reshape(predicted, {flat[0], 1, n}), {0})};
}

std::vector<HostTensor> iou_result_reference(std::span<const HostTensor> s, const Attributes& a) {
  auto n = static_cast<size_t>(s[0].shape[0]);
  double total = 0.0, valid = 0.0;
  for (int64_t id : target_classes(a)) {
    auto k = static_cast<size_t>(id);
    double both = s[0].data[k * n + k], either = -both;
    for (size_t i = 0; i < n; ++i) either += s[0].data[k * n + i] + s[0].data[i * n + k];
    if (either <= 1e-9) continue;
    total += both / (either + keras_epsilon);
    valid += 1.0;
  }
  return {make_tensor(DType::f64, {}, total / (valid + keras_epsilon))};
}

std::vector<Value> expand_iou_result(Builder& b, std::span<const Value> s, const Attributes& a) {
  Value matrix = s[0];
  int64_t n = class_count(a);
  auto number = [&](int64_t axis) { return b.call("iota", {}, {{"shape", Shape{n, n}}, {"axis", axis}}); };
  Value diagonal = b.cast(b.call("equal", {number(0), number(1)}), DType::f64);
  Value both = b.reduce("reduce_sum", matrix * diagonal, {1});
  Value either = b.reduce("reduce_sum", matrix, {0}) + b.reduce("reduce_sum", matrix, {1}) - both;
  Value place = b.call("iota", {}, {{"shape", Shape{n}}}), wanted;
  for (int64_t id : target_classes(a)) {  // a class named twice counts twice
    Value one = b.cast(b.call("equal", {place, b.constant(static_cast<double>(id), DType::i32)}), DType::f64);
    wanted = wanted ? wanted + one : one;
  }
  Value valid = wanted * b.cast(b.call("greater", {either, b.constant(1e-9, DType::f64)}), DType::f64);
  Value iou = both / (either + keras_epsilon) * valid;
  return {b.reduce("reduce_sum", iou, {0}) / (b.reduce("reduce_sum", valid, {0}) + keras_epsilon)};
}

void add_iou(std::vector<Op>& ops, const IouMetric& metric, std::vector<Example> examples) {
  std::vector<Example> results;
  for (const Example& example : examples) {
    int64_t n = example.attributes.has("num_classes") ? example.attributes.integer("num_classes") : 2;
    results.push_back({.inputs = {{.shape = {n, n}, .low = 0, .high = 9, .dtype = DType::f64}}, .attributes = example.attributes, .differentiable = false});
    results.push_back({.inputs = {{.shape = {n, n}, .low = 0, .high = 0, .dtype = DType::f64}}, .attributes = example.attributes, .differentiable = false});
  }
  ops.push_back({.name = metric.name,
                 .family = OpFamily::metric,
                 .doc = "Sums of weights by true and predicted class; classes outside 0 .. num_classes - 1 and ignore_class do not count. "
                        "Classes are indices, the greatest along `axis`, or whether y_pred >= threshold.   y_true, y_pred: [batch, ...], "
                        "sample_weight: [batch] -> f64[classes, classes]",
                 .inputs = metric_inputs(),
                 .attributes = metric.attributes,
                 .infer = [metric](const OpContext& context) { return infer_iou(metric, context); },
                 .reference = [metric](std::span<const HostTensor> inputs, const Attributes& a) { return iou_reference(metric, inputs, a); },
                 .expand = [metric](Builder& b, std::span<const Value> inputs, const Attributes& a) { return expand_iou(metric, b, inputs, a); },
                 .differentiable = false,
                 .examples = weighted_examples(std::move(examples))});
  ops.push_back({.name = metric.result_name,
                 .family = OpFamily::metric,
                 .doc = "Mean over the target classes that occur of both / (either + 1e-7): weight in the class by truth and prediction, "
                        "over weight in it by either.   f64[classes, classes] -> f64[]",
                 .inputs = {{"confusion"}},
                 .attributes = metric.attributes,
                 .infer = [](const OpContext&) -> std::vector<Type> { return {{DType::f64, {}}}; },
                 .reference = iou_result_reference,
                 .expand = expand_iou_result,
                 .differentiable = false,
                 .examples = std::move(results)});
}

}  // namespace

std::vector<Op> overlap_metrics() {
  AttributeSpec num_classes{.name = "num_classes", .type = T::integer, .least = 2};
  AttributeSpec targets{.name = "target_class_ids", .type = T::integers, .doc = "the classes whose mean is shown"};
  AttributeSpec all_targets = targets;
  all_targets.default_value = std::vector<int64_t>{0, 1};
  AttributeSpec ignore{.name = "ignore_class", .type = T::integer, .optional = true};
  AttributeSpec true_indices{.name = "sparse_y_true", .type = T::boolean, .default_value = true, .doc = "classes as indices"};
  AttributeSpec pred_indices{.name = "sparse_y_pred", .type = T::boolean, .default_value = true, .doc = "classes as indices"};
  AttributeSpec pred_scores = pred_indices;
  pred_scores.default_value = false;
  AttributeSpec axis{.name = "axis", .type = T::integer, .default_value = -1, .doc = "of classes that are not indices"};
  Example::Tensor indices{.shape = {5, 4}, .low = 0, .high = 3, .dtype = DType::i32}, predicted{.shape = {5, 4}, .low = 0, .high = 3};
  predicted.values = {0, 2, 1, 1, 0, 2, 2};
  Example::Tensor scores{{5, 4, 3}, 0, 1}, truth = scores;
  std::vector<Op> ops;
  add_f_score(ops, "metric_fbeta_score", "metric_fbeta_score_result", true);
  add_f_score(ops, "metric_f1_score", "metric_f1_score_result", false);
  add_iou(ops, {"metric_iou", "metric_iou_result", {num_classes, targets, ignore, true_indices, pred_indices, axis}, true, true},
          {{.inputs = {indices, predicted}, .attributes = {{"num_classes", 3}, {"target_class_ids", std::vector<int64_t>{0, 2}}}},
           {.inputs = {indices, scores}, .attributes = {{"num_classes", 3}, {"target_class_ids", std::vector<int64_t>{1}}, {"sparse_y_pred", false}, {"ignore_class", 0}}}});
  add_iou(ops, {"metric_mean_iou", "metric_mean_iou_result", {num_classes, ignore, true_indices, pred_indices, axis}, true, true},
          {{.inputs = {indices, predicted}, .attributes = {{"num_classes", 3}}},
           {.inputs = {{{5, 3, 4}, 0, 1}, {{5, 3, 4}, 0, 1}}, .attributes = {{"num_classes", 3}, {"sparse_y_true", false}, {"sparse_y_pred", false}, {"axis", 1}}}});
  add_iou(ops, {"metric_one_hot_iou", "metric_one_hot_iou_result", {num_classes, targets, ignore, pred_scores, axis}, false, false},
          {{.inputs = {truth, scores}, .attributes = {{"num_classes", 3}, {"target_class_ids", std::vector<int64_t>{0, 2}}}}});
  add_iou(ops, {"metric_one_hot_mean_iou", "metric_one_hot_mean_iou_result", {num_classes, ignore, pred_scores, axis}, false, false},
          {{.inputs = {truth, scores}, .attributes = {{"num_classes", 3}}}});
  add_iou(ops, {"metric_binary_iou", "metric_binary_iou_result",
                {all_targets, {.name = "threshold", .type = T::real, .default_value = 0.5, .least = 0, .most = 1}}, true, true},
          {{.inputs = {{.shape = {17, 1}, .low = 0, .high = 2, .dtype = DType::i32}, {{17, 1}, 0, 1}}},
           {.inputs = {{.shape = {17, 1}, .low = 0, .high = 2, .dtype = DType::i32}, {{17, 1}, 0, 1}},
            .attributes = {{"threshold", 0.3}, {"target_class_ids", std::vector<int64_t>{1}}}}});
  return ops;
}

}  // namespace moru
