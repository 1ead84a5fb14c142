// Layers that merge several tensors into one: Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "compiler/ops/layer.h"

namespace moru {

namespace {

// Keras aligns inputs of different rank behind the batch axis: [batch, c] meets [batch, t, c] as [batch, 1, c].
template <typename Extent>
std::vector<Extent> aligned(const std::vector<Extent>& shape, size_t rank) {
  std::vector<Extent> result = shape;
  if (!shape.empty()) result.insert(result.begin() + 1, rank - shape.size(), Extent(1));
  return result;
}

size_t largest_rank(std::span<const Type> types) {
  size_t rank = 0;
  for (const Type& type : types) rank = std::max(rank, type.shape.size());
  return rank;
}

void check_merge(const OpContext& context, const Op& op) {
  if (context.inputs.size() < 2)
    fail(context, op, "needs at least two inputs but got " + std::to_string(context.inputs.size()));
  for (const Type& type : context.inputs) {
    if (type.shape.empty()) fail(context, op, "needs inputs [batch, ...] but got a scalar");
    if (type.dtype != context.inputs[0].dtype)
      fail(context, op,
           "needs inputs of one element type but got " + type_text(context.inputs[0]) + " and " + type_text(type));
  }
}

std::vector<Type> infer_merge(const OpContext& context, const Op& op) {
  check_merge(context, op);
  size_t rank = largest_rank(context.inputs);
  Shape shape = aligned(context.inputs[0].shape, rank);
  for (const Type& type : context.inputs) {
    std::optional<Shape> wider = broadcast_shapes(shape, aligned(type.shape, rank));
    if (!wider)
      fail(context, op, "needs inputs of equal shapes but got " + shapes_text(context.inputs),
           "axes must be equal or 1; rank may differ, axes are then added behind the batch axis");
    shape = *wider;
  }
  return {{context.inputs[0].dtype, shape}};
}

// Calls `visit` with the output's element and, for each input, the element that meets it.
void for_each_merged(std::span<const HostTensor> inputs, HostTensor& y,
                     const std::function<double(std::span<const double>)>& merge) {
  size_t rank = y.shape.size();
  std::vector<std::vector<int64_t>> shapes;
  for (const HostTensor& input : inputs) shapes.push_back(aligned(input.shape, rank));
  std::vector<double> elements(inputs.size());
  for (size_t out = 0; out < y.data.size(); ++out) {
    for (size_t k = 0; k < inputs.size(); ++k) {
      int64_t offset = 0, stride = 1;
      auto rest = static_cast<int64_t>(out);
      for (size_t i = rank; i-- > 0; rest /= y.shape[i]) {
        if (shapes[k][i] != 1) offset += rest % y.shape[i] * stride;
        stride *= shapes[k][i];
      }
      elements[k] = inputs[k].data[static_cast<size_t>(offset)];
    }
    y.data[out] = merge(elements);
  }
}

HostTensor merged_tensor(std::span<const HostTensor> inputs) {
  size_t rank = 0;
  for (const HostTensor& input : inputs) rank = std::max(rank, input.shape.size());
  std::vector<int64_t> shape(rank, 1);
  for (const HostTensor& input : inputs) {
    std::vector<int64_t> other = aligned(input.shape, rank);
    for (size_t i = 0; i < rank; ++i) shape[i] = shape[i] == 1 ? other[i] : shape[i];
  }
  return make_tensor(inputs[0].dtype, shape);
}

std::vector<Example> merge_examples(bool only_two) {
  std::vector<Example> examples = {
      {.inputs = {{{5, 7}}, {{5, 7}}}},
      {.inputs = {{{3, 4, 5}}, {{3, 1, 5}}}},
      {.inputs = {{{2, 5}}, {{2, 3, 5}}}},
  };
  if (!only_two) {
    examples.push_back({.inputs = {{{2, 17}}, {{2, 17}}, {{2, 1}}, {{2, 17}}}});
    examples.push_back({.inputs = {{{4, 3}}, {{4, 2, 3}}, {{4, 1, 3}}}});
  }
  return examples;
}

/// Folds `op` over the inputs from left to right, then multiplies by `scale(count)`.
Op merge_layer(std::string_view name, std::string_view class_name, std::string_view doc, std::string_view op,
               std::function<double(double, double)> fold, bool average = false, bool only_two = false) {
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = doc,
      .class_name = class_name,
      .inputs = only_two ? std::vector<InputSpec>{{"a"}, {"b"}} : std::vector<InputSpec>{{.name = "inputs", .variadic = true}},
      .infer = [name](const OpContext& context) { return infer_merge(context, get_op(name)); },
      .reference = [fold, average](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        HostTensor y = merged_tensor(inputs);
        for_each_merged(inputs, y, [&](std::span<const double> elements) {
          double result = elements[0];
          for (size_t k = 1; k < elements.size(); ++k) result = fold(result, elements[k]);
          return average ? result / static_cast<double>(elements.size()) : result;
        });
        return {y};
      },
      .expand = [op, average](Builder& builder, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        size_t rank = 0;
        for (const Value& input : inputs) rank = std::max(rank, input.rank());
        Value y;
        for (const Value& input : inputs) {
          Value next = builder.reshape(input, aligned(input.shape(), rank));
          y = y ? builder.call(op, {y, next}) : next;
        }
        return {average ? y * (1.0 / static_cast<double>(inputs.size())) : y};
      },
      .cheap = true,
      .examples = merge_examples(only_two),
  };
}

Op concatenate() {
  return {
      .name = "concatenate",
      .family = OpFamily::layer,
      .doc = "Joins tensors along one axis.   inputs: equal shapes but for `axis`   ->   y: their sum along it",
      .class_name = "Concatenate",
      .inputs = {{.name = "inputs", .variadic = true}},
      .attributes = {{.name = "axis", .type = AttributeType::integer, .default_value = -1}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("concatenate");
        check_merge(context, op);
        Shape shape = context.inputs[0].shape;
        size_t axis = checked_axis(context, op, context.attributes.integer("axis"), shape.size());
        if (axis == 0) unsupported(context, op, "axis=0", "axis 0 is the batch; its samples must stay one to one");
        for (size_t k = 1; k < context.inputs.size(); ++k) {
          const Shape& other = context.inputs[k].shape;
          bool fits = other.size() == shape.size();
          for (size_t i = 0; fits && i < shape.size(); ++i) fits = i == axis || other[i] == shape[i];
          if (!fits)
            fail(context, op, "needs inputs that are equal but for axis " + std::to_string(axis) + " but got " +
                                  shapes_text(context.inputs));
          shape[axis] += other[axis];
        }
        return {{context.inputs[0].dtype, shape}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        int64_t rank = static_cast<int64_t>(inputs[0].shape.size()), axis = a.integer("axis");
        if (axis < 0) axis += rank;
        std::vector<int64_t> shape = inputs[0].shape;
        shape[static_cast<size_t>(axis)] = 0;
        for (const HostTensor& input : inputs) shape[static_cast<size_t>(axis)] += input.shape[static_cast<size_t>(axis)];
        HostTensor y = make_tensor(inputs[0].dtype, shape);
        int64_t outer = element_count(std::span<const int64_t>(shape).first(static_cast<size_t>(axis)));
        std::vector<double> joined;
        for (int64_t row = 0; row < outer; ++row)
          for (const HostTensor& input : inputs) {
            int64_t length = input.elements() / outer;
            joined.insert(joined.end(), input.data.begin() + row * length, input.data.begin() + (row + 1) * length);
          }
        y.data = std::move(joined);
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        int64_t axis = a.integer("axis");
        return {builder.concat(inputs, axis < 0 ? axis + static_cast<int64_t>(inputs[0].rank()) : axis)};
      },
      .cheap = true,
      .examples = {{.inputs = {{{5, 7}}, {{5, 2}}}},
                   {.inputs = {{{2, 3, 5}}, {{2, 4, 5}}, {{2, 1, 5}}}, .attributes = {{"axis", 1}}},
                   {.inputs = {{{3, 2, 3}}, {{3, 2, 17}}}, .attributes = {{"axis", -1}}}},
  };
}

constexpr double least_norm = 1e-7;  // Keras' backend.epsilon()

// The axis of each input that is summed, from the front.
std::array<size_t, 2> dot_axes(const Attributes& a, size_t rank_a, size_t rank_b) {
  const std::vector<int64_t>& axes = a.integers("axes");
  auto from_front = [](int64_t axis, size_t rank) {
    return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
  };
  return {from_front(axes.front(), rank_a), from_front(axes.back(), rank_b)};
}

std::vector<Type> infer_dot(const OpContext& context) {
  const Op& op = get_op("dot");
  const Type &a = context.inputs[0], &b = context.inputs[1];
  if (a.shape.size() < 2 || b.shape.size() < 2)
    fail(context, op, "needs inputs [batch, ...] with two axes or more but got " + shapes_text(context.inputs));
  if (!is_float(a.dtype) || a.dtype != b.dtype)
    fail(context, op, "needs floating point inputs of one type but got " + type_text(a) + " and " + type_text(b));
  const std::vector<int64_t>& given = context.attributes.integers("axes");
  if (given.empty() || given.size() > 2) fail(context, op, "axes has " + std::to_string(given.size()) + " numbers", "give one axis, or one for each input");
  checked_axis(context, op, given.front(), a.shape.size());
  if (given.back() >= static_cast<int64_t>(b.shape.size()) || given.back() < -static_cast<int64_t>(b.shape.size()))
    fail(context, op, "axes names axis " + std::to_string(given.back()) + " of its second input " + shape_text(b.shape));
  const auto [i, j] = dot_axes(context.attributes, a.shape.size(), b.shape.size());
  if (i == 0 || j == 0) fail(context, op, "axes names axis 0, the batch", "name axes from 1 on");
  if (a.shape[i] != b.shape[j] || a.shape[0] != b.shape[0])
    fail(context, op, "needs equal extents on axis " + std::to_string(i) + " of " + shape_text(a.shape) + " and axis " +
                          std::to_string(j) + " of " + shape_text(b.shape));
  Shape shape;
  for (size_t axis = 0; axis < a.shape.size(); ++axis)
    if (axis != i) shape.push_back(a.shape[axis]);
  for (size_t axis = 1; axis < b.shape.size(); ++axis)
    if (axis != j) shape.push_back(b.shape[axis]);
  if (shape.size() == 1) shape.push_back(1);
  return {{a.dtype, shape}};
}

std::vector<HostTensor> dot_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  const HostTensor &a = inputs[0], &b = inputs[1];
  const auto axes = dot_axes(attributes, a.shape.size(), b.shape.size());
  // Each input as [batch, outer, summed, inner].
  struct View {
    int64_t outer = 1, inner = 1;
  };
  auto view = [](const HostTensor& x, size_t axis) {
    View v;
    for (size_t i = 1; i < x.shape.size(); ++i) (i < axis ? v.outer : v.inner) *= i == axis ? 1 : x.shape[i];
    return v;
  };
  const View va = view(a, axes[0]), vb = view(b, axes[1]);
  const int64_t batch = a.shape[0], depth = a.shape[axes[0]];
  std::vector<int64_t> shape;
  for (size_t i = 0; i < a.shape.size(); ++i)
    if (i != axes[0]) shape.push_back(a.shape[i]);
  for (size_t i = 1; i < b.shape.size(); ++i)
    if (i != axes[1]) shape.push_back(b.shape[i]);
  if (shape.size() == 1) shape.push_back(1);
  HostTensor y = make_tensor(a.dtype, shape);
  const int64_t rows = va.outer * va.inner, columns = vb.outer * vb.inner;
  for (int64_t i = 0; i < batch * rows * columns; ++i) {
    const int64_t sample = i / columns / rows, row = i / columns % rows, column = i % columns;
    auto element = [&](const HostTensor& x, const View& v, int64_t at, int64_t k) {
      return x.data[static_cast<size_t>(((sample * v.outer + at / v.inner) * depth + k) * v.inner + at % v.inner)];
    };
    double sum = 0.0, norm_a = 0.0, norm_b = 0.0;
    for (int64_t k = 0; k < depth; ++k) {
      const double p = element(a, va, row, k), q = element(b, vb, column, k);
      sum += p * q;
      norm_a += p * p;
      norm_b += q * q;
    }
    if (attributes.boolean("normalize"))
      sum /= std::max(std::sqrt(norm_a), least_norm) * std::max(std::sqrt(norm_b), least_norm);
    y.data[static_cast<size_t>(i)] = sum;
  }
  return {y};
}

Value unit_length(Value x, size_t axis) {
  Builder& b = *x.builder;
  const Value squares = b.reduce("reduce_sum", x * x, {static_cast<int64_t>(axis)}, true);
  return x / b.call("sqrt", {b.call("maximum", {squares, b.constant(least_norm * least_norm, x.type().dtype)})});
}

Op dot() {
  using Integers = std::vector<int64_t>;
  return {
      .name = "dot",
      .family = OpFamily::layer,
      .doc = "y[b, i..., j...] = sum over k of a[b, i..., k] b[b, j..., k], k along `axes`; normalize: of vectors of length 1, the "
             "cosine.   a, b: [batch, ...]   ->   y: [batch, the other axes of a, those of b], or [batch, 1]",
      .class_name = "Dot",
      .inputs = {{"a"}, {"b"}},
      .attributes = {{.name = "axes", .type = AttributeType::integers, .doc = "one for both inputs, or one for each"},
                     {.name = "normalize", .type = AttributeType::boolean, .default_value = false}},
      .infer = infer_dot,
      .reference = dot_reference,
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& attributes) -> std::vector<Value> {
        Value a = inputs[0], b = inputs[1];
        const auto [i, j] = dot_axes(attributes, a.rank(), b.rank());
        if (attributes.boolean("normalize")) {
          a = unit_length(a, i);
          b = unit_length(b, j);
        }
        std::string left, right, result;
        for (size_t axis = 0; axis < a.rank(); ++axis) {
          left += axis == i ? 'K' : static_cast<char>('a' + static_cast<int>(axis));
          if (axis != i) result += left.back();
        }
        for (size_t axis = 0; axis < b.rank(); ++axis) {
          right += axis == 0 ? left[0] : axis == j ? 'K' : static_cast<char>('a' + static_cast<int>(a.rank() + axis));
          if (axis != 0 && axis != j) result += right.back();
        }
        const Value y = builder.contract(a, b, left + "," + right + "->" + result);
        return {y.rank() == 1 ? builder.reshape(y, {y.dim(0), 1}) : y};
      },
      .examples = {{.inputs = {{{5, 7}}, {{5, 7}}}, .attributes = {{"axes", -1}}},
                   {.inputs = {{{2, 3, 5}}, {{2, 4, 3}}}, .attributes = {{"axes", Integers{1, 2}}}},
                   {.inputs = {{{2, 5, 3}}, {{2, 5, 17}}}, .attributes = {{"axes", 1}, {"normalize", true}}},
                   {.inputs = {{{3, 4}}, {{3, 4}}}, .attributes = {{"axes", 1}, {"normalize", true}}},
                   {.inputs = {{{2, 3, 4, 5}}, {{2, 6, 4}}}, .attributes = {{"axes", Integers{-2, -1}}}}},
  };
}

}  // namespace

