// What attention layers share: the masks that say which query may look at which key.
#pragma once

#include "compiler/ops/layer.h"

namespace moru {

/// True where query i may look at key j: j <= i.   -> bool [queries, keys]
Value causal_mask(Builder& builder, const Dim& queries, const Dim& keys);
/// True where |i - j| < window.   -> bool [queries, keys]
Value window_mask(Builder& builder, const Dim& queries, const Dim& keys, int64_t window);
/// Both where both are given.
Value both_masks(Value a, Value b);
/// x in training with its elements dropped at `rate`; as it is where seed and step are absent.
Value dropped_out(Value x, Value seed, Value step, const Attributes& attributes);
HostTensor dropped_out(HostTensor x, const HostTensor* seed, const HostTensor* step, const Attributes& attributes);

/// "dropout", "seed" and the number of the draws.
std::vector<AttributeSpec> dropout_attributes();
/// What Keras takes when the layer is called: "return_attention_scores", "use_causal_mask".
std::vector<AttributeSpec> attention_call_attributes();

}  // namespace moru
