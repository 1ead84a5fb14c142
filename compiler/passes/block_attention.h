// block_attention: keeps attention's scores in the cache, block of queries by block of queries.
#pragma once

#include <cstdint>

#include "compiler/ir/graph.h"

namespace moru {

/// Where a product [..., queries, keys] is read, through softmax and other arithmetic on its rows, by nothing but one
/// product that sums over the keys and is smaller,
///
///   s = contract(q, k)                         y = scan over blocks of queries, recompute {
///   w = softmax(select(mask, s, -1e9))    ->     s = contract(block of q, k)  ...  y = contract(w, v)
///   y = contract(w, v)                         }
///
/// so that the scores of a block take a quarter of `most_bytes` and those of all queries are never stored: differentiate
/// computes a block's scores again (Rabe and Staats 2021, "Self-attention does not need O(n^2) memory"; Dao et al. 2022,
/// "FlashAttention"). Applied where a sample's scores outgrow `most_bytes`, and the number of queries is known. Where as
/// much comes from elsewhere as half of them (a bias for each score of each sample), there is little to gain and it stays
/// as it is; dropout leaves a byte for each. Predictions keep their bits; gradients of keys and values are added by blocks,
/// so that `most_bytes` must not depend on the target.
/// Before differentiate, on expanded graphs.
void block_attention(Graph& graph, int64_t most_bytes);

}  // namespace moru
