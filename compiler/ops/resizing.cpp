// Layers that change how finely space is sampled: UpSampling1D/2D/3D, Resizing, CenterCrop. Element i of an axis that
// shrinks or grows by `step` old elements per new one lies at (i + 1/2) step - 1/2 of the old axis; its value is the
// nearest element, or the mean of those around it with the weights of a kernel of their distances.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/ops/spatial.h"
#include "compiler/ops/tensor_loops.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

constexpr double pi = std::numbers::pi;

AttributeSpec interpolation_attribute(std::string_view default_value) {
  return {.name = "interpolation",
          .type = T::string,
          .default_value = std::string(default_value),
          .choices = {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"},
          .doc = "how new elements come from old ones"};
}

double lanczos_radius(std::string_view kernel) { return kernel == "lanczos3" ? 3.0 : 5.0; }

// The weight at distance d: a hat, the cubic of Keys (1981) with a = -1/2, sinc(d) sinc(d / radius).
double kernel_at(std::string_view kernel, double d) {
  if (kernel == "bilinear") return std::max(1.0 - d, 0.0);
  if (kernel == "bicubic") {
    if (d >= 2.0) return 0.0;
    return d < 1.0 ? (1.5 * d - 2.5) * d * d + 1.0 : ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
  }
  const double radius = lanczos_radius(kernel);
  if (d > radius) return 0.0;
  return d < 1e-3 ? 1.0 : radius * std::sin(pi * d) * std::sin(pi * d / radius) / (pi * pi * d * d);
}

Value kernel_at(std::string_view kernel, Value d) {
  Builder& b = *d.builder;
  auto constant = [&](double number) { return b.constant(number, d.type().dtype); };
  auto below = [&](double bound, Value then_value, Value else_value) {
    return b.select(b.call("less", {d, constant(bound)}), then_value, else_value);
  };
  if (kernel == "bilinear") return b.call("relu", {1.0 - d});
  if (kernel == "bicubic")
    return below(1.0, (d * 1.5 - 2.5) * d * d + 1.0, below(2.0, ((d * -0.5 + 2.5) * d - 4.0) * d + 2.0, constant(0.0)));
  const double radius = lanczos_radius(kernel);
  const Value away = b.call("maximum", {d, constant(1e-3)});
  const Value waves = b.call("sin", {away * pi}) * b.call("sin", {away * (pi / radius)}) * (radius / (pi * pi));
  return below(1e-3, constant(1.0), below(radius, waves / (away * away), constant(0.0)));
}

/// How one axis is sampled anew.
struct Sampling {
  Dim from, to;
  double step = 1.0;  // old elements per new one
};

// [to, from]: the weights of the old elements in each new one; they add up to 1. An antialiased kernel covers `step`
// old elements where these are more than one.
Value sampling_weights(Builder& b, const Sampling& s, std::string_view kernel, bool antialias, DType dtype) {
  const std::string type(dtype_name(dtype));
  const Value to = b.call("iota", {}, {{"shape", Shape{s.to, 1}}, {"dtype", type}});
  const Value from = b.call("iota", {}, {{"shape", Shape{1, s.from}}, {"axis", 1}, {"dtype", type}});
  Value distance = b.call("abs", {to * s.step + (0.5 * s.step - 0.5) - from});
  if (antialias && s.step > 1.0) distance = distance * (1.0 / s.step);
  const Value weights = kernel_at(kernel, distance);
  return weights / b.reduce("reduce_sum", weights, {1}, true);
}

Value sampled(Value x, int64_t axis, const Sampling& s, std::string_view kernel, bool antialias) {
  Builder& b = *x.builder;
  std::string labels, result;
  for (size_t i = 0; i < x.rank(); ++i) labels += static_cast<char>('a' + static_cast<int>(i));
  result = labels;
  result[static_cast<size_t>(axis)] = 'z';
  const Value weights = sampling_weights(b, s, kernel, antialias, x.type().dtype);
  return b.contract(weights, x, std::string("z") + labels[static_cast<size_t>(axis)] + "," + labels + "->" + result);
}

HostTensor sampled_reference(const HostTensor& x, size_t axis, int64_t to, double step, std::string_view kernel,
                             bool antialias) {
  std::vector<int64_t> shape = x.shape;
  shape[axis] = to;
  HostTensor y = make_tensor(x.dtype, shape);
  const int64_t from = x.shape[axis], inner = strides_of(x.shape)[axis];
  const double width = antialias ? std::max(step, 1.0) : 1.0;
  for (int64_t i = 0; i < to; ++i) {
    const double at = (static_cast<double>(i) + 0.5) * step - 0.5;
    std::vector<double> weights(static_cast<size_t>(from));
    double sum = 0.0;
    for (int64_t j = 0; j < from; ++j) {
      double& weight = weights[static_cast<size_t>(j)];
      weight = kernel == "nearest" ? static_cast<double>(j == static_cast<int64_t>(std::floor(at + 0.5 + 1e-9)))
                                   : kernel_at(kernel, std::fabs(at - static_cast<double>(j)) / width);
      sum += weight;
    }
    for (int64_t outer = 0; outer < x.elements() / (from * inner); ++outer)
      for (int64_t k = 0; k < inner; ++k)
        for (int64_t j = 0; j < from; ++j)
          y.data[static_cast<size_t>((outer * to + i) * inner + k)] +=
              weights[static_cast<size_t>(j)] / sum * x.data[static_cast<size_t>((outer * from + j) * inner + k)];
  }
  return y;
}

// ---- repeating ----

Value repeated(Value x, const Integers& size) {
  Builder& b = *x.builder;
  Shape split = {x.dim(0)}, repeats = split, joined = split;
  for (size_t i = 0; i < size.size(); ++i) {
    const Dim extent = x.dim(static_cast<int>(i) + 1);
    split.insert(split.end(), {extent, 1});
    repeats.insert(repeats.end(), {extent, size[i]});
    joined.push_back(extent * size[i]);
  }
  for (Shape* shape : {&split, &repeats, &joined}) shape->push_back(x.dim(-1));
  return b.reshape(b.broadcast_to(b.reshape(x, split), repeats), joined);
}

std::string interpolation_of(const Attributes& a) {
  return a.find("interpolation") ? a.string("interpolation") : std::string("nearest");
}

Op up_sampling(std::string_view name, std::string_view class_name, size_t rank) {
  Integers sizes;
  for (size_t i = 0; i < rank; ++i) sizes.push_back(static_cast<int64_t>(i) + 2);
  std::vector<AttributeSpec> attributes = {
      {.name = "size", .type = T::integers, .default_value = Integers(rank, 2), .least = 1, .keras_list = KerasList::unwrapped},
      rank == 1 ? channels_last_attribute() : data_format_attribute()};
  std::vector<Example> examples = {{.inputs = example_input(rank, 2, 3)}};
  if (rank == 1)
    examples.push_back({.inputs = example_input(rank, 1, 2), .attributes = {{"size", Integers{3}}}});
  else
    examples.push_back({.inputs = example_input(rank, 1, 2, true), .attributes = {{"size", sizes}, {"data_format", "channels_first"}}});
  if (rank == 2) {
    attributes.push_back(interpolation_attribute("nearest"));
    for (const char* kernel : {"bilinear", "bicubic", "lanczos3", "lanczos5"})
      examples.push_back(
          {.inputs = example_input(rank, 2, 3), .attributes = {{"size", sizes}, {"interpolation", kernel}}});
  }
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc =
          "Repeats each element of space size times along its axis, or interpolates between them.   x: [batch, n..., "
          "channels]   ->   [batch, n*size..., channels]",
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes = attributes,
      .infer = [name, rank](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        check_per_axis(context, op, "size", rank);
        check_spatial(context, op, rank, false);
        if (interpolation_of(context.attributes) != "nearest" && !is_float(context.inputs[0].dtype))
          fail(context, op, "needs floating point input to interpolate but got " + type_text(context.inputs[0]));
        const Integers size = per_axis(context.attributes, "size", rank);
        return infer_space(context, rank, [&](size_t i, const Dim& extent) { return extent * size[i]; });
      },
      .reference = [rank](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const Integers size = per_axis(a, "size", rank);
        return {behind(inputs[0], a, [&](HostTensor x) {
          for (size_t i = 0; i < rank; ++i)
            x = sampled_reference(x, i + 1, x.shape[i + 1] * size[i], 1.0 / static_cast<double>(size[i]),
                                  interpolation_of(a), false);
          return x;
        })};
      },
      .expand =
          [rank](Builder&, std::span<const Value> inputs, const Attributes& a) {
            const Integers size = per_axis(a, "size", rank);
            return behind(inputs[0], a, [&](Value x) {
              if (interpolation_of(a) == "nearest") return repeated(x, size);
              for (size_t i = 0; i < rank; ++i) {
                const Dim from = x.dim(static_cast<int>(i) + 1);
                x = sampled(x, static_cast<int64_t>(i) + 1, {from, from * size[i], 1.0 / static_cast<double>(size[i])},
                            interpolation_of(a), false);
              }
              return x;
            });
          },
      .cheap = true,
      .examples = std::move(examples),
  };
}

