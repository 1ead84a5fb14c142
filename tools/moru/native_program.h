// Joins the two sides: compiles a model, generates native code in memory and loads both as a runtime Program.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/compile.h"
#include "runtime/program.h"
#include "runtime/session.h"

namespace moru {

/// The `.moru` file of a compiled model in memory: model, program, weights and, if given, a recipe (its bytes).
Result<std::vector<std::byte>> make_moru_file(const Model& model, const CompiledModel& compiled,
                                              std::span<const std::byte> recipe = {});

/// Compiles `model` (weights included) and gives the program with native code from the JIT, loaded from a `.moru` in
/// memory so that it can be saved again. CompileError is thrown as the compiler does; what the runtime refuses comes
/// back as a status. `compiled`, if given, receives what was compiled, with the times of all
/// stages; `code` its native code, which lives as long as the
/// program.
Result<std::shared_ptr<const Program>> make_native_program(Model& model, const CompileOptions& options,
                                                           const EmitOptions& emit = {},
                                                           std::span<const std::byte> recipe = {},
                                                           CompiledModel* compiled = nullptr,
                                                           const JitCode** code = nullptr);

/// The same program for who asks neither for kernels nor for passes' dumps. What was compiled before comes whole from the
/// cache in `emit.cache_directory`: only the entries' graphs are made anew, to know it by. `times` gets the stages' times.
Result<std::shared_ptr<const Program>> find_or_make_native_program(Model& model, const CompileOptions& options,
                                                                   const EmitOptions& emit,
                                                                   std::span<const std::byte> recipe, StageTimes& times);

}  // namespace moru
