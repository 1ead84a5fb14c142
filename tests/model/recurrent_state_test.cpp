// What recurrent layers keep: states between calls, dropout's numbers through a sequence, cells of RNN.
#include <doctest/doctest.h>

#include <cmath>

#include "compiler/exchange/keras_json.h"
#include "compiler/interpret/reference.h"
#include "compiler/model/custom_cell.h"
#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

HostTensor floats(std::vector<int64_t> shape, std::vector<double> data) { return {DType::f32, std::move(shape), std::move(data)}; }

// h' = x + h / 2, so that a state of 0 and inputs of 1 give 1, 1.5, 1.75, ...
std::map<std::string, HostTensor> counting_weights(const std::string& prefix) {
  return {{prefix + "kernel", floats({1, 1}, {1})}, {prefix + "recurrent_kernel", floats({1, 1}, {0.5})}, {"x", floats({1, 2, 1}, {1, 1})}};
}
const layers::RecurrentOptions counting = {.activation = "linear", .use_bias = false, .stateful = true, .name = "rnn"};

TEST_CASE("stateful: a call begins where the last one ended, until the states are reset") {
  ModelBuilder m;
  Model model = m.build({m.call(layers::simple_rnn(1, counting), m.input("x", {2, 1}, DType::f32, 1))});
  CHECK(all_parameters(model).size() == 2);  // what is kept is no weight
  const Module module = make_entries(model, nullptr);
  verify_module(module, "make_entries");
  REQUIRE(module.find_slot("rnn/initial_h") != nullptr);
  CHECK(module.find_slot("rnn/initial_h")->kind == SlotKind::layer_state);
  std::map<std::string, HostTensor> slots = counting_weights("rnn/");
  const auto predict = [&] {
    interpret_entry(module, "predict", slots);
    return slots.at("rnn").data[0];
  };
  CHECK(predict() == 1.5);
  CHECK(predict() == 1.875);
  interpret_entry(module, "reset_states", slots);
  CHECK(predict() == 1.5);
}

TEST_CASE("stateful: a state that the call gives comes before the one that is kept, which takes what comes out") {
  ModelBuilder m;
  const LayerCall rnn = m.add(layers::simple_rnn(1, counting));
  const Tensor x = m.input("x", {2, 1}, DType::f32, 1), h = m.input("h", {1}, DType::f32, 1);
  Model model = m.build({rnn({x, h})});
  const Module module = make_entries(model, nullptr);
  verify_module(module, "make_entries");
  std::map<std::string, HostTensor> slots = counting_weights("rnn/");
  slots["h"] = floats({1, 1}, {4});
  interpret_entry(module, "predict", slots);
  CHECK(slots.at("rnn").data[0] == 2.5);
  CHECK(slots.at("rnn/initial_h").data[0] == 2.5);
}

TEST_CASE("stateful: both directions and every cell keep states of their own") {
  ModelBuilder m;
  const Tensor x = m.input("x", {2, 3}, DType::f32, 4);
  const Attributes gru{{"class", "GRU"}, {"units", 2}, {"stateful", true}};
  const Attributes cells{{"class", "StackedRNNCells"}, {"cell_0", Attributes{{"class", "LSTMCell"}, {"units", 2}}},
                         {"cell_1", Attributes{{"class", "GRUCell"}, {"units", 3}}}};
  Model model = m.build({m.layer("Bidirectional", {{"layer", gru}}, "both")(x),
                         m.layer("RNN", {{"cell", cells}, {"stateful", true}}, "stack")(x)});
  const Module module = make_entries(model, nullptr);
  verify_module(module, "make_entries");
  for (const char* slot : {"both/forward/initial_h", "both/backward/initial_h", "stack/state_0", "stack/state_1", "stack/state_2"})
    CHECK_MESSAGE(module.find_slot(slot) != nullptr, slot);
  CHECK(module.find_entry("reset_states")->results.size() == 5);
  CHECK(type_text(module.find_slot("stack/state_2")->type) == "f32[4, 3]");
  std::string paths;
  for (const ParameterPath& path : all_parameters(model)) paths += path.path + " ";
  CHECK(paths.find("stack/cells/0/recurrent_kernel stack/cells/0/bias stack/cells/1/kernel") != std::string::npos);
}

