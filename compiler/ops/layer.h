// What the entries of layers share: the inputs they may leave out, their activation, the checks users see.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/ops/op.h"

namespace moru {

// Inputs. A layer's tensors come first, in the order of `Op::inputs`; a parameter takes the place of the input of its
// name. Where the last input is variadic (wrappers, optimizers), parameters follow the tensors without gaps.
bool has_input(const OpContext& context, size_t index);
Value find_input(std::span<const Value> inputs, size_t index);                        // no value where it is absent
const HostTensor* find_input(std::span<const HostTensor> inputs, size_t index);       // nullptr where it is absent

/// What fills each of a layer's inputs, in the order of its op: tensors that it is called on, its parameters, and what
/// passes/make_entries supplies in neither's name: "seed" and "step" (training only), and masks: "mask" is that of the
/// first tensor, "query_mask" that of the input "query", unless the call gives one by that name.
enum class InputKind : uint8_t { absent, tensor, parameter, supplied };
struct InputPlace {
  InputKind kind = InputKind::absent;
  size_t index = 0;  // among the tensors, the parameters or Op::inputs
};
bool is_supplied(std::string_view input);
/// Tensors that find no place are left out; a variadic input takes all that are left, then all parameters.
std::vector<InputPlace> place_inputs(const Op& op, size_t tensors, std::span<const std::string> parameters);

/// The inputs themselves, from items of any kind; `supply(name)` may return an empty one.
template <typename Item, typename Supply>
std::vector<Item> placed_inputs(const Op& op, std::span<const Item> tensors, std::span<const std::string> names,
                                std::span<const Item> parameters, Supply supply) {
  std::vector<Item> inputs;
  for (const InputPlace& place : place_inputs(op, tensors.size(), names))
    inputs.push_back(place.kind == InputKind::tensor      ? tensors[place.index]
                     : place.kind == InputKind::parameter ? parameters[place.index]
                     : place.kind == InputKind::supplied  ? supply(op.inputs[place.index].name)
                                                              : Item{});
  return inputs;
}

/// Which of the tensors the mask input `input` is the mask of: 0 for "mask"; nullopt where it belongs to none.
std::optional<size_t> mask_owner(const Op& op, std::string_view input);

/// The masks that a call's tensors bring, and what it gives by keyword: masks too, or nothing in place of one. An Item is
/// a Value or a std::optional<Type>.
template <typename Item>
struct CallMasks {
  std::vector<Item> of_tensors;
  std::vector<std::pair<std::string, Item>> keywords = {};

  /// What the layer's input `input` gets.
  Item find(const Op& op, std::string_view input) const {
    for (const auto& [name, item] : keywords)
      if (name == input) return item;
    const std::optional<size_t> owner = mask_owner(op, input);
    return owner && *owner < of_tensors.size() ? of_tensors[*owner] : Item{};
  }
  /// What Op::mask sees: a mask that is given takes the place of the tensor's own.
  std::vector<Item> seen(const Op& op) const {
    std::vector<Item> masks = of_tensors;
    for (const auto& [name, item] : keywords)
      if (const std::optional<size_t> owner = mask_owner(op, name); item && owner && *owner < masks.size())
        masks[*owner] = item;
    return masks;
  }
};

/// Op::mask of layers that leave a mask as it is.
std::vector<Value> keep_mask(const MaskContext& context);
/// The input `mask`, and its check: one value for each step of x, [batch, time] for [batch, time, ...].
InputSpec mask_input();
void check_step_mask(const OpContext& context, const Op& op, size_t index);
/// 1 where the mask says so, of the rank of x: for [batch, time], [batch, time, 1, ...].
Value mask_like(Value mask, Value x);

/// Fails unless every parameter that is among the inputs has the shape that `parameters` says.
void check_parameters(const OpContext& context, const Op& op);

/// Fails with "<what> is unsupported".
[[noreturn]] void unsupported(const OpContext& context, const Op& op, const std::string& what, std::string hint = {});
/// Fails as unsupported for each of `names` that is given (optional attributes) or not false or 0 (the others).
void refuse_attributes(const OpContext& context, const Op& op, std::initializer_list<std::string_view> names);

/// Fails unless the attribute names an activation that keeps shapes: "relu", "softmax" or {class="LeakyReLU",
/// negative_slope=0.2}.
void check_activation(const OpContext& context, const Op& op, std::string_view attribute);
/// What the activation makes of x; fails as check_activation.
Type activation_type(const OpContext& context, const Op& op, std::string_view attribute, const Type& x);
/// y = activation(x), of the shape of x, for what check_activation lets through; none leaves x as it is.
Value apply_activation(Value x, const AttributeValue& activation);
/// The same by the op's reference, in doubles rounded to the dtype of x.
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
