// add_update: the optimizer becomes ordinary nodes of the training step, so that the runtime has no maths.
#pragma once

#include "compiler/ir/graph.h"
#include "compiler/model/training.h"

namespace moru {

/// Replaces the results "gradient/<parameter>" of entry train_step by the optimizer's update of the parameter and its
/// states, adds the state slots ("adam/momentum/<parameter>"), and writes step = step + 1. In the order of Keras:
///   gradient_accumulation_steps: nothing but sums until the last of so many steps, which updates with their mean
///   clipping by the first that is set; clipnorm: g * c / max(|g|, c) per parameter; global_clipnorm: g * c / max(|all g|, c);
///   clipvalue: clamp to +-c
///   the optimizer's op; use_ema: the moving average of what it made; the slot's constraint
///   loss_scale: where a gradient is not finite, or would not be if scaled, nothing of the above happens, step included
/// A parameter that the step itself replaces is updated from its new value. With a schedule the step also writes the
/// learning rate of the next step. With use_ema there is an entry finish_training that puts the averages in the place of
/// the parameters.
void add_update(Module& module, const TrainingSpec& training);

}  // namespace moru
