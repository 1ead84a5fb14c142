// Models that exercise the whole compiler, drawn with the Functional API; what tests of gradients, of lowering and of
// native code loop over.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/model/training.h"
#include "compiler/pipeline.h"
#include "tests/support/lowered_run.h"

namespace moru::test {

struct WholeModel {
  std::string name;
  std::function<Model()> make;
  std::vector<std::string> losses = {"mean_squared_error"};
  std::vector<std::string> metrics = {};
  bool smooth = true;  // no kinks, so that central differences are exact enough
};

inline std::vector<WholeModel> whole_models() {
  using namespace layers;
  std::vector<WholeModel> list;
  for (const char* activation : {"linear", "relu", "tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "gelu",
                                 "silu", "exponential", "hard_sigmoid", "softmax", "swish", "mish", "leaky_relu"}) {
    std::string name = activation;
    bool smooth = name != "relu" && name != "hard_sigmoid" && name != "leaky_relu";
    list.push_back({"dense_" + name,
                    [name] {
                      ModelBuilder m("m");
                      Tensor x = m.input("x", {5});
                      return m.build({m.call(dense(3, {.name = "out"}), m.call(dense(7, {.activation = name}), x))});
                    },
                    {"mean_squared_error"},
                    {"mae"},
                    smooth});
  }
  auto recurrent = [&](std::string name, std::function<LayerSpec()> layer, bool sequences = false) {
    list.push_back({name, [layer, sequences] {
                      ModelBuilder m("m");
                      Tensor h = m.call(layer(), m.input("x", {6, 3}));
                      if (sequences) h = m.call(flatten(), h);
                      return m.build({m.call(dense(2, {.name = "out"}), h)});
                    }});
  };
  recurrent("simple_rnn", [] { return simple_rnn(4); });
  recurrent("lstm", [] { return lstm(5); });
  recurrent(
      "lstm_sequences", [] { return lstm(5, {.return_sequences = true}); }, true);
  recurrent(
      "lstm_backwards", [] { return lstm(4, {.return_sequences = true, .go_backwards = true}); }, true);
  recurrent("lstm_no_bias", [] { return lstm(16, {.use_bias = false}); });
  recurrent("gru", [] { return gru(4, {.reset_after = true}); });
  recurrent("gru_reset_before", [] { return gru(4, {.reset_after = false}); });
  recurrent(
      "gru_sequences", [] { return gru(4, {.return_sequences = true}); }, true);
  recurrent("bidirectional_lstm", [] { return bidirectional(lstm(3)); });
  recurrent(
      "bidirectional_gru_sum", [] { return bidirectional(gru(3, {.return_sequences = true}), "sum"); }, true);
  recurrent("simple_rnn_backwards", [] { return simple_rnn(4, {.go_backwards = true}); });
  list.push_back({"stacked_lstm",
                  [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(lstm(5, {.return_sequences = true}), m.input("x", {6, 3}));
                    h = m.call(lstm(4, {.return_sequences = true}), h);
                    h = m.call(lstm(3), h);
                    return m.build({m.call(dense(1, {.name = "out"}), h)});
                  },
                  {"mean_squared_error"},
                  {"mae"}});
  list.push_back({"stacked_bidirectional", [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(bidirectional(lstm(3, {.return_sequences = true})), m.input("x", {5, 2}));
                    h = m.call(bidirectional(gru(2, {.return_sequences = true})), h);
                    h = m.call(time_distributed(dense(2)), h);
                    return m.build({m.call(dense(1, {.name = "out"}), m.call(flatten(), h))});
                  }});
  list.push_back({"two_inputs_two_outputs",
                  [] {
                    ModelBuilder m("m");
                    Tensor a = m.input("series", {5, 3}), c = m.input("static", {4});
                    Tensor h = m.call(concatenate(), {m.call(gru(4), a), m.call(dense(3, {.activation = "tanh"}), c)});
                    Tensor y = m.call(dense(2, {.name = "value"}), h);
                    Tensor z = m.call(dense(3, {.activation = "softmax", .name = "class"}), h);
                    return m.build({y, z});
                  },
                  {"mean_squared_error", "categorical_crossentropy"}});
  list.push_back({"shared_layer", [] {
                    ModelBuilder m("m");
                    Tensor a = m.input("a", {4}), c = m.input("b", {4});
                    LayerCall shared = m.add(dense(6, {.activation = "tanh", .name = "shared"}));
                    Tensor h = m.call(multiply(), {shared(a), shared(c)});
                    return m.build({m.call(dense(2, {.name = "out"}), m.call(add(), {h, shared(a)}))});
                  }});
  list.push_back({"shared_lstm", [] {
                    ModelBuilder m("m");
                    Tensor a = m.input("a", {4, 2}), c = m.input("b", {4, 2});
                    LayerCall shared = m.add(lstm(3, {.name = "shared"}));
                    return m.build({m.call(dense(2, {.name = "out"}), m.call(concatenate(), {shared(a), shared(c)}))});
                  }});
  list.push_back({"embedding_lstm", [] {
                    ModelBuilder m("m");
                    Tensor h = m.call(embedding(9, 4), m.input("x", {5}, DType::i32));
                    return m.build({m.call(dense(2, {.name = "out"}), m.call(lstm(3), h))});
                  }});
  list.push_back({"lstm_with_state", [] {
                    ModelBuilder m("m");
                    Tensor x = m.input("x", {4, 3});
                    std::vector<Tensor> encoded = m.call_all(lstm(3, {.return_state = true}), {x});
                    Tensor decoded = m.call(lstm(3, {.return_sequences = true}), {x, encoded[1], encoded[2]});
                    return m.build({m.call(dense(1, {.name = "out"}), decoded)});
                  }});
  list.push_back(
      {"residual_mlp",
       [] {
         ModelBuilder m("m");
         Tensor x = m.input("x", {16});
         Tensor h = m.call(
             dense(16, {.activation = "tanh", .kernel_regularizer = Attributes{{"class", "L2"}, {"l2", 0.01}}}), x);
         h = m.call(add(), {h, x});
         h = m.call(average(), {m.call(dense(16, {.activation = "gelu"}), h), h});
         return m.build({m.call(dense(1, {.name = "out"}), h)});
       },
       {"huber"},
       {"mae", "mse"}});
  list.push_back(
      {"open_time", [] {
         ModelBuilder m("m");
         Tensor h = m.call(bidirectional(lstm(3, {.return_sequences = true})), m.input("x", {open_extent, 2}));
         h = m.call(time_distributed(dense(4, {.activation = "softmax"})), h);
         h = m.call(gru(3), h);
         return m.build({m.call(dense(1, {.name = "out"}), h)});
       }});
  // A block of an encoder, and of a decoder that sees the encoder and its own past.
  list.push_back({"transformer_encoder", [] {
                    ModelBuilder m("m");
                    const Tensor x = m.input("x", {5, 8});
                    Tensor h = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 4}})({x, x});
                    h = m.layer("LayerNormalization")(m.call(add(), {h, x}));
                    Tensor f = m.call(dense(8), m.call(dense(16, {.activation = "gelu"}), h));
                    h = m.layer("LayerNormalization")(m.call(add(), {h, f}));
                    h = m.layer("GlobalAveragePooling1D")(h);
                    return m.build({m.call(dense(3, {.name = "out"}), h)});
                  }});
  list.push_back({"transformer_decoder", [] {
                    ModelBuilder m("m");
                    const Tensor x = m.input("x", {open_extent, 6}), encoded = m.input("encoded", {7, 5});
                    Tensor h = m.layer("GroupedQueryAttention", {{"head_dim", 3},
                                                                 {"num_query_heads", 4},
                                                                 {"num_key_value_heads", 2},
                                                                 {"use_causal_mask", true}})({x, x});
                    h = m.call(add(), {h, x});
                    h = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 3}, {"value_dim", 4}})({h, encoded});
                    return m.build({m.call(dense(2, {.name = "out"}), m.call(lstm(3), h))});
                  }});
  list.push_back({"additive_attention", [] {
                    ModelBuilder m("m");
                    const Tensor x = m.input("x", {5, 4}), y = m.input("y", {3, 4});
                    const Tensor h = m.layer("AdditiveAttention")({x, y});
                    const Tensor g = m.layer("Attention", {{"use_scale", true}, {"score_mode", "concat"}})({h, y});
                    return m.build({m.call(dense(1, {.name = "out"}), m.call(flatten(), g))});
                  }});
  return list;
}

