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
  size_t bin = 0;
};

struct MemoryPlan {
  std::vector<BufferPlace> places;  // in the order of the kernel's arena buffers
  Dim total_bytes;
  Dim lower_bound_bytes;  // the most that is alive at once, at typical sizes
  /// "arena 1.9 MiB at batch=32, ...; lower bound 1.7 MiB" and a line per buffer.
  std::string text(const Kernel& kernel) const;
};

/// Removes arena buffers that no statement touches, then assigns places. A buffer is alive from its first to its last
/// access, a loop counting as one instant for what is also accessed outside it. Buffers share a bin if their lives are
/// disjoint; a bin is as large as its largest buffer. Workers of a parallel loop are not at the same place in it:
/// there, only buffers of equal size share, so that each worker keeps to its own part. Deterministic.
MemoryPlan plan_memory(Kernel& kernel);

}  // namespace moru
