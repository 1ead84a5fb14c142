// lower: from graphs to kernels. Values that must exist in memory get storage, everything else becomes an expression at
// the place where it is read.
#pragma once

#include "compiler/ir/graph.h"
#include "compiler/ir/kernels.h"

namespace moru {

/// Lowers every entry of a module whose graphs consist of primitives. Slot buffers come first, in slot order; arena
/// buffers follow. Kernels are ready for plan_memory.
KernelModule lower(const Module& module);

}  // namespace moru
