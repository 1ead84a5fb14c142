// The Functional API: draw a model by calling layers on tensors, as in Keras.
//
//   ModelBuilder m("bike");
//   Tensor x = m.input("window", {24, 16});                       // the batch axis is implied
//   Tensor h = m.call(layers::lstm(64, {.return_sequences = true}), x);
//   h = m.layer("LSTM", {{"units", 32}})(h);                       // any layer by its Keras class
//   LayerCall shared = m.add(layers::dense(8));                    // a layer that is called more than once
//   Tensor y = m.call(layers::add(), {shared(a), shared(b)});
//   y = m.call(layers::lstm(8), y, {{"mask", real}});              // a mask of one's own, as Keras' keyword argument
//   Model model = m.build({y});
//
// Types are inferred at each call, so a wrong shape is refused where it was drawn: CompileError names the layer, what
// it got, which layer that came from and what to change. Weights have no values yet (see initialize_parameters).
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/model/model.h"

namespace moru {

class ModelBuilder;

/// An extent in an input's shape that the model leaves open: it becomes the symbol "time" (the next ones "time_2",
/// ...).
constexpr int64_t open_extent = -1;
/// The symbol of a model's first, second, ... open extent: time, time_2, ...
std::string open_extent_name(int number);

/// A layer that is not part of a model yet: its class and arguments as in Keras. An empty name is made from the class.
struct LayerSpec {
  std::string class_name;
  Attributes attributes = {};
  std::string name = {};
  bool trainable = true;
  /// The model that is called as a layer (class "Functional" or "Sequential") or wrapped by TimeDistributed.
  std::shared_ptr<Model> submodel = {};
  /// What the layer computes where that is not one of Moru's layers (model.h); the class may then have any name.
  std::shared_ptr<const Graph> body = {};
  std::vector<Parameter> parameters = {};  // of a body: its inputs behind the tensors
};

/// A tensor of the model that is being drawn.
struct Tensor {
  ModelBuilder* builder = nullptr;
  TensorRef ref;
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
};

/// Tensors given by keyword: {{"mask", tensor}}. A Tensor{} means: without, even where the input has a mask.
using Keywords = std::vector<std::pair<std::string, Tensor>>;

/// A layer of the model that is being drawn; each call applies the same weights.
class LayerCall {
 public:
  LayerCall(ModelBuilder& builder, uint32_t layer) : builder_(&builder), layer_(layer) {}
  Tensor operator()(Tensor input, const Keywords& keywords = {}) const { return call_all({input}, keywords).front(); }
  Tensor operator()(std::initializer_list<Tensor> inputs, const Keywords& keywords = {}) const {
    return call_all(inputs, keywords).front();
  }
  /// All outputs: an LSTM with return_state gives {y, h, c}.
  std::vector<Tensor> call_all(std::span<const Tensor> inputs, const Keywords& keywords = {}) const;
  std::vector<Tensor> call_all(std::initializer_list<Tensor> inputs, const Keywords& keywords = {}) const {
    return call_all(std::span<const Tensor>(inputs.begin(), inputs.size()), keywords);
  }
  uint32_t index() const { return layer_; }

 private:
  ModelBuilder* builder_;
  uint32_t layer_;
};

class ModelBuilder {
 public:
  explicit ModelBuilder(std::string name = "functional");
  ModelBuilder(const ModelBuilder&) = delete;
  ModelBuilder& operator=(const ModelBuilder&) = delete;

  /// An input of shape [batch, shape...]. Symbols in it (Dim::symbol) are the caller's; open_extent makes one. Stateful
  /// layers need a fixed batch size.
  Tensor input(std::string name, Shape shape, DType dtype = DType::f32, const Dim& batch = Dim::symbol("batch"));

  /// Adds a layer without calling it. Checks its attributes.
  LayerCall add(LayerSpec spec);
  LayerCall layer(std::string class_name, Attributes attributes = {}, std::string name = {});
  /// Adds a model as a layer: it may be called on as many inputs as it has, any number of times.
  LayerCall nested(Model model, std::string name = {});

  Tensor call(LayerSpec spec, Tensor input, const Keywords& keywords = {}) {
    return add(std::move(spec))(input, keywords);
  }
  Tensor call(LayerSpec spec, std::initializer_list<Tensor> inputs, const Keywords& keywords = {}) {
    return add(std::move(spec))(inputs, keywords);
  }
  std::vector<Tensor> call_all(LayerSpec spec, std::initializer_list<Tensor> inputs, const Keywords& keywords = {}) {
    return add(std::move(spec)).call_all(inputs, keywords);
  }

  /// The model from its inputs (all that were made, in order, or those given) to `outputs`; layers that no output needs
  /// are left out. Throws CompileError if an output needs an input that is not given.
  Model build(std::span<const Tensor> outputs, std::span<const Tensor> inputs = {}) const;
  Model build(std::initializer_list<Tensor> outputs) const {
    return build(std::span<const Tensor>(outputs.begin(), outputs.size()));
  }

  const Model& drawn() const { return model_; }

 private:
  friend class LayerCall;
  Model model_;
  std::vector<uint32_t> calls_;  // of each layer
  int open_extents_ = 0;

  std::string unique_name(std::string_view class_name) const;
  std::vector<Tensor> call_layer(uint32_t layer, std::span<const Tensor> inputs, const Keywords& keywords);
};

/// A plain stack of layers. The first is layers::input(...), or the stack is built for `input` when that is given.
Model sequential(std::vector<LayerSpec> stack, std::string name = "sequential");
Model sequential(std::vector<LayerSpec> stack, std::string name, const Type& input);

/// The name Keras makes for a layer of a class without one: "LSTM" -> "lstm", "SimpleRNN" -> "simple_rnn".
std::string default_layer_name(std::string_view class_name);

}  // namespace moru
