// What a model is trained with, as Keras 3's config.json says it under "compile_config".
#pragma once

#include <string>

#include "compiler/model/training.h"

namespace moru {

/// {"optimizer": ..., "loss": ..., "loss_weights": ..., "metrics": ..., "weighted_metrics": ...} with all arguments of the
/// optimizer; losses and metrics by output. Metrics that Keras 3 does not have are left out, for it would refuse the file.
std::string export_compile_config(const TrainingSpec& training);

}  // namespace moru
