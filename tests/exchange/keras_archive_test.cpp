#include "compiler/exchange/keras_archive.h"

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "compiler/exchange/hdf5_file.h"
#include "compiler/exchange/keras_json.h"
#include "compiler/exchange/keras_weights.h"
#include "compiler/exchange/zip_file.h"
#include "compiler/model/functional.h"
#include "compiler/model/layers.h"
#include "compiler/support/error.h"

namespace moru {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

template <typename Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const CompileError& error) {
    return error.what();
  }
  FAIL("nothing was refused");
  return {};
}

// Two Dense layers under names of their own, a recurrent one in both directions, a frozen nested model.
Model make_model() {
  auto encoder = std::make_shared<Model>(sequential(
      {layers::input({4}), layers::dense(3, {.name = "inner_a"}), layers::dense(3, {.name = "inner_b"})}, "encoder"));
  ModelBuilder m("whole");
  Tensor x = m.input("x", {5, 2}), z = m.input("z", {4});
  Tensor h = m.call(layers::bidirectional(layers::lstm(2, {}), "concat", "both_ways"), x);
  Tensor e = m.call({.class_name = "Sequential", .name = "encoder", .trainable = false, .submodel = encoder}, z);
  Tensor y = m.call(layers::dense(4, {.name = "first"}), h);
  y = m.call(layers::concatenate(), {y, e});
  y = m.call(layers::spectral_normalization(layers::dense(3), 2, "normalized"), y);
  y = m.call(layers::dense(1, {.name = "last"}), y);
  Model model = m.build({y});
  initialize_parameters(model, 3);
  return model;
}

std::vector<float> values_of(Model& model) {
  std::vector<float> all;
  for (const ParameterPath& path : all_parameters(model))
    all.insert(all.end(), path.parameter->data.begin(), path.parameter->data.end());
  return all;
}

std::string zip_of(const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<std::pair<std::string, std::span<const std::byte>>> spans;
  for (const auto& [name, content] : files) spans.emplace_back(name, bytes_of(content));
  const std::vector<std::byte> bytes = write_zip(spans);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

TEST_CASE("keras archives: .keras, .h5 and weights alone give back every bit") {
  Model model = make_model();
  const std::vector<float> values = values_of(model);
  Model archive = import_keras_file(export_keras_archive(model), "m.keras");
  CHECK(values_of(archive) == values);
  CHECK(export_keras_json(archive) == export_keras_json(model));
  Model legacy = import_keras_file(export_keras_h5(model), "m.h5");
  CHECK(values_of(legacy) == values);
  Model bare = import_keras_json(export_keras_json(model));
  import_keras_weights(bare, export_keras_weights(model), "w.weights.h5");
  CHECK(values_of(bare) == values);
  Model again = import_keras_json(export_keras_json(model));
  import_keras_weights(again, export_keras_h5(model), "m.h5");  // a whole model serves as weights too
  CHECK(values_of(again) == values);
  CHECK(export_keras_archive(model) == export_keras_archive(model));
}

TEST_CASE("keras archives: the kernel that SpectralNormalization normalizes stands among its own weights too") {
  const std::string source = "m.keras";
  Model model = make_model();
  const std::vector<std::byte> archive = export_keras_archive(model);
  const std::unique_ptr<Hdf5Group> file = read_hdf5(read_zip(archive, source).at("model.weights.h5").bytes, source);
  const auto dataset = [&](const std::string& path) {
    const Hdf5Dataset* found = file->find_dataset("layers/spectral_normalization/" + path);
    REQUIRE_MESSAGE(found, path);
    return found;
  };
  // As Keras' Layer.save_own_variables: trainable ones first, then the others.
  CHECK(dataset("vars/0")->shape == std::vector<int64_t>{7, 3});
  CHECK(dataset("vars/1")->shape == std::vector<int64_t>{1, 3});
  CHECK(dataset("layer/vars/0")->shape == std::vector<int64_t>{7, 3});
  CHECK(dataset("layer/vars/1")->shape == std::vector<int64_t>{3});
}

TEST_CASE("keras: a model under the policy mixed_bfloat16 comes and goes with it") {
  Model model = make_model();
  CHECK(import_keras_json(export_keras_json(model)).dtype_policy == DTypePolicy::float32);
  model.dtype_policy = DTypePolicy::mixed_bfloat16;
  const std::string text = export_keras_json(model);
  CHECK(text.find(R"("name":"mixed_bfloat16")") != std::string::npos);
  CHECK(text.find(R"("name":"float32")") == std::string::npos);
  const Model back = import_keras_json(text);
  CHECK(back.dtype_policy == DTypePolicy::mixed_bfloat16);
  CHECK(export_keras_json(back) == text);
  // One layer under a policy of its own, as Keras 2 writes it.
  const Model one = import_keras_json(R"({"class_name": "Sequential", "config": {"name": "m", "layers": [
    {"class_name": "InputLayer", "config": {"batch_input_shape": [null, 3], "name": "x"}},
    {"class_name": "Dense", "config": {"name": "d", "units": 2, "dtype": {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}}}]},
    "keras_version": "2.15.0"})");
  CHECK(one.dtype_policy == DTypePolicy::mixed_bfloat16);
}

