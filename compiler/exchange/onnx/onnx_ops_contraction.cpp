// ONNX operators that are sums of products: MatMul, Gemm, Einsum.
#include <algorithm>
#include <map>

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

// One operand with each label once: repeated labels are its diagonal.
Value without_repeats(OnnxNode& n, Value x, std::string& labels) {
  Builder& b = n.builder();
  for (size_t i = 0; i < labels.size(); ++i) {
    const size_t j = labels.find(labels[i], i + 1);
    if (j == std::string::npos) continue;
    const Value diagonal =
        b.call("equal", {iota(b, only_axis(x.shape(), static_cast<int64_t>(i)), static_cast<int64_t>(i)),
                         iota(b, only_axis(x.shape(), static_cast<int64_t>(j)), static_cast<int64_t>(j))});
    x = b.reduce("reduce_sum", b.select(diagonal, x, b.constant(0.0, x.type().dtype)), {static_cast<int64_t>(j)});
    labels.erase(j, 1);
    --i;
  }
  return x;
}

Value summed(Value x, std::string& labels, const std::string& kept) {
  std::vector<int64_t> axes;
  std::string left;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (kept.find(labels[i]) == std::string::npos)
      axes.push_back(static_cast<int64_t>(i));
    else
      left += labels[i];
  }
  labels = left;
  return x.builder->reduce("reduce_sum", x, axes);
}

void einsum(OnnxNode& n) {
  Builder& b = n.builder();
  std::string equation;
  for (char c : n.string("equation"))
    if (c != ' ') equation += c;
  const size_t arrow = equation.find("->");
  std::vector<std::string> terms(1);
  for (char c : equation.substr(0, arrow)) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  if (terms.size() != n.inputs())
    n.fail("'" + equation + "' has " + std::to_string(terms.size()) + " operands but got " +
           std::to_string(n.inputs()));
  // What '...' stands for: letters of its own, aligned at the right.
  const std::string spare = "ZYXWVUTSRQ";
  std::vector<Value> operands;
  size_t most = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    operands.push_back(n.in(i));
    const size_t dots = terms[i].find("...");
    if (dots == std::string::npos) continue;
    const size_t named = terms[i].size() - 3;
    if (named > operands[i].rank() || operands[i].rank() - named > spare.size())
      n.fail("'" + equation + "' does not fit " + shape_text(operands[i].shape()));
    const size_t count = operands[i].rank() - named;
    std::string letters;
    for (size_t k = 0; k < count; ++k) letters += spare[count - 1 - k];
    terms[i].replace(dots, 3, letters);
    most = std::max(most, count);
  }
  std::string ellipsis;
  for (size_t k = 0; k < most; ++k) ellipsis += spare[most - 1 - k];
  std::string result;
  if (arrow != std::string::npos) {
    result = equation.substr(arrow + 2);
    if (const size_t dots = result.find("..."); dots != std::string::npos) result.replace(dots, 3, ellipsis);
  } else {  // labels that appear once, in order of the alphabet
    std::map<char, int> count;
    for (const std::string& term : terms)
      for (char c : term)
        if (ellipsis.find(c) == std::string::npos) ++count[c];
    result = ellipsis;
    for (const auto& [c, times] : count)
      if (times == 1) result += c;
  }
  for (size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].size() != operands[i].rank())
      n.fail("'" + terms[i] + "' does not fit " + shape_text(operands[i].shape()));
    operands[i] = without_repeats(n, operands[i], terms[i]);
  }
  const DType dtype = operands[0].type().dtype, computed = is_float(dtype) ? dtype : DType::f64;
  Value y = b.cast(operands[0], computed);
  std::string labels = terms[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    Value x = b.cast(operands[i], computed);
    std::string later = result;
    for (size_t k = i + 1; k < operands.size(); ++k) later += terms[k];
    y = summed(y, labels, later + terms[i]);
    x = summed(x, terms[i], later + labels);
    // Extents of 1 that meet others (they stand for '...') are left out of their operand.
    auto drop_units = [&](Value& from, std::string& own, const Value& other, const std::string& other_labels) {
      Shape shape;
      std::string kept;
      for (size_t k = 0; k < own.size(); ++k) {
        const size_t at = other_labels.find(own[k]);
        if (at != std::string::npos && from.shape()[k].is_constant(1) && !other.shape()[at].is_constant(1)) continue;
        shape.push_back(from.shape()[k]);
        kept += own[k];
      }
      from = b.reshape(from, shape);
      own = kept;
    };
    drop_units(y, labels, x, terms[i]);
    drop_units(x, terms[i], y, labels);
    std::string joined;
    for (char c : labels + terms[i])
      if (later.find(c) != std::string::npos && joined.find(c) == std::string::npos) joined += c;
    y = b.contract(y, x, labels + "," + terms[i] + "->" + joined);
    labels = joined;
  }
  y = summed(y, labels, result);
  std::vector<int64_t> permutation;
  for (char c : result) {
    const size_t at = labels.find(c);
    if (at == std::string::npos)
      n.fail(std::string("'") + c + "' of the result is in no operand of '" + equation + "'");
    permutation.push_back(static_cast<int64_t>(at));
  }
  n.set(0, b.cast(b.transpose(y, permutation), dtype));
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

constexpr OnnxOp ops[] = {{"Det", 1, determinant}, {"MatMul", 1, mat_mul}, {"Gemm", 1, gemm}, {"Einsum", 1, einsum}};

}  // namespace

std::span<const OnnxOp> onnx_contraction_ops() { return ops; }

}  // namespace moru
