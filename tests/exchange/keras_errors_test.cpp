// What users get told for JSON that is no model, or none that Moru can compile: the whole message.
#include <doctest/doctest.h>

#include <string>

#include "compiler/exchange/keras_json.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

std::string error_of(const std::string& text) {
  try {
    import_keras_json(text, "m.json");
  } catch (const CompileError& error) {
    return error.what();
  }
  return "no error";
}

std::string sequential_of(const std::string& layers) {
  return R"({"class_name": "Sequential", "keras_version": "2.15.0", "config": {"name": "s", "layers": [)" + layers +
         "]}}";
}

constexpr const char* input_x =
    R"({"name": "x", "class_name": "InputLayer", "config": {"batch_input_shape": [null, 3]}, "inbound_nodes": []})";

std::string functional_of(const std::string& layers, const std::string& outputs) {
  return R"({"class_name": "Functional", "keras_version": "2.15.0", "config": {"name": "m", "layers": [)" +
         std::string(input_x) + ", " + layers + R"(], "input_layers": [["x", 0, 0]], "output_layers": )" + outputs +
         "}}";
}

std::string dense_layer(const std::string& name, const std::string& inbound, const std::string& more = "") {
  return R"({"name": ")" + name + R"(", "class_name": "Dense", "config": {"name": ")" + name + R"(", "units": 2)" +
         more + R"(}, "inbound_nodes": [)" + inbound + "]}";
}

struct WrongJson {
  std::string name;
  std::string text;
  std::string message;
};

