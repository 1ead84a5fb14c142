// What the expansion and the reference of attention with several heads share: its inputs and the shapes of its scores. Only
// multi_head_*.cpp include this.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "compiler/ops/op.h"

namespace moru::heads {

constexpr double masked_away = -1e9;  // Keras' score of a key that must not be seen

/// The op's inputs.
enum Input : size_t {
  query,
  value,
  key,
  attention_mask,
  query_mask,
  value_mask,
  key_mask,
  seed,
  step,
  query_kernel,
  query_bias,
  key_kernel,
  key_bias,
  gate_kernel,
  gate_bias,
  value_kernel,
  value_bias,
  output_kernel,
  output_bias
};

struct Heads {
  int64_t query = 1;      // heads of queries
  int64_t key_value = 1;  // heads of keys and values; the former are a multiple of these
  int64_t key_dim = 1, value_dim = 1;
  int64_t group() const { return query / key_value; }
};

Heads heads_of(const Attributes& a);

/// The axes along which queries look for keys, from the front: all between batch and features unless they are given.
std::vector<size_t> axes_of(const Attributes& a, size_t rank);

inline bool contains(const std::vector<size_t>& axes, size_t axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

/// The extents of the scores: batch and other axes, heads, queries, keys.
template <typename Extent>
std::vector<Extent> scores_shape(const std::vector<Extent>& q, const std::vector<Extent>& k, const Attributes& a) {
  const std::vector<size_t> axes = axes_of(a, q.size());
  std::vector<Extent> shape;
  for (size_t axis = 0; axis + 1 < q.size(); ++axis)
    if (!contains(axes, axis)) shape.push_back(q[axis]);
  shape.push_back(Extent(heads_of(a).query));
  for (size_t axis : axes) shape.push_back(q[axis]);
  for (size_t axis : axes) shape.push_back(k[axis]);
  return shape;
}

/// The mask's shape with axes of extent 1 in front of the queries' and keys', as many as the scores have.
template <typename Extent>
std::vector<Extent> mask_shape(std::vector<Extent> mask, size_t scores_rank, size_t attention_axes) {
  if (mask.size() < scores_rank && mask.size() >= 2 * attention_axes)
    mask.insert(mask.end() - static_cast<std::ptrdiff_t>(2 * attention_axes), scores_rank - mask.size(), Extent(1));
  return mask;
}

/// The attention by plain loops: y and, where they are returned, the scores.
std::vector<HostTensor> heads_reference(std::span<const HostTensor> inputs, const Attributes& a);

}  // namespace moru::heads
