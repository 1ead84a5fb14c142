// Loops over strided tensors for the ops' reference formulas: nothing here knows an op. Speed matters only as far as
// training a small model on the interpreter must not take minutes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

/// The numbers of a shape without symbols; an InternalError where one is left.
std::vector<int64_t> constant_shape(const Shape& shape);

/// Elements to step over for one step along each axis, row-major.
std::vector<int64_t> strides_of(std::span<const int64_t> shape);

/// Strides with which a tensor of shape `from` is read as if it had been broadcast to `to`: 0 along repeated axes.
std::vector<int64_t> broadcast_strides(std::span<const int64_t> from, std::span<const int64_t> to);

/// The numpy broadcast of two concrete shapes, which were checked to be compatible.
std::vector<int64_t> broadcast_extents(std::span<const int64_t> a, std::span<const int64_t> b);

/// `axis` counted from the front, where negative ones count from the end; it was checked to be in range.
inline size_t normalized_axis(int64_t axis, size_t rank) {
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

/// Walks over all indices of `shape` but the last axis, in row-major order, and calls row(offsets, count, steps): the
/// offsets of the row's first element in each of N tensors, the extent of the last axis and its N strides.
template <size_t N, typename Row>
void for_each_row(std::span<const int64_t> shape, const std::array<std::vector<int64_t>, N>& strides, Row&& row) {
  std::array<int64_t, N> offsets{};
  std::array<int64_t, N> steps{};
  for (int64_t extent : shape)
    if (extent == 0) return;
  if (shape.empty()) {
    row(offsets, int64_t{1}, steps);
    return;
  }
  const size_t last = shape.size() - 1;
  for (size_t n = 0; n < N; ++n) steps[n] = strides[n][last];
  std::vector<int64_t> index(last, 0);
  for (;;) {
    row(offsets, shape[last], steps);
    size_t axis = last;
    for (; axis-- > 0;) {
      for (size_t n = 0; n < N; ++n) offsets[n] += strides[n][axis];
      if (++index[axis] < shape[axis]) break;
      for (size_t n = 0; n < N; ++n) offsets[n] -= strides[n][axis] * shape[axis];
      index[axis] = 0;
    }
    if (axis == SIZE_MAX) return;
  }
}

/// to[to_begin + i·to_strides] = from[from_begin + i·from_strides] for every index i of `shape`.
void copy_strided(std::span<const int64_t> shape, HostTensor& to, int64_t to_begin,
                  const std::vector<int64_t>& to_strides, const HostTensor& from, int64_t from_begin,
                  const std::vector<int64_t>& from_strides);

}  // namespace moru
