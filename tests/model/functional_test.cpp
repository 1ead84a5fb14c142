#include "compiler/model/functional.h"

#include <doctest/doctest.h>

#include "compiler/model/infer_model.h"
#include "compiler/model/layers.h"
#include "compiler/model/model_text.h"

namespace moru {
namespace {

std::vector<std::string> paths_of(Model& model) {
  std::vector<std::string> paths;
  for (const ParameterPath& path : all_parameters(model)) paths.push_back(path.path);
  return paths;
}

std::string output_type(const Model& model, size_t output = 0) { return type_text(model.type(model.outputs[output])); }

TEST_CASE("functional: the bike model has the types and weights that Keras gives it") {
  ModelBuilder m("bike");
  Tensor x = m.input("window", {24, 16});
  x = m.call(layers::lstm(64, {.return_sequences = true}), x);
  x = m.layer("LSTM", {{"units", 32}, {"return_sequences", true}})(x);
  x = m.call(layers::flatten(), x);
  x = m.call(layers::dense(32, {.activation = "relu"}), x);
  const Model model = m.build({m.call(layers::dense(1), x)});
  REQUIRE(model.nodes.size() == 6);
  CHECK(type_text(model.nodes[0].outputs[0]) == "f32[batch, 24, 16]");
  CHECK(type_text(model.nodes[1].outputs[0]) == "f32[batch, 24, 64]");
  CHECK(type_text(model.nodes[2].outputs[0]) == "f32[batch, 24, 32]");
  CHECK(type_text(model.nodes[3].outputs[0]) == "f32[batch, 768]");
  CHECK(output_type(model) == "f32[batch, 1]");
  CHECK(model.layers[1].name == "lstm");
  CHECK(model.layers[2].name == "lstm_1");
  CHECK(model.input_names() == std::vector<std::string>{"window"});
  CHECK(model.output_names == std::vector<std::string>{"dense_1"});
  CHECK(model.layers[1].parameters[0].shape == std::vector<int64_t>{16, 256});
  CHECK(model.layers[4].parameters[0].shape == std::vector<int64_t>{768, 32});
  CHECK(model.layers[4].parameters[0].data.empty());
}

TEST_CASE("functional: a shared layer is one layer with one set of weights and several nodes") {
  ModelBuilder m;
  Tensor a = m.input("a", {5}), b = m.input("b", {5});
  LayerCall shared = m.add(layers::dense(3, {.name = "shared"}));
  Model model = m.build({m.call(layers::add(), {shared(a), shared(b)})});
  CHECK(paths_of(model) == std::vector<std::string>{"shared/kernel", "shared/bias"});
  REQUIRE(model.nodes.size() == 5);
  CHECK(model.nodes[2].name == "shared");
  CHECK(model.nodes[3].name == "shared:2");
  CHECK(model.nodes[2].layer == model.nodes[3].layer);
}

TEST_CASE("functional: names are made as Keras makes them") {
  CHECK(default_layer_name("Dense") == "dense");
  CHECK(default_layer_name("LSTM") == "lstm");
  CHECK(default_layer_name("SimpleRNN") == "simple_rnn");
  CHECK(default_layer_name("TimeDistributed") == "time_distributed");
  CHECK(default_layer_name("Conv2D") == "conv2d");
  CHECK(default_layer_name("LeakyReLU") == "leaky_re_lu");
  CHECK(default_layer_name("ReLU") == "re_lu");
  CHECK(default_layer_name("InputLayer") == "input_layer");
}

TEST_CASE("functional: return_state gives several tensors, and initial states are further inputs") {
  ModelBuilder m("seq2seq");
  Tensor source = m.input("source", {open_extent, 4}), target = m.input("target", {open_extent, 3});
  const std::vector<Tensor> encoded = m.call_all(layers::lstm(8, {.return_state = true, .name = "encoder"}), {source});
  REQUIRE(encoded.size() == 3);
  Tensor decoded =
      m.call(layers::lstm(8, {.return_sequences = true, .name = "decoder"}), {target, encoded[1], encoded[2]});
  const Model model = m.build({m.call(layers::time_distributed(layers::dense(3)), decoded), encoded[1], encoded[2]});
  CHECK(output_type(model) == "f32[batch, time_2, 3]");
  CHECK(output_type(model, 1) == "f32[batch, 8]");
  CHECK(model.output_names == std::vector<std::string>{"time_distributed", "encoder", "encoder_1"});
  CHECK(model.outputs[2].output == 2);
}

TEST_CASE("functional: a nested model is inferred anew for each call") {
  Model step = sequential({layers::input({4}), layers::dense(2, {.name = "d"})}, "step");
  ModelBuilder inner("inner");
  Tensor sequence = inner.input("sequence", {open_extent, 4});
  Model over_time = inner.build({inner.call(layers::lstm(5, {.return_sequences = true, .name = "rnn"}), sequence)});

  ModelBuilder m("outer");
  Tensor x = m.input("x", {24, 4});
  LayerCall nested = m.nested(std::move(over_time));
  Tensor y = nested(x);
  CHECK(type_text(y.type()) == "f32[batch, 24, 5]");
  LayerCall nested_step = m.nested(std::move(step));
  Tensor z = nested_step(m.input("z", {4}));
  Model model = m.build({y, z});
  CHECK(paths_of(model) == std::vector<std::string>{"inner/rnn/kernel", "inner/rnn/recurrent_kernel", "inner/rnn/bias",
                                                    "step/d/kernel", "step/d/bias"});
}

TEST_CASE("functional: TimeDistributed applies a whole model to each step") {
  auto step = std::make_shared<Model>(sequential({layers::input({4}), layers::dense(2, {.name = "d"})}, "step"));
  ModelBuilder m;
  Tensor x = m.input("x", {open_extent, 4});
  Model model = m.build({m.call(layers::time_distributed({.class_name = "Sequential", .submodel = step}, "td"), x)});
  CHECK(output_type(model) == "f32[batch, time, 2]");
  CHECK(paths_of(model) == std::vector<std::string>{"td/layer/d/kernel", "td/layer/d/bias"});
}

TEST_CASE("functional: what no output needs is left out") {
  ModelBuilder m;
  Tensor x = m.input("x", {5});
  m.call(layers::dense(100, {.name = "unused"}), x);
  Model model = m.build({m.call(layers::dense(2, {.name = "used"}), x)});
  CHECK(paths_of(model) == std::vector<std::string>{"used/kernel", "used/bias"});
  CHECK(model.nodes.size() == 2);
}

TEST_CASE("functional: freezing a nested model freezes the weights inside it") {
  auto encoder = std::make_shared<Model>(sequential({layers::input({4}), layers::dense(2, {.name = "d"})}, "encoder"));
  ModelBuilder m;
  Tensor x = m.input("x", {4});
  LayerSpec frozen{.class_name = "Sequential", .name = "encoder", .trainable = false, .submodel = encoder};
  Model model = m.build({m.call(layers::dense(1, {.name = "head"}), m.call(std::move(frozen), x))});
  for (const ParameterPath& path : all_parameters(model)) {
    CHECK(path.trainable == path.path.starts_with("head/"));
  }
}

TEST_CASE("functional: sequential is the stack of its layers") {
  const Model model =
      sequential({layers::input({24, 3}, "window"), layers::gru(4), layers::dropout(0.5), layers::dense(1)});
  CHECK(model.sequential);
  CHECK(model_text(model).find("call dense = dense(dropout) : f32[batch, 1]") != std::string::npos);
  CHECK(model.input_names() == std::vector<std::string>{"window"});
  const Model integers = sequential({layers::input({7}, {}, DType::i32), layers::embedding(10, 4), layers::flatten()});
  CHECK(output_type(integers) == "f32[batch, 28]");
}

TEST_CASE("functional: Bidirectional's weights carry the direction in their names") {
  ModelBuilder m;
  Tensor x = m.input("x", {5, 3});
  Model model =
      m.build({m.call(layers::bidirectional(layers::lstm(4, {.return_sequences = true}), "concat", "bi"), x)});
  CHECK(output_type(model) == "f32[batch, 5, 8]");
  CHECK(paths_of(model) == std::vector<std::string>{"bi/forward/kernel", "bi/forward/recurrent_kernel",
                                                    "bi/forward/bias", "bi/backward/kernel",
                                                    "bi/backward/recurrent_kernel", "bi/backward/bias"});
}

}  // namespace
}  // namespace moru