TEST_CASE("keras archives: the layout of Keras 3 goes by class and order") {
  Model model = make_model();
  Hdf5Group root;
  write_keras3_weights(model, root);
  for (const char* path :
       {"layers/dense/vars/0", "layers/dense/vars/1", "layers/dense_1/vars/0",
        "layers/bidirectional/forward_layer/cell/vars/2", "layers/bidirectional/backward_layer/cell/vars/0",
        "layers/sequential/layers/dense/vars/0", "layers/sequential/layers/dense_1/vars/1"})
    CHECK_MESSAGE(root.find_dataset(path) != nullptr, path);
  CHECK(root.find_group("layers/input_layer_1/vars") != nullptr);
  CHECK(root.find_group("layers/dense/vars")->text("name") == "first");
  // Numbers may have gaps where Keras counted a layer twice; their order is what counts.
  Hdf5Group& layers = root.make_group("layers");
  layers.groups["dense_4"] = std::move(layers.groups["dense_1"]);
  layers.groups.erase("dense_1");
  const std::vector<float> values = values_of(model);
  Model other = import_keras_json(export_keras_json(model));
  read_keras_weights(other, root, "w.h5");
  CHECK(values_of(other) == values);
  // tf.keras 2.12 called the group otherwise, Keras on Windows joined names by backslashes.
  Hdf5Group windows;
  for (auto& [name, group] : layers.groups) windows.groups["layers\\" + name] = std::move(group);
  Model third = import_keras_json(export_keras_json(model));
  read_keras_weights(third, *read_hdf5(write_hdf5(windows), "w.h5"), "w.h5");
  CHECK(values_of(third) == values);
}

TEST_CASE("keras archives: cells in both directions stand in the layer of each direction") {
  Model model = import_keras_json(R"({"class_name": "Sequential", "config": {"name": "s", "layers": [
    {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [null, 5, 3]}},
    {"class_name": "Bidirectional", "config": {"name": "one", "layer": {"class_name": "RNN", "config": {"name": "r",
      "return_sequences": true, "cell": {"class_name": "GRUCell", "config": {"name": "c", "units": 2}}}}}},
    {"class_name": "Bidirectional", "config": {"name": "several", "layer": {"class_name": "RNN", "config": {"name": "q",
      "cell": {"class_name": "StackedRNNCells", "config": {"name": "cells", "cells": [
        {"class_name": "LSTMCell", "config": {"name": "a", "units": 2}}, {"class_name": "GRUCell", "config": {"name": "b", "units": 3}},
        {"class_name": "LSTMCell", "config": {"name": "c", "units": 2}}]}}}}}}]}})");
  initialize_parameters(model, 3);
  Hdf5Group root;
  write_keras3_weights(model, root);
  for (const char* path :
       {"layers/bidirectional/forward_layer/cell/vars/2", "layers/bidirectional/backward_layer/cell/vars/0",
        "layers/bidirectional_1/forward_layer/cell/cells/lstm_cell/vars/0", "layers/bidirectional_1/forward_layer/cell/cells/gru_cell/vars/1",
        "layers/bidirectional_1/backward_layer/cell/cells/lstm_cell_1/vars/2"})
    CHECK_MESSAGE(root.find_dataset(path) != nullptr, path);
  Model other = import_keras_json(export_keras_json(model));
  read_keras_weights(other, root, "w.h5");
  CHECK(values_of(other) == values_of(model));
}

