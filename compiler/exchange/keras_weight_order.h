// The orders in which Keras lists the weights of a layer or nested model: `layer.weights`; and what it calls them.
#pragma once

#include <string>
#include <vector>

#include "compiler/model/model.h"

namespace moru {

struct OrderedWeight {
  Parameter* parameter = nullptr;
  const Layer* layer = nullptr;  // that owns it
  std::string path;              // "encoder/e0/kernel"
};

/// Trainable weights first, then the others; of a frozen layer all in the order of its layers.
std::vector<OrderedWeight> weight_order(Layer& layer);

/// What other versions of Keras did, the rule of weight_order first: models that froze without their layers, and plain
/// order.
std::vector<std::vector<OrderedWeight>> possible_weight_orders(Layer& layer);

/// Every trainable weight of the model in Keras' order: what an optimizer's slots belong to.
std::vector<OrderedWeight> trainable_weights(Model& model);

/// The cell inside a recurrent layer, or inside a Bidirectional one's, in which its weights lie: "lstm_cell"; else empty.
std::string cell_name(const Layer& layer);

/// Keras' path of a weight: "memory/lstm_cell/kernel", "both/forward_gru/gru_cell/bias".
std::string keras_path(const OrderedWeight& weight);

}  // namespace moru
