#include "compiler/model/layers.h"

#include "compiler/model/infer_model.h"

namespace moru::layers {
namespace {

void set_if_given(Attributes& attributes, std::string name, const AttributeValue& value) {
  if (!value.is_none()) attributes.set(std::move(name), value);
}

// The nested attributes of a wrapped layer: its own and its class.
Attributes nested_layer(const LayerSpec& layer) {
  Attributes nested = layer.attributes;
  nested.set("class", layer.class_name);
  return nested;
}

LayerSpec recurrent(std::string class_name, int64_t units, RecurrentOptions options) {
  Attributes attributes = {{"units", units},
                           {"use_bias", options.use_bias},
                           {"return_sequences", options.return_sequences},
                           {"return_state", options.return_state},
                           {"go_backwards", options.go_backwards}};
  if (options.stateful) attributes.set("stateful", true);
  if (options.dropout != 0.0) attributes.set("dropout", options.dropout);
  if (options.recurrent_dropout != 0.0) attributes.set("recurrent_dropout", options.recurrent_dropout);
  set_if_given(attributes, "activation", options.activation);
  set_if_given(attributes, "recurrent_activation", options.recurrent_activation);
  set_if_given(attributes, "reset_after", options.reset_after);
  set_if_given(attributes, "kernel_initializer", options.kernel_initializer);
  set_if_given(attributes, "recurrent_initializer", options.recurrent_initializer);
  set_if_given(attributes, "bias_initializer", options.bias_initializer);
  set_if_given(attributes, "kernel_regularizer", options.kernel_regularizer);
  set_if_given(attributes, "recurrent_regularizer", options.recurrent_regularizer);
  set_if_given(attributes, "bias_regularizer", options.bias_regularizer);
  set_if_given(attributes, "activity_regularizer", options.activity_regularizer);
  return {.class_name = std::move(class_name),
          .attributes = std::move(attributes),
          .name = std::move(options.name),
          .trainable = options.trainable};
}

LayerSpec plain(std::string class_name, Attributes attributes, std::string name) {
  return {.class_name = std::move(class_name), .attributes = std::move(attributes), .name = std::move(name)};
}

}  // namespace

LayerSpec input(Shape shape, std::string name, DType dtype, const Dim& batch) {
  shape.insert(shape.begin(), batch);
  return plain("InputLayer", input_layer_attributes({dtype, std::move(shape)}), std::move(name));
}

LayerSpec dense(int64_t units, DenseOptions options) {
  Attributes attributes = {{"units", units}, {"use_bias", options.use_bias}};
  set_if_given(attributes, "activation", options.activation);
  set_if_given(attributes, "kernel_initializer", options.kernel_initializer);
  set_if_given(attributes, "bias_initializer", options.bias_initializer);
  set_if_given(attributes, "kernel_regularizer", options.kernel_regularizer);
  set_if_given(attributes, "bias_regularizer", options.bias_regularizer);
  set_if_given(attributes, "activity_regularizer", options.activity_regularizer);
  return {.class_name = "Dense",
          .attributes = std::move(attributes),
          .name = std::move(options.name),
          .trainable = options.trainable};
}

LayerSpec simple_rnn(int64_t units, RecurrentOptions options) {
  return recurrent("SimpleRNN", units, std::move(options));
}
LayerSpec lstm(int64_t units, RecurrentOptions options) { return recurrent("LSTM", units, std::move(options)); }
LayerSpec gru(int64_t units, RecurrentOptions options) { return recurrent("GRU", units, std::move(options)); }

LayerSpec bidirectional(const LayerSpec& layer, std::string merge_mode, std::string name) {
  LayerSpec spec =
      plain("Bidirectional", {{"layer", nested_layer(layer)}, {"merge_mode", std::move(merge_mode)}}, std::move(name));
  spec.trainable = layer.trainable;
  return spec;
}

LayerSpec time_distributed(const LayerSpec& layer, std::string name) {
  LayerSpec spec = plain("TimeDistributed", {}, std::move(name));
  spec.trainable = layer.trainable;
  if (layer.submodel != nullptr) {
    spec.submodel = layer.submodel;
  } else {
    spec.attributes.set("layer", nested_layer(layer));
  }
  return spec;
}

LayerSpec spectral_normalization(const LayerSpec& layer, int64_t power_iterations, std::string name) {
  LayerSpec spec = plain("SpectralNormalization",
                         {{"layer", nested_layer(layer)}, {"power_iterations", power_iterations}}, std::move(name));
  spec.trainable = layer.trainable;
  return spec;
}

LayerSpec embedding(int64_t input_dim, int64_t output_dim, std::string name) {
  return plain("Embedding", {{"input_dim", input_dim}, {"output_dim", output_dim}}, std::move(name));
}
LayerSpec activation(AttributeValue activation, std::string name) {
  return plain("Activation", {{"activation", std::move(activation)}}, std::move(name));
}
LayerSpec dropout(double rate, std::string name) { return plain("Dropout", {{"rate", rate}}, std::move(name)); }
LayerSpec flatten(std::string name) { return plain("Flatten", {}, std::move(name)); }
LayerSpec reshape(std::vector<int64_t> target_shape, std::string name) {
  return plain("Reshape", {{"target_shape", std::move(target_shape)}}, std::move(name));
}
LayerSpec concatenate(int64_t axis, std::string name) {
  return plain("Concatenate", {{"axis", axis}}, std::move(name));
}
LayerSpec add(std::string name) { return plain("Add", {}, std::move(name)); }
LayerSpec subtract(std::string name) { return plain("Subtract", {}, std::move(name)); }
LayerSpec multiply(std::string name) { return plain("Multiply", {}, std::move(name)); }
LayerSpec average(std::string name) { return plain("Average", {}, std::move(name)); }
LayerSpec rescaling(double scale, double offset, std::string name) {
  return plain("Rescaling", {{"scale", scale}, {"offset", offset}}, std::move(name));
}

}  // namespace moru::layers
