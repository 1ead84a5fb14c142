// Pooling over windows and over all of space, and the layers that pad and crop space.
#include <algorithm>
#include <limits>

#include "compiler/ops/spatial.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

// Each element of y from the element of x at `source(axis, index)`, or 0 where that lies outside.
template <typename Source>
HostTensor moved(const HostTensor& x, const Integers& space, Source source) {
  HostTensor y = make_tensor(x.dtype, with_space(x, space));
  const Integers from = space_of(x);
  const int64_t channels = x.shape.back();
  for (int64_t i = 0; i < y.elements(); ++i) {
    int64_t rest = i / channels, offset = 0, stride = 1;
    bool inside = true;
    for (size_t axis = space.size(); axis-- > 0; rest /= space[axis]) {
      const int64_t at = source(axis, rest % space[axis]);
      inside = inside && at >= 0 && at < from[axis];
      offset += at * stride;
      stride *= from[axis];
    }
    if (inside)
      y.data[static_cast<size_t>(i)] = x.data[static_cast<size_t>((rest * stride + offset) * channels + i % channels)];
  }
  return y;
}

// ---- pooling ----

std::vector<Windows> windows_of(const Shape& x, const Attributes& a, size_t rank) {
  const Integers size = per_axis(a, "pool_size", rank);
  const Integers stride = a.has("strides") ? per_axis(a, "strides", rank) : size;
  std::vector<Windows> windows;
  for (size_t i = 0; i < rank; ++i)
    windows.push_back(make_windows(x[i + 1], size[i], stride[i], 1, a.string("padding")));
  return windows;
}

std::vector<Type> infer_pooling(const OpContext& context, const Op& op, size_t rank) {
  const Attributes& a = context.attributes;
  check_per_axis(context, op, "pool_size", rank);
  check_per_axis(context, op, "strides", rank);
  check_spatial(context, op, rank, false);
  if (!is_float(context.inputs[0].dtype))
    fail(context, op, "needs floating point input but got " + type_text(context.inputs[0]));
  const Shape& x = context.inputs[0].shape;
  const std::vector<Windows> windows = windows_of(channels_first(a) ? channels_to_back(x) : x, a, rank);
  for (size_t i = 0; i < rank; ++i)
    if (windows[i].count.is_constant() && windows[i].count.constant() < 1)
      fail(context, op,
           "its window of " + std::to_string(windows[i].size) + " is larger than the input " + shape_text(x),
           "make pool_size smaller, or set padding=\"same\"");
  return infer_space(context, rank, [&](size_t i, const Dim&) { return windows[i].count; });
}

// How many elements of each window are not padding, as a factor that broadcasts over [i, j, channels]; constant for
// valid.
Value window_counts(Value x, const std::vector<Windows>& windows) {
  Builder& b = *x.builder;
  const DType dtype = x.type().dtype;
  Value counts;
  for (size_t i = 0; i < windows.size(); ++i) {
    const Windows& w = windows[i];
    Value count = b.constant(static_cast<double>(w.size), dtype);
    if (!w.before.is_constant(0) || !w.after.is_constant(0)) {
      Value ones = b.fill(1.0, {1, x.dim(static_cast<int>(i) + 1), 1}, dtype);
      Shape shape(windows.size() + 1, Dim(1));
      shape[i] = w.count;
      count = b.reshape(b.reduce("reduce_sum", windowed(ones, {w}), {2}), shape);
    }
    counts = counts ? counts * count : count;
  }
  return counts;
}

Value pooled(Value x, const Attributes& a, size_t rank, bool greatest) {
  Builder& b = *x.builder;
  const std::vector<Windows> windows = windows_of(x.shape(), a, rank);
  const double lowest = x.type().dtype == DType::f32 ? static_cast<double>(std::numeric_limits<float>::lowest())
                                                     : std::numeric_limits<double>::lowest();
  Integers axes;
  for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(2 * i) + 2);
  Value patches = windowed(x, windows, greatest ? lowest : 0.0);
  if (greatest) return b.call("reduce_max", {patches}, {{"axes", axes}, {"first", true}});
  return b.reduce("reduce_sum", patches, axes) / window_counts(x, windows);
}

