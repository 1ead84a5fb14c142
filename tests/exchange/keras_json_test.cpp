#include "compiler/exchange/keras_json.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/model/model_text.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const Layer& layer_of(const Model& model, const std::string& name) {
  for (const Layer& layer : model.layers) {
    if (layer.name == name) return layer;
  }
  FAIL("no layer " << name);
  return model.layers.front();
}

std::string paths_text(Model& model) {
  std::string text;
  for (const ParameterPath& path : all_parameters(model)) text += path.path + " ";
  return text;
}

void check_round_trip(const Model& model) {
  const std::string exported = export_keras_json(model);
  const Model back = import_keras_json(exported, model.source);
  CHECK(model_text(back) == model_text(model));
  CHECK(export_keras_json(back) == exported);
}

fs::path oracles() {
  const char* shared = std::getenv("MORU_SHARED");
  return (shared != nullptr ? fs::path(shared) : fs::path(MORU_SOURCE_DIR) / ".." / "shared") / "oracles" / "keras";
}

TEST_CASE("keras: every oracle model imports with the weights that Keras gives it") {
  if (!fs::exists(oracles())) {
    MESSAGE("skipped: no Keras oracles at " << oracles());
    return;
  }
  int imported = 0;
  for (const char* kind : {"predict", "train"}) {
    for (const auto& folder : fs::directory_iterator(oracles() / kind)) {
      const std::string name = folder.path().filename().string();
      CAPTURE(name);
      std::ifstream file(folder.path() / "case.json");
      const Json json = Json::parse(file);
      Model model = import_keras_json(json["model_config"].dump(), name);
      ++imported;
      // TensorFlow.js leaves it out of a separable convolution's config; then only the weights tell.
      std::set<std::string> without_multiplier;
      for (const Json& layer : json["model_config"]["config"]["layers"])
        if (layer["class_name"].get<std::string>().starts_with("Separable") && !layer["config"].contains("depth_multiplier"))
          without_multiplier.insert(layer["config"]["name"].get<std::string>());
      const auto paths = all_parameters(model);
      REQUIRE(paths.size() == json["weights"].size());
      for (size_t i = 0; i < paths.size(); ++i) {
        const Json& weight = json["weights"][i];
        CHECK(paths[i].path == weight["layer"].get<std::string>() + "/" + weight["name"].get<std::string>());
        if (!without_multiplier.contains(weight["layer"].get<std::string>()))
          CHECK(Json(paths[i].parameter->shape) == weight["shape"]);
        CHECK(paths[i].trainable == weight["trainable"].get<bool>());
      }
      if (name == "hard_sigmoid_keras2") continue;  // Keras 3 does not have it
      if (std::ranges::any_of(model.layers, [](const Layer& layer) { return layer.body != nullptr; })) continue;  // keras.ops
      check_round_trip(model);
    }
  }
  CHECK(imported >= 59);
}

std::string keras2(const std::string& version, const std::string& layers) {
  return R"({"class_name": "Sequential", "config": {"name": "s", "layers": [)" + layers + R"(]}, "keras_version": ")" +
         version + R"("})";
}

