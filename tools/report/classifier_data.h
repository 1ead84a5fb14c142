// What a report says of a classifier.
#pragma once

#include <nlohmann/json.hpp>

namespace moru {

/// One classifier: {"name", "classes", "confusion" [k][k], "scores" [{class, precision, recall, f1, support}],
/// "accuracy", "majority" {class, accuracy}, "curves" [{class, roc [[x, y, threshold]], pr, roc_auc, average_precision,
/// share}], "log_loss"}. Two classes have one curve, of the second.
nlohmann::ordered_json classifier_data(const nlohmann::ordered_json& output);

}  // namespace moru
