// Every op of Moru, family by family. An op that is not in this list does not exist.
#include <iterator>

#include "compiler/ops/op.h"

namespace moru {

namespace {

constexpr std::vector<Op> (*families[])() = {
    elementwise_ops, trigonometry_ops, narrow_ops, activation_ops,  contraction_ops, reduction_ops,      shape_ops,
    window_ops,      indexing_ops,    random_ops,      control_ops,        dense_ops,
    activation_layer_ops,
    merging_ops,     convolution_ops, pooling_ops,     adaptive_pooling_ops, resizing_ops, einsum_dense_ops, regularization_ops, normalization_ops,
    preprocessing_ops, encoding_ops,    augmentation_ops, attention_ops, multi_head_attention_ops, recurrent_ops, wrapper_ops,
    loss_ops,        metric_ops,      optimizer_ops,   schedule_ops,       constraint_ops,
};

}  // namespace

std::span<const Op> all_ops() {
  static const std::vector<Op> ops = [] {
    std::vector<Op> all;
    for (auto* family : families) {
      std::vector<Op> entries = family();
      all.insert(all.end(), std::make_move_iterator(entries.begin()), std::make_move_iterator(entries.end()));
    }
    return all;
  }();
  return ops;
}

}  // namespace moru
