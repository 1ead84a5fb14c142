// Convolutions, pooling and what pads and repeats space. ONNX has channels in front; where the layer has them behind, the
// transposition is put off, and two that meet cancel.
#include <algorithm>
#include <numeric>

#include "compiler/exchange/onnx/onnx_writer.h"
#include "compiler/ops/spatial.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

// The value's axes in the order batch, channels, space.
Integers front_order(const OnnxOpWriter& w) {
  Integers order(w.types[0].shape.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  if (!channels_first(w.attributes)) {
    order.pop_back();
    order.insert(order.begin() + 1, static_cast<int64_t>(order.size()));
  }
  return order;
}

size_t space_rank(const OnnxOpWriter& w) { return w.types[0].shape.size() - 2; }

Dim extent(const OnnxOpWriter& w, size_t axis) {
  return w.types[0].shape[axis + (channels_first(w.attributes) ? 2 : 1)];
}

// Padding as numbers; where it depends on an open extent, as a rule.
void add_padding(OnnxOpWriter& w, const Integers& size, const Integers& stride, const Integers& dilation,
                 OnnxAttributes& attributes) {
  const std::string& padding = w.attributes.string("padding");
  if (padding == "valid") return;
  Integers before, after;
  bool known = true;
  for (size_t i = 0; i < size.size(); ++i) {
    const Windows windows = make_windows(extent(w, i), size[i], stride[i], dilation[i], padding);
    known = known && windows.before.is_constant() && windows.after.is_constant();
    before.push_back(known ? windows.before.constant() : 0);
    after.push_back(known ? windows.after.constant() : 0);
  }
  if (!known) {
    attributes.emplace_back("auto_pad", std::string("SAME_UPPER"));
    return;
  }
  before.insert(before.end(), after.begin(), after.end());
  attributes.emplace_back("pads", before);
}

// [size..., a, b] as [b, a, size...]
OnnxWeight turned(const OnnxWeight& kernel, bool swap) {
  const auto rank = static_cast<int64_t>(kernel.shape.size());
  Integers order = swap ? Integers{rank - 1, rank - 2} : Integers{rank - 2, rank - 1};
  for (int64_t axis = 0; axis < rank - 2; ++axis) order.push_back(axis);
  return transposed(kernel, order);
}

// [size..., in, multiplier] as [in * multiplier, 1, size...]
OnnxWeight depthwise_kernel(const OnnxWeight& kernel) {
  OnnxWeight weight = turned(kernel, false);
  weight.shape[0] *= weight.shape[1];
  weight.shape[1] = 1;
  return weight;
}

bool computes_in_f32(const OnnxOpWriter& w) { return w.types[0].dtype == DType::f32; }

void set_activated(OnnxOpWriter& w, const std::string& tensor) {
  w.set(w.writer.activate(OnnxWriter::from_ordered(tensor, front_order(w)), w.output_types[0], *w.attributes.find("activation")));
}

struct Steps {
  Integers size, stride, dilation;
  OnnxAttributes attributes() const { return {{"kernel_shape", size}, {"strides", stride}, {"dilations", dilation}}; }
};
Steps steps_of(const OnnxOpWriter& w) {
  const size_t rank = space_rank(w);
  return {per_axis(w.attributes, "kernel_size", rank), per_axis(w.attributes, "strides", rank),
          per_axis(w.attributes, "dilation_rate", rank)};
}

bool convolution(OnnxOpWriter& w) {
  const OnnxWeight* kernel = w.find_weight("kernel");
  if (kernel == nullptr || !computes_in_f32(w)) return false;
  const Steps steps = steps_of(w);
  OnnxAttributes attributes = steps.attributes();
  attributes.emplace_back("group", w.attributes.integer("groups"));
  add_padding(w, steps.size, steps.stride, steps.dilation, attributes);
  const OnnxValue bias = w.find("bias");
  set_activated(w, w.writer.node("Conv", {w.writer.ordered(w.inputs[0], front_order(w)),
                                          w.writer.weight(w.weight_name("kernel"), turned(*kernel, true)), bias.name},
                                 attributes));
  return true;
}

bool depthwise(OnnxOpWriter& w) {
  const OnnxWeight* kernel = w.find_weight("depthwise_kernel");
  if (kernel == nullptr || !computes_in_f32(w)) return false;
  const Steps steps = steps_of(w);
  OnnxAttributes attributes = steps.attributes();
  attributes.emplace_back("group", kernel->shape[kernel->shape.size() - 2]);
  add_padding(w, steps.size, steps.stride, steps.dilation, attributes);
  set_activated(w, w.writer.node("Conv",
                                 {w.writer.ordered(w.inputs[0], front_order(w)),
                                  w.writer.weight(w.weight_name("depthwise_kernel"), depthwise_kernel(*kernel)),
                                  w.find("bias").name},
                                 attributes));
  return true;
}

bool separable(OnnxOpWriter& w) {
  const OnnxWeight *first = w.find_weight("depthwise_kernel"), *second = w.find_weight("pointwise_kernel");
  if (first == nullptr || second == nullptr || !computes_in_f32(w)) return false;
  const Steps steps = steps_of(w);
  OnnxAttributes attributes = steps.attributes();
  attributes.emplace_back("group", first->shape[first->shape.size() - 2]);
  add_padding(w, steps.size, steps.stride, steps.dilation, attributes);
  const std::string channels =
      w.writer.node("Conv",
                    {w.writer.ordered(w.inputs[0], front_order(w)),
                     w.writer.weight(w.weight_name("depthwise_kernel"), depthwise_kernel(*first))},
                    attributes);
  set_activated(w, w.writer.node("Conv", {channels, w.writer.weight(w.weight_name("pointwise_kernel"), turned(*second, true)),
                                          w.find("bias").name}));
  return true;
}

bool transposed_convolution(OnnxOpWriter& w) {
  const OnnxWeight* kernel = w.find_weight("kernel");
  if (kernel == nullptr || !computes_in_f32(w)) return false;
  const Steps steps = steps_of(w);
  OnnxAttributes attributes = steps.attributes();
  Integers before, after, beyond;
  for (size_t i = 0; i < steps.size.size(); ++i) {
    const int64_t surplus = transposed_surplus(w.attributes, i, steps.size.size()), cropped = std::max(surplus, int64_t{0});
    before.push_back(cropped / 2);
    after.push_back(cropped - cropped / 2);
    beyond.push_back(std::max(-surplus, int64_t{0}));
  }
  before.insert(before.end(), after.begin(), after.end());
  attributes.emplace_back("pads", before);
  attributes.emplace_back("output_padding", beyond);
  set_activated(w, w.writer.node("ConvTranspose", {w.writer.ordered(w.inputs[0], front_order(w)),
                                                   w.writer.weight(w.weight_name("kernel"), turned(*kernel, true)),
                                                   w.find("bias").name},
                                 attributes));
  return true;
}

bool pooling(OnnxOpWriter& w) {
  if (!computes_in_f32(w)) return false;
  const size_t rank = space_rank(w);
  const Integers size = per_axis(w.attributes, "pool_size", rank),
                 stride = w.attributes.has("strides") ? per_axis(w.attributes, "strides", rank) : size;
  OnnxAttributes attributes = {{"kernel_shape", size}, {"strides", stride}};
  add_padding(w, size, stride, Integers(rank, 1), attributes);
  const char* type = w.op.name.starts_with("max") ? "MaxPool" : "AveragePool";
  w.set(OnnxWriter::from_ordered(w.writer.node(type, {w.writer.ordered(w.inputs[0], front_order(w))}, attributes),
                                 front_order(w)));
  return true;
}

bool global_pooling(OnnxOpWriter& w) {
  if (w.has_mask() || !computes_in_f32(w)) return false;
  const char* type = w.op.name.starts_with("global_max") ? "GlobalMaxPool" : "GlobalAveragePool";
  const std::string pooled = w.writer.node(type, {w.writer.ordered(w.inputs[0], front_order(w))});
  if (w.attributes.boolean("keepdims")) {
    w.set(OnnxWriter::from_ordered(pooled, front_order(w)));
  } else {
    Integers axes(space_rank(w));
    std::iota(axes.begin(), axes.end(), int64_t{2});
    w.set(w.writer.side_node("Squeeze", {pooled, w.writer.integers(axes)}));
  }
  return true;
}

// Repeats as a Resize to the nearest element.
bool up_sampling(OnnxOpWriter& w) {
  if (!computes_in_f32(w)) return false;
  if (w.attributes.find("interpolation") != nullptr && w.attributes.string("interpolation") != "nearest") return false;
  OnnxWeight scales{{static_cast<int64_t>(w.types[0].shape.size())}, {1.0f, 1.0f}};
  for (int64_t factor : per_axis(w.attributes, "size", space_rank(w))) scales.data.push_back(static_cast<float>(factor));
  w.set(OnnxWriter::from_ordered(
      w.writer.node("Resize",
                    {w.writer.ordered(w.inputs[0], front_order(w)), "", w.writer.weight(w.weight_name("scales"), scales)},
                    {{"mode", std::string("nearest")},
                     {"coordinate_transformation_mode", std::string("asymmetric")},
                     {"nearest_mode", std::string("floor")}}),
      front_order(w)));
  return true;
}

constexpr OnnxWriteEntry entries[] = {
    {"conv_1d", convolution},
    {"conv_2d", convolution},
    {"conv_3d", convolution},
    {"conv_1d_transpose", transposed_convolution},
    {"conv_2d_transpose", transposed_convolution},
    {"conv_3d_transpose", transposed_convolution},
    {"depthwise_conv_1d", depthwise},
    {"depthwise_conv_2d", depthwise},
    {"separable_conv_1d", separable},
    {"separable_conv_2d", separable},
    {"max_pooling_1d", pooling},
    {"max_pooling_2d", pooling},
    {"max_pooling_3d", pooling},
    {"average_pooling_1d", pooling},
    {"average_pooling_2d", pooling},
    {"average_pooling_3d", pooling},
    {"global_max_pooling_1d", global_pooling},
    {"global_max_pooling_2d", global_pooling},
    {"global_max_pooling_3d", global_pooling},
    {"global_average_pooling_1d", global_pooling},
    {"global_average_pooling_2d", global_pooling},
    {"global_average_pooling_3d", global_pooling},
    {"up_sampling_1d", up_sampling},
    {"up_sampling_2d", up_sampling},
    {"up_sampling_3d", up_sampling},
};

}  // namespace

std::span<const OnnxWriteEntry> onnx_write_spatial() { return entries; }

}  // namespace moru