HostTensor pooled_reference(const HostTensor& x, const Attributes& a, size_t rank, bool greatest) {
  const Integers size = per_axis(a, "pool_size", rank), from = space_of(x);
  const Integers stride = a.has("strides") ? per_axis(a, "strides", rank) : size;
  Integers to, before;
  for (size_t i = 0; i < rank; ++i) {
    const bool same = a.string("padding") == "same";
    to.push_back(same ? (from[i] + stride[i] - 1) / stride[i] : (from[i] - size[i]) / stride[i] + 1);
    before.push_back(same ? std::max((to[i] - 1) * stride[i] + size[i] - from[i], int64_t{0}) / 2 : 0);
  }
  const double none = greatest ? -std::numeric_limits<double>::infinity() : 0.0;
  HostTensor y = make_tensor(x.dtype, with_space(x, to), none), counts = make_tensor(x.dtype, y.shape);
  for (int64_t element = 0; element < element_count(size); ++element) {
    // Every window's element number `element`, and a mark where it is not padding.
    Integers offset(rank);
    for (auto [i, rest] = std::pair{rank, element}; i-- > 0; rest /= size[i]) offset[i] = rest % size[i];
    auto source = [&](size_t axis, int64_t at) { return at * stride[axis] + offset[axis] - before[axis]; };
    const HostTensor part = moved(x, to, source), inside = moved(make_tensor(x.dtype, x.shape, 1.0), to, source);
    for (size_t i = 0; i < y.data.size(); ++i) {
      if (inside.data[i] == 0.0) continue;
      counts.data[i] += 1.0;
      y.data[i] = greatest ? std::max(y.data[i], part.data[i]) : y.data[i] + part.data[i];
    }
  }
  if (!greatest)
    for (size_t i = 0; i < y.data.size(); ++i) y.data[i] /= counts.data[i];
  return y;
}

Op pooling(std::string_view name, std::string_view class_name, size_t rank, bool greatest) {
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = greatest ? "y[b, i, c] = max over p of x[b, i*stride + p - before, c]; of equal ones the first gets the "
                        "gradient.   x: [batch, space..., channels]"
                      : "y[b, i, c] = mean over p of x[b, i*stride + p - before, c], without padding.   x: [batch, "
                        "space..., channels]",
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes =
          {{.name = "pool_size", .type = T::integers, .default_value = Integers(rank, 2), .least = 1},
           {.name = "strides", .type = T::integers, .optional = true, .least = 1, .doc = "by default pool_size"},
           {.name = "padding", .type = T::string, .default_value = "valid", .choices = {"valid", "same"}},
           data_format_attribute()},
      .infer = [name, rank](const OpContext& context) { return infer_pooling(context, get_op(name), rank); },
      .reference = [rank, greatest](std::span<const HostTensor> inputs,
                                    const Attributes& a) -> std::vector<HostTensor> {
        return {behind(inputs[0], a, [&](const HostTensor& x) { return pooled_reference(x, a, rank, greatest); })};
      },
      .expand =
          [rank, greatest](Builder&, std::span<const Value> inputs, const Attributes& a) {
            return behind(inputs[0], a, [&](Value x) { return pooled(x, a, rank, greatest); });
          },
      .examples = {{.inputs = example_input(rank, 2, 3)},
                   {.inputs = example_input(rank, 2, 17),
                    .attributes = {{"padding", "same"}, {"pool_size", Integers{3}}, {"strides", Integers{2}}}},
                   {.inputs = example_input(rank, 2, 3), .attributes = {{"strides", Integers{1}}, {"padding", "same"}}},
                   {.inputs = example_input(rank, 1, 2, true),
                    .attributes = {{"data_format", "channels_first"}, {"pool_size", Integers{3}}}}},
  };
}

