// Formulas on values of a graph that is being built, which operators of other formats are made of.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compiler/ir/builder.h"

namespace moru {

/// The quotient of integers, towards zero.
Value divide_integers(Value a, Value b);
/// a to the power b, of floats, for negative bases too where b is whole.
Value raise(Value a, Value b);

/// exp(x - max) / sum of it along `axis`, or its logarithm. A negative axis counts from the end.
Value softmax_along(Value x, int64_t axis, bool logarithm);
/// Sum or mean over axes with the axes kept as extents of 1.
Value kept_sum(Value x, const std::vector<int64_t>& axes);
Value kept_mean(Value x, const std::vector<int64_t>& axes);

/// The product of matrices, numpy's rule: stacks of matrices broadcast, vectors stand for one row or column.
Value matmul(Value a, Value b);

/// The permutation of 0 .. rank-1 that brings `axis`, counted from the front, to the back: of 4 axes and 1, (0, 2, 3, 1).
std::vector<int64_t> axis_to_back(size_t rank, int64_t axis);
/// inverse[permutation[i]] = i
std::vector<int64_t> inverse_permutation(const std::vector<int64_t>& permutation);

/// Integers 0, 1, ... along `axis` of a shape.
Value iota(Builder& b, const Shape& shape, int64_t axis, DType dtype = DType::i64);
/// i < 0 ? i + extent : i, in the dtype of the indices: negative ones count from the end. Nothing is clamped here.
Value wrapped_indices(Value indices, Dim extent);
/// A dimension as a scalar of `dtype`.
Value dim_scalar(Builder& b, Dim dim, DType dtype);

/// The shape with every extent but that of `axis` set to 1. Throws CompileError where there is no such axis.
Shape only_axis(const Shape& shape, int64_t axis);
/// shape[begin] * ... * shape[end - 1]; 1 of none.
Dim product(const Shape& shape, size_t begin, size_t end);

/// The flat, row-major positions in a tensor of `shape` of elements whose index along `axis` is data and whose other indices
/// are their own.
Value element_positions(Value indices, Shape shape, int64_t axis);

/// The k greatest elements along an axis, or the least, in order, of equal ones the first in front; and where they stood, i64.
/// Compares each element with each: k and the extent are meant to be small.
struct Ordered {
  Value values, positions;
};
Ordered first_in_order(Value x, int64_t axis, const Dim& k, bool largest);

/// A body of a scan along axis 0 of `sequence`: carries `initial` and stacks what `step` yields.
std::vector<Value> scan_along(Value initial, Value sequence, bool reverse,
                              const std::function<std::vector<Value>(Builder&, Value carry, Value slice)>& step);

/// x padded along an axis with `value`, cropped where a number is negative.
Value pad_axis(Value x, int64_t axis, Dim before, Dim after, double value);

}  // namespace moru
