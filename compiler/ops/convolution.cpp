// Convolutions (Conv1D .. Conv3D), their transposes, depthwise and separable ones. A convolution is a contraction of
// the kernel with windows of the padded input, which are a view; gradients follow from that. Channels are moved to the
// back by a view where the layer has them in front.
#include <algorithm>

#include "compiler/ops/spatial.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
enum class Kind : uint8_t { plain, transposed, depthwise, separable };

// Labels of contractions, by axis of space.
constexpr std::string_view window_labels = "ijm", element_labels = "pqr";

struct Geometry {
  size_t rank = 0;
  Integers size, stride, dilation;
  std::string padding;
  Integers surplus = {};  // of transposed ones

  std::vector<Windows> windows(const Shape& x) const {  // of x with its channels behind
    std::vector<Windows> list;
    for (size_t i = 0; i < rank; ++i) list.push_back(make_windows(x[i + 1], size[i], stride[i], dilation[i], padding));
    return list;
  }
  int64_t reach(size_t i) const { return (size[i] - 1) * dilation[i] + 1; }
  /// Extents of a transposed convolution: before cropping, and after.
  Dim full(const Dim& n, size_t i) const { return Dim(n - 1) * stride[i] + reach(i); }
  Dim upsampled(const Dim& n, size_t i) const { return full(n, i) - surplus[i]; }
};

Geometry geometry_of(const Attributes& a, size_t rank) {
  Geometry g{rank, per_axis(a, "kernel_size", rank), per_axis(a, "strides", rank), per_axis(a, "dilation_rate", rank),
             a.string("padding")};
  for (size_t i = 0; i < rank; ++i) g.surplus.push_back(transposed_surplus(a, i, rank));
  return g;
}

Dim channels_of(const Shape& x, const Attributes& a) { return channels_first(a) ? x.at(1) : x.back(); }

ParameterSpec weight(const Attributes& a, std::string name, Shape shape, const std::string& stem) {
  return {.name = std::move(name),
          .shape = std::move(shape),
          .initializer = initializer_of(a, stem + "_initializer"),
          .regularizer = regularizer_of(a, stem + "_regularizer")};
}

std::vector<ParameterSpec> convolution_parameters(const OpContext& context, Kind kind, size_t rank) {
  const Attributes& a = context.attributes;
  const Dim in = channels_of(context.inputs[0].shape, a);
  const Integers size = per_axis(a, "kernel_size", rank);
  const Shape space(size.begin(), size.end());
  auto behind = [](Shape shape, const Dim& x, const Dim& y) {
    shape.push_back(x);
    shape.push_back(y);
    return shape;
  };
  std::vector<ParameterSpec> parameters;
  Dim out = in;
  if (kind == Kind::depthwise || kind == Kind::separable) {
    const int64_t multiplier = a.integer("depth_multiplier");
    out = in * multiplier;
    parameters.push_back(weight(a, "depthwise_kernel", behind(space, in, multiplier), "depthwise"));
  }
  if (kind != Kind::depthwise) {
    const Dim filters = a.integer("filters");
    if (kind == Kind::separable)
      parameters.push_back(weight(a, "pointwise_kernel", behind(Shape(rank, Dim(1)), out, filters), "pointwise"));
    else if (kind == Kind::transposed)
      parameters.push_back(weight(a, "kernel", behind(space, filters, in), "kernel"));
    else
      parameters.push_back(weight(a, "kernel", behind(space, floor_div(in, a.integer("groups")), filters), "kernel"));
    out = filters;
  }
  if (a.boolean("use_bias")) parameters.push_back(weight(a, "bias", {out}, "bias"));
  return parameters;
}

