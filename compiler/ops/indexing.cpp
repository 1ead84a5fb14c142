#include "compiler/ops/infer.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Attrs = const Attributes&;
using Tensors = std::vector<HostTensor>;

// An index of data is the user's: it is checked where the interpreter reads it, and by the runtime before a run.
int64_t checked_index(double value, int64_t rows, std::string_view op) {
  if (!(value >= 0.0 && value < static_cast<double>(rows)))
    throw CompileError({.stage = "interpret",
                        .op = std::string(op),
                        .what = "index " + std::to_string(static_cast<int64_t>(value)) + " is outside 0.." +
                                std::to_string(rows - 1)});
  return static_cast<int64_t>(value);
}

int64_t row_elements(const std::vector<int64_t>& shape, size_t first) {
  return element_count(std::span<const int64_t>(shape).subspan(first));
}

Op gather_op() {
  Op op;
  op.name = "gather";
  op.family = OpFamily::indexing;
  op.doc =
      "y[i..., j...] = table[indices[i...], j...].  table: [rows, ...], indices: i32 or i64 [...]; an index outside "
      "0..rows-1 is an error";
  op.inputs = {{.name = "table"}, {.name = "indices"}};
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Type& table = context.inputs[0];
    check_dtype(context, "gather", 1, Accepts::integers);
    if (table.shape.empty())
      refuse(context, "gather", "needs a table with at least one axis but got " + type_text(table));
    Shape shape = context.inputs[1].shape;
    shape.insert(shape.end(), table.shape.begin() + 1, table.shape.end());
    return {{table.dtype, std::move(shape)}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs) {
    const HostTensor &table = inputs[0], &indices = inputs[1];
    std::vector<int64_t> shape = indices.shape;
    shape.insert(shape.end(), table.shape.begin() + 1, table.shape.end());
    HostTensor y = make_tensor(table.dtype, std::move(shape));
    const int64_t row = row_elements(table.shape, 1);
    for (int64_t i = 0; i < indices.elements(); ++i) {
      const int64_t index = checked_index(indices.data[static_cast<size_t>(i)], table.shape[0], "gather");
      std::copy_n(table.data.begin() + index * row, row, y.data.begin() + i * row);
    }
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const Dim rows = context.inputs[0].dim(0);
    return {
        context.builder.call("scatter_add", {context.inputs[1], context.output_gradients[0]}, {{"rows", Shape{rows}}}),
        Value{}};
  };
  auto example = [](std::vector<int64_t> table, std::vector<int64_t> indices, DType dtype) {
    const double rows = static_cast<double>(table[0]);
    return Example{
        .inputs = {{.shape = std::move(table)}, {.shape = std::move(indices), .low = 0, .high = rows, .dtype = dtype}}};
  };
  op.examples = {example({10, 7}, {4, 3}, DType::i32), example({5}, {9}, DType::i64), example({3, 17}, {}, DType::i32),
                 example({4, 2, 3}, {5}, DType::i32), example({1, 3}, {6}, DType::i64)};
  return op;
}

Op scatter_add_op() {
  Op op;
  op.name = "scatter_add";
  op.family = OpFamily::indexing;
  op.doc =
      "y = zeros [rows, j...]; y[indices[i...], j...] += updates[i..., j...], in row-major order of i.  "
      "indices: i32 or i64 [i...], updates: [i..., j...]";
  op.inputs = {{.name = "indices"}, {.name = "updates"}};
  op.attributes = {{.name = "rows", .type = AttributeType::shape, .doc = "one dimension"}};
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "scatter_add", 0, Accepts::integers);
    check_dtype(context, "scatter_add", 1, Accepts::numbers);
    const Type& indices = context.inputs[0];
    const Type& updates = context.inputs[1];
    const Dim rows = dim_attribute(context, "scatter_add", "rows");
    check_extents(context, "scatter_add", {rows}, "rows");
    bool fits = updates.shape.size() >= indices.shape.size();
    for (size_t i = 0; fits && i < indices.shape.size(); ++i) fits = are_equal(context, indices.shape[i], updates.shape[i]);
    if (!fits)
      refuse(context, "scatter_add",
             "needs updates whose leading extents are those of the indices, " + shape_text(indices.shape) +
                 ", but got " + shape_text(updates.shape));
    Shape shape = {rows};
    shape.insert(shape.end(), updates.shape.begin() + static_cast<std::ptrdiff_t>(indices.shape.size()),
                 updates.shape.end());
    return {{updates.dtype, std::move(shape)}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const HostTensor &indices = inputs[0], &updates = inputs[1];
    const int64_t rows = attributes.shape("rows")[0].constant();
    std::vector<int64_t> shape = {rows};
    shape.insert(shape.end(), updates.shape.begin() + static_cast<std::ptrdiff_t>(indices.shape.size()),
                 updates.shape.end());
    HostTensor y = make_tensor(updates.dtype, shape);
    const int64_t row = row_elements(shape, 1);
    for (int64_t i = 0; i < indices.elements(); ++i) {
      const int64_t index = checked_index(indices.data[static_cast<size_t>(i)], rows, "scatter_add");
      for (int64_t j = 0; j < row; ++j)
        y.data[static_cast<size_t>(index * row + j)] += updates.data[static_cast<size_t>(i * row + j)];
    }
    return Tensors{std::move(y)};
  };
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    return {Value{}, context.builder.call("gather", {context.output_gradients[0], context.inputs[0]})};
  };
  auto example = [](std::vector<int64_t> indices, std::vector<int64_t> updates, int64_t rows, DType dtype) {
    return Example{
        .inputs = {{.shape = std::move(indices), .low = 0, .high = static_cast<double>(rows), .dtype = dtype},
                   {.shape = std::move(updates)}},
        .attributes = {{"rows", Shape{rows}}}};
  };
  op.examples = {example({4, 3}, {4, 3, 7}, 10, DType::i32), example({9}, {9}, 3, DType::i64),
                 example({}, {17}, 3, DType::i32), example({5}, {5, 2, 3}, 2, DType::i32)};
  return op;
}