TEST_CASE("keras archives: a Normalization has a count in Keras, and no weights where it is given its statistics") {
  using Reals = std::vector<double>;
  ModelBuilder m("m");
  const Tensor x = m.input("x", {3});
  const Tensor fitted = m.layer("Normalization", {}, "fitted")(x);
  const Tensor given = m.layer("Normalization", {{"mean", Reals{1, 2, 3}}, {"variance", Reals{4}}}, "given")(fitted);
  Model model = m.build({m.layer("Dense", {{"units", 2}}, "d")(given)});
  initialize_parameters(model, 3);
  const std::vector<float> values = values_of(model);
  Hdf5Group keras3, legacy;
  write_keras3_weights(model, keras3);
  write_legacy_weights(model, legacy);
  REQUIRE(keras3.find_dataset("layers/normalization/vars/2"));
  CHECK(keras3.find_dataset("layers/normalization/vars/2")->integers == std::vector<int64_t>{0});
  CHECK(keras3.find_dataset("layers/normalization_1/vars/0") == nullptr);
  REQUIRE(legacy.find_dataset("fitted/fitted/count"));
  CHECK(legacy.find_group("given")->attributes.at("weight_names").texts.empty());
  const auto read = [&](const Hdf5Group& group) {
    Model other = import_keras_json(export_keras_json(model));
    read_keras_weights(other, group, "w.h5");
    return values_of(other);
  };
  CHECK(read(keras3) == values);
  CHECK(read(legacy) == values);
  // Versions without a count.
  Hdf5Group& group = legacy.make_group("fitted");
  group.make_group("fitted").datasets.erase("count");
  group.attributes["weight_names"].texts.pop_back();
  CHECK(read(legacy) == values);
}

TEST_CASE("keras archives: a recurrent layer inside two wrappers stands where Keras looks for it") {
  ModelBuilder m("m");
  const Tensor x = m.input("x", {4, 5, 3});
  const Attributes both_ways{{"class", "Bidirectional"}, {"layer", Attributes{{"class", "GRU"}, {"units", 2}}}};
  Model model = m.build({m.layer("TimeDistributed", {{"layer", both_ways}}, "steps")(x)});
  initialize_parameters(model, 3);
  Hdf5Group root;
  write_keras3_weights(model, root);
  for (const char* path : {"layers/time_distributed/layer/forward_layer/cell/vars/0", "layers/time_distributed/layer/backward_layer/cell/vars/2"})
    CHECK_MESSAGE(root.find_dataset(path) != nullptr, path);
  Model other = import_keras_json(export_keras_json(model));
  read_keras_weights(other, root, "w.h5");
  CHECK(values_of(other) == values_of(model));
  const std::string text = export_keras_json(model);
  CHECK(text.find(R"("build_config":{"input_shape":[null,4,5,3]})") != std::string::npos);
  CHECK(text.find(R"("input_layers":["x",0,0],"output_layers":["steps",0,0])") != std::string::npos);
}

