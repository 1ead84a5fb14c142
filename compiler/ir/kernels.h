// Kernels: the compiler's second and last intermediate representation. One statement tree per entry, over scalars.
//
// Semantics
// - A kernel program has buffers (typed, linear memory) and one statement tree. Statements run in order. There are no
//   calls, no recursion, no allocation.
// - Every address is written out: an Access is a buffer and a linear element offset, a Dim over program symbols and the
//   variables of the enclosing loops. Strides are the coefficients of the variables.
// - Expressions are trees (shared subtrees are computed once per iteration, which cannot be observed: they are pure).
//   Scalar types are f32, f64, i32, i64, boolean (one byte in memory, 0 or 1), and bf16, which is loaded, stored and
//   converted from and to f32 only. Floating point is IEEE round-to-nearest in the type of the expression; `fma`
//   rounds once; nothing is contracted or reassociated. Integers wrap; shifts take 0 <= count < width. min and max
//   return NaN if either operand is NaN, and max(-0, +0) is +0. Comparisons with NaN are false, except not_equal.
//   select evaluates both sides. Conversion of a float to an integer truncates and saturates, NaN to 0; f64 to f32 and
//   f32 to bf16 round to nearest even, and what is below the normal numbers becomes a zero of its sign in bf16. round
//   rounds to nearest even.
// - For runs its body for var = 0 .. extent-1 in that order (extent <= 0: not at all). A `vector` For promises that its
//   iterations are independent: the body holds Stores only, no iteration reads what another writes, and an accumulating
//   store's address depends on the variable; any order gives the same bits. A `parallel` For promises the
//   same about whole iterations and is run through parallel_for; its variable is the chunk; inside it the symbol
//   `worker` holds the worker's number, `workers` the number of workers.
// - Reduce folds `value` over var = 0 .. extent-1 into one scalar, in this order whatever the vector width: 16 partial
//   results, partial p folding elements p, p+16, ... in order from the operation's identity; then they are combined in
//   pairs p and p+8, then p+4, p+2, p+1; then, if `accumulate`, combined with what the target holds (target first).
// - Contraction computes for every point of rows x columns: acc = init (0 if absent); for each point of depth, in
//   row-major order of its axes: acc = fma(a, b, acc); then the epilogue's stores are run, in which `accumulator` is
//   acc. Where a and b are bf16, acc is f32 and the innermost axis of the depth goes by pairs, of which the second
//   element comes first (as in VDPBF16PS); sums below the normal numbers may count as zero. Points of rows x columns are independent (as in a vector For): the epilogue may read and write in place only at
//   its own point. No epilogue store may write what `a` or `b` read.
// - So the bits of every result are fixed here: a schedule (tile, vector width, threads) cannot change them.
//
// Buffers: a slot's memory, or arena memory that is live for one run of the entry (undefined until written). Reads and
// writes stay inside the buffer's elements; codegen may read (never write) up to the next multiple of 64 bytes behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compiler/support/dim.h"
#include "compiler/support/dtype.h"

