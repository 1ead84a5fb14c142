#include "compiler/pipeline.h"

#include <algorithm>

#include "compiler/passes/add_update.h"
#include "compiler/passes/block_attention.h"
#include "compiler/passes/block_contractions.h"
#include "compiler/passes/choose_layouts.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/drop_dead.h"
#include "compiler/passes/expand.h"
#include "compiler/passes/fuse_rows.h"
#include "compiler/passes/hoist_scan.h"
#include "compiler/passes/lower.h"
#include "compiler/passes/make_entries.h"
#include "compiler/passes/narrow_products.h"
#include "compiler/passes/order_updates.h"
#include "compiler/passes/prepare_weights.h"
#include "compiler/passes/segment_scans.h"
#include "compiler/passes/share_loops.h"
#include "compiler/passes/simplify.h"
#include "compiler/passes/sink_scan.h"
#include "compiler/passes/tile_batch.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

enum class When { always, training };

struct GraphPass {
  std::string_view name;
  void (*function)(Module&, const PipelineOptions&);
  When when;
  std::string_view why;
};

template <void (*pass)(Graph&)>
void each_entry(Module& module, const PipelineOptions&) {
  for (Graph& graph : module.entries) pass(graph);
}

void expand_entries(Module& module, const PipelineOptions& options) {
  const bool is_mixed = options.dtype_policy == DTypePolicy::mixed_bfloat16;
  for (Graph& graph : module.entries) graph = expand(graph, {.precision = is_mixed ? "bf16" : ""});
}
void expand_update_entries(Module& module, const PipelineOptions&) {
  for (Graph& graph : module.entries) graph = expand(graph);
}
void block_attention_entries(Module& module, const PipelineOptions& options) {
  for (Graph& graph : module.entries) block_attention(graph, options.attention_bytes);
}
void segment_scans_entries(Module& module, const PipelineOptions& options) {
  if (options.schedule.segments_scans)
    for (Graph& graph : module.entries) segment_scans(graph);
}
void differentiate_entries(Module& module, const PipelineOptions&) { differentiate(module); }
void add_update_entries(Module& module, const PipelineOptions& options) { add_update(module, *options.training); }
void prepare_weights_entries(Module& module, const PipelineOptions&) { prepare_weights(module); }
void tile_batch_entries(Module& module, const PipelineOptions& options) {
  for (Graph& graph : module.entries) tile_batch(graph, options.schedule.tile_rows, options.schedule.partitions);
}

// The whole compiler, in order. Read this file first. Before the first pass, `make_entries` turns the model into
// graphs; behind the last one, `lower` turns them into kernels, `kernel_passes` below change these, and `plan_memory` gives
// their buffers places.
// clang-format off
constexpr GraphPass graph_passes[] = {
    // name              function                     when            why it stands here
    {"expand",           expand_entries,              When::always,   "composites become primitives, so gradients come for free"},
    {"fold_constants",   each_entry<fold_constants>,  When::always,   "scalar arithmetic on constants, before gradients multiply it"},
    {"sink_transposes",  each_entry<sink_transposes>, When::always,   "convolutions meet in their own order of axes; gradients then follow it"},
    {"block_attention",  block_attention_entries,     When::always,   "before differentiate, which then computes blocks of scores again"},
    {"segment_scans",    segment_scans_entries,       When::training, "with a memory budget only: differentiate then keeps carries and recomputes segments"},
    {"differentiate",    differentiate_entries,       When::training, "before simplify, so that forward and backward share nodes"},
    {"add_update",       add_update_entries,          When::training, "the optimizer becomes ordinary nodes; the runtime has no maths"},
    {"expand_update",    expand_update_entries,       When::training, "optimizers and gradients were written with composites too"},
    {"drop_dead",        each_entry<drop_dead>,       When::always,   "the backward scan recomputed what it does not need"},
    {"fold_constants_2", each_entry<fold_constants>,  When::always,   "gradients start from the constant 1"},
    {"simplify",         each_entry<simplify>,        When::always,   "products with 1 and split-concat pairs from the gradients"},
    {"share_common",     each_entry<share_common>,    When::always,   "forward and backward compute some things alike"},
    {"hoist_scan",       each_entry<hoist_scan>,      When::always,   "needs the final loop bodies; input projections leave the loop"},
    {"sink_scan",        each_entry<sink_scan>,       When::always,   "after hoist_scan, which leaves fewer values to stack"},
    {"narrow_products",  each_entry<narrow_products>, When::always,   "contractions have left their loops, and bf16 is packed as bf16"},
    {"drop_dead_2",      each_entry<drop_dead>,       When::always,   "moved nodes leave unread results and sequences behind, and narrowed views the wide ones"},
    {"choose_layouts",   each_entry<choose_layouts>,  When::always,   "contractions are where they stay, so packing can be placed"},
    {"simplify_2",       each_entry<simplify>,        When::always,   "absorbed reshapes meet and cancel"},
    {"share_common_2",   each_entry<share_common>,    When::always,   "one packed copy of a weight serves every reader"},
    {"drop_dead_3",      each_entry<drop_dead>,       When::always,   "contractions that were replaced"},
    {"prepare_weights",  prepare_weights_entries,     When::always,   "what predictions make of weights alone is known, packing and casts included"},
    {"order_updates",    each_entry<order_updates>,   When::training, "before tile_batch: weights are replaced in place once nobody needs the old ones"},
    {"tile_batch",       tile_batch_entries,          When::always,   "wraps what is left to do per sample; last, since it hides it in a body"},
};

