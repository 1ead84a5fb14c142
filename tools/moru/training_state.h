// How far a model has been trained, between a session or a checkpoint of Moru's and the files that carry it.
#pragma once

#include <functional>
#include <span>

#include "compiler/exchange/saved_training.h"
#include "compiler/model/training.h"
#include "runtime/checkpoint.h"
#include "tools/moru/model_source.h"

namespace moru::cli {

/// What the slots of a session or checkpoint say, in the words of Keras. Without variables where the optimizer's state is
/// not among them.
SavedTraining saved_training(const TrainingSpec& training, Model& model, std::span<const SavedTensor> slots);

/// What gives a session the optimizer's state that the source came with; nothing where there is none that fits the
/// recipe's optimizer, which is said on stderr. A learning rate that the recipe changes is the recipe's.
std::function<Status(Session&)> continued_training(ModelSource& source);

/// Gives the model the weights of a checkpoint, and with a recipe what training it was in the middle of. Throws Failure
/// or CompileError where it is not one of this model.
void take_checkpoint(ModelSource& source, const std::string& path);

}  // namespace moru::cli