TEST_CASE("keras: the oldest Sequential config is a bare list") {
  const Model model = import_keras_json(R"({"class_name": "Sequential", "keras_version": "2.1.6", "config": [
    {"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3], "activation": "relu"}}]})");
  CHECK(model.dialect == "keras 2.1.6");
  CHECK(model.sequential);
  CHECK(layer_of(model, "d").attributes.string("activation") == "relu");
}

TEST_CASE("keras: JSON inside a JSON string is read") {
  const std::string inner =
      keras2("2.4.0", R"({"class_name": "Dense", "config": {"units": 2, "batch_input_shape": [null, 3]}})");
  const Model model = import_keras_json(Json(inner).dump());
  CHECK(model.layers.back().name == "dense");
}

TEST_CASE("keras: numbers that are none are read as Python writes them, and written so") {
  const std::string text = R"({"class_name": "Sequential", "config": {"name": "NaN \" -Infinity", "layers": [
    {"class_name": "InputLayer", "config": {"batch_shape": [null, 3], "name": "x"}},
    {"class_name": "ReLU", "config": {"name": "r", "max_value": Infinity}},
    {"class_name": "Rescaling", "config": {"name": "s", "scale": [1, 2.5, -Infinity], "offset": NaN}}]}})";
  const Model model = import_keras_json(text, "m.json");
  CHECK(model.layers[1].attributes.real("max_value") == std::numeric_limits<double>::infinity());
  CHECK(model.layers[2].attributes.reals("scale") == std::vector<double>{1, 2.5, -std::numeric_limits<double>::infinity()});
  CHECK(std::isnan(model.layers[2].attributes.reals("offset").at(0)));
  const std::string written = export_keras_json(model);
  CHECK(written.find(R"("max_value":Infinity)") != std::string::npos);
  CHECK(written.find(R"("scale":[1.0,2.5,-Infinity],"offset":NaN)") != std::string::npos);
  CHECK(export_keras_json(import_keras_json(written, "m.json")) == written);
  CHECK_THROWS_WITH_AS(import_keras_json("{\n  \"class_name\": NaN,\n  \"config\": Infinite}", "m.json"),
                       doctest::Contains("m.json: is not valid JSON at line 3, column"), CompileError);
}

TEST_CASE("keras: layers that augment images predict, and are refused in training") {
  Model model = import_keras_json(R"({"class_name": "Sequential", "config": {"name": "m", "layers": [
    {"class_name": "InputLayer", "config": {"batch_shape": [null, 8, 8, 3], "name": "x"}},
    {"class_name": "RandomFlip", "config": {"name": "flip", "mode": "horizontal", "seed": 3}},
    {"class_name": "RandomRotation", "config": {"name": "turn", "factor": [-0.1, 0.1], "fill_mode": "reflect", "fill_value": 0.0, "interpolation": "bilinear"}},
    {"class_name": "Flatten", "config": {"name": "f"}}, {"class_name": "Dense", "config": {"name": "d", "units": 1}}]}})", "m.json");
  CHECK_NOTHROW(make_entries(model, nullptr));
  TrainingSpec spec;
  spec.losses = {{"mean_squared_error", {}, {}}};
  spec.optimizer = {"sgd", {}, {}};
  CHECK_THROWS_WITH_AS(make_entries(model, &spec), doctest::Contains("layer 'flip' (RandomFlip): training through a layer that augments images is unsupported"), CompileError);
  CHECK(export_keras_json(model).find(R"("factor":[-0.1,0.1])") != std::string::npos);
}

TEST_CASE("keras: what is absent means what its Keras version meant") {
  const std::string lstm =
      R"({"class_name": "LSTM", "config": {"name": "l", "units": 2, "batch_input_shape": [null, 5, 3]}})";
  const std::string gru =
      R"({"class_name": "GRU", "config": {"name": "l", "units": 2, "batch_input_shape": [null, 5, 3]}})";
  const auto gates = [](const std::string& text) {
    return layer_of(import_keras_json(text), "l").attributes.string("recurrent_activation");
  };
  CHECK(gates(keras2("2.2.4", lstm)) == "hard_sigmoid_keras2");
  CHECK(gates(keras2("2.3.1", lstm)) == "hard_sigmoid_keras2");
  CHECK(gates(keras2("2.2.4-tf", lstm)) == "sigmoid");
  CHECK(gates(keras2("2.15.0", lstm)) == "sigmoid");
  CHECK(layer_of(import_keras_json(keras2("2.3.1", gru)), "l").attributes.boolean("reset_after") == false);
  CHECK(layer_of(import_keras_json(keras2("2.15.0", gru)), "l").attributes.boolean("reset_after") == true);
}

TEST_CASE("keras: hard_sigmoid is another function in Keras 2 than in Keras 3") {
  const std::string dense =
      R"({"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3], "activation": "hard_sigmoid"}})";
  CHECK(layer_of(import_keras_json(keras2("2.15.0", dense)), "d").attributes.string("activation") ==
        "hard_sigmoid_keras2");
  CHECK(layer_of(import_keras_json(keras2("3.3.0", dense)), "d").attributes.string("activation") == "hard_sigmoid");
}

