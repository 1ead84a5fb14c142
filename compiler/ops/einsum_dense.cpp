// EinsumDense: a dense layer whose product is written down as an equation, "abc,cd->abd".
#include <algorithm>

#include "compiler/ops/contraction.h"
#include "compiler/ops/layer.h"
#include "compiler/ops/tensor_loops.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using T = AttributeType;

/// The equation for an input of one rank: letters in place of the dots.
struct Equation {
  std::string x, kernel, y;
  size_t leading = 0, trailing = 0;  // letters of y that stand for dots, in front or behind
};

constexpr std::string_view hint = "write it as \"abc,cd->abd\", \"...x,xy->...y\" or \"ab...,bc->ac...\"";

Equation parse_equation(const OpContext& context, const Op& op, size_t rank) {
  std::string text;
  for (char c : context.attributes.string("equation"))
    if (c != ' ') text += c;
  auto bad = [&](const std::string& why) {
    fail(context, op, "attribute 'equation' is '" + text + "', " + why, std::string(hint));
  };
  const size_t comma = text.find(','), arrow = text.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || arrow < comma)
    bad("which is no equation of two operands");
  Equation e;
  e.x = text.substr(0, comma);
  e.kernel = text.substr(comma + 1, arrow - comma - 1);
  e.y = text.substr(arrow + 2);
  constexpr std::string_view dots = "...";
  const bool front = e.x.starts_with(dots) && e.y.starts_with(dots), back = e.x.ends_with(dots) && e.y.ends_with(dots);
  if ((front || back) && e.x.size() >= 3) {
    const size_t named = e.x.size() - dots.size();
    if (rank < named) bad("but its input has only " + std::to_string(rank) + " axes");
    std::string more;
    for (char label = 'Z'; more.size() < rank - named && label >= 'A'; --label)
      if (text.find(label) == std::string::npos) more = label + more;
    (front ? e.leading : e.trailing) = more.size();
    for (std::string* side : {&e.x, &e.y}) side->replace(front ? 0 : side->size() - dots.size(), dots.size(), more);
  }
  try {
    parse_contract_spec(e.x + "," + e.kernel + "->" + e.y);
  } catch (const CompileError& error) {
    bad(error.parts().what);
  }
  if (e.x.size() != rank)
    bad("which names " + std::to_string(e.x.size()) + " axes of its input, but that is " +
        shape_text(context.inputs[0].shape));
  return e;
}

struct Plan {
  Equation equation;
  Shape kernel, bias, y;
};

Plan plan_of(const OpContext& context, const Op& op) {
  const Attributes& a = context.attributes;
  const Shape& x = context.inputs[0].shape;
  Plan plan;
  plan.equation = parse_equation(context, op, x.size());
  const Equation& e = plan.equation;
  // What output_shape says, behind the batch and without the axes that dots stand for; -1 is open.
  const Integers& given = a.integers("output_shape");
  const size_t named = e.y.size() - e.leading - e.trailing - (e.leading > 0 ? 0 : 1);
  if (given.size() != named)
    fail(context, op,
         "attribute 'output_shape' has " + std::to_string(given.size()) + " extents but the equation names " +
             std::to_string(named) + " axes of the output behind the batch");
  auto extent_of = [&](char label) -> std::optional<Dim> {
    if (size_t at = e.x.find(label); at != std::string::npos) return x[at];
    const size_t at = e.y.find(label), first = e.leading > 0 ? e.leading : 1;
    if (at == std::string::npos || at < first || at - first >= given.size() || given[at - first] < 0)
      return std::nullopt;
    return Dim(given[at - first]);
  };
  auto known = [&](char label) {
    const std::optional<Dim> extent = extent_of(label);
    if (!extent)
      fail(context, op, std::string("cannot tell the extent of axis '") + label + "' of its equation",
           "give it in output_shape");
    return *extent;
  };
  for (char label : e.kernel) {
    plan.kernel.push_back(known(label));
    if (!plan.kernel.back().is_constant())
      fail(context, op, std::string("needs a known extent on axis '") + label + "' but got " + shape_text(x));
  }
  for (size_t i = 0; i < e.y.size(); ++i) {
    plan.y.push_back(known(e.y[i]));
    const size_t first = e.leading > 0 ? e.leading : 1;
    if (i >= first && i - first < given.size() && given[i - first] >= 0 && !plan.y.back().is_constant(given[i - first]))
      fail(context, op,
           std::string("output_shape says ") + std::to_string(given[i - first]) + " for axis '" + e.y[i] +
               "', which is " + plan.y.back().text());
  }
  if (!a.has("bias_axes") || a.string("bias_axes").empty()) return plan;
  const std::string& axes = a.string("bias_axes");
  size_t first = e.y.size();
  for (char label : axes) {
    const size_t at = e.y.find(label);
    if (at == std::string::npos)
      fail(context, op, std::string("bias_axes name '") + label + "', which is no axis of the output '" + e.y + "'");
    first = std::min(first, at);
  }
  for (size_t i = first; i < e.y.size(); ++i) {
    plan.bias.push_back(axes.find(e.y[i]) == std::string::npos ? Dim(1) : plan.y[i]);
    if (!plan.bias.back().is_constant())
      fail(context, op, "needs known extents on its bias_axes but got " + shape_text(plan.y));
  }
  return plan;
}

