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

// Behind the tensors stand the masks of those that `masked` counts.
std::vector<int64_t> masked_inputs(const Attributes& attributes) {
  return attributes.has("masked") ? attributes.integers("masked") : std::vector<int64_t>{};
}
template <typename Item>
std::span<const Item> tensors_of(std::span<const Item> inputs, const Attributes& attributes) {
  return inputs.first(inputs.size() - std::min(inputs.size(), masked_inputs(attributes).size()));
}

void check_merge(const OpContext& context, const Op& op) {
  const std::span<const Type> tensors = tensors_of(context.inputs, context.attributes);
  if (tensors.size() < 2) fail(context, op, "needs at least two inputs but got " + std::to_string(tensors.size()));
  for (const Type& type : tensors) {
    if (type.shape.empty()) fail(context, op, "needs inputs [batch, ...] but got a scalar");
    if (type.dtype != context.inputs[0].dtype)
      fail(context, op,
           "needs inputs of one element type but got " + type_text(context.inputs[0]) + " and " + type_text(type));
  }
}

std::vector<Type> infer_merge(const OpContext& context, const Op& op) {
  check_merge(context, op);
  const std::span<const Type> tensors = tensors_of(context.inputs, context.attributes);
  size_t rank = largest_rank(tensors);
  Shape shape = aligned(context.inputs[0].shape, rank);
  for (const Type& type : tensors) {
    std::optional<Shape> wider = broadcast_shapes(context, shape, aligned(type.shape, rank));
    if (!wider)
      fail(context, op, "needs inputs of equal shapes but got " + shapes_text(tensors),
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

// Masks. Keras takes the output of Add, Subtract, Average, Maximum, Minimum and Multiply as real where any input is, if
// all have masks.
std::vector<Value> any_mask(const MaskContext& context) {
  Value any;
  for (const Value& mask : context.masks) {
    if (!mask) return {};
    const Value real = context.builder.cast(mask, DType::boolean);
    any = any ? context.builder.call("logical_or", {any, real}) : real;
  }
  return {any};
}

// Concatenate: an input without a mask is real everywhere; along the features a step is real where any input is.
std::vector<Value> joined_mask(const MaskContext& context) {
  Builder& b = context.builder;
  if (std::ranges::none_of(context.masks, [](Value mask) { return static_cast<bool>(mask); })) return {};
  const size_t rank = context.inputs[0].rank();
  const int64_t axis = context.attributes.integer("axis"), from_front = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
  std::vector<Value> masks;
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    Shape shape = context.inputs[i].shape();
    if (!context.masks[i]) {
      masks.push_back(b.fill(1.0, shape, DType::i32));
      continue;
    }
    Value mask = b.cast(context.masks[i], DType::boolean);
    if (mask.rank() < rank) mask = mask_like(mask, context.inputs[i]);
    masks.push_back(b.broadcast_to(b.cast(mask, DType::i32), shape));
  }
  const Value all = b.concat(masks, from_front);
  return {b.cast(b.reduce("reduce_max", all, {static_cast<int64_t>(rank) - 1}), DType::boolean)};
}

// What Multiply, Maximum and Minimum do where an input is masked: its element does not count; where all inputs have masks
// and none is real Multiply yields 0 and the others fold what is there.
struct MaskedElement {
  double x = 0.0;
  bool has_mask = false, real = true;
};
double merge_masked(std::span<const MaskedElement> elements, const std::function<double(double, double)>& fold, bool product) {
  double result = product ? 1.0 : 0.0;
  bool all_masked = true, any_real = false;
  for (size_t k = 0; k < elements.size(); ++k) {
    MaskedElement e = elements[k];
    if (product) {
      result *= e.real ? e.x : 1.0;
      all_masked &= e.has_mask, any_real |= e.real;
    } else if (k == 0) {
      result = e.x, all_masked = e.has_mask, any_real = e.real;
    } else {
      if (!e.real) e.x = result;
      if (all_masked && !any_real) result = e.x;
      result = fold(result, e.x);
      all_masked &= e.has_mask, any_real |= e.real;
    }
  }
  return product && all_masked && !any_real ? 0.0 : result;
}

Value merge_masked(std::span<const Value> tensors, std::span<const Value> masks, std::string_view op, bool product) {
  Builder& b = *tensors[0].builder;
  const auto zero_or_one = [&](double value) { return b.constant(value, tensors[0].type().dtype); };
  Value y, real;
  for (size_t k = 0; k < tensors.size(); ++k) {
    Value x = tensors[k];
    if (product && masks[k]) x = b.select(masks[k], x, zero_or_one(1.0));
    if (k == 0) {
      y = x, real = masks[0];
      continue;
    }
    if (!product && masks[k]) x = b.select(masks[k], x, y);
    if (!product && real) y = b.select(real, y, x);
    y = b.call(op, {y, x});
    real = real && masks[k] ? b.call("logical_or", {real, masks[k]}) : Value{};
  }
  return product && real ? b.select(real, y, zero_or_one(0.0)) : y;
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
      .mask = any_mask,
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

// A merge layer that looks at the masks of its inputs, as Keras 3 does.
Op masked_merge_layer(std::string_view name, std::string_view class_name, std::string_view doc, std::string_view op_name,
                      std::function<double(double, double)> fold) {
  Op op = merge_layer(name, class_name, doc, op_name, fold);
  const Op plain = op;
  const bool product = op_name == "mul";
  op.attributes.push_back({.name = "masked",
                           .type = AttributeType::integers,
                           .optional = true,
                           .doc = "the inputs that have masks; these follow the inputs",
                           .internal = true});
  op.reference = [plain, fold, product](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
    const std::vector<int64_t> masked = masked_inputs(a);
    if (masked.empty()) return plain.reference(inputs, a);
    const size_t count = inputs.size() - masked.size();
    HostTensor y = merged_tensor(inputs.first(count));
    std::vector<HostTensor> all(inputs.begin(), inputs.end());
    for (size_t k = 0; k < masked.size(); ++k)
      all[count + k].shape.resize(inputs[static_cast<size_t>(masked[k])].shape.size(), 1);
    std::vector<MaskedElement> each(count);
    for_each_merged(all, y, [&](std::span<const double> elements) {
      for (size_t k = 0; k < count; ++k) each[k] = {.x = elements[k]};
      for (size_t k = 0; k < masked.size(); ++k) {
        MaskedElement& e = each[static_cast<size_t>(masked[k])];
        e.has_mask = true, e.real = elements[count + k] != 0.0;
      }
      return merge_masked(each, fold, product);
    });
    return {y};
  };
  op.expand = [plain, op_name, product](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
    const std::vector<int64_t> masked = masked_inputs(a);
    if (masked.empty()) return plain.expand(b, inputs, a);
    const size_t count = inputs.size() - masked.size();
    std::vector<Value> tensors(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(count)), masks(count);
    size_t rank = 0;
    for (const Value& x : tensors) rank = std::max(rank, x.rank());
    const auto align = [&](Value x) { return b.reshape(x, aligned(x.shape(), rank)); };
    for (size_t k = 0; k < masked.size(); ++k) {
      const auto at = static_cast<size_t>(masked[k]);
      masks[at] = align(mask_like(inputs[count + k], tensors[at]));
    }
    for (Value& x : tensors) x = align(x);
    return {merge_masked(tensors, masks, op_name, product)};
  };
  const auto mask = [](std::vector<double> values) {
    return Example::Tensor{.shape = {2, 3}, .dtype = DType::boolean, .values = std::move(values)};
  };
  const Example::Tensor x{{2, 3, 4}};
  using Integers = std::vector<int64_t>;
  op.examples.push_back({.inputs = {x, x, mask({1, 0, 1, 0, 0, 1}), mask({1, 1, 0, 0, 0, 1})}, .attributes = {{"masked", Integers{0, 1}}}});
  op.examples.push_back({.inputs = {x, x, x, mask({1, 0, 1, 0, 0, 1}), mask({1, 1, 0, 0, 1, 1})}, .attributes = {{"masked", Integers{0, 2}}}});
  op.examples.push_back({.inputs = {{{2, 4}}, x, mask({0, 1, 0, 1, 1, 0})}, .attributes = {{"masked", Integers{1}}}});
  return op;
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
          for (size_t i = 0; fits && i < shape.size(); ++i) fits = i == axis || are_equal(context, shape[i], other[i]);
          if (!fits)
            fail(context, op, "needs inputs that are equal but for axis " + std::to_string(axis) + " but got " +
                                  shapes_text(context.inputs));
          shape[axis] += other[axis];
        }
        return {{context.inputs[0].dtype, shape}};
      },
      .mask = joined_mask,
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
  if (!are_equal(context, a.shape[i], b.shape[j]) || !are_equal(context, a.shape[0], b.shape[0]))
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
      .attributes = {{.name = "axes", .type = AttributeType::integers, .doc = "one for both inputs, or one for each",
                      .keras_list = KerasList::unwrapped},
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
  ops.push_back(masked_merge_layer("multiply_layer", "Multiply", "y = a * b * ..., broadcasting.   inputs: [batch, ...]", "mul",
                            [](double a, double b) { return a * b; }));
  ops.push_back(merge_layer("average_layer", "Average", "y = (a + b + ...) / count, broadcasting.   inputs: [batch, ...]",
                            "add", [](double a, double b) { return a + b; }, true));
  ops.push_back(masked_merge_layer("maximum_layer", "Maximum", "y = max(a, b, ...), broadcasting.   inputs: [batch, ...]", "maximum",
                            [](double a, double b) { return std::max(a, b); }));
  ops.push_back(masked_merge_layer("minimum_layer", "Minimum", "y = min(a, b, ...), broadcasting.   inputs: [batch, ...]", "minimum",
                            [](double a, double b) { return std::min(a, b); }));
  ops.push_back(concatenate());
  ops.push_back(dot());
  return ops;
}

}  // namespace moru