std::vector<Op> merging_ops() {
  std::vector<Op> ops;
  ops.push_back(merge_layer("add_layer", "Add", "y = a + b + ..., broadcasting.   inputs: [batch, ...]", "add",
                            [](double a, double b) { return a + b; }));
  ops.push_back(merge_layer("subtract_layer", "Subtract", "y = a - b, broadcasting.   a, b: [batch, ...]", "sub",
                            [](double a, double b) { return a - b; }, false, true));
  ops.push_back(merge_layer("multiply_layer", "Multiply", "y = a * b * ..., broadcasting.   inputs: [batch, ...]", "mul",
                            [](double a, double b) { return a * b; }));
  ops.push_back(merge_layer("average_layer", "Average", "y = (a + b + ...) / count, broadcasting.   inputs: [batch, ...]",
                            "add", [](double a, double b) { return a + b; }, true));
  ops.push_back(merge_layer("maximum_layer", "Maximum", "y = max(a, b, ...), broadcasting.   inputs: [batch, ...]", "maximum",
                            [](double a, double b) { return std::max(a, b); }));
  ops.push_back(merge_layer("minimum_layer", "Minimum", "y = min(a, b, ...), broadcasting.   inputs: [batch, ...]", "minimum",
                            [](double a, double b) { return std::min(a, b); }));
  ops.push_back(concatenate());
  ops.push_back(dot());
  return ops;
}

}  // namespace moru
