// Expressions compiled into register code that works on blocks of points: one instruction computes its value for up to
// 256 consecutive values of one loop variable, so that the cost of interpretation is shared by the block. A shared
// subexpression is one instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/interpret/dim_program.h"
#include "compiler/ir/kernels.h"

namespace moru {

constexpr int64_t block_points = 256;

/// A buffer's memory while a kernel is interpreted.
struct BoundBuffer {
  std::byte* data = nullptr;
  int64_t elements = 0;
  DType dtype = DType::f32;
  std::string name;
};

/// The points a program runs on: `count` consecutive values of its variable from `first` on; all others stand still.
struct PointBlock {
  int64_t first = 0;
  int64_t count = 1;
};

/// Where an access lies at each point of a block.
struct BlockAddress {
  int64_t base = 0, stride = 0;
  const int64_t* offsets = nullptr;  // where base + stride * point does not say it
  int64_t at(int64_t point) const { return offsets ? offsets[point] : base + stride * point; }
};

/// The variable that a program's points differ in, and its position in the values; none: programs run on one point.
struct PointVariable {
  std::string name;
  int position = -1;
};

class ExprProgram {
 public:
  /// Compiles values and addresses that are wanted at the same points; both are found again by their index.
  ExprProgram(const NameScope& scope, std::span<const Buffer> buffers, const PointVariable& variable,
              std::vector<Expr> results, std::span<const Access> addresses);

  /// `values` by position; run() writes that of the program's variable. `accumulator` holds the block's values of the
  /// contraction, where the program reads them.
  void run(const PointBlock& block, int64_t* values, std::span<const BoundBuffer> buffers,
           const void* accumulator = nullptr);

  /// After run(): the values at the block's points.
  const void* result(size_t index) const { return register_data(results_[index]); }
  /// After run(): the checked addresses at the block's points, valid until the next call on this program.
  BlockAddress address(size_t index, int64_t* values, std::span<const BoundBuffer> buffers);

 private:
  using RegisterId = int32_t;
  struct Frame;
  struct Instruction;
  struct Steps;
  using Step = void (*)(const Instruction&, const Frame&);
  struct Instruction {
    Step step = nullptr;
    RegisterId to = -1, a = -1, b = -1, c = -1;
    int address = -1;   // of a load, or the number of an index
    int64_t bytes = 0;  // of an element of the accumulator
  };
  struct Address {
    BufferId buffer = no_buffer;
    bool linear = true;  // in the program's variable
    DimProgram offset, stride;
    RegisterId dynamic = -1;
  };
  struct Frame {
    ExprProgram& program;
    const PointBlock& block;
    int64_t* values;
    std::span<const BoundBuffer> buffers;
    const void* accumulator;
  };

  PointVariable variable_;
  std::vector<Instruction> instructions_;
  std::vector<Address> addresses_;  // those asked for, then those of loads and indices
  std::vector<RegisterId> results_;
  PointBlock block_;
  RegisterId register_count_ = 0;
  std::vector<std::byte> memory_;
  std::vector<int64_t> offsets_;

  // Only while compiling.
  struct Compilation;
  RegisterId new_register(Compilation& c);
  RegisterId compile(Compilation& c, const Expr& expr);
  Address make_address(Compilation& c, const Dim& offset, BufferId buffer, const Expr& dynamic);

  void* register_data(RegisterId id) const;
  BlockAddress locate(const Address& address, int64_t* values, std::span<const BoundBuffer> buffers);
  void offsets_of(const Address& address, int64_t* values);
};

/// acc[p] = fma(a, b[p * stride], acc[p]) for p < count.
void fused_multiply_add(float a, const float* b, int64_t stride, float* acc, int64_t count);
void fused_multiply_add(double a, const double* b, int64_t stride, double* acc, int64_t count);

}  // namespace moru
