// ONNX's convolutions and pooling: [batch, channels, space...].
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;

constexpr std::string_view place_labels = "abdefg", element_labels = "pqrstu";

/// Where the windows of one axis lie: `count` of them, over an axis that is padded by before, after and, where the last
/// window reaches beyond that, more.
struct Axis {
  int64_t size = 1, stride = 1, dilation = 1;
  Dim before = 0, after = 0, more = 0, count = 0;
  int64_t reach() const { return (size - 1) * dilation + 1; }
};

std::vector<Axis> axes_of(OnnxNode& n, const Shape& x, Integers kernel) {
  const size_t rank = x.size() - 2;
  if (rank == 0 || rank > place_labels.size()) n.fail("needs [batch, channels, space...] but got " + shape_text(x));
  if (kernel.size() != rank) n.fail("has a kernel of " + std::to_string(kernel.size()) + " axes for " + shape_text(x));
  const Integers strides = n.integers("strides", Integers(rank, 1)),
                 dilations = n.integers("dilations", Integers(rank, 1));
  const Integers pads = n.integers("pads", Integers(2 * rank, 0));
  if (strides.size() != rank || dilations.size() != rank || pads.size() != 2 * rank)
    n.fail("needs one stride, dilation and two pads for each axis of space");
  const std::string automatic = n.choice("auto_pad", {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""});
  const bool ceil = n.integer("ceil_mode", 0) != 0;
  std::vector<Axis> axes;
  for (size_t i = 0; i < rank; ++i) {
    Axis a{.size = kernel[i], .stride = strides[i], .dilation = dilations[i]};
    if (a.size < 1 || a.stride < 1 || a.dilation < 1) n.fail("has a kernel, stride or dilation below 1");
    const Dim extent = x[i + 2];
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      a.count = a.stride == 1 ? extent : ceil_div(extent, a.stride);
      const Dim total = max((a.count - 1) * a.stride + a.reach() - extent, 0);
      const Dim less = floor_div(total, 2);
      a.before = automatic == "SAME_UPPER" ? less : total - less;
      a.after = total - a.before;
    } else {
      if (automatic != "VALID") {
        a.before = pads[i];
        a.after = pads[rank + i];
      }
      const Dim room = extent + a.before + a.after - a.reach();
      a.count = a.stride == 1 ? room + 1 : (ceil ? ceil_div(room, a.stride) : floor_div(room, a.stride)) + 1;
      if (ceil && a.stride > 1) {
        // The last window starts inside the input or what was padded in front.
        if (room.is_constant() && (a.count.constant() - 1) * a.stride >= (extent + a.before).constant())
          a.count = a.count - 1;
        a.more = max((a.count - 1) * a.stride - room, 0);
      }
    }
    if (a.count.is_constant() && a.count.constant() < 1)
      n.fail("its kernel of " + std::to_string(a.size) + " reaches beyond " + shape_text(x));
    axes.push_back(a);
  }
  return axes;
}

Value padded(Value x, const std::vector<Axis>& axes, double value) {
  for (size_t i = 0; i < axes.size(); ++i)
    x = pad_axis(x, static_cast<int64_t>(i) + 2, axes[i].before, axes[i].after + axes[i].more, value);
  return x;
}

// [batch, channels, n, m] -> [batch, channels, i, p, j, q]
Value windows_of(Value x, const std::vector<Axis>& axes) {
  for (size_t i = axes.size(); i-- > 0;)
    x = x.builder->call("window", {x},
                        {{"axis", static_cast<int64_t>(i) + 2},
                         {"count", Shape{axes[i].count}},
                         {"size", axes[i].size},
                         {"stride", axes[i].stride},
                         {"dilation", axes[i].dilation}});
  return x;
}

Integers window_axes(size_t rank) {
  Integers axes;
  for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(2 * i) + 3);
  return axes;
}

Value add_bias(Value y, Value bias) {
  Shape shape(y.rank() - 1, Dim(1));
  shape[0] = bias.dim(0);
  return y + y.builder->reshape(bias, shape);
}