// The outputs [batch, time, 8] of a layer that hands its input on, in a training step.
HostTensor trained_output(Attributes attributes, double seed) {
  const Op& op = get_op("simple_rnn");
  attributes.set("units", 8);
  attributes.set("use_bias", false);
  attributes.set("activation", "linear");
  attributes.set("return_sequences", true);
  HostTensor identity = make_tensor(DType::f32, {8, 8}), nothing = identity;
  for (size_t i = 0; i < 8; ++i) identity.data[i * 9] = 1.0;
  const bool of_state = attributes.has("recurrent_dropout");
  const HostTensor none;
  const HostTensor inputs[] = {make_tensor(DType::f32, {64, 5, 8}, of_state ? 0.0 : 1.0),
                               of_state ? make_tensor(DType::f32, {64, 8}, 1.0) : none,
                               of_state ? nothing : identity,
                               of_state ? identity : nothing,
                               none,
                               none,
                               {DType::i64, {}, {seed}},
                               {DType::i64, {}, {3}}};
  return op.reference(inputs, check_attributes(op, attributes, "rnn")).at(0);
}

TEST_CASE("recurrent dropout: one draw serves all steps of a sequence, and another call draws anew") {
  const HostTensor y = trained_output({{"dropout", 0.25}}, 42);
  double kept = 0;
  for (size_t row = 0; row < 64; ++row)
    for (size_t k = 0; k < 8; ++k) {
      const double first = y.data[row * 40 + k];
      CHECK((first == 0.0 || first == doctest::Approx(1.0 / 0.75)));
      kept += first != 0.0;
      for (size_t t = 1; t < 5; ++t) CHECK(y.data[row * 40 + t * 8 + k] == first);
    }
  CHECK(std::fabs(kept / 512 - 0.75) < 5 * std::sqrt(0.75 * 0.25 / 512));
  CHECK(trained_output({{"dropout", 0.25}}, 43).data != y.data);

  // The state is multiplied at every step by the same factor.
  const HostTensor h = trained_output({{"recurrent_dropout", 0.5}}, 42);
  for (size_t i = 0; i < 64 * 40; ++i) {
    const double last = std::pow(2.0, static_cast<double>(i / 8 % 5 + 1));
    CHECK((h.data[i] == 0.0 || h.data[i] == last));
  }
}

TEST_CASE("rnn: a cell of RNN computes what its layer does, from Keras' config too") {
  const std::string text = R"({"class_name": "Functional", "config": {"name": "m", "layers": [
    {"name": "x", "class_name": "InputLayer", "config": {"batch_shape": [null, 5, 3], "dtype": "float32"}, "inbound_nodes": []},
    {"name": "r", "class_name": "RNN", "config": {"return_sequences": true, "go_backwards": true, "cell": {"class_name": "LSTMCell",
      "config": {"name": "cell", "units": 4, "activation": "tanh", "dropout": 0.1}}},
      "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}], "kwargs": {}}]}],
    "input_layers": [["x", 0, 0]], "output_layers": [["r", 0, 0]]}})";
  Model imported = import_keras_json(text, "m.json");
  CHECK(export_keras_json(import_keras_json(export_keras_json(imported), "m.json")) == export_keras_json(imported));
  ModelBuilder m;
  Model direct = m.build({m.call(layers::lstm(4, {.return_sequences = true, .go_backwards = true, .name = "r"}), m.input("x", {5, 3}))});
  initialize_parameters(direct, 7);
  std::map<std::string, HostTensor> slots = {{"x", make_tensor(DType::f32, {2, 5, 3}, 0.4)}}, others = slots;
  for (const ParameterPath& path : all_parameters(direct)) {
    const HostTensor weight{DType::f32, path.parameter->shape, {path.parameter->data.begin(), path.parameter->data.end()}};
    slots[path.path] = weight;
    others["r/cell/" + path.parameter->name] = weight;
  }
  interpret_entry(make_entries(direct, nullptr), "predict", slots);
  interpret_entry(make_entries(imported, nullptr), "predict", others);
  CHECK(slots.at("r").data == others.at("r").data);
}