TEST_CASE("keras: activations come as names, functions and layers") {
  const auto activation = [](const std::string& json) {
    const Model model = import_keras_json(keras2(
        "3.3.0",
        R"({"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3], "activation": )" +
            json + "}}"));
    return *layer_of(model, "d").attributes.find("activation");
  };
  CHECK(activation("null") == AttributeValue("linear"));
  CHECK(activation(R"("swish")") == AttributeValue("silu"));
  CHECK(activation(
            R"({"module": "builtins", "class_name": "function", "config": "gelu", "registered_name": "function"})") ==
        AttributeValue("gelu"));
  CHECK(
      activation(
          R"({"module": "keras.layers", "class_name": "LeakyReLU", "config": {"name": "x", "negative_slope": 0.1}})") ==
      AttributeValue(Attributes{{"class", "leaky_relu"}, {"negative_slope", 0.1}}));
  CHECK(activation(R"({"class_name": "LeakyReLU", "config": {"alpha": 0.25}})") ==
        AttributeValue(Attributes{{"class", "leaky_relu"}, {"negative_slope", 0.25}}));
  CHECK(activation(R"({"class_name": "LeakyReLU", "config": {}})") ==
        AttributeValue(Attributes{{"class", "leaky_relu"}, {"negative_slope", 0.3}}));
  CHECK(activation(R"({"class_name": "ReLU", "config": {"name": "r", "max_value": null, "negative_slope": 0.0}})") ==
        AttributeValue("relu"));
}

TEST_CASE("keras: initializers and regularizers have one form in every spelling") {
  const auto attribute = [](const std::string& key, const std::string& json) {
    const Model model = import_keras_json(keras2(
        "2.9.0", R"({"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3], ")" +
                     key + "\": " + json + "}}"));
    const AttributeValue* value = layer_of(model, "d").attributes.find(key);
    return value == nullptr ? AttributeValue() : *value;
  };
  const AttributeValue glorot = Attributes{{"class", "GlorotUniform"}};
  CHECK(attribute("kernel_initializer", R"("glorot_uniform")") == glorot);
  CHECK(attribute("kernel_initializer", R"("GlorotUniform")") == glorot);
  CHECK(attribute("kernel_initializer", R"({"class_name": "GlorotUniform", "config": {"seed": null}})") == glorot);
  CHECK(attribute("kernel_initializer",
                  R"({"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": 7},
                                            "registered_name": null})") ==
        AttributeValue(Attributes{{"class", "GlorotUniform"}, {"seed", 7}}));
  CHECK(attribute("kernel_initializer",
                  R"({"class_name": "RandomNormal", "config": {"mean": 0, "stddev": 0.1, "seed": null}})") ==
        AttributeValue(Attributes{{"class", "RandomNormal"}, {"mean", 0.0}, {"stddev", 0.1}}));
  CHECK(attribute("kernel_initializer", R"({"class_name": "OrthogonalInitializer", "config": {"gain": 1.0}})") ==
        AttributeValue(Attributes{{"class", "Orthogonal"}, {"gain", 1.0}}));
  CHECK(attribute("kernel_regularizer", "null").is_none());
  CHECK(attribute("kernel_regularizer", R"("l2")") == AttributeValue(Attributes{{"class", "L2"}, {"l2", 0.01}}));
  CHECK(attribute("kernel_regularizer", R"({"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}})") ==
        AttributeValue(Attributes{{"class", "L1L2"}, {"l1", 0.0}, {"l2", 0.5}}));
  CHECK(attribute("kernel_regularizer", R"({"class_name": "OrthogonalRegularizer", "config": {"factor": 0.5, "mode": "columns"}})") ==
        AttributeValue(Attributes{{"class", "OrthogonalRegularizer"}, {"factor", 0.5}, {"mode", "columns"}}));
  CHECK(attribute("kernel_constraint", R"({"class_name": "MaxNorm", "config": {"max_value": 3, "axis": 0}})") ==
        AttributeValue(Attributes{{"class", "MaxNorm"}, {"max_value", 3.0}, {"axis", std::vector<int64_t>{0}}}));
  CHECK(attribute("bias_constraint", R"("non_neg")") == AttributeValue(Attributes{{"class", "NonNeg"}}));
  CHECK(attribute("kernel_regularizer", R"({"class_name": "L1", "config": {"l1": 1}})") ==
        AttributeValue(Attributes{{"class", "L1"}, {"l1", 1.0}}));
}

