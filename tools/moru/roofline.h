// What the machine at hand can do at best: its peak of multiply-adds and the bandwidth of each level of its memory,
// measured by kernels that Moru compiles for it. One core's: of several threads each has its own first caches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/codegen/target.h"
#include "compiler/ir/work.h"

namespace moru {

struct MemoryLevel {
  std::string name;                 // "L1", "L2", "L3", "memory"
  int64_t bytes = 0;                // of working sets that it holds; the last level holds everything
  double gigabytes_per_second = 0;  // reading
};

struct Roofline {
  double gigaflops = 0;  // f32, an fma counted as two
  std::vector<MemoryLevel> levels;
};

/// Takes about a fifth of a second.
Roofline measure_roofline(const Target& target);

/// The least time that `work` can take, and what stands in the way.
struct RooflineBound {
  double microseconds = 0;
  std::string by;  // "compute" or a level's name
};
/// The longer of arithmetic and traffic. Arithmetic: every operation takes the place of one fma, so code that is no
/// chain of fma's is not measured by flops it cannot have. Traffic: read and written at the bandwidth of the smallest
/// level that holds one run's working set.
RooflineBound attainable(const Roofline& roofline, const Work& work);

}  // namespace moru
