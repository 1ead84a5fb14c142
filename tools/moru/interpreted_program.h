// A compiled program without native code: its slots in host memory, its kernels run by the kernel interpreter. The
// oracle beside which `moru compare` puts native code, and what `moru run --interpret` uses.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/codegen/emit.h"
#include "compiler/pipeline.h"
#include "runtime/checkpoint.h"

namespace moru::cli {

class InterpretedProgram {
 public:
  /// Slots start with the model's weights and their initial values. Both must outlive this.
  InterpretedProgram(const Lowered& lowered, Model& model);

  /// Sets an input, target, sample weight, parameter or control. Open dimensions take their sizes from what is set.
  /// Throws Failure where name, element type or shape do not fit.
  void set(const SavedTensor& tensor);
  /// From now on native code of the same kernels runs instead; it must outlive this.
  void use(const JitCode& code) { code_ = &code; }
  /// Runs an entry, after `prepare` if the program has that.
  void run(std::string_view entry);
  SavedTensor get(const std::string& slot) const;

 private:
  void run_kernel(size_t kernel);
  int64_t evaluate(const Dim& dim) const;
  size_t find(const std::string& slot) const;
  void make_memory(size_t slot);

  const Lowered& lowered_;
  const JitCode* code_ = nullptr;
  std::map<std::string, int64_t> symbols_;
  std::vector<std::vector<std::byte>> memory_;  // by slot; empty until it is needed
};

}  // namespace moru::cli
