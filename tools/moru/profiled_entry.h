// One entry of a model, run on random data in a profiled build: what `moru bench --kernels`, `moru report` and `moru
// explain` show.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/compile.h"
#include "runtime/checkpoint.h"
#include "runtime/session.h"
#include "tools/moru/arrays.h"
#include "tools/moru/compile_flags.h"
#include "tools/moru/kernel_profile.h"
#include "tools/moru/model_source.h"

namespace moru::cli {

struct ProfiledEntry {
  KernelProfile kernels;
  CompiledModel compiled;
  std::map<std::string, int64_t, std::less<>> symbols;  // sizes that were bound, "workers" among them
};

/// Compiles with a profile and runs `entry` for `seconds` on `tensors`, which bind every slot that its caller has to
/// bind.
ProfiledEntry profile_entry(ModelSource& source, const CompileFlags& flags, const PreparedModel& prepared,
                            const std::string& entry, const std::map<std::string, int64_t>& sizes,
                            const std::vector<SavedTensor>& tensors, int threads, double seconds);

/// The same on random tensors of these sizes.
ProfiledEntry profile_entry(ModelSource& source, const CompileFlags& flags, const PreparedModel& prepared,
                            const std::string& entry, const OpenSizes& open, int threads, double seconds);

/// Binds every tensor to the slot of its name.
void bind_all(Session& session, const std::vector<SavedTensor>& tensors);

}  // namespace moru::cli
