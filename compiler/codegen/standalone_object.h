// The functions of a library that needs no runtime, as an object that belongs to those of its kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/codegen/standalone_plan.h"

namespace moru {

/// Defines what the C header declares for the machine of `target`. Needs the objects that
/// emit_objects makes of plan.kernels with the same prefix, and nothing else: no library, no heap, no threads.
std::vector<uint8_t> standalone_object(const StandalonePlan& plan, const Target& target);

/// Names of the functions: "<prefix>init", "<prefix>arena_bytes", "<prefix>predict". There is no init where nothing is
/// kept.
std::string standalone_function(const StandalonePlan& plan, const std::string& name);
std::vector<std::string> standalone_functions(const StandalonePlan& plan);

}  // namespace moru