const WrongJson wrong_jsons[] = {
    {"nothing", "", "m.json: is empty"},
    {"no JSON", "units: 3\n", "m.json: is not valid JSON at line 1, column 1: invalid literal; last read: 'u'"},
    {"truncated JSON", "{\"class_name\": \"Sequential\",\n \"config\": {\"layers\": [\n",
     "m.json: is not valid JSON at line 3, column 1: unexpected end of input; expected '[', '{', or a literal"},
    {"a list", "[1, 2]", "m.json: is not a Keras model: expected an object but got [1,2]"},
    {"another JSON", R"({"name": "package", "version": "1.0"})",
     "m.json: is not a Keras model: the key 'class_name' is missing\n"
     "  hint: give it the output of model.to_json()"},
    {"an HDF5 file", std::string("\x89HDF\r\n\x1a\n"), "m.json: is an HDF5 file, not JSON"},
    {"a zip archive", "PK\x03\x04", "m.json: is a zip archive, not JSON"},
    {"a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
     "m.json: is a Git LFS pointer, not the file itself\n"
     "  hint: fetch it with 'git lfs pull'"},
    {"Keras 1", R"({"class_name": "Sequential", "keras_version": "1.2.2", "config": []})",
     "m.json: was written by Keras 1.2.2, which is not supported\n"
     "  hint: load and save it with Keras 2 first"},
    {"a subclassed model", R"({"class_name": "MyModel", "config": {"units": 3}})",
     "m.json: model: a model of class 'MyModel' cannot be read from JSON\n"
     "  hint: only Sequential and Functional models carry their structure; a subclassed model is Python code"},
    {"a Sequential without layers", sequential_of(""), "m.json: model.config: the Sequential 's' has no layers"},
    {"a Sequential without an input", sequential_of(R"({"class_name": "Dense", "config": {"units": 2}})"),
     "m.json: the Sequential 's' does not say the shape of its input\n"
     "  hint: build the model before saving it, or give its first layer an input_shape"},
    {"layers that are no list", R"({"class_name": "Sequential", "config": {"layers": 3}})",
     "m.json: model.config.layers: must be a list but is 3"},
    {"a layer without a class",
     functional_of(R"({"name": "d", "config": {}, "inbound_nodes": []})", R"([["d", 0, 0]])"),
     "m.json: model.config.layers[1]: the key 'class_name' is missing"},
    {"a layer without a config",
     functional_of(R"({"name": "d", "class_name": "Dense", "inbound_nodes": []})", R"([["d", 0, 0]])"),
     "m.json: model.config.layers[1]: the key 'config' is missing"},
    {"two layers of one name",
     functional_of(dense_layer("d", R"([["x", 0, 0, {}]])") + ", " + dense_layer("d", R"([["x", 0, 0, {}]])"),
                   R"([["d", 0, 0]])"),
     "m.json: model.config.layers[2]: a second layer is named 'd'"},
    {"an input from a layer that does not exist",
     functional_of(dense_layer("d", R"([["dense_9", 0, 0, {}]])"), R"([["d", 0, 0]])"),
     "m.json: model.config: the layer 'd' takes its input from the layer 'dense_9', which does not exist"},
    {"an output that does not exist", functional_of(dense_layer("d", R"([["x", 0, 0, {}]])"), R"([["y", 0, 0]])"),
     "m.json: model.config: an input or output of the model names the layer 'y', which does not exist"},
    {"a call that does not exist", functional_of(dense_layer("d", R"([["x", 0, 0, {}]])"), R"([["d", 1, 0]])"),
     "m.json: model.config: call 1 (counted from 0) of the layer 'd' is used, but it is called 1 time"},
    {"a tensor that does not exist", functional_of(dense_layer("d", R"([["x", 0, 0, {}]])"), R"([["d", 0, 2]])"),
     "m.json: output 2 of the layer 'd' is used, but it has 1 output"},
    {"a cycle",
     functional_of(dense_layer("a", R"([["b", 0, 0, {}]])") + ", " + dense_layer("b", R"([["a", 0, 0, {}]])"),
                   R"([["b", 0, 0]])"),
     "m.json: the layers 'a', 'b' wait for each other's outputs (a cycle)"},
    {"inbound nodes that are none", functional_of(dense_layer("d", R"(["x"])"), R"([["d", 0, 0]])"),
     "m.json: model.config.layers[1].inbound_nodes[0]: must be [layer, node, tensor] but is \"x\""},
    {"no outputs", functional_of(dense_layer("d", R"([["x", 0, 0, {}]])"), "[]"),
     "m.json: model.config.output_layers: the model has no outputs"},
    {"an input shape that is none",
     R"({"class_name": "Sequential", "config": {"layers": [{"class_name": "InputLayer", "config": {"batch_input_shape": [null, "a"]}}]}})",
     "m.json: model.config.layers[0].config.batch_input_shape: must be a shape but is [null,\"a\"]"},
    {"everything that is not supported, in one list",
     sequential_of(
         R"({"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [null, 5, 3], "dtype": "string"}},
                      {"class_name": "SineLayer", "config": {"name": "conv", "filters": 3}},
                      {"class_name": "Lambda", "config": {"name": "code", "function": ["abc", null, null]}},
                      {"class_name": "LSTM", "config": {"name": "rnn", "units": 3, "time_major": true, "dropout": 0.2, "unroll": true,
                                                        "kernel_constraint": {"class_name": "MyNorm", "config": {}}}},
                      {"class_name": "Hashing", "config": {"name": "hash", "num_bins": 4}},
                      {"class_name": "TimeDistributed", "config": {"name": "td", "layer": {"class_name": "CosineLayer", "config": {"name": "c"}}}},
                      {"class_name": "Dense", "config": {"name": "d", "units": "three", "activation": "my_activation", "dtype": "float16",
                        "kernel_initializer": {"class_name": "MyInitializer", "config": {}}, "flavour": "sweet",
                        "kernel_regularizer": {"class_name": "MyRegularizer", "config": {"factor": 0.1}}}})"),
     "m.json: 13 things in this model are not supported:\n"
     "  layer 'x' (InputLayer): inputs of dtype 'string' are not supported\n"
     "  layer 'conv' (SineLayer): layers of this class are not supported\n"
     "  layer 'code' (Lambda): holds Python code, which a compiler cannot read\n"
     "  layer 'rnn' (LSTM): attribute 'time_major' = true is not supported\n"
     "  layer 'rnn' (LSTM): attribute 'kernel_constraint' is the unknown constraint 'MyNorm'\n"
     "  layer 'hash' (Hashing): reads text, which is a recipe's work: begin the model behind this layer, and give the column "
     "\"encoder\": \"hashing\"\n"
     "  layer 'c' (CosineLayer): layers of this class are not supported\n"
     "  layer 'd' (Dense): computing in 'float16' is not supported, only in 'float32' and 'mixed_bfloat16'\n"
     "  layer 'd' (Dense): attribute 'units' must be an integer but is \"three\"\n"
     "  layer 'd' (Dense): attribute 'activation' is the unknown activation 'my_activation'\n"
     "  layer 'd' (Dense): attribute 'kernel_initializer' is the unknown initializer 'MyInitializer'\n"
     "  layer 'd' (Dense): attribute 'flavour' = \"sweet\" is not supported\n"
     "  layer 'd' (Dense): attribute 'kernel_regularizer' is the unknown regularizer 'MyRegularizer'\n"
     "  hint: replace Python code by layers such as Rescaling or Reshape, or apply it to the data beforehand"},
    {"a mask in a call that is none",
     R"({"class_name": "Functional", "config": {"name": "m", "layers": [
       {"name": "x", "class_name": "InputLayer", "config": {"batch_shape": [null, 5, 3], "dtype": "float32"}, "inbound_nodes": []},
       {"name": "r", "class_name": "GRU", "config": {"units": 3}, "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__",
         "config": {"shape": [null, 5, 3], "dtype": "float32", "keras_history": ["x", 0, 0]}}], "kwargs": {"mask": {"class_name":
         "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}}}]}],
       "input_layers": [["x", 0, 0]], "output_layers": [["r", 0, 0]]}})",
     "layer 'r' (GRU): needs a mask [batch, 5], one value for each step, but got [batch, 5, 3]\n"
     "  the input is the model's input 'x'"},
    {"a stateful layer without a batch size",
     sequential_of(R"({"class_name": "LSTM", "config": {"name": "l", "units": 2, "stateful": true, "batch_input_shape": [null, 5, 3]}})"),
     "layer 'l' (LSTM): is stateful and needs a fixed batch size, but its input is [batch, 5, 3]\n"
     "  the input is the model's input 'l_input'\n"
     "  hint: give the model's input a batch size (batch_shape in Keras): a state belongs to one row of the batch"},
    {"a cell of one's own",
     sequential_of(R"({"class_name": "RNN", "config": {"name": "r", "batch_input_shape": [null, 5, 3], "cell": {"class_name": "StackedRNNCells",
       "config": {"cells": [{"class_name": "GRUCell", "config": {"units": 2}}, {"class_name": "MyCell", "config": {}}]}}}})"),
     "m.json: one thing in this model is not supported:\n"
     "  layer 'r' (RNN): runs a cell of the class 'MyCell', which is not supported"},
    {"a wrong rank",
     sequential_of(R"({"class_name": "LSTM", "config": {"name": "l1", "units": 2, "batch_input_shape": [null, 5, 3]}},
                      {"class_name": "LSTM", "config": {"name": "l2", "units": 2}})"),
     "layer 'l2' (LSTM): needs a sequence [batch, time, features] but got [batch, 2]\n"
     "  the input is the output of 'l1', which returns only its last step\n"
     "  hint: set return_sequences=true on 'l1'"},
    {"a wrong attribute",
     sequential_of(R"({"class_name": "Dense", "config": {"name": "d", "units": 0, "batch_input_shape": [null, 3]}})"),
     "layer 'd' (Dense): attribute 'units' is 0 but must be at least 1"},
    {"a wrong shape inside a nested model",
     functional_of(R"({"name": "inner", "class_name": "Sequential", "config": {"name": "inner", "layers": [
         {"class_name": "Dense", "config": {"name": "d", "units": 2}}, {"class_name": "GRU", "config": {"name": "g", "units": 2}}]},
         "inbound_nodes": [[["x", 0, 0, {}]]]})",
                   R"([["inner", 1, 0]])"),
     "layer 'g' (GRU): needs a sequence [batch, time, features] but got [batch, 2]\n"
     "  the input is the output of 'd'\n"
     "  hint: set return_sequences=true on the recurrent layer before it, or add an axis with Reshape"},
};

