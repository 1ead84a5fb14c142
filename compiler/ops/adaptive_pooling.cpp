// Adaptive pooling: as many windows as are asked for, of nearly equal size. Window i of n over an axis of extent m
// holds the elements floor(i m / n) .. ceil((i + 1) m / n) - 1.
#include <algorithm>
#include <limits>

#include "compiler/ops/spatial.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

// bool [windows, extent]: which elements lie in which window.
Value membership(Builder& b, int64_t extent, int64_t windows) {
  auto whole = [&](double factor, double offset) {
    const Value numerator = b.call("iota", {}, {{"shape", Shape{windows, 1}}}) * factor + offset;
    return b.call("divide_integers", {numerator, b.constant(static_cast<double>(windows), DType::i32)});
  };
  const auto n = static_cast<double>(windows), m = static_cast<double>(extent);
  const Value element = b.call("iota", {}, {{"shape", Shape{1, extent}}, {"axis", 1}});
  const Value begin = whole(m, 0.0), end = whole(m, m + n - 1.0);
  return b.call("logical_and", {b.call("less_equal", {begin, element}), b.call("less", {element, end})});
}

Value pooled_along(Value x, int64_t axis, int64_t windows, bool greatest) {
  Builder& b = *x.builder;
  const int64_t extent = x.dim(static_cast<int>(axis)).constant();
  if (extent % windows == 0) {  // windows side by side
    Shape split = x.shape();
    split[static_cast<size_t>(axis)] = windows;
    split.insert(split.begin() + axis + 1, extent / windows);
    const Value patches = b.reshape(x, split);
    if (greatest) return b.call("reduce_max", {patches}, {{"axes", Integers{axis + 1}}, {"first", true}});
    return b.reduce("reduce_mean", patches, {axis + 1});
  }
  const Value member = membership(b, extent, windows);
  if (greatest) {
    Shape each = x.shape(), mask(x.rank() + 1, Dim(1));
    each.insert(each.begin() + axis, 1);
    mask[static_cast<size_t>(axis)] = windows;
    mask[static_cast<size_t>(axis) + 1] = extent;
    const Value none = b.constant(-std::numeric_limits<double>::infinity(), x.type().dtype);
    const Value patches = b.select(b.reshape(member, mask), b.reshape(x, each), none);
    return b.call("reduce_max", {patches}, {{"axes", Integers{axis + 1}}, {"first", true}});
  }
  const Value weights = b.cast(member, x.type().dtype);
  std::string labels;
  for (size_t i = 0; i < x.rank(); ++i) labels += static_cast<char>('a' + static_cast<int>(i));
  std::string result = labels;
  result[static_cast<size_t>(axis)] = 'z';
  const Value sums =
      b.contract(weights, x, std::string("z") + labels[static_cast<size_t>(axis)] + "," + labels + "->" + result);
  Shape counts(x.rank(), Dim(1));
  counts[static_cast<size_t>(axis)] = windows;
  return sums / b.reshape(b.reduce("reduce_sum", weights, {1}), counts);
}

HostTensor pooled_reference(const HostTensor& x, size_t axis, int64_t windows, bool greatest) {
  std::vector<int64_t> shape = x.shape;
  shape[axis] = windows;
  HostTensor y = make_tensor(x.dtype, shape);
  const int64_t extent = x.shape[axis], inner = strides_of(shape)[axis];
  for (int64_t i = 0; i < y.elements(); ++i) {
    const int64_t window = i / inner % windows, outer = i / inner / windows;
    const int64_t begin = window * extent / windows, end = ceil_div((window + 1) * extent, windows);
    double result = greatest ? -std::numeric_limits<double>::infinity() : 0.0;
    for (int64_t at = begin; at < end; ++at) {
      const double element = x.data[static_cast<size_t>((outer * extent + at) * inner + i % inner)];
      result = greatest ? std::max(result, element) : result + element / static_cast<double>(end - begin);
    }
    y.data[static_cast<size_t>(i)] = result;
  }
  return y;
}

Op adaptive_pooling(std::string_view name, std::string_view class_name, size_t rank, bool greatest) {
  const Integers smaller = rank == 1 ? Integers{3} : rank == 2 ? Integers{4, 2} : Integers{3, 2, 5};
  const Integers larger = rank == 1 ? Integers{9} : rank == 2 ? Integers{3, 7} : Integers{2, 3, 2};
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc =
          greatest
              ? "y[b, i, c] = max of x[b, j, c], floor(i m / n) <= j < ceil((i + 1) m / n), likewise for more axes of "
                "space.   x: [batch, m..., channels]   ->   [batch, n..., channels], n = output_size"
              : "y[b, i, c] = mean of x[b, j, c], floor(i m / n) <= j < ceil((i + 1) m / n), likewise for more axes "
                "of space.   x: [batch, m..., channels]   ->   [batch, n..., channels], n = output_size",
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes =
          {{.name = "output_size", .type = T::integers, .least = 1, .doc = "windows along each axis of space"},
           data_format_attribute()},
      .infer = [name, rank](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        check_per_axis(context, op, "output_size", rank);
        check_spatial(context, op, rank, false);
        if (!is_float(context.inputs[0].dtype))
          fail(context, op, "needs floating point input but got " + type_text(context.inputs[0]));
        const Integers windows = per_axis(context.attributes, "output_size", rank);
        return infer_space(context, rank, [&](size_t i, const Dim& extent) -> Dim {
          if (!extent.is_constant())
            fail(context, op, "needs known extents of space but got " + shape_text(context.inputs[0].shape));
          return windows[i];
        });
      },
      .reference = [rank, greatest](std::span<const HostTensor> inputs,
                                    const Attributes& a) -> std::vector<HostTensor> {
        const Integers windows = per_axis(a, "output_size", rank);
        return {behind(inputs[0], a, [&](HostTensor x) {
          for (size_t i = 0; i < rank; ++i) x = pooled_reference(x, i + 1, windows[i], greatest);
          return x;
        })};
      },
      .expand =
          [rank, greatest](Builder&, std::span<const Value> inputs, const Attributes& a) {
            const Integers windows = per_axis(a, "output_size", rank);
            return behind(inputs[0], a, [&](Value x) {
              for (size_t i = 0; i < rank; ++i) x = pooled_along(x, static_cast<int64_t>(i) + 1, windows[i], greatest);
              return x;
            });
          },
      .examples = {{.inputs = example_input(rank, 2, 3), .attributes = {{"output_size", smaller}}},
                   {.inputs = example_input(rank, 1, 2), .attributes = {{"output_size", larger}}},
                   {.inputs = example_input(rank, 1, 2, true),
                    .attributes = {{"output_size", Integers{2}}, {"data_format", "channels_first"}}}},
  };
}

}  // namespace

std::vector<Op> adaptive_pooling_ops() {
  return {adaptive_pooling("adaptive_average_pooling_1d", "AdaptiveAveragePooling1D", 1, false),
          adaptive_pooling("adaptive_average_pooling_2d", "AdaptiveAveragePooling2D", 2, false),
          adaptive_pooling("adaptive_average_pooling_3d", "AdaptiveAveragePooling3D", 3, false),
          adaptive_pooling("adaptive_max_pooling_1d", "AdaptiveMaxPooling1D", 1, true),
          adaptive_pooling("adaptive_max_pooling_2d", "AdaptiveMaxPooling2D", 2, true),
          adaptive_pooling("adaptive_max_pooling_3d", "AdaptiveMaxPooling3D", 3, true)};
}

}  // namespace moru
