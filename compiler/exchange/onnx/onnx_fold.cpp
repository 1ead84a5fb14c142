#include "compiler/exchange/onnx/onnx_fold.h"

#include <algorithm>
#include <numeric>
#include <functional>
#include <optional>

#include "compiler/ops/tensor_loops.h"
#include "compiler/support/dim_bounds.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Element = std::function<std::optional<Dim>(const Dim&, const Dim&)>;

std::optional<bool> is_less(const Dim& a, const Dim& b) {
  const Dim difference = b - a;
  if (difference.is_constant()) return difference.constant() > 0;
  if (const auto at_least = least_of(difference); at_least && *at_least > 0) return true;
  if (const auto at_least = least_of(a - b); at_least && *at_least >= 0) return false;
  return std::nullopt;
}

std::optional<bool> is_equal(const Dim& a, const Dim& b) {
  if (a == b) return true;
  if ((a - b).is_constant()) return false;
  const auto less = is_less(a, b), greater = is_less(b, a);
  if ((less && *less) || (greater && *greater)) return false;
  return std::nullopt;
}

std::optional<Dim> divided(const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) {
    if (b.constant() == 0 || (a.constant() == INT64_MIN && b.constant() == -1)) return std::nullopt;
    return Dim(a.constant() / b.constant());
  }
  if (a == b) return Dim(1);
  // Towards zero, as floor_div is where neither is negative.
  const auto b_least = least_of(b);
  if (!b_least || *b_least < 1) return std::nullopt;
  if (least_of(a).value_or(-1) >= 0) return floor_div(a, b);
  if (least_of(Dim(0) - a).value_or(-1) >= 0) return Dim(0) - floor_div(Dim(0) - a, b);
  return std::nullopt;
}

std::optional<Dim> boolean(std::optional<bool> value) {
  return value ? std::optional<Dim>(Dim(int64_t{*value})) : std::nullopt;
}

Element element_of(std::string_view op) {
  if (op == "Add") return [](const Dim& a, const Dim& b) { return std::optional(a + b); };
  if (op == "Sub") return [](const Dim& a, const Dim& b) { return std::optional(a - b); };
  if (op == "Mul") return [](const Dim& a, const Dim& b) { return std::optional(a * b); };
  if (op == "Div") return divided;
  if (op == "Mod")
    return [](const Dim& a, const Dim& b) -> std::optional<Dim> {
      const auto quotient = divided(a, b);
      if (!quotient || least_of(a).value_or(-1) < 0) return std::nullopt;
      return a - b * *quotient;
    };
  if (op == "Max" || op == "Min")
    return [greatest = op == "Max"](const Dim& a, const Dim& b) -> std::optional<Dim> {
      if (const auto less = is_less(a, b)) return *less == greatest ? b : a;
      return greatest ? max(a, b) : min(a, b);
    };
  if (op == "Equal") return [](const Dim& a, const Dim& b) { return boolean(is_equal(a, b)); };
  if (op == "Less") return [](const Dim& a, const Dim& b) { return boolean(is_less(a, b)); };
  if (op == "Greater") return [](const Dim& a, const Dim& b) { return boolean(is_less(b, a)); };
  if (op == "LessOrEqual" || op == "GreaterOrEqual")
    return [swapped = op == "GreaterOrEqual"](const Dim& a, const Dim& b) -> std::optional<Dim> {
      const auto less = swapped ? is_less(a, b) : is_less(b, a);
      return less ? boolean(!*less) : std::nullopt;
    };
  return {};
}

std::shared_ptr<KnownValue> known_like(DType dtype, std::vector<int64_t> shape) {
  auto value = std::make_shared<KnownValue>();
  value->dtype = dtype;
  value->shape = std::move(shape);
  return value;
}