// An encoder and decoder as Keras 2 writes it: states as further inbound tensors, open lengths, an inner
// TimeDistributed.
const char* const seq2seq = R"({"class_name": "Model", "keras_version": "2.2.4", "config": {"name": "m", "layers": [
  {"name": "source", "class_name": "InputLayer", "config": {"batch_input_shape": [null, null, 3], "dtype": "float32", "sparse": false, "name": "source"}, "inbound_nodes": []},
  {"name": "target", "class_name": "InputLayer", "config": {"batch_input_shape": [null, null, 2], "dtype": "float32", "sparse": false, "name": "target"}, "inbound_nodes": []},
  {"name": "dec", "class_name": "LSTM", "config": {"name": "dec", "units": 4, "return_sequences": true, "recurrent_activation": "sigmoid"},
   "inbound_nodes": [[["target", 0, 0, {}], ["enc", 0, 1, {}], ["enc", 0, 2, {}]]]},
  {"name": "enc", "class_name": "LSTM", "config": {"name": "enc", "units": 4, "return_state": true, "recurrent_activation": "sigmoid"},
   "inbound_nodes": [[["source", 0, 0, {}]]]},
  {"name": "td", "class_name": "TimeDistributed", "config": {"name": "td", "layer": {"class_name": "Dense", "config": {"name": "d", "units": 2}}},
   "inbound_nodes": [[["dec", 0, 0, {}]]]}],
  "input_layers": [["source", 0, 0], ["target", 0, 0]], "output_layers": [["td", 0, 0]]}})";

TEST_CASE("keras: states flow between layers that stand in any order, and open lengths stay apart") {
  Model model = import_keras_json(seq2seq);
  CHECK(type_text(model.type(model.outputs[0])) == "f32[batch, time_2, 2]");
  CHECK(paths_text(model) ==
        "dec/kernel dec/recurrent_kernel dec/bias enc/kernel enc/recurrent_kernel enc/bias td/layer/kernel "
        "td/layer/bias ");
  check_round_trip(import_keras_json(export_keras_json(model)));  // once, so that defaults are spelled out
  // tf.keras writes the states as a keyword argument.
  std::string keywords = seq2seq;
  const std::string states = R"(["target", 0, 0, {}], ["enc", 0, 1, {}], ["enc", 0, 2, {}])";
  keywords.replace(keywords.find(states), states.size(),
                   R"(["target", 0, 0, {"initial_state": [["enc", 0, 1], ["enc", 0, 2]], "mask": null}])");
  CHECK(model_text(import_keras_json(keywords)) == model_text(model));
}

TEST_CASE("keras: open lengths are taken as equal where the model merges them") {
  const Model model =
      import_keras_json(R"({"class_name": "Functional", "keras_version": "2.9.0", "config": {"name": "m", "layers": [
    {"name": "a", "class_name": "InputLayer", "config": {"batch_input_shape": [null, null, 3]}, "inbound_nodes": []},
    {"name": "b", "class_name": "InputLayer", "config": {"batch_input_shape": [null, null, 3]}, "inbound_nodes": []},
    {"name": "sum", "class_name": "Add", "config": {}, "inbound_nodes": [[["a", 0, 0, {}], ["b", 0, 0, {}]]]}],
    "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": ["sum", 0, 0]}})");
  CHECK(type_text(model.type(model.outputs[0])) == "f32[batch, time, 3]");
}