std::vector<Type> infer_convolution(const OpContext& context, const Op& op, Kind kind, size_t rank) {
  const Attributes& a = context.attributes;
  check_activation(context, op, "activation");
  if (kind == Kind::transposed && a.has("output_padding")) check_per_axis(context, op, "output_padding", rank, 0);
  for (const char* name : {"kernel_size", "strides", "dilation_rate"}) check_per_axis(context, op, name, rank);
  check_spatial(context, op, rank, true);
  const Geometry g = geometry_of(a, rank);
  for (size_t i = 0; i < rank; ++i)
    if (g.stride[i] > 1 && g.dilation[i] > 1)
      fail(context, op, "strides and dilation_rate cannot both be greater than 1", "leave one of them at 1");
  Shape x = context.inputs[0].shape;
  if (channels_first(a)) x = channels_to_back(x);
  Dim out = x.back();
  if (kind == Kind::plain) {
    const int64_t groups = a.integer("groups"), in = x.back().constant(), filters = a.integer("filters");
    if (in % groups != 0 || filters % groups != 0)
      fail(context, op,
           "groups is " + std::to_string(groups) + ", which must divide the " + std::to_string(in) +
               " channels of the input and the " + std::to_string(filters) + " filters");
  }
  out = kind == Kind::depthwise ? out * a.integer("depth_multiplier") : Dim(a.integer("filters"));
  Shape y = {x[0]};
  for (size_t i = 0; i < rank; ++i) {
    if (kind == Kind::transposed) {
      y.push_back(g.upsampled(x[i + 1], i));
      continue;
    }
    y.push_back(g.windows(x)[i].count);
    if (y.back().is_constant() && y.back().constant() < 1)
      fail(context, op,
           "its kernel of " + std::to_string(g.size[i]) + " reaches beyond the extent " + x[i + 1].text() +
               " of axis " + std::to_string(i + 1) + " of space, input " + shape_text(context.inputs[0].shape),
           "make kernel_size or dilation_rate smaller, or set padding=\"same\"");
  }
  y.push_back(out);
  check_parameters(context, op);
  return {{float_dtype(context.inputs[0].dtype), channels_first(a) ? channels_to_front(y) : y}};
}

// "ipjq" for two axes: as `windowed` leaves them.
std::string interleaved(size_t rank) {
  std::string labels;
  for (size_t i = 0; i < rank; ++i) (labels += window_labels[i]) += element_labels[i];
  return labels;
}

Value plain_convolution(Value x, Value kernel, const Geometry& g, int64_t groups) {
  Builder& b = *x.builder;
  Value patches = windowed(x, g.windows(x.shape()));
  const std::string in(interleaved(g.rank)), out(window_labels.substr(0, g.rank)),
      elements(element_labels.substr(0, g.rank));
  if (groups == 1) return b.contract(patches, kernel, "b" + in + "c," + elements + "co->b" + out + "o");
  Shape split_x = patches.shape(), split_kernel = kernel.shape();
  const Dim each = floor_div(split_x.back(), groups), filters = split_kernel.back();
  split_x.back() = groups;
  split_x.push_back(each);
  split_kernel.back() = groups;
  split_kernel.push_back(floor_div(filters, groups));
  Value y = b.contract(b.reshape(patches, split_x), b.reshape(kernel, split_kernel),
                       "b" + in + "gc," + elements + "cgo->b" + out + "go");
  Shape joined(y.shape().begin(), y.shape().end() - 2);
  joined.push_back(filters);
  return b.reshape(y, joined);
}

Value depthwise_convolution(Value x, Value kernel, const Geometry& g) {
  Builder& b = *x.builder;
  Value patches = windowed(x, g.windows(x.shape()));
  const std::string out(window_labels.substr(0, g.rank)), elements(element_labels.substr(0, g.rank));
  Value y = b.contract(patches, kernel, "b" + interleaved(g.rank) + "c," + elements + "cn->b" + out + "cn");
  Shape joined(y.shape().begin(), y.shape().end() - 2);
  joined.push_back(y.dim(-2) * y.dim(-1));
  return b.reshape(y, joined);
}