Op global_pooling(std::string_view name, std::string_view class_name, size_t rank, bool greatest) {
  auto axes = [rank](const Attributes& a) {
    Integers list;
    for (size_t i = 0; i < rank; ++i) list.push_back(static_cast<int64_t>(i) + (channels_first(a) ? 2 : 1));
    return list;
  };
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = greatest
                 ? "y[b, c] = the greatest x[b, ..., c] over space.   x: [batch, space..., channels]   ->   [batch, "
                   "channels], or 1 in place of space with keepdims"
                 : "y[b, c] = the mean of x[b, ..., c] over space.   x: [batch, space..., channels]   ->   [batch, "
                   "channels], or 1 in place of space with keepdims",
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes = {data_format_attribute(), {.name = "keepdims", .type = T::boolean, .default_value = false}},
      .infer = [name, rank, axes](const OpContext& context) -> std::vector<Type> {
        check_spatial(context, get_op(name), rank, false);
        Type y = context.inputs[0];
        if (!is_float(y.dtype)) fail(context, get_op(name), "needs floating point input but got " + type_text(y));
        if (context.attributes.boolean("keepdims"))
          return infer_space(context, rank, [](size_t, const Dim&) { return Dim(1); });
        const auto first = y.shape.begin() + axes(context.attributes)[0];
        y.shape.erase(first, first + static_cast<std::ptrdiff_t>(rank));
        return {y};
      },
      .reference = [greatest](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor x = channels_first(a) ? channels_to_back(inputs[0]) : inputs[0];
        const int64_t batch = x.shape[0], channels = x.shape.back(), space = x.elements() / batch / channels;
        HostTensor y = make_tensor(x.dtype, {batch, channels});
        for (int64_t i = 0; i < batch * channels; ++i) {
          double result = greatest ? -std::numeric_limits<double>::infinity() : 0.0;
          for (int64_t p = 0; p < space; ++p) {
            const double element = x.data[static_cast<size_t>((i / channels * space + p) * channels + i % channels)];
            result = greatest ? std::max(result, element) : result + element;
          }
          y.data[static_cast<size_t>(i)] = greatest ? result : result / static_cast<double>(space);
        }
        if (a.boolean("keepdims")) y.shape.insert(y.shape.begin() + (channels_first(a) ? 2 : 1), x.shape.size() - 2, 1);
        return {y};
      },
      .expand = [greatest, axes](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {b.reduce(greatest ? "reduce_max" : "reduce_mean", inputs[0], axes(a), a.boolean("keepdims"))};
      },
      .examples = {{.inputs = example_input(rank, 2, 3)},
                   {.inputs = example_input(rank, 3, 17), .attributes = {{"keepdims", true}}},
                   {.inputs = example_input(rank, 2, 3, true), .attributes = {{"data_format", "channels_first"}}}},
  };
}