TEST_CASE("keras: a model drawn in C++ goes to Keras 3 and back") {
  auto encoder = std::make_shared<Model>(
      sequential({layers::input({open_extent, 3}), layers::gru(4, {.return_sequences = true})}, "encoder"));
  ModelBuilder inner("inner");
  Tensor z = inner.input("z", {4});
  LayerSpec two_heads{
      .class_name = "Functional",
      .name = "inner",
      .submodel = std::make_shared<Model>(inner.build(
          {inner.call(layers::dense(2), z),
           inner.call(layers::dense(4, {.activation = Attributes{{"class", "elu"}, {"alpha", 0.5}}}), z)}))};
  ModelBuilder m("outer");
  Tensor x = m.input("x", {24, 3});
  Tensor h = m.call({.class_name = "Sequential", .name = "encoder", .trainable = false, .submodel = encoder}, x);
  Tensor both = m.call(
      layers::bidirectional(layers::lstm(2, {.kernel_regularizer = Attributes{{"class", "L2"}, {"l2", 0.5}}})), h);
  LayerCall nested = m.add(std::move(two_heads));
  const std::vector<Tensor> heads = nested.call_all({both});
  const std::vector<Tensor> again = nested.call_all({heads[1]});
  const std::vector<Tensor> last = m.call_all(layers::gru(4, {.return_state = true}), {h, again[1]});
  const Model model = m.build({again[0], last[1]});
  const Model imported = import_keras_json(export_keras_json(model));
  CHECK(type_text(imported.type(imported.outputs[0])) == "f32[batch, 2]");
  CHECK(imported.output_names == model.output_names);
  CHECK(imported.nodes.size() == model.nodes.size());
  for (size_t i = 0; i < model.nodes.size(); ++i) {
    CHECK(imported.nodes[i].name == model.nodes[i].name);
    CHECK(imported.nodes[i].outputs == model.nodes[i].outputs);
  }
  check_round_trip(imported);
}

// A functional model of one attention layer, called as `call` says on q, v and k.
std::string attention_model(const std::string& class_name, const std::string& config, const std::string& calls) {
  std::string inputs;
  for (const char* name : {"q", "v", "k", "m"})
    inputs += R"({"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [null, )" +
              std::string(*name == 'q' ? "5, 6" : *name == 'm' ? "5, 3" : "3, 4") + R"(], "dtype": ")" +
              (*name == 'm' ? "bool" : "float32") + R"(", "name": ")" + name + R"("}, "name": ")" + name +
              R"(", "inbound_nodes": []}, )";
  return R"({"class_name": "Functional", "config": {"name": "m", "layers": [)" + inputs +
         R"({"module": "keras.layers", "class_name": ")" + class_name + R"(", "config": {"name": "attend", )" + config +
         R"(}, "name": "attend", "inbound_nodes": [)" + calls +
         R"(]}], "input_layers": [["q", 0, 0], ["v", 0, 0], ["k", 0, 0], ["m", 0, 0]], "output_layers": [["attend", 0, 0]]}})";
}

std::string tensor3(const std::string& name) {
  return R"({"class_name": "__keras_tensor__", "config": {"keras_history": [")" + name + R"(", 0, 0]}})";
}

TEST_CASE("keras: attention takes its tensors and flags by position or by name") {
  const std::string config = R"("num_heads": 2, "key_dim": 3, "query_shape": [null, 5, 6], "attention_axes": [1])";
  const auto inputs_of = [](const Model& model) {
    std::string text;
    for (const TensorRef& ref : model.nodes.back().inputs) text += model.nodes[ref.node].name + " ";
    return text;
  };
  const auto import = [&](const std::string& args, const std::string& kwargs) {
    return import_keras_json(attention_model("MultiHeadAttention", config, R"({"args": [)" + args + R"(], "kwargs": {)" + kwargs + "}}"));
  };
  Model model = import(tensor3("q") + ", " + tensor3("v"), R"("use_causal_mask": true, "training": null)");
  CHECK(inputs_of(model) == "q v ");
  CHECK(layer_of(model, "attend").attributes.boolean("use_causal_mask"));
  CHECK(type_text(model.nodes.back().outputs[0]) == "f32[batch, 5, 6]");
  check_round_trip(import_keras_json(export_keras_json(model)));
  model = import(tensor3("q"), R"("value": )" + tensor3("v") + R"(, "attention_mask": )" + tensor3("m") +
                                   R"(, "return_attention_scores": true)");
  CHECK(inputs_of(model) == "q v v m ");  // the key is the value where it is left out
  CHECK(type_text(model.nodes.back().outputs[1]) == "f32[batch, 2, 5, 3]");
  check_round_trip(import_keras_json(export_keras_json(model)));
  model = import("", R"("query": )" + tensor3("q") + R"(, "value": )" + tensor3("v") + R"(, "key": )" + tensor3("k"));
  CHECK(inputs_of(model) == "q v k ");
  CHECK(paths_text(model) ==
        "attend/query/kernel attend/query/bias attend/key/kernel attend/key/bias attend/value/kernel attend/value/bias "
        "attend/attention_output/kernel attend/attention_output/bias ");
  const Model keras2 = import_keras_json(attention_model(
      "MultiHeadAttention", config, R"([["q", 0, 0, {"value": ["v", 0, 0], "attention_mask": ["m", 0, 0], "use_causal_mask": false}]])"));
  CHECK(inputs_of(keras2) == "q v v m ");
  const Model grouped = import_keras_json(attention_model(
      "GroupQueryAttention", R"("head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2)",
      R"({"args": [)" + tensor3("q") + ", " + tensor3("v") + R"(], "kwargs": {}})"));
  CHECK(layer_of(grouped, "attend").class_name == "GroupedQueryAttention");
  check_round_trip(import_keras_json(export_keras_json(grouped)));
  const std::string two_calls = R"({"args": [)" + tensor3("q") + ", " + tensor3("v") + R"(], "kwargs": {}}, {"args": [)" +
                                tensor3("q") + ", " + tensor3("v") + R"(], "kwargs": {"use_causal_mask": true}})";
  CHECK_THROWS_WITH_AS(import_keras_json(attention_model("MultiHeadAttention", config, two_calls)),
                       doctest::Contains("calls of one layer with different arguments are not supported"), CompileError);
}

