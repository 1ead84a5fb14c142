// What losses and the metrics made of them share: bringing targets and predictions to one shape.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// Fails unless y_true has the shape of y_pred, or has it once an axis of extent 1 at its end is added or removed.
void check_targets(const OpContext& context, const Op& op);
/// Fails unless y_true is y_pred without its axis of classes (`axis`, where the op has it, or the last), or with 1 in its place.
void check_class_indices(const OpContext& context, const Op& op);

/// y_true in the dtype of y_pred and of its rank, by an axis of extent 1 at the end.
Value align_target(Value y_true, Value y_pred);

/// The type of the target where a loss wants integers that are not of the predictions' shape: classes without their axis.
std::optional<Type> index_target(std::string_view loss, const Attributes& attributes, const Type& y_pred);
/// How many classes such a target counts, so that indices can be checked before a run; 0 where any integer will do.
int64_t class_count(std::string_view loss, const Attributes& attributes, const Type& y_pred);

/// One number of the samples' losses, as Keras' Loss.__call__ makes it. `weight` ([batch] or [batch, steps...]) and `mask`
/// (bool, of the shape of `values`) may be no value.
///   sum: sum of values * weight * mask;   none: the same, since a gradient needs one number
///   sum_over_batch_size, mean: that sum / number of values, or of those that are not masked
///   mean_with_sample_weight: that sum / sum of weight * mask.   0 where nothing is counted
Value reduce_loss(Value values, Value weight, Value mask, std::string_view reduction);

// ---- what the files of losses share ----

constexpr double keras_epsilon = 1e-7;  // Keras' backend.epsilon()

/// min(max(p, 1e-7), 1 - 1e-7), of which logarithms are finite.
Value clipped_probability(Value p);
double clipped_probability(double p);
/// y_true (1 - s) + s towards, with s the attribute `label_smoothing`.
double with_label_smoothing(double y_true, const Attributes& a, double towards);

// The attributes of those names, `axis` the last one by default.
AttributeSpec from_logits();
AttributeSpec label_smoothing();
AttributeSpec class_axis();

/// The attribute `axis`, or the last where there is none, counted from the front.
size_t loss_axis(const Attributes& attributes, size_t rank);
/// [batch, 3, 5] without axis 1: [batch, 5].
Type without_axis(const Type& type, size_t axis);

/// Zeros of the shape of y_pred without `axis`; and its rows along `axis`, each with its place in that shape.
HostTensor loss_tensor(const HostTensor& y_pred, size_t axis);
void for_each_loss_row(const HostTensor& y_pred, size_t axis,
                       const std::function<void(size_t at, std::span<const size_t> elements)>& use);

std::vector<Op> categorical_losses();  // loss_categorical.cpp
std::vector<Op> similarity_losses();   // loss_similarity.cpp
std::vector<Op> sequence_losses();     // loss_sequence.cpp
/// As index_target, of these.
std::optional<Type> sequence_target(std::string_view loss, const Type& y_pred);

}  // namespace moru