Value convolve(OnnxNode& n, Value x, Value kernel, const std::vector<Axis>& axes, int64_t groups) {
  Builder& b = n.builder();
  const size_t rank = axes.size();
  const Value patches = windows_of(padded(x, axes, 0.0), axes);
  const std::string places(place_labels.substr(0, rank)), elements(element_labels.substr(0, rank));
  std::string interleaved;
  for (size_t i = 0; i < rank; ++i) (interleaved += places[i]) += elements[i];
  const Dim channels = x.dim(1), filters = kernel.dim(0);
  if (groups < 1 || channels != kernel.dim(1) * groups || !filters.is_constant() || filters.constant() % groups != 0)
    n.fail("has a kernel " + shape_text(kernel.shape()) + " in " + std::to_string(groups) + " groups for an input " +
           shape_text(x.shape()));
  if (groups == 1) return b.contract(patches, kernel, "nc" + interleaved + ",oc" + elements + "->no" + places);
  Shape split_x = patches.shape(), split_kernel = kernel.shape();
  split_x[1] = kernel.dim(1);
  split_x.insert(split_x.begin() + 1, groups);
  split_kernel[0] = filters.constant() / groups;
  split_kernel.insert(split_kernel.begin(), groups);
  const Value y = b.contract(b.reshape(patches, split_x), b.reshape(kernel, split_kernel),
                             "nzc" + interleaved + ",zoc" + elements + "->nzo" + places);
  Shape joined(y.shape().begin() + 3, y.shape().end());
  joined.insert(joined.begin(), {x.dim(0), filters});
  return b.reshape(y, joined);
}

Integers kernel_extents(OnnxNode& n, const Shape& kernel) {
  Integers sizes;
  for (size_t i = 2; i < kernel.size(); ++i) {
    if (!kernel[i].is_constant()) n.fail("needs a kernel of a known size but got " + shape_text(kernel));
    sizes.push_back(kernel[i].constant());
  }
  return sizes;
}

void conv(OnnxNode& n) {
  Value y = convolution(n, n.in(0), n.in(1));
  if (n.has_input(2)) y = add_bias(y, n.in(2));
  n.set(0, y);
}

// Padded in front by zeros or by what the last call left over.
void causal_conv_with_state(OnnxNode& n) {
  Builder& b = n.builder();
  Value x = n.in(0);
  const Value kernel = n.in(1);
  if (x.rank() != 3 || kernel.rank() != 3 || !kernel.dim(2).is_constant() || !x.dim(1).is_constant())
    n.fail("needs [batch, channels, length] and a kernel [channels, 1, size]");
  const int64_t before = kernel.dim(2).constant() - 1;
  if (n.has_input(3)) {
    const Value parts[] = {n.in(3), x};
    x = b.concat(parts, 2);
  } else {
    x = pad_axis(x, 2, before, 0, 0.0);
  }
  const std::vector<Axis> axes = {{.size = before + 1, .count = x.dim(2) - before}};
  Value y = convolve(n, x, kernel, axes, x.dim(1).constant());
  if (n.has_input(2)) y = add_bias(y, n.in(2));
  if (n.choice("activation", {"none", "silu", "swish"}) != "none") y = y * b.call("sigmoid", {y});
  n.set(0, y);
  n.set(1, b.slice(x, 2, x.dim(2) - before, before));
}

void conv_transpose(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0), kernel = n.in(1);
  if (x.rank() < 3 || kernel.rank() != x.rank())
    n.fail("needs [batch, channels, space...] and a kernel of as many axes");
  const size_t rank = x.rank() - 2;
  const Integers sizes = kernel_extents(n, kernel.shape());
  const Integers strides = n.integers("strides", Integers(rank, 1)),
                 dilations = n.integers("dilations", Integers(rank, 1));
  const Integers pads = n.integers("pads", Integers(2 * rank, 0)),
                 extra = n.integers("output_padding", Integers(rank, 0));
  const Integers wanted = n.integers("output_shape", Integers{});
  const std::string automatic = n.choice("auto_pad", {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""});
  const int64_t groups = n.integer("group", 1);
  if (rank > place_labels.size() || strides.size() != rank || dilations.size() != rank || pads.size() != 2 * rank ||
      extra.size() != rank)
    n.fail("needs one stride, dilation and two pads for each axis of space");
  const std::string places(place_labels.substr(0, rank)), elements(element_labels.substr(0, rank));
  std::string interleaved;
  for (size_t i = 0; i < rank; ++i) (interleaved += places[i]) += elements[i];
  if (groups < 1 || !x.dim(1).is_constant() || x.dim(1).constant() % groups != 0)
    n.fail("cannot split its channels into groups");
  Shape split_x = x.shape(), split_kernel = kernel.shape();
  split_x[1] = x.dim(1).constant() / groups;
  split_x.insert(split_x.begin() + 1, groups);
  split_kernel[0] = x.dim(1).constant() / groups;
  split_kernel.insert(split_kernel.begin(), groups);
  Value y = b.contract(b.reshape(x, split_x), b.reshape(kernel, split_kernel),
                       "nzc" + places + ",zco" + elements + "->nzo" + interleaved);
  Shape joined(y.shape().begin() + 3, y.shape().end());
  joined.insert(joined.begin(), {x.dim(0), kernel.dim(1) * groups});
  y = b.reshape(y, joined);
  for (size_t i = rank; i-- > 0;) {
    const Dim extent = x.shape()[i + 2];
    const Dim full = (extent - 1) * strides[i] + (sizes[i] - 1) * dilations[i] + 1;
    y = b.call("window_sum", {y},
               {{"axis", static_cast<int64_t>(2 * i) + 2},
                {"stride", strides[i]},
                {"dilation", dilations[i]},
                {"extent", Shape{full}}});
  }
  for (size_t i = 0; i < rank; ++i) {
    const Dim extent = x.shape()[i + 2], full = y.shape()[i + 2] + extra[i];
    Dim before = pads[i], after = pads[rank + i];
    const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
    if (!wanted.empty() || same) {
      const Dim output = wanted.empty() ? extent * strides[i] : Dim(wanted[wanted.size() - rank + i]);
      const Dim total = full - output;
      const bool grows = total.is_constant() && total.constant() < 0;  // what is missing is added behind
      const Dim less = grows ? Dim(0) : floor_div(total, 2);
      before = automatic == "SAME_UPPER" || grows ? less : total - less;
      after = total - before;
    }
    y = pad_axis(y, static_cast<int64_t>(i) + 2, Dim(0) - before, Dim(extra[i]) - after, 0.0);
  }
  if (n.has_input(2)) y = add_bias(y, n.in(2));
  n.set(0, y);
}

