// Runs kernels as kernels.h defines them: the oracle of generated code, and what runs where there is no generated code.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "compiler/ir/kernels.h"

namespace moru {

struct InterpretKernelOptions {
  /// Runs the chunks of parallel loops, and the blocks of vector loops, from the last to the first. Results are the
  /// same bits; where they are not, a loop breaks its promise.
  bool reverse_independent_loops = false;
};

/// Runs `kernel` on `buffers`, one address per buffer of the kernel in its order; a buffer that is not used may be
/// null. `symbols` holds a value for every symbol, `workers` among them (1 where it is missing). All arithmetic is done
/// in the declared types; every access is checked against the buffer's number of elements. Throws InternalError, naming
/// the statement, where the kernel reaches outside of a buffer or is not well formed.
void interpret_kernel(const Kernel& kernel, std::span<void* const> buffers,
                      const std::map<std::string, int64_t>& symbols, const InterpretKernelOptions& options = {});

}  // namespace moru
