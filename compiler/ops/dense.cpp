// Core layers: Dense, Embedding, and those that only change the shape.
#include <algorithm>
#include <cmath>

#include "compiler/ops/layer.h"
#include "compiler/ops/spatial.h"

namespace moru {

namespace {

Shape leading_shape(const Shape& shape) { return Shape(shape.begin(), shape.end() - 1); }

// "abc,cd->abd" for an x of rank 3: the last axis of x against the first one of the kernel.
std::string last_axis_spec(size_t rank) {
  std::string labels;
  for (size_t i = 0; i < rank; ++i) labels += static_cast<char>('a' + i);
  char column = static_cast<char>('a' + rank);
  return labels + "," + labels.back() + column + "->" + labels.substr(0, rank - 1) + column;
}

std::vector<ParameterSpec> dense_parameters(const OpContext& context) {
  const Attributes& a = context.attributes;
  Dim units = a.integer("units");
  std::vector<ParameterSpec> parameters = {{.name = "kernel",
                                            .shape = {context.inputs[0].shape.back(), units},
                                            .initializer = initializer_of(a, "kernel_initializer"),
                                            .regularizer = regularizer_of(a, "kernel_regularizer")}};
  if (a.boolean("use_bias"))
    parameters.push_back({.name = "bias",
                          .shape = {units},
                          .initializer = initializer_of(a, "bias_initializer"),
                          .regularizer = regularizer_of(a, "bias_regularizer")});
  return parameters;
}

std::vector<Type> infer_dense(const OpContext& context) {
  const Op& op = get_op("dense");
  const Type& x = context.inputs[0];
  check_activation(context, op, "activation");
  if (x.shape.size() < 2)
    fail(context, op, "needs an input [batch, ..., features] but got " + shape_text(x.shape));
  if (!x.shape.back().is_constant())
    fail(context, op, "needs a known number of features on the last axis but got " + shape_text(x.shape),
         "its kernel has one row for each feature");
  check_parameters(context, op);
  Shape shape = leading_shape(x.shape);
  shape.push_back(context.attributes.integer("units"));
  return {{float_dtype(x.dtype), shape}};
}

std::vector<HostTensor> dense_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  const HostTensor& x = inputs[0];
  const HostTensor& kernel = inputs[1];
  const HostTensor* bias = find_input(inputs, 2);
  auto depth = static_cast<size_t>(kernel.shape[0]), columns = static_cast<size_t>(kernel.shape[1]);
  std::vector<int64_t> shape = x.shape;
  shape.back() = kernel.shape[1];
  HostTensor y = make_tensor(float_dtype(x.dtype), shape);
  for (size_t row = 0; row < x.data.size() / depth; ++row)
    for (size_t column = 0; column < columns; ++column) {
      double sum = bias ? bias->data[column] : 0.0;
      for (size_t k = 0; k < depth; ++k) sum += x.data[row * depth + k] * kernel.data[k * columns + column];
      y.data[row * columns + column] = sum;
    }
  return {activation_reference(y, *attributes.find("activation"))};
}

std::vector<Value> expand_dense(Builder& builder, std::span<const Value> inputs, const Attributes& attributes) {
  Value x = to_float(inputs[0]);
  Value y = builder.contract(x, inputs[1], last_axis_spec(x.rank()));
  if (Value bias = find_input(inputs, 2)) y = y + bias;
  return {apply_activation(y, *attributes.find("activation"))};
}

Op dense() {
  return {
      .name = "dense",
      .family = OpFamily::layer,
      .doc = "y = activation(x . kernel + bias).   x: [batch, ..., in]   kernel: [in, units]   bias: [units]   ->   "
             "y: [batch, ..., units]",
      .class_name = "Dense",
      .inputs = {{"x"}, {"kernel"}, {.name = "bias", .optional = true}},
      .attributes = {{.name = "units", .type = AttributeType::integer, .least = 1, .doc = "features of the output"},
                     {.name = "activation", .type = AttributeType::activation, .default_value = "linear"},
                     {.name = "use_bias", .type = AttributeType::boolean, .default_value = true},
                     {.name = "kernel_initializer", .type = AttributeType::initializer, .default_value = "glorot_uniform"},
                     {.name = "bias_initializer", .type = AttributeType::initializer, .default_value = "zeros"},
                     {.name = "kernel_regularizer", .type = AttributeType::regularizer, .optional = true},
                     {.name = "bias_regularizer", .type = AttributeType::regularizer, .optional = true},
                     {.name = "activity_regularizer", .type = AttributeType::regularizer, .optional = true},
                     {.name = "kernel_constraint", .type = AttributeType::constraint, .optional = true},
                     {.name = "bias_constraint", .type = AttributeType::constraint, .optional = true}},
      .infer = infer_dense,
      .parameters = dense_parameters,
      .mask = keep_mask,
      .reference = dense_reference,
      .expand = expand_dense,
      .examples = {{.inputs = {{{5, 7}}}, .attributes = {{"units", 3}}},
                   {.inputs = {{{2, 3, 17}}}, .attributes = {{"units", 19}, {"activation", "tanh"}}},
                   {.inputs = {{{3, 4}}}, .attributes = {{"units", 5}, {"use_bias", false}, {"activation", "softmax"}}},
                   {.inputs = {{{2, 2, 3, 4}}},
                    .attributes = {{"units", 1}, {"activation", Attributes{{"class", "LeakyReLU"}, {"negative_slope", 0.3}}}}},
                   {.inputs = {{{33, 16}}}, .attributes = {{"units", 32}, {"activation", "sigmoid"}}}},
  };
}

Op identity() {
  return {
      .name = "identity",
      .family = OpFamily::layer,
      .doc = "y = x.   x, y: [...]",
      .class_name = "Identity",
      .inputs = {{"x"}},
      .infer = [](const OpContext& context) -> std::vector<Type> { return {context.inputs[0]}; },
      .mask = keep_mask,
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> { return {inputs[0]}; },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> { return {inputs[0]}; },
      .cheap = true,
      .examples = {{.inputs = {{{5, 7}}}}, {.inputs = {{{3, 4}, 0, 9, DType::i32}}}},
  };
}

Op flatten() {
  return {
      .name = "flatten",
      .family = OpFamily::layer,
      .doc = "Joins all axes but the first; channels that are in front are brought to the back before.   x: [batch, d1, d2, ...]   ->   "
             "y: [batch, d1*d2*...]",
      .class_name = "Flatten",
      .inputs = {{"x"}},
      .attributes = {{.name = "data_format",
                      .type = AttributeType::string,
                      .default_value = "channels_last",
                      .choices = {"channels_last", "channels_first"}}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Type& x = context.inputs[0];
        const Op& op = get_op("flatten");
        if (x.shape.empty()) fail(context, op, "needs an input [batch, ...] but got a scalar");
        return {{x.dtype, {x.shape[0], element_count(Shape(x.shape.begin() + 1, x.shape.end()))}}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = channels_first(a) && inputs[0].shape.size() > 2 ? channels_to_back(inputs[0]) : inputs[0];
        int64_t batch = y.shape[0];
        y.shape = {batch, element_count(std::span<const int64_t>(y.shape).subspan(1))};
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = channels_first(a) && inputs[0].rank() > 2 ? channels_to_back(inputs[0]) : inputs[0];
        return {builder.reshape(x, {x.dim(0), element_count(Shape(x.shape().begin() + 1, x.shape().end()))})};
      },
      .cheap = true,
      .examples = {{.inputs = {{{3, 4, 5}}}}, {.inputs = {{{2, 3}}}}, {.inputs = {{{7}}}}, {.inputs = {{{2, 3, 1, 5}}}},
                   {.inputs = {{{2, 3, 4, 5}}}, .attributes = {{"data_format", "channels_first"}}}},
  };
}

// The batch axis of x, then `target` with its -1 replaced; nullopt where the elements do not come out even.
std::optional<Shape> reshaped(const Shape& x, const std::vector<int64_t>& target) {
  Shape shape = {x[0]};
  Dim total = element_count(Shape(x.begin() + 1, x.end()));
  Dim known = 1;
  for (int64_t extent : target)
    if (extent >= 0) known *= extent;
  for (int64_t extent : target) shape.push_back(extent >= 0 ? Dim(extent) : floor_div(total, known));
  if (!(element_count(Shape(shape.begin() + 1, shape.end())) == total)) return std::nullopt;
  return shape;
}

Op reshape_layer() {
  return {
      .name = "reshape_layer",
      .family = OpFamily::layer,
      .doc = "The same elements in another shape.   x: [batch, ...]   ->   y: [batch, target_shape...]; one extent may be "
             "-1, which is then computed",
      .class_name = "Reshape",
      .inputs = {{"x"}},
      .attributes = {{.name = "target_shape", .type = AttributeType::integers, .least = -1, .doc = "without the batch axis"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Type& x = context.inputs[0];
        const Op& op = get_op("reshape_layer");
        const std::vector<int64_t>& target = context.attributes.integers("target_shape");
        if (x.shape.empty()) fail(context, op, "needs an input [batch, ...] but got a scalar");
        if (std::count(target.begin(), target.end(), -1) > 1)
          fail(context, op, "target_shape has more than one -1", "only one extent can be computed from the others");
        Shape wanted(target.begin(), target.end());
        std::string from = shape_text(Shape(x.shape.begin() + 1, x.shape.end()));
        if (std::count(target.begin(), target.end(), 0) > 0)
          fail(context, op, "cannot reshape " + from + " to " + shape_text(wanted) + ", which has no elements");
        std::optional<Shape> shape = reshaped(x.shape, target);
        if (!shape)
          fail(context, op, "cannot reshape " + from + " to " + shape_text(wanted),
               "the input has " + element_count(Shape(x.shape.begin() + 1, x.shape.end())).text() + " elements per sample");
        return {{x.dtype, *shape}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        int64_t per_sample = element_count(std::span<const int64_t>(y.shape).subspan(1)), known = 1;
        std::vector<int64_t> shape = a.integers("target_shape");
        for (int64_t extent : shape)
          if (extent != -1) known *= extent;
        std::replace(shape.begin(), shape.end(), int64_t{-1}, per_sample / known);
        shape.insert(shape.begin(), y.shape[0]);
        y.shape = shape;
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {builder.reshape(inputs[0], reshaped(inputs[0].shape(), a.integers("target_shape")).value())};
      },
      .cheap = true,
      .examples = {{.inputs = {{{3, 12}}}, .attributes = {{"target_shape", std::vector<int64_t>{3, 4}}}},
                   {.inputs = {{{2, 5, 6}}}, .attributes = {{"target_shape", std::vector<int64_t>{-1, 3}}}},
                   {.inputs = {{{4, 7}}}, .attributes = {{"target_shape", std::vector<int64_t>{-1}}}}},
  };
}

std::vector<int64_t> permutation_of(const Attributes& attributes) {
  std::vector<int64_t> permutation = attributes.integers("dims");
  permutation.insert(permutation.begin(), 0);
  return permutation;
}

Op permute() {
  return {
      .name = "permute",
      .family = OpFamily::layer,
      .doc = "Reorders the axes: axis i of y is axis dims[i-1] of x (counted from 1; the batch axis stays).",
      .class_name = "Permute",
      .inputs = {{"x"}},
      .attributes = {{.name = "dims", .type = AttributeType::integers, .least = 1, .doc = "a permutation of 1 .. rank-1"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Type& x = context.inputs[0];
        std::vector<int64_t> permutation = permutation_of(context.attributes), sorted = permutation;
        std::sort(sorted.begin(), sorted.end());
        bool valid = sorted.size() == x.shape.size();
        for (size_t i = 0; i < sorted.size(); ++i) valid = valid && sorted[i] == static_cast<int64_t>(i);
        if (!valid)
          fail(context, get_op("permute"),
               "dims must be a permutation of 1 to " + std::to_string(x.shape.size() - 1) + " for the input " +
                   shape_text(x.shape));
        Shape shape;
        for (int64_t axis : permutation) shape.push_back(x.shape[static_cast<size_t>(axis)]);
        return {{x.dtype, shape}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor& x = inputs[0];
        std::vector<int64_t> permutation = permutation_of(a), shape;
        for (int64_t axis : permutation) shape.push_back(x.shape[static_cast<size_t>(axis)]);
        HostTensor y = make_tensor(x.dtype, shape);
        size_t rank = shape.size();
        std::vector<int64_t> index(rank);
        for (size_t out = 0; out < y.data.size(); ++out) {
          auto rest = static_cast<int64_t>(out);
          for (size_t i = rank; i-- > 0; rest /= shape[i]) index[static_cast<size_t>(permutation[i])] = rest % shape[i];
          int64_t in = 0;
          for (size_t i = 0; i < rank; ++i) in = in * x.shape[i] + index[i];
          y.data[out] = x.data[static_cast<size_t>(in)];
        }
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        return {builder.transpose(inputs[0], permutation_of(a))};
      },
      .cheap = true,
      .examples = {{.inputs = {{{2, 3, 5}}}, .attributes = {{"dims", std::vector<int64_t>{2, 1}}}},
                   {.inputs = {{{2, 3, 4, 5}}}, .attributes = {{"dims", std::vector<int64_t>{3, 1, 2}}}}},
  };
}

Op repeat_vector() {
  return {
      .name = "repeat_vector",
      .family = OpFamily::layer,
      .doc = "Repeats the input n times.   x: [batch, features]   ->   y: [batch, n, features]",
      .class_name = "RepeatVector",
      .inputs = {{"x"}},
      .attributes = {{.name = "n", .type = AttributeType::integer, .least = 1}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Type& x = context.inputs[0];
        if (x.shape.size() != 2)
          fail(context, get_op("repeat_vector"), "needs an input [batch, features] but got " + shape_text(x.shape));
        return {{x.dtype, {x.shape[0], context.attributes.integer("n"), x.shape[1]}}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        const HostTensor& x = inputs[0];
        HostTensor y = make_tensor(x.dtype, {x.shape[0], a.integer("n"), x.shape[1]});
        auto n = static_cast<size_t>(a.integer("n")), features = static_cast<size_t>(x.shape[1]);
        for (size_t i = 0; i < y.data.size(); ++i) y.data[i] = x.data[i / (n * features) * features + i % features];
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        Value x = inputs[0];
        Value column = builder.reshape(x, {x.dim(0), 1, x.dim(1)});
        return {builder.broadcast_to(column, {x.dim(0), a.integer("n"), x.dim(1)})};
      },
      .cheap = true,
      .examples = {{.inputs = {{{3, 5}}}, .attributes = {{"n", 4}}}},
  };
}

Op embedding() {
  return {
      .name = "embedding",
      .family = OpFamily::layer,
      .doc = "y[..., :] = embeddings[x[...], :].   x: [batch, ...], integers or whole floats in 0 .. input_dim-1   "
             "embeddings: [input_dim, output_dim]   ->   y: [batch, ..., output_dim].   With mask_zero its mask is x != 0",
      .class_name = "Embedding",
      .inputs = {{"x"}, {"embeddings"}},
      .attributes = {{.name = "input_dim", .type = AttributeType::integer, .least = 1, .doc = "size of the vocabulary"},
                     {.name = "output_dim", .type = AttributeType::integer, .least = 1},
                     {.name = "embeddings_initializer", .type = AttributeType::initializer, .default_value = "uniform"},
                     {.name = "embeddings_regularizer", .type = AttributeType::regularizer, .optional = true},
                     {.name = "activity_regularizer", .type = AttributeType::regularizer, .optional = true},
                     {.name = "embeddings_constraint", .type = AttributeType::constraint, .optional = true},
                     {.name = "mask_zero", .type = AttributeType::boolean, .default_value = false, .doc = "0 is padding, which a mask leaves out"},
                     {.name = "input_length", .type = AttributeType::integer, .optional = true, .doc = "ignored"}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("embedding");
        const Type& x = context.inputs[0];
        if (x.dtype == DType::boolean) fail(context, op, "needs integer indices but got booleans");
        check_parameters(context, op);
        Shape shape = x.shape;
        shape.push_back(context.attributes.integer("output_dim"));
        return {{has_input(context, 1) ? context.inputs[1].dtype : DType::f32, shape}};
      },
      .parameters = [](const OpContext& context) -> std::vector<ParameterSpec> {
        const Attributes& a = context.attributes;
        return {{.name = "embeddings",
                 .shape = {a.integer("input_dim"), a.integer("output_dim")},
                 .initializer = initializer_of(a, "embeddings_initializer"),
                 .regularizer = regularizer_of(a, "embeddings_regularizer")}};
      },
      .mask = [](const MaskContext& context) -> std::vector<Value> {
        const Value x = context.inputs[0];
        if (!context.attributes.boolean("mask_zero")) return {};
        return {context.builder.call("not_equal", {x, context.builder.constant(0.0, x.type().dtype)})};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        const HostTensor& x = inputs[0];
        const HostTensor& table = inputs[1];
        auto width = static_cast<size_t>(table.shape[1]);
        std::vector<int64_t> shape = x.shape;
        shape.push_back(table.shape[1]);
        HostTensor y = make_tensor(table.dtype, shape);
        for (size_t i = 0; i < x.data.size(); ++i)
          for (size_t k = 0; k < width; ++k) y.data[i * width + k] = table.data[static_cast<size_t>(x.data[i]) * width + k];
        return {y};
      },
      .expand = [](Builder& builder, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> {
        Value indices = inputs[0];
        if (!is_integer(indices.type().dtype)) indices = builder.cast(indices, DType::i32);
        return {builder.call("gather", {inputs[1], indices})};
      },
      .examples = {{.inputs = {{{5, 3}, 0, 7, DType::i32}}, .attributes = {{"input_dim", 7}, {"output_dim", 4}}},
                   {.inputs = {{.shape = {4}, .dtype = DType::f32, .values = {2, 0, 2, 1}}},
                    .attributes = {{"input_dim", 3}, {"output_dim", 17}},
                    .differentiable = false},
                   {.inputs = {{{2, 3, 2}, 0, 5, DType::i64}}, .attributes = {{"input_dim", 5}, {"output_dim", 1}}}},
  };
}

// 1 where any feature of a step differs from mask_value.
Value real_steps(Builder& b, Value x, const Attributes& a, bool keep_dims) {
  const Value differs = b.call("not_equal", {x, b.constant(a.real("mask_value"), x.type().dtype)});
  const auto last = static_cast<int64_t>(x.rank()) - 1;
  return b.cast(b.reduce("reduce_max", b.cast(differs, DType::i32), {last}, keep_dims), DType::boolean);
}

Op masking() {
  return {
      .name = "masking",
      .family = OpFamily::layer,
      .doc = "y = x, but 0 in the steps whose features all equal mask_value; its mask says which others there are.   x, y: "
             "[batch, ..., features]",
      .class_name = "Masking",
      .inputs = {{"x"}},
      .attributes = {{.name = "mask_value", .type = AttributeType::real, .default_value = 0.0}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Type& x = context.inputs[0];
        if (x.shape.size() < 2 || x.dtype == DType::boolean)
          fail(context, get_op("masking"), "needs numbers [batch, ..., features] but got " + type_text(x));
        return {x};
      },
      .mask = [](const MaskContext& context) -> std::vector<Value> {
        return {real_steps(context.builder, context.inputs[0], context.attributes, false)};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes& a) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        // The value as the elements' own type has it.
        const double value = y.dtype == DType::f32 ? static_cast<double>(static_cast<float>(a.real("mask_value"))) : a.real("mask_value");
        const auto width = static_cast<size_t>(y.shape.back());
        for (size_t row = 0; row + width <= y.data.size(); row += width) {
          bool real = false;
          for (size_t k = 0; k < width; ++k) real |= y.data[row + k] != value;
          for (size_t k = 0; k < width && !real; ++k) y.data[row + k] = 0.0;
        }
        return {y};
      },
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = inputs[0];
        return {x * b.cast(real_steps(b, x, a, true), x.type().dtype)};
      },
      .examples = {{.inputs = {{.shape = {2, 3, 2}, .values = {1, 0, 0, 0, 0, 2, 0, 0, 3, 4, 0, 0}}}, .differentiable = false},
                   {.inputs = {{.shape = {5, 3}, .values = {-1, -1, -1, 2, -1, 3, 0, 0, 0, -1, -1, -1, 4, 5, 6}}},
                    .attributes = {{"mask_value", -1.0}},
                    .differentiable = false},
                   {.inputs = {{{3, 4, 17}}}, .attributes = {{"mask_value", 2.0}}}},
  };
}

}  // namespace

std::vector<Op> dense_ops() {
  std::vector<Op> ops;
  ops.push_back(dense());
  ops.push_back(embedding());
  ops.push_back(identity());
  ops.push_back(masking());
  ops.push_back(flatten());
  ops.push_back(reshape_layer());
  ops.push_back(permute());
  ops.push_back(repeat_vector());
  return ops;
}

}  // namespace moru
