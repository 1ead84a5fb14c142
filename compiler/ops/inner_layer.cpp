#include "compiler/ops/inner_layer.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace moru {

InnerLayer resolve_inner(const Attributes& wrapper, std::string_view attribute, std::string_view node) {
  Attributes nested = wrapper.nested(attribute);
  std::string class_name = nested.has("class") ? nested.string("class") : "";
  const Op* op = find_layer(class_name);
  if (!op)
    throw CompileError({.stage = "infer_shapes",
                        .node = std::string(node),
                        .op = {},
                        .what = "wraps a layer of the class '" + class_name + "', which is unsupported",
                        .detail = {},
                        .hint = {}});
  for (std::string_view name : {"class", "name", "trainable", "dtype"})
    if (std::none_of(op->attributes.begin(), op->attributes.end(), [&](const AttributeSpec& s) { return s.name == name; }))
      nested.erase(name);
  return {op, check_attributes(*op, std::move(nested), node)};
}

std::vector<ParameterSpec> inner_parameters(const InnerLayer& inner, std::span<const Type> tensors, std::string_view node,
                                            const std::string& prefix) {
  if (!inner.op->parameters) return {};
  std::vector<char> present(tensors.size(), 1);
  OpContext context{tensors, {reinterpret_cast<const bool*>(present.data()), present.size()}, inner.attributes, {}, node};
  std::vector<ParameterSpec> parameters = inner.op->parameters(context);
  for (ParameterSpec& parameter : parameters) parameter.name = prefix + parameter.name;
  return parameters;
}

std::vector<std::string> names_of(const std::vector<ParameterSpec>& parameters) {
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : parameters) names.push_back(parameter.name);
  return names;
}

bool takes_mask(const InnerLayer& inner) {
  return std::ranges::any_of(inner.op->inputs, [](const InputSpec& input) { return input.name == "mask"; });
}

std::vector<Type> infer_inner(const InnerLayer& inner, std::span<const Type> tensors, std::string_view node,
                              const std::optional<Type>& mask) {
  using Given = std::optional<Type>;
  const std::vector<Given> given(tensors.begin(), tensors.end());
  std::vector<Type> inputs;
  std::vector<char> present;
  for (const Given& input : placed<Given>(inner, given, {.mask = mask, .seed = {}, .step = {}}, {}, {})) {
    inputs.push_back(input.value_or(Type{}));
    present.push_back(input.has_value());
  }
  while (!present.empty() && !present.back()) inputs.pop_back(), present.pop_back();
  OpContext context{inputs, {reinterpret_cast<const bool*>(present.data()), present.size()}, inner.attributes, {}, node};
  return inner.op->infer(context);
}

std::vector<Type> types_of(std::span<const HostTensor> tensors) {
  std::vector<Type> types;
  for (const HostTensor& tensor : tensors) types.push_back({tensor.dtype, Shape(tensor.shape.begin(), tensor.shape.end())});
  return types;
}

}  // namespace moru
