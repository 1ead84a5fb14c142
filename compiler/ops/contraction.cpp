#include "compiler/ops/contraction.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "compiler/ops/infer.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/support/error.h"
#include "compiler/support/narrow.h"

namespace moru {

char ContractSpec::unused_label() const {
  for (char label = 'a'; label <= 'z'; ++label)
    if (!in_a(label) && !in_b(label)) return label;
  throw InternalError("a contraction has too many axes");
}

ContractSpec parse_contract_spec(std::string_view text) {
  auto error = [&](std::string what) {
    throw CompileError({.stage = "infer_shapes",
                        .op = "contract",
                        .what = "attribute 'spec' is '" + std::string(text) + "', " + what,
                        .hint = "write one letter per axis, as in 'ab,bc->ac'"});
  };
  const size_t comma = text.find(',');
  const size_t arrow = text.find("->");
  if (comma == std::string_view::npos || arrow == std::string_view::npos || arrow < comma)
    error("which is not of the form 'a,b->result'");
  ContractSpec spec{std::string(text.substr(0, comma)), std::string(text.substr(comma + 1, arrow - comma - 1)),
                    std::string(text.substr(arrow + 2))};
  for (const std::string& labels : {spec.a, spec.b, spec.result})
    for (size_t i = 0; i < labels.size(); ++i) {
      if (!std::isalpha(static_cast<unsigned char>(labels[i]))) error("where labels must be letters");
      if (labels.find(labels[i], i + 1) != std::string::npos)
        error(std::string("where '") + labels[i] + "' appears twice in one operand");
    }
  for (char label : spec.result)
    if (!spec.in_a(label) && !spec.in_b(label))
      error(std::string("where '") + label + "' of the result is in neither operand");
  return spec;
}

namespace {

bool multiplies_bf16(const Attributes& attributes) {
  return attributes.has("precision") && attributes.string("precision") == "bf16";
}

std::vector<Type> infer_contract(const OpContext& context) {
  const ContractSpec spec = parse_contract_spec(context.attributes.string("spec"));
  const Type& a = context.inputs[0];
  const Type& b = context.inputs[1];
  if (a.dtype != b.dtype)
    refuse(context, "contract",
           "needs two tensors of the same element type but got " + type_text(a) + " and " + type_text(b),
           "cast one of them");
  const bool stored_narrow = a.dtype == DType::bf16;
  if (!stored_narrow) check_dtype(context, "contract", 0, Accepts::floats);
  if (multiplies_bf16(context.attributes) && a.dtype != DType::f32)
    refuse(context, "contract", "rounds f32 to bf16 but got " + type_text(a), "leave out 'precision'");
  auto check_rank = [&](const Type& type, const std::string& labels, const char* which) {
    if (type.shape.size() != labels.size())
      refuse(context, "contract",
             "'" + spec.text() + "' names " + std::to_string(labels.size()) + " axes of operand '" + which +
                 "', which is " + type_text(type));
  };
  check_rank(a, spec.a, "a");
  check_rank(b, spec.b, "b");
  for (size_t i = 0; i < spec.a.size(); ++i) {
    const size_t j = spec.b.find(spec.a[i]);
    if (j != std::string::npos && !are_equal(context, a.shape[i], b.shape[j]))
      refuse(context, "contract",
             std::string("axis '") + spec.a[i] + "' of '" + spec.text() + "' is " + a.shape[i].text() + " in " +
                 shape_text(a.shape) + " but " + b.shape[j].text() + " in " + shape_text(b.shape),
             "both extents must be equal; contract does not broadcast");
  }
  Shape shape;
  for (char label : spec.result)
    shape.push_back(spec.in_a(label) ? a.shape[spec.a.find(label)] : b.shape[spec.b.find(label)]);
  return {{stored_narrow ? DType::f32 : a.dtype, std::move(shape)}};
}

// For every index of the result but the last, a row of sums is filled depth by depth: sum[j] += a * b[j].
std::vector<HostTensor> contract_reference(std::span<const HostTensor> inputs, const Attributes& attributes) {
  const ContractSpec spec = parse_contract_spec(attributes.string("spec"));
  HostTensor a = inputs[0], b = inputs[1];
  if (multiplies_bf16(attributes))
    for (HostTensor* operand : {&a, &b})
      for (double& value : operand->data) value = static_cast<double>(bf16_value(bf16_bits_of_normal(static_cast<float>(value))));
  const std::vector<int64_t> a_strides = strides_of(a.shape);
  const std::vector<int64_t> b_strides = strides_of(b.shape);
  auto a_stride = [&](char label) { return spec.in_a(label) ? a_strides[spec.a.find(label)] : 0; };
  auto b_stride = [&](char label) { return spec.in_b(label) ? b_strides[spec.b.find(label)] : 0; };
  auto extent = [&](char label) {
    return spec.in_a(label) ? a.shape[spec.a.find(label)] : b.shape[spec.b.find(label)];
  };

  std::vector<int64_t> result_shape;
  for (char label : spec.result) result_shape.push_back(extent(label));
  std::string depth;
  for (char label : spec.a + spec.b)
    if (!spec.in_result(label) && depth.find(label) == std::string::npos) depth += label;
  std::vector<int64_t> depth_shape;
  std::array<std::vector<int64_t>, 2> depth_strides;
  for (char label : depth) {
    depth_shape.push_back(extent(label));
    depth_strides[0].push_back(a_stride(label));
    depth_strides[1].push_back(b_stride(label));
  }
  HostTensor y = make_tensor(a.dtype == DType::bf16 ? DType::f32 : a.dtype, result_shape);
  std::array<std::vector<int64_t>, 3> strides{strides_of(result_shape), {}, {}};
  for (char label : spec.result) {
    strides[1].push_back(a_stride(label));
    strides[2].push_back(b_stride(label));
  }
  for_each_row<3>(result_shape, strides, [&](auto at, int64_t columns, auto step) {
    double* sum = y.data.data() + at[0];
    for_each_row<2>(depth_shape, depth_strides, [&](auto from, int64_t count, auto depth_step) {
      const double* p = a.data.data() + at[1] + from[0];
      const double* q = b.data.data() + at[2] + from[1];
      for (int64_t k = 0; k < count; ++k, p += depth_step[0], q += depth_step[1]) {
        if (step[1] == 0 && step[2] == 1) {
          const double factor = *p;
          for (int64_t j = 0; j < columns; ++j) sum[j] += factor * q[j];
        } else {
          for (int64_t j = 0; j < columns; ++j) sum[j] += p[j * step[1]] * q[j * step[2]];
        }
      }
    });
  });
  return {std::move(y)};
}

// The gradient of one operand: the other one contracted with dy. Axes that only this operand has were summed away, so
// their gradient repeats along them.
Value operand_gradient(Builder& builder, Value dy, const std::string& result, Value other,
                       const std::string& other_labels, Value operand, const std::string& labels,
                       const std::optional<std::string>& precision) {
  std::string kept;
  Shape ones;
  for (size_t i = 0; i < labels.size(); ++i) {
    const bool repeated =
        result.find(labels[i]) == std::string::npos && other_labels.find(labels[i]) == std::string::npos;
    if (!repeated) kept += labels[i];
    ones.push_back(repeated ? Dim(1) : operand.shape()[i]);
  }
  const Shape shape = operand.shape();
  Attributes attributes{{"spec", result + "," + other_labels + "->" + kept}};
  if (precision) attributes.set("precision", *precision);
  const Value gradient = builder.call("contract", {dy, other}, std::move(attributes));
  return builder.broadcast_to(builder.reshape(gradient, ones), shape);
}

}  // namespace

std::vector<Op> contraction_ops() {
  Op op;
  op.name = "contract";
  op.family = OpFamily::contraction;
  op.doc =
      "y = sum of products over named axes (einsum): labels that the result lacks are summed, labels that both "
      "operands "
      "and the result have are batch axes.  'ab,bc->ac' is the matrix product; no broadcasting, equal extents.  a, b: "
      "floating-point numbers, or both bf16 and y f32. With precision 'bf16', a and b are rounded to it first, the sums are f32, "
      "and so are gradients.";
  op.inputs = {{.name = "a"}, {.name = "b"}};
  op.attributes = {{.name = "spec", .type = AttributeType::string, .doc = "'ab,bc->ac': one letter per axis"},
                   {.name = "precision",
                    .type = AttributeType::string,
                    .optional = true,
                    .choices = {"bf16"},
                    .doc = "to which operands are rounded, if not as they are"}};
  op.infer = infer_contract;
  op.reference = contract_reference;
  op.gradient = [](const GradientContext& context) -> std::vector<Value> {
    const ContractSpec spec = parse_contract_spec(context.attributes.string("spec"));
    const Value dy = context.output_gradients[0];
    const Value a = context.inputs[0];
    const Value b = context.inputs[1];
    std::optional<std::string> precision;
    if (context.attributes.has("precision")) precision = context.attributes.string("precision");
    return {operand_gradient(context.builder, dy, spec.result, b, spec.b, a, spec.a, precision),
            operand_gradient(context.builder, dy, spec.result, a, spec.a, b, spec.b, precision)};
  };
  auto example = [](std::vector<int64_t> a, std::vector<int64_t> b, const char* spec) {
    return Example{.inputs = {{.shape = std::move(a)}, {.shape = std::move(b)}}, .attributes = {{"spec", spec}}};
  };
  op.examples = {
      example({7, 33}, {33, 19}, "ab,bc->ac"),
      example({1, 5}, {5, 1}, "ab,bc->ac"),
      example({32, 24}, {24, 64}, "ab,bc->ac"),
      example({7, 5}, {9, 5}, "ab,cb->ac"),
      example({5, 7}, {5, 9}, "ab,ac->bc"),
      example({5, 7}, {5, 9}, "ab,ac->cb"),
      example({3, 4, 5}, {3, 5, 6}, "nab,nbc->nac"),
      example({2, 3, 4, 5}, {2, 3, 6, 5}, "nhqd,nhkd->nhqk"),
      example({3, 4, 5}, {5, 6}, "btc,cu->btu"),
      example({3, 4, 5}, {3, 4, 6}, "btc,btu->cu"),
      example({17}, {17}, "a,a->"),
      example({17}, {3}, "a,b->ab"),
      example({}, {4}, ",a->a"),
      example({}, {}, ",->"),
      example({3, 4}, {5}, "ab,c->c"),
      example({3, 4}, {4, 5}, "ab,bc->b"),
      example({6}, {6}, "a,a->a"),
  };
  for (auto [rows, depth, columns] : {std::array<int64_t, 3>{7, 33, 19}, {1, 5, 64}, {32, 24, 64}, {17, 1, 3}, {5, 2, 1}})
    for (DType dtype : {DType::f32, DType::bf16}) {
      Example e = example({rows, depth}, {depth, columns}, "ab,bc->ac");
      for (Example::Tensor& x : e.inputs) x.dtype = dtype;
      if (dtype == DType::f32) e.attributes.set("precision", "bf16");
      e.differentiable = false;  // by small steps: rounding hides them
      op.examples.push_back(std::move(e));
    }
  return {std::move(op)};
}

}  // namespace moru