// ---- Resizing, CenterCrop ----

// What happens along one axis before it is sampled anew: `before` elements are added in front and behind, or if
// negative removed in front, and `extent` are left.
struct Framing {
  int64_t before = 0, extent = 0;
};

int64_t share(int64_t a, int64_t b, int64_t c) {  // floor of a b / c, by way of doubles as Keras takes it
  return static_cast<int64_t>(static_cast<double>(a * b) / static_cast<double>(c));
}

/// The part of an image, or the image with a border, that has the aspect ratio of the target; {height, width}.
std::array<Framing, 2> framing_of(const Integers& size, const Integers& target, bool crop, bool pad) {
  std::array<Framing, 2> framing;
  for (size_t i = 0; i < 2; ++i) {
    const int64_t fitting = share(size[1 - i], target[i], target[1 - i]);
    framing[i].extent = size[i];
    if (crop) {
      framing[i].extent = std::max(std::min(size[i], fitting), int64_t{1});
      framing[i].before = -((size[i] - framing[i].extent) / 2);
    } else if (pad) {
      framing[i].before = (std::max(size[i], fitting) - size[i]) / 2;
      framing[i].extent = size[i] + 2 * framing[i].before;
    }
  }
  return framing;
}

Value framed(Value x, int64_t axis, const Framing& framing, double value) {
  Builder& b = *x.builder;
  if (framing.before > 0)
    return b.call(
        "pad", {x},
        {{"axis", axis}, {"before", Shape{framing.before}}, {"after", Shape{framing.before}}, {"value", value}});
  if (x.dim(static_cast<int>(axis)).is_constant(framing.extent)) return x;
  return b.slice(x, axis, -framing.before, framing.extent);
}