// The element of `value` that meets element `index` of the broadcast shape.
size_t broadcast_index(const KnownValue& value, std::span<const int64_t> shape, int64_t index) {
  int64_t offset = 0, stride = 1;
  for (size_t i = shape.size(); i-- > 0; index /= shape[i]) {
    const size_t missing = shape.size() - value.shape.size();
    if (i < missing) continue;
    const int64_t extent = value.shape[i - missing];
    if (extent != 1) offset += index % shape[i] * stride;
    stride *= extent;
  }
  return static_cast<size_t>(offset);
}

bool broadcasts(const KnownValue& a, const KnownValue& b) {
  return broadcast_shapes(Shape(a.shape.begin(), a.shape.end()), Shape(b.shape.begin(), b.shape.end())).has_value();
}

bool fold_binary(OnnxNode& node, const Element& element, const std::vector<Known>& in) {
  if (in.size() != 2 || !broadcasts(*in[0], *in[1])) return false;
  const std::string& op = node.op_type();
  const bool compares =
      op == "Equal" || op == "Less" || op == "Greater" || op == "LessOrEqual" || op == "GreaterOrEqual";
  auto y = known_like(compares ? DType::boolean : in[0]->dtype, broadcast_extents(in[0]->shape, in[1]->shape));
  const int64_t count = element_count(y->shape);
  for (int64_t i = 0; i < count; ++i) {
    const auto value =
        element(in[0]->dims[broadcast_index(*in[0], y->shape, i)], in[1]->dims[broadcast_index(*in[1], y->shape, i)]);
    if (!value) return false;
    y->dims.push_back(*value);
  }
  node.set_known(0, y);
  return true;
}

bool fold_where(OnnxNode& node, const std::vector<Known>& in) {
  if (in.size() != 3 || in[0]->is_symbolic() || !broadcasts(*in[1], *in[2])) return false;
  auto y = known_like(in[1]->dtype, broadcast_extents(in[1]->shape, in[2]->shape));
  if (!broadcasts(*in[0], *y)) return false;
  y->shape = broadcast_extents(in[0]->shape, y->shape);
  const int64_t count = element_count(y->shape);
  for (int64_t i = 0; i < count; ++i) {
    const Known& source = in[0]->number(broadcast_index(*in[0], y->shape, i)) != 0.0 ? in[1] : in[2];
    y->dims.push_back(source->dims[broadcast_index(*source, y->shape, i)]);
  }
  node.set_known(0, y);
  return true;
}

bool fold_gather(OnnxNode& node, const std::vector<Known>& in) {
  if (in.size() != 2) return false;
  const KnownValue &table = *in[0], &indices = *in[1];
  if (table.shape.empty() || node.axis(node.integer("axis", 0), table.shape.size()) != 0 || indices.is_symbolic())
    return false;
  const int64_t rows = table.shape[0];
  const int64_t width = element_count(std::span(table.shape).subspan(1));
  auto y = known_like(table.dtype, indices.shape);
  y->shape.insert(y->shape.end(), table.shape.begin() + 1, table.shape.end());
  for (const Dim& index : indices.dims) {
    int64_t row = index.constant();
    if (row < 0) row += rows;
    if (row < 0 || row >= rows)
      node.fail("index " + index.text() + " is outside of its input's " + std::to_string(rows) + " rows");
    for (int64_t k = 0; k < width; ++k) y->dims.push_back(table.dims[static_cast<size_t>(row * width + k)]);
  }
  node.set_known(0, y);
  return true;
}

bool fold_concat(OnnxNode& node, const std::vector<Known>& in) {
  auto y = known_like(in[0]->dtype, {0});
  for (const Known& part : in) {
    if (part->shape.size() != 1) return false;
    y->dims.insert(y->dims.end(), part->dims.begin(), part->dims.end());
  }
  y->shape[0] = static_cast<int64_t>(y->dims.size());
  node.set_known(0, y);
  return true;
}

