// How much work statements are: arithmetic and memory traffic, counted from the kernels and the sizes that are bound.
// It is what profiles and rooflines divide times by; nothing in the compiler decides by it.
#pragma once

#include <map>
#include <span>
#include <string>

#include "compiler/ir/kernels.h"

namespace moru {

/// Of all runs of some statements together.
///
/// Arithmetic: a contraction has 2 flops per multiply-add; elsewhere every floating-point operation is one, an fma two,
/// and transcendentals are the operations they were expanded into. Operations that share a subtree count it once per
/// element. Integer, logical and comparing operations, conversions and selections are no flops but take a place in the
/// processor all the same: `lane_operations` counts everything, an fma once, in lanes of 32 bits (an f64 takes two).
///
/// Traffic: the distinct elements that one run reads and writes, each element of a buffer once, summed over the runs.
/// Where accesses overlap in a way that is not seen through, it is at most what the accesses span, and at most the
/// buffer; elements whose address depends on data are taken to be distinct.
struct Work {
  double runs = 0;
  double flops = 0;
  double lane_operations = 0;
  double bytes_read = 0;
  double bytes_written = 0;
  double working_set = 0;  // bytes that one run touches, at most
};

/// The work of `statements` of `kernel`, which stand in `loops`, outermost first. `symbols` gives the program's.
/// Throws InternalError for a symbol that is missing.
Work count_work(const Kernel& kernel, std::span<const For* const> loops, std::span<const Statement> statements,
                const std::map<std::string, int64_t, std::less<>>& symbols);

/// What kind of statement it is and its extents in its first run, for a reader: "contract 32 x 256 x 64" (rows,
/// columns, depth), "loop 32 x 64", "transpose 768 x 32", "reduce 64", "scalar".
std::string describe_statement(std::span<const For* const> loops, const Statement& statement,
                               const std::map<std::string, int64_t, std::less<>>& symbols);

}  // namespace moru
