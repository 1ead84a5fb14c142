// block_contractions: gives large contractions the loops that keep their operands in the caches.
#pragma once

#include <cstdint>

#include "compiler/ir/kernels.h"

namespace moru {

/// A contraction whose right operand is too large for the second cache, or lies in rows so far apart that they fall into
/// the same places of it, runs in blocks, as in Goto and van de Geijn, "Anatomy of High-Performance Matrix
/// Multiplication" (2008):
///
///   for each block of rows (whose part of `a` is twice the second cache)
///     for each panel of 64 columns
///       copy the panel of `b`, so that it lies in one piece
///       contract the block with the panel
///
/// A contraction that writes more than the second cache holds, with a right operand that fits it, runs in strips of a few
/// rows over all columns: results are then written, and an optimizer's state is read, along memory.
///
/// A contraction with few results and a depth of several axes runs in a loop over the outermost of these, with its sums in
/// memory, where its operands do not fit the cache.
///
/// Where the right operand lies in panels already, nothing is copied; where it was transposed into memory for this
/// contraction alone, its panels are transposed instead.
///
/// The loops over panels and over strips are parallel where there is work for several threads and none has been shared out
/// further outside.
///
/// With few rows copying does not pay: where their number is known at run time only, both forms are emitted, each in a
/// loop that runs once or not at all. The depth is not cut, so every element stays one chain of multiply-adds, and bits
/// do not change. Needs lowered kernels, before plan_memory; adds arena buffers.
void block_contractions(Kernel& kernel, int64_t l2_bytes);

}  // namespace moru
