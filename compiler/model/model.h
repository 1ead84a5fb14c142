// Model: what the user drew and what a `.moru` file holds. Layers (class, attributes, parameters), nodes (calls of
// layers, so that a shared layer is one layer and several nodes), nested models, weights. Made by the Functional API or
// an importer; read by summary, export and passes/make_entries. It knows no gradients and no kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir/attributes.h"
#include "compiler/ir/graph.h"
#include "compiler/support/narrow.h"

namespace moru {

struct Model;

/// One weight of a layer with its current values, row-major. f32 ones are in `data`, empty where they are not
/// initialized yet; those of another element type (tables of an imported model) always have values, in `raw`.
struct Parameter {
  std::string name;  // "kernel", "forward/recurrent_kernel"
  std::vector<int64_t> shape = {};
  std::vector<float> data = {};
  AttributeValue initializer = {};
  AttributeValue regularizer = {};
  bool trainable = true;
  DType dtype = DType::f32;
  std::vector<std::byte> raw = {};

  bool has_values() const { return dtype != DType::f32 || !data.empty(); }
  std::span<const std::byte> bytes() const {
    return dtype == DType::f32 ? std::as_bytes(std::span(data)) : std::span(raw);
  }
};

struct Layer {
  std::string name;            // unique within the model: "lstm_1"
  std::string class_name;      // Keras class: "LSTM", "InputLayer", "Functional" for a nested model
  Attributes attributes = {};  // checked, with defaults (ops/op.h); wrappers nest the inner layer's under "layer"
  std::vector<Parameter> parameters = {};
  bool trainable = true;
  std::shared_ptr<Model> submodel = {};  // class "Functional" or "Sequential", or TimeDistributed over a model
  /// What the layer computes, where that is not one of Moru's ops: a node of an imported model, whose class_name is the
  /// operator's. Its inputs are the tensors, then the parameters.
  std::shared_ptr<const Graph> body = {};
};

/// The output number `output` of node `node`.
struct TensorRef {
  uint32_t node = 0;
  uint32_t output = 0;
  bool operator==(const TensorRef&) const = default;
};

/// A tensor that a call takes by keyword: "mask", "query_mask". Without a tensor the layer does without, even where its
/// input has a mask.
struct KeywordTensor {
  std::string name;
  std::optional<TensorRef> tensor = {};
  bool operator==(const KeywordTensor&) const = default;
};

/// One call of a layer.
struct ModelNode {
  uint32_t layer = 0;
  std::vector<TensorRef> inputs = {};  // in call order; for RNNs: x, then initial states
  std::vector<Type> outputs = {};      // inferred when the node is made
  std::string name;                    // "lstm_1", second call "lstm_1:2"
  std::vector<KeywordTensor> keywords = {};
  std::vector<std::optional<Type>> masks = {};  // of the outputs, inferred with them; nullopt where there is none
};

/// The element types of layers, by Keras' names: "float32", or "mixed_bfloat16", with which contractions of f32 round
/// their operands to bf16; sums, weights and everything else stay f32.
enum class DTypePolicy : uint8_t { float32, mixed_bfloat16 };
constexpr std::string_view dtype_policy_names[] = {"float32", "mixed_bfloat16"};
constexpr std::string_view dtype_policy_name(DTypePolicy policy) { return dtype_policy_names[static_cast<size_t>(policy)]; }
std::optional<DTypePolicy> find_dtype_policy(std::string_view name);

struct Model {
  std::string name;
  std::vector<Layer> layers = {};
  std::vector<ModelNode> nodes = {};  // topological order; InputLayer nodes have no inputs
  std::vector<TensorRef> inputs = {};
  std::vector<TensorRef> outputs = {};
  std::vector<std::string> output_names = {};  // the layer's name, as Keras has it
  bool sequential = false;                     // drawn as Sequential; for summary and export
  std::string source = {};                     // file it was imported from, if any
  std::string dialect = {};                    // "keras 2.15.0"; empty for native ones
  DTypePolicy dtype_policy = DTypePolicy::float32;  // of all layers; nested models follow the outermost

  const Type& type(TensorRef ref) const { return nodes[ref.node].outputs[ref.output]; }
  std::optional<Type> mask(TensorRef ref) const;
  std::vector<std::string> input_names() const;
};

/// The narrow element type in which files hold a tensor of the model (support/narrow.h): of an input, or of an imported
/// node's output, whose layer says so in its attribute "stored_as".
Narrow stored_as(const Model& model, TensorRef ref);

/// A parameter with its path through nested models: "encoder/e0/kernel".
struct ParameterPath {
  std::string path;
  Parameter* parameter = nullptr;
  const Layer* layer = nullptr;
  bool trainable = true;  // parameter, layer and every enclosing model trainable
};
std::vector<ParameterPath> all_parameters(Model& model);

/// Gives every parameter without data its initial values, from Keras' initializers and `seed`.
void initialize_parameters(Model& model, uint64_t seed);

}  // namespace moru