// Over time there may be a mask of the steps; NaN where it leaves none, as in Keras.
Op masked_average_pooling() {
  Op op = global_pooling("global_average_pooling_1d", "GlobalAveragePooling1D", 1, false);
  const Op plain = op;
  op.doc = "y[b, c] = the mean of x[b, time, c] over the steps, those that the mask says where there is one.   x: [batch, time, "
           "channels]   mask: [batch, time]   ->   [batch, channels], or 1 in place of time with keepdims";
  op.inputs.push_back(mask_input());
  op.infer = [plain](const OpContext& context) {
    const OpContext unmasked{context.inputs.first(1), context.present.first(1), context.attributes, {}, context.node};
    std::vector<Type> types = plain.infer(unmasked);
    const Shape& x = context.inputs[0].shape;
    const Shape steps{x[0], x[channels_first(context.attributes) ? 2 : 1]};
    if (has_input(context, 1) && !are_equal(context, steps, context.inputs[1].shape))
      fail(context, get_op("global_average_pooling_1d"), "needs a mask " + shape_text(steps) + " but got " + shape_text(context.inputs[1].shape));
    return types;
  };
  op.reference = [plain](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
    std::vector<HostTensor> outputs = plain.reference(inputs.first(1), a);
    const HostTensor* mask = find_input(inputs, 1);
    if (!mask) return outputs;
    const HostTensor x = channels_first(a) ? channels_to_back(inputs[0]) : inputs[0];
    const auto time = static_cast<size_t>(x.shape[1]), channels = static_cast<size_t>(x.shape[2]);
    for (size_t i = 0; i < outputs[0].data.size(); ++i) {
      double sum = 0.0, count = 0.0;
      for (size_t row = i / channels * time; row < (i / channels + 1) * time; ++row) {
        if (mask->data[row] == 0.0) continue;
        sum += x.data[row * channels + i % channels];
        count += 1.0;
      }
      outputs[0].data[i] = sum / count;
    }
    return outputs;
  };
  op.expand = [plain](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
    const Value x = inputs[0];
    Value mask = find_input(inputs, 1);
    if (!mask) return plain.expand(b, inputs.first(1), a);
    const int64_t time = channels_first(a) ? 2 : 1;
    mask = b.cast(mask, DType::boolean);
    mask = b.reshape(mask, time == 1 ? Shape{x.dim(0), x.dim(1), 1} : Shape{x.dim(0), 1, x.dim(2)});
    const Value zero = b.constant(0.0, x.type().dtype);
    const bool keep = a.boolean("keepdims");
    return {b.reduce("reduce_sum", b.select(b.broadcast_to(mask, x.shape()), x, zero), {time}, keep) /
            b.reduce("reduce_sum", b.cast(mask, x.type().dtype), {time}, keep)};
  };
  const Example::Tensor mask{.shape = {3, 4}, .dtype = DType::boolean, .values = {1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1}};
  op.examples.push_back({.inputs = {{{3, 4, 17}}, mask}});
  op.examples.push_back({.inputs = {{{3, 5, 4}}, mask}, .attributes = {{"data_format", "channels_first"}, {"keepdims", true}}});
  return op;
}

// ---- padding, cropping ----

// Front and back of each axis of space, from n | (n, m) for each axis | ((a, b), (c, d)), flat; one axis: n | (a, b).
Integers ends_of(const Attributes& a, std::string_view name, size_t rank) {
  const Integers list = a.integers(name);
  if (list.size() == 2 * rank) return list;
  Integers ends;
  for (size_t i = 0; i < rank; ++i) ends.insert(ends.end(), 2, list.size() == rank ? list[i] : list[0]);
  return ends;
}