namespace moru {

using BufferId = uint32_t;
constexpr BufferId no_buffer = UINT32_MAX;

struct Buffer {
  std::string name;
  DType dtype = DType::f32;
  Dim elements;
  int32_t slot = -1;  // index into the module's slots, or -1 for arena memory
};

struct ExprNode;
using Expr = std::shared_ptr<const ExprNode>;

/// Element `offset` (+ `dynamic`, an i64 expression, where an address depends on data) of `buffer`.
/// Whoever builds a dynamic access clamps it, so that it stays inside the buffer whatever the data.
struct Access {
  BufferId buffer = no_buffer;
  Dim offset;
  Expr dynamic;  // may be null
};

enum class ExprOp : uint8_t {
  constant,      // `number` or `bits`
  index,         // `dim` as an i64
  load,          // `access`
  accumulator,   // the contraction's result, in its epilogue only
  // arithmetic: args of the same type
  add, sub, mul, div, fma, min, max, neg, abs, sqrt, round, floor, ceil,
  // integers and bits (i32, i64): shr is logical, sar arithmetic; mul_high_unsigned is the upper half of the product
  bit_and, bit_or, bit_xor, shl, shr, sar, mul_high_unsigned,
  // to boolean; logical ops on booleans
  equal, not_equal, less, less_equal, logical_and, logical_or, logical_not,
  select,        // boolean, then, else
  convert,       // value conversion to `type`
  bitcast,       // f32 <-> i32, f64 <-> i64
};
std::string_view expr_op_name(ExprOp op);

struct ExprNode {
  ExprOp op = ExprOp::constant;
  DType type = DType::f32;
  std::vector<Expr> args;
  double number = 0.0;   // constant of float type; exactly the value after rounding to `type`
  int64_t bits = 0;      // constant of integer or boolean type
  Dim dim;               // index
  Access access;         // load
};

// Constructors. Types of results are derived; wrong operand types are an InternalError. Constants are folded only where
// the bits are the same.
namespace expr {
Expr constant(double value, DType type = DType::f32);
Expr integer(int64_t value, DType type = DType::i32);
Expr index(Dim dim);
Expr load(const Buffer& buffer, BufferId id, Dim offset, Expr dynamic = nullptr);
Expr accumulator(DType type);
Expr unary(ExprOp op, Expr a);
Expr binary(ExprOp op, Expr a, Expr b);
Expr fma(Expr a, Expr b, Expr c);
Expr select(Expr condition, Expr then_value, Expr else_value);
Expr convert(Expr a, DType type);
Expr bitcast(Expr a, DType type);
}  // namespace expr

Expr operator+(Expr a, Expr b);
Expr operator-(Expr a, Expr b);
Expr operator*(Expr a, Expr b);
Expr operator/(Expr a, Expr b);
Expr operator-(Expr a);
Expr operator+(Expr a, double b);
Expr operator-(double a, Expr b);
Expr operator*(Expr a, double b);

enum class ReduceOp : uint8_t { add, max, min };  // identities: -0.0, -inf, +inf; integers 0, lowest, highest
std::string_view reduce_op_name(ReduceOp op);

struct Statement;
using Block = std::vector<Statement>;

struct Store {
  Access access;
  Expr value;
  bool accumulate = false;  // element = element + value
};

struct Reduce {
  std::string var;
  Dim extent;
  ReduceOp op = ReduceOp::add;
  Expr value;
  Access target;
  bool accumulate = false;
};

enum class ForKind : uint8_t { serial, vector, parallel };

struct For {
  std::string var;
  Dim extent;
  ForKind kind = ForKind::serial;
  Block body;
};

struct ContractionAxis {
  std::string var;
  Dim extent;
};

struct Contraction {
  std::vector<ContractionAxis> rows;     // a varies, b does not
  std::vector<ContractionAxis> columns;  // b varies, a does not; the last one is stored along contiguous memory
  std::vector<ContractionAxis> depth;    // summed
  DType type = DType::f32;
  Access a;                              // over rows and depth variables
  Access b;                              // over columns and depth variables; stride 1 along the last column axis
  Expr init;                             // over rows and columns variables; null is zero
  std::vector<Store> epilogue;           // over rows and columns variables
};

/// Copies a matrix with its axes exchanged: to[c*to_stride + r] = from[r*from_stride + c], r < rows, c < columns.
struct Transpose {
  Dim rows, columns;
  Access from, to;
  Dim from_stride, to_stride;
};

struct Statement {
  std::variant<Store, Reduce, For, Contraction, Transpose> node;
  std::string origin;  // the user's nodes it computes, for errors, profiles and dumps
};

/// The origins of the statements and of those inside, each once, in the order in which they stand.
std::vector<std::string> list_origins(std::span<const Statement> statements);

struct Kernel {
  std::string entry;
  std::vector<Buffer> buffers;  // slot buffers and arena buffers of this entry
  Block body;
};

struct KernelModule {
  std::vector<std::string> symbols;  // in the order of moru_kernel_call.symbols; "workers" is last
  std::vector<Kernel> kernels;
  int32_t slot_count = 0;  // slots of the program: in moru_kernel_call.buffers an entry's arena buffers follow them
};

/// Text and back; what is printed parses to an equal tree.
///
///   kernel "predict" {
///     buffer "x": f32[12*batch] slot 0
///     buffer "t0": f32[64*batch]
///     contract f32 rows (i: batch) columns (j: 64) depth (k: 12) a "x"[12*i + k] b "w"[64*k + j] init load "b"[j] {
///       "t0"[64*i + j] = max(acc, 0)
///     }
///     for i: batch @ "softmax_1" {
///       let %0 = load "t0"[64*i]
///       "y"[i] += (%0 * %0) @ "square_1"
///       reduce add k: 64 into "s"[i] { load "t0"[64*i + k] }
///     }
///     transpose (batch, 64) from "t0"[0] stride (64) to "t1"[0] stride (batch)
///   }
///
/// Numbers without a type are f32, others are written f64(0.1), i32(3); decimals are the shortest that parse to the same
/// bits. `let` names a subexpression for the statement below it: shared ones, and parts of deep ones. `@` is the origin. An
/// address with a dynamic part is "table"[64*i; expression].
std::string kernel_text(const Kernel& kernel);
std::string kernel_module_text(const KernelModule& module);
Kernel parse_kernel(std::string_view text);  // throws CompileError with the line

/// Checks types, scoping of variables, the promises of vector loops and contractions as far as they are decidable, and
/// that buffers exist. Throws InternalError naming the statement; `after` says which pass ran.
void verify_kernel(const Kernel& kernel, std::string_view after);

}  // namespace moru
