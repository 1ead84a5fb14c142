// Metrics that count how often a prediction hits its target: accuracies, of the k most likely classes too.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/loss.h"
#include "compiler/ops/metric.h"

namespace moru {

namespace {

using MatchesFn = Value (*)(Value y_true, Value y_pred, const Attributes&);
using ReferenceMatchesFn = HostTensor (*)(const HostTensor& y_true, const HostTensor& y_pred, const Attributes&);

Op accuracy(std::string_view name, std::string_view doc, bool indices, MatchesFn matches, ReferenceMatchesFn reference,
            std::vector<AttributeSpec> attributes, std::vector<Example> examples) {
  return {
      .name = name,
      .family = OpFamily::metric,
      .doc = doc,
      .inputs = masked_metric_inputs(),
      .attributes = std::move(attributes),
      .infer = [name, indices](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        check_metric_weight(context, op, 2);
        refuse_attributes(context, op, {"from_sorted_ids"});
        indices ? check_class_indices(context, op) : check_targets(context, op);
        check_metric_mask(context, op, context.inputs[1].shape);
        return mean_states();
      },
      .reference = [reference](std::span<const HostTensor> inputs, const Attributes& a) {
        return mean_increments(reference(inputs[0], inputs[1], a), find_input(inputs, 2), find_input(inputs, 3));
      },
      .expand = [matches](Builder& builder, std::span<const Value> inputs, const Attributes& a) {
        return mean_increments(builder.cast(matches(inputs[0], inputs[1], a), DType::f32), find_input(inputs, 2), find_input(inputs, 3));
      },
      .differentiable = false,
      .examples = masked_examples(std::move(examples)),
  };
}

Value binary_matches(Value y_true, Value y_pred, const Attributes& a) {
  Builder& builder = *y_pred.builder;
  Value positive = builder.call("greater", {y_pred, builder.constant(a.real("threshold"), y_pred.type().dtype)});
  return builder.call("equal", {builder.cast(positive, y_pred.type().dtype), align_target(y_true, y_pred)});
}

HostTensor binary_reference(const HostTensor& y_true, const HostTensor& y_pred, const Attributes& a) {
  HostTensor matches = y_pred;
  for (size_t i = 0; i < y_pred.data.size(); ++i)
    matches.data[i] = (y_pred.data[i] > a.real("threshold") ? 1.0 : 0.0) == y_true.data[i];
  return matches;
}

Value most_likely(Value x) { return x.builder->call("arg_max", {x}, {{"axis", static_cast<int64_t>(x.rank()) - 1}}); }

// The index of the largest element of each row, the first of equal ones.
HostTensor most_likely(const HostTensor& x) {
  HostTensor index = make_tensor(DType::i32, {x.shape.begin(), x.shape.end() - 1});
  auto classes = static_cast<std::ptrdiff_t>(x.shape.back());
  for (size_t i = 0; i < index.data.size(); ++i) {
    auto row = x.data.begin() + static_cast<std::ptrdiff_t>(i) * classes;
    index.data[i] = static_cast<double>(std::max_element(row, row + classes) - row);
  }
  return index;
}

HostTensor equal_elements(HostTensor a, const HostTensor& b) {
  for (size_t i = 0; i < a.data.size(); ++i) a.data[i] = a.data[i] == b.data[i];
  return a;
}

Value categorical_matches(Value y_true, Value y_pred, const Attributes&) {
  return y_pred.builder->call("equal", {most_likely(align_target(y_true, y_pred)), most_likely(y_pred)});
}

HostTensor categorical_reference(const HostTensor& y_true, const HostTensor& y_pred, const Attributes&) {
  return equal_elements(most_likely(y_pred), most_likely(y_true));
}

Value sparse_matches(Value y_true, Value y_pred, const Attributes&) {
  Builder& builder = *y_pred.builder;
  Value label = builder.reshape(builder.cast(y_true, DType::i32), Shape(y_pred.shape().begin(), y_pred.shape().end() - 1));
  return builder.call("equal", {label, most_likely(y_pred)});
}

HostTensor sparse_reference(const HostTensor& y_true, const HostTensor& y_pred, const Attributes&) {
  return equal_elements(most_likely(y_pred), y_true);
}

// The place of the label among the predictions of its row is below k: how many are greater.
Value ranks_below(Value p, Value chosen, const Attributes& a) {
  Builder& b = *p.builder;
  auto last = static_cast<int64_t>(p.rank()) - 1;
  Value own = b.reduce("reduce_sum", b.select(chosen, p, b.constant(0.0, p.type().dtype)), {last}, true);
  Value greater = b.reduce("reduce_sum", b.cast(b.call("greater", {p, own}), p.type().dtype), {last});
  return b.call("less", {greater, b.constant(static_cast<double>(a.integer("k")), p.type().dtype)});
}

Value is_class(Value index, Value p) {
  Builder& b = *p.builder;
  Shape column(p.shape().begin(), p.shape().end() - 1), row(p.rank(), Dim(1));
  column.push_back(Dim(1));
  row.back() = p.dim(-1);
  return b.call("equal", {b.reshape(b.cast(index, DType::i32), column), b.call("iota", {}, {{"shape", row}, {"axis", -1}})});
}

Value top_k_matches(Value y_true, Value y_pred, const Attributes& a) {
  return ranks_below(y_pred, is_class(most_likely(align_target(y_true, y_pred)), y_pred), a);
}
Value sparse_top_k_matches(Value y_true, Value y_pred, const Attributes& a) {
  return ranks_below(y_pred, is_class(y_true, y_pred), a);
}

HostTensor sparse_top_k_reference(const HostTensor& y_true, const HostTensor& y_pred, const Attributes& a) {
  HostTensor matches = most_likely(y_pred);
  auto classes = static_cast<size_t>(y_pred.shape.back());
  for (size_t i = 0; i < matches.data.size(); ++i) {
    const double* row = y_pred.data.data() + i * classes;
    int64_t greater = 0;
    for (size_t k = 0; k < classes; ++k) greater += row[k] > row[static_cast<size_t>(y_true.data[i])];
    matches.data[i] = greater < a.integer("k");
  }
  return matches;
}
HostTensor top_k_reference(const HostTensor& y_true, const HostTensor& y_pred, const Attributes& a) {
  return sparse_top_k_reference(most_likely(y_true), y_pred, a);
}

}  // namespace

std::vector<Op> accuracy_metrics() {
  std::vector<Op> ops;
  std::vector<AttributeSpec> threshold = {
      {.name = "threshold", .type = AttributeType::real, .default_value = 0.5, .least = 0, .most = 1}};
  ops.push_back(accuracy(
      "metric_accuracy_binary",
      "How often (y_pred > threshold) = y_true: sum of matches * weight and sum of weights.   y_true, y_pred: [batch, ...]", false,
      binary_matches, binary_reference, threshold,
      {{.inputs = {{{17, 1}, 0, 2, DType::i32}, {{17, 1}, 0, 1}}},
       {.inputs = {{{9}, 0, 2, DType::i32}, {{9, 1}, 0, 1}}, .attributes = {{"threshold", 0.3}}},
       {.inputs = {{.shape = {2, 2}, .values = {0, 1, 1, 0}}, {{2, 2}, 0, 1}}}}));
  ops.push_back(mean_result("metric_accuracy_binary_result", threshold));
  ops.push_back(accuracy(
      "metric_accuracy_categorical",
      "How often the largest of y_pred is at the largest of y_true.   y_true, y_pred: [batch, ..., classes]", false,
      categorical_matches, categorical_reference, {},
      {{.inputs = {{{17, 3}, 0, 1}, {{17, 3}, 0, 1}}}, {.inputs = {{{3, 4, 2}, 0, 1}, {{3, 4, 2}, 0, 1}}}}));
  ops.push_back(mean_result("metric_accuracy_categorical_result", {}));
  ops.push_back(accuracy(
      "metric_accuracy_sparse_categorical",
      "How often the largest of y_pred is at the index y_true.   y_true: [batch, ...] or [batch, ..., 1]   y_pred: "
      "[batch, ..., classes]",
      true, sparse_matches, sparse_reference, {},
      {{.inputs = {{{17}, 0, 3, DType::i32}, {{17, 3}, 0, 1}}},
       {.inputs = {{{6, 1}, 0, 2, DType::i32}, {{6, 2}, 0, 1}}},
       {.inputs = {{{3, 5}, 0, 2, DType::i32}, {{3, 5, 2}, 0, 1}}}}));
  ops.push_back(mean_result("metric_accuracy_sparse_categorical_result", {}));
  std::vector<AttributeSpec> k = {{.name = "k", .type = AttributeType::integer, .default_value = 5, .least = 1}};
  ops.push_back(accuracy(
      "metric_top_k_categorical_accuracy",
      "How often fewer than k of y_pred are greater than that at the largest of y_true.   y_true, y_pred: [batch, ..., classes]", false,
      top_k_matches, top_k_reference, k,
      {{.inputs = {{{17, 9}, 0, 1}, {{17, 9}, 0, 1}}}, {.inputs = {{{3, 4, 5}, 0, 1}, {{3, 4, 5}, 0, 1}}, .attributes = {{"k", 2}}}}));
  ops.push_back(mean_result("metric_top_k_categorical_accuracy_result", k));
  k.push_back({.name = "from_sorted_ids", .type = AttributeType::boolean, .default_value = false, .doc = "unsupported"});
  ops.push_back(accuracy(
      "metric_sparse_top_k_categorical_accuracy",
      "How often fewer than k of y_pred are greater than that at the index y_true.   y_true: [batch, ...] or [batch, ..., 1]   y_pred: "
      "[batch, ..., classes]",
      true, sparse_top_k_matches, sparse_top_k_reference, k,
      {{.inputs = {{{17}, 0, 9, DType::i32}, {{17, 9}, 0, 1}}}, {.inputs = {{{3, 4, 1}, 0, 5, DType::i32}, {{3, 4, 5}, 0, 1}}, .attributes = {{"k", 2}}}}));
  ops.push_back(mean_result("metric_sparse_top_k_categorical_accuracy_result", k));
  return ops;
}

}  // namespace moru
