// The compiler's front door: a Model in, a program and native code out.
//
//   Model model = import_keras_json(text);
//   initialize_parameters(model, 42);
//   CompiledModel compiled = compile(model, {.pipeline = {.training = &spec}});
//   auto code = jit_compile(compiled.lowered.kernels, compiled.target);      // codegen/emit.h
//
// What comes out is bytes: the runtime's Program::load takes them, with or without a file in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/codegen/target.h"
#include "compiler/io/model_io.h"
#include "compiler/pipeline.h"

namespace moru {

/// How much a session may take for intermediate results, at a batch size and a number of threads. Parameters, state and
/// what is bound from outside are not counted.
struct MemoryBudget {
  int64_t bytes = 0;  // 0: no bound
  int64_t batch = 32, threads = 1;
};

struct CompileOptions {
  Target target = Target::host();
  PipelineOptions pipeline = {};
  MemoryBudget memory_budget = {};
  int64_t seed = 0;  // for the record; weights were initialized by the caller
};

struct CompiledModel {
  Target target = Target::host();
  Lowered lowered;                 // the module, the kernels and their memory plans; times of these and of "package"
  std::vector<std::byte> program;  // the program section
  uint64_t hash = 0;
};

/// Compiles `model` for prediction and, with options.pipeline.training, for training. Throws CompileError for what the
/// model's author can mend. With a memory budget the cheapest of several schedules that keeps it is taken: smaller chunks
/// of the batch, then segments of time that are computed again; where none does, the error says the least that can be had.
CompiledModel compile(Model& model, const CompileOptions& options = {});

}  // namespace moru
