#include "compiler/ops/infer.h"

#include <algorithm>

namespace moru {

void refuse(const OpContext& context, std::string_view op, std::string what, std::string hint, std::string detail) {
  fail(context, get_op(op), std::move(what), std::move(hint), std::move(detail));
}

void check_dtype(const OpContext& context, std::string_view op, size_t input, Accepts accepts) {
  const DType dtype = context.inputs[input].dtype;
  bool fits = true;
  const char* wanted = "";
  const char* to = "";
  switch (accepts) {
    case Accepts::floats:
      fits = is_float(dtype), wanted = "floating-point numbers", to = "f32";
      break;
    case Accepts::numbers:
      fits = is_float(dtype) || is_integer(dtype), wanted = "numbers", to = "f32";
      break;
    case Accepts::booleans:
      fits = dtype == DType::boolean, wanted = "booleans", to = "bool";
      break;
    case Accepts::integers:
      fits = is_integer(dtype), wanted = "integers", to = "i32";
      break;
    case Accepts::any:
      break;
  }
  if (fits) return;
  const Op& entry = get_op(op);
  const InputSpec& spec = entry.inputs[std::min(input, entry.inputs.size() - 1)];
  fail(context, entry,
       "needs " + std::string(wanted) + " as '" + std::string(spec.name) + "' but got " +
           type_text(context.inputs[input]),
       std::string("cast it to ") + to + " first");
}

size_t check_axis(const OpContext& context, std::string_view op, int64_t axis, size_t rank) {
  const int64_t count = static_cast<int64_t>(rank);
  if (axis < -count || axis >= count)
    refuse(context, op,
           "axis " + std::to_string(axis) + " does not exist in a tensor with " + std::to_string(rank) +
               (rank == 1 ? " axis" : " axes"));
  return static_cast<size_t>(axis < 0 ? axis + count : axis);
}

std::vector<size_t> check_axes(const OpContext& context, std::string_view op, const std::vector<int64_t>& axes,
                               size_t rank) {
  std::vector<size_t> result;
  for (int64_t axis : axes) result.push_back(check_axis(context, op, axis, rank));
  std::sort(result.begin(), result.end());
  auto twice = std::adjacent_find(result.begin(), result.end());
  if (twice != result.end()) refuse(context, op, "axis " + std::to_string(*twice) + " is named twice");
  return result;
}

Dim dim_attribute(const OpContext& context, std::string_view op, std::string_view name) {
  const Shape& shape = context.attributes.shape(name);
  if (shape.size() != 1)
    refuse(context, op, "attribute '" + std::string(name) + "' must be one dimension but is " + shape_text(shape));
  return shape[0];
}

void check_extents(const OpContext& context, std::string_view op, const Shape& shape, std::string_view name) {
  for (const Dim& dim : shape)
    if (dim.is_constant() && dim.constant() < 0)
      refuse(context, op, "attribute '" + std::string(name) + "' is " + shape_text(shape) + ", which is negative");
}

AttributeSpec dtype_attribute(AttributeValue default_value) {
  return {.name = "dtype",
          .type = AttributeType::string,
          .default_value = std::move(default_value),
          .choices = {"f32", "f64", "i32", "i64", "bool", "bf16"},
          .doc = "element type of the result"};
}

DType dtype_of(const Attributes& attributes) { return find_dtype(attributes.string("dtype")).value(); }

}  // namespace moru