HostTensor framed_reference(const HostTensor& x, size_t axis, const Framing& framing, double value) {
  std::vector<int64_t> shape = x.shape;
  shape[axis] = framing.extent;
  HostTensor y = make_tensor(x.dtype, shape, value);
  const int64_t inner = strides_of(shape)[axis];
  for (int64_t i = 0; i < y.elements(); ++i) {
    const int64_t at = i / inner % framing.extent - framing.before, outer = i / inner / framing.extent;
    if (at >= 0 && at < x.shape[axis])
      y.data[static_cast<size_t>(i)] = x.data[static_cast<size_t>((outer * x.shape[axis] + at) * inner + i % inner)];
  }
  return y;
}

struct Resize {
  Integers target;
  std::string kernel;
  bool crop = false, pad = false, antialias = false;
  double fill = 0.0;
};

Value resized(Value x, const Resize& r) {
  Builder& b = *x.builder;
  const auto framing = framing_of({x.dim(1).constant(), x.dim(2).constant()}, r.target, r.crop, r.pad);
  for (size_t i = 0; i < 2; ++i) {
    const auto axis = static_cast<int64_t>(i) + 1;
    x = framed(x, axis, framing[i], r.fill);
    const int64_t from = framing[i].extent, to = r.target[i];
    if (from == to) continue;
    if (r.kernel != "nearest") {
      x = sampled(x, axis, {from, to, static_cast<double>(from) / static_cast<double>(to)}, r.kernel, r.antialias);
      continue;
    }
    const Value twice =
        b.call("iota", {}, {{"shape", Shape{to}}}) * static_cast<double>(2 * from) + static_cast<double>(from);
    x = gather_along(x, axis, b.call("divide_integers", {twice, b.constant(static_cast<double>(2 * to), DType::i32)}));
  }
  return x;
}