Op end_layer(std::string_view name, std::string_view class_name, size_t rank, bool crop) {
  const char* const attribute = crop ? "cropping" : "padding";
  auto change = [attribute, rank, crop](const Attributes& a, size_t i) {
    const Integers ends = ends_of(a, attribute, rank);
    return (ends[2 * i] + ends[2 * i + 1]) * (crop ? -1 : 1);
  };
  Integers each;
  for (size_t i = 0; i < 2 * rank; ++i) each.push_back(static_cast<int64_t>(i) % 3);
  const bool channels_behind = crop && rank == 1;
  AttributeSpec data_format = channels_behind ? channels_last_attribute() : data_format_attribute();
  data_format.recent = rank == 1;
  std::vector<Example> examples = {
      {.inputs = example_input(rank, 2, 3)},
      {.inputs = example_input(rank, 2, 17), .attributes = {{attribute, rank < 3 ? each : Integers{1, 0, 1}}}}};
  if (!channels_behind)
    examples.push_back({.inputs = example_input(rank, 2, 3, true),
                        .attributes = {{attribute, Integers{1}}, {"data_format", "channels_first"}}});
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = crop ? "Removes elements at the ends of each axis of space.   x: [batch, space..., channels]"
                  : "Adds zeros at the ends of each axis of space.   x: [batch, space..., channels]",
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes = {{.name = attribute,
                      .type = T::integers,
                      .default_value = Integers{rank == 1 || !crop ? 1 : 0},
                      .least = 0,
                      .doc = "front and back of each axis, or one number for both, or one number for all",
                      .keras_list = KerasList::pairs},
                     data_format},
      .infer = [=](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        check_spatial(context, op, rank, false);
        const size_t count = context.attributes.integers(attribute).size();
        if (count != 1 && count != rank && count != 2 * rank)
          fail(context, op, std::string(attribute) + " has " + std::to_string(count) + " numbers",
               "give one number, one for each axis of space, or two for each");
        return infer_space(context, rank, [&](size_t i, const Dim& extent) {
          const Dim changed = extent + change(context.attributes, i);
          if (changed.is_constant() && changed.constant() < 1)
            fail(context, op,
                 "removes all of axis " + std::to_string(i + 1) + " of space, whose extent is " + extent.text());
          return changed;
        });
      },
      .reference = [=](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        return {behind(inputs[0], a, [&](const HostTensor& x) {
          Integers space = space_of(x);
          const Integers ends = ends_of(a, attribute, rank);
          for (size_t i = 0; i < rank; ++i) space[i] += change(a, i);
          return moved(x, space,
                       [&](size_t axis, int64_t at) { return crop ? at + ends[2 * axis] : at - ends[2 * axis]; });
        })};
      },
      .expand = [=](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Integers ends = ends_of(a, attribute, rank);
        Value x = inputs[0];
        for (size_t i = 0; i < rank; ++i) {
          const auto axis = static_cast<int64_t>(i) + (channels_first(a) ? 2 : 1);
          if (ends[2 * i] == 0 && ends[2 * i + 1] == 0) continue;
          x = crop ? b.slice(x, axis, ends[2 * i], x.dim(static_cast<int>(axis)) + change(a, i))
                   : b.call("pad", {x},
                            {{"axis", axis}, {"before", Shape{ends[2 * i]}}, {"after", Shape{ends[2 * i + 1]}}});
        }
        return {x};
      },
      .cheap = true,
      .examples = std::move(examples),
  };
}

}  // namespace

std::vector<Op> pooling_ops() {
  return {pooling("max_pooling_1d", "MaxPooling1D", 1, true),
          pooling("max_pooling_2d", "MaxPooling2D", 2, true),
          pooling("max_pooling_3d", "MaxPooling3D", 3, true),
          pooling("average_pooling_1d", "AveragePooling1D", 1, false),
          pooling("average_pooling_2d", "AveragePooling2D", 2, false),
          pooling("average_pooling_3d", "AveragePooling3D", 3, false),
          global_pooling("global_max_pooling_1d", "GlobalMaxPooling1D", 1, true),
          global_pooling("global_max_pooling_2d", "GlobalMaxPooling2D", 2, true),
          global_pooling("global_max_pooling_3d", "GlobalMaxPooling3D", 3, true),
          masked_average_pooling(),
          global_pooling("global_average_pooling_2d", "GlobalAveragePooling2D", 2, false),
          global_pooling("global_average_pooling_3d", "GlobalAveragePooling3D", 3, false),
          end_layer("zero_padding_1d", "ZeroPadding1D", 1, false),
          end_layer("zero_padding_2d", "ZeroPadding2D", 2, false),
          end_layer("zero_padding_3d", "ZeroPadding3D", 3, false),
          end_layer("cropping_1d", "Cropping1D", 1, true),
          end_layer("cropping_2d", "Cropping2D", 2, true),
          end_layer("cropping_3d", "Cropping3D", 3, true)};
}

}  // namespace moru