std::vector<HostTensor> einsum_reference(std::span<const HostTensor> inputs, const Attributes& a) {
  const HostTensor &x = inputs[0], &kernel = inputs[1];
  std::vector<Type> types = {{x.dtype, Shape(x.shape.begin(), x.shape.end())}};
  const bool present[] = {true};
  const Plan plan = plan_of({types, present, a, {}, {}}, get_op("einsum_dense"));
  const Equation& e = plan.equation;
  // Every combination of extents of all labels adds one product to one element.
  const std::string labels = [&] {
    std::string all = e.y;
    for (char label : e.x + e.kernel)
      if (all.find(label) == std::string::npos) all += label;
    return all;
  }();
  Integers extents;
  for (char label : labels) {
    const size_t in_x = e.x.find(label);
    extents.push_back(in_x != std::string::npos ? x.shape[in_x] : kernel.shape[e.kernel.find(label)]);
  }
  HostTensor y = make_tensor(float_dtype(x.dtype),
                             Integers(extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(e.y.size())));
  auto strides_in = [&](const std::string& side, const std::vector<int64_t>& shape) {
    const std::vector<int64_t> own = strides_of(shape);
    Integers strides;
    for (char label : labels) strides.push_back(side.find(label) == std::string::npos ? 0 : own[side.find(label)]);
    return strides;
  };
  const Integers to_x = strides_in(e.x, x.shape), to_kernel = strides_in(e.kernel, kernel.shape),
                 to_y = strides_in(e.y, y.shape);
  for (int64_t i = 0; i < element_count(extents); ++i) {
    int64_t rest = i, at_x = 0, at_kernel = 0, at_y = 0;
    for (size_t axis = extents.size(); axis-- > 0; rest /= extents[axis]) {
      const int64_t index = rest % extents[axis];
      at_x += index * to_x[axis];
      at_kernel += index * to_kernel[axis];
      at_y += index * to_y[axis];
    }
    y.data[static_cast<size_t>(at_y)] +=
        x.data[static_cast<size_t>(at_x)] * kernel.data[static_cast<size_t>(at_kernel)];
  }
  if (const HostTensor* bias = find_input(inputs, 2)) {
    const std::vector<int64_t> strides = strides_of(y.shape), to_bias = broadcast_strides(bias->shape, y.shape);
    for (size_t i = 0; i < y.data.size(); ++i) {
      int64_t at = 0;
      for (size_t axis = 0; axis < y.shape.size(); ++axis)
        at += static_cast<int64_t>(i) / strides[axis] % y.shape[axis] * to_bias[axis];
      y.data[i] += bias->data[static_cast<size_t>(at)];
    }
  }
  return {activation_reference(y, *a.find("activation"))};
}

}  // namespace

