// Decides which statements become native functions of their own, and which of those are the same function.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/codegen/parametrize.h"
#include "compiler/ir/kernels.h"

namespace moru {

/// A loop nest or contraction that is emitted once: f(buffer addresses..., parameter values...). `statement` stands for
/// all statements that are equal to it but for names and for what their parameters are.
struct OutlinedFunction {
  std::string key;  // the statement's text with buffers, parameters and variables numbered in order of first use
  const Kernel* kernel = nullptr;
  Statement statement;
  std::vector<BufferId> buffers;      // arguments, in order of first use
  std::vector<FunctionParameter> parameters;  // in order of first use
};

struct OutlinedCall {
  size_t function = 0;
  std::vector<BufferId> buffers;
  std::vector<Dim> parameters;
};

struct Outline {
  std::vector<OutlinedFunction> functions;
  std::unordered_map<const Statement*, OutlinedCall> calls;
};

/// Outlines every contraction, transpose, reduction and vector loop, and every serial nest that has neither contractions
/// nor transposes nor parallel loops in it. What remains in the entries are the loops around these and scalar stores.
/// The result points into `module`.
Outline outline_functions(const KernelModule& module);

/// A text that is equal for two modules exactly if they have the same code and the same order of buffers and symbols.
std::string module_key(const KernelModule& module, const Outline& outline);

}  // namespace moru
