// What a profile measures: the statements of entries, each with a number under which a profiled build counts its time.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "compiler/ir/kernels.h"

namespace moru {

/// Statements that run one after another and are measured as one: a contraction, a loop nest that is one function, or
/// neighbouring scalar stores.
struct ProfileRegion {
  const Kernel* kernel = nullptr;
  std::vector<const For*> loops;  // around it, outermost first
  std::span<const Statement> statements;
};

/// Loops that hold contractions, transposes or parallel loops (a batch tile, a scan) are descended into; what is one
/// function to the code generator is one region.
struct ProfilePlan {
  std::vector<ProfileRegion> regions;
  std::unordered_map<const Statement*, size_t> first, last;  // region by its first and its last statement
};

/// Points into `module`. The same module always gives the same numbers.
ProfilePlan plan_profile(const KernelModule& module);

/// What a profiled build counts, for one region on one worker.
struct ProfileCell {
  uint64_t ticks = 0;
  uint64_t runs = 0;
};

/// What a profiled build writes, from its start on: `started` is the counter when the entry that ran last began; cells
/// lie by worker, then by region. After the regions comes one more, which is empty and measured once per run of an
/// entry: what measuring costs.
struct ProfileTable {
  uint64_t* started = nullptr;
  ProfileCell* cells = nullptr;
  size_t regions = 0;  // without the empty one
  size_t workers = 0;

  ProfileCell cell(size_t worker, size_t region) const { return cells[worker * (regions + 1) + region]; }
};

}  // namespace moru