std::vector<Op> einsum_dense_ops() {
  return {{
      .name = "einsum_dense",
      .family = OpFamily::layer,
      .doc = "y = activation(einsum(equation, x, kernel) + bias).   x: [batch, ...]   kernel, bias: the extents of "
             "their axes in "
             "the equation, from x or output_shape",
      .class_name = "EinsumDense",
      .inputs = {{"x"}, {.name = "kernel", .parameter = true}, {.name = "bias", .optional = true, .parameter = true}},
      .attributes =
          {{.name = "equation", .type = T::string, .doc = "\"abc,cd->abd\"; dots stand for any axes"},
           {.name = "output_shape", .type = T::integers, .least = -1, .doc = "behind the batch; -1 is as in x", .keras_list = KerasList::open},
           {.name = "activation", .type = T::activation, .default_value = "linear"},
           {.name = "bias_axes", .type = T::string, .optional = true, .doc = "axes of the output with a bias: \"d\""},
           {.name = "kernel_initializer", .type = T::initializer, .default_value = "glorot_uniform"},
           {.name = "bias_initializer", .type = T::initializer, .default_value = "zeros"},
           {.name = "kernel_regularizer", .type = T::regularizer, .optional = true},
           {.name = "bias_regularizer", .type = T::regularizer, .optional = true},
           {.name = "activity_regularizer", .type = T::regularizer, .optional = true},
           {.name = "kernel_constraint", .type = T::constraint, .optional = true},
           {.name = "bias_constraint", .type = T::constraint, .optional = true}},
      .infer = [](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op("einsum_dense");
        check_activation(context, op, "activation");
        const Plan plan = plan_of(context, op);
        check_parameters(context, op);
        return {{float_dtype(context.inputs[0].dtype), plan.y}};
      },
      .parameters = [](const OpContext& context) -> std::vector<ParameterSpec> {
        const Attributes& a = context.attributes;
        const Plan plan = plan_of(context, get_op("einsum_dense"));
        std::vector<ParameterSpec> parameters = {{.name = "kernel",
                                                  .shape = plan.kernel,
                                                  .initializer = initializer_of(a, "kernel_initializer"),
                                                  .regularizer = regularizer_of(a, "kernel_regularizer")}};
        if (!plan.bias.empty())
          parameters.push_back({.name = "bias",
                                .shape = plan.bias,
                                .initializer = initializer_of(a, "bias_initializer"),
                                .regularizer = regularizer_of(a, "bias_regularizer")});
        return parameters;
      },
      .reference = einsum_reference,
      .expand = [](Builder& b, std::span<const Value> inputs, const Attributes& a) -> std::vector<Value> {
        const Value x = to_float(inputs[0]);
        const Type type = x.type();
        const bool present[] = {true};
        const Plan plan = plan_of({{&type, 1}, present, a, {}, b.origin()}, get_op("einsum_dense"));
        Value y = b.contract(x, inputs[1], plan.equation.x + "," + plan.equation.kernel + "->" + plan.equation.y);
        if (Value bias = find_input(inputs, 2)) y = y + bias;
        return {apply_activation(y, *a.find("activation"))};
      },
      .examples =
          {{.inputs = {{{5, 7}}},
            .attributes = {{"equation", "ab,bc->ac"}, {"output_shape", Integers{3}}, {"bias_axes", "c"}}},
           {.inputs = {{{2, 3, 17}}},
            .attributes = {{"equation", "...x,xy->...y"},
                           {"output_shape", Integers{5}},
                           {"bias_axes", "y"},
                           {"activation", "tanh"}}},
           {.inputs = {{{2, 3, 4, 5}}},
            .attributes = {{"equation", "ab...,bc->ac..."}, {"output_shape", Integers{6}}, {"bias_axes", "c"}}},
           {.inputs = {{{2, 3, 6}}},
            .attributes = {{"equation", "abc,cde->abde"}, {"output_shape", Integers{-1, 2, 4}}, {"bias_axes", "de"}}},
           {.inputs = {{{2, 3, 4, 5}}},
            .attributes = {{"equation", "abcd,cde->abe"}, {"output_shape", Integers{3, 7}}}},
           {.inputs = {{{2, 3, 4}}},
            .attributes = {{"equation", "abc,bd->acd"}, {"output_shape", Integers{4, 5}}, {"bias_axes", "c"}}}},
  }};
}

}  // namespace moru
