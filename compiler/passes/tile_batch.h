// tile_batch: runs forward, loss and backward over chunks of the batch, so that what the backward pass needs stays in
// the cache, and threads have something to share.
#pragma once

#include "compiler/ir/graph.h"

namespace moru {

/// Wraps everything that has one row per sample into a `tile` whose results are the sums over the batch (gradients,
/// losses, metrics), added in the order of the chunks, or, of a prediction, rows. The chunk is as many rows, a power of two
/// times what gives every product that matters 32 rows (32 for a Dense layer on [batch, features], 1 on [batch, 64,
/// features]), as keep what must be stored between forward and backward within a thread's share of the last-level cache,
/// and what a prediction stores within the second cache; a graph that stays below that even for large batches is left as
/// it is. So is one whose weights outweigh what a chunk stores, and one in which a sample's value depends on a sum over
/// the batch.
/// Random numbers are drawn for the sample's place in the batch, so that masks do not depend on the chunk.
/// `most_rows`, if not 0, bounds the chunk; then the batch is cut whether that gains time or not. Sums have `partitions`
/// parts.
void tile_batch(Graph& graph, int64_t most_rows = 0, int64_t partitions = 4);

}  // namespace moru
