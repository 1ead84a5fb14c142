// A program between its stages, as boxes and arrows: graphs of tensor values, and the kernels they become.
#pragma once

#include "compiler/ir/graph.h"
#include "compiler/ir/kernels.h"
#include "tools/report/graphviz.h"

namespace moru {

/// One box per node, with the user's node it came from and what it gives. The bodies of scans and tiles are frames that
/// values flow into and out of; a carry of a scan is a box of its own. Constants are left out.
DotGraph draw_graph(const Graph& graph);

/// One box per loop nest or contraction, with the layers that are computed in it together: the fusion groups. The loops
/// around several of them (chunks of the batch, time) are frames; arrows are buffers. `kernel` is one of `module`.
DotGraph draw_kernel(const KernelModule& module, const Kernel& kernel);

}  // namespace moru