// Every input element adds its multiple of the kernel to the output; what reaches beyond the output is cropped.
Value transposed_convolution(Value x, Value kernel, const Geometry& g) {
  Builder& b = *x.builder;
  const Shape extents = x.shape();
  const std::string in(window_labels.substr(0, g.rank)), elements(element_labels.substr(0, g.rank));
  Value y = b.contract(x, kernel, "b" + in + "c," + elements + "oc->b" + interleaved(g.rank) + "o");
  for (size_t i = g.rank; i-- > 0;)
    y = b.call("window_sum", {y},
               {{"axis", static_cast<int64_t>(2 * i) + 1},
                {"stride", g.stride[i]},
                {"dilation", g.dilation[i]},
                {"extent", Shape{g.full(extents[i + 1], i)}}});
  for (size_t i = 0; i < g.rank; ++i) {
    const auto axis = static_cast<int64_t>(i) + 1;
    const int64_t surplus = g.surplus[i];
    if (surplus > 0) y = b.slice(y, axis, surplus / 2, g.upsampled(extents[i + 1], i));
    if (surplus < 0) y = b.call("pad", {y}, {{"axis", axis}, {"before", Shape{0}}, {"after", Shape{-surplus}}});
  }
  return y;
}

std::vector<Value> expand_convolution(Builder& b, std::span<const Value> inputs, const Attributes& a, Kind kind,
                                      size_t rank) {
  const Geometry g = geometry_of(a, rank);
  Value x = to_float(inputs[0]);
  if (channels_first(a)) x = channels_to_back(x);
  Value y, bias = find_input(inputs, kind == Kind::separable ? 3 : 2);
  if (kind == Kind::plain) y = plain_convolution(x, inputs[1], g, a.integer("groups"));
  if (kind == Kind::transposed) y = transposed_convolution(x, inputs[1], g);
  if (kind == Kind::depthwise) y = depthwise_convolution(x, inputs[1], g);
  if (kind == Kind::separable) {
    const Shape& kernel = inputs[2].shape();
    const std::string space(window_labels.substr(0, rank));
    y = b.contract(depthwise_convolution(x, inputs[1], g), b.reshape(inputs[2], {kernel[rank], kernel[rank + 1]}),
                   "b" + space + "c,co->b" + space + "o");
  }
  if (bias) y = y + bias;
  y = apply_activation(y, *a.find("activation"));
  return {channels_first(a) ? channels_to_front(y) : y};
}

// ---- reference: for each output element and kernel element, the input element that they meet ----

// Calls visit(offset in y, offset in x, offset in the kernel's space), offsets counted in positions without channels.
template <typename Visit>
void for_each_meeting(const Integers& x, const Integers& y, const Integers& kernel, const Integers& stride,
                      const Integers& dilation, const Integers& before, Visit visit) {
  const size_t rank = kernel.size();
  auto unravel = [&](int64_t flat, const Integers& shape) {
    Integers index(rank);
    for (size_t i = rank; i-- > 0; flat /= shape[i]) index[i] = flat % shape[i];
    return index;
  };
  for (int64_t out = 0; out < element_count(y); ++out)
    for (int64_t element = 0; element < element_count(kernel); ++element) {
      const Integers at = unravel(out, y), k = unravel(element, kernel);
      int64_t in = 0;
      bool inside = true;
      for (size_t i = 0; i < rank; ++i) {
        const int64_t position = at[i] * stride[i] + k[i] * dilation[i] - before[i];
        inside = inside && position >= 0 && position < x[i];
        in = in * x[i] + position;
      }
      if (inside) visit(out, in, element);
    }
}