struct KernelPass {
  std::string_view name;
  void (*function)(Kernel&, const PipelineOptions&);
  std::string_view why;
};

void fuse_rows_kernel(Kernel& kernel, const PipelineOptions& options) { fuse_rows(kernel, options.l2_bytes); }
void block_contractions_kernel(Kernel& kernel, const PipelineOptions& options) { block_contractions(kernel, options.l2_bytes); }
void share_loops_kernel(Kernel& kernel, const PipelineOptions&) { share_loops(kernel); }

constexpr KernelPass kernel_passes[] = {
    // name                function                   why it stands here
    {"fuse_rows",          fuse_rows_kernel,          "behind lower, which makes the loops; before what is cut for the caches"},
    {"block_contractions", block_contractions_kernel, "behind lower, which knows strides; before plan_memory, since it adds buffers"},
    {"share_loops",        share_loops_kernel,        "what is still serial and long: behind block_contractions, which takes transposes"},
};
// clang-format on

}  // namespace

std::vector<PassDescription> describe_passes() {
  std::vector<PassDescription> list = {
      {"make_entries", "always", "the model's layers become one graph per entry over shared slots"}};
  for (const GraphPass& pass : graph_passes)
    list.push_back({pass.name, pass.when == When::always ? "always" : "training", pass.why});
  list.push_back({"lower", "always", "fusion groups become loops and contractions; graphs end here"});
  for (const KernelPass& pass : kernel_passes) list.push_back({pass.name, "always", pass.why});
  list.push_back({"plan_memory", "always", "buffers that are never alive together share memory"});
  return list;
}

namespace {

/// A run of the pipeline: what it has made so far, and what goes with every pass.
class Run {
 public:
  explicit Run(const PipelineOptions& options) : options_(options) {}
  Lowered out;

  /// True where this was the last pass to run.
  template <typename Body>
  bool pass(std::string_view name, Body&& body) {
    if (!options_.disable.count(name)) {
      out.times.run(name, body);
      if (options_.verify) out.times.run("verify", [&] { verify(name); });
      if (options_.dump) dump(name);
    }
    return options_.stop_after == name;
  }

  void from_module() {
    for (const GraphPass& graph_pass : graph_passes) {
      if (graph_pass.when == When::training && !options_.training) continue;
      if (pass(graph_pass.name, [&] { graph_pass.function(out.module, options_); })) return;
    }
    if (pass("lower", [&] { out.kernels = lower(out.module); })) return;
    for (const KernelPass& kernel_pass : kernel_passes)
      if (pass(kernel_pass.name, [&] {
            for (Kernel& kernel : out.kernels.kernels) kernel_pass.function(kernel, options_);
          }))
        return;
    pass("plan_memory", [&] {
      for (Kernel& kernel : out.kernels.kernels) out.plans.push_back(plan_memory(kernel));
    });
  }

 private:
  const PipelineOptions& options_;
  std::string last_text_;

  void verify(std::string_view after) {
    if (out.kernels.kernels.empty()) verify_module(out.module, after);
    for (const Kernel& kernel : out.kernels.kernels) verify_kernel(kernel, after);
  }

  void dump(std::string_view name) {
    std::string now = out.kernels.kernels.empty() ? module_text(out.module) : kernel_module_text(out.kernels);
    if (now != last_text_) options_.dump(name, now);
    last_text_ = std::move(now);
  }
};

}  // namespace

Lowered run_pipeline(Model& model, const PipelineOptions& given) {
  PipelineOptions options = given;
  options.dtype_policy = model.dtype_policy;
  Run run(options);
  if (!run.pass("make_entries", [&] { run.out.module = make_entries(model, options.training); })) run.from_module();
  return std::move(run.out);
}

Lowered run_pipeline(Module module, const PipelineOptions& options) {
  Run run(options);
  run.out.module = std::move(module);
  run.from_module();
  return std::move(run.out);
}

void run_passes(Module& module, std::span<const std::string> names) {
  PipelineOptions options;
  options.schedule.segments_scans = true;  // a pass that is asked for by name runs
  for (const std::string& name : names) {
    auto pass = std::find_if(std::begin(graph_passes), std::end(graph_passes),
                             [&](const GraphPass& p) { return p.name == name; });
    if (pass == std::end(graph_passes) || pass->function == add_update_entries)
      throw CompileError({.stage = "opt",
                          .what = "there is no graph pass '" + name + "' that can run alone",
                          .hint = "moru passes lists them"});
    pass->function(module, options);
    verify_module(module, name);
  }
}

}  // namespace moru
