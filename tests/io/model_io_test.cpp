#include "compiler/io/model_io.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <random>

#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/model/model_text.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

// Everything a file can hold: nested and shared layers, wrappers, frozen weights, initializers with arguments, open
// axes.
Model everything() {
  auto encoder = std::make_shared<Model>(
      sequential({layers::input({6}),
                  layers::dense(5, {.kernel_initializer = Attributes{{"class", "RandomNormal"}, {"stddev", 0.1}},
                                    .kernel_regularizer = Attributes{{"class", "L2"}, {"l2", 0.01}},
                                    .name = "e0"})},
                 "encoder"));
  ModelBuilder m("everything");
  Tensor a = m.input("a", {6}), b = m.input("b", {6});
  LayerCall nested = m.add({.class_name = "Sequential", .name = "encoder", .trainable = false, .submodel = encoder});
  Tensor joined = m.call(layers::concatenate(), {nested(a), nested(b)});
  Tensor ids = m.input("ids", {open_extent}, DType::i32);
  Tensor words = m.call(layers::embedding(11, 4), ids);
  Tensor both = m.call(layers::bidirectional(layers::lstm(3, {.return_sequences = true})), words);
  auto step = std::make_shared<Model>(sequential({layers::input({6}), layers::dense(2)}, "step"));
  Tensor steps = m.call(layers::time_distributed({.class_name = "Sequential", .submodel = step}), both);
  const std::vector<Tensor> last = m.call_all(layers::gru(4, {.return_state = true}), {steps});
  Tensor all = m.call(layers::concatenate(), {joined, last[0]});
  Tensor y =
      m.call(layers::dense(1, {.activation = Attributes{{"class", "leaky_relu"}, {"negative_slope", 0.1}}}), all);
  Model model = m.build({y, last[1]});
  model.dtype_policy = DTypePolicy::mixed_bfloat16;
  model.source = "everything.json";
  model.dialect = "keras 3.10.0";
  float next = 0.5f;
  for (const ParameterPath& path : all_parameters(model)) {
    size_t elements = 1;
    for (int64_t extent : path.parameter->shape) elements *= static_cast<size_t>(extent);
    path.parameter->data.resize(elements);
    for (float& value : path.parameter->data) value = next += 0.25f;
  }
  // One that has no values yet.
  all_parameters(model)[1].parameter->data.clear();
  return model;
}