TEST_CASE("keras: JSON that cannot be compiled is refused with the place and the remedy") {
  for (const WrongJson& wrong : wrong_jsons) {
    CAPTURE(wrong.name);
    CHECK(error_of(wrong.text) == wrong.message);
  }
}

TEST_CASE("keras: JSON that nests without end is refused, not followed") {
  for (const char* open : {"[", "{\"config\":"}) {
    std::string text;
    for (int i = 0; i < 1'000'000; ++i) text += open;
    CHECK(error_of(text) == "m.json: nests deeper than 200 levels");
  }
}

TEST_CASE("keras: models and wrappers that nest too deep are refused") {
  std::string layer = R"({"class_name": "Dense", "config": {"units": 2}})";
  for (int i = 0; i < 40; ++i) layer = R"({"class_name": "TimeDistributed", "config": {"layer": )" + layer + "}}";
  CHECK(error_of(sequential_of(layer)).find("nest deeper than 32 levels") != std::string::npos);
  std::string model = R"({"class_name": "Dense", "config": {"units": 2}})";
  for (int i = 0; i < 40; ++i) model = R"({"class_name": "Sequential", "config": {"layers": [)" + model + "]}}";
  CHECK(error_of(model).find("nest deeper than 32 levels") != std::string::npos);
}