// The cell of SimpleRNN, as a user writes it; its output is twice the state, to have one that is no state.
const CustomCell doubling{.state_sizes = {2},
                          .weights = [](int64_t in) -> std::vector<CustomCell::Weight> {
                            return {{"kernel", {in, 2}}, {"recurrent_kernel", {2, 2}, "orthogonal"}};
                          },
                          .step = [](Builder& b, Value x, std::span<const Value> h, std::span<const Value> w) {
                            const Value next = b.call("tanh", {b.contract(x, w[0], "ab,bc->ac") + b.contract(h[0], w[1], "ab,bc->ac")});
                            return std::pair(next * 2.0, std::vector<Value>{next});
                          }};

TEST_CASE("custom cell: what a user's cell computes is what the layer with its formula does, masked or not, forwards or back") {
  for (const bool backwards : {false, true})
    for (const bool masked : {false, true})
      for (const bool sequences : {false, true}) {
        CAPTURE(backwards);
        CAPTURE(masked);
        CAPTURE(sequences);
        ModelBuilder m;
        const Tensor x = m.input("x", {5, 3}), real = m.input("real", {5}, DType::boolean);
        const Tensor mine = custom_rnn(m, doubling, x,
                                       {.return_sequences = sequences,
                                        .go_backwards = backwards,
                                        .mask = masked ? std::optional(real) : std::nullopt,
                                        .name = "mine"}).front();
        const LayerCall rnn = m.add(layers::simple_rnn(
            2, {.use_bias = false, .return_sequences = sequences, .go_backwards = backwards, .name = "rnn"}));
        Model model = m.build({mine, masked ? rnn(x, {{"mask", real}}) : rnn(x)});
        initialize_parameters(model, 3);
        const Module module = make_entries(model, nullptr);
        verify_module(module, "make_entries");
        std::map<std::string, HostTensor> slots = {{"x", make_tensor(DType::f32, {2, 5, 3}, 0.3)},
                       {"real", {DType::boolean, {2, 5}, {0, 1, 1, 0, 0, 1, 0, 1, 0, 1}}}};
        for (size_t i = 0; i < 30; ++i) slots["x"].data[i] += 0.01 * static_cast<double>(i);
        for (const ParameterPath& path : all_parameters(model)) {
          if (!path.path.starts_with("mine/")) continue;
          const HostTensor weight{DType::f32, path.parameter->shape, {path.parameter->data.begin(), path.parameter->data.end()}};
          slots[path.path] = slots["rnn/" + path.parameter->name] = weight;
        }
        interpret_entry(module, "predict", slots);
        const HostTensor &a = slots.at("mine"), &b = slots.at("rnn");
        REQUIRE(a.shape == b.shape);
        for (size_t i = 0; i < a.data.size(); ++i) CHECK(a.data[i] == doctest::Approx(2.0 * b.data[i]));
      }
}

TEST_CASE("custom cell: a step that does not return its states is refused") {
  CustomCell wrong = doubling;
  wrong.step = [](Builder&, Value x, std::span<const Value>, std::span<const Value>) { return std::pair(x, std::vector<Value>{x}); };
  ModelBuilder m;
  CHECK_THROWS_WITH_AS(custom_rnn(m, wrong, m.input("x", {5, 3})),
                       doctest::Contains("its step must return its states as it got them, f32[batch, 2]"), CompileError);
}

}  // namespace
}  // namespace moru
