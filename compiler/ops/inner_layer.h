// The layer inside a wrapper. Its attributes are nested under one of the wrapper's ("layer"), with its Keras class under
// "class"; its parameters belong to the wrapper, with a prefix.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ops/layer.h"

namespace moru {

struct InnerLayer {
  const Op* op = nullptr;
  Attributes attributes;  // checked
};

/// The layer under `attribute` of the wrapper's attributes. Throws CompileError where its class is unknown.
InnerLayer resolve_inner(const Attributes& wrapper, std::string_view attribute, std::string_view node);

/// Its parameters for these inputs, named with the prefix.
std::vector<ParameterSpec> inner_parameters(const InnerLayer& inner, std::span<const Type> tensors, std::string_view node,
                                            const std::string& prefix);
std::vector<std::string> names_of(const std::vector<ParameterSpec>& parameters);

/// What a wrapper hands on beside tensors and parameters.
template <typename Item>
struct Supplied {
  Item mask, seed, step;
};

/// The inner op's inputs, each in the place of its name (ops/layer.h).
template <typename Item>
std::vector<Item> placed(const InnerLayer& inner, std::span<const Item> tensors, const Supplied<Item>& supplied,
                         std::span<const std::string> names, std::span<const Item> parameters) {
  return placed_inputs<Item>(*inner.op, tensors, names, parameters, [&](std::string_view name) {
    return name == "mask" ? supplied.mask : name == "seed" ? supplied.seed : name == "step" ? supplied.step : Item{};
  });
}

bool takes_mask(const InnerLayer& inner);

/// Infers the inner layer from its tensors and their mask alone, so that its messages are about what the user gave.
std::vector<Type> infer_inner(const InnerLayer& inner, std::span<const Type> tensors, std::string_view node,
                              const std::optional<Type>& mask = {});

std::vector<Type> types_of(std::span<const HostTensor> tensors);

/// Ops of wrappers in files of their own: part of wrapper_ops().
Op spectral_normalization();

}  // namespace moru
