// ONNX operators that are sums of products: MatMul, Gemm, Einsum.
#include <algorithm>
#include <map>

#include "compiler/exchange/einsum.h"
#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

void mat_mul(OnnxNode& n) {
  const Value a = n.in(0), b = n.in(1);
  if (a.rank() == 0 || b.rank() == 0)
    n.fail("needs vectors or matrices but got " + type_text(a.type()) + " and " + type_text(b.type()));
  n.set(0, matmul(a, b));
}

void gemm(OnnxNode& n) {
  Builder& b = n.builder();
  const Value a = n.in(0), w = n.in(1);
  if (a.rank() != 2 || w.rank() != 2)
    n.fail("needs two matrices but got " + type_text(a.type()) + " and " + type_text(w.type()));
  const bool real = is_float(a.type().dtype);
  const DType dtype = real ? a.type().dtype : DType::f64;
  const std::string left = n.integer("transA", 0) ? "ba" : "ab", right = n.integer("transB", 0) ? "cb" : "bc";
  Value y = b.contract(b.cast(a, dtype), b.cast(w, dtype), left + "," + right + "->ac");
  const double alpha = n.real("alpha", 1.0), beta = n.real("beta", 1.0);
  if (alpha != 1.0) y = y * alpha;
  if (n.has_input(2) && beta != 0.0) {
    Value c = b.cast(n.in(2), dtype);
    if (beta != 1.0) c = c * beta;
    y = y + c;
  }
  n.set(0, b.cast(y, a.type().dtype));
}

void einsum_node(OnnxNode& n) {
  std::vector<Value> operands;
  for (size_t i = 0; i < n.inputs(); ++i) operands.push_back(n.in(i));
  n.set(0, einsum(std::move(operands), n.string("equation"), [&](const std::string& what) { n.fail(what); }));
}

// Gaussian elimination; the row with the greatest element of a column is its pivot.
void determinant(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  const Shape shape = x.shape();
  constexpr int64_t most = 64;
  if (shape.size() < 2 || shape.back() != shape[shape.size() - 2] || !shape.back().is_constant() ||
      shape.back().constant() > most)
    n.fail("needs square matrices of at most " + std::to_string(most) + " rows but got " + shape_text(shape));
  const Shape stack(shape.begin(), shape.end() - 2);
  const DType dtype = x.type().dtype;
  const Dim matrices = element_count(stack);
  int64_t rows = shape.back().constant();
  x = b.reshape(x, {matrices, rows, rows});
  Value y = b.fill(1.0, {matrices}, dtype);
  for (; rows > 0; --rows) {
    const Value column = b.reshape(b.slice(x, 2, 0, 1), {matrices, rows});
    const Value pivot_row = b.cast(b.call("arg_max", {b.call("abs", {column})}, {{"axis", 1}}), DType::i64);
    const Value is_pivot = b.cast(b.call("equal", {iota(b, {1, rows}, 1), b.reshape(pivot_row, {matrices, 1})}), dtype);
    const Value pivot = b.contract(is_pivot, x, "mi,mij->mj");  // [matrices, columns]
    const Value head = b.reshape(b.slice(pivot, 1, 0, 1), {matrices});
    const Value moved = b.call("equal", {pivot_row, b.constant(0.0, DType::i64)});
    y = y * b.select(moved, head, -head);
    if (rows == 1) break;
    // The first row takes the pivot's place; below it, and beside the first column, the rest is left.
    const Value first = b.slice(x, 1, 0, 1), chosen = b.reshape(is_pivot, {matrices, rows, 1});
    const Value swapped = b.slice(x + chosen * (first - b.reshape(pivot, {matrices, 1, rows})), 1, 1, rows - 1);
    const Value zero = b.constant(0.0, dtype);
    const Value divisor = b.select(b.call("equal", {head, zero}), b.constant(1.0, dtype), head);
    const Value factor = b.slice(swapped, 2, 0, 1) / b.reshape(divisor, {matrices, 1, 1});
    x = b.slice(swapped - factor * b.reshape(pivot, {matrices, 1, rows}), 2, 1, rows - 1);
  }
  n.set(0, b.reshape(y, stack));
}

constexpr OnnxOp ops[] = {{"Det", 1, determinant}, {"MatMul", 1, mat_mul}, {"Gemm", 1, gemm}, {"Einsum", 1, einsum_node}};

}  // namespace

std::span<const OnnxOp> onnx_contraction_ops() { return ops; }

}  // namespace moru
