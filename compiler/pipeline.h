// The pipeline: runs the passes of pipeline.cpp in order, and verifies, times, dumps, disables and stops as asked.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/ir/kernels.h"
#include "compiler/model/model.h"
#include "compiler/model/training.h"
#include "compiler/passes/plan_memory.h"
#include "compiler/support/stage_times.h"

namespace moru {

/// What a training step gives up to take less memory.
struct MemorySchedule {
  int64_t tile_rows = 0;        // samples in a chunk of the batch, at most; 0: as many as stay in the cache, or all
  int64_t partitions = 4;       // partial sums of gradients: as many threads have something to do
  bool segments_scans = false;  // keep carries between segments of time, and run segments again
};

struct PipelineOptions {
  DTypePolicy dtype_policy = DTypePolicy::float32;  // of a module; a model says its own
  const TrainingSpec* training = nullptr;           // none: the entry `predict` only
  std::set<std::string, std::less<>> disable = {};  // names of passes to leave out
  std::string stop_after = {};                      // name of the last pass to run; empty: all
  bool verify = true;                               // check every invariant after every pass
  MemorySchedule schedule = {};
  int64_t l2_bytes = int64_t{1} << 20;  // of the target's second cache; a choice of schedule, not of bits
  /// Of a sample's scores that are stored; the same for all targets, as it orders sums.
  int64_t attention_bytes = int64_t{1} << 20;
  /// Called after each pass with its name and the program's text, where that changed.
  std::function<void(std::string_view pass, const std::string& text)> dump = {};
};

/// What the pipeline makes of a model, as far as it ran.
struct Lowered {
  Module module;
  KernelModule kernels;           // empty if stopped before `lower`
  std::vector<MemoryPlan> plans;  // by kernel
  StageTimes times;               // by pass; "verify" is what checking after every pass took
};

Lowered run_pipeline(Model& model, const PipelineOptions& options = {});

/// The same from a module on, which may have gone through passes before: what make_entries made, or text that was parsed.
Lowered run_pipeline(Module module, const PipelineOptions& options = {});

/// Names, and why each stands where it stands, in order: `moru passes`.
struct PassDescription {
  std::string_view name, when, why;
};
std::vector<PassDescription> describe_passes();

/// Runs one graph pass, or several by name, on a module that was parsed from text: `moru opt`. Throws CompileError for
/// an unknown name.
void run_passes(Module& module, std::span<const std::string> names);

}  // namespace moru
