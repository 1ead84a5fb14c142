#include "compiler/ops/tensor_loops.h"

#include <algorithm>

namespace moru {

std::vector<int64_t> constant_shape(const Shape& shape) {
  std::vector<int64_t> extents;
  extents.reserve(shape.size());
  for (const Dim& dim : shape) extents.push_back(dim.constant());
  return extents;
}

std::vector<int64_t> strides_of(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

std::vector<int64_t> broadcast_strides(std::span<const int64_t> from, std::span<const int64_t> to) {
  const std::vector<int64_t> own = strides_of(from);
  std::vector<int64_t> strides(to.size(), 0);
  const size_t missing = to.size() - from.size();
  for (size_t axis = 0; axis < from.size(); ++axis)
    if (from[axis] != 1) strides[axis + missing] = own[axis];
  return strides;
}

std::vector<int64_t> broadcast_extents(std::span<const int64_t> a, std::span<const int64_t> b) {
  std::vector<int64_t> shape(std::max(a.size(), b.size()));
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t x = i < shape.size() - a.size() ? 1 : a[i - (shape.size() - a.size())];
    int64_t y = i < shape.size() - b.size() ? 1 : b[i - (shape.size() - b.size())];
    shape[i] = x == 1 ? y : x;
  }
  return shape;
}

void copy_strided(std::span<const int64_t> shape, HostTensor& to, int64_t to_begin,
                  const std::vector<int64_t>& to_strides, const HostTensor& from, int64_t from_begin,
                  const std::vector<int64_t>& from_strides) {
  for_each_row<2>(shape, {to_strides, from_strides}, [&](auto offsets, int64_t count, auto steps) {
    double* target = to.data.data() + to_begin + offsets[0];
    const double* source = from.data.data() + from_begin + offsets[1];
    for (int64_t i = 0; i < count; ++i) target[i * steps[0]] = source[i * steps[1]];
  });
}

}  // namespace moru