HostTensor resized_reference(HostTensor x, const Resize& r) {
  const auto framing = framing_of({x.shape[1], x.shape[2]}, r.target, r.crop, r.pad);
  for (size_t i = 0; i < 2; ++i) {
    x = framed_reference(x, i + 1, framing[i], r.fill);
    x = sampled_reference(x, i + 1, r.target[i],
                          static_cast<double>(framing[i].extent) / static_cast<double>(r.target[i]), r.kernel,
                          r.antialias);
  }
  return x;
}

Resize crop_and_resize(const Integers& target) {
  Resize r;
  r.target = target;
  r.kernel = "bilinear";
  r.crop = true;
  return r;
}

// CenterCrop takes the middle; an image that is too small is resized instead.
Value centered(Value x, const Integers& target) {
  const Integers size = {x.dim(1).constant(), x.dim(2).constant()};
  if (size[0] < target[0] || size[1] < target[1]) return resized(x, crop_and_resize(target));
  for (size_t i = 0; i < 2; ++i)
    x = framed(x, static_cast<int64_t>(i) + 1, {-((size[i] - target[i]) / 2), target[i]}, 0.0);
  return x;
}

HostTensor centered_reference(HostTensor x, const Integers& target) {
  const Integers size = {x.shape[1], x.shape[2]};
  if (size[0] < target[0] || size[1] < target[1]) return resized_reference(std::move(x), crop_and_resize(target));
  for (size_t i = 0; i < 2; ++i) x = framed_reference(x, i + 1, {-((size[i] - target[i]) / 2), target[i]}, 0.0);
  return x;
}

Resize resize_of(const Attributes& a) {
  return {.target = {a.integer("height"), a.integer("width")},
          .kernel = a.string("interpolation"),
          .crop = a.boolean("crop_to_aspect_ratio"),
          .pad = a.boolean("pad_to_aspect_ratio"),
          .antialias = a.boolean("antialias"),
          .fill = a.real("fill_value")};
}

std::vector<Type> infer_image(const OpContext& context, const Op& op) {
  check_spatial(context, op, 2, false);
  const Attributes& a = context.attributes;
  const size_t first = channels_first(a) ? 2 : 1;
  const Shape& x = context.inputs[0].shape;
  for (size_t axis : {first, first + 1})
    if (!x[axis].is_constant())
      fail(context, op, "needs images of a known size but got " + shape_text(x),
           "give the model's input a height and a width");
  if (a.find("pad_to_aspect_ratio") && a.boolean("pad_to_aspect_ratio") && a.boolean("crop_to_aspect_ratio"))
    fail(context, op, "crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other");
  std::vector<Type> types =
      infer_space(context, 2, [&](size_t i, const Dim&) { return Dim(a.integer(i == 0 ? "height" : "width")); });
  types[0].dtype = float_dtype(types[0].dtype);
  return types;
}

HostTensor as_float(HostTensor x) {
  x.dtype = float_dtype(x.dtype);
  return x;
}