Op iota_op() {
  Op op;
  op.name = "iota";
  op.family = OpFamily::indexing;
  op.doc = "y[..., i, ...] = i along `axis`.  y: `shape`";
  op.attributes = {{.name = "shape", .type = AttributeType::shape},
                   {.name = "axis", .type = AttributeType::integer, .default_value = 0},
                   dtype_attribute("i32")};
  op.differentiable = false;
  op.cheap = true;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    const Shape& shape = context.attributes.shape("shape");
    check_extents(context, "iota", shape, "shape");
    check_axis(context, "iota", context.attributes.integer("axis"), shape.size());
    if (dtype_of(context.attributes) == DType::boolean) refuse(context, "iota", "cannot count in booleans");
    return {{dtype_of(context.attributes), shape}};
  };
  op.reference = [](std::span<const HostTensor>, Attrs attributes) {
    HostTensor y = make_tensor(dtype_of(attributes), constant_shape(attributes.shape("shape")));
    const size_t axis = normalized_axis(attributes.integer("axis"), y.shape.size());
    const int64_t stride = strides_of(y.shape)[axis];
    for (int64_t i = 0; i < y.elements(); ++i)
      y.data[static_cast<size_t>(i)] = static_cast<double>(i / stride % y.shape[axis]);
    return Tensors{std::move(y)};
  };
  op.examples = {{.inputs = {}, .attributes = {{"shape", Shape{17}}}},
                 {.inputs = {}, .attributes = {{"shape", Shape{3, 5}}, {"axis", -1}, {"dtype", "f32"}}},
                 {.inputs = {}, .attributes = {{"shape", Shape{3, 5, 2}}, {"axis", 1}, {"dtype", "i64"}}}};
  return op;
}

Op one_hot_op() {
  Op op;
  op.name = "one_hot";
  op.family = OpFamily::indexing;
  op.doc =
      "y[..., k] = 1 where k = indices[...], else 0; all 0 for an index outside 0..depth-1.  indices: i32 or i64 "
      "[...], "
      "y: [..., depth]";
  op.inputs = {{.name = "indices"}};
  op.attributes = {{.name = "depth", .type = AttributeType::integer, .least = 1.0}, dtype_attribute("f32")};
  op.differentiable = false;
  op.infer = [](const OpContext& context) -> std::vector<Type> {
    check_dtype(context, "one_hot", 0, Accepts::integers);
    Shape shape = context.inputs[0].shape;
    shape.push_back(context.attributes.integer("depth"));
    return {{dtype_of(context.attributes), std::move(shape)}};
  };
  op.reference = [](std::span<const HostTensor> inputs, Attrs attributes) {
    const int64_t depth = attributes.integer("depth");
    std::vector<int64_t> shape = inputs[0].shape;
    shape.push_back(depth);
    HostTensor y = make_tensor(dtype_of(attributes), std::move(shape));
    for (int64_t i = 0; i < inputs[0].elements(); ++i) {
      const double index = inputs[0].data[static_cast<size_t>(i)];
      if (index >= 0.0 && index < static_cast<double>(depth))
        y.data[static_cast<size_t>(i * depth + static_cast<int64_t>(index))] = 1.0;
    }
    return Tensors{std::move(y)};
  };
  op.expand = [](Builder& b, std::span<const Value> inputs, Attrs attributes) -> std::vector<Value> {
    const DType dtype = inputs[0].type().dtype;
    Shape column = inputs[0].shape();
    column.push_back(1);
    const Value classes =
        b.call("iota", {}, {{"shape", Shape{attributes.integer("depth")}}, {"dtype", std::string(dtype_name(dtype))}});
    return {b.cast(b.call("equal", {b.reshape(inputs[0], column), classes}), dtype_of(attributes))};
  };
  op.examples = {
      {.inputs = {{.shape = {7}, .low = 0, .high = 5, .dtype = DType::i32}}, .attributes = {{"depth", 5}}},
      {.inputs = {{.shape = {2, 3}, .low = -1, .high = 6, .dtype = DType::i64}}, .attributes = {{"depth", 4}}},
      {.inputs = {{.shape = {}, .dtype = DType::i32, .values = {2.0}}},
       .attributes = {{"depth", 17}, {"dtype", "bool"}}}};
  return op;
}

}  // namespace

std::vector<Op> indexing_ops() { return {gather_op(), scatter_add_op(), iota_op(), one_hot_op()}; }

}  // namespace moru