bool fold_slice(OnnxNode& node, const std::vector<Known>& in) {
  if (node.version() < 10 || in.size() < 3 || in[0]->shape.empty()) return false;
  for (size_t i = 1; i < in.size(); ++i)
    if (in[i]->elements() != 1 || in[i]->is_symbolic()) return false;
  const size_t axis = in.size() > 3 ? static_cast<size_t>(node.axis(in[3]->dims[0].constant(), in[0]->shape.size())) : 0;
  const int64_t extent = in[0]->shape[axis];
  const int64_t step = in.size() > 4 ? in[4]->dims[0].constant() : 1;
  if (step == 0) return false;
  auto clamp = [&](int64_t at, int64_t low, int64_t high) {
    if (at < 0) at = at < -extent ? INT64_MIN : at + extent;
    return std::clamp(at, low, high);
  };
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1;
  const int64_t begin = clamp(in[1]->dims[0].constant(), step > 0 ? 0 : 0, high);
  const int64_t end = clamp(in[2]->dims[0].constant(), low, high);
  std::vector<int64_t> taken;
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    taken.push_back(i);
    if (step > extent || step < -extent) break;
  }
  const std::span<const int64_t> shape = in[0]->shape;
  const int64_t outer = element_count(shape.first(axis)), inner = element_count(shape.subspan(axis + 1));
  auto y = known_like(in[0]->dtype, in[0]->shape);
  y->shape[axis] = static_cast<int64_t>(taken.size());
  for (int64_t before = 0; before < outer; ++before)
    for (const int64_t i : taken)
      for (int64_t after = 0; after < inner; ++after) y->dims.push_back(in[0]->dims[static_cast<size_t>((before * extent + i) * inner + after)]);
  node.set_known(0, y);
  return true;
}

bool fold_transpose(OnnxNode& node, const std::vector<Known>& in) {
  const KnownValue& x = *in[0];
  const size_t rank = x.shape.size();
  std::vector<int64_t> reversed(rank);
  std::iota(reversed.rbegin(), reversed.rend(), int64_t{0});
  const std::vector<int64_t> permutation = node.integers("perm", reversed);
  if (!std::ranges::is_permutation(permutation, reversed)) return false;  // which the operator's builder refuses
  auto y = known_like(x.dtype, {});
  std::vector<int64_t> strides(rank);
  for (size_t i = 0; i < rank; ++i) {
    const auto from = static_cast<size_t>(permutation[i]);
    y->shape.push_back(x.shape[from]);
    strides[i] = element_count(std::span(x.shape).subspan(from + 1));
  }
  for (int64_t k = 0; k < std::ssize(x.dims); ++k) {
    int64_t offset = 0, rest = k;
    for (size_t i = rank; i-- > 0; rest /= y->shape[i]) offset += rest % y->shape[i] * strides[i];
    y->dims.push_back(x.dims[static_cast<size_t>(offset)]);
  }
  node.set_known(0, y);
  return true;
}

