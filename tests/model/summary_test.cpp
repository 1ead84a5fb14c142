#include "compiler/model/summary.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "compiler/model/functional.h"
#include "compiler/model/layers.h"

namespace moru {
namespace {

TEST_CASE("summary: a Sequential is a table of three columns without its input") {
  const Model model = sequential(
      {layers::input({24, 16}), layers::lstm(64, {.return_sequences = true}), layers::lstm(32), layers::dense(1)},
      "bike");
  CHECK(summary_text(model) ==
        "Model: \"bike\"\n"
        "┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━┓\n"
        "┃ Layer (type)  ┃ Output Shape   ┃ Param # ┃\n"
        "┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━┩\n"
        "│ lstm (LSTM)   │ (None, 24, 64) │  20,736 │\n"
        "├───────────────┼────────────────┼─────────┤\n"
        "│ lstm_1 (LSTM) │ (None, 32)     │  12,416 │\n"
        "├───────────────┼────────────────┼─────────┤\n"
        "│ dense (Dense) │ (None, 1)      │      33 │\n"
        "└───────────────┴────────────────┴─────────┘\n"
        " Total params: 33,185 (129.63 KB)\n"
        " Trainable params: 33,185 (129.63 KB)\n"
        " Non-trainable params: 0 (0.00 B)\n");
}

Model two_inputs() {
  auto encoder = std::make_shared<Model>(sequential({layers::input({6}), layers::dense(5, {.name = "e0"})}, "encoder"));
  ModelBuilder m("two");
  Tensor a = m.input("a", {6}), b = m.input("b", {6});
  LayerCall nested = m.add({.class_name = "Sequential", .name = "encoder", .trainable = false, .submodel = encoder});
  Tensor joined =
      m.call(layers::concatenate(-1, "a_layer_with_a_name_that_is_far_too_long_for_one_line"), {nested(a), nested(b)});
  return m.build({m.call(layers::dense(1, {.name = "out"}), joined)});
}

TEST_CASE("summary: a Functional model says what is connected to what, and long names are wrapped") {
  CHECK(summary_text(two_inputs(), {.expand_nested = true}) ==
        "Model: \"two\"\n"
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┓\n"
        "┃ Layer (type)                     ┃ Output Shape ┃ Param # ┃ Connected to           ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━┩\n"
        "│ a (InputLayer)                   │ (None, 6)    │       0 │ -                      │\n"
        "├──────────────────────────────────┼──────────────┼─────────┼────────────────────────┤\n"
        "│ b (InputLayer)                   │ (None, 6)    │       0 │ -                      │\n"
        "├──────────────────────────────────┼──────────────┼─────────┼────────────────────────┤\n"
        "│ encoder (Sequential)             │ (None, 5)    │      35 │ a[0][0], b[0][0]       │\n"
        "├──────────────────────────────────┼──────────────┼─────────┼────────────────────────┤\n"
        "│   └ e0 (Dense)                   │ (None, 5)    │      35 │ input_layer[0][0]      │\n"
        "├──────────────────────────────────┼──────────────┼─────────┼────────────────────────┤\n"
        "│ a_layer_with_a_name_that_is_far_ │ (None, 10)   │       0 │ encoder[0][0],         │\n"
        "│ too_long_for_one_line            │              │         │ encoder[1][0]          │\n"
        "│ (Concatenate)                    │              │         │                        │\n"
        "├──────────────────────────────────┼──────────────┼─────────┼────────────────────────┤\n"
        "│ out (Dense)                      │ (None, 1)    │      11 │ a_layer_with_a_name_th │\n"
        "│                                  │              │         │ at_is_far_too_long_for │\n"
        "│                                  │              │         │ _one_line[0][0]        │\n"
        "└──────────────────────────────────┴──────────────┴─────────┴────────────────────────┘\n"
        " Total params: 46 (184.00 B)\n"
        " Trainable params: 11 (44.00 B)\n"
        " Non-trainable params: 35 (140.00 B)\n");
}

TEST_CASE("summary: JSON lists inputs, outputs, layers and counts") {
  const auto json = nlohmann::json::parse(summary_json(two_inputs()));
  CHECK(json["inputs"] == nlohmann::json::parse(R"([
    {"name": "a", "dtype": "float32", "shape": [null, 6], "dims": ["batch", "6"]},
    {"name": "b", "dtype": "float32", "shape": [null, 6], "dims": ["batch", "6"]}])"));
  CHECK(json["outputs"] ==
        nlohmann::json::parse(R"([{"name": "out", "dtype": "float32", "shape": [null, 1], "dims": ["batch", "1"]}])"));
  CHECK(json["parameters"] == nlohmann::json::parse(R"({"total": 46, "trainable": 11, "non_trainable": 35})"));
  REQUIRE(json["layers"].size() == 5);
  CHECK(json["layers"][2]["name"] == "encoder");
  CHECK(json["layers"][2]["trainable"] == false);
  CHECK(json["layers"][2]["layers"][1]["weights"][0] ==
        nlohmann::json::parse(R"({"name": "kernel", "shape": [6, 5], "trainable": false})"));
  CHECK(json["layers"][4]["class"] == "Dense");
}

TEST_CASE("summary: an open length is None in the table and a symbol in the JSON") {
  ModelBuilder m;
  Tensor x = m.input("x", {open_extent, 3});
  const Model model = m.build({m.call(layers::lstm(4, {.return_sequences = true}), x)});
  CHECK(summary_text(model).find("(None, None, 4)") != std::string::npos);
  CHECK(nlohmann::json::parse(summary_json(model))["inputs"][0]["dims"] ==
        nlohmann::json::parse(R"(["batch", "time", "3"])"));
}

TEST_CASE("summary: no table is wider than 100 columns") {
  ModelBuilder m(std::string(30, 'm'));
  std::vector<Tensor> inputs;
  for (int i = 0; i < 5; ++i)
    inputs.push_back(m.input(std::string(60, 'x') + std::to_string(i), {100000, 100000, 1000}));
  Tensor joined = m.add(layers::concatenate()).call_all(inputs).front();
  std::istringstream lines(summary_text(m.build({joined})));
  for (std::string line; std::getline(lines, line);) {
    size_t columns = 0;
    for (char c : line) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    CHECK(columns <= 100);
  }
}

}  // namespace
}  // namespace moru
