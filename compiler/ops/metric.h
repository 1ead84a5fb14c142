// What the files of metrics share. `metric_x` maps a batch to increments of its f64 state, which are added up over the
// batches; `metric_x_result` maps the state to the number that is shown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// y_true, y_pred and, where there is one, sample_weight: [batch].
std::vector<InputSpec> metric_inputs();
/// The same and the mask of y_pred, [batch, steps...]: of Keras' means over a function's values, which leave masked steps out.
std::vector<InputSpec> masked_metric_inputs();
/// Fails unless the sample weight, where there is one, has the batch of input 0.
void check_metric_weight(const OpContext& context, const Op& op, size_t index);
/// Fails unless the mask (input 3), where there is one, has the first axes of the values.
void check_metric_mask(const OpContext& context, const Op& op, const Shape& values);

/// Examples, and each of them once more with a sample weight.
std::vector<Example> weighted_examples(std::vector<Example> examples);
/// And of those with steps, [batch, steps, n], one with a mask.
std::vector<Example> masked_examples(std::vector<Example> examples);

/// 0 where `by` is 0, else x / by.
Value divide_or_zero(Value x, Value by);
double divide_or_zero(double x, double by);

/// The sample weight as f64 with an axis of 1 for every axis of `shape` but the first, broadcast to it; no value for none.
Value weight_of_elements(Value weight, const Shape& shape);

/// 1 where an element is among the k greatest of its row (the last axis), the first of equal ones.
Value among_greatest(Value x, int64_t k);

/// Sum of value * weight and sum of weights, where values have a row per sample; see metric.cpp. With a mask, [batch,
/// steps...], a sample's value is its mean of value * mask, and counts as much as the mean of its mask.
std::vector<Value> mean_increments(Value values, Value weight, Value mask = {});
std::vector<HostTensor> mean_increments(const HostTensor& values, const HostTensor* weight, const HostTensor* mask = nullptr);
std::vector<Type> mean_states();
/// total / count; 0 before the first sample
Op mean_result(std::string_view name, std::vector<AttributeSpec> attributes, bool root = false);

std::vector<Op> accuracy_metrics();     // metric_accuracy.cpp: binary, categorical, top k
std::vector<Op> correlation_metrics();  // metric_correlation.cpp: similarities and correlations along an axis
std::vector<Op> confusion_metrics();    // metric_confusion.cpp: precision, recall, AUC, ...
std::vector<Op> overlap_metrics();      // metric_overlap.cpp: F scores, intersection over union

}  // namespace moru
