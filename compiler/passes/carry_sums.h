// A contraction whose outermost axis of the depth becomes a loop that carries its sums in memory.
#pragma once

#include "compiler/ir/kernels.h"

namespace moru {

/// start; for depth[0]: part; end. Each sum stays one chain of multiply-adds, in the order of the contraction.
struct CarriedSums {
  Block start;       // sums = init
  Contraction part;  // without depth[0], whose variable is the loop's
  Contraction end;   // of no depth: the epilogue
};

/// The sums of a contraction, row-major over its rows and columns.
Dim count_sums(const Contraction& contraction);
/// Carries them in `sums`, `count_sums` elements from `base`.
CarriedSums carry_sums(const Contraction& contraction, const Buffer& buffer, BufferId sums, const Dim& base,
                       const std::string& origin);

}  // namespace moru
