#include "compiler/ops/layer.h"

#include <algorithm>

#include "compiler/ops/names.h"
#include "compiler/support/error.h"

namespace moru {

bool has_input(const OpContext& context, size_t index) {
  return index < context.inputs.size() && context.present[index];
}

Value find_input(std::span<const Value> inputs, size_t index) { return index < inputs.size() ? inputs[index] : Value{}; }

const HostTensor* find_input(std::span<const HostTensor> inputs, size_t index) {
  if (index >= inputs.size()) return nullptr;
  const HostTensor& tensor = inputs[index];
  return tensor.shape.empty() && tensor.data.empty() ? nullptr : &tensor;
}

bool is_supplied(std::string_view input) {
  constexpr std::string_view names[] = {"seed", "step", "mask", "query_mask", "value_mask", "key_mask"};
  return std::ranges::find(names, input) != std::end(names);
}

std::optional<size_t> mask_owner(const Op& op, std::string_view input) {
  if (input == "mask") return 0;
  size_t tensor = 0;
  for (const InputSpec& spec : op.inputs) {
    if (is_supplied(spec.name)) continue;
    if (std::string(spec.name) + "_mask" == input) return tensor;
    ++tensor;
  }
  return std::nullopt;
}

std::vector<InputPlace> place_inputs(const Op& op, size_t tensors, std::span<const std::string> parameters) {
  std::vector<InputPlace> places;
  size_t next = 0;
  bool behind_tensors = false;
  for (size_t i = 0; i < op.inputs.size(); ++i) {
    const InputSpec& spec = op.inputs[i];
    const auto parameter = std::find(parameters.begin(), parameters.end(), spec.name);
    const bool is_parameter = spec.parameter || parameter != parameters.end();
    behind_tensors |= is_parameter;
    if (spec.variadic) {
      while (next < tensors) places.push_back({InputKind::tensor, next++});
      for (size_t k = 0; k < parameters.size(); ++k) places.push_back({InputKind::parameter, k});
    } else if (parameter != parameters.end()) {
      places.push_back({InputKind::parameter, static_cast<size_t>(parameter - parameters.begin())});
    } else if (is_supplied(spec.name)) {
      places.push_back({InputKind::supplied, i});
    } else if (!behind_tensors && next < tensors) {
      places.push_back({InputKind::tensor, next++});
    } else {
      places.push_back({});
    }
  }
  return places;
}

std::vector<Value> keep_mask(const MaskContext& context) { return {context.masks[0]}; }

InputSpec mask_input() { return {.name = "mask", .optional = true}; }

void check_step_mask(const OpContext& context, const Op& op, size_t index) {
  if (!has_input(context, index)) return;
  const Type &x = context.inputs[0], &mask = context.inputs[index];
  const Shape steps(x.shape.begin(), x.shape.begin() + std::min<std::ptrdiff_t>(2, std::ssize(x.shape)));
  if (!are_equal(context, steps, mask.shape))
    fail(context, op, "needs a mask " + shape_text(steps) + ", one value for each step, but got " + shape_text(mask.shape));
}

Value mask_like(Value mask, Value x) {
  Shape shape = mask.shape();
  shape.resize(std::max(x.rank(), shape.size()), Dim(1));
  return mask.builder->reshape(mask.builder->cast(mask, DType::boolean), shape);
}

void check_parameters(const OpContext& context, const Op& op) {
  for (const ParameterSpec& parameter : op.parameters(context)) {
    auto spec = std::find_if(op.inputs.begin(), op.inputs.end(), [&](const InputSpec& s) { return s.name == parameter.name; });
    if (spec == op.inputs.end()) continue;
    auto index = static_cast<size_t>(spec - op.inputs.begin());
    if (has_input(context, index) && context.inputs[index].shape != parameter.shape)
      fail(context, op, "its parameter '" + parameter.name + "' must be " + shape_text(parameter.shape) + " but is " +
                            shape_text(context.inputs[index].shape));
  }
}

void unsupported(const OpContext& context, const Op& op, const std::string& what, std::string hint) {
  fail(context, op, what + " is unsupported", std::move(hint));
}

void refuse_attributes(const OpContext& context, const Op& op, std::initializer_list<std::string_view> names) {
  for (std::string_view name : names) {
    const AttributeValue* given = context.attributes.find(name);
    if (!given || given->is_none()) continue;
    const auto* flag = std::get_if<bool>(&given->value);
    const auto* integer = std::get_if<int64_t>(&given->value);
    const auto* real = std::get_if<double>(&given->value);
    if ((flag && !*flag) || (integer && *integer == 0) || (real && *real == 0.0)) continue;
    std::string text = flag ? "=true" : "";
    unsupported(context, op, std::string(name) + text, "leave '" + std::string(name) + "' at its default");
  }
}

namespace {

struct ResolvedActivation {
  std::string op;
  Attributes attributes;
};

ResolvedActivation resolve_activation(const AttributeValue& activation) {
  if (const auto* name = std::get_if<std::string>(&activation.value)) return {activation_op_for(*name), {}};
  if (const auto* nested = std::get_if<AttributeValue::Nested>(&activation.value)) {
    std::string name = (*nested)->has("class") ? (*nested)->string("class") : "";
    ResolvedActivation resolved{activation_op_for(name), **nested};
    resolved.attributes.erase("class");
    return resolved;
  }
  return {"linear", {}};
}

ResolvedActivation checked_activation(const OpContext& context, const Op& op, std::string_view attribute) {
  const AttributeValue* activation = context.attributes.find(attribute);
  if (!activation || activation->is_none()) return {"linear", {}};
  ResolvedActivation resolved;
  try {
    resolved = resolve_activation(*activation);
  } catch (const CompileError& error) {
    fail(context, op, "attribute '" + std::string(attribute) + "': " + error.parts().what, error.parts().hint);
  }
  resolved.attributes = check_attributes(get_op(resolved.op), resolved.attributes, context.node);
  return resolved;
}

}  // namespace

void check_activation(const OpContext& context, const Op& op, std::string_view attribute) {
  if (checked_activation(context, op, attribute).op == "glu")
    fail(context, op, "attribute '" + std::string(attribute) + "' is glu, which halves an axis",
         "put a layer Activation with glu behind this one");
}

Type activation_type(const OpContext& context, const Op& op, std::string_view attribute, const Type& x) {
  const ResolvedActivation resolved = checked_activation(context, op, attribute);
  const bool present[] = {true};
  return infer_node(get_op(resolved.op), {&x, 1}, present, resolved.attributes, {}, context.node).at(0);
}

Value apply_activation(Value x, const AttributeValue& activation) {
  ResolvedActivation resolved = resolve_activation(activation);
  if (resolved.op == "linear") return x;
  return x.builder->call(resolved.op, {x}, resolved.attributes);
}

HostTensor activation_reference(HostTensor x, const AttributeValue& activation) {
  ResolvedActivation resolved = resolve_activation(activation);
  const Op& op = get_op(resolved.op);
  if (op.reference) return op.reference({&x, 1}, check_attributes(op, resolved.attributes, {})).at(0);
  for (double& element : x.data) element = op.scalar({&element, 1});
  return x;
}

size_t checked_axis(const OpContext& context, const Op& op, int64_t axis, size_t rank) {
  auto signed_rank = static_cast<int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank)
    fail(context, op, "axis is " + std::to_string(axis) + " but the input " + shape_text(context.inputs[0].shape) +
                          " has " + std::to_string(rank) + (rank == 1 ? " axis" : " axes"),
         "use an axis from " + std::to_string(-signed_rank) + " to " + std::to_string(signed_rank - 1));
  return static_cast<size_t>(axis < 0 ? axis + signed_rank : axis);
}

DType float_dtype(DType dtype) { return is_float(dtype) ? dtype : DType::f32; }

Value to_float(Value x) { return x.builder->cast(x, float_dtype(x.type().dtype)); }

std::string shapes_text(std::span<const Type> types) {
  std::string text;
  for (size_t i = 0; i < types.size(); ++i) {
    if (i > 0) text += i + 1 == types.size() ? " and " : ", ";
    text += shape_text(types[i].shape);
  }
  return text;
}

AttributeValue initializer_of(const Attributes& attributes, std::string_view name) {
  const AttributeValue* given = attributes.find(name);
  check_internal(given != nullptr, "a layer's initializer has no default");
  if (const auto* text = std::get_if<std::string>(&given->value)) return Attributes{{"class", *text}};
  return *given;
}

AttributeValue regularizer_of(const Attributes& attributes, std::string_view name) {
  const AttributeValue* given = attributes.find(name);
  return given ? *given : AttributeValue();
}

}  // namespace moru
