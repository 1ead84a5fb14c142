// share_loops: gives several threads a part of the large loops that stand outside of everything that is parallel already.
#pragma once

#include <cstdint>

#include "compiler/ir/kernels.h"

namespace moru {

/// Elements that a thread takes at a time: some 8 us of an optimizer's update, worth a join of threads.
constexpr int64_t shared_elements = 16384;

/// A vector loop over more than `shared_elements` elements, whose iterations are independent by its promise, and a
/// transpose of as many, become parallel loops over pieces of about that size: the updates of weights, what
/// BatchNormalization does to a whole batch. Bits do not change. Needs lowered kernels, before plan_memory, since what a
/// parallel loop reads lives until it ends; behind block_contractions, which may take transposes.
void share_loops(Kernel& kernel);

}  // namespace moru