TEST_CASE("keras archives: projections of attention stand where Keras' attributes hold them") {
  ModelBuilder m("m");
  const Tensor q = m.input("q", {5, 6}), v = m.input("v", {3, 4});
  const Tensor a = m.layer("MultiHeadAttention", {{"num_heads", 2}, {"key_dim", 3}})({q, v});
  const Tensor b = m.layer("GroupedQueryAttention",
                           {{"head_dim", 2}, {"num_query_heads", 4}, {"num_key_value_heads", 2}})({a, v});
  Model model = m.build({b});
  initialize_parameters(model, 3);
  Hdf5Group root;
  write_keras3_weights(model, root);
  for (const char* path :
       {"layers/multi_head_attention/query_dense/vars/0", "layers/multi_head_attention/key_dense/vars/1",
        "layers/multi_head_attention/value_dense/vars/0", "layers/multi_head_attention/output_dense/vars/1",
        "layers/grouped_query_attention/_query_dense/vars/0", "layers/grouped_query_attention/_output_dense/vars/1"})
    CHECK_MESSAGE(root.find_dataset(path) != nullptr, path);
  const std::vector<float> values = values_of(model);
  Model archive = import_keras_file(export_keras_archive(model), "m.keras");
  CHECK(values_of(archive) == values);
  Model legacy = import_keras_file(export_keras_h5(model), "m.h5");
  CHECK(values_of(legacy) == values);
}

TEST_CASE("keras: configs are written in the forms that the constructors of Keras 3 take") {
  ModelBuilder m("m");
  Tensor x = m.layer("ZeroPadding2D", {{"padding", std::vector<int64_t>{1, 1, 2, 2}}})(m.input("x", {4, 6, 3}));
  x = m.layer("Cropping2D", {{"cropping", std::vector<int64_t>{1, 0, 0, 2}}})(x);
  x = m.layer("Dropout", {{"rate", 0.5}, {"noise_shape", std::vector<int64_t>{-1, 1, 1, 3}}})(x);
  x = m.layer("SpatialDropout2D", {{"rate", 0.5}})(x);
  x = m.layer("ZeroPadding1D", {{"padding", std::vector<int64_t>{1, 2}}})(m.layer("Reshape", {{"target_shape", std::vector<int64_t>{5, 24}}})(x));
  const Model model = m.build({m.layer("SimpleRNN", {{"units", 2}})(x)});
  const auto config = nlohmann::json::parse(export_keras_json(model));
  std::map<std::string, nlohmann::json> of;
  for (const auto& layer : config["config"]["layers"]) of[layer["class_name"]] = layer["config"];
  CHECK(of["ZeroPadding2D"]["padding"] == nlohmann::json::parse("[[1, 1], [2, 2]]"));
  CHECK(of["Cropping2D"]["cropping"] == nlohmann::json::parse("[[1, 0], [0, 2]]"));
  CHECK(of["ZeroPadding1D"]["padding"] == nlohmann::json::parse("[1, 2]"));
  CHECK(of["Dropout"]["noise_shape"] == nlohmann::json::parse("[null, 1, 1, 3]"));
  CHECK_FALSE(of["SpatialDropout2D"].contains("trainable"));
  CHECK(of["Dropout"].contains("trainable"));
  CHECK_FALSE(of["SimpleRNN"].contains("implementation"));
}

TEST_CASE("keras archives: weights that do not fit the model are refused with their place") {
  Model model = make_model();
  Hdf5Group root;
  write_keras3_weights(model, root);
  const auto read = [&] {
    Model fresh = import_keras_json(export_keras_json(model));
    read_keras_weights(fresh, root, "w.h5");
  };
  auto taken = std::move(root.make_group("layers/dense_1/vars").datasets["1"]);
  root.make_group("layers/dense_1/vars").datasets.erase("1");
  CHECK(message_of(read) ==
        "w.h5: lacks the weight 'bias' of the layer 'last' (Dense), which would stand in 'layers/dense_1/vars/1'\n"
        "  hint: these are the weights of another model, or the model was changed since");
  taken.shape = {1, 1};
  root.make_group("layers/dense_1/vars").datasets["1"] = std::move(taken);
  CHECK(message_of(read) ==
        "layer 'last' (Dense): its weight 'bias' is [1] but in the file it is [1, 1]\n"
        "  it stands in 'layers/dense_1/vars/1'\n"
        "  hint: these are the weights of another model, or the model was changed since");
  root.make_group("layers/dense_1/vars").datasets["1"].shape = {1};
  root.make_group("layers/conv2d/vars").datasets["0"] = {.shape = {1}, .integer = false, .reals = {1}, .integers = {}};
  CHECK(message_of(read).starts_with("w.h5: holds weights in 'layers/conv2d' for which the model has no layer"));
}

