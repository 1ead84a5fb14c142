#include "compiler/ops/spatial.h"

#include <algorithm>
#include <numeric>

#include "compiler/ops/tensor_loops.h"

namespace moru {

std::vector<int64_t> per_axis(const Attributes& attributes, std::string_view name, size_t rank) {
  std::vector<int64_t> list = attributes.integers(name);
  if (list.size() == 1) list.assign(rank, list[0]);
  return list;
}

void check_per_axis(const OpContext& context, const Op& op, std::string_view name, size_t rank, int64_t least) {
  if (!context.attributes.has(name)) return;
  const std::vector<int64_t> list = per_axis(context.attributes, name, rank);
  if (list.size() != rank)
    fail(context, op,
         std::string(name) + " has " + std::to_string(list.size()) + " numbers but there are " + std::to_string(rank) +
             " axes of space",
         "give one number for each axis, or one for all");
  for (int64_t number : list)
    if (number < least)
      fail(context, op,
           std::string(name) + " is " + std::to_string(number) + " but must be at least " + std::to_string(least));
}

bool channels_first(const Attributes& attributes) { return attributes.string("data_format") == "channels_first"; }

namespace {

std::vector<int64_t> to_back(size_t rank) {
  std::vector<int64_t> permutation(rank);
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  std::rotate(permutation.begin() + 1, permutation.begin() + 2, permutation.end());
  return permutation;
}

std::vector<int64_t> to_front(size_t rank) {
  std::vector<int64_t> permutation(rank);
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  std::rotate(permutation.begin() + 1, permutation.end() - 1, permutation.end());
  return permutation;
}

Shape permuted(const Shape& shape, const std::vector<int64_t>& permutation) {
  Shape result;
  for (int64_t axis : permutation) result.push_back(shape[static_cast<size_t>(axis)]);
  return result;
}

HostTensor permuted(const HostTensor& x, const std::vector<int64_t>& permutation) {
  return get_op("transpose").reference({&x, 1}, {{"permutation", permutation}}).at(0);
}

}  // namespace

Value channels_to_back(Value x) { return x.builder->transpose(x, to_back(x.rank())); }
Value channels_to_front(Value x) { return x.builder->transpose(x, to_front(x.rank())); }
Shape channels_to_back(const Shape& shape) { return permuted(shape, to_back(shape.size())); }
Shape channels_to_front(const Shape& shape) { return permuted(shape, to_front(shape.size())); }
HostTensor channels_to_back(const HostTensor& x) { return permuted(x, to_back(x.shape.size())); }
HostTensor channels_to_front(const HostTensor& x) { return permuted(x, to_front(x.shape.size())); }

int64_t transposed_surplus(const Attributes& attributes, size_t axis, size_t rank) {
  const int64_t stride = per_axis(attributes, "strides", rank)[axis],
                reach = (per_axis(attributes, "kernel_size", rank)[axis] - 1) * per_axis(attributes, "dilation_rate", rank)[axis] + 1;
  const bool same = attributes.string("padding") == "same";
  if (attributes.has("output_padding")) {
    const int64_t beyond = per_axis(attributes, "output_padding", rank)[axis];
    return same ? reach - reach % 2 - beyond : -beyond;
  }
  return same ? reach - stride : std::min(reach - stride, int64_t{0});
}

Windows make_windows(const Dim& extent, int64_t size, int64_t stride, int64_t dilation, std::string_view padding) {
  Windows w{.count = 0, .before = 0, .after = 0, .size = size, .stride = stride, .dilation = dilation};
  const int64_t reach = (size - 1) * dilation + 1;
  if (padding == "valid") {
    w.count = floor_div(extent - reach, stride) + 1;
    return w;
  }
  w.count = stride == 1 ? extent : ceil_div(extent, stride);
  if (padding == "causal") {
    w.before = reach - 1;
    return w;
  }
  const Dim total = max(Dim(w.count - 1) * stride + reach - extent, 0);
  w.before = floor_div(total, 2);
  w.after = total - w.before;
  return w;
}

Value gather_along(Value x, int64_t axis, Value positions) {
  std::vector<int64_t> front = {axis}, back;
  for (int64_t i = 0; i < static_cast<int64_t>(x.rank()); ++i)
    if (i != axis) front.push_back(i);
  for (int64_t i = 0; i < static_cast<int64_t>(x.rank()); ++i) back.push_back(i == axis ? 0 : i < axis ? i + 1 : i);
  Builder& b = *x.builder;
  return b.transpose(b.call("gather", {b.transpose(x, front), positions}), back);
}

Value windowed(Value x, const std::vector<Windows>& windows, double value) {
  Builder& b = *x.builder;
  for (size_t i = 0; i < windows.size(); ++i) {
    const Windows& w = windows[i];
    if (w.before.is_constant(0) && w.after.is_constant(0)) continue;
    x = b.call("pad", {x},
               {{"axis", static_cast<int64_t>(i) + 1},
                {"before", Shape{w.before}},
                {"after", Shape{w.after}},
                {"value", value}});
  }
  for (size_t i = windows.size(); i-- > 0;) {
    const Windows& w = windows[i];
    if (w.size == w.stride && w.dilation == 1) {  // each element is in one window at most: an axis cut into pieces
      const auto axis = static_cast<std::ptrdiff_t>(i) + 1;
      if (!(x.shape()[i + 1] == w.count * w.size)) x = b.slice(x, axis, 0, w.count * w.size);
      Shape pieces = x.shape();
      pieces[i + 1] = w.count;
      pieces.insert(pieces.begin() + axis + 1, w.size);
      x = b.reshape(x, pieces);
      continue;
    }
    x = b.call("window", {x},
               {{"axis", static_cast<int64_t>(i) + 1},
                {"count", Shape{w.count}},
                {"size", w.size},
                {"stride", w.stride},
                {"dilation", w.dilation}});
  }
  return x;
}

void check_spatial(const OpContext& context, const Op& op, size_t rank, bool known_channels) {
  const Shape& x = context.inputs[0].shape;
  const bool first = channels_first(context.attributes);
  constexpr std::string_view space[] = {"", "steps", "height, width", "depth, height, width"};
  if (x.size() != rank + 2)
    fail(context, op,
         "needs an input [batch, " +
             (first ? "channels, " + std::string(space[rank]) : std::string(space[rank]) + ", channels") +
             "] but got " + shape_text(x),
         "bring the input to " + std::to_string(rank + 2) + " axes with Reshape");
  if (known_channels && !(first ? x[1] : x.back()).is_constant())
    fail(context, op, "needs a known number of channels but got " + shape_text(x));
}

AttributeSpec data_format_attribute() {
  return {.name = "data_format",
          .type = AttributeType::string,
          .default_value = "channels_last",
          .choices = {"channels_last", "channels_first"}};
}

AttributeSpec channels_last_attribute() {
  return {.name = "data_format",
          .type = AttributeType::string,
          .default_value = "channels_last",
          .choices = {"channels_last"},
          .doc = "only this one, as in Keras"};
}

std::vector<int64_t> space_of(const HostTensor& x) { return {x.shape.begin() + 1, x.shape.end() - 1}; }

std::vector<int64_t> with_space(const HostTensor& x, const std::vector<int64_t>& space) {
  std::vector<int64_t> shape = {x.shape[0]};
  shape.insert(shape.end(), space.begin(), space.end());
  shape.push_back(x.shape.back());
  return shape;
}

std::vector<Example::Tensor> example_input(size_t rank, int64_t batch, int64_t channels, bool first) {
  std::vector<int64_t> shape = {batch};
  const std::vector<int64_t> spaces[] = {{7}, {6, 5}, {4, 3, 5}};
  const std::vector<int64_t>& space = spaces[rank - 1];
  if (first) shape.push_back(channels);
  shape.insert(shape.end(), space.begin(), space.end());
  if (!first) shape.push_back(channels);
  return {{shape}};
}

}  // namespace moru