TEST_CASE("keras: a Sequential without an input takes it from its call") {
  const Model model =
      import_keras_json(R"({"class_name": "Functional", "keras_version": "2.9.0", "config": {"name": "m", "layers": [
    {"name": "x", "class_name": "InputLayer", "config": {"batch_input_shape": [null, 3]}, "inbound_nodes": []},
    {"name": "s", "class_name": "Sequential", "config": {"name": "s", "layers": [
      {"class_name": "Dense", "config": {"name": "d", "units": 7}}]}, "inbound_nodes": [[["x", 0, 0, {}]]]}],
    "input_layers": [["x", 0, 0]], "output_layers": [["s", 1, 0]]}})");
  CHECK(layer_of(*layer_of(model, "s").submodel, "d").parameters[0].shape == std::vector<int64_t>{3, 7});
  CHECK(type_text(model.type(model.outputs[0])) == "f32[batch, 7]");
}

TEST_CASE("keras: Bidirectional's backward layer is kept only where it differs from the forward one") {
  const auto bidirectional = [](const std::string& backward) {
    return layer_of(import_keras_json(keras2("2.9.0", R"({"class_name": "Bidirectional", "config": {"name": "bi",
      "batch_input_shape": [null, 5, 3], "merge_mode": "concat",
      "layer": {"class_name": "LSTM", "config": {"name": "f", "units": 4, "go_backwards": false}},
      "backward_layer": )" + backward + "}}")),
                    "bi")
        .attributes.has("backward_layer");
  };
  CHECK_FALSE(bidirectional("null"));
  CHECK_FALSE(bidirectional(R"({"class_name": "LSTM", "config": {"name": "b", "units": 4, "go_backwards": true}})"));
  CHECK(bidirectional(R"({"class_name": "LSTM", "config": {"name": "b", "units": 6, "go_backwards": true}})"));
}

TEST_CASE("keras: weights are assigned by their path, and a wrong one is refused") {
  Model model = import_keras_json(seq2seq);
  const std::vector<float> bias = {1.0f, 2.0f};
  const int64_t shape[] = {2}, wrong[] = {1, 2};
  assign_weight(model, "td/layer", "bias", bias, shape);
  CHECK(all_parameters(model).back().parameter->data == bias);
  CHECK_THROWS_WITH_AS(assign_weight(model, "td/layer", "bias", bias, wrong),
                       "layer 'td' (TimeDistributed): its weight 'layer/bias' is [2] but the given one is [1, 2]",
                       CompileError);
  CHECK_THROWS_WITH_AS(assign_weight(model, "td/layer", "biass", bias, shape),
                       "the model has no weight 'td/layer/biass'\n  hint: did you mean 'td/layer/bias'?", CompileError);
}

}  // namespace
}  // namespace moru