TEST_CASE("keras archives: legacy weights of nested models come trainable ones first, or by the names they bear") {
  auto make = [] {
    auto inner = std::make_shared<Model>(
        sequential({layers::input({3}),
                    {.class_name = "Dense", .attributes = {{"units", 3}}, .name = "frozen", .trainable = false},
                    layers::dense(3, {.name = "free"})},
                   "inner"));
    ModelBuilder m("m");
    Tensor x = m.input("x", {3});
    return m.build({m.call({.class_name = "Sequential", .name = "inner", .submodel = inner}, x)});
  };
  const auto one = [](float value, std::vector<int64_t> shape) {
    const size_t n = shape.size() == 2 ? 9 : 3;
    return Hdf5Dataset{
        .shape = std::move(shape), .integer = false, .reals = std::vector<float>(n, value), .integers = {}};
  };
  const auto read_file = [&](Model& model, const std::vector<std::string>& names) {
    Hdf5Group root;
    root.attributes["layer_names"] = {.texts = {"inner"}, .scalar = false};
    Hdf5Group& group = root.make_group("inner");
    group.attributes["weight_names"] = {.texts = names, .scalar = false};
    float value = 1;
    for (const std::string& name : names) {
      const size_t slash = name.rfind('/');
      group.make_group(name.substr(0, slash)).datasets[name.substr(slash + 1)] =
          one(value++, name.find("kernel") != std::string::npos ? std::vector<int64_t>{3, 3} : std::vector<int64_t>{3});
    }
    read_keras_weights(model, *read_hdf5(write_hdf5(root), "w.h5"), "w");
  };
  const auto value = [](Model& model, const std::string& path) {
    for (const ParameterPath& p : all_parameters(model))
      if (p.path == path) return p.parameter->data.at(0);
    return -1.0f;
  };
  Model trainable_first = make();
  read_file(trainable_first, {"free/kernel:0", "free/bias:0", "frozen/kernel:0", "frozen/bias:0"});
  CHECK(value(trainable_first, "inner/free/kernel") == 1);
  CHECK(value(trainable_first, "inner/frozen/bias") == 4);
  Model in_order = make();
  read_file(in_order, {"frozen/kernel:0", "frozen/bias:0", "free/kernel:0", "free/bias:0"});
  CHECK(value(in_order, "inner/frozen/kernel") == 1);
  CHECK(value(in_order, "inner/free/bias") == 4);
  Model unnamed = make();  // names that say nothing: Keras' rule
  read_file(unnamed, {"a/kernel:0", "a/bias:0", "b/kernel:0", "b/bias:0"});
  CHECK(value(unnamed, "inner/free/kernel") == 1);
}

TEST_CASE("keras archives: lists of names beyond 64 KiB are split as Keras splits them") {
  std::vector<std::string> names;
  for (int i = 0; i < 3000; ++i) names.push_back("a_layer_with_a_rather_long_name_" + std::to_string(i));
  Hdf5Group root;
  write_split_texts(root, "layer_names", names);
  CHECK(root.attributes.count("layer_names") == 0);
  CHECK(root.attributes.count("layer_names1") == 1);
  CHECK(read_split_texts(*read_hdf5(write_hdf5(root), "w.h5"), "layer_names") == names);
}

