// The common layers as functions with named arguments, for use with the Functional API: layers::dense(8, {.activation =
// "relu"}). Every other layer, and every other argument, is a LayerSpec with its Keras class and attribute names.
#pragma once

#include <string>
#include <vector>

#include "compiler/model/functional.h"

namespace moru::layers {

// "relu", or {class="leaky_relu", negative_slope=0.1}; "glorot_uniform", or {class="RandomNormal", stddev=0.1};
// {class="L2", l2=0.01}. Nothing given means the layer's default.
struct DenseOptions {
  AttributeValue activation = {};
  bool use_bias = true;
  AttributeValue kernel_initializer = {}, bias_initializer = {};
  AttributeValue kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  std::string name = {};
  bool trainable = true;
};

struct RecurrentOptions {
  AttributeValue activation = {};            // LSTM, GRU and SimpleRNN: tanh
  AttributeValue recurrent_activation = {};  // LSTM and GRU: sigmoid
  bool use_bias = true;
  bool return_sequences = false;
  bool return_state = false;
  bool go_backwards = false;
  bool stateful = false;  // needs an input with a fixed batch size
  double dropout = 0.0, recurrent_dropout = 0.0;
  AttributeValue reset_after = {};  // GRU: true
  AttributeValue kernel_initializer = {}, recurrent_initializer = {}, bias_initializer = {};
  AttributeValue kernel_regularizer = {}, recurrent_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  std::string name = {};
  bool trainable = true;
};

/// First layer of a sequential(): the shape without the batch axis, whose size is open unless it is given.
LayerSpec input(Shape shape, std::string name = {}, DType dtype = DType::f32, const Dim& batch = Dim::symbol("batch"));

LayerSpec dense(int64_t units, DenseOptions options = {});
LayerSpec simple_rnn(int64_t units, RecurrentOptions options = {});
LayerSpec lstm(int64_t units, RecurrentOptions options = {});
LayerSpec gru(int64_t units, RecurrentOptions options = {});
/// Runs `layer` (a recurrent one) in both directions. merge_mode: "concat", "sum", "mul", "ave".
LayerSpec bidirectional(const LayerSpec& layer, std::string merge_mode = "concat", std::string name = {});
/// Applies `layer` (a plain one, or a model) to every time step.
LayerSpec time_distributed(const LayerSpec& layer, std::string name = {});
/// Training first divides the layer's kernel, or embeddings, by an estimate of its largest singular value, which as many
/// steps of the power method improve.
LayerSpec spectral_normalization(const LayerSpec& layer, int64_t power_iterations = 1, std::string name = {});

LayerSpec embedding(int64_t input_dim, int64_t output_dim, std::string name = {});
LayerSpec activation(AttributeValue activation, std::string name = {});
LayerSpec dropout(double rate, std::string name = {});
LayerSpec flatten(std::string name = {});
LayerSpec reshape(std::vector<int64_t> target_shape, std::string name = {});  // one -1 is computed
LayerSpec concatenate(int64_t axis = -1, std::string name = {});
LayerSpec add(std::string name = {});
LayerSpec subtract(std::string name = {});
LayerSpec multiply(std::string name = {});
LayerSpec average(std::string name = {});
LayerSpec rescaling(double scale, double offset = 0.0, std::string name = {});

}  // namespace moru::layers
