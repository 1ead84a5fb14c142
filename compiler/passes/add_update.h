// add_update: the optimizer becomes ordinary nodes of the training step, so that the runtime has no maths.
#pragma once

#include "compiler/ir/graph.h"
#include "compiler/model/training.h"

namespace moru {

/// Replaces the results "gradient/<parameter>" of entry train_step by the optimizer's update of the parameter and its
/// states, adds the state slots ("adam/momentum/<parameter>"), and writes step = step + 1. Gradients are clipped first,
/// by the first of these that is set, as in Keras:
///   clipnorm: g * c / max(|g|, c) per parameter;   global_clipnorm: g * c / max(|all g|, c);   clipvalue: clamp to
///   +-c.
void add_update(Module& module, const TrainingSpec& training);

}  // namespace moru
