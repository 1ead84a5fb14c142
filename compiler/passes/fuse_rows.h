// fuse_rows: runs what a batch's rows go through row by row, where their values outgrow the cache.
#pragma once

#include <cstdint>

#include "compiler/ir/kernels.h"

namespace moru {

/// Neighbouring statements that each go over the same rows, and of which a row needs nothing that another row computes,
/// become one loop over the rows:
///
///   for b: rows { y[b] = f(x[b]) }                      for b: rows {
///   for b: rows { z[b] = g(y[b]) }                        y = f(x[b])
///   contract ... depth (b: rows, ...) { dw = acc }   ->   z[b] = g(y)
///                                                         sums = contract ... init sums
///                                                       }
///                                                       dw = sums
///
/// so that what one computes is in the cache when the next reads it: loop fusion with array contraction (Allen and
/// Kennedy, "Optimizing Compilers for Modern Architectures", 2001, ch. 8). Buffers that only such a loop uses keep one
/// row. A contraction takes part with an axis of its rows beside others, or with the outermost axis of its depth; one
/// whose rows are the batch alone is left whole, since it needs them all to be fast. Statements that only the loop's
/// end or its readers need move down to it.
///
/// Applied where the rows' values together are larger than half of the second cache. Every element is computed by the
/// same operations in the same order: bits do not change. Needs lowered kernels, before block_contractions.
void fuse_rows(Kernel& kernel, int64_t l2_bytes);

}  // namespace moru