std::vector<std::byte> joined(const WeightsSection& section) {
  std::vector<std::byte> bytes;
  for (const auto& piece : section.pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

std::string error_of(std::span<const std::byte> model, std::span<const std::byte> weights) {
  try {
    read_model(model, weights, "m.moru");
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

TEST_CASE("model_io: what is written reads back the same, weights to the bit") {
  Model model = everything();
  model.nodes.back().name = "any name";
  all_parameters(model)[0].parameter->data[0] = -0.0f;
  all_parameters(model)[0].parameter->data[1] = std::nanf("");
  const std::vector<std::byte> weights = joined(make_weights_section(model));
  Model back = read_model(write_model(model), weights, "m.moru");
  CHECK(model_text(back) == model_text(model));
  CHECK(back.source == model.source);
  CHECK(back.dialect == model.dialect);
  CHECK(back.dtype_policy == model.dtype_policy);
  const auto want = all_parameters(model), got = all_parameters(back);
  REQUIRE(want.size() == got.size());
  for (size_t i = 0; i < want.size(); ++i) {
    CAPTURE(want[i].path);
    CHECK(got[i].path == want[i].path);
    CHECK(got[i].trainable == want[i].trainable);
    REQUIRE(got[i].parameter->data.size() == want[i].parameter->data.size());
    // As bits: -0.0 and NaN must come back too.
    for (size_t k = 0; k < want[i].parameter->data.size(); ++k) {
      CHECK(std::bit_cast<uint32_t>(got[i].parameter->data[k]) == std::bit_cast<uint32_t>(want[i].parameter->data[k]));
    }
  }
  CHECK(write_model(back) == write_model(model));
}

TEST_CASE("model_io: every weight lies at a multiple of 64 bytes and none overlaps") {
  Model model = everything();
  const WeightsSection section = make_weights_section(model);
  const std::vector<std::byte> bytes = joined(section);
  CHECK(bytes.size() == section.bytes);
  CHECK(section.places.size() == all_parameters(model).size() - 1);
  uint64_t end = 0;
  for (const WeightPlace& place : section.places) {
    CHECK(place.offset % 64 == 0);
    CHECK(place.offset >= end);
    end = place.offset + place.bytes;
  }
  CHECK(end <= bytes.size());
  CHECK(section.places[0].path == all_parameters(model)[0].path);
}

TEST_CASE("model_io: attributes keep their types, down to a real of -0.0 and an empty list") {
  ModelBuilder m;
  Tensor x = m.input("x", {3});
  Model model = m.build({m.call(layers::dense(2, {.name = "d"}), x)});
  const Attributes odd = {{"class", "Constant"},           {"a", -0.0},
                          {"b", int64_t{1} << 62},         {"c", true},
                          {"d", std::vector<double>{}},    {"e", std::vector<std::string>{"", "활"}},
                          {"f", std::vector<int64_t>{-1}}, {"g", Shape{Dim::symbol("batch") * 2 + 1}},
                          {"h", std::vector<double>{0.1}}, {"i", Attributes{}}};
  model.layers[1].parameters[0].initializer = odd;
  const Model back = read_model(write_model(model), {}, {});
  const AttributeValue& value = back.layers[1].parameters[0].initializer;
  CHECK(value == AttributeValue(odd));
  CHECK(std::signbit(std::get<AttributeValue::Nested>(value.value)->real("a")));
}

TEST_CASE("model_io: what is no model is said to be none") {
  CHECK(error_of({}, {}) == "'m.moru' holds no model");
  CHECK(error_of(std::vector<std::byte>(100, std::byte{7}), {}) == "'m.moru' holds no model");
}

TEST_CASE("model_io: weights that are missing or short are refused by name") {
  Model model = everything();
  const std::vector<std::byte> weights = joined(make_weights_section(model));
  const std::string first = make_weights_section(model).places[0].path;
  CHECK(error_of(write_model(model), {}) == "'m.moru' is damaged: the weight 'e0/kernel' lies outside of the weights");
  CHECK(first == "encoder/e0/kernel");
  const auto shorter = std::span(weights).first(weights.size() - 128);
  CHECK(error_of(write_model(model), shorter).find("lies outside of the weights") != std::string::npos);
}

// A file with one thing wrong, made by changing the model after it was drawn.
std::string error_after(const std::function<void(Model&)>& damage) {
  ModelBuilder m("small");
  Tensor x = m.input("x", {3});
  Tensor h = m.call(layers::dense(4, {.name = "h"}), x);
  Model model = m.build({m.call(layers::dense(2, {.name = "y"}), h)});
  damage(model);
  return error_of(write_model(model), joined(make_weights_section(model)));
}

TEST_CASE("model_io: every invariant of a model is checked on reading") {
  CHECK(error_after([](Model&) {}) == "no error");
  CHECK(error_after([](Model& m) { m.layers[1].class_name = "Conv9D"; }) ==
        "'m.moru' has the layer 'h' of class 'Conv9D', which this version does not know\n"
        "  hint: it was written by a newer version of Moru, or the file is damaged");
  CHECK(error_after([](Model& m) { m.layers[2].name = "h"; }) == "'m.moru' is damaged: two layers are named 'h'");
  CHECK(error_after([](Model& m) { m.nodes[1].layer = 9; }) ==
        "'m.moru' is damaged: the node 'h' calls a layer that does not exist");
  CHECK(error_after([](Model& m) { m.nodes[1].inputs[0].node = 2; }) ==
        "'m.moru' is damaged: the inputs of 'h' name a tensor that does not exist before them");
  CHECK(error_after([](Model& m) { m.nodes[1].inputs[0].output = 1; }) ==
        "'m.moru' is damaged: a node or an output names an output that its layer does not have");
  CHECK(error_after([](Model& m) { m.outputs[0].output = 3; }) ==
        "'m.moru' is damaged: a node or an output names an output that its layer does not have");
  CHECK(error_after([](Model& m) { m.outputs[0].node = 3; }) ==
        "'m.moru' is damaged: the model's outputs name a tensor that does not exist before them");
  CHECK(error_after([](Model& m) { m.outputs.clear(); }) == "'m.moru' is damaged: it has no outputs");
  CHECK(error_after([](Model& m) { m.output_names.clear(); }) ==
        "'m.moru' is damaged: its outputs and their names differ in number");
  CHECK(error_after([](Model& m) { m.inputs.clear(); }) ==
        "'m.moru' is damaged: the InputLayer 'x' is not among the inputs");
  CHECK(error_after([](Model& m) { m.inputs[0].node = 1; }) ==
        "'m.moru' is damaged: the input 'h' is not an InputLayer");
  CHECK(error_after([](Model& m) { m.layers[0].attributes.erase("shape"); }) ==
        "'m.moru' is damaged: the input 'x' has no type");
  CHECK(error_after([](Model& m) {
          m.layers[0].attributes.set("shape", Shape{Dim::symbol("batch"), -3});
        }) == "'m.moru' is damaged: the input 'x' has the impossible shape [batch, -3]");
  CHECK(error_after([](Model& m) { m.layers[1].attributes.set("units", -1); }) ==
        "layer 'h' (Dense): attribute 'units' is -1 but must be at least 1");
  CHECK(error_after([](Model& m) { m.layers[1].attributes.set("units", "many"); }) ==
        "layer 'h' (Dense): attribute 'units' must be an integer");
  CHECK(
      error_after([](Model& m) {
        m.layers[1].parameters[0].shape = {3, 5};
      }) ==
      "layer 'h' (Dense): its weight 'kernel' is [3, 5] but this input needs [3, 4]\n"
      "  the input is the model's input 'x'\n"
      "  hint: a layer that is called more than once needs inputs with the same number of features; use one layer for "
      "each");
  CHECK(error_after([](Model& m) { m.layers[1].parameters[1].name = "offset"; }) ==
        "layer 'h' (Dense): has the weight 'offset' where 'bias' belongs\n  the input is the model's input 'x'");
  CHECK(error_after([](Model& m) { m.layers[1].parameters.pop_back(); }) ==
        "layer 'h' (Dense): has 1 weights but needs 2\n  the input is the model's input 'x'");
  CHECK(error_after([](Model& m) { m.layers[1].parameters.clear(); }) == "layer 'h' (Dense): has no weights yet");
  CHECK(error_after([](Model& m) {
          m.layers[1].parameters[0].shape = {int64_t{1} << 39, int64_t{1} << 39};
        }) == "'m.moru' is damaged: the weight 'h/kernel' has an impossible shape");
  CHECK(error_after([](Model& m) {
          m.layers[1].parameters[0].data = {1, 2, 3};
        }) == "'m.moru' is damaged: the weight 'h/kernel' has 12 bytes of data but needs 48");
  CHECK(error_after([](Model& m) { m.layers[1].class_name = "Sequential"; }) ==
        "'m.moru' is damaged: the nested model 'h' is missing");
}

TEST_CASE("model_io: models that nest without end are refused") {
  Model model;
  model.name = "bottom";
  for (int i = 0; i < 200; ++i) {
    Model outer;
    outer.name = "outer";
    outer.layers.push_back(
        {.name = "inner", .class_name = "Functional", .submodel = std::make_shared<Model>(std::move(model))});
    model = std::move(outer);
  }
  const std::string error = error_of(write_model(model), {});
  CHECK(error == "'m.moru' is damaged: its model section is not well-formed");
}

TEST_CASE("model_io: a truncated model never crashes and is never taken for another") {
  const Model model = everything();
  const std::vector<std::byte> bytes = write_model(model), weights = joined(make_weights_section(model));
  for (size_t length = 0; length < bytes.size(); ++length) {
    // The exact length in its own memory, so that a sanitizer sees a read behind the end.
    const std::vector<std::byte> start(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    if (error_of(start, weights) != "no error") continue;
    // Only the padding at the end can be missing without being missed.
    CAPTURE(length);
    CHECK(length + 8 > bytes.size());
    CHECK(model_text(read_model(start, weights)) == model_text(model));
  }
}

TEST_CASE("model_io: a flipped bit gives an error or another model, but no crash") {
  const Model model = everything();
  std::vector<std::byte> bytes = write_model(model);
  const std::vector<std::byte> weights = joined(make_weights_section(model));
  std::mt19937 random(20240607);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto bit = std::byte{static_cast<unsigned char>(1u << (random() % 8))};
    bytes[i] ^= bit;
    CAPTURE(i);
    CAPTURE(static_cast<int>(bit));
    CHECK_NOTHROW(error_of(bytes, weights));
    bytes[i] ^= bit;
  }
}

}  // namespace
}  // namespace moru
