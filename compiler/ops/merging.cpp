// Layers that merge several tensors into one: Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate.
#include <algorithm>
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
  return ops;
}

}  // namespace moru