Op image_layer(std::string_view name, std::string_view class_name, std::string_view doc,
               std::vector<AttributeSpec> attributes, Value (*expand)(Value, const Attributes&),
               HostTensor (*reference)(HostTensor, const Attributes&), std::vector<Example> examples) {
  attributes.insert(attributes.begin(), {{.name = "height", .type = T::integer, .least = 1},
                                         {.name = "width", .type = T::integer, .least = 1}});
  attributes.push_back(data_format_attribute());
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = {{"x"}},
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) { return infer_image(context, get_op(name)); },
      .reference = [reference](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        return {behind(as_float(inputs[0]), a, [&](const HostTensor& x) { return reference(x, a); })};
      },
      .expand =
          [expand](Builder&, std::span<const Value> inputs, const Attributes& a) {
            return behind(to_float(inputs[0]), a, [&](Value x) { return expand(x, a); });
          },
      .examples = std::move(examples),
  };
}

std::vector<Example> resizing_examples() {
  std::vector<Example> examples;
  auto add = [&](int64_t height, int64_t width, Attributes more) {
    more.set("height", height);
    more.set("width", width);
    const bool first = more.has("data_format");
    examples.push_back({.inputs = example_input(2, 2, 3, first), .attributes = std::move(more)});
  };
  add(9, 4, {});
  add(4, 12, {{"interpolation", "nearest"}});
  add(5, 7, {{"interpolation", "bicubic"}});
  add(3, 3, {{"interpolation", "bilinear"}, {"antialias", true}, {"data_format", "channels_first"}});
  add(4, 8, {{"interpolation", "lanczos3"}});
  add(3, 11, {{"interpolation", "lanczos5"}, {"antialias", true}});
  add(8, 3, {{"crop_to_aspect_ratio", true}});
  add(4, 8, {{"pad_to_aspect_ratio", true}, {"fill_value", 0.5}});
  add(6, 5, {});
  examples.push_back({.inputs = {{{1, 4, 5, 2}, 0, 256, DType::i32}}, .attributes = {{"height", 6}, {"width", 3}}});
  return examples;
}

}  // namespace

std::vector<Op> resizing_ops() {
  std::vector<Op> ops = {up_sampling("up_sampling_1d", "UpSampling1D", 1),
                         up_sampling("up_sampling_2d", "UpSampling2D", 2),
                         up_sampling("up_sampling_3d", "UpSampling3D", 3)};
  ops.push_back(image_layer(
      "resizing", "Resizing",
      "Images of another size: new element i of an axis lies at (i + 1/2) old / new - 1/2 and is the nearest old one "
      "or a mean "
      "of those around it.   x: [batch, height, width, channels]   ->   [batch, new height, new width, channels]",
      {interpolation_attribute("bilinear"),
       {.name = "crop_to_aspect_ratio", .type = T::boolean, .default_value = false, .doc = "of the middle"},
       {.name = "pad_to_aspect_ratio", .type = T::boolean, .default_value = false, .doc = "around, with fill_value", .recent = true},
       {.name = "fill_mode", .type = T::string, .default_value = "constant", .choices = {"constant"}, .recent = true},
       {.name = "fill_value", .type = T::real, .default_value = 0.0, .recent = true},
       {.name = "antialias", .type = T::boolean, .default_value = false, .doc = "wider kernels where images shrink", .recent = true}},
      [](Value x, const Attributes& a) { return resized(x, resize_of(a)); },
      [](HostTensor x, const Attributes& a) { return resized_reference(std::move(x), resize_of(a)); },
      resizing_examples()));
  ops.push_back(image_layer(
      "center_crop", "CenterCrop",
      "The middle of an image; where it is too small, the image with the new aspect ratio cut out and resized.   x: "
      "[batch, "
      "height, width, channels]   ->   [batch, new height, new width, channels]",
      {},
      [](Value x, const Attributes& a) {
        return centered(x, {a.integer("height"), a.integer("width")});
      },
      [](HostTensor x, const Attributes& a) {
        return centered_reference(std::move(x), {a.integer("height"), a.integer("width")});
      },
      {{.inputs = example_input(2, 2, 3), .attributes = {{"height", 3}, {"width", 4}}},
       {.inputs = example_input(2, 2, 3), .attributes = {{"height", 7}, {"width", 4}}},
       {.inputs = example_input(2, 2, 3, true),
        .attributes = {{"height", 6}, {"width", 2}, {"data_format", "channels_first"}}}}));
  return ops;
}

}  // namespace moru