std::vector<HostTensor> convolution_reference(std::span<const HostTensor> inputs, const Attributes& a, Kind kind,
                                              size_t rank) {
  const Geometry g = geometry_of(a, rank);
  HostTensor x = channels_first(a) ? channels_to_back(inputs[0]) : inputs[0];
  const HostTensor& kernel = inputs[1];
  const Integers from = space_of(x);
  const int64_t batch = x.shape[0], in = x.shape.back();
  Integers to, before;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t n = from[i], reach = g.reach(i);
    if (kind == Kind::transposed) {
      const int64_t beyond = a.has("output_padding") ? per_axis(a, "output_padding", rank)[i]
                             : g.padding == "same"   ? g.stride[i] - reach % 2
                                                     : std::max(g.stride[i] - reach, int64_t{0});
      to.push_back((n - 1) * g.stride[i] + (g.padding == "same" ? reach % 2 : reach) + beyond);
      before.push_back(std::max((n - 1) * g.stride[i] + reach - to[i], int64_t{0}) / 2);
    } else {
      to.push_back(g.padding == "valid" ? (n - reach) / g.stride[i] + 1 : (n + g.stride[i] - 1) / g.stride[i]);
      const int64_t total = std::max((to[i] - 1) * g.stride[i] + reach - n, int64_t{0});
      before.push_back(g.padding == "valid" ? 0 : g.padding == "causal" ? reach - 1 : total / 2);
    }
  }
  const bool by_channel = kind == Kind::depthwise || kind == Kind::separable;
  const int64_t multiplier = by_channel ? kernel.shape.back() : 1,
                groups = kind == Kind::plain ? a.integer("groups") : 1;
  const int64_t out = by_channel ? in * multiplier : a.integer("filters");
  Integers shape = {batch};
  shape.insert(shape.end(), to.begin(), to.end());
  shape.push_back(out);
  HostTensor y = make_tensor(float_dtype(x.dtype), shape);
  const int64_t x_space = element_count(from), y_space = element_count(to);
  auto add = [&](int64_t at_y, int64_t o, int64_t at_x, int64_t c, double factor) {
    for (int64_t n = 0; n < batch; ++n)
      y.data[static_cast<size_t>((n * y_space + at_y) * out + o)] +=
          factor * x.data[static_cast<size_t>((n * x_space + at_x) * in + c)];
  };
  if (kind == Kind::transposed) {
    // The same meetings with the parts of x and y exchanged.
    for_each_meeting(to, from, g.size, g.stride, g.dilation, before, [&](int64_t at_x, int64_t at_y, int64_t k) {
      for (int64_t o = 0; o < out; ++o)
        for (int64_t c = 0; c < in; ++c)
          add(at_y, o, at_x, c, kernel.data[static_cast<size_t>((k * out + o) * in + c)]);
    });
  } else {
    for_each_meeting(from, to, g.size, g.stride, g.dilation, before, [&](int64_t at_y, int64_t at_x, int64_t k) {
      for (int64_t o = 0; o < out; ++o) {
        if (by_channel) {
          add(at_y, o, at_x, o / multiplier, kernel.data[static_cast<size_t>(k * out + o)]);
          continue;
        }
        const int64_t each = in / groups, first = o / (out / groups) * each;
        for (int64_t c = 0; c < each; ++c)
          add(at_y, o, at_x, first + c, kernel.data[static_cast<size_t>((k * each + c) * out + o)]);
      }
    });
  }
  if (kind == Kind::separable) {
    const HostTensor& pointwise = inputs[2];
    const int64_t filters = a.integer("filters");
    shape.back() = filters;
    HostTensor z = make_tensor(y.dtype, shape);
    for (int64_t row = 0; row < batch * y_space; ++row)
      for (int64_t c = 0; c < out; ++c)
        for (int64_t o = 0; o < filters; ++o)
          z.data[static_cast<size_t>(row * filters + o)] +=
              y.data[static_cast<size_t>(row * out + c)] * pointwise.data[static_cast<size_t>(c * filters + o)];
    y = std::move(z);
  }
  if (const HostTensor* bias = find_input(inputs, kind == Kind::separable ? 3 : 2))
    for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += bias->data[i % bias->data.size()];
  y = activation_reference(std::move(y), *a.find("activation"));
  return {channels_first(a) ? channels_to_front(y) : y};
}

// ---- entries ----

