// Type inference over a model: what each layer answers with, and which weights it needs. Used while a model is drawn,
// for nested models at each of their calls, and after reading a file, where it is the semantic check of the whole
// model.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compiler/model/model.h"
#include "compiler/ops/layer.h"

namespace moru {

/// Where a layer's input comes from, in words: "the output of 'lstm_1', which returns only its last step".
struct InputSource {
  std::string text;
  std::string last_step_of;  // the recurrent layer that could return the whole sequence, if that is what this is
  std::string model_input;   // the name of the model's input, if that is what this is
};
InputSource describe_source(const Model& model, TensorRef ref);

/// Types of tensors and of the masks that go with them; an empty list of masks means that there are none.
using MaskTypes = std::vector<std::optional<Type>>;
struct MaskedTypes {
  std::vector<Type> types;
  MaskTypes masks = {};
};

struct LayerTypes {
  std::vector<Type> outputs;
  std::vector<ParameterSpec> parameters;  // of this layer itself; a submodel's are its own layers'
  MaskTypes masks = {};                   // of the outputs
};

/// Infers what `layer` answers with for inputs of these types. Where the layer has parameters already they are checked
/// against those it needs for these inputs. Throws CompileError under the name `node`, saying where the inputs come
/// from.
LayerTypes infer_layer(const Layer& layer, const std::string& node, std::span<const Type> inputs,
                       const CallMasks<std::optional<Type>>& masks = {}, std::span<const InputSource> sources = {});

/// The masks and keyword tensors of a call, by the types of the nodes before it (`at` gives those of one tensor).
template <typename At>
CallMasks<std::optional<Type>> call_masks(const ModelNode& node, At at) {
  CallMasks<std::optional<Type>> masks;
  for (const TensorRef& ref : node.inputs) masks.of_tensors.push_back(at(ref).second);
  for (const KeywordTensor& keyword : node.keywords)
    masks.keywords.emplace_back(keyword.name, keyword.tensor ? std::optional(at(*keyword.tensor).first) : std::nullopt);
  return masks;
}

/// The types of the model's outputs for inputs of these types; where `nodes` is given it receives every node's types.
/// Throws CompileError under the name `node` where the inputs are not what the model was made for.
MaskedTypes infer_model(const Model& model, const std::string& node, const MaskedTypes& inputs,
                        std::vector<MaskedTypes>* nodes = nullptr);

/// Infers the types and masks of all nodes again, after a layer's attributes were changed; a layer without weights gets those
/// that it needs, without values. Throws CompileError where what comes behind the layer does not take what it makes now.
void infer_again(Model& model);

/// The graph of a layer that is drawn as one, for inputs of these types: symbols that it was drawn with take their
/// extents. Throws CompileError under the name `node` where the types are others.
Graph body_for(const Layer& layer, const std::string& node, std::span<const Type> inputs);

/// The type of an InputLayer: from its attributes {dtype="f32", shape=[batch, 24, 16]}.
Type input_layer_type(const Layer& layer);
Attributes input_layer_attributes(const Type& type);

constexpr int64_t most_weight_elements = int64_t{1} << 40;  // of one weight: no memory holds more

std::vector<Parameter> make_parameters(const std::vector<ParameterSpec>& specs, const Layer& layer);

bool is_model_class(std::string_view class_name);  // "Functional", "Sequential"

}  // namespace moru
