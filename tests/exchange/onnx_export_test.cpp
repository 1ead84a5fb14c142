// What models look like as ONNX. That the files give the right numbers, tests/onnx_exports.cpp checks.
#include "compiler/exchange/onnx/onnx_export.h"

#include <doctest/doctest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <fstream>

#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/model/infer_model.h"
#include "compiler/model/layers.h"
#include "compiler/support/error.h"
#include "tests/exchange/onnx_case.h"
#include "tests/runtime/temporary_directory.h"

using namespace moru;

namespace {

onnx::ModelProto exported(Model model, const OnnxExportOptions& options = {}) {
  initialize_parameters(model, 1);
  const std::vector<std::byte> bytes = export_onnx(model, options);
  onnx::ModelProto proto;
  REQUIRE(proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return proto;
}

std::string types_of(const onnx::ModelProto& proto) {
  std::string types;
  for (const auto& node : proto.graph().node()) types += (types.empty() ? "" : " ") + node.op_type();
  return types;
}

const onnx::NodeProto& node_named(const onnx::ModelProto& proto, const std::string& name) {
  for (const auto& node : proto.graph().node())
    if (node.name() == name) return node;
  FAIL("no node '" << name << "'");
  return proto.graph().node(0);
}

std::vector<std::string> initializers_of(const onnx::ModelProto& proto) {
  std::vector<std::string> names;
  for (const auto& tensor : proto.graph().initializer()) names.push_back(tensor.name());
  return names;
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

LayerSpec spec(std::string class_name, Attributes attributes, std::string name) {
  return {.class_name = std::move(class_name), .attributes = std::move(attributes), .name = std::move(name)};
}

Model read_again(const onnx::ModelProto& proto) {
  const test::TemporaryDirectory directory;
  const std::string path = directory / "m.onnx";
  {
    std::ofstream file(path, std::ios::binary);
    REQUIRE(proto.SerializeToOstream(&file));
  }
  return import_onnx(path);
}

}  // namespace

TEST_CASE("onnx export: layers, weights, inputs and outputs keep their names, and the batch stays open") {
  ModelBuilder m("bike");
  Tensor x = m.input("window", {3});
  Tensor h = m.call(layers::dense(4, {.activation = "relu", .name = "hidden"}), x);
  const onnx::ModelProto proto = exported(m.build({m.call(layers::dense(2, {.name = "rentals"}), h)}));
  CHECK(proto.graph().name() == "bike");
  CHECK(proto.opset_import(0).version() == default_onnx_opset);
  CHECK(types_of(proto) == "Gemm Relu Gemm");
  CHECK(node_named(proto, "hidden").op_type() == "Gemm");
  CHECK(node_named(proto, "rentals").output(0) == "rentals");
  CHECK(initializers_of(proto) == std::vector<std::string>{"hidden/kernel", "hidden/bias", "rentals/kernel", "rentals/bias"});
  CHECK(proto.graph().input(0).name() == "window");
  CHECK(proto.graph().input(0).type().tensor_type().shape().dim(0).dim_param() == "batch");
  CHECK(proto.graph().input(0).type().tensor_type().shape().dim(1).dim_value() == 3);
  CHECK(proto.graph().output(0).name() == "rentals");
  CHECK(proto.graph().output(0).type().tensor_type().shape().dim(0).dim_param() == "batch");
}

TEST_CASE("onnx export: recurrent layers are ONNX's own, and between two of them nothing is transposed") {
  ModelBuilder m("rnn");
  Tensor x = m.input("x", {5, 3});
  Tensor h = m.call(layers::lstm(4, {.return_sequences = true, .name = "first"}), x);
  h = m.call(layers::gru(4, {.return_sequences = true, .name = "second"}), h);
  const onnx::ModelProto proto = exported(m.build({m.call(layers::simple_rnn(2, {.name = "third"}), h)}));
  CHECK(types_of(proto) == "Transpose LSTM Squeeze GRU Squeeze RNN Squeeze");
  CHECK(node_named(proto, "first").op_type() == "LSTM");
  CHECK(holds(initializers_of(proto), "first/recurrent_kernel"));
}

TEST_CASE("onnx export: convolutions and what follows them stay with channels in front") {
  ModelBuilder m("cnn");
  Tensor x = m.input("x", {8, 8, 3});
  Tensor h = m.call(spec("Conv2D", {{"filters", 4}, {"kernel_size", std::vector<int64_t>{3, 3}}, {"activation", "relu"}}, "conv"), x);
  h = m.call(spec("BatchNormalization", {}, "norm"), h);
  h = m.call(spec("MaxPooling2D", {}, "pool"), h);
  h = m.call(spec("GlobalAveragePooling2D", {}, "mean"), h);
  const onnx::ModelProto proto = exported(m.build({m.call(layers::dense(2, {.activation = "softmax", .name = "y"}), h)}));
  CHECK(types_of(proto) == "Transpose Conv Relu BatchNormalization MaxPool GlobalAveragePool Squeeze Gemm Softmax");
}

TEST_CASE("onnx export: what ONNX's operator cannot say is a loop with a body, and comes back") {
  ModelBuilder m("odd");
  Tensor x = m.input("x", {5, 3});
  const onnx::ModelProto proto = exported(m.build({m.call(layers::lstm(4, {.activation = "gelu", .name = "lstm"}), x)}));
  CHECK(node_named(proto, "lstm").op_type() == "Scan");
  const Model again = read_again(proto);
  CHECK(again.type(again.outputs[0]).shape == Shape{Dim::symbol("batch"), 4});
}

TEST_CASE("onnx export: a model that came from ONNX goes out with the nodes it came with") {
  ModelBuilder m("rnn");
  Tensor x = m.input("x", {5, 3});
  Tensor h = m.call(layers::bidirectional(layers::lstm(4, {.return_sequences = true}), "concat", "both"), x);
  const onnx::ModelProto first = exported(m.build({m.call(layers::dense(2, {.name = "y"}), h)}), {.opset = 15});
  Model model = read_again(first);
  const onnx::ModelProto second = exported(model);
  CHECK(types_of(second) == types_of(first));
  CHECK(second.opset_import(0).version() == 15);
  CHECK(node_named(second, "both").op_type() == "LSTM");
}

TEST_CASE("onnx export: metadata is kept, and an operator set that is not known is refused") {
  ModelBuilder m("small");
  const Model model = m.build({m.call(layers::dense(1, {.name = "y"}), m.input("x", {3}))});
  const onnx::ModelProto proto = exported(model, {.opset = 18, .metadata = {{"moru.recipe", "{}"}}});
  REQUIRE(proto.metadata_props_size() == 1);
  CHECK(proto.metadata_props(0).key() == "moru.recipe");
  std::string message;
  try {
    exported(model, {.opset = 9});
  } catch (const CompileError& error) {
    message = error.what();
  }
  CHECK(message == "ONNX's operator set 9 cannot be written\n  hint: choose one from 13 to 26");
}

TEST_CASE("onnx export: a policy of mixed element types goes along in the metadata, and comes back") {
  ModelBuilder m("mixed");
  Model model = m.build({m.call(layers::dense(2, {.name = "y"}), m.input("x", {3}))});
  CHECK(exported(model).metadata_props_size() == 0);
  model.dtype_policy = DTypePolicy::mixed_bfloat16;
  const onnx::ModelProto proto = exported(model);
  CHECK(types_of(proto) == "Gemm");
  CHECK(read_again(proto).dtype_policy == DTypePolicy::mixed_bfloat16);
}

TEST_CASE("onnx export: layers that only train pass what they get") {
  ModelBuilder m("dropped");
  Tensor x = m.input("x", {4, 3});
  x = m.call(spec("Dropout", {{"rate", 0.5}}, "drop"), x);
  x = m.call(spec("GaussianNoise", {{"stddev", 1.0}}, "noise"), x);
  x = m.call(spec("SpatialDropout1D", {{"rate", 0.5}}, "rows"), x);
  x = m.call(spec("ActivityRegularization", {{"l2", 0.1}}, "penalty"), x);
  const onnx::ModelProto proto = exported(m.build({m.call(layers::dense(2, {.name = "y"}), x)}));
  CHECK(types_of(proto) == "MatMul Add");
}

TEST_CASE("onnx export: operators on bits keep what they do where there are too many places") {
  Graph graph;
  Builder b(graph, "bits");
  const Type type{DType::i64, {3}};
  const Value x = b.input(type), y = b.input(type);
  b.result(b.call("bitwise_xor", {b.call("shift_left", {x, y}), b.call("shift_right", {x, y})}));
  Model model{.name = "bits"};
  for (const char* name : {"x", "y"}) {
    model.layers.push_back({.name = name, .class_name = "InputLayer", .attributes = input_layer_attributes(type)});
    model.inputs.push_back({static_cast<uint32_t>(model.nodes.size()), 0});
    model.nodes.push_back({.layer = static_cast<uint32_t>(model.nodes.size()), .inputs = {}, .outputs = {type}, .name = name});
  }
  model.layers.push_back({.name = "bits", .class_name = "Bits", .body = std::make_shared<Graph>(graph)});
  model.nodes.push_back({.layer = 2, .inputs = model.inputs, .outputs = {type}, .name = "bits"});
  model.outputs = {{2, 0}};
  model.output_names = {"z"};
  const Model again = read_again(exported(model, {.opset = 18}));
  const std::vector<SavedTensor> inputs = {test::longs("x", {3}, {5, 40, -8}), test::longs("y", {3}, {1, 70, -1})};
  CHECK(test::values_of<int64_t>(test::OnnxCase::answers(again, inputs)[0]) == std::vector<int64_t>{10 ^ 2, 0, 0});
  std::string message;
  try {
    exported(model, {.opset = 17});
  } catch (const CompileError& error) {
    message = error.what();
  }
  CHECK(message.find("operators on bits came with ONNX's operator set 18") != std::string::npos);
}
