// Proofs about index expressions: when is one never negative, when do two accesses never meet.
// Symbols that are not loop variables (batch, time) are taken to be at least 1: with an empty dimension no loop over it
// runs. Loop variables are at least 0. A `false` means only that there is no proof.
#pragma once

#include <span>
#include <string>

#include "compiler/support/dim.h"

namespace moru {

struct LoopRange {
  std::string var;
  Dim extent;  // var is 0 .. extent-1
};

/// value >= 0 for all values of its symbols; names in `variables` are loop variables.
bool provably_not_negative(const Dim& value, std::span<const LoopRange> variables);

/// No value of `a` equals one of `b`, where each of the `ranges` takes all its values in `a` and `b` independently and
/// every other name has the same value in both. `enclosing` are further loop variables.
bool provably_disjoint(const Dim& a, const Dim& b, std::span<const LoopRange> ranges,
                       std::span<const LoopRange> enclosing);

}  // namespace moru