TEST_CASE("keras archives: a file that is no model is refused by what it is") {
  Model model = make_model();
  const auto open = [](std::string_view text) {
    return message_of([&] { import_keras_file(bytes_of(text), "m.keras"); });
  };
  CHECK(open("") == "m.keras: is empty");
  CHECK(open("version https://git-lfs.github.com/spec/v1\n") ==
        "m.keras: is a Git LFS pointer, not the file itself\n  hint: fetch it with 'git lfs pull'");
  CHECK(open("<!DOCTYPE html>").starts_with("m.keras: is a web page, not a model"));
  CHECK(open("hello").starts_with("m.keras: is neither a zip archive nor HDF5"));
  CHECK(open(zip_of({{"a.txt", "a"}})) == "m.keras: is a zip archive without 'config.json', so it is no Keras model");
  CHECK(open(zip_of({{"config.json", "{"}, {"model.weights.h5", "x"}})).starts_with("m.keras: is not valid JSON"));
  const std::string json = export_keras_json(model);
  CHECK(open(zip_of({{"config.json", json}, {"model.weights.h5", "x"}})) ==
        "m.keras (model.weights.h5): cannot be read as HDF5: the file is damaged\n"
        "  hint: copy it again from where it came from");
  CHECK(open(zip_of({{"config.json", json}, {"model.weights.npz", "x"}})).find("pickled Python objects") !=
        std::string::npos);
  CHECK(open(zip_of({{"config.json", json}, {"../../etc/passwd", "x"}})) ==
        "m.keras: holds a file named '../../etc/passwd', which leads out of the archive");
  const auto weights = export_keras_weights(model);
  CHECK(message_of([&] { import_keras_file(weights, "w.weights.h5"); }) ==
        "w.weights.h5: holds weights only, no model\n"
        "  hint: give the model and these weights: MODEL.json --weights w.weights.h5");
  Hdf5Group other;
  other.make_group("data");
  CHECK(message_of([&] { import_keras_file(write_hdf5(other), "m.h5"); }) ==
        "m.h5: is HDF5, but neither a Keras model nor its weights");
  CHECK(open(zip_of({{"config.json",
                      R"({"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Lambda",
                          "config": {"name": "f", "batch_input_shape": [null, 2], "function": ["4wEA", null, null]}}]}})"},
                     {"model.weights.h5", "x"}}))
            .find("layer 'f' (Lambda): holds Python code, which a compiler cannot read\n  hint: replace Python code") !=
        std::string::npos);
}

TEST_CASE("keras archives: what a file says of its sizes is checked before memory is taken") {
  // A file of a few bytes that unpacks to very many.
  std::string archive = zip_of({{"config.json", std::string(100, ' ')}});
  const uint32_t huge = 0xfffffff0u;
  const size_t central = archive.rfind("PK\x01\x02");
  REQUIRE(central != std::string::npos);
  std::memcpy(archive.data() + central + 24, &huge, 4);  // uncompressed size, in the directory
  std::memcpy(archive.data() + 22, &huge, 4);            // and before the content
  const std::string message = message_of([&] { import_keras_file(bytes_of(archive), "m.keras"); });
  CHECK(message.find("says it has 4294967280 bytes, packed in 100") != std::string::npos);
  // A dataset of extents that the file cannot hold.
  Hdf5Group root;
  root.datasets["w"] = {.shape = {1000}, .integer = false, .reals = std::vector<float>(1000, 1.0f), .integers = {}};
  std::vector<std::byte> file = write_hdf5(root);
  const uint64_t extent = 1000, many = uint64_t{1} << 39;
  bool patched = false;
  for (size_t i = 0; i + 8 <= file.size(); ++i) {
    uint64_t value;
    std::memcpy(&value, file.data() + i, 8);
    if (value == extent) std::memcpy(file.data() + i, &many, 8), patched = true;
  }
  REQUIRE(patched);
  CHECK(message_of([&] { read_hdf5(file, "w.h5"); }).starts_with("w.h5: '/w': says it "));
}

}  // namespace moru
