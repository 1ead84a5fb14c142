// The `program` section of a `.moru` file: what the runtime must know of a compiled program (schema/program.fbs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/io/model_io.h"
#include "compiler/ir/graph.h"
#include "compiler/ir/kernels.h"
#include "compiler/passes/plan_memory.h"

namespace moru {

struct ProgramDescription {
  const Module* module = nullptr;
  const KernelModule* kernels = nullptr;
  const std::vector<MemoryPlan>* plans = nullptr;
  const std::vector<WeightPlace>* weights = nullptr;  // where initial values lie; may be null
  std::vector<std::string> outputs;                   // the model's output names, in order
  std::string target;
  uint64_t hash = 0;
  std::string source;
  int64_t seed = 0;
};

/// The FlatBuffer. Slots keep the module's order, which is the order of the kernels' slot buffers.
std::vector<std::byte> write_program(const ProgramDescription& description);

/// The hash over entries, slots, target and compiler version, not over weights: what a checkpoint must agree with.
uint64_t hash_program(const Module& module, const KernelModule& kernels, const std::string& target);

}  // namespace moru