double lowest(DType dtype) {
  return dtype == DType::i32 ? -0x1p31 : dtype == DType::i64 ? -0x1p63 : -std::numeric_limits<double>::infinity();
}

void max_pool(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const std::vector<Axis> axes = axes_of(n, x.shape(), n.integers("kernel_shape"));
  const size_t rank = axes.size();
  const Value windows = windows_of(padded(x, axes, lowest(x.type().dtype)), axes);
  n.set(0, b.reduce("reduce_max", windows, window_axes(rank)));
  if (!n.wants(1)) return;
  // The flat position of each maximum in x: of the window's element, in row-major order of the window.
  Integers order = {0, 1};
  int64_t elements = 1;
  for (size_t i = 0; i < rank; ++i) order.push_back(static_cast<int64_t>(2 * i) + 2);
  for (size_t i = 0; i < rank; ++i) order.push_back(static_cast<int64_t>(2 * i) + 3), elements *= axes[i].size;
  Shape flat = {x.dim(0), x.dim(1)};
  for (const Axis& a : axes) flat.push_back(a.count);
  const Shape places = flat;
  flat.push_back(elements);
  Value rest = b.cast(b.call("arg_max", {b.reshape(b.transpose(windows, order), flat)}, {{"axis", -1}}), DType::i64);
  const bool columns = n.integer("storage_order", 0) != 0;
  std::vector<Value> coordinates(rank);
  for (size_t i = rank; i-- > 0;) {
    const Value size = n.constant(static_cast<double>(axes[i].size), DType::i64);
    const Value quotient = divide_integers(rest, size);
    const auto axis = static_cast<int64_t>(i) + 2;
    const Value start = iota(b, only_axis(places, axis), axis) * static_cast<double>(axes[i].stride) -
                        dim_scalar(b, axes[i].before, DType::i64);
    coordinates[i] = start + (rest - quotient * size) * static_cast<double>(axes[i].dilation);
    rest = quotient;
  }
  Value position;
  Dim stride = 1;
  for (size_t k = 0; k < rank; ++k) {
    const size_t i = columns ? k : rank - 1 - k;
    const Value part = coordinates[i] * dim_scalar(b, stride, DType::i64);
    position = position ? position + part : part;
    stride *= x.shape()[i + 2];
  }
  position = position + iota(b, only_axis(places, 1), 1) * dim_scalar(b, stride, DType::i64);
  position = position + iota(b, only_axis(places, 0), 0) * dim_scalar(b, stride * x.dim(1), DType::i64);
  n.set_as(1, position, DType::i64);
}

void average_pool(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  const std::vector<Axis> axes = axes_of(n, x.shape(), n.integers("kernel_shape"));
  const Value sum = b.reduce("reduce_sum", windows_of(padded(x, axes, 0.0), axes), window_axes(axes.size()));
  bool uniform = true;
  for (const Axis& a : axes)
    uniform = uniform && a.more.is_constant(0) &&
              (n.integer("count_include_pad", 0) || (a.before.is_constant(0) && a.after.is_constant(0)));
  double elements = 1.0;
  for (const Axis& a : axes) elements *= static_cast<double>(a.size);
  if (uniform) return n.set(0, sum / elements);
  // How many elements of each window count.
  Shape shape = x.shape();
  shape[0] = shape[1] = 1;
  Value ones = b.fill(1.0, shape, x.type().dtype);
  if (n.integer("count_include_pad", 0))
    for (size_t i = 0; i < axes.size(); ++i)
      ones = pad_axis(ones, static_cast<int64_t>(i) + 2, axes[i].before, axes[i].after, 1.0);
  std::vector<Axis> left = axes;
  if (n.integer("count_include_pad", 0))
    for (Axis& a : left) a.before = a.after = 0;
  n.set(0, sum / b.reduce("reduce_sum", windows_of(padded(ones, left, 0.0), left), window_axes(axes.size())));
}