// The same numbers in the shape that the operator's own builder infers.
bool fold_reshaping(OnnxNode& node, const std::vector<Known>& in) {
  const std::string& op = node.op_type();
  auto y = std::make_shared<KnownValue>(*in[0]);
  if (op == "Identity") {
    node.set_known(0, y);
    return true;
  }
  const auto rank = static_cast<int64_t>(y->shape.size());
  std::vector<int64_t> axes;
  const bool given = node.has_input(1);
  if (given) {
    if (in[1]->is_symbolic()) return false;
    for (const Dim& dim : in[1]->dims) axes.push_back(dim.constant());
  } else if (node.has("axes")) {
    axes = node.integers("axes");
  }
  if (op == "Unsqueeze") {
    for (int64_t& axis : axes)
      if (axis < 0) axis += rank + static_cast<int64_t>(axes.size());
    std::sort(axes.begin(), axes.end());
    for (int64_t axis : axes) {
      if (axis < 0 || axis > static_cast<int64_t>(y->shape.size())) return false;
      y->shape.insert(y->shape.begin() + axis, 1);
    }
  } else if (op == "Squeeze") {
    std::vector<int64_t> shape;
    for (int64_t i = 0; i < rank; ++i) {
      const bool named = std::find(axes.begin(), axes.end(), i) != axes.end() ||
                         std::find(axes.begin(), axes.end(), i - rank) != axes.end();
      const int64_t extent = y->shape[static_cast<size_t>(i)];
      if (named && extent != 1) return false;  // which the operator's builder refuses
      if (extent != 1 || !(named || (axes.empty() && !given && !node.has("axes")))) shape.push_back(extent);
    }
    y->shape = shape;
  } else {  // Reshape
    if (!given) return false;
    int64_t known = 1, open = -1;
    for (size_t i = 0; i < axes.size(); ++i) {
      if (axes[i] == 0 && i < y->shape.size() && node.integer("allowzero", 0) == 0) axes[i] = y->shape[i];
      if (axes[i] == -1)
        open = static_cast<int64_t>(i);
      else
        known *= axes[i];
    }
    if (open >= 0 && known > 0) axes[static_cast<size_t>(open)] = element_count(y->shape) / known;
    if (element_count(axes) != element_count(y->shape)) return false;
    y->shape = axes;
  }
  node.set_known(0, y);
  return true;
}

bool fold_cast(OnnxNode& node, const std::vector<Known>& in) {
  if (node.op_type() != "Cast") return false;
  const ElementType element = dtype_of_onnx(static_cast<int32_t>(node.integer("to")), "the attribute 'to'");
  const DType to = element.dtype;
  if (element.narrow != Narrow::none) return false;  // which wraps
  if (to != DType::i64 && !(to == DType::i32 && (in[0]->dtype == DType::i32 || in[0]->is_symbolic()))) return false;
  auto y = std::make_shared<KnownValue>(*in[0]);
  y->dtype = to;
  node.set_known(0, y);
  return true;
}

bool fold_reduction(OnnxNode& node, const std::vector<Known>& in) {
  if (in.size() != 1 || in[0]->shape.size() != 1) return false;
  const bool product = node.op_type() == "ReduceProd";
  Dim result = product ? 1 : 0;
  for (const Dim& dim : in[0]->dims) result = product ? result * dim : result + dim;
  auto y = known_like(in[0]->dtype, node.integer("keepdims", 1) ? std::vector<int64_t>{1} : std::vector<int64_t>{});
  y->dims = {result};
  node.set_known(0, y);
  return true;
}

bool fold_negative(OnnxNode& node, const std::vector<Known>& in) {
  auto y = std::make_shared<KnownValue>(*in[0]);
  for (Dim& dim : y->dims) dim = Dim(0) - dim;
  node.set_known(0, y);
  return true;
}

}  // namespace

bool fold_onnx(OnnxNode& node) {
  std::vector<Known> in;
  for (size_t i = 0; i < node.inputs(); ++i) {
    const Known value = node.constant_input(i);
    if (!value || (value->dtype != DType::i32 && value->dtype != DType::i64 && value->dtype != DType::boolean))
      return false;
    in.push_back(value);
  }
  if (in.empty()) return false;
  const std::string& op = node.op_type();
  if (const Element element = element_of(op)) return in[0]->dtype != DType::i32 && fold_binary(node, element, in);
  if (op == "Where") return fold_where(node, in);
  if (op == "Gather") return fold_gather(node, in);
  if (op == "Concat") return fold_concat(node, in);
  if (op == "Slice") return fold_slice(node, in);
  if (op == "Transpose") return fold_transpose(node, in);
  if (op == "Cast") return fold_cast(node, in);
  if (op == "Neg") return fold_negative(node, in);
  if (op == "ReduceProd" || op == "ReduceSum") return fold_reduction(node, in);
  if (op == "Identity" || op == "Unsqueeze" || op == "Squeeze" || op == "Reshape") return fold_reshaping(node, in);
  return false;
}

}  // namespace moru