inline TrainingSpec training_of(const WholeModel& model, const std::string& optimizer = "sgd") {
  TrainingSpec spec;
  spec.optimizer.op = optimizer;
  for (const std::string& loss : model.losses) spec.losses.push_back({loss, {}, loss});
  spec.metrics.resize(model.losses.size());
  for (const std::string& metric : model.metrics) spec.metrics[0].push_back({metric, {}, metric});
  return spec;
}

/// The model's entries, training among them, as the passes leave them. `options` may bring a training of its own.
inline Module training_module(const WholeModel& whole, PipelineOptions options) {
  Model model = whole.make();
  const TrainingSpec training = training_of(whole);
  if (options.training == nullptr) options.training = &training;
  return run_pipeline(model, options).module;
}

/// Random values for inputs, targets and parameters of a module.
inline Slots random_slots(const Module& module, const Symbols& symbols, uint64_t seed) {
  std::mt19937_64 random(seed);
  Slots slots;
  for (const Slot& slot : module.slots) {
    if (!is_bound_by_caller(slot.kind) && slot.kind != SlotKind::parameter) continue;
    std::vector<int64_t> shape;
    for (const Dim& dim : slot.type.shape) shape.push_back(value_of(dim, symbols));
    const bool integer = is_integer(slot.type.dtype);
    slots[slot.name] = random_tensor(slot.type.dtype, shape, random, integer ? 0 : -0.8, integer ? 9 : 0.8);
    if (slot.name.ends_with("class/target"))  // a distribution
      for (double& value : slots[slot.name].data) value = std::fabs(value) / 2;
  }
  return slots;
}

}  // namespace moru::test
