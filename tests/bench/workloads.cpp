#include "tests/bench/workloads.h"

#include "compiler/model/layers.h"

namespace moru::bench {

namespace {

using namespace layers;

Model t1(double rate) {
  return sequential(
      {input({12}, "x"), dense(64, {.activation = "relu"}), dropout(rate), dense(32, {.activation = "relu"}), dense(1)},
      "t1");
}

Model t2(double rate) {
  return sequential({input({784}, "x"), dense(512, {.activation = "relu"}), dropout(rate),
                     dense(512, {.activation = "relu"}), dropout(rate), dense(10)},
                    "t2");
}

Model t3(double) {
  return sequential({input({24, 11}, "x"), lstm(64, {.return_sequences = true}), lstm(32, {.return_sequences = true}),
                     flatten(), dense(32, {.activation = "relu"}), dense(1)},
                    "t3");
}

Model t4(double) {
  return sequential({input({12, 5}, "x"), simple_rnn(32, {.return_sequences = true}), simple_rnn(16), dense(1)}, "t4");
}

Model t5(double) {
  ModelBuilder m("t5");
  Tensor a = m.input("a", {10}), b = m.input("b", {24, 5}), c = m.input("c", {}, DType::i32);
  Tensor z = m.call(concatenate(), {a, m.call(gru(32), b), m.call(embedding(100, 8), c)});
  z = m.call(dense(64, {.activation = "relu"}), z);
  return m.build({m.call(dense(1, {.name = "value"}), z), m.call(dense(3, {.name = "kind"}), z)});
}

LayerSpec conv2d(int64_t filters) {
  return {.class_name = "Conv2D",
          .attributes = {{"filters", filters}, {"kernel_size", std::vector<int64_t>{3, 3}}, {"activation", "relu"}}};
}
LayerSpec max_pooling2d() { return {.class_name = "MaxPooling2D"}; }

Model t6(double) {
  return sequential({input({28, 28, 1}, "x"), conv2d(32), max_pooling2d(),
                     conv2d(64), max_pooling2d(), flatten(),
                     dense(128, {.activation = "relu"}), dense(10)},
                    "t6");
}

Tensor transformer_block(ModelBuilder& m, Tensor x) {
  const LayerSpec norm{.class_name = "LayerNormalization", .attributes = {{"epsilon", 1e-5}}};
  Tensor h = m.layer("MultiHeadAttention", {{"num_heads", 4}, {"key_dim", 32}})({x, x});
  x = m.call(norm, m.call(add(), {x, h}));
  h = m.call(dense(128), m.call(dense(512, {.activation = "gelu"}), x));
  return m.call(norm, m.call(add(), {x, h}));
}

Model t7(double) {
  ModelBuilder m("t7");
  Tensor x = m.input("x", {64, 128});
  x = m.layer("GlobalAveragePooling1D")(transformer_block(m, transformer_block(m, x)));
  return m.build({m.call(dense(10), x)});
}

TrainingSpec spec(std::vector<OpSpec> losses) {
  return {.optimizer = {"adam", {{"learning_rate", 0.001}}},
          .losses = std::move(losses),
          .loss_weights = {},
          .metrics = {}};
}

const OpSpec mse{"mean_squared_error", {}};
const OpSpec cross_entropy{"sparse_categorical_crossentropy", {{"from_logits", true}}};

}  // namespace

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> list = {
      {"T1", "Dense 12-64-32-1 with dropout, mse", 15552, t1, spec({mse})},
      {"T2", "Dense 784-512-512-10 with dropout, softmax cross-entropy", 3209216, t2, spec({cross_entropy})},
      {"T3", "LSTM 64, LSTM 32 on [24, 11], Flatten, Dense 32, Dense 1, mse", 4546752, t3, spec({mse})},
      {"T4", "SimpleRNN 32, SimpleRNN 16 on [12, 5], Dense 1, mse", 136896, t4, spec({mse})},
      {"T5", "dense, GRU and embedding inputs, two outputs", 509568, t5, spec({mse, cross_entropy})},
      {"T6", "Conv2D 32, Conv2D 64 with max pooling on [28, 28, 1], Dense 128, softmax cross-entropy", 15396864, t6,
       spec({cross_entropy})},
      {"T7", "two Transformer blocks of 4 heads on [64, 128], mean, Dense 10, softmax cross-entropy", 163585536, t7,
       spec({cross_entropy})},
  };
  return list;
}

const Workload* find_workload(const std::string& name) {
  for (const Workload& workload : workloads())
    if (workload.name == name) return &workload;
  return nullptr;
}

}  // namespace moru::bench