std::vector<AttributeSpec> convolution_attributes(Kind kind, size_t rank) {
  using T = AttributeType;
  const Integers ones(rank, 1);
  std::vector<AttributeSpec> list;
  if (kind != Kind::depthwise)
    list.push_back({.name = "filters", .type = T::integer, .least = 1, .doc = "channels of the output"});
  list.push_back({.name = "kernel_size", .type = T::integers, .least = 1});
  list.push_back({.name = "strides", .type = T::integers, .default_value = ones, .least = 1});
  AttributeSpec padding{.name = "padding", .type = T::string, .default_value = "valid", .choices = {"valid", "same"}};
  if (rank == 1 && kind != Kind::transposed) padding.choices.push_back("causal");
  list.push_back(padding);
  list.push_back(data_format_attribute());
  list.push_back({.name = "dilation_rate", .type = T::integers, .default_value = ones, .least = 1});
  if (kind == Kind::plain)
    list.push_back({.name = "groups", .type = T::integer, .default_value = 1, .least = 1});
  else
    list.push_back({.name = "groups", .type = T::integer, .default_value = 1, .least = 1, .doc = "ignored"});
  if (kind == Kind::transposed)
    list.push_back({.name = "output_padding", .type = T::integers, .optional = true, .least = 0,
                    .doc = "of each axis: m as said above, in place of its default"});
  list.push_back({.name = "activation", .type = T::activation, .default_value = "linear"});
  list.push_back({.name = "use_bias", .type = T::boolean, .default_value = true});
  auto weights = [&](std::string_view initializer, std::string_view regularizer, std::string_view constraint,
                     const char* initial) {
    list.push_back({.name = initializer, .type = T::initializer, .default_value = initial});
    list.push_back({.name = regularizer, .type = T::regularizer, .optional = true});
    list.push_back({.name = constraint, .type = T::constraint, .optional = true});
  };
  if (kind == Kind::depthwise || kind == Kind::separable) {
    list.push_back({.name = "depth_multiplier", .type = T::integer, .default_value = 1, .least = 1});
    weights("depthwise_initializer", "depthwise_regularizer", "depthwise_constraint", "glorot_uniform");
  }
  if (kind == Kind::separable)
    weights("pointwise_initializer", "pointwise_regularizer", "pointwise_constraint", "glorot_uniform");
  if (kind == Kind::plain || kind == Kind::transposed)
    weights("kernel_initializer", "kernel_regularizer", "kernel_constraint", "glorot_uniform");
  weights("bias_initializer", "bias_regularizer", "bias_constraint", "zeros");
  list.push_back({.name = "activity_regularizer", .type = T::regularizer, .optional = true});
  return list;
}

std::vector<Example> convolution_examples(Kind kind, size_t rank) {
  const Integers extents = rank == 1 ? Integers{9} : rank == 2 ? Integers{7, 6} : Integers{4, 5, 3};
  const Integers size = rank == 1 ? Integers{3} : rank == 2 ? Integers{3, 2} : Integers{2, 3, 2};
  auto input = [&](int64_t batch, int64_t channels, bool first = false) {
    Integers shape = {batch};
    if (first) shape.push_back(channels);
    shape.insert(shape.end(), extents.begin(), extents.end());
    if (!first) shape.push_back(channels);
    return std::vector<Example::Tensor>{{shape}};
  };
  auto attributes = [&](std::initializer_list<std::pair<const char*, AttributeValue>> more) {
    Attributes a{{"kernel_size", size}};
    if (kind != Kind::depthwise) a.set("filters", 4);
    for (const auto& [name, value] : more) a.set(name, value);
    return a;
  };
  std::vector<Example> examples = {
      {.inputs = input(2, 3), .attributes = attributes({})},
      {.inputs = input(2, 3),
       .attributes = attributes({{"padding", "same"}, {"strides", Integers(rank, 2)}, {"activation", "tanh"}})},
      {.inputs = input(2, 2),
       .attributes = attributes({{"padding", "same"}, {"dilation_rate", Integers{2}}, {"use_bias", false}})},
      {.inputs = input(1, 3, true), .attributes = attributes({{"data_format", "channels_first"}, {"padding", "same"}})},
      {.inputs = input(2, 17), .attributes = attributes({{"kernel_size", Integers{1}}, {"strides", Integers{3}}})},
  };
  if (kind == Kind::plain) {
    examples.push_back({.inputs = input(2, 6), .attributes = attributes({{"groups", 2}, {"padding", "same"}})});
    examples.push_back({.inputs = input(2, 3), .attributes = attributes({{"filters", 17}}), .differentiable = false});
  }
  if (kind == Kind::transposed)
    for (const char* padding : {"valid", "same"})
      for (int64_t beyond : {0, 1})
        examples.push_back({.inputs = input(2, 3),
                            .attributes = attributes({{"padding", padding}, {"strides", Integers(rank, 2)},
                                                      {"output_padding", Integers{beyond}}})});
  if (kind == Kind::depthwise || kind == Kind::separable)
    examples.push_back(
        {.inputs = input(2, 3), .attributes = attributes({{"depth_multiplier", 2}, {"padding", "same"}})});
  if (rank == 1 && kind != Kind::transposed) {
    examples.push_back(
        {.inputs = input(2, 3), .attributes = attributes({{"padding", "causal"}, {"dilation_rate", Integers{2}}})});
    examples.push_back(
        {.inputs = input(2, 3), .attributes = attributes({{"padding", "causal"}, {"strides", Integers{2}}})});
  }
  return examples;
}