TEST_CASE("keras: a valid model cut off anywhere is refused without a crash") {
  const std::string text = functional_of(dense_layer("d", R"([["x", 0, 0, {}]])"), R"([["d", 0, 0]])");
  REQUIRE(error_of(text) == "no error");
  for (size_t length = 0; length < text.size(); ++length) CHECK(error_of(text.substr(0, length)) != "no error");
}

TEST_CASE("keras: a class of the user's that is named like one of Keras is refused by what it is registered as") {
  const std::string layer = R"({"module": "mine", "class_name": "Dense", "registered_name": "Custom>Dense",
    "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3]}})";
  CHECK(error_of(sequential_of(layer)) ==
        "m.json: one thing in this model is not supported:\n"
        "  layer 'd' (Dense): is a class of its own, registered as 'Custom>Dense': code, which a compiler cannot read");
}

TEST_CASE("keras: weights that no memory holds are refused by their shape") {
  const std::string layer = R"({"class_name": "Embedding", "config": {"name": "e", "input_dim": 4294967296, "output_dim": 4294967296,
    "batch_input_shape": [null, 3]}})";
  CHECK(error_of(sequential_of(layer)).find("its weight 'embeddings' would be [4294967296, 4294967296], which no memory holds") != std::string::npos);
}

TEST_CASE("keras: quantized layers are refused by the name of their policy") {
  const std::string layer = R"({"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3], "dtype":
    {"module": "keras", "class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"},
     "registered_name": null}}})";
  CHECK(error_of(sequential_of(layer)) ==
        "m.json: one thing in this model is not supported:\n"
        "  layer 'd' (Dense): computing in 'int8_from_float32' is not supported, only in 'float32' and 'mixed_bfloat16'");
}

TEST_CASE("keras: any key of a valid model may be missing or of another type without a crash") {
  const std::string text = functional_of(dense_layer("d", R"([["x", 0, 0, {}]])"), R"([["d", 0, 0]])");
  for (const char* replacement : {"null", "3", "\"text\"", "[]", "{}", "[[[]]]", "-1", "1e300", "true"}) {
    for (size_t at = text.find(": "); at != std::string::npos; at = text.find(": ", at + 1)) {
      // The value behind the colon: up to the comma or bracket that ends it.
      size_t end = at + 2;
      int depth = 0;
      for (; end < text.size(); ++end) {
        const char c = text[end];
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
        if (c == '[' || c == '{') ++depth;
        if (c == ']' || c == '}') --depth;
      }
      const std::string changed = text.substr(0, at + 2) + replacement + text.substr(end);
      CAPTURE(changed);
      CHECK_NOTHROW(error_of(changed));
    }
  }
}

}  // namespace
}  // namespace moru
