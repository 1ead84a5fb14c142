// The orders in which Keras lists the weights of a layer or nested model: `layer.weights`; and what it calls them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compiler/model/model.h"

namespace moru {

struct OrderedWeight {
  Parameter* parameter = nullptr;  // none for what Keras alone keeps: a whole number, 0
  const Layer* layer = nullptr;    // that owns it
  std::string path;                // "encoder/e0/kernel"
  std::string name;                // "kernel"
};

/// Whether a layer's parameters are weights in Keras too: the mean and variance that a Normalization is given are not.
bool has_keras_weights(const Layer& layer);

/// The weight of Keras that stands behind a layer's own and that Moru has no use for, under the name that it would have as a
/// parameter: "count", of what a Normalization has seen; else empty.
std::string uncounted_weight(const Layer& layer);

/// Trainable weights first, then the others; of a frozen layer all in the order of its layers.
std::vector<OrderedWeight> weight_order(Layer& layer);

/// What other versions of Keras did, the rule of weight_order first: models that froze without their layers, and plain
/// order; each also without what Keras alone keeps.
std::vector<std::vector<OrderedWeight>> possible_weight_orders(Layer& layer);

/// Every trainable weight of the model in Keras' order: what an optimizer's slots belong to.
std::vector<OrderedWeight> trainable_weights(Model& model);

/// Whether a layer of the class keeps its weights in a cell.
bool has_cell(std::string_view class_name);

/// The cell inside a recurrent layer, or inside a Bidirectional one's, in which its weights lie: "lstm_cell"; else empty.
std::string cell_name(const Layer& layer);

/// Keras' path of a weight: "memory/lstm_cell/kernel", "both/forward_gru/gru_cell/bias".
std::string keras_path(const OrderedWeight& weight);

}  // namespace moru