Op convolution(std::string_view name, std::string_view class_name, Kind kind, size_t rank) {
  constexpr std::string_view docs[] = {
      "y[b, i, o] = activation(sum over p, c of x[b, i*stride + p*dilation - before, c] kernel[p, c, o] + bias[o]), "
      "likewise for more axes of space; with groups, output channels see their own part of the input channels.   x: "
      "[batch, space..., in]   kernel: [size..., in/groups, filters]   ->   [batch, space..., filters]",
      "The adjoint of a convolution: y[b, i*stride + p*dilation - before, o] += x[b, i, c] kernel[p, o, c], then bias "
      "and "
      "activation.   x: [batch, n..., in]   kernel: [size..., filters, in]   ->   [batch, m..., filters], m = n*stride "
      "(same) or n*stride + max(reach - stride, 0) (valid); with output_padding (n-1)*stride + output_padding + reach (valid) "
      "or + reach % 2 (same)",
      "A convolution of each channel by itself: y[b, i, c*multiplier + n] = activation(sum over p of x[b, i*stride + "
      "p*dilation - before, c] kernel[p, c, n] + bias).   x: [batch, space..., in]   depthwise_kernel: [size..., in, "
      "multiplier]   ->   [batch, space..., in*multiplier]",
      "A depthwise convolution, then one of size 1 over its channels.   x: [batch, space..., in]   depthwise_kernel: "
      "[size..., in, multiplier]   pointwise_kernel: [1..., in*multiplier, filters]   ->   [batch, space..., filters]"};
  std::vector<InputSpec> inputs = {{"x"}};
  if (kind == Kind::depthwise || kind == Kind::separable)
    inputs.push_back({"depthwise_kernel"});
  else
    inputs.push_back({"kernel"});
  if (kind == Kind::separable) inputs.push_back({"pointwise_kernel"});
  inputs.push_back({.name = "bias", .optional = true});
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = docs[static_cast<size_t>(kind)],
      .class_name = class_name,
      .inputs = inputs,
      .attributes = convolution_attributes(kind, rank),
      .infer = [name, kind,
                rank](const OpContext& context) { return infer_convolution(context, get_op(name), kind, rank); },
      .parameters = [kind, rank](const OpContext& context) { return convolution_parameters(context, kind, rank); },
      .reference = [kind, rank](std::span<const HostTensor> x,
                                const Attributes& a) { return convolution_reference(x, a, kind, rank); },
      .expand = [kind, rank](Builder& b, std::span<const Value> x,
                             const Attributes& a) { return expand_convolution(b, x, a, kind, rank); },
      .examples = convolution_examples(kind, rank),
  };
}

}  // namespace

std::vector<Op> convolution_ops() {
  return {convolution("conv_1d", "Conv1D", Kind::plain, 1),
          convolution("conv_2d", "Conv2D", Kind::plain, 2),
          convolution("conv_3d", "Conv3D", Kind::plain, 3),
          convolution("conv_1d_transpose", "Conv1DTranspose", Kind::transposed, 1),
          convolution("conv_2d_transpose", "Conv2DTranspose", Kind::transposed, 2),
          convolution("conv_3d_transpose", "Conv3DTranspose", Kind::transposed, 3),
          convolution("depthwise_conv_1d", "DepthwiseConv1D", Kind::depthwise, 1),
          convolution("depthwise_conv_2d", "DepthwiseConv2D", Kind::depthwise, 2),
          convolution("separable_conv_1d", "SeparableConv1D", Kind::separable, 1),
          convolution("separable_conv_2d", "SeparableConv2D", Kind::separable, 2)};
}

}  // namespace moru
