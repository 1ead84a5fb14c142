// What losses and the metrics made of them share: bringing targets and predictions to one shape.
#pragma once

#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// The shape of y_true once an axis of extent 1 at its end was added or removed, so that it has the rank of y_pred.
Shape aligned_target(const Shape& y_true, const Shape& y_pred);

/// Fails unless y_true, aligned, has the shape of y_pred.
void check_targets(const OpContext& context, const Op& op);
/// Fails unless y_true is y_pred without its last axis, or with 1 in its place.
void check_class_indices(const OpContext& context, const Op& op);

/// y_true in the dtype of y_pred and aligned.
Value align_target(Value y_true, Value y_pred);

}  // namespace moru
