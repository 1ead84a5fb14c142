#include "compiler/compile.h"

#include "compiler/io/program_io.h"

namespace moru {

namespace {

void package(const Model& model, const CompileOptions& options, CompiledModel& out) {
  out.hash = hash_program(out.lowered.module, out.lowered.kernels, out.target.text());
  WeightsSection weights = make_weights_section(model);
  out.program = write_program({.module = &out.lowered.module,
                               .kernels = &out.lowered.kernels,
                               .plans = &out.lowered.plans,
                               .weights = &weights.places,
                               .outputs = model.output_names,
                               .target = out.target.text(),
                               .hash = out.hash,
                               .source = model.source,
                               .seed = options.seed});
}

}  // namespace

CompiledModel compile(Model& model, const CompileOptions& options) {
  CompiledModel out;
  out.target = options.target;
  PipelineOptions pipeline = options.pipeline;
  pipeline.l2_bytes = options.target.l2_bytes;
  out.lowered = run_pipeline(model, pipeline);
  out.lowered.times.run("package", [&] { package(model, options, out); });
  return out;
}

}  // namespace moru