Value norm(Value x, const Integers& axes, int64_t p, bool keep) {
  Builder& b = *x.builder;
  if (p == 2) return b.call("sqrt", {b.reduce("reduce_sum", x * x, axes, keep)});
  const Value magnitude = b.call("abs", {x});
  if (p == 1) return b.reduce("reduce_sum", magnitude, axes, keep);
  const DType dtype = x.type().dtype;
  const Value sum = b.reduce("reduce_sum", raise(magnitude, b.constant(static_cast<double>(p), dtype)), axes, keep);
  return raise(sum, b.constant(1.0 / static_cast<double>(p), dtype));
}

void lp_pool(OnnxNode& n) {
  const Value x = n.in(0);
  const std::vector<Axis> axes = axes_of(n, x.shape(), n.integers("kernel_shape"));
  n.set(0, norm(windows_of(padded(x, axes, 0.0), axes), window_axes(axes.size()), n.integer("p", 2), false));
}

void global_pool(OnnxNode& n) {
  const Value x = n.in(0);
  if (x.rank() < 3) n.fail("needs [batch, channels, space...] but got " + shape_text(x.shape()));
  Integers axes;
  for (size_t i = 2; i < x.rank(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (n.op_type() == "GlobalAveragePool") return n.set(0, kept_mean(x, axes));
  if (n.op_type() == "GlobalMaxPool") return n.set(0, n.builder().reduce("reduce_max", x, axes, true));
  n.set(0, norm(x, axes, n.integer("p", 2), true));
}

void max_unpool(OnnxNode& n) {
  Builder& b = n.builder();
  const Value x = n.in(0);
  if (x.rank() < 3) n.fail("needs [batch, channels, space...] but got " + shape_text(x.shape()));
  const size_t rank = x.rank() - 2;
  const Integers kernel = n.integers("kernel_shape"), strides = n.integers("strides", Integers(rank, 1)),
                 pads = n.integers("pads", Integers(2 * rank, 0));
  if (kernel.size() != rank || strides.size() != rank || pads.size() != 2 * rank)
    n.fail("needs a kernel, a stride and two pads for each axis of space");
  Shape shape = {x.dim(0), x.dim(1)};
  for (size_t i = 0; i < rank; ++i)
    shape.push_back((x.shape()[i + 2] - 1) * strides[i] + kernel[i] - pads[i] - pads[rank + i]);
  const Dim count = element_count(x.shape());
  const Value positions = b.reshape(b.cast(n.in(1), DType::i64), {count});
  Value y = b.reshape(
      b.call("scatter_add", {positions, b.reshape(x, {count})}, {{"rows", Shape{element_count(shape)}}}), shape);
  if (n.has_input(2)) {
    const Shape wanted = n.need_dims(2);
    if (wanted.size() != shape.size()) n.fail("needs an output shape of as many axes as its input");
    for (size_t i = 0; i < shape.size(); ++i) y = pad_axis(y, static_cast<int64_t>(i), 0, wanted[i] - shape[i], 0.0);
  }
  n.set(0, y);
}

constexpr OnnxOp ops[] = {
    {"Conv", 1, conv},
    {"ConvTranspose", 1, conv_transpose},
    {"CausalConvWithState", 1, causal_conv_with_state},
    {"MaxPool", 1, max_pool},
    {"AveragePool", 1, average_pool},
    {"LpPool", 1, lp_pool},
    {"GlobalAveragePool", 1, global_pool},
    {"GlobalMaxPool", 1, global_pool},
    {"GlobalLpPool", 1, global_pool},
    {"MaxUnpool", 1, max_unpool},
};

}  // namespace

Value convolution(OnnxNode& n, Value x, Value kernel) {
  if (x.rank() < 3 || kernel.rank() != x.rank())
    n.fail("needs [batch, channels, space...] and a kernel of as many axes but got " + shape_text(x.shape()) + " and " +
           shape_text(kernel.shape()));
  return convolve(n, x, kernel, axes_of(n, x.shape(), kernel_extents(n, kernel.shape())), n.integer("group", 1));
}

std::span<const OnnxOp> onnx_window_ops() { return ops; }

}  // namespace moru
