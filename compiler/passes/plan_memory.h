// plan_memory: gives every arena buffer of a kernel its place, so that buffers that are never alive together share
// memory.
#pragma once

#include <string>
#include <vector>

#include "compiler/ir/kernels.h"

namespace moru {

/// A buffer's place in the arena, in bytes; all expressions over the program's symbols.
struct BufferPlace {
  BufferId buffer = no_buffer;
  Dim bytes;   // a multiple of 64
  Dim offset;  // a multiple of 64
};

struct MemoryPlan {
  std::vector<BufferPlace> places;  // in the order of the kernel's arena buffers
  Dim total_bytes;
  Dim lower_bound_bytes;  // the most that is alive at once, at typical sizes
  /// "arena of predict: 1995264 bytes at batch=128, lower bound 1925632" and a line per buffer.
  std::string text(const Kernel& kernel) const;
};

/// Removes arena buffers that no statement touches, then assigns places. A buffer is alive from its first to its last
/// access, a loop counting as one instant for what is also accessed outside it. Buffers that are alive together do not
/// overlap. What each worker of a parallel loop has a part of lies worker by worker: workers are at different places of
/// the loop, so each has a piece of memory of its own in which its parts share places. Accesses are rewritten
/// accordingly (the coefficient of `worker`). Deterministic.
MemoryPlan plan_memory(Kernel& kernel);

}  // namespace moru
