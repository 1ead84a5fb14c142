// Times an entry's kernels, one by one, and says how near each comes to what the machine can do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/codegen/profile.h"
#include "compiler/ir/work.h"
#include "runtime/training/json_writer.h"
#include "tools/moru/roofline.h"

namespace moru {

/// One region of profile.h; everything is of one step, all of the region's runs and all threads together.
struct KernelTime {
  std::string origin;         // the user's nodes it computes: "dense_1, relu"
  std::string what;           // "contract 32 x 256 x 64"
  std::string writes;         // the buffer that it writes first
  std::string loops;          // origins of the loops around it, outermost first: "batch, lstm"
  double microseconds = 0;    // less what reading the counter costs
  bool is_measurable = true;  // false where reading it costs as much as the kernel: rates would mean nothing
  Work work;
  RooflineBound bound;

  // NaN unless measurable.
  double gigaflops_per_second() const;
  double gigabytes_per_second() const;
  double roofline_percent() const;
};

struct KernelProfile {
  std::vector<KernelTime> kernels;  // those that run at all, the longest first
  double kernels_us = 0;            // their sum
  double step_us = 0;               // median of the measured steps, the cost of measuring included
  Roofline roofline;
};

/// Runs `step`, which runs `entry` of a profiled build of `module` once, for `seconds`; each kernel's time is the
/// median over the steps. `symbols` are the sizes that are bound.
KernelProfile profile_kernels(const KernelModule& module, std::string_view entry,
                              const std::map<std::string, int64_t, std::less<>>& symbols, const ProfileTable& table,
                              const std::function<void()>& step, double seconds, const Roofline& roofline);

/// For a terminal. `plain_step_us` is a step's time without the profile.
std::string kernel_profile_text(const KernelProfile& profile, double plain_step_us, int threads);

/// The keys "kernels", "kernels_us", "profiled_step_us" and "roofline" of the object that is being written.
void write_kernel_profile(JsonWriter& json, const KernelProfile& profile);

}  // namespace moru
