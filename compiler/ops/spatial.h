// What layers over space share (convolution, pooling, padding): lists with one number per axis, where windows lie, the
// order of the axes. Space is what lies between the batch and the channels: [batch, space..., channels].
#pragma once

#include <string_view>
#include <vector>

#include "compiler/ops/layer.h"

namespace moru {

/// The attribute as one number for each of `rank` axes: as given, or one number for all. Fails on other lengths.
std::vector<int64_t> per_axis(const Attributes& attributes, std::string_view name, size_t rank);
void check_per_axis(const OpContext& context, const Op& op, std::string_view name, size_t rank, int64_t least = 1);

/// Whether the attribute `data_format` says that channels come before space.
bool channels_first(const Attributes& attributes);
/// [batch, channels, space...] as [batch, space..., channels] and back: of values transpositions, which passes take away
/// where they can; of shapes and host tensors the same. At least two axes.
Value channels_to_back(Value x);
Value channels_to_front(Value x);
Shape channels_to_back(const Shape& shape);
Shape channels_to_front(const Shape& shape);
HostTensor channels_to_back(const HostTensor& x);
HostTensor channels_to_front(const HostTensor& x);

/// Windows along one axis of extent n, with what is added at its ends.
///   valid: count = floor((n - reach) / stride) + 1, reach = (size - 1) * dilation + 1
///   same: count = ceil(n / stride), padded by max((count - 1) * stride + reach - n, 0), the smaller half in front
///   causal: as same, but padded by reach - 1, all of it in front
struct Windows {
  Dim count, before, after;
  int64_t size = 1, stride = 1, dilation = 1;
};
Windows make_windows(const Dim& extent, int64_t size, int64_t stride, int64_t dilation, std::string_view padding);

/// By how much a transposed convolution crops its full output of (n - 1) * stride + reach, floor(half) of it in front; where
/// it is negative, that many zeros are added behind. With Keras' output_padding p, m - (n - 1) * stride is reach + p (valid)
/// or reach % 2 + p (same); without, m is as in ops/convolution.cpp.
int64_t transposed_surplus(const Attributes& attributes, size_t axis, size_t rank);

/// y[..., i, ...] = x[..., positions[i], ...] along `axis`.  positions: [count] of i32 or i64, within the axis.
Value gather_along(Value x, int64_t axis, Value positions);

/// The windows of each axis of space, [batch, n, m, channels] -> [batch, i, k, j, l, channels], where the padding holds
/// `value`.
Value windowed(Value x, const std::vector<Windows>& windows, double value = 0.0);

/// Fails unless x is [batch, space..., channels] with `rank` axes of space and, where asked for, known channels.
void check_spatial(const OpContext& context, const Op& op, size_t rank, bool known_channels);

AttributeSpec data_format_attribute();
/// Of layers that have channels behind only.
AttributeSpec channels_last_attribute();

// ---- layers that change space alone ----

std::vector<int64_t> space_of(const HostTensor& x);
/// [batch, space..., channels] of x with another space.
std::vector<int64_t> with_space(const HostTensor& x, const std::vector<int64_t>& space);

/// The type of a layer that changes space alone: `space(axis, extent)`.
template <typename Space>
std::vector<Type> infer_space(const OpContext& context, size_t rank, Space space) {
  Type y = context.inputs[0];
  const size_t first = channels_first(context.attributes) ? 2 : 1;
  for (size_t i = 0; i < rank; ++i) y.shape[first + i] = space(i, y.shape[first + i]);
  return {y};
}

/// Runs `formula` on tensors whose channels are behind.
template <typename Formula>
HostTensor behind(const HostTensor& x, const Attributes& a, Formula formula) {
  return channels_first(a) ? channels_to_front(formula(channels_to_back(x))) : formula(x);
}
template <typename Formula>
std::vector<Value> behind(Value x, const Attributes& a, Formula formula) {
  return {channels_first(a) ? channels_to_front(formula(channels_to_back(x))) : formula(x)};
}

/// An example's input [batch, space..., channels], or with channels in front.
std::vector<Example::Tensor> example_input(size_t rank, int64_t batch, int64_t channels, bool first = false);

}  // namespace moru
