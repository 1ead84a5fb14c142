// What the entries of layers share: the inputs they may leave out, their activation, the checks users see.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

// Inputs. A layer's tensors come first, in the order of `Op::inputs`; a parameter takes the place of the input of its
// name. Where the last input is variadic (wrappers, optimizers), parameters follow the tensors without gaps.
bool has_input(const OpContext& context, size_t index);
Value find_input(std::span<const Value> inputs, size_t index);                        // no value where it is absent
const HostTensor* find_input(std::span<const HostTensor> inputs, size_t index);       // nullptr where it is absent

/// Fails unless every parameter that is among the inputs has the shape that `parameters` says.
void check_parameters(const OpContext& context, const Op& op);

/// Fails with "<what> is unsupported".
[[noreturn]] void unsupported(const OpContext& context, const Op& op, const std::string& what, std::string hint = {});
/// Fails as unsupported for each of `names` that is given (optional attributes) or not false or 0 (the others).
void refuse_attributes(const OpContext& context, const Op& op, std::initializer_list<std::string_view> names);

/// Fails unless the attribute names an activation: "relu", "softmax" or {class="LeakyReLU", negative_slope=0.2}.
void check_activation(const OpContext& context, const Op& op, std::string_view attribute);
Value apply_activation(Value x, const AttributeValue& activation);
HostTensor activation_reference(HostTensor x, const AttributeValue& activation);

/// Axis counted from the front; fails where x has no such axis.
size_t checked_axis(const OpContext& context, const Op& op, int64_t axis, size_t rank);

/// The float type that a layer computes in: that of x, f32 for integers and booleans.
DType float_dtype(DType dtype);
/// x as a float value.
Value to_float(Value x);

std::string shapes_text(std::span<const Type> types);                                 // "[batch, 2] and [batch, 3]"

/// The nested attributes of an initializer: {class="GlorotUniform"} for "glorot_uniform" and for itself.
AttributeValue initializer_of(const Attributes& attributes, std::string_view name);
/// The regularizer, or none.
AttributeValue regularizer_of(const Attributes& attributes, std::string_view name);

}  // namespace moru
